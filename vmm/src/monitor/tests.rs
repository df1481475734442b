use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use super::*;
use crate::config::{CharSocket, SocketAddress};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("chukka-{name}-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn monitors(at: &Scratch, wait: bool, starts_paused: bool) -> Monitors {
    let config = MonitorConfig {
        language: MonitorLanguage::Qmp,
        chardev: CharBackend::Socket(CharSocket {
            address: SocketAddress::Unix(at.0.clone()),
            server: true,
            wait,
        })
        .into(),
    };
    Monitors::open(&[config], Some("web"), starts_paused).expect("a socket").expect("a monitor")
}

struct Remote(BufReader<UnixStream>);

impl Remote {
    fn connect(at: &Scratch) -> Self {
        Self(BufReader::new(UnixStream::connect(&at.0).expect("the socket")))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("it reads");
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }
}

#[test]
fn a_client_pauses_and_resumes_and_hears_of_it() {
    let at = Scratch::new("qmp");
    let mut monitors = monitors(&at, true, true);
    assert!(monitors.hold_guest());
    let mut remote = Remote::connect(&at);
    assert_eq!(
        monitors.attend(),
        (Vec::new(), false),
        "it is awaited no more, and does not start yet"
    );
    assert_eq!(remote.next()["QMP"]["version"]["qemu"]["major"], 7);
    let mut ask = |monitors: &mut Monitors, name: &str| {
        remote.send(&json!({ "execute": name }).to_string());
        let done = monitors.attend();
        let mut answers = vec![remote.next()];
        while answers.last().is_some_and(|answer| answer.get("event").is_some()) {
            answers.push(remote.next());
        }
        (done, answers)
    };
    ask(&mut monitors, "qmp_capabilities");
    let (_, answers) = ask(&mut monitors, "query-status");
    let expected = json!({ "status": "prelaunch", "running": false, "singlestep": false });
    assert_eq!(answers[0]["return"], expected);
    for (name, done, event) in [
        ("cont", (vec![Command::Continue], true), Some("RESUME")),
        ("cont", (vec![Command::Continue], false), None),
        ("stop", (vec![Command::Stop], true), Some("STOP")),
        ("stop", (vec![Command::Stop], false), None),
        ("cont", (vec![Command::Continue], true), Some("RESUME")),
        ("system_powerdown", (vec![Command::PowerDown], false), Some("POWERDOWN")),
        ("quit", (vec![Command::Quit], false), None),
    ] {
        let (found, answers) = ask(&mut monitors, name);
        assert_eq!(found, done, "{name}");
        assert_eq!(answers[0].get("event").and_then(Value::as_str), event, "{name}");
        assert_eq!(answers.last().map(|answer| &answer["return"]), Some(&json!({})), "{name}");
    }
    monitors.was_reset(true);
    monitors.has_ended(&Outcome::MonitorQuit);
    assert_eq!(remote.next()["event"], "RESET");
    assert_eq!(remote.next()["data"], json!({ "guest": false, "reason": "host-qmp-quit" }));
}

#[test]
fn the_next_client_waits_for_the_end_of_the_first() {
    let at = Scratch::new("clients");
    let mut monitors = monitors(&at, false, false);
    let mut first = Remote::connect(&at);
    let mut second = Remote::connect(&at);
    monitors.attend();
    assert!(first.next().get("QMP").is_some());
    monitors.attend();
    drop(first);
    monitors.attend();
    monitors.attend();
    assert!(second.next().get("QMP").is_some());
}

#[test]
fn a_request_without_an_end_ends_the_connection() {
    let at = Scratch::new("endless");
    let mut monitors = monitors(&at, false, false);
    let mut remote = Remote::connect(&at);
    monitors.attend();
    remote.next();
    remote.send("[");
    let piece = "1,".repeat(4096);
    let mut sent = 0;
    while monitors.monitors[0].client.is_some() {
        assert!(sent < 4 * LONGEST_REQUEST, "it is still connected");
        let _ = remote.0.get_mut().write_all(piece.as_bytes());
        sent += piece.len();
        monitors.attend();
        monitors.attend();
    }
}

#[test]
fn each_monitor_answers_its_own_client() {
    let places = [Scratch::new("qmp-a"), Scratch::new("qmp-b"), Scratch::new("qmp-c")];
    let config = |at: &Scratch| {
        let address = SocketAddress::Unix(at.0.clone());
        let socket = CharSocket { address, server: true, wait: false };
        MonitorConfig {
            language: MonitorLanguage::Qmp,
            chardev: CharBackend::Socket(socket).into(),
        }
    };
    let configs = places.each_ref().map(config);
    let mut monitors = Monitors::open(&configs, None, false).unwrap().unwrap();
    for at in places.iter().rev() {
        let mut remote = Remote::connect(at);
        remote.0.get_ref().set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        monitors.attend();
        assert!(remote.next()["QMP"].is_object());
        remote.send("{\"execute\": \"qmp_capabilities\"}\n");
        monitors.attend();
        assert!(remote.next()["return"].is_object());
    }
}
