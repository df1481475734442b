use std::io::{BufRead, BufReader};
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
            if answer.ends_with("trickles") {
                trickle(&mut socket, "x")?;
            }
            let _ = socket.write_all(&data(from));
            drop(socket);
            from = 0;
            to.write_all(b"226 done\r\n").ok()?;
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
    for size in ["213 18446744073709551616", "213 -1", "213 x"] {
        let garbage = fake(move |c| c.starts_with("SIZE").then(|| size.into()), |_| vec![]);
        assert!(garbage.error().contains("not FTP"), "{size}");
    }
}

#[test]
fn stalled_or_non_ftp_servers_time_out() {
    for command in ["greeting", "USER", "SIZE", "EPSV", "RETR"] {
        let silent = move |c: &str| c.starts_with(command).then(|| "silence".to_owned());
        let error = fake(silent, |_| vec![]).error_with(QUICK);
        assert!(error.contains("the server sent nothing for 0.5 s"), "{command}: {error}");
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
