use super::*;
use crate::making::{Bytes, abuse, assert_tree, local, run, text, tree, walk};
use crate::testing::Temp;

fn made(temp: &Temp, names: usize, options: &str) -> std::path::PathBuf {
    let from = tree(names);
    let image = temp.path().join("image");
    let mut arguments = vec![text(from.path()), text(&image), "-quiet", "-no-progress"];
    arguments.extend(options.split_whitespace());
    run("mksquashfs", &arguments);
    image
}

#[test]
fn each_compression_is_read() {
    for options in [
        "-comp gzip",
        "-comp xz -b 1M",
        "-comp zstd",
        "-comp lz4",
        "-noI -noD -noF",
        "-no-fragments",
    ] {
        let temp = Temp::new();
        assert_tree(&*open(local(&made(&temp, 400, options))).unwrap(), 400);
    }
}

#[test]
fn an_unsupported_compression_is_named() {
    let temp = Temp::new();
    let image = std::fs::read(made(&temp, 3, "-comp lzo")).unwrap();
    let refused = |image: Vec<u8>| open(Arc::new(Bytes(image))).unwrap_err();
    let error = refused(image.clone());
    assert!(format!("{error:?}").contains("compressed with lzo is not supported"), "{error:?}");
    assert!(error.hint().unwrap().contains("mksquashfs"), "{error:?}");
    let with = |compression: u8| [&image[..20], &[compression, 0], &image[22..]].concat();
    assert!(format!("{:?}", refused(with(2))).contains("compressed with lzma is not supported"));
    assert!(format!("{:?}", refused(with(9))).contains("the unknown compression 9"));
}

#[test]
fn a_damaged_image_is_an_error_and_no_more() {
    let temp = Temp::new();
    let image = std::fs::read(made(&temp, 10, "-comp gzip -noI")).unwrap();
    let end = image.len();
    abuse(&image, &[0..96, end - 6000..end], 100, |image| {
        if let Ok(source) = open(image) {
            walk(&*source);
        }
    });
    drop(Bytes(image));
}

/// A table of blocks that each decompress to 8 KiB: many of them would fill memory.
#[test]
fn tables_that_are_too_long_are_refused_before_they_are_read() {
    let temp = Temp::new();
    let mut image = std::fs::read(made(&temp, 3, "-comp gzip -noI")).unwrap();
    let number =
        |image: &[u8], at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
    let refused = |image: Vec<u8>| format!("{:?}", open(Arc::new(Bytes(image))).unwrap_err());
    // More files, more fragments.
    for at in [4, 16] {
        let mut image = image.clone();
        image[at..at + 4].fill(0x7f);
        assert!(refused(image).contains("claims"));
    }
    // The table of files does not lead to that of directories.
    let mut aside = image.clone();
    let at = usize::try_from(number(&image, 64)).unwrap();
    aside[at] ^= 1;
    assert!(refused(aside).contains("table of files"));
    // One of files that is a block of one byte after the other, up to that of directories.
    let start = image.len() as u64;
    image.extend([1, 0, 0].repeat(9000));
    let end = image.len() as u64;
    image[64..72].copy_from_slice(&start.to_le_bytes());
    image[72..80].copy_from_slice(&end.to_le_bytes());
    assert!(refused(image).contains("table of files"));
}
