//! The lists of checksums that trees have beside their files.

use super::{Checked, Query, Sum, Tree};
use crate::testing::Remote;

/// A layout, the list it has, where the list's paths begin, and of how a line is made of sum and
/// path.
type Case = ([&'static str; 2], &'static str, &'static str, fn(&str, &str) -> String);

const DEBIAN: [&str; 2] = [
    "current/images/netboot/debian-installer/amd64/linux",
    "current/images/netboot/debian-installer/amd64/initrd.gz",
];
const SUSE: [&str; 2] = ["boot/x86_64/loader/linux", "boot/x86_64/loader/initrd"];
const ARCH: [&str; 2] = ["arch/boot/x86_64/vmlinuz-linux", "arch/boot/x86_64/initramfs-linux.img"];

const CASES: [Case; 8] = [
    (DEBIAN, "current/images/SHA256SUMS", "current/images/", |sum, path| {
        format!("{sum}  ./{path}")
    }),
    (DEBIAN, "SHA256SUMS", "", |sum, path| format!("{sum}  {path}")),
    (["linux", "initrd"], "SHA256SUMS", "", |sum, path| format!("{sum} *{path}")),
    (["casper/vmlinuz", "casper/initrd"], "SHA256SUMS", "", |sum, path| format!("{sum} *./{path}")),
    (SUSE, "CHECKSUMS", "", |sum, path| format!("{sum}  {path}")),
    (SUSE, "content", "", |sum, path| format!("HASH SHA256 {sum}  {path}")),
    (ARCH, "sha256sums.txt", "", |sum, path| format!("{sum}  {path}")),
    (["kernel", "initrd.img"], "SHA256SUMS", "", |sum, path| format!("SHA256 ({path}) = {sum}")),
];

/// What sha256 says of a text.
fn sum(text: &str) -> String {
    crate::checksum::sha256_of(text.as_ref())
}

#[test]
fn each_tree_s_own_list_counts() {
    for (files, list, root, line) in CASES {
        let lines = |of: fn(&str) -> String| {
            let lines = files.map(|path| line(&of(path), path.strip_prefix(root).unwrap()));
            lines.join("\n") + "\n"
        };
        let right = Remote::of(&files).file(list, lines(sum).as_bytes());
        let tree = Tree::find(&right, Query::default()).unwrap();
        let expected = Some(Sum { checked: Checked::Right("sha256".into()), by: list.into() });
        assert_eq!((&tree.kernel.sum, &tree.initrds[0].sum), (&expected, &expected), "{list}");
        let asked = right.asked().iter().filter(|path| *path == list).count();
        assert_eq!(asked, 1, "{list}");

        let wrong = Remote::of(&files).file(list, lines(|_| sum("x")).as_bytes());
        let error = Tree::find(&wrong, Query::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&sum(files[0])) && text.contains(&sum("x")), "{text}");
        assert!(text.ends_with(&format!("by {list}")), "{text}");
    }
}

#[test]
fn a_list_without_the_file_or_too_long_says_nothing() {
    let other = format!("{}  ./netboot/other\n", sum("x"));
    let long = "x".repeat((1 << 20) + 1);
    for text in [other, long, String::new()] {
        let remote = Remote::of(&DEBIAN).file("current/images/SHA256SUMS", text.as_bytes());
        let tree = Tree::find(&remote, Query::default()).unwrap();
        assert_eq!(tree.kernel.sum, None);
    }
}

#[test]
fn a_treeinfo_s_sum_comes_first() {
    let info = format!("{}[checksums]\nother/vmlinuz = sha256:{}\n", super::TREEINFO, super::SUM);
    let remote = Remote::of(&["other/vmlinuz", "other/initrd.img"]);
    let remote = remote.file(".treeinfo", info.as_bytes());
    let remote = remote.file("SHA256SUMS", format!("{}  other/vmlinuz", sum("x")).as_bytes());
    let tree = Tree::find(&remote, Query::default()).unwrap();
    assert_eq!(tree.kernel.sum.unwrap().by, ".treeinfo");
}
