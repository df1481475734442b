//! CDs that cannot be used.

use chukka_tests::native::{Scratch, start};

#[test]
fn a_cd_that_cannot_be_used_is_refused_with_what_to_do() {
    let scratch = Scratch::new();
    let empty = scratch.file("empty.iso", b"");
    let folder = scratch.path("");
    let missing = scratch.path("missing.iso");
    for (path, says, hints) in [
        (missing.as_path(), "No such file", "check the path"),
        (&folder, "is a directory", "xorriso -as mkisofs"),
        (&empty, "is empty", "download it again"),
        ("/dev/null".as_ref(), "is not a file or block device", "use an ISO image"),
    ] {
        let cd = path.to_str().expect("a path that is text");
        start(["-cdrom", cd])
            .refused()
            .says(&format!("The CD {cd} cannot be used"))
            .says(says)
            .hints(hints);
    }
}
