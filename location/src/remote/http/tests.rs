//! Against servers that are right, wrong, slow or gone.

use std::io::{self, Read};
use std::sync::LazyLock;
use std::time::Duration;

use super::*;
use crate::testing::http::{Reply, Request, Server};
use storage::{Slice, head, hint_of, read_whole};

/// Patient, and with two more tries after 0.1 and 0.2 seconds.
fn net() -> Net {
    Net { idle: Duration::from_secs(6), retries: 2, unannounced: 1 << 20 }
}

fn root(url: &str) -> Result<Box<dyn RandomAccess>, FileError> {
    tree(url, &net()).unwrap().open(&TreePath::root())
}

/// Bytes that are not the same anywhere else.
fn bytes(len: usize) -> Vec<u8> {
    static ALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let words = (0..400_000_u64).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        words.flat_map(u64::to_le_bytes).collect()
    });
    ALL[..len].to_vec()
}

fn whole(file: Box<dyn RandomAccess>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.into_file()?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What went wrong with a file, in opening it or in reading it.
fn failure(url: &str) -> (String, &'static str) {
    failure_with(url, &net())
}

fn failure_with(url: &str, net: &Net) -> (String, &'static str) {
    let error = match tree(url, net).unwrap().open(&TreePath::root()) {
        Ok(file) => whole(file).unwrap_err(),
        Err(FileError::Io { source, .. }) => source,
        Err(other) => panic!("{other}"),
    };
    let hint = hint_of(&error).expect("a hint");
    (error.to_string(), hint)
}

/// A right server of one file, whatever it is called.
fn right(len: usize) -> Server {
    let content = bytes(len);
    Server::new(move |request, _| Reply::file(request, &content, "\"1\""))
}

const LARGE: usize = 1_000_000;

#[test]
fn a_small_file_is_one_request_and_a_large_one_two_over_one_connection() {
    let server = right(100_000);
    let file = root(&server.url("/small")).unwrap();
    assert_eq!((file.len(), file.version().as_str()), (100_000, "\"1\""));
    assert_eq!(whole(file).unwrap(), bytes(100_000));
    assert_eq!(server.asked(), ["/small 0-131071"]);

    let server = right(LARGE);
    let file = root(&server.url("/large/")).unwrap();
    assert!(!file.is_sequential());
    assert_eq!(file.name(), server.url("/large"));
    assert_eq!(whole(file).unwrap(), bytes(LARGE));
    assert_eq!(server.asked(), ["/large/ 0-131071", "/large/ 131072-"]);
    assert_eq!(server.requests()[1].header("if-range"), "\"1\"");
    assert_eq!(server.connections(), 1);
}

#[test]
fn an_empty_file_is_empty_however_it_is_told() {
    let server = Server::new(|request, _| match request.target() {
        "/416" => match request.header("range") {
            "" => Reply::new(200, ""),
            _ => Reply::file(request, b"", ""),
        },
        _ => Reply::new(200, ""),
    });
    for name in ["/416", "/200"] {
        let file = root(&server.url(name)).unwrap();
        assert!(file.is_empty());
        assert!(whole(file).unwrap().is_empty());
    }
}

#[test]
fn pieces_are_read_by_pages_and_ahead_when_they_are_in_a_row() {
    let content = bytes(3_000_000);
    let server = right(content.len());
    let file = root(&server.url("/disk")).unwrap();
    let mut piece = [0; 2048];
    for at in [2_000_000, 2_000_500, 16, 130_900, 2_999_000] {
        let count = file.read_at(&mut piece, at as u64).unwrap();
        assert_eq!(piece[..count], content[at..at + count], "{at}");
        assert!(count > 0);
    }
    assert_eq!(file.read_at(&mut piece, 3_000_000).unwrap(), 0);
    assert_eq!(file.read_at(&mut piece, u64::MAX).unwrap(), 0);
    let asked = server.asked();
    assert_eq!(asked[1..], ["/disk 1966080-2031615", "/disk 2949120-2999999"]);

    assert_eq!(head(&*file, 3_000_000).unwrap(), content);
    assert!(server.asked().len() < 10, "{:?}", server.asked());
    assert_eq!(server.connections(), 1);
}

/// Reads in a row until more than one page is asked for at once; the server then sends one and a
/// half.
#[test]
fn a_page_that_came_is_not_lost_with_those_ahead_of_it() {
    let content = bytes(LARGE);
    let server = Server::new({
        let content = content.clone();
        move |request, _| {
            let reply = Reply::file(request, &content, "\"1\"");
            match request.range(content.len()) {
                Some((from, to)) if from > 0 && to - from > 65_536 => reply.stalled(100_000),
                _ => reply,
            }
        }
    });
    let net = Net { idle: Duration::from_millis(600), ..net() };
    let file = tree(&server.url("/disk"), &net).unwrap().open(&TreePath::root()).unwrap();
    assert_eq!(head(&*file, LARGE).unwrap(), content);
    let asked = server.asked();
    assert!(asked.iter().any(|line| !line.ends_with("-999999")), "{asked:?}");
    assert!((3..20).contains(&asked.len()), "{asked:?}");
}

/// A page in more than twice the idle timeout is not waited for.
#[test]
fn a_page_that_comes_too_slowly_is_given_up() {
    let content = bytes(LARGE);
    let server = Server::new(move |request, _| match request.range(LARGE) {
        Some((from, to)) if from > 0 => {
            let range = format!("Content-Range: bytes {from}-{to}/{LARGE}\r\n");
            let length = format!("Content-Length: {}\r\n", to - from + 1);
            let head = format!("HTTP/1.1 206 Said\r\nETag: \"1\"\r\n{range}{length}\r\n");
            Reply::trickling(&(head + &"x".repeat(600)), "y")
        }
        _ => Reply::file(request, &content, "\"1\""),
    });
    let net = Net { idle: Duration::from_millis(600), retries: 0, ..net() };
    let file = tree(&server.url("/disk"), &net).unwrap().open(&TreePath::root()).unwrap();
    let error = file.read_at(&mut [0; 10], 900_000).unwrap_err();
    assert!(error.to_string().starts_with("the server sent only "), "{error}");
}

#[test]
fn a_part_is_one_request_for_no_byte_more_over_the_same_connection() {
    let content = bytes(LARGE);
    for ranges in [true, false] {
        let sent = content.clone();
        let server = Server::new(move |request, _| {
            if ranges {
                Reply::file(request, &sent, "\"1\"")
            } else {
                Reply::new(200, sent.clone()).with("ETag: \"1\"")
            }
        });
        let file: Arc<dyn RandomAccess> = Arc::from(root(&server.url("/disk")).unwrap());
        let part = Slice::new(Arc::clone(&file), 200_000, 300_000, "part");
        let read = |mut stream: Box<dyn Read + '_>| {
            let mut found = Vec::new();
            stream.read_to_end(&mut found).unwrap();
            found
        };
        assert_eq!(read(part.stream(1000).unwrap()), content[201_000..500_000]);
        let range = 600_000..700_001;
        assert_eq!(read(file.stream_range(range).unwrap()), content[600_000..700_001]);
        if ranges {
            let asked = ["/disk 0-131071", "/disk 201000-499999", "/disk 600000-700000"];
            assert_eq!(server.asked(), asked);
            assert_eq!(server.connections(), 1);
        }
        assert!(read(file.stream_range(5..5).unwrap()).is_empty());
        assert!(read(file.stream_range(5..5).unwrap()).is_empty());
        assert!(read(part.stream(300_000).unwrap()).is_empty());
    }
}

#[test]
fn names_are_encoded_and_a_query_stays_with_the_root() {
    let server = right(10);
    let url = server.url("/a%20tree/?key=secret#part");
    let tree = tree(&url, &net()).unwrap();
    assert_eq!(tree.name(), server.url("/a%20tree"));
    tree.open(&TreePath::root()).unwrap();
    let name = "x y/\u{e9}#?%+&~.iso";
    let file = tree.open(&TreePath::new(name)).unwrap();
    assert_eq!(file.name(), format!("{}/{name}", server.url("/a%20tree")));
    let asked =
        ["/a%20tree/?key=secret 0-131071", "/a%20tree/x%20y/%C3%A9%23%3F%25%2B&~.iso 0-131071"];
    assert_eq!(server.asked(), asked);
}

#[test]
fn missing_files_are_reported_over_one_connection() {
    let server = Server::new(|request, _| match request.target() {
        "/t/gone" => Reply::new(410, "gone"),
        _ => Reply::new(404, "<html>no such page".repeat(100)),
    });
    let tree = tree(&server.url("/t"), &net()).unwrap();
    for name in ["", "a", "gone", "b/c", "d"] {
        assert!(tree.open(&TreePath::new(name)).unwrap_err().is_missing(), "{name}");
    }
    assert!(tree.list(&TreePath::root()).unwrap_err().is_missing());
    assert_eq!((server.asked().len(), server.connections()), (6, 1));
}

#[test]
fn a_server_without_ranges_sends_the_whole_once() {
    let content = bytes(LARGE);
    let sent = content.clone();
    let server = Server::new(move |_, _| Reply::new(200, sent.clone()).with("ETag: \"1\""));
    let file = root(&server.url("/x")).unwrap();
    assert!(file.is_sequential());
    assert_eq!(whole(file).unwrap(), content);
    assert_eq!(server.asked().len(), 1);

    let file = root(&server.url("/y")).unwrap();
    let mut piece = [0; 100];
    for (at, requests) in [(10, 2), (500_000, 2), (600_000, 2), (200_000, 3), (10, 3)] {
        let count = file.read_at(&mut piece, at as u64).unwrap();
        assert_eq!(piece[..count], content[at..at + count]);
        assert_eq!(server.asked().len(), requests, "at {at}");
    }
    let mut rest = Vec::new();
    file.stream(999_000).unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, content[999_000..]);
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn a_connection_that_breaks_is_resumed_where_it_was() {
    let content = bytes(LARGE);
    let sent = content.clone();
    let server = Server::new(move |request, before| {
        let reply = Reply::file(request, &sent, "\"1\"");
        if before < 6 { reply.cut(if before < 2 { 0 } else { 140_000 }) } else { reply }
    });
    assert_eq!(whole(root(&server.url("/x")).unwrap()).unwrap(), content);
    let from = ["0-131071", "0-131071", "0-131071", "131072-", "271072-", "411072-", "551072-"];
    assert_eq!(server.asked(), from.map(|range| format!("/x {range}")));

    let server = Server::new(move |request, before| {
        let reply = Reply::file(request, &content, "\"1\"");
        if before < 2 { reply.cut(200_000) } else { reply.cut(0) }
    });
    let (problem, hint) = failure(&server.url("/x"));
    assert!(problem.contains("connection to 127.0.0.1") && problem.contains("broke"), "{problem}");
    assert!(hint.contains("try again"));
    assert_eq!(server.asked().len(), 4, "one, one that broke, and two more tries");
}

#[test]
fn a_broken_transfer_without_ranges_begins_anew_and_goes_on() {
    let content = bytes(LARGE);
    let sent = content.clone();
    let server = Server::new(move |_, before| {
        let reply = Reply::new(200, sent.clone()).with("ETag: \"1\"");
        if before == 0 { reply.cut(600_000) } else { reply }
    });
    assert_eq!(whole(root(&server.url("/x")).unwrap()).unwrap(), content);
    assert_eq!(server.asked(), ["/x 0-131071", "/x 600000-"]);
}

/// Without ETag and Last-Modified nothing tells whether two answers are of one version.
#[test]
fn answers_without_a_version_are_never_put_together() {
    let server = Server::new(|request, before| Reply::file(request, &bytes(LARGE + before), ""));
    let file = root(&server.url("/x")).unwrap();
    assert!(file.is_sequential() && file.version().is_empty());
    assert!(whole(file).unwrap() == bytes(LARGE + 1), "all of it is of the second answer");
    assert_eq!(server.asked(), ["/x 0-131071", "/x"]);
    let server = Server::new(|_, before| {
        let reply = Reply::new(200, bytes(LARGE));
        if before == 0 { reply.cut(600_000) } else { reply }
    });
    let (problem, _) = failure(&server.url("/x"));
    assert!(problem.contains("no ETag or Last-Modified"), "{problem}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_file_that_changes_is_not_patched_together() {
    // As servers answer If-Range: the whole of the new one.
    let server = Server::new(|request, before| {
        let etag = if before == 0 { "\"1\"" } else { "\"2\"" };
        Reply::file(request, &bytes(LARGE), etag)
    });
    let (problem, _) = failure(&server.url("/x"));
    assert!(problem.contains("changed") && problem.contains("another version"), "{problem}");
    // Those that do not know If-Range.
    let server = Server::new(|request, before| {
        let reply = Reply::file(request, &bytes(LARGE), "");
        reply.with(&format!("Last-Modified: Sat, 0{} Nov 2026 00:00:00 GMT", before + 1))
    });
    assert!(failure(&server.url("/x")).0.contains("another version"));
    let server = Server::new(|request, before| match before {
        0 => Reply::file(request, &bytes(LARGE), "\"1\""),
        _ => Reply::new(404, ""),
    });
    assert!(failure(&server.url("/x")).0.contains("not there any more"));
}

/// The first answer to a file of 1,000,000 bytes is right, those after it are `wrong`.
fn wrong_later(
    wrong: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (String, &'static str) {
    let server = Server::new(move |request, before| match before {
        0 => Reply::file(request, &bytes(LARGE), "\"1\""),
        _ => wrong(request),
    });
    failure(&server.url("/x"))
}

#[test]
fn lies_about_lengths_and_places_are_found_out() {
    let part = |range: &str, len: usize| {
        Reply::new(206, bytes(len)).with(&format!("Content-Range: bytes {range}"))
    };
    let cases: [(Reply, &str); 7] = [
        (part("0-99999/1000000", 100), "100 bytes, and said they were 0-99999"),
        (part("5-104/1000000", 100), "bytes 5-104, and not those asked for"),
        (part("0-199999/1000000", 200_000), "bytes 0-199999, and not those asked for"),
        (part("0-99/50", 100), "said of which bytes: 'bytes 0-99/50'"),
        (part("nonsense", 100), "said of which bytes: 'bytes nonsense'"),
        (Reply::new(206, bytes(100)), "said of which bytes: ''"),
        (Reply::chunked(206, &bytes(101)).with("Content-Range: bytes 0-99/100"), "more bytes"),
    ];
    for (reply, words) in cases {
        let server = Server::new(move |_, _| reply.clone());
        let (problem, hint) = failure(&server.url("/x"));
        assert!(problem.contains(words), "{problem}, expected {words}");
        assert!(!hint.is_empty());
        assert_eq!(server.asked().len(), 1);
    }
    let (problem, _) = wrong_later(move |_| part("0-999999/1000000", LARGE));
    assert!(problem.contains("bytes 0-999999, and not 131072-"), "{problem}");
    // Shorter than it said: tried again, and told.
    let server = Server::new(|_, _| Reply::new(200, bytes(1000)).saying("2000").cut(1000));
    assert!(failure(&server.url("/x")).0.contains("broke"));
    assert_eq!(server.asked().len(), 3);
    let server = Server::new(|_, _| {
        Reply::new(200, bytes(LARGE)).with("ETag: \"1\"").saying("18446744073709551615").cut(LARGE)
    });
    assert!(failure(&server.url("/x")).0.contains("broke"));
    let server = Server::new(|_, _| Reply::new(200, bytes(100)).saying("-1"));
    assert!(failure(&server.url("/x")).0.contains("sent an invalid HTTP response"));
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let later = |request: &Request, before| match before {
        0 => Reply::file(request, &bytes(LARGE), ""),
        _ => Reply::file(request, &bytes(LARGE), "").stalled(1),
    };
    let unanswered = "the server sent no complete answer within 1500 ms";
    let stalled = "the server sent no data for 1500 ms";
    for (server, requests, expected) in [
        (Server::new(|_, _| Reply::silence()), 1, unanswered),
        (Server::new(|_, _| Reply::new(200, bytes(LARGE)).stalled(1000)), 1, stalled),
        (Server::new(|_, _| Reply::new(200, bytes(LARGE)).stalled(500_000)), 1, stalled),
        (Server::new(|_, _| Reply::raw("HTTP/1.1 200 OK\r\nX: ").stalled(20)), 1, unanswered),
        (Server::new(later), 2, stalled),
    ] {
        let net = Net { idle: Duration::from_millis(1500), ..net() };
        let (problem, hint) = failure_with(&server.url("/x"), &net);
        assert_eq!(problem, expected);
        assert!(hint.contains("network"));
        assert_eq!(server.asked().len(), requests, "it is not waited for again");
    }
}

/// A byte now and then keeps every single read within its time-out.
#[test]
fn a_server_that_trickles_is_given_up_wherever_it_does() {
    let idle = Duration::from_millis(600);
    let net = Net { idle, retries: 0, ..net() };
    let head = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let points = [
        (String::new(), "HTTP/1.1 200 OKOKOKOKOKOKOKOK"),
        (head.to_owned(), "X: y\r\n"),
        (format!("{head}Content-Length: 1000\r\n\r\n"), "x"),
        (format!("{head}\r\n"), "x"),
        (chunked.clone(), "0"),
        (format!("{chunked}4;x="), "y"),
        (chunked.clone(), "1\r\nx\r\n"),
        (format!("{chunked}0\r\n"), "X: y\r\n"),
        ("HTTP/1.1 302 Said\r\nLocation: /\r\nContent-Length: 1000\r\n\r\n".to_owned(), "x"),
    ];
    std::thread::scope(|scope| {
        for (begin, then) in points {
            let net = &net;
            scope.spawn(move || {
                let at = format!("{begin:?} {then:?}");
                let server = Server::new(move |_, _| Reply::trickling(&begin, then));
                let begun = std::time::Instant::now();
                let (problem, _) = failure_with(&server.url("/x"), net);
                let took = begun.elapsed();
                assert!(took < 8 * idle, "{at}: {problem} after {took:?}");
            });
        }
    });
}

/// Whose answers about missing files never end is waited for once, and not for each file of a
/// search.
#[test]
fn unused_bodies_are_drained_until_one_is_slow() {
    let idle = Duration::from_millis(600);
    let net = Net { idle, retries: 0, ..net() };
    let head = "HTTP/1.1 404 Said\r\nContent-Length: 1000\r\n\r\n";
    let server = Server::new(move |_, _| Reply::trickling(head, "x"));
    let place = tree(&server.url("/tree"), &net).unwrap();
    let begun = std::time::Instant::now();
    for number in 0..40 {
        assert!(place.open(&TreePath::new(number.to_string())).unwrap_err().is_missing());
    }
    let took = begun.elapsed();
    assert!(took < 12 * idle, "{took:?}");
}

#[test]
fn redirections_are_followed_and_bounded() {
    let there = right(LARGE);
    let url = there.url("/there/x");
    let server = Server::new(move |request, before| match request.target() {
        "/start/a" => Reply::to("../second?x=1"),
        "/second?x=1" => Reply::to(&url),
        "/loop" => Reply::to("/loop/2"),
        "/loop/2" => Reply::to("../loop#there"),
        "/ftp" => Reply::to("ftp://host/x?key=secret"),
        "/nowhere" => Reply::new(302, ""),
        "/nothing" => Reply::to("http://"),
        _ => Reply::to(&format!("/{before}")),
    });
    assert_eq!(whole(root(&server.url("/start/a")).unwrap()).unwrap(), bytes(LARGE));
    assert_eq!(server.asked(), ["/start/a 0-131071", "/second?x=1 0-131071"]);
    assert_eq!(there.asked(), ["/there/x 0-131071", "/there/x 131072-"]);
    assert_eq!(server.connections(), 1);

    let (problem, _) = failure(&server.url("/loop"));
    assert_eq!(problem, format!("the server redirects in a loop, back to {}", server.url("/loop")));
    let (problem, _) = failure(&server.url("/ftp"));
    assert!(problem.contains("'ftp://host/x': it is not an http: or"), "{problem}");
    assert!(failure(&server.url("/nowhere")).0.contains("302 without a Location header"));
    assert!(failure(&server.url("/nothing")).0.contains("there is no host"));
    let before = server.asked().len();
    assert!(failure(&server.url("/x")).0.contains("10 redirections, and one more to"));
    assert_eq!(server.asked().len() - before, 11);
}

#[test]
fn what_a_redirection_says_of_a_password_is_not_shown() {
    let server = Server::new(|_, _| Reply::to("gopher://me:secret@host/x"));
    let (problem, _) = failure(&server.url("/x"));
    assert!(problem.contains("redirects to 'gopher://host/x'"), "{problem}");
}

/// RFC 9112, 6.1: the bytes would not be the file's.
#[test]
fn a_transfer_coding_other_than_chunked_is_an_error() {
    for codings in ["gzip, chunked", "x-compress", "chunked\r\nTransfer-Encoding: br"] {
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {codings}\r\n\r\n");
        let server = Server::new(move |_, _| Reply::raw(&format!("{head}4\r\nbody\r\n0\r\n\r\n")));
        let (problem, hint) = failure(&server.url("/x"));
        assert!(problem.contains("in the transfer coding '"), "{codings}: {problem}");
        assert!(hint.contains("reads only 'chunked'"), "{codings}: {hint}");
    }
    let server = Server::new(|_, _| {
        Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
    });
    assert_eq!(whole(root(&server.url("/x")).unwrap()).unwrap(), b"body");
}

#[test]
fn a_file_of_unknown_length_is_taken_up_to_a_limit() {
    let server = Server::new(|request, _| match request.target() {
        "/small" => Reply::chunked(200, &bytes(100)),
        "/large" => Reply::chunked(200, &bytes(LARGE)),
        // The end of the connection is the end of the file.
        "/old" => Reply::raw("HTTP/1.0 200 OK\r\n\r\nall of it"),
        "/star" => match request.range(LARGE) {
            Some((from, to)) => Reply::new(206, &bytes(LARGE)[from..=to])
                .with("ETag: \"1\"")
                .with(&format!("Content-Range: bytes {from}-{to}/*")),
            None => Reply::new(200, bytes(LARGE)).with("ETag: \"1\""),
        },
        "/cut" => Reply::chunked(200, &bytes(LARGE)).cut(300_000),
        _ => Reply::chunked(200, &bytes(2_000_000)),
    });
    for (name, content) in [
        ("/small", bytes(100)),
        ("/large", bytes(LARGE)),
        ("/old", b"all of it".to_vec()),
        ("/star", bytes(LARGE)),
    ] {
        let file = root(&server.url(name)).unwrap();
        assert_eq!(file.len(), content.len() as u64);
        let mut end = vec![0; 20];
        let count = file.read_at(&mut end, file.len() - 5).unwrap();
        assert_eq!(end[..count], content[content.len() - 5..]);
        assert_eq!(whole(file).unwrap(), content, "{name}");
    }
    let asked = server.asked();
    assert_eq!(asked.iter().filter(|asked| !asked.starts_with("/star")).count(), 3);
    let (problem, hint) = failure(&server.url("/endless"));
    assert!(problem.contains("sent more than 1048576 bytes"), "{problem}");
    assert!(hint.contains("limit"));
    assert!(failure(&server.url("/cut")).0.contains("broke"));
}

#[test]
fn a_busy_server_is_asked_again_and_others_are_not() {
    let server = Server::new(|request, before| match before {
        0 => Reply::new(503, "wait"),
        1 => Reply::new(429, "wait"),
        _ => Reply::file(request, &bytes(10), ""),
    });
    assert_eq!(whole(root(&server.url("/x")).unwrap()).unwrap(), bytes(10));
    assert_eq!((server.asked().len(), server.connections()), (3, 1));

    for (status, requests, words) in [
        (503, 3, "answered 503 (Service Unavailable)"),
        (501, 1, "answered 501 (Not Implemented)"),
        (403, 1, "answered 403 (Forbidden)"),
        (401, 1, "answered 401 (Unauthorized)"),
        (400, 1, "answered 400 (Bad Request)"),
        (304, 1, "answered 304 (Not Modified)"),
        (299, 1, "answered 299 (no status that is known)"),
    ] {
        let server =
            Server::new(move |_, _| Reply::new(status, if status == 304 { "" } else { "no" }));
        let (problem, _) = failure(&server.url("/x"));
        assert!(problem.contains(words), "{problem}");
        assert_eq!(server.asked().len(), requests, "{status}");
    }
}

#[test]
fn credentials_go_only_to_the_url_s_host_and_are_never_shown() {
    let elsewhere = right(10);
    let other = elsewhere.url("/x");
    // RFC 7617, 2: Aladdin's; the client's own is encoded in the URL.
    let right = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    let server = Server::new(move |request, _| match request.target() {
        _ if request.header("authorization") != right => Reply::new(401, "who?"),
        "/here" => Reply::to("there"),
        "/there" => Reply::new(200, "it"),
        _ => Reply::to(&other),
    });
    let with =
        |who: &str, path: &str| server.url(path).replace("http://", &format!("http://{who}@"));
    let tree = tree(&with("Aladdin:open%20sesame", "/here"), &net()).unwrap();
    assert_eq!(tree.name(), server.url("/here"));
    assert!(!format!("{tree:?}").contains("sesame"), "{tree:?}");
    assert_eq!(whole(tree.open(&TreePath::root()).unwrap()).unwrap(), b"it");
    root(&with("Aladdin:open%20sesame", "/away")).unwrap();
    assert_eq!(elsewhere.requests()[0].header("authorization"), "");

    let (problem, hint) = failure(&server.url("/here"));
    assert!(problem.contains("401") && hint.contains("USER:PASSWORD@"), "{problem} {hint}");
    let (problem, hint) = failure(&with("Aladdin:shazam", "/here"));
    assert!(hint.contains("wrong") && !problem.contains("shazam"), "{problem} {hint}");
    let error = super::tree("http://me:shazam@/x", &net()).unwrap_err();
    assert!(!error.to_string().contains("shazam"), "{error}");
}

#[test]
fn the_bytes_are_the_files_packed_or_not() {
    // As Apache sends initrd.gz with AddEncoding: the name of what the file is.
    let server = Server::new(|request, _| {
        Reply::file(request, &bytes(999), "").with("Content-Encoding: gzip")
    });
    assert_eq!(whole(root(&server.url("/initrd.gz")).unwrap()).unwrap(), bytes(999));
    assert_eq!(server.requests()[0].header("accept-encoding"), "identity");
}

#[test]
fn a_non_http_server_is_reported() {
    for (reply, words) in [
        (Reply::raw("SSH-2.0-OpenSSH_9.2p1\r\n\r\n"), "sent an invalid HTTP response"),
        (Reply::raw("HTTP/1.1 two hundred\r\n\r\n"), "sent an invalid HTTP response"),
        (Reply::endless_headers("x\r\nX: "), "too many headers"),
        (Reply::endless_headers("and more "), "headers are longer than 65536 bytes"),
        (Reply::raw(""), "broke"),
    ] {
        let server = Server::new(move |_, _| reply.clone());
        let (problem, hint) = failure(&server.url("/x"));
        assert!(problem.contains(words), "{problem}");
        assert!(!hint.is_empty());
    }
    let url = Server::new(|_, _| Reply::silence()).url("/x");
    // Its port is closed as soon as the last connection to it was seen.
    while std::net::TcpStream::connect(url.split('/').nth(2).unwrap()).is_ok() {}
    assert!(failure(&url).0.contains("refuses the connection"));
    let (problem, _) = failure("http://no-such-host.invalid/x");
    assert!(problem.contains("no-such-host.invalid"), "{problem}");
    for url in ["http://", "http:///x", "http://[/x", "http://a b/", "ftp://h/x"] {
        assert!(tree(url, &net()).is_err(), "{url}");
    }
}

fn listed(page: &'static str) -> Result<Vec<String>, FileError> {
    let server = Server::new(move |request, _| match request.target() {
        "/pub/tree/" => Reply::page(page),
        _ => Reply::to("/pub/tree/"),
    });
    let entries = tree(&server.url("/pub"), &net()).unwrap().list(&TreePath::new("tree"))?;
    let slash = |is_directory| if is_directory { "/" } else { "" };
    Ok(entries.iter().map(|entry| entry.name.clone() + slash(entry.is_directory)).collect())
}

#[test]
fn lists_of_the_usual_servers_are_read() {
    // Apache 2.4, nginx 1.22, Python 3.11, lighttpd 1.4, shortened.
    for page in [
        r#"<title>Index of /pub/tree</title><tr><th><a href="?C=N;O=D">Name</a></th></tr>
           <td><a href="/pub/">Parent Directory</a></td><a href="a%20b/">a b/</a><a href="x&amp;y.img">x</a>"#,
        "<h1>Index of /pub/tree/</h1><hr><pre><a href=\"../\">../</a>\n<a href=\"a%20b/\">a b/</a> -\n<a href=\"x&amp;y.img\">x</a>",
        "<title>Directory listing for /pub/tree/</title><ul>\n<li><a href=\"a%20b/\">a b/</a></li>\n<li><a href='x&amp;y.img'>x</a></li>",
        "<h2>Index of /</h2><td class=\"n\"><a href=\"../\">..</a>/</td><A HREF=\"a%20b/\">a b</a><a href=./x&amp;y.img>x</a>",
        r#"Index of <a href="/pub/tree/a%20b/">1</a><a href="/pub/tree/x&amp;y.img">2</a><a href="/pub/tree/a/b">3</a>
           <a href="https://example.org/">4</a><a href="mailto:x">5</a><a href="%2e%2e">6</a><a href="a%2Fb">7</a><a href="a%20b/">8</a>"#,
    ] {
        assert_eq!(listed(page).unwrap(), ["a b/", "x&y.img"], "{page}");
    }
    assert!(listed("<title>Index of /empty</title>").unwrap().is_empty());
}

#[test]
fn pages_that_list_nothing_are_not_taken_for_lists() {
    let portal = "<html><title>Welcome to the Wi-Fi</title><a href=\"login.html\">Log in</a>";
    assert!(matches!(listed(portal).unwrap_err(), FileError::Unlisted(_)));
    let server = Server::new(|request, _| match request.target() {
        "/text/" => Reply::new(200, "Index of /").with("Content-Type: text/plain"),
        "/long/" => Reply::page(&"Index of / <a href=x>".repeat(100_000)),
        "/forbidden/" => Reply::new(403, ""),
        _ => Reply::new(500, ""),
    });
    let list = |name| tree(&server.url(name), &net()).unwrap().list(&TreePath::root());
    for name in ["/text", "/long/", "/forbidden/"] {
        assert!(matches!(list(name).unwrap_err(), FileError::Unlisted(_)), "{name}");
    }
    assert!(matches!(list("/broken").unwrap_err(), FileError::Io { .. }));
}

#[test]
fn a_page_instead_of_a_file_is_a_file_to_this_stage() {
    let server = Server::new(|_, _| Reply::page("<!DOCTYPE html>no kernel here"));
    let file = root(&server.url("/vmlinuz")).unwrap();
    assert_eq!(whole(file).unwrap(), b"<!DOCTYPE html>no kernel here");
}

/// A list of this many bytes, as Apache makes it.
fn padded(len: usize) -> String {
    let page = "<title>Index of /</title><a href=\"linux\">linux</a>";
    format!("{page}{}", " ".repeat(len - page.len()))
}

#[test]
fn a_list_has_at_most_1_mib() {
    for (len, expected) in [(1 << 20, true), ((1 << 20) + 1, false)] {
        let page = padded(len);
        let server = Server::new(move |_, _| Reply::page(&page));
        let listed = tree(&server.url("/"), &net()).unwrap().list(&TreePath::root());
        assert_eq!(listed.is_ok(), expected, "{len} bytes");
    }
}

#[test]
fn a_list_has_at_most_65536_entries() {
    let links: String = (0..=1 << 16).map(|number| format!("href={number} ")).collect();
    let url = Url::parse("http://h/").unwrap();
    let entries = index::entries(&format!("Index of /{links}"), &url).unwrap();
    assert_eq!(entries.len(), 1 << 16);
}

#[test]
fn a_small_file_without_ranges_can_be_read_anywhere() {
    let server = Server::new(|_, _| Reply::new(200, "0123456789"));
    let file = root(&server.url("/x")).unwrap();
    assert!(!file.is_sequential());
    let mut piece = [0; 2];
    assert_eq!(file.read_at(&mut piece, 7).unwrap(), 2);
    assert_eq!((&piece, server.asked().len()), (b"78", 1));
}

#[test]
fn a_file_of_unknown_length_may_be_as_long_as_the_limit() {
    let content = bytes(LARGE);
    let server = Server::new(move |_, _| Reply::chunked(200, &content));
    for (unannounced, expected) in [(LARGE, true), (LARGE - 1, false)] {
        let net = Net { unannounced: unannounced as u64, ..net() };
        let opened = tree(&server.url("/x"), &net).unwrap().open(&TreePath::root());
        assert_eq!(opened.is_ok(), expected, "at most {unannounced} bytes");
    }
}

#[test]
fn a_server_may_send_a_shorter_part_than_was_asked_for() {
    let content = bytes(LARGE);
    let all = content.clone();
    let server = Server::new(move |request, before| {
        let Some((from, to)) = request.range(all.len()).filter(|_| before > 0) else {
            return Reply::file(request, &all, "\"1\"");
        };
        let to = to.min(from + 399_999);
        Reply::new(206, &all[from..=to])
            .with(&format!("Content-Range: bytes {from}-{to}/{}", all.len()))
            .with("ETag: \"1\"")
    });
    assert_eq!(whole(root(&server.url("/x")).unwrap()).unwrap(), content);
    assert_eq!(server.asked(), ["/x 0-131071", "/x 131072-", "/x 531072-", "/x 931072-"]);
}

#[test]
fn a_file_that_became_longer_or_shorter_is_an_error_whatever_its_etag() {
    for (status, range, words) in [
        (206, format!("131072-999999/{}", LARGE + 1), "it has 1000001 bytes, and had 1000000"),
        (416, "*/100".into(), "it has no byte 131072 now"),
    ] {
        let content = bytes(LARGE);
        let server = Server::new(move |request, before| {
            if before == 0 {
                return Reply::file(request, &content, "\"1\"");
            }
            let sent = if status == 206 { &content[131_072..] } else { &[] };
            Reply::new(status, sent)
                .with(&format!("Content-Range: bytes {range}"))
                .with("ETag: \"1\"")
        });
        let (problem, _) = failure(&server.url("/x"));
        assert!(problem.contains("it was changed while it was read"), "{problem}");
        assert!(problem.contains(words), "{problem}");
    }
}

#[test]
fn a_page_that_breaks_before_its_end_is_asked_for_again() {
    let content = bytes(LARGE);
    let all = content.clone();
    let server = Server::new(move |request, before| {
        let reply = Reply::file(request, &all, "\"1\"");
        if before == 1 { reply.cut(1000) } else { reply }
    });
    let file = root(&server.url("/x")).unwrap();
    let mut piece = [0; 100];
    assert_eq!(file.read_at(&mut piece, 500_000).unwrap(), 100);
    assert_eq!(piece, content[500_000..500_100]);
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn statuses_are_explained() {
    for (status, hint) in [
        (401, "add a user name and password to the URL"),
        (403, "the server denies access"),
        (407, "to the proxy's URL"),
        (418, "check the URL"),
        (501, "busy or broken"),
        (503, "busy or broken"),
    ] {
        let server = Server::new(move |_, _| Reply::new(status, "no"));
        let net = Net { retries: 0, ..net() };
        let (problem, said) = failure_with(&server.url("/x"), &net);
        assert!(problem.contains(&status.to_string()), "{problem}");
        assert!(said.contains(hint), "{status}: {said}");
    }
}

/// Object stores say so of what is not there: the search goes on.
#[test]
fn forbidden_is_told_from_a_failure() {
    for (status, kind) in [(403, io::ErrorKind::PermissionDenied), (418, io::ErrorKind::Other)] {
        let server = Server::new(move |_, _| Reply::new(status, "no"));
        match root(&server.url("/x")) {
            Err(FileError::Io { source, .. }) => assert_eq!(source.kind(), kind, "{status}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
#[cfg(feature = "tls")]
fn https_is_spoken_to_a_server_for_https() {
    assert!(tree("https://h/", &net()).is_ok());
    let server = right(10);
    let net = Net { retries: 0, ..net() };
    let (problem, _) = failure_with(&server.url("/x").replace("http:", "https:"), &net);
    assert!(!problem.contains("without TLS"), "{problem}");
    assert!(server.requests().is_empty());
}

/// Whether the file or its text is asked for, and whatever is beside the limit.
#[test]
fn of_a_file_of_unknown_length_no_more_is_taken_than_is_of_use() {
    let server = Server::new(|_, _| Reply::endless("HTTP/1.1 200 Said\r\n\r\n", "x"));
    let tree = tree(&server.url("/"), &Net::default()).unwrap();
    for most in [1 << 18, 1 << 20] {
        let file = tree.open_short(&TreePath::new("x"), most).unwrap();
        assert_eq!(file.len(), most + 1);
        assert_eq!(read_whole(&*file, usize::try_from(most).unwrap()).unwrap(), None);
    }
    let content = bytes(LARGE);
    let server = Server::new(move |_, _| Reply::chunked(200, &content));
    let tree = super::tree(&server.url("/"), &net()).unwrap();
    let file = tree.open_short(&TreePath::new("x"), LARGE as u64).unwrap();
    assert_eq!(read_whole(&*file, LARGE).unwrap().as_deref(), Some(&*bytes(LARGE)));
}
