use super::*;
use crate::making::{Bytes, abuse, blank, content, kernel, local, run, text, walk};
use crate::testing::Temp;

/// A file system of this many bits and MiB, with a kernel, a directory of 300 names, and names of
/// every length.
fn made(temp: &Temp, bits: &str, mib: u64) -> std::path::PathBuf {
    made_of(temp, bits, mib, 300)
}

fn made_of(temp: &Temp, bits: &str, mib: u64, names: u32) -> std::path::PathBuf {
    let image = blank(temp, "image", mib << 20);
    run("mkfs.vfat", &["-F", bits, "-s", "1", "-n", "LABEL", "-i", "1a2b3c4d", text(&image)]);
    temp.file("boot/vmlinuz-6.1.0-amd64", &kernel());
    temp.file("boot/EMPTY", b"");
    temp.file("EFI/BOOT/BOOTX64.EFI", b"efi");
    temp.file("lower.txt", b"lower");
    temp.file("Täglich Brot.conf", b"bread");
    temp.file(&"long".repeat(60), b"240 characters");
    for number in 0..names {
        temp.file(
            &format!("many/a name of some length {number:03}"),
            number.to_string().as_bytes(),
        );
    }
    let files = ["boot", "EFI", "many", "lower.txt", "Täglich Brot.conf", &"long".repeat(60)];
    let files: Vec<_> = files.iter().map(|file| temp.path().join(file)).collect();
    let mut arguments = vec!["-i", text(&image), "-s"];
    arguments.extend(files.iter().map(|file| text(file)));
    arguments.push("::");
    // mtools takes names as the locale has them.
    let command = "LC_ALL=C.UTF-8 mcopy \"$@\"";
    run("sh", &[&["-c", command, "sh"], &arguments[..]].concat());
    image
}

#[test]
fn each_width_is_read() {
    for (bits, mib) in [("12", 2), ("16", 16), ("32", 64)] {
        let temp = Temp::new();
        let image = made(&temp, bits, mib);
        let source = open(local(&image)).unwrap();
        assert_eq!((source.volume_label(), source.label()), (Some("LABEL"), None));
        assert_eq!(source.volume_uuid(), Some("1A2B-3C4D"));
        for path in [
            "boot/vmlinuz-6.1.0-amd64",
            "/BOOT/VMLINUZ-6.1.0-AMD64",
            "../boot/./VmLinuz-6.1.0-amd64",
        ] {
            assert!(content(&*source, path) == kernel(), "{bits} {path}");
        }
        assert_eq!(content(&*source, "efi/boot/bootx64.efi"), b"efi");
        assert_eq!(content(&*source, "boot/empty"), b"");
        assert_eq!(content(&*source, "täglich brot.conf"), b"bread");
        assert_eq!(content(&*source, &"LONG".repeat(60)), b"240 characters");
        assert_eq!(content(&*source, "many/a name of some length 299"), b"299");
        assert_eq!(source.list(&TreePath::new("many")).unwrap().len(), 300);
        let root = source.list(&TreePath::root()).unwrap();
        let root: Vec<_> = root.iter().map(|one| (&*one.name, one.is_directory)).collect();
        let long = "long".repeat(60);
        let expected = [
            ("EFI", true),
            ("Täglich Brot.conf", false),
            ("boot", true),
            (&*long, false),
            ("lower.txt", false),
            ("many", true),
        ];
        assert_eq!(root, expected, "{bits}");
        for path in ["nothing", "boot/nothing", "boot/empty/below"] {
            assert!(source.open(&TreePath::new(path)).unwrap_err().is_missing(), "{path}");
        }
        let file = source.open(&TreePath::new("boot/vmlinuz-6.1.0-amd64")).unwrap();
        assert_eq!(file.name(), format!("{}/boot/vmlinuz-6.1.0-amd64", text(&image)));
        assert!(matches!(source.open(&TreePath::new("boot")).unwrap_err(), FileError::Kind { .. }));
        // mtools has names of eight characters for all.
        let short = run("mdir", &["-i", text(&image), "-b", "::/many"]);
        assert!(short.contains("a name of some length 000"), "{short}");
        let number = String::from_utf8(content(&*source, "many/ANAMEO~1")).unwrap();
        assert!(number.parse::<u32>().unwrap() < 300, "{number}");
    }
}

#[test]
fn a_file_in_pieces_is_read() {
    let temp = Temp::new();
    let image = made(&temp, "16", 16);
    // Every second name makes room for one cluster.
    for number in (0..300).step_by(2) {
        run("mdel", &["-i", text(&image), &format!("::/many/a name of some length {number:03}")]);
    }
    // mtools fills from where it was last; a file as large as the rest has to take the gaps.
    let largest = (14 << 20) + (1 << 19);
    let bytes = crate::making::noise(3, largest);
    temp.file("large", &bytes);
    run("mcopy", &["-i", text(&image), text(&temp.path().join("large")), "::/large"]);
    let source = open(local(&image)).unwrap();
    assert!(content(&*source, "large") == bytes);
}

#[test]
fn a_damaged_image_is_an_error_and_no_more() {
    let temp = Temp::new();
    for (bits, mib) in [("12", 1), ("16", 4), ("32", 40)] {
        let mut image = std::fs::read(made_of(&temp, bits, mib, 10)).unwrap();
        // Nothing is behind it.
        image.truncate(2 << 20);
        let table = 512 * usize::from(image[14]);
        abuse(&image, &[0..90, table..table + 600, table..512 << 10], 200, |image| {
            if let Ok(source) = open(image) {
                walk(&*source);
            }
        });
    }
}

#[test]
fn chains_that_lead_back_end() {
    let temp = Temp::new();
    let path = made(&temp, "16", 16);
    let mut image = std::fs::read(&path).unwrap();
    let table = 512 * usize::from(image[14]);
    // Every cluster is followed by itself.
    for cluster in 2..20_000_u16 {
        let at = table + 2 * usize::from(cluster);
        image[at..at + 2].copy_from_slice(&cluster.to_le_bytes());
    }
    std::fs::write(&path, image).unwrap();
    let source = open(local(&path)).unwrap();
    for path in ["boot", "many"] {
        let error = format!("{:?}", source.list(&TreePath::new(path)).unwrap_err());
        assert!(error.contains("is a loop"), "{error}");
    }
    let error = source.open(&TreePath::new("lower.txt"));
    assert!(error.is_ok(), "it has one cluster: {error:?}");
}

/// `mkfs.fat -F 32` makes FAT32 with fewer clusters than the specification wants.
#[test]
fn fat32_of_few_clusters_is_read() {
    let temp = Temp::new();
    let mut image = std::fs::read(made(&temp, "32", 64)).unwrap();
    let sectors = 40_000_u32;
    image.truncate(usize::try_from(sectors).unwrap() * 512);
    image[32..36].copy_from_slice(&sectors.to_le_bytes());
    let source = open(Arc::new(Bytes(image))).unwrap();
    assert!(content(&*source, "boot/vmlinuz-6.1.0-amd64") == kernel());
    assert_eq!(content(&*source, "many/a name of some length 299"), b"299");
    assert_eq!(source.volume_label(), Some("LABEL"));
}
