use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// The idle timeout of tests that run into it.
const QUICK: Duration = Duration::from_millis(500);
/// What takes longer is not bounded by the timeout.
const IN_TIME: Duration = Duration::from_secs(20);

/// With an idle timeout that no answering server runs into, even on a busy host.
fn net() -> Net {
    Net { idle: Duration::from_secs(30), retries: 2, ..Net::default() }
}

/// A server of its own for each test, and what it was asked.
struct Fake {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Answers what `special` does not, and sends what `data` has from a place on: 127.0.0.1 alone, and
/// as long as the test runs.
fn fake(
    special: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    data: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    thread::spawn(move || {
        let (special, data) = (Arc::new(special), Arc::new(data));
        for taken in listener.incoming() {
            let (special, data, heard) =
                (Arc::clone(&special), Arc::clone(&data), Arc::clone(&heard));
            thread::spawn(move || talk(taken.unwrap(), &*special, &*data, &heard));
        }
    });
    Fake { port, asked }
}

fn talk(
    line: TcpStream,
    special: &dyn Fn(&str) -> Option<String>,
    data: &dyn Fn(usize) -> Vec<u8>,
    heard: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut to = line.try_clone().ok()?;
    let mut commands = BufReader::new(line).lines();
    let mut command = "greeting".to_owned();
    let mut from = 0;
    let mut passive: Option<TcpListener> = None;
    loop {
        let verb = command.split(' ').next().unwrap().to_owned();
        if matches!(verb.as_str(), "EPSV" | "PASV") {
            passive = Some(TcpListener::bind("127.0.0.1:0").ok()?);
        }
        let port = passive.as_ref().map_or(0, |p| p.local_addr().unwrap().port());
        let answer = special(&command).unwrap_or_else(|| match verb.as_str() {
            "greeting" => "220 hello".into(),
            "USER" => "331 who".into(),
            "PASS" => "230 in".into(),
            "PWD" => "257 \"/home\" is here".into(),
            "EPSV" => format!("229 go (|||{port}|)"),
            "PASV" => format!("227 go (10,9,8,7,{},{})", port / 256, port % 256),
            "REST" => "350 from there".into(),
            "RETR" | "MLSD" | "LIST" => "150 here".into(),
            "SIZE" => "213 100".into(),
            "MDTM" => "213 20260102030405".into(),
            _ => "200 yes".into(),
        });
        if answer == "hang up" {
            return None;
        }
        if let Some(text) = answer.strip_prefix("trickle ") {
            trickle(&mut to, text)?;
        }
        if answer != "silence" {
            to.write_all(format!("{answer}\r\n").as_bytes()).ok()?;
        }
        if verb == "REST" {
            from = command[5..].parse().unwrap();
        }
        if answer.starts_with("150") {
            let (mut socket, _) = passive.take()?.accept().ok()?;
            if answer.ends_with("resets") {
                use rustix::net::sockopt::set_socket_linger;
                set_socket_linger(&socket, Some(Duration::ZERO)).ok()?;
                return None;
            }
            if answer.ends_with("trickles") {
                trickle(&mut socket, "x")?;
            }
            let _ = socket.write_all(&data(from));
            drop(socket);
            from = 0;
            let last = answer.split_once("then ").map_or("226 done", |(_, last)| last);
            to.write_all(format!("{last}\r\n").as_bytes()).ok()?;
        }
        command = commands.next()?.ok()?;
        heard.lock().unwrap().push(command.clone());
    }
}

/// Sends a text for ever, a byte now and then.
fn trickle(to: &mut TcpStream, text: &str) -> Option<()> {
    loop {
        for byte in text.bytes() {
            to.write_all(&[byte]).ok()?;
            thread::sleep(Duration::from_millis(40));
        }
    }
}

impl Fake {
    fn place(&self) -> Box<dyn FileTree> {
        self.place_with(net().idle)
    }

    fn place_with(&self, idle: Duration) -> Box<dyn FileTree> {
        let net = Net { idle, ..net() };
        tree(&format!("ftp://127.0.0.1:{}/", self.port), &net).unwrap()
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        self.read_with(net().idle)
    }

    fn read_with(&self, idle: Duration) -> io::Result<Vec<u8>> {
        let file =
            self.place_with(idle).open(&TreePath::new("f")).map_err(|error| match error {
                FileError::Io { source, .. } => source,
                other => io::Error::other(other),
            })?;
        let mut bytes = Vec::new();
        file.stream(0)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn error(&self) -> String {
        self.error_with(net().idle)
    }

    fn error_with(&self, idle: Duration) -> String {
        let begun = Instant::now();
        let error = self.read_with(idle).unwrap_err();
        assert!(begun.elapsed() < IN_TIME, "{error}");
        error.to_string()
    }

    fn count(&self, command: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.starts_with(command)).count()
    }
}

fn pattern() -> Vec<u8> {
    (0..100).collect()
}

#[test]
fn urls_are_parsed_as_in_rfc_1738_and_passwords_are_hidden() {
    for (url, name, root) in [
        ("ftp://h/a/b/", "ftp://h/a/b", "a/b"),
        ("ftp://h:2121/a%20b", "ftp://h:2121/a%20b", "a b"),
        ("ftp://h//a", "ftp://h//a", "/a"),
        ("ftp://h/%2Fa", "ftp://h/%2Fa", "/a"),
        ("ftp://u:p%40@h/a;type=i", "ftp://u@h/a", "a"),
        ("ftp://[::1]", "ftp://[::1]", ""),
    ] {
        let tree = parse(url, &net()).unwrap();
        assert_eq!((tree.name.as_str(), tree.root.as_str()), (name, root), "{url}");
        assert!(!format!("{tree:?}").contains("p@"));
    }
    for bad in ["ftp://u:secret@h/a;type=a", "ftp://u:secret@h:x/", "ftp://u:secret@h/%zz"] {
        let error = format!("{:?}", tree(bad, &net()).unwrap_err());
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_name_with_a_line_break_is_no_second_command() {
    for bad in ["ftp://h/a%0d%0aDELE%20x", "ftp://h/a%00", "ftp://a%0aDELE:b@h/", "ftp://a:b%0a@h/"]
    {
        assert!(tree(bad, &net()).is_err(), "{bad}");
    }
    let fake = fake(|_| None, |_| vec![]);
    for name in ["a\r\nDELE x", "a\nb", "a\rb"] {
        let error = format!("{:?}", fake.place().open(&TreePath::new(name)).unwrap_err());
        assert!(error.contains("a line break"), "{error}");
    }
    assert_eq!(fake.count(""), 0);
}

#[test]
fn a_broken_connection_is_made_again_where_it_broke() {
    let fake = fake(|_| None, |from| pattern().into_iter().skip(from).take(30).collect());
    assert_eq!(fake.read().unwrap(), pattern());
    assert_eq!((fake.count("RETR"), fake.count("REST 90")), (4, 1));
}

#[test]
fn data_connections_go_to_the_server_s_own_address() {
    // It does not know EPSV, and names an address of somebody else's with PASV.
    let refuse = |command: &str| (command == "EPSV").then(|| "500 what".to_owned());
    let fake = fake(refuse, |from| pattern()[from..].to_vec());
    assert_eq!(fake.read().unwrap(), pattern());
    assert_eq!(fake.count("PASV"), 1);
}

#[test]
fn a_wrong_length_from_the_server_is_detected() {
    let short = fake(|_| None, |from| pattern().into_iter().take(60).skip(from).collect());
    assert!(short.error().contains("ended after 60 bytes, expected 100"));
    let long = fake(|_| None, |_| vec![1; 101]);
    assert!(long.error().contains("continues after 100 bytes"));
}

#[test]
fn stalled_or_non_ftp_servers_time_out() {
    for command in ["greeting", "USER", "SIZE", "EPSV", "RETR"] {
        let silent = move |c: &str| c.starts_with(command).then(|| "silence".to_owned());
        let error = fake(silent, |_| vec![]).error_with(QUICK);
        let expected = "the server sent no complete answer within 0.5 s";
        assert!(error.contains(expected), "{command}: {error}");
    }
    for (greeting, words) in [
        ("HTTP/1.1 400 Bad", "not FTP"),
        ("", "not FTP"),
        ("220-\r\n".repeat(100_000).as_str(), ""),
        ("421 full", "421 full"),
        ("530 secret@x", "refused the login: 530 secret@x"),
    ] {
        let greeting = greeting.to_owned();
        let fake = fake(move |c| (c == "greeting").then(|| greeting.clone()), |_| vec![]);
        let error = fake.error();
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_made_again() {
    let once = Mutex::new(0);
    let busy = move |command: &str| {
        let mut count = once.lock().unwrap();
        *count += usize::from(command.starts_with("SIZE"));
        match (command.split(' ').next(), *count) {
            (Some("SIZE"), 1) => Some("421 too long".into()),
            (Some("SIZE"), 2) => Some("hang up".into()),
            _ => None,
        }
    };
    let fake = fake(busy, |from| pattern()[from..].to_vec());
    assert_eq!(fake.read().unwrap(), pattern());
    assert_eq!(fake.count("USER"), 3);
}

#[test]
fn without_size_a_file_is_taken_whole_within_a_limit() {
    let serve = || fake(|c| c.starts_with("SIZE").then(|| "502 no".into()), |_| pattern());
    let file = serve().place().open(&TreePath::new("f")).unwrap();
    assert_eq!((file.len(), file.is_sequential()), (100, false));
    let small = Net { unannounced: 99, ..net() };
    let tree = tree(&format!("ftp://127.0.0.1:{}/", serve().port), &small).unwrap();
    let error = format!("{:?}", tree.open(&TreePath::new("f")).unwrap_err());
    assert!(error.contains("more than 99 bytes"), "{error}");
}

#[test]
fn lists_of_old_servers_are_read_too() {
    let old = |command: &str| (command == "MLSD").then(|| "500 what".to_owned());
    let lines = "total 2\r\n\
        drwxr-xr-x   2 ftp ftp  4096 Jan 02  2026 images\r\n\
        -rw-r--r--   1 ftp ftp    12 Jan 02  2026 a file\r\n\
        garbage\r\n\
        -rw-r--r--   1 ftp ftp    12 Jan 02  2026 ../x\r\n";
    let fake = fake(old, move |_| lines.into());
    let entries = fake.place().list(&TreePath::root()).unwrap();
    let names: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.is_directory)).collect();
    assert_eq!(names, [("a file", false), ("images", true), ("x", false)]);
}

/// A byte now and then keeps every single read within its time-out.
#[test]
fn a_server_that_trickles_is_given_up_wherever_it_does() {
    let points = [
        ("greeting", "trickle 220-hello\n"),
        ("greeting", "trickle x"),
        ("USER", "trickle 331-\n331x\n"),
        ("PWD", "trickle 257-a\n"),
        ("SIZE", "trickle 2"),
        ("MDTM", "trickle 213-1\n"),
        ("EPSV", "trickle 229-\n"),
        ("RETR", "trickle 150-\n"),
        ("RETR", "150 trickles"),
    ];
    thread::scope(|scope| {
        for (command, answer) in points {
            scope.spawn(move || {
                let special = move |c: &str| c.starts_with(command).then(|| answer.to_owned());
                let begun = Instant::now();
                let fake = fake(special, |_| vec![]);
                let net = Net { idle: QUICK, retries: 0, ..net() };
                let tree = tree(&format!("ftp://127.0.0.1:{}/", fake.port), &net).unwrap();
                let read = tree.open(&TreePath::new("f")).map(|file| {
                    let mut bytes = Vec::new();
                    file.stream(0).and_then(|mut stream| stream.read_to_end(&mut bytes))
                });
                assert!(!matches!(read, Ok(Ok(_))), "{command} {answer}");
                assert!(begun.elapsed() < 8 * QUICK, "{command} {answer}: {:?}", begun.elapsed());
            });
        }
    });
}

#[test]
fn replies_that_are_not_needed_can_be_invalid() {
    for (command, answer) in [
        ("MDTM", "213 20261399999999"),
        ("MDTM", "213 yesterday"),
        ("MDTM", "213"),
        ("MDTM", "550 no"),
        ("PWD", "257 here"),
        ("PWD", "257"),
        ("PWD", "257 \"home\" is here"),
        ("PWD", "502 what"),
    ] {
        let special = move |c: &str| c.starts_with(command).then(|| answer.to_owned());
        let fake = fake(special, |from| pattern()[from..].to_vec());
        assert_eq!(fake.read().unwrap(), pattern(), "{command} {answer}");
        // Also where there is no way back to the first directory.
        let tree = fake.place();
        tree.list(&TreePath::new("d")).unwrap();
        assert_eq!(fake.count("CWD"), if command == "PWD" { 1 } else { 2 }, "{command} {answer}");
        assert_eq!(tree.open(&TreePath::new("f")).unwrap().len(), 100, "{command} {answer}");
    }
}

/// A special answer to one command.
fn saying(
    command: &'static str,
    answer: &'static str,
) -> impl Fn(&str) -> Option<String> + Send + Sync + 'static {
    move |asked| asked.starts_with(command).then(|| answer.to_owned())
}

#[test]
fn a_file_is_read_in_order_and_has_a_name_and_a_version() {
    let fake = fake(|_| None, |from| pattern()[from..].to_vec());
    let tree = fake.place();
    assert_eq!(tree.name(), format!("ftp://127.0.0.1:{}", fake.port));
    let file = tree.open(&TreePath::new("d/f")).unwrap();
    assert_eq!(file.name(), format!("ftp://127.0.0.1:{}/d/f", fake.port));
    assert!(file.is_sequential());
    assert_eq!(file.version(), "20260102030405");
    let mut bytes = Vec::new();
    file.stream(0).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!((bytes, fake.count("RETR d/f"), fake.count("REST")), (pattern(), 1, 0));
}

/// RFC 3659, 2.3: 14 digits, and perhaps a fraction.
#[test]
fn a_version_is_a_time() {
    for (answer, version) in [
        ("213 20260102030405", "20260102030405"),
        ("213 20260102030405.123", "20260102030405.123"),
        ("213 2026010203040", ""),
        ("213 2026010203040x", ""),
        ("500 what", ""),
    ] {
        let fake = fake(saying("MDTM", answer), |_| vec![]);
        let file = fake.place().open(&TreePath::new("f")).unwrap();
        assert_eq!(file.version(), version, "{answer}");
    }
}

#[test]
fn a_piece_elsewhere_is_sent_from_there_over_the_same_connection() {
    for (last, logins) in [("226 done", 1), ("426 aborted", 1), ("451 disk error", 2)] {
        let answer = move |c: &str| c.starts_with("RETR").then(|| format!("150 then {last}"));
        let fake = fake(answer, |from| pattern()[from..].to_vec());
        let tree = fake.place();
        let [first, second] = ["f", "g"].map(|name| tree.open(&TreePath::new(name)).unwrap());
        let mut piece = [0; 10];
        for at in [0, 10, 50, 20] {
            assert_eq!(first.read_at(&mut piece, at).unwrap(), 10, "{last}");
            assert_eq!(u64::from(piece[0]), at, "{last}");
        }
        assert_eq!(second.read_at(&mut piece, 30).unwrap(), 10);
        assert_eq!((fake.count("RETR f"), fake.count("RETR g")), (3, 1), "{last}");
        if logins == 1 {
            assert_eq!(fake.count("USER"), 1, "{last}");
        } else {
            assert!(fake.count("USER") > 1, "{last}");
        }
    }
}

#[test]
fn a_directory_and_a_name_that_is_not_there_are_told_apart() {
    let special = |command: &str| match command {
        "SIZE dir" | "SIZE absent" | "CWD absent" => Some("550 no".to_owned()),
        _ => None,
    };
    let tree = fake(special, |_| vec![]).place();
    let error = tree.open(&TreePath::new("dir")).unwrap_err();
    assert!(matches!(error, FileError::Kind { found: "a directory", .. }), "{error}");
    assert!(tree.open(&TreePath::new("absent")).unwrap_err().is_missing());
    assert!(tree.list(&TreePath::new("absent")).unwrap_err().is_missing());
    // What the server's first directory is needs no question.
    let error = tree.open(&TreePath::root()).unwrap_err();
    assert!(matches!(error, FileError::Kind { found: "a directory", .. }), "{error}");
}

#[test]
fn what_the_server_refuses_is_reported_in_its_words() {
    for (command, answer, words) in [
        ("SIZE", "530 log in", "refused the login: 530 log in"),
        ("EPSV", "530 log in", "refused the login: 530 log in"),
        ("EPSV", "425 none", "said: 425 none"),
        ("RETR", "553 not allowed", "said: 553 not allowed"),
    ] {
        let fake = fake(saying(command, answer), |_| vec![]);
        let error = fake.error();
        assert!(error.contains(words), "{command}: {error}");
        // 425 is for a moment (RFC 959, 4.2.1): it is tried again.
        let tries = if answer.starts_with('4') { 3 } else { 1 };
        assert_eq!(fake.count("USER"), tries, "{command} {answer}");
    }
}

#[test]
fn without_size_the_answer_to_retr_tells_whether_there_is_a_file() {
    let old = |retr: &'static str| {
        fake(
            move |command| match command {
                "SIZE f" => Some("502 what".to_owned()),
                "RETR f" => Some(retr.to_owned()),
                _ => None,
            },
            |_| vec![],
        )
    };
    let open = |retr| old(retr).place().open(&TreePath::new("f")).unwrap_err();
    assert!(open("550 no such file").is_missing());
    let error = format!("{:?}", open("553 not allowed"));
    assert!(error.contains("553 not allowed"), "{error}");
}

#[test]
fn a_list_that_is_refused_is_reported_in_the_server_s_words() {
    let special = |command: &str| match command {
        "MLSD" => Some("500 what".to_owned()),
        "LIST" => Some("550 not allowed".to_owned()),
        _ => None,
    };
    let error = format!("{:?}", fake(special, |_| vec![]).place().list(&TreePath::root()));
    assert!(error.contains("550 not allowed"), "{error}");
}

/// RFC 2428, 3 and 4: codes of a server that does not know EPSV, or not this network protocol.
#[test]
fn pasv_is_used_where_epsv_is_not_known() {
    for refusal in ["500 what", "501 what", "502 what", "522 use (2)"] {
        let fake = fake(saying("EPSV", refusal), |from| pattern()[from..].to_vec());
        assert_eq!(fake.read().unwrap(), pattern(), "{refusal}");
        assert_eq!(fake.count("PASV"), 1, "{refusal}");
    }
}

#[test]
fn a_server_that_always_hangs_up_is_tried_as_often_as_the_settings_say() {
    let fake = fake(saying("SIZE", "hang up"), |_| vec![]);
    fake.error();
    assert_eq!(fake.count("SIZE"), 3, "once, and two more tries");
}

#[test]
fn a_reply_that_is_not_ftp_is_not_tried_again() {
    let fake = fake(saying("SIZE", "no code"), |_| vec![]);
    assert!(fake.error().contains("not FTP"));
    assert_eq!(fake.count("SIZE"), 1);
}

/// RFC 959, 4.2: the last line begins with the same code and a space; what is between may begin
/// with anything.
#[test]
fn replies_of_many_lines_are_read_to_their_last_line() {
    let long = format!("220-{}\r\n {}\r\n220 end", "x".repeat(300), "y".repeat(400));
    let exact = format!("220 {}", "x".repeat((64 << 10) - 6));
    for greeting in ["220-hello\r\n text\r\n220-more\r\n331 no\r\n220 end", &long, &exact] {
        let greeting = greeting.to_owned();
        let special = move |c: &str| (c == "greeting").then(|| greeting.clone());
        let fake = fake(special, |from| pattern()[from..].to_vec());
        assert_eq!(fake.read().unwrap(), pattern());
    }
}

#[test]
fn a_reply_above_64_kib_is_given_up() {
    let one = format!("220 {}", "x".repeat((64 << 10) - 5));
    let many = "220-x\r\n".repeat(20_000);
    for greeting in [one, many] {
        let special = move |c: &str| (c == "greeting").then(|| greeting.clone());
        let error = fake(special, |_| vec![]).error();
        assert!(error.contains("the server's reply has more than 65536 bytes"), "{error}");
    }
}

#[test]
fn a_line_without_an_end_is_given_up_before_the_time_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for taken in listener.incoming() {
            let mut line = taken.unwrap();
            // In pieces whose sum is never the limit itself.
            let _ = line.write_all(b"2");
            thread::sleep(Duration::from_millis(50));
            let _ = line.write_all(&vec![b'2'; 1 << 20]);
            // Silence, until the client hangs up.
            let _ = line.read(&mut [0]);
        }
    });
    let error = Fake { port, asked: Arc::default() }.error();
    assert!(error.contains("the server's reply has more than 65536 bytes"), "{error}");
}

#[test]
fn a_silent_data_connection_is_given_up() {
    let late = |_| {
        thread::sleep(4 * QUICK);
        pattern()
    };
    let error = fake(|_| None, late).error_with(QUICK);
    assert!(error.contains("the server sent nothing for 0.5 s"), "{error}");
}

/// The connection stays in step, or another one is made.
#[test]
fn of_a_file_without_size_no_more_is_taken_than_is_of_use() {
    let without_size = |c: &str| c.starts_with("SIZE").then(|| "502 no".into());
    let fake = fake(without_size, |_| vec![b'x'; 1 << 24]);
    let place = fake.place();
    for most in [0, 10, 1 << 20] {
        let file = place.open_short(&TreePath::new("f"), most).unwrap();
        assert_eq!(file.len(), most + 1);
    }
    assert_eq!(place.open(&TreePath::new("f")).unwrap().len(), 1 << 24);
}

/// A connection that breaks may be better the next time; a server that is silent was waited for.
#[test]
fn a_data_connection_that_is_reset_is_made_again() {
    let first = Mutex::new(true);
    let special = move |command: &str| {
        let is_first = command.starts_with("RETR") && std::mem::take(&mut *first.lock().unwrap());
        is_first.then(|| "150 resets".to_owned())
    };
    let fake = fake(special, |from| pattern()[from..].to_vec());
    assert_eq!(fake.read().unwrap(), pattern());
    assert_eq!(fake.count("RETR"), 2);
}

#[test]
fn a_directory_has_at_most_65536_entries() {
    for (count, expected) in [(1 << 16, true), ((1 << 16) + 1, false)] {
        let list: String = (0..count).map(|number| format!("type=file; {number}\r\n")).collect();
        let fake = fake(|_| None, move |_| list.clone().into());
        match fake.place().list(&TreePath::root()) {
            Ok(entries) => assert!(expected && entries.len() == count, "{count} entries"),
            Err(error) => {
                let error = format!("{error:?}");
                assert!(!expected && error.contains("more than 65536 entries"), "{error}");
            }
        }
    }
}

/// None of these is an entry.
#[test]
fn a_list_of_a_directory_has_an_end() {
    for line in ["type=cdir; .\r\n", "type=file; \r\n", "\r\n"] {
        let list = line.repeat(1 << 17);
        let fake = fake(|_| None, move |_| list.clone().into());
        let error = format!("{:?}", fake.place().list(&TreePath::root()).unwrap_err());
        assert!(error.contains("131072 lines"), "{line}: {error}");
    }
}

/// RFC 3659 has SIZE as optional, and servers answer it with what they like.
#[test]
fn a_size_that_is_no_number_is_as_none() {
    for reply in ["213 abc", "213 -1", "213 99999999999999999999999", "213 100 bytes"] {
        let fake = fake(move |c| c.starts_with("SIZE").then(|| reply.to_owned()), |_| pattern());
        assert_eq!(fake.read().unwrap(), pattern(), "{reply}");
    }
}

#[test]
fn a_transfer_that_stays_short_is_not_the_fault_of_a_disk() {
    let fake = fake(|_| None, |_| Vec::new());
    let error = fake.read().unwrap_err();
    assert_eq!(error.to_string(), "it ended after 0 bytes, expected 100");
    assert!(storage::hint_of(&error).unwrap().contains("on the server"));
}
