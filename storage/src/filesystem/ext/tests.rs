use super::*;
use crate::making::{
    Bytes, abuse, assert_tree, blank, content, kernel, local, run, text, tree, walk,
};
use crate::testing::Temp;

/// What mke2fs makes with these options, of 3000 names in one directory.
fn made(temp: &Temp, from: &Temp, options: &str) -> std::path::PathBuf {
    made_of(temp, from, options, 128 << 20)
}

fn made_of(temp: &Temp, from: &Temp, options: &str, len: u64) -> std::path::PathBuf {
    let image = blank(temp, "image", len);
    let mut arguments: Vec<&str> = options.split_whitespace().collect();
    arguments.extend(["-q", "-F", "-d", text(from.path()), text(&image)]);
    run("mke2fs", &arguments);
    image
}

#[test]
fn ext2_ext3_and_ext4_of_each_shape_are_read() {
    let from = tree(3000);
    for options in [
        "-t ext2",
        "-t ext2 -b 1024 -O ^dir_index",
        "-t ext3",
        "-t ext3 -b 2048 -I 128",
        "-t ext4",
        "-t ext4 -b 1024",
        "-t ext4 -O 64bit,metadata_csum",
        "-t ext4 -O ^64bit,^metadata_csum",
        "-t ext4 -O bigalloc -C 16384",
        "-t ext4 -O ^extents,^64bit",
    ] {
        let temp = Temp::new();
        let image = made(&temp, &from, options);
        assert_tree(&*open(local(&image)).unwrap(), 3000);
    }
}

#[test]
fn the_label_is_that_of_the_file_system() {
    let from = tree(3);
    for (options, label) in [
        ("-t ext4 -U 0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", None),
        ("-t ext2 -L boot", Some("boot")),
        ("-L sixteen-letters!", Some("sixteen-letters!")),
    ] {
        let temp = Temp::new();
        let image = made(&temp, &from, options);
        let source = open(local(&image)).unwrap();
        assert_eq!(source.volume_label(), label);
        let uuid = options.split_once("-U ").map(|(_, uuid)| uuid);
        assert!(uuid.is_none_or(|uuid| source.volume_uuid() == Some(uuid)), "{source:?}");
    }
}

#[test]
fn features_that_do_not_matter_for_reading_are_accepted() {
    let from = tree(200);
    for options in [
        "-t ext4 -O inline_data -I 256",
        "-t ext4 -O inline_data,metadata_csum -I 1024",
        "-t ext4 -O casefold",
        "-t ext4 -O large_dir",
        "-t ext4 -O mmp",
        "-t ext4 -O meta_bg,^resize_inode -b 1024",
        "-t ext4 -O meta_bg,^resize_inode,64bit -b 1024",
        "-t ext4 -O sparse_super2",
        "-t ext4 -O encrypt",
        "-t ext4 -O metadata_csum,metadata_csum_seed",
        "-t ext2 -r 0 -O none",
    ] {
        let temp = Temp::new();
        let image = made(&temp, &from, options);
        assert_tree(&*open(local(&image)).unwrap(), 200);
    }
}

/// Blocks of 64 KiB have entries whose lengths need more than 16 bits.
#[test]
fn the_largest_blocks_are_read() {
    let (temp, from) = (Temp::new(), tree(30));
    assert_tree(&*open(local(&made(&temp, &from, "-t ext4 -b 65536"))).unwrap(), 30);
}

#[test]
fn what_is_no_file_is_named() {
    let (temp, from) = (Temp::new(), tree(3));
    let image = made(&temp, &from, "-t ext4");
    run("debugfs", &["-w", "-R", "mknod pipe p", text(&image)]);
    run("debugfs", &["-w", "-R", "mknod tty c 4 0", text(&image)]);
    let source = open(local(&image)).unwrap();
    let found = |path: &str| match source.open(&TreePath::new(path)).unwrap_err() {
        FileError::Kind { found, .. } => found,
        other => panic!("{other:?}"),
    };
    assert_eq!([found("pipe"), found("tty")], ["a pipe", "a character device"]);
}

/// The image in memory, with `bytes` at `at`.
fn patched(image: &std::path::Path, at: usize, bytes: &[u8]) -> Arc<Bytes> {
    let mut image = std::fs::read(image).unwrap();
    image[at..at + bytes.len()].copy_from_slice(bytes);
    Arc::new(Bytes(image))
}

#[test]
fn unknown_features_are_refused_by_their_bits() {
    let (temp, from) = (Temp::new(), tree(3));
    let image = made(&temp, &from, "-t ext4 -O ^metadata_csum");
    // The upper half of s_feature_incompat.
    let error = open(patched(&image, 1024 + 0x62, &[0x08, 0])).unwrap_err();
    assert!(error.hint().unwrap().contains("debugfs"), "{error:?}");
    assert!(format!("{error:?}").contains("unsupported features (incompat 0x80000)"), "{error:?}");
}

#[test]
fn a_journal_on_another_device_is_needed_if_there_is_something_in_it() {
    let temp = Temp::new();
    let image = made(&temp, &tree(3), "-t ext4 -O ^metadata_csum");
    let mut bytes = std::fs::read(&image).unwrap();
    // s_journal_inum.
    bytes[1024 + 0xe0..][..4].fill(0);
    assert!(open(Arc::new(Bytes(bytes.clone()))).is_ok());
    // INCOMPAT_RECOVER.
    bytes[1024 + 0x60] |= 0x4;
    let error = open(Arc::new(Bytes(bytes))).unwrap_err();
    assert!(format!("{error:?}").contains("its journal is on another device"), "{error:?}");
    let hint = "mount the file system once where the other device is there, too";
    assert_eq!(error.hint(), Some(hint));
}

/// Its superblock says that there are no inodes.
#[test]
fn an_external_journal_is_named() {
    let temp = Temp::new();
    let image = blank(&temp, "journal", 8 << 20);
    run("mke2fs", &["-q", "-F", "-b", "4096", "-O", "journal_dev", text(&image)]);
    let error = crate::image::open(local(&image)).unwrap_err();
    assert!(format!("{error:?}").contains("it is the external journal"), "{error:?}");
}

#[test]
fn metadata_with_a_wrong_checksum_is_refused() {
    let (temp, from) = (Temp::new(), tree(3));
    let image = made(&temp, &from, "-t ext4 -O metadata_csum");
    let error = open(patched(&image, 1024 + 0x78, b"label")).unwrap_err();
    assert!(format!("{error:?}").contains("superblock with a wrong checksum"), "{error:?}");
}

#[test]
fn names_in_a_casefolded_directory_are_found_in_any_case() {
    let (temp, from) = (Temp::new(), tree(3));
    let image = made(&temp, &from, "-t ext4 -O casefold");
    run("debugfs", &["-w", "-R", "sif /boot flags 0x40080000", text(&image)]);
    let source = open(local(&image)).unwrap();
    assert_eq!(content(&*source, "boot/VMLINUZ"), kernel());
    assert!(source.open(&TreePath::new("BOOT/vmlinuz")).unwrap_err().is_missing());
}

/// Block `number` of a file, as debugfs says.
fn block_of(image: &std::path::Path, path: &str, number: u32) -> u64 {
    let found = run("debugfs", &["-R", &format!("bmap {path} {number}"), text(image)]);
    found.trim().parse().unwrap()
}

/// Runs debugfs with several commands.
fn debugfs(temp: &Temp, image: &std::path::Path, commands: &str) {
    temp.file("commands", commands.as_bytes());
    run("debugfs", &["-w", "-f", text(&temp.path().join("commands")), text(image)]);
}

#[test]
fn a_file_system_that_was_not_unmounted_is_read_through_its_journal() {
    for (options, open_journal) in [
        ("-t ext4 -b 4096 -O ^metadata_csum,^64bit", "jo"),
        ("-t ext4 -b 4096 -O ^metadata_csum,64bit", "jo"),
        ("-t ext3 -b 1024", "jo"),
        ("-t ext4 -b 4096 -O ^metadata_csum", "jo -c -v 2"),
        ("-t ext4 -b 4096 -O metadata_csum", "jo -c -v 3"),
    ] {
        let (temp, from) = (Temp::new(), tree(3));
        let image = made(&temp, &from, options);
        let size = if options.contains("1024") { 1024 } else { 4096 };
        let (deep, first) =
            (block_of(&image, "/a/b/c/deep", 0), block_of(&image, "/boot/vmlinuz-6.1", 0));
        let revoked = block_of(&image, "/boot/vmlinuz-6.1", 1);
        let block = |with: &[u8]| [with, &vec![b'x'; size - with.len()]].concat();
        // The second block begins as the journal's own do, which the journal has to escape.
        temp.file("blocks", &[block(b"new1"), block(b"\xc0\x3b\x39\x98"), block(b"gone")].concat());
        let blocks = temp.path().join("blocks");
        assert!(deep < first && first < revoked, "debugfs sorts them");
        debugfs(
            &temp,
            &image,
            &format!(
                "{open_journal}\njw -b {deep},{first},{revoked} {}\njw -r {revoked}\njc\n",
                text(&blocks)
            ),
        );
        let superblock = run("dumpe2fs", &["-h", text(&image)]);
        assert!(superblock.contains("needs_recovery"), "{options}: {superblock}");
        let source = open(local(&image)).unwrap();
        assert_eq!(content(&*source, "a/b/c/deep"), b"new1", "{options}");
        let found = content(&*source, "boot/vmlinuz");
        assert_eq!(found[..4], *b"\xc0\x3b\x39\x98", "{options}");
        assert!(found[4..size].iter().all(|byte| *byte == b'x'), "{options}");
        assert!(found[size..] == kernel()[size..], "{options}: revoked blocks are the disk's");
    }
}

#[test]
fn a_damaged_image_is_an_error_and_no_more() {
    let (temp, from) = (Temp::new(), tree(20));
    for options in
        ["-t ext4 -O ^has_journal", "-t ext2 -O ^metadata_csum", "-t ext3 -J size=1 -b 1024"]
    {
        let image = std::fs::read(made_of(&temp, &from, options, 4 << 20)).unwrap();
        assert!(walk(&*open(Arc::new(Bytes(image.clone()))).unwrap()) > 20);
        abuse(&image, &[1024..2048, 2048..8192, 8192..1 << 20, 1024..1 << 20], 200, |image| {
            if let Ok(source) = open(image) {
                walk(&*source);
            }
        });
    }
}

/// `debugfs` can make what no kernel would.
#[test]
fn a_directory_in_itself_and_one_of_a_length_that_cannot_be_end() {
    let (temp, from) = (Temp::new(), tree(3));
    let image = made(&temp, &from, "-t ext4 -O ^metadata_csum");
    run("debugfs", &["-w", "-R", "ln /a /a/itself", text(&image)]);
    let source = open(local(&image)).unwrap();
    let path = format!("{}b/c/deep", "itself/".repeat(100));
    assert!(source.open(&TreePath::new("a").join(&path)).is_ok());
    run("debugfs", &["-w", "-R", "sif /many size 0xfffffffff", text(&image)]);
    let source = open(local(&image)).unwrap();
    let error = source.list(&TreePath::new("many")).unwrap_err();
    assert!(format!("{error:?}").contains("a directory of 68719476735 bytes"), "{error:?}");
}
