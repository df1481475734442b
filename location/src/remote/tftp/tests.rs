use std::io::Read;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;

/// The idle timeout of tests that run into it.
const QUICK: Duration = Duration::from_millis(600);
/// The idle timeout where packets are lost: an eighth of it passes before one is sent again.
const LOSSY: Duration = Duration::from_secs(3);

/// What takes longer is not bounded by the timeout.
const IN_TIME: Duration = Duration::from_secs(20);

/// With an idle timeout that no answering server runs into, even on a busy host.
fn net() -> Net {
    Net { idle: Duration::from_secs(30), ..Net::default() }
}

fn place(server: &UdpSocket, path: &str) -> Box<dyn FileTree> {
    place_with(server, path, net().idle)
}

fn place_with(server: &UdpSocket, path: &str, idle: Duration) -> Box<dyn FileTree> {
    let port = server.local_addr().unwrap().port();
    tree(&format!("tftp://127.0.0.1:{port}/{path}"), &Net { idle, ..net() }).unwrap()
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(IN_TIME)).unwrap();
    socket
}

fn packet(kind: u16, number: u16, bytes: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes(), &number.to_be_bytes(), bytes].concat()
}

fn oack(options: &[u8]) -> Vec<u8> {
    [&6_u16.to_be_bytes(), options].concat()
}

/// A server that answers each packet by `answer`, from one port, as long as the test runs. The
/// request comes to it too.
fn server(mut answer: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> UdpSocket {
    let socket = socket();
    let ours = socket.try_clone().unwrap();
    thread::spawn(move || {
        let mut packet = [0; 2000];
        while let Ok((count, from)) = ours.recv_from(&mut packet) {
            for answer in answer(&packet[..count]) {
                ours.send_to(&answer, from).unwrap();
            }
        }
    });
    socket
}

fn refusal(server: &UdpSocket) -> String {
    refusal_of(&*place(server, "x"))
}

fn refusal_of(place: &dyn FileTree) -> String {
    match place.open(&TreePath::new("f")) {
        Err(FileError::Io { source, .. }) => source.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn urls_are_read_as_rfc_3617_has_them() {
    for (url, name, host, root) in [
        ("tftp://h/a/b", "tftp://h/a/b", ("h", None), "a/b"),
        ("tftp://h:6969/a%20b/", "tftp://h:6969/a%20b", ("h", Some(6969)), "a b"),
        ("tftp://[::1]:69//a;mode=octet", "tftp://[::1]:69//a", ("::1", Some(69)), "/a"),
        ("tftp://h", "tftp://h", ("h", None), ""),
    ] {
        let tree = parse(url, &net()).unwrap();
        assert_eq!((tree.name.as_str(), tree.root.as_str()), (name, root), "{url}");
        assert_eq!((tree.host.name.as_str(), tree.host.port), host, "{url}");
    }
    for bad in ["tftp://h/a;mode=netascii", "tftp://h/%zz", "tftp:///a", "tftp://h:x/a"] {
        assert!(tree(bad, &net()).is_err(), "{bad}");
    }
}

#[test]
fn errors_of_a_server_are_told_or_mean_that_there_is_nothing() {
    for (code, text, missing) in
        [(1, "", true), (0, "File not found", true), (2, "Access violation", false)]
    {
        let server = server(move |_| vec![packet(5, code, &[text.as_bytes(), &[0]].concat())]);
        let tree = place(&server, "x");
        let error = tree.open(&TreePath::new("f")).unwrap_err();
        assert_eq!(error.is_missing(), missing, "{error:?}");
        // A directory cannot be had, and things below it can.
        assert!(tree.open(&TreePath::root()).unwrap_err().is_missing());
        assert!(matches!(tree.list(&TreePath::root()), Err(FileError::Unlisted(_))));
    }
    let server = server(|_| vec![packet(5, 2, b"may\x1bnot\0")]);
    assert!(refusal(&server).contains("refused: may not (error 2)"));
}

#[test]
fn a_server_that_lies_about_options_is_not_listened_to() {
    for lie in [&b"blksize\x0065464\0"[..], b"windowsize\x00999\0", b"multicast\x00a\0", b"tsize\0"]
    {
        let server = server(move |_| vec![oack(lie)]);
        assert!(refusal(&server).contains("unexpected TFTP reply"), "{lie:?}");
    }
}

#[test]
fn a_block_that_is_too_long_or_garbage_or_nothing_is_an_error_in_time() {
    let long = server(|_| vec![packet(3, 1, &[0; 513])]);
    assert!(refusal(&long).contains("more than the 512 bytes"));
    for answer in [vec![], vec![vec![]], vec![vec![0, 3, 0]], vec![packet(9, 1, b"x")]] {
        let silent = server(move |_| answer.clone());
        let begun = Instant::now();
        let refusal = refusal_of(&*place_with(&silent, "x", QUICK));
        assert!(refusal.contains("the server sent nothing for 0.6 s"));
        assert!(begun.elapsed() < IN_TIME);
    }
}

#[test]
fn a_server_that_stops_in_the_middle_or_ends_early_is_an_error() {
    for (last, word) in [(None, "sent nothing"), (Some(&b"end"[..]), "ended after 11 bytes")] {
        let server = server(move |asked| match asked[1] {
            1 => vec![oack(b"blksize\x008\0tsize\x00100\0")],
            4 if asked[3] == 0 => vec![packet(3, 1, b"12345678")],
            4 if asked[3] == 1 => last.map(|last| packet(3, 2, last)).into_iter().collect(),
            _ => vec![],
        });
        let file = place_with(&server, "", LOSSY).open(&TreePath::new("f")).unwrap();
        assert_eq!(file.len(), 100);
        let error = file.stream(0).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_response_longer_than_announced_is_an_error() {
    let server = server(|asked| match asked[1] {
        1 => vec![oack(b"blksize\x008\0tsize\x0010\0")],
        4 => vec![packet(3, u16::from(asked[3]) + 1, b"12345678")],
        _ => vec![],
    });
    let file = place(&server, "").open(&TreePath::new("f")).unwrap();
    let error = file.stream(0).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("where it should end"), "{error}");
}

#[test]
fn without_options_a_file_is_taken_whole_within_a_limit() {
    let serve = || {
        server(|asked| match asked[1] {
            // RFC 2347: an option that it does not want to hear of.
            1 if asked.ends_with(b"octet\0") => vec![packet(3, 1, &[1; 512])],
            1 => vec![packet(5, 8, b"no options\0")],
            4 if asked[3] == 1 => vec![packet(3, 2, &[2; 100])],
            _ => vec![],
        })
    };
    let server = serve();
    let file = place(&server, "").open(&TreePath::new("f")).unwrap();
    assert_eq!((file.len(), file.is_sequential()), (612, false));
    let mut end = [0; 4];
    file.read_at(&mut end, 510).unwrap();
    assert_eq!(end, [1, 1, 2, 2]);
    let server = serve();
    let port = server.local_addr().unwrap().port();
    let small = Net { unannounced: 611, ..net() };
    let tree = tree(&format!("tftp://127.0.0.1:{port}/"), &small).unwrap();
    let error = tree.open(&TreePath::new("f")).unwrap_err();
    assert!(format!("{error:?}").contains("more than 611 bytes"), "{error:?}");
}

/// A sender as RFC 7440 has it, which waits for nothing but acknowledgements: `(block size, window,
/// bytes)`.
fn sender(block: usize, window: u16, bytes: Vec<u8>) -> UdpSocket {
    let options = format!("blksize\0{block}\0windowsize\0{window}\0tsize\0{}\0", bytes.len());
    // How many blocks are acknowledged, behind 65535 too.
    let mut done = 0_usize;
    server(move |asked| {
        match asked[1] {
            1 => {
                done = 0;
                return vec![oack(options.as_bytes())];
            }
            4 => {
                let ahead = u16::from_be_bytes([asked[2], asked[3]]);
                let ahead = ahead.wrapping_sub(u16::try_from(done & 0xffff).unwrap());
                if ahead <= window {
                    done += usize::from(ahead);
                }
            }
            _ => return vec![],
        }
        let blocks = bytes.len() / block + 1;
        let next = (done..blocks).take(window.into());
        next.map(|at| {
            let piece = &bytes[at * block..bytes.len().min((at + 1) * block)];
            packet(3, u16::try_from((at + 1) & 0xffff).unwrap(), piece)
        })
        .collect()
    })
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 7 + at / 256) % 256).unwrap()).collect()
}

#[test]
fn block_numbers_begin_again_in_long_files() {
    // 70 000 blocks.
    let bytes = pattern(8 * 70_000 - 3);
    let server = sender(8, 16, bytes.clone());
    let file = place(&server, "").open(&TreePath::new("f")).unwrap();
    let mut got = Vec::new();
    file.stream(0).unwrap().read_to_end(&mut got).unwrap();
    assert!(got == bytes);
}

/// Between a client and a server: loses, doubles and delays packets of both, by a rule that is the
/// same on every run.
fn bad_line(server: &UdpSocket, period: u32) -> UdpSocket {
    let to = server.local_addr().unwrap();
    let line = socket();
    let front = line.try_clone().unwrap();
    thread::spawn(move || {
        let count = Arc::new(Mutex::new(0_u32));
        let mut back: Option<(std::net::SocketAddr, UdpSocket)> = None;
        let mut packet = [0; 2000];
        while let Ok((len, from)) = front.recv_from(&mut packet) {
            if back.as_ref().is_none_or(|(client, _)| *client != from) {
                let socket = socket();
                let answers = socket.try_clone().unwrap();
                let (front, count) = (front.try_clone().unwrap(), Arc::clone(&count));
                thread::spawn(move || pass(&answers, period, &count, |p| front.send_to(p, from)));
                back = Some((from, socket));
            }
            let Some((_, socket)) = &back else { continue };
            let number = tick(&count);
            if number % period != 1 {
                socket.send_to(&packet[..len], to).unwrap();
            }
        }
    });
    line
}

fn tick(count: &Mutex<u32>) -> u32 {
    let mut count = count.lock().unwrap();
    *count += 1;
    *count
}

fn pass(
    from: &UdpSocket,
    period: u32,
    count: &Mutex<u32>,
    send: impl Fn(&[u8]) -> io::Result<usize>,
) {
    let mut packet = [0; 2000];
    let mut late: Option<Vec<u8>> = None;
    while let Ok((len, _)) = from.recv_from(&mut packet) {
        let packet = &packet[..len];
        let kept = late.take();
        match tick(count) % period {
            2 => {}
            3 => {
                send(packet).unwrap();
                send(packet).unwrap();
            }
            4 => late = Some(packet.to_vec()),
            _ => {
                send(packet).unwrap();
            }
        }
        if let Some(kept) = kept {
            send(&kept).unwrap();
        }
    }
}

#[test]
fn losses_doubles_and_delays_do_no_harm() {
    for (window, period) in [(1, 23), (16, 29), (16, 7)] {
        let bytes = pattern(512 * 60 + 17);
        let server = sender(512, window, bytes.clone());
        let line = bad_line(&server, period);
        let file = place_with(&line, "", LOSSY).open(&TreePath::new("f")).unwrap();
        let mut got = Vec::new();
        file.stream(0).unwrap().read_to_end(&mut got).unwrap();
        assert!(got == bytes, "{window} {period}");
    }
}

#[test]
fn packets_from_elsewhere_are_refused_and_change_nothing() {
    let (server, stranger) = (socket(), socket());
    let place = place(&server, "");
    let told = thread::spawn(move || {
        let mut asked = [0; 600];
        let (_, client) = server.recv_from(&mut asked).unwrap();
        server.send_to(&packet(3, 1, &[1; 512]), client).unwrap();
        server.recv_from(&mut asked).unwrap();
        for wrong in [packet(3, 2, b"wrong"), packet(5, 1, b"wrong\0"), packet(3, 1, b"wrong")] {
            stranger.send_to(&wrong, client).unwrap();
        }
        let (count, _) = stranger.recv_from(&mut asked).unwrap();
        let told = asked[..count].to_vec();
        server.send_to(&packet(3, 2, b"right"), client).unwrap();
        told
    });
    let file = place.open(&TreePath::new("f")).unwrap();
    assert_eq!(file.len(), 517);
    assert_eq!(told.join().unwrap(), packet(5, 5, b"unknown transfer\0"));
}

#[test]
fn who_stops_reading_says_so() {
    let stopped = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&stopped);
    let server = server(move |asked| {
        match asked[1] {
            1 => return vec![oack(b"tsize\x00600\0")],
            5 => heard.lock().unwrap().push(asked.to_vec()),
            _ => {}
        }
        vec![]
    });
    // Asked for its length, which is all.
    drop(place(&server, "").open(&TreePath::new("f")).unwrap());
    let begun = Instant::now();
    while stopped.lock().unwrap().is_empty() && begun.elapsed() < IN_TIME {
        thread::yield_now();
    }
    assert_eq!(*stopped.lock().unwrap(), [packet(5, 0, b"no more is wanted\0")]);
}

/// A correct server for a file of 100 bytes, with blocks of 8 and windows of `window` packets; and
/// what came to it. `says`: the length that it announces to the request of this number.
fn right(
    window: u16,
    says: impl Fn(usize) -> usize + Send + 'static,
) -> (UdpSocket, Arc<Mutex<Vec<Vec<u8>>>>) {
    let heard = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let list = Arc::clone(&heard);
    let server = server(move |asked| {
        let mut list = list.lock().unwrap();
        list.push(asked.to_vec());
        let requests = list.iter().filter(|asked| asked[1] == 1).count();
        let number = u16::from_be_bytes([asked[2], asked[3]]);
        let block = |number: u16| {
            let from = usize::from(number - 1) * 8;
            (from <= 100).then(|| packet(3, number, &hundred()[from..(from + 8).min(100)]))
        };
        match asked[1] {
            1 => {
                let len = says(requests - 1);
                let options = format!("blksize\08\0windowsize\0{window}\0tsize\0{len}\0");
                vec![oack(options.as_bytes())]
            }
            // The first block comes twice.
            4 if number == 0 => (1..2).chain(1..=window).filter_map(block).collect(),
            4 => (number + 1..=number + window).filter_map(block).collect(),
            _ => vec![],
        }
    });
    (server, heard)
}

fn hundred() -> Vec<u8> {
    (0..100).collect()
}

#[test]
fn a_file_is_read_in_order_and_has_a_name() {
    let (server, heard) = right(1, |_| 100);
    let tree = place(&server, "d");
    let name = tree.name().to_owned();
    assert!(name.starts_with("tftp://127.0.0.1:") && name.ends_with("/d"), "{name}");
    let file = tree.open(&TreePath::new("f")).unwrap();
    assert_eq!(file.name(), format!("{name}/f"));
    assert!(file.is_sequential());
    assert!(heard.lock().unwrap()[0].starts_with(b"\0\x01d/f\0octet\0"));
    // One transfer goes on as long as nobody goes back.
    let requests = || heard.lock().unwrap().iter().filter(|asked| asked[1] == 1).count();
    let before = requests();
    let mut piece = [0; 4];
    for (at, count) in [(0, 1), (4, 1), (50, 1), (10, 2), (90, 2)] {
        assert_eq!(file.read_at(&mut piece, at).unwrap(), 4);
        assert_eq!(u64::from(piece[0]), at);
        assert_eq!(requests() - before, count, "at {at}");
    }
}

#[test]
fn a_file_whose_length_changes_is_an_error() {
    let (server, _heard) = right(1, |requests| 100 + requests);
    let file = place(&server, "d").open(&TreePath::new("f")).unwrap();
    let error = file.read_at(&mut [0; 4], 0).unwrap_err();
    assert!(error.to_string().contains("it has 101 bytes by now, expected 100"), "{error}");
}

/// RFC 1123, 4.2.3.1: a block that comes again is not acknowledged again. RFC 7440: one
/// acknowledgement for each window.
#[test]
fn each_window_is_acknowledged_once() {
    let (server, heard) = right(4, |_| 100);
    let file = place(&server, "d").open(&TreePath::new("f")).unwrap();
    heard.lock().unwrap().clear();
    let mut bytes = Vec::new();
    file.stream(0).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, hundred());
    drop(file);
    // What came before this is heard before it.
    place(&server, "d").open(&TreePath::new("f")).unwrap();
    let heard = heard.lock().unwrap();
    let end = heard.iter().rposition(|asked| asked[1] == 1).unwrap();
    let transfer = heard[..end].iter().filter(|asked| asked[1] != 1 && asked[3] != 0);
    let numbers: Vec<_> = transfer.map(|asked| (asked[1], asked[3])).collect();
    assert_eq!(numbers, [(4, 4), (4, 8), (4, 12), (4, 13)]);
    let last = heard.iter().position(|asked| asked[..] == packet(4, 13, b"")).unwrap();
    assert_eq!(last + 1, end, "nothing is said behind the end: {:?}", &heard[last..]);
}

#[test]
fn names_of_up_to_400_bytes_are_asked_for() {
    let (server, heard) = right(1, |_| 100);
    let tree = place(&server, "");
    assert!(tree.open(&TreePath::new("x".repeat(400))).is_ok());
    heard.lock().unwrap().clear();
    for name in ["x".repeat(401), "a\0b".into()] {
        let error = format!("{:?}", tree.open(&TreePath::new(&name)).unwrap_err());
        assert!(error.contains("longer than 400 bytes, or has a zero byte"), "{error}");
    }
    assert!(!heard.lock().unwrap().iter().any(|asked| asked[1] == 1));
}

#[test]
fn a_file_of_unknown_length_may_be_as_long_as_the_limit() {
    let server = server(|asked| match asked[1] {
        1 => vec![oack(b"blksize\x008\0")],
        4 if asked[3] == 0 => vec![packet(3, 1, b"12345678")],
        4 if asked[3] == 1 => vec![packet(3, 2, b"9")],
        _ => vec![],
    });
    let port = server.local_addr().unwrap().port();
    for (unannounced, expected) in [(9, true), (8, false)] {
        let net = Net { unannounced, ..net() };
        let tree = tree(&format!("tftp://127.0.0.1:{port}/"), &net).unwrap();
        assert_eq!(tree.open(&TreePath::new("f")).is_ok(), expected, "at most {unannounced}");
    }
}

#[test]
fn of_a_file_without_tsize_no_more_is_taken_than_is_of_use() {
    // It has no end.
    let server = server(|asked| match asked[1] {
        1 if asked.ends_with(b"octet\0") => vec![packet(3, 1, &[1; 512])],
        1 => vec![packet(5, 8, b"no options\0")],
        4 => {
            let next = u16::from_be_bytes([asked[2], asked[3]]).wrapping_add(1);
            vec![packet(3, next, &[1; 512])]
        }
        _ => vec![],
    });
    let file = place(&server, "").open_short(&TreePath::new("f"), 1000).unwrap();
    assert_eq!(file.len(), 1001);
}

/// RFC 2347: options are acknowledged once, and only to who asked for some.
#[test]
fn an_acknowledgement_of_options_that_is_not_asked_for_changes_nothing() {
    let again = server(|asked| match asked[1] {
        1 => vec![oack(b"blksize\x008\0tsize\x0012\0")],
        // A block of 9 bytes would be too long for the options agreed on.
        4 if asked[3] == 0 => vec![oack(b"blksize\x001468\0"), packet(3, 1, b"12345678")],
        4 if asked[3] == 1 => vec![packet(3, 2, b"9abc")],
        _ => vec![],
    });
    let file = place(&again, "").open(&TreePath::new("f")).unwrap();
    let mut bytes = Vec::new();
    file.stream(0).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"123456789abc");
    let unasked = server(|asked| match asked[1] {
        1 if asked.ends_with(b"octet\0") => vec![oack(b"tsize\x005\0")],
        1 => vec![packet(5, 8, b"no options\0")],
        _ => vec![],
    });
    let refusal = refusal_of(&*place_with(&unasked, "x", QUICK));
    assert!(refusal.contains("the server sent nothing for 0.6 s"), "{refusal}");
}

/// Otherwise the transfer would take for ever, and each block keeps the time-out from running out.
#[test]
fn a_server_that_sends_a_few_bytes_at_a_time_is_given_up() {
    let slow = server(|asked| match asked[1] {
        1 => vec![oack(b"blksize\x008\0tsize\x0010000\0")],
        4 => {
            thread::sleep(QUICK / 8);
            vec![packet(3, u16::from_be_bytes([asked[2], asked[3]]) + 1, b"12345678")]
        }
        _ => vec![],
    });
    let file = place_with(&slow, "", QUICK).open(&TreePath::new("f")).unwrap();
    let begun = Instant::now();
    let error = file.stream(0).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().starts_with("the server sent only "), "{error}");
    assert!(begun.elapsed() < IN_TIME);
}
