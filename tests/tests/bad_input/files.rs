//! Kernels and initrds that cannot be read.

use std::path::Path;

use chukka_tests::native::image::BzImage;
use chukka_tests::native::{Confinement, Scratch, Start};

/// Starts with `path` as the kernel, and as the initrd of a good kernel.
fn as_kernel_and_initrd(scratch: &Scratch, path: &Path) -> [(Start, &'static str); 2] {
    let kernel = scratch.file("good-kernel", &BzImage::default().file());
    let initrd = Start::kernel(&kernel).args(["-initrd".as_ref(), path]);
    [(Start::kernel(path), "kernel"), (initrd, "initrd")]
}

#[test]
fn a_missing_file_is_named() {
    let scratch = Scratch::new();
    let path = scratch.path("no-such-file");
    for (start, role) in as_kernel_and_initrd(&scratch, &path) {
        start
            .refused()
            .says(&format!("Cannot open the {role} '{}': No such file", path.display()))
            .hints(&format!("check the path given to -{role}"));
    }
}

#[test]
fn a_path_through_a_file_is_named() {
    let scratch = Scratch::new();
    let path = scratch.file("file", b"text").join("kernel");
    for (start, role) in as_kernel_and_initrd(&scratch, &path) {
        start.refused().says(&format!("Cannot open the {role} '{}'", path.display()));
    }
}

#[test]
fn an_unreadable_file_is_named() {
    let scratch = Scratch::new();
    let path = scratch.file_with_mode("secret", &BzImage::default().file(), 0o000);
    let nobody = Confinement { nobody: true, ..Confinement::default() };
    for (start, role) in as_kernel_and_initrd(&scratch, &path) {
        start
            .confined(nobody.clone())
            .refused()
            .says(&format!("Cannot open the {role} '{}': Permission denied", path.display()))
            .hints("make sure that you may read it");
    }
}

#[test]
fn a_directory_is_told_from_a_file() {
    let scratch = Scratch::new();
    for (start, role) in as_kernel_and_initrd(&scratch, scratch.as_ref()) {
        let folder = scratch.as_ref().display();
        start
            .refused()
            .says(&format!("The {role} '{folder}' is a directory, expected a regular file"))
            .hints(&format!("-{role} takes one file"));
    }
}

#[test]
fn an_empty_file_is_told() {
    let scratch = Scratch::new();
    let path = scratch.file("empty", b"");
    for (start, role) in as_kernel_and_initrd(&scratch, &path) {
        start.refused().says(&format!("The {role} '{}' is empty (0 bytes)", path.display()));
    }
}

#[test]
fn a_pipe_that_nobody_writes_is_refused_without_waiting() {
    let scratch = Scratch::new();
    let path = scratch.fifo("pipe");
    for (start, role) in as_kernel_and_initrd(&scratch, &path) {
        start
            .refused()
            .says(&format!("The {role} '{}' is a pipe, expected a regular file", path.display()))
            .hints("write it to a file first");
    }
}

#[test]
fn a_device_is_told_from_a_file() {
    let scratch = Scratch::new();
    for (start, role) in as_kernel_and_initrd(&scratch, "/dev/zero".as_ref()) {
        start.refused().says(&format!("The {role} '/dev/zero' is a character device, expected"));
    }
}
