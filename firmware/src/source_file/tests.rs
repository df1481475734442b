//! Checks which files are rejected.

use super::*;
use crate::testing::TempFile;

#[test]
fn open_rejects_files_that_are_not_regular() {
    for (path, expected) in [("/", "is a directory"), ("/dev/null", "is a character device")] {
        let error = SourceFile::open(Path::new(path), "kernel").unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn open_names_role_and_path_when_the_file_is_missing() {
    let error = SourceFile::open(Path::new("/nonexistent/vmlinuz"), "kernel").unwrap_err();
    assert_eq!(error.to_string(), "Cannot open the kernel '/nonexistent/vmlinuz'");
    assert!(error.hint().contains("-kernel"));
}

#[test]
fn open_refuses_an_empty_file() {
    let file = TempFile::new(b"");
    let error = SourceFile::open(&file.0, "initrd").unwrap_err();
    assert!(error.to_string().contains("is empty (0 bytes)"), "{error}");
}

#[test]
fn head_is_short_when_the_file_is() {
    let file = TempFile::new(b"abc");
    let source = SourceFile::open(&file.0, "kernel").unwrap();
    assert_eq!(source.head::<8>().unwrap(), b"abc");
    assert_eq!(source.head::<2>().unwrap(), b"ab");
    assert_eq!(source.len(), 3);
}

#[test]
fn an_open_file_can_have_any_name_and_is_checked_too() {
    let file = TempFile::new(b"abc");
    let open = |path: &Path| File::open(path).unwrap();
    let source = SourceFile::opened(open(&file.0), "a tree + /ks.cfg", "initrd").unwrap();
    assert_eq!((source.path(), source.len()), (Path::new("a tree + /ks.cfg"), 3));
    let error = SourceFile::opened(open(Path::new("/")), "there", "initrd").unwrap_err();
    assert!(error.to_string().contains("The initrd 'there' is a directory"), "{error}");
    let empty = TempFile::new(b"");
    let error = SourceFile::opened(open(&empty.0), "there", "kernel").unwrap_err();
    assert!(error.to_string().contains("The kernel 'there' is empty"), "{error}");
}
