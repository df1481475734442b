//! Checks which files are rejected.

use super::*;
use crate::testing::TempFile;

#[test]
fn open_rejects_files_that_are_not_regular() {
    for (path, expected, hint) in [
        ("/", "is a directory", "-kernel takes one file; name the file inside the directory"),
        ("/dev/null", "is a character device", "write it to a file first"),
    ] {
        let error = SourceFile::open(Path::new(path), "kernel").unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().contains(hint), "{}", error.hint());
    }
}

#[test]
fn open_names_role_and_path_when_the_file_is_missing() {
    let error = SourceFile::open(Path::new("/nonexistent/vmlinuz"), "kernel").unwrap_err();
    assert_eq!(error.to_string(), "Cannot open the kernel '/nonexistent/vmlinuz'");
    let hint = "check the path given to -kernel; a relative one starts at the current directory";
    assert_eq!(error.hint(), hint);
}

#[test]
fn open_refuses_an_empty_file() {
    let file = TempFile::new(b"");
    let error = SourceFile::open(&file.0, "initrd").unwrap_err();
    assert!(error.to_string().contains("is empty (0 bytes)"), "{error}");
    assert_eq!(error.hint(), "leave out -initrd, or build the archive again");
}

#[test]
fn head_is_short_when_the_file_is() {
    let file = TempFile::new(b"abc");
    let source = SourceFile::open(&file.0, "kernel").unwrap();
    assert_eq!(source.head::<8>().unwrap(), b"abc");
    assert_eq!(source.head::<2>().unwrap(), b"ab");
    assert_eq!((source.len(), source.is_empty()), (3, false));
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

#[test]
fn a_file_that_may_not_be_read_has_a_hint_of_its_own() {
    let of = |kind| {
        let source = io::Error::from(kind);
        SourceError::Open { role: "kernel", path: "/boot/vmlinuz".into(), source }.hint()
    };
    let hint = of(io::ErrorKind::PermissionDenied);
    assert!(hint.contains("many distributions let only root read /boot/vmlinuz-*"), "{hint}");
    assert_eq!(of(io::ErrorKind::TimedOut), "check the file given to -kernel");
}

#[test]
fn pipes_and_sockets_are_named_and_never_waited_for() {
    let place = TempFile::new(b"");
    let pipe = TempFile(place.0.with_extension("pipe"));
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe.0, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let error = SourceFile::open(&pipe.0, "kernel").unwrap_err();
    assert!(error.to_string().contains("is a pipe, expected a regular file"), "{error}");
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let file = File::from(std::os::fd::OwnedFd::from(socket));
    let error = SourceFile::opened(file, "there", "kernel").unwrap_err();
    assert_eq!(error.to_string(), "The kernel 'there' is a special file, expected a regular file");
}

#[test]
fn a_read_error_ends_the_reading() {
    let file = TempFile::new(b"abc");
    let unreadable = OpenOptions::new().write(true).open(&file.0).unwrap();
    let source = SourceFile::opened(unreadable, "kernel", "kernel").unwrap();
    assert!(source.head::<8>().is_err());
}
