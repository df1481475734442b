use super::*;
use crate::image::making::{Bytes, abuse, assert_tree, blank, local, run, text, tree, walk};
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
fn what_is_no_file_is_named() {
    let (temp, from) = (Temp::new(), tree(3));
    let image = made(&temp, &from, "-t ext4");
    run("debugfs", &["-w", "-R", "mknod pipe p", text(&image)]);
    run("debugfs", &["-w", "-R", "mknod tty c 4 0", text(&image)]);
    let source = open(local(&image)).unwrap();
    let found = |path: &str| match source.open(&TreePath::new(path)).unwrap_err() {
        SourceError::Kind { found, .. } => found,
        other => panic!("{other:?}"),
    };
    assert_eq!([found("pipe"), found("tty")], ["a pipe", "a character device"]);
}

#[test]
fn features_that_are_not_known_are_named() {
    let (temp, from) = (Temp::new(), tree(3));
    let image = made(&temp, &from, "-t ext4 -O inline_data");
    let error = open(local(&image)).unwrap_err();
    assert!(error.hint().unwrap().contains("debugfs"), "{error:?}");
    assert!(format!("{error:?}").to_lowercase().contains("unsupported"), "{error:?}");
}

#[test]
fn a_damaged_image_is_an_error_and_no_more() {
    let (temp, from) = (Temp::new(), tree(20));
    for options in
        ["-t ext4 -O ^has_journal", "-t ext2 -O ^metadata_csum", "-t ext3 -J size=1 -b 1024"]
    {
        let image = std::fs::read(made_of(&temp, &from, options, 4 << 20)).unwrap();
        assert!(walk(&*open(Rc::new(Bytes(image.clone()))).unwrap()) > 20);
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
