use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, RenameFlags};

use super::*;
use crate::testing::Temp;

fn text(source: &dyn FileTree, path: &str) -> Result<String, FileError> {
    let file = source.open(&TreePath::new(path))?;
    assert!(file.name().starts_with(source.name()), "{}", file.name());
    Ok(String::from_utf8(read_whole(&*file, 1 << 20).unwrap().unwrap()).unwrap())
}

#[test]
fn paths_stay_below_the_root() {
    for (given, path) in [
        ("a/b", "a/b"),
        ("/a//b/", "a/b"),
        ("./a/./b", "a/b"),
        ("a/../b", "b"),
        ("../../b", "b"),
        ("/..", "/"),
        ("", "/"),
    ] {
        assert_eq!(TreePath::new(given).to_string(), path, "{given:?}");
    }
    let path = TreePath::new("a/b");
    assert_eq!((path.parent(), path.join("../c")), (TreePath::new("a"), TreePath::new("a/c")));
}

#[test]
fn absolute_links_and_dots_mean_the_location_s_own_root() {
    let outside = Temp::of(&["secret"]);
    let temp = Temp::of(&["boot/linux", "deep/er/x"]);
    let link = |to: &Path, at: &str| symlink(to, temp.path().join(at)).unwrap();
    link("boot/linux".as_ref(), "relative");
    link("/boot/linux".as_ref(), "absolute");
    link("../../../../boot/linux".as_ref(), "deep/er/up");
    link(&outside.path().join("secret"), "out");
    link(outside.path(), "outdir");
    link("loop".as_ref(), "loop");
    let source = temp.source();
    for path in ["boot/linux", "/boot/linux", "../boot/linux", "relative", "absolute", "deep/er/up"]
    {
        assert_eq!(text(&source, path).unwrap(), "boot/linux", "{path}");
    }
    for path in ["out", "outdir/secret", "/etc/passwd", "boot/linux/x", "absent"] {
        assert!(text(&source, path).unwrap_err().is_missing(), "{path}");
    }
    assert!(matches!(text(&source, "loop"), Err(FileError::Io { .. })));
}

#[test]
fn what_is_no_regular_file_is_named_and_never_waited_for() {
    let temp = Temp::of(&["d/x"]);
    let path = temp.path().join("fifo");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(temp.path().join("socket")).unwrap();
    let source = temp.source();
    let started = Instant::now();
    for (path, found) in [("fifo", "a pipe"), ("socket", "a socket"), ("d", "a directory")] {
        let error = text(&source, path).unwrap_err();
        assert!(
            error.to_string().ends_with(&format!("is {found}, expected a regular file")),
            "{error}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn for_another_process_only_files_and_directories_inside_are_opened() {
    let temp = Temp::of(&["d/file"]);
    let at = |name: &str| temp.path().join(name);
    let made = std::process::Command::new("mkfifo").arg(at("fifo")).status();
    assert!(made.unwrap().success());
    symlink("/etc/passwd", at("link")).unwrap();
    symlink("/dev/null", at("null")).unwrap();
    // Only root can make a device.
    let zero = rustix::fs::makedev(1, 5);
    let device = at("device");
    let has_device =
        rustix::fs::mknodat(CWD, &device, FileType::CharacterDevice, Mode::RUSR, zero).is_ok();
    let source = temp.source();
    let opened =
        |path, wanted| source.open_for(&TreePath::new(path), wanted).map(std::fs::File::from);
    let number = |path, wanted| opened(path, wanted).unwrap_err().raw_os_error();
    let file = opened("d/file", OpenFor::Bytes).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 6);
    assert!(opened("d", OpenFor::Entries).unwrap().metadata().unwrap().is_dir());
    assert!(opened("fifo", OpenFor::Kind).is_ok(), "what it is may be seen");
    assert_eq!(number("fifo", OpenFor::Bytes), Some(libc::EACCES));
    assert_eq!(number("d", OpenFor::Bytes), Some(libc::EACCES));
    assert_eq!(number("d/file", OpenFor::Entries), Some(libc::ENOTDIR));
    for path in ["link", "null", "../../etc/passwd", "d/../../etc/passwd"] {
        assert_eq!(number(path, OpenFor::Bytes), Some(libc::ENOENT), "{path}");
    }
    if has_device {
        assert!(opened("device", OpenFor::Kind).is_ok(), "what it is may be seen");
        assert_eq!(number("device", OpenFor::Bytes), Some(libc::EACCES));
    }
}

/// A pipe takes the place of the file, again and again, while the file is opened.
#[test]
fn for_another_process_a_file_that_is_exchanged_meanwhile_is_not_opened() {
    let temp = Temp::of(&["file"]);
    let made = std::process::Command::new("mkfifo").arg(temp.path().join("fifo")).status();
    assert!(made.unwrap().success());
    let (source, is_done) = (temp.source(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let [file, fifo] = ["file", "fifo"].map(|name| temp.path().join(name));
            while !is_done.load(Ordering::Relaxed) {
                let how = RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(CWD, &file, CWD, &fifo, how).unwrap();
            }
        });
        let others = (0..20_000)
            .filter_map(|_| source.open_for(&TreePath::new("file"), OpenFor::Bytes).ok())
            .filter(|file| {
                let about = rustix::fs::fstat(file).unwrap();
                !FileType::from_raw_mode(about.st_mode).is_file()
            })
            .count();
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(others, 0);
    });
}

/// `-location /` must not give a process that was taken over the memory of those that may do more.
#[test]
fn for_another_process_nothing_of_the_kernel_is_opened() {
    let root = Directory::open(Path::new("/")).unwrap();
    for (path, wanted) in [
        ("proc/self/environ", OpenFor::Bytes),
        ("proc/self/fd", OpenFor::Entries),
        ("sys/kernel/notes", OpenFor::Bytes),
        ("sys/kernel", OpenFor::Entries),
    ] {
        let error = root.open_for(&TreePath::new(path), wanted).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{path}");
    }
}

#[test]
fn a_listing_is_sorted_and_knows_directories() {
    let temp = Temp::of(&["b", ".treeinfo", "a/x"]);
    let source = temp.source();
    let names = |path: &str| -> Vec<(String, bool)> {
        let entries = source.list(&TreePath::new(path)).unwrap();
        entries.into_iter().map(|entry| (entry.name, entry.is_directory)).collect()
    };
    let pair = |name: &str, is_directory| (name.to_owned(), is_directory);
    assert_eq!(names("/"), [pair(".treeinfo", false), pair("a", true), pair("b", false)]);
    assert_eq!(names("a"), [pair("x", false)]);
    assert!(source.list(&TreePath::new("absent")).unwrap_err().is_missing());
}

#[test]
fn a_whole_file_is_read_up_to_a_limit() {
    let temp = Temp::of(&["12345"]);
    let source = temp.source();
    let file = source.open(&TreePath::new("12345")).unwrap();
    assert_eq!(read_whole(&*file, 5).unwrap().as_deref(), Some(&b"12345"[..]));
    assert_eq!(read_whole(&*file, 4).unwrap(), None);
    assert_eq!(head(&*file, 2).unwrap(), b"12");
    let mut bytes = Vec::new();
    let count = each_piece(&*file, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    assert_eq!((count.unwrap(), bytes), (5, b"12345".to_vec()));
}

#[test]
fn a_file_that_changes_during_the_check_is_refused() {
    let temp = Temp::of(&["kernel"]);
    let file = temp.source().open(&TreePath::new("kernel")).unwrap();
    assert!(!file.version().is_empty());
    std::fs::write(temp.path().join("kernel"), b"another").unwrap();
    let error = file.into_file().unwrap_err();
    assert!(error.to_string().contains("changed while"), "{error}");
    assert!(hint_of(&error).is_some_and(|hint| hint.contains("try again")));
}

#[test]
fn a_slice_is_a_part_and_never_more() {
    let temp = Temp::new();
    temp.file("f", b"0123456789");
    let file: std::sync::Arc<dyn RandomAccess> =
        temp.source().open(&TreePath::new("f")).unwrap().into();
    let part = |at, len| Slice::new(std::sync::Arc::clone(&file), at, len, "part");
    for (at, len, expected) in [(2, 3, "234"), (8, 9, "89"), (10, 1, ""), (99, u64::MAX, "")] {
        let part = part(at, len);
        assert_eq!(part.len(), expected.len() as u64);
        assert_eq!(read_whole(&part, 10).unwrap().unwrap(), expected.as_bytes());
        let mut text = String::new();
        part.stream(0).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
    }
    let mut text = String::new();
    part(2, 5).stream(3).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "56");
}
