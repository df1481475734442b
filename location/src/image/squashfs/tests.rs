use super::*;
use crate::image::making::{Bytes, abuse, assert_tree, local, run, text, tree, walk};
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
