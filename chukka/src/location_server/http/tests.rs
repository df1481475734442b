use std::fs;
use std::os::unix::fs::symlink;

use location::Place;
use tempfile::TempDir;

use super::*;

/// A client that has written all of its requests, and what it is answered.
struct Client<'a>(&'a [u8], Vec<u8>);

impl Read for Client<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.1.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A tree with a file, directories, and links that lead out of it.
fn tree() -> (TempDir, Content) {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("tree");
    fs::create_dir_all(root.join("dists/a b")).unwrap();
    fs::write(root.join("dists/file"), "0123456789").unwrap();
    fs::write(root.join("dists/a b/<1&2>"), "escaped").unwrap();
    fs::write(temp.path().join("secret"), "secret").unwrap();
    symlink("../secret", root.join("out")).unwrap();
    symlink("/secret", root.join("absolute")).unwrap();
    symlink("/dists/file", root.join("inside")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let fetcher = location::Fetcher::new(location::fetch::Settings::default());
    let tree = fetcher.place(&Place::Local(root)).unwrap();
    (temp, Content { tree, medium: None })
}

fn talk(content: &Content, requests: &[u8]) -> String {
    let mut client = Client(requests, Vec::new());
    converse(&mut client, content).unwrap();
    String::from_utf8(client.1).unwrap()
}

/// The status and the body of the answer to one request.
fn get(content: &Content, target: &str, fields: &str) -> (u16, String) {
    let answer = talk(content, format!("GET {target} HTTP/1.0\r\n{fields}\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = format!("Content-Length: {}", body.len());
    assert!(head.lines().any(|line| line == length), "{head}");
    (status, body.to_owned())
}

#[test]
fn files_and_listings_are_served() {
    let (_temp, content) = tree();
    assert_eq!(get(&content, "/tree/dists/file", ""), (200, "0123456789".into()));
    assert_eq!(get(&content, "http://10.0.2.4/tree/dists/file?x=1", "").0, 200);
    assert_eq!(get(&content, "/tree//dists/./a%20b/%3C1&2%3e", ""), (200, "escaped".into()));
    let (status, page) = get(&content, "/tree/dists/a%20b/", "");
    assert_eq!(status, 200);
    assert!(page.contains("<a href=\"./%3C1%262%3E\">&lt;1&amp;2></a>"), "{page}");
    let (_, page) = get(&content, "/", "");
    assert!(page.contains("<a href=\"./tree/\">tree/</a>"), "{page}");
    assert!(!page.contains("medium"), "a directory is no medium: {page}");
    let moved = talk(&content, b"GET /tree/dists/a%20b HTTP/1.0\n\n");
    assert!(moved.contains("301 Moved Permanently\r\n"), "{moved}");
    assert!(moved.contains("\r\nLocation: /tree/dists/a%20b/\r\n"), "{moved}");
}

#[test]
fn nothing_leads_out_of_the_tree() {
    let (_temp, content) = tree();
    for (target, status) in [
        ("/tree/out", 404),
        ("/tree/absolute", 404),
        ("/tree/loop", 404),
        ("/tree/../secret", 404),
        ("/tree/..%2fsecret", 404),
        ("/tree/dists/../../../secret", 404),
        ("/secret", 404),
        ("/medium.iso", 404),
        ("/tree/none", 404),
        ("/tree/dists/file/", 404),
        ("/tree/dists/file/x", 404),
        ("/tree/socket", 403),
        ("/tree/%00", 400),
        ("/tree/%f", 400),
        ("/tree/%+1", 400),
        ("tree", 400),
    ] {
        assert_eq!(get(&content, target, "").0, status, "{target}");
    }
    // Links inside mean what they mean to a guest that mounts it.
    assert_eq!(get(&content, "/tree/inside", ""), (200, "0123456789".into()));
}

#[test]
fn a_range_of_a_file_is_served() {
    let (_temp, content) = tree();
    for (range, status, body) in [
        ("bytes=0-3", 206, "0123"),
        ("bytes=4-", 206, "456789"),
        ("bytes=8-99", 206, "89"),
        ("bytes=9-18446744073709551615", 206, "9"),
        ("bytes=-3", 206, "789"),
        ("bytes=-99", 206, "0123456789"),
        ("bytes=10-", 416, ""),
        ("bytes=-0", 416, ""),
        ("bytes=3-1", 200, "0123456789"),
        ("bytes=0-1,3-4", 200, "0123456789"),
        ("lines=0-1", 200, "0123456789"),
    ] {
        let found = get(&content, "/tree/dists/file", &format!("Range: {range}\r\n"));
        assert_eq!(found, (status, body.into()), "{range}");
    }
    let answer = talk(&content, b"GET /tree/dists/file HTTP/1.1\r\nrange:bytes=2-4\r\n\r\n");
    assert!(answer.contains("\r\nContent-Range: bytes 2-4/10\r\n"), "{answer}");
    let conditional = "Range: bytes=2-4\r\nIf-Range: \"x\"\r\n";
    assert_eq!(get(&content, "/tree/dists/file", conditional).0, 200);
}

#[test]
fn a_connection_carries_requests_until_one_ends_it() {
    let (_temp, content) = tree();
    let file = "/tree/dists/file HTTP/1.1\r\nHost: x\r\n";
    let requests = format!(
        "\r\nHEAD {file}\r\nGET {file}\r\nGET {file}Connection: close\r\n\r\nGET {file}\r\n"
    );
    let answers = talk(&content, requests.as_bytes());
    assert_eq!(answers.matches("200 OK").count(), 3, "{answers}");
    assert_eq!(answers.matches("Content-Length: 10\r\n").count(), 3, "{answers}");
    assert_eq!(answers.matches("0123456789").count(), 2, "{answers}");
}

#[test]
fn what_is_no_request_is_refused() {
    let (_temp, content) = tree();
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(2 * HEAD));
    for (request, status) in [
        (&b"GET /\r\n\r\n"[..], "400 Bad Request"),
        (b"GET / HTTP/2\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "400 Bad Request"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"PUT /tree/x HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "405 Method Not Allowed"),
        (long.as_bytes(), "431 Request Header Fields Too Large"),
    ] {
        let answer = talk(&content, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
    }
    assert_eq!(talk(&content, b""), "");
    assert_eq!(talk(&content, b"GET / HT"), "");
}
