use super::*;
use crate::making::{
    Bytes, abuse, assert_tree, blank, content, local, noise, run, text, tree, walk,
};
use crate::testing::{Temp, cpu_time};

fn packed(from: &Temp, temp: &Temp, options: &str) -> std::path::PathBuf {
    let image = temp.path().join("image");
    let mut arguments = vec![text(from.path()), text(&image), "-quiet", "-no-progress"];
    arguments.extend(options.split_whitespace());
    run("mksquashfs", &arguments);
    image
}

fn made(temp: &Temp, names: usize, options: &str) -> std::path::PathBuf {
    packed(&tree(names), temp, options)
}

fn refused(image: Vec<u8>) -> FileError {
    open(Arc::new(Bytes(image))).unwrap_err()
}

#[test]
fn each_compression_is_read() {
    for options in [
        "-comp gzip",
        "-comp xz -b 1M",
        "-comp xz -Xbcj x86",
        "-comp zstd",
        "-comp lz4",
        "-comp lz4 -Xhc",
        "-b 4096 -always-use-fragments",
        "-noI -noD -noF",
        "-no-fragments",
        "-no-exports -no-xattrs -nopad",
    ] {
        let temp = Temp::new();
        assert_tree(&*open(local(&made(&temp, 400, options))).unwrap(), 400);
    }
}

#[test]
fn an_unsupported_compression_is_named() {
    let temp = Temp::new();
    let image = std::fs::read(made(&temp, 3, "-comp lzo")).unwrap();
    let error = refused(image.clone());
    assert!(format!("{error:?}").contains("compressed with lzo is not supported"), "{error:?}");
    assert!(error.hint().unwrap().contains("mksquashfs"), "{error:?}");
    let with = |compression: u8| [&image[..20], &[compression, 0], &image[22..]].concat();
    assert!(format!("{:?}", refused(with(2))).contains("compressed with lzma is not supported"));
    assert!(format!("{:?}", refused(with(9))).contains("the unknown compression 9"));
    let mut old = image;
    old[28..32].copy_from_slice(&[3, 0, 1, 0]);
    let error = refused(old);
    assert!(format!("{error:?}").contains("version 3.1 is not supported"), "{error:?}");
    assert!(error.hint().unwrap().contains("mksquashfs"), "{error:?}");
}

/// `symlink_size` has 32 bits; backhand refused an image with one of more than 255 bytes as a
/// whole.
#[test]
fn links_of_any_length_are_followed() {
    let (from, temp) = (Temp::new(), Temp::new());
    from.file("boot/vmlinuz", b"kernel");
    for (name, count) in [("short", 100), ("long", 2000)] {
        let to = format!("/boot/{}vmlinuz", "./".repeat(count));
        std::os::unix::fs::symlink(to, from.path().join(name)).unwrap();
    }
    let source = open(local(&packed(&from, &temp, ""))).unwrap();
    for path in ["boot/vmlinuz", "short", "long"] {
        assert_eq!(content(&*source, path), b"kernel");
    }
}

#[test]
fn large_files_sparse_files_and_ends_of_files_are_read() {
    let (from, temp) = (Temp::new(), Temp::new());
    let bytes = noise(2, (1 << 20) + 77_777);
    from.file("whole", &bytes);
    from.file("tail", &bytes[..100_000]);
    from.file("exact", &bytes[..1 << 18]);
    blank(&from, "sparse", (1 << 26) + 5);
    for options in ["", "-tailends", "-comp zstd -b 4096"] {
        let image = packed(&from, &temp, &format!("-noappend {options}"));
        let source = open(local(&image)).unwrap();
        assert!(content(&*source, "whole") == bytes, "{options}");
        assert!(content(&*source, "tail") == bytes[..100_000], "{options}");
        assert!(content(&*source, "exact") == bytes[..1 << 18], "{options}");
        let sparse = source.open(&TreePath::new("sparse")).unwrap();
        let mut some = [1; 16];
        assert_eq!((sparse.len(), sparse.read_at(&mut some, 1 << 26).unwrap()), ((1 << 26) + 5, 5));
        assert_eq!(some[..6], [0, 0, 0, 0, 0, 1]);
    }
}

#[test]
fn a_damaged_image_is_an_error_and_no_more() {
    let temp = Temp::new();
    for options in ["-comp gzip -noI", "-comp zstd"] {
        let image = std::fs::read(made(&temp, 10, &format!("-noappend {options}"))).unwrap();
        let end = image.len();
        abuse(&image, &[0..96, end - 6000..end], 100, |image| {
            if let Ok(source) = open(image) {
                walk(&*source);
            }
        });
    }
}

/// A path of 256 names that all are in one long directory, which contains itself: walked from the
/// root for each name, with a search for each, it would take 32,000 searches.
#[test]
fn a_directory_that_contains_itself_is_searched_once() {
    let (from, temp) = (Temp::new(), Temp::new());
    from.file("zz/file", b"");
    std::fs::create_dir(from.path().join("zz/zz")).unwrap();
    for link in 0..8000 {
        let link = from.path().join(format!("zz/{link}"));
        std::fs::hard_link(from.path().join("zz/file"), link).unwrap();
    }
    let mut image = std::fs::read(packed(&from, &temp, "-noI")).unwrap();
    // The entries zz/zz and zz, in this order: the offset of the inode in its block, the difference
    // of inode numbers, the type, the length of the name less 1, and the name.
    let is_entry = |entry: &[u8]| entry[4..] == *b"\x01\0\x01\0zz";
    let entries = (0..image.len() - 10).filter(|at| is_entry(&image[*at..at + 10]));
    let [inner, outer] = entries.collect::<Vec<_>>()[..] else { panic!("two entries expected") };
    image.copy_within(outer..outer + 2, inner);
    let source = open(Arc::new(Bytes(image))).unwrap();
    let started = cpu_time();
    let deep = TreePath::new("zz/".repeat(256));
    assert!(matches!(source.open(&deep), Err(FileError::Kind { .. })));
    let error = source.open(&TreePath::new("zz/".repeat(257))).unwrap_err();
    assert!(format!("{error:?}").contains("more than 256 names"), "{error:?}");
    assert!((cpu_time() - started).as_secs() < 2);
}

/// Blocks of metadata that decompress to far more than they may, directories that are longer than
/// any, and blocks that claim more than the image has.
#[test]
fn what_a_hostile_image_claims_is_not_believed() {
    let temp = Temp::new();
    let image = std::fs::read(made(&temp, 3, "-comp gzip -noI")).unwrap();
    let number =
        |image: &[u8], at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
    let with = |at: usize, bytes: &[u8]| {
        let mut image = image.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    let why = |image: Vec<u8>| format!("{:?}", refused(image));
    let inodes = usize::try_from(number(&image, 64)).unwrap();
    assert!(why(with(inodes, &[0, 0x80])).contains("a metadata block has 0 bytes"));
    assert!(why(with(inodes, &[0xff, 0xff])).contains("a metadata block has 32767 bytes"));
    assert!(why(with(64, &[0xff; 8])).contains("damaged"));
    assert!(why(with(12, &[0, 0, 0x20, 0])).contains("blocks of 2097152 bytes"));
    assert!(why(with(40, &[0xff; 8])).contains("but the image ends after"));
    // A table of inodes whose first block becomes 4 MiB of zeros, not 8 KiB at most.
    let mut bomb = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    io::Write::write_all(&mut bomb, &vec![0; 4 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let mut longer = image.clone();
    let at = (longer.len() as u64).to_le_bytes();
    longer.extend(u16::try_from(bomb.len()).unwrap().to_le_bytes());
    longer.extend(&bomb);
    let end = (longer.len() as u64).to_le_bytes();
    longer[40..48].copy_from_slice(&end);
    longer[64..72].copy_from_slice(&at);
    let said = why(longer);
    assert!(said.contains("cannot be decompressed"), "{said}");
}
