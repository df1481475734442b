//! Locations on real servers of other kinds than HTTP, and what tests of HTTP ask of theirs.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "it is a test, and not only in functions marked so"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::symlink;

use chukka_tests::native::Scratch;
use chukka_tests::servers::{self, Server};
use chukka_tests::skip;
use location::fetch::{Keep, Settings};
use location::{Fetcher, FileTree, Place, TreePath};

/// Not a multiple of any block.
const BIG: usize = 3_000_001;

fn big() -> Vec<u8> {
    (0..BIG).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

/// A tree with a large file, an empty one, one of exactly a block of TFTP's, and a name to be
/// careful with.
fn tree() -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("images/deep")).unwrap();
    let _ = scratch.file("images/big", &big());
    let _ = scratch.file("images/deep/empty", b"");
    let _ = scratch.file("block", &[7; 1468]);
    let _ = scratch.file("images/a b%20c", b"odd");
    let _ = scratch.file(".treeinfo", b"[general]\n");
    scratch
}

fn place(url: &str) -> Box<dyn FileTree> {
    let place = Place::parse(url.as_ref()).unwrap();
    Fetcher::new(Settings { cache: Keep::No, ..Settings::default() })
        .place(&place)
        .unwrap_or_else(|error| panic!("{error:?}"))
}

fn whole(source: &dyn FileTree, path: &str) -> Vec<u8> {
    let file =
        source.open(&TreePath::new(path)).unwrap_or_else(|error| panic!("{path}: {error:?}"));
    let mut bytes = Vec::new();
    file.stream(0).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(file.len(), bytes.len() as u64);
    bytes
}

/// What every kind of server has of the tree.
fn reads_everything(server: &Server) {
    let source = place(&format!("{}/", server.url));
    assert_eq!(source.name(), server.url);
    assert!(whole(&*source, "images/big") == big());
    assert_eq!(whole(&*source, "images/deep/empty"), b"");
    assert_eq!(whole(&*source, "block"), [7; 1468]);
    assert_eq!(whole(&*source, "images/a b%20c"), b"odd");
    assert_eq!(whole(&*source, "../.treeinfo"), b"[general]\n");
    for path in ["absent", "images/absent", "absent/x", "block/x"] {
        let error = source.open(&TreePath::new(path)).unwrap_err();
        assert!(error.is_missing(), "{path}: {error:?}");
    }
    // In pieces, forwards and backwards, two files by turns.
    let (one, two) = (TreePath::new("images/big"), TreePath::new("block"));
    let (one, two) = (source.open(&one).unwrap(), source.open(&two).unwrap());
    let big = big();
    for at in [0, 100, 70_000, 2_999_990, 5, 1_500_000] {
        let mut piece = [0; 11];
        let count = one.read_at(&mut piece, at as u64).unwrap();
        assert!(count > 0 && piece[..count] == big[at..at + count], "{at}");
        assert!(two.read_at(&mut piece, 1400).unwrap() > 0 && piece[0] == 7);
    }
    assert_eq!(one.read_at(&mut [0; 9], BIG as u64).unwrap(), 0);
    let mut rest = Vec::new();
    one.stream(2_000_000).unwrap().read_to_end(&mut rest).unwrap();
    assert!(rest == big[2_000_000..]);
}

/// What is in the directories, for a server that tells.
fn lists(server: &Server) {
    let source = place(&server.url);
    let names = |path: &str| -> Vec<String> {
        let entries = source.list(&TreePath::new(path)).unwrap_or_else(|error| panic!("{error:?}"));
        let slash = |is_directory| if is_directory { "/" } else { "" };
        entries.iter().map(|entry| entry.name.clone() + slash(entry.is_directory)).collect()
    };
    assert_eq!(names("/"), [".treeinfo", "block", "images/"]);
    assert_eq!(names("images"), ["a b%20c", "big", "deep/"]);
    assert!(source.list(&TreePath::new("absent")).unwrap_err().is_missing());
    let error = source.list(&TreePath::new("block")).unwrap_err();
    assert!(error.to_string().ends_with("is a file, expected a directory"), "{error}");
    let error = source.open(&TreePath::new("images")).unwrap_err();
    assert!(error.to_string().ends_with("is a directory, expected a regular file"), "{error}");
    // A part of the tree, and one that is not there.
    let part = place(&format!("{}/images", server.url));
    assert!(whole(&*part, "big") == big());
    assert!(place(&format!("{}/absent", server.url)).open(&TreePath::new("x")).is_err());
}

#[test]
fn ftp() {
    let tree = tree();
    let server = servers::ftp::start(&tree.path(""));
    reads_everything(&server);
    lists(&server);
    let source = place(&format!("ftp://user:pass%3Aw%40rd@127.0.0.1:{}", server.port));
    assert_eq!(source.name(), format!("ftp://user@127.0.0.1:{}", server.port));
    assert_eq!(whole(&*source, "block"), [7; 1468]);
    let wrong = Place::parse(format!("ftp://user:secret@127.0.0.1:{}", server.port).as_ref());
    let error = Fetcher::new(Settings { cache: Keep::No, ..Settings::default() })
        .place(&wrong.unwrap())
        .map(|_| ());
    let told = format!("{error:?}");
    assert!(told.contains("refused the login") && !told.contains("secret"), "{told}");
}

#[test]
fn tftp() {
    let tree = tree();
    for options in [&[][..], &["--no-tsize"], &["--no-windowsize"], &["--no-blksize"]] {
        let server = servers::tftp::start_with(&tree.path(""), options);
        reads_everything(&server);
        let source = place(&server.url);
        assert!(
            source
                .list(&TreePath::root())
                .unwrap_err()
                .to_string()
                .contains("no directory listing")
        );
    }
}

#[test]
fn nfs() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return skip("nfs-ganesha, the NFS server, only runs for root");
    }
    let tree = tree();
    symlink("/images/big", tree.path("absolute")).unwrap();
    symlink("../../../block", tree.path("images/deep/up")).unwrap();
    symlink("loop", tree.path("loop")).unwrap();
    let server = servers::nfs::start(&tree.path(""));
    reads_everything(&server);
    let source = place(&server.url);
    assert!(whole(&*source, "absolute") == big());
    assert_eq!(whole(&*source, "images/deep/up"), [7; 1468]);
    let error = source.open(&TreePath::new("loop")).unwrap_err();
    assert!(format!("{error:?}").contains("more than 40 symbolic links"), "{error:?}");
    for link in ["absolute", "images/deep/up", "loop"] {
        fs::remove_file(tree.path(link)).unwrap();
    }
    lists(&server);
}

#[test]
fn http_servers_of_tests_know_ranges() {
    let tree = tree();
    let server = servers::http::start(&tree.path(""));
    let (tls, authority) = servers::http::start_tls(&tree.path(""));
    assert!(fs::read_to_string(authority).unwrap().contains("BEGIN CERTIFICATE"));
    assert!(tls.url.starts_with("https://localhost:"));
    for (range, status, len) in [
        ("", "200 OK", BIG),
        ("Range: bytes=5-8\r\n", "206 Partial", 4),
        ("Range: bytes=3000000-\r\n", "206 Partial", 1),
        ("Range: bytes=3000001-\r\n", "416 ", 0),
        ("Range: bytes=5-8\r\nIf-Range: \"x\"\r\n", "200 OK", BIG),
    ] {
        let mut line = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        let asked = format!("GET /images/big HTTP/1.1\r\n{range}Connection: close\r\n\r\n");
        line.write_all(asked.as_bytes()).unwrap();
        let mut answer = Vec::new();
        line.read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let told = String::from_utf8_lossy(&answer[..head]);
        assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{range}: {told}");
        assert_eq!(answer.len() - head, len, "{range}: {told}");
    }
}
