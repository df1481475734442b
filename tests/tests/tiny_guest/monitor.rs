//! The monitors: QMP and the human one, as tools use them.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use chukka_tests::native::{self, Chukka, Input, LIMIT, Scratch, Start};
use serde_json::{Value, json};

/// A client of QMP that has negotiated.
struct Client(BufReader<UnixStream>);

pub(crate) fn connect(path: &Path) -> UnixStream {
    let until = Instant::now() + LIMIT;
    loop {
        match UnixStream::connect(path) {
            Ok(socket) => {
                drop(socket.set_read_timeout(Some(LIMIT)));
                return socket;
            }
            Err(_) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

impl Client {
    fn connect(path: &Path) -> Self {
        let mut this = Self(BufReader::new(connect(path)));
        assert!(this.next()["QMP"]["version"]["qemu"]["major"].is_u64());
        assert_eq!(this.ask("qmp_capabilities"), json!({}));
        this
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// The answer to a command, after the event that it causes, if any.
    fn ask(&mut self, command: &str) -> Value {
        let request = json!({ "execute": command, "id": command });
        self.0.get_mut().write_all(request.to_string().as_bytes()).expect("it reads");
        loop {
            let answer = self.next();
            if answer.get("event").is_none() {
                assert_eq!(answer["id"], command, "{answer}");
                return answer["return"].clone();
            }
        }
    }

    /// The next event of this name.
    fn event(&mut self, name: &str) -> Value {
        loop {
            let message = self.next();
            if message["event"] == name {
                return message["data"].clone();
            }
        }
    }
}

fn guest(script: &str, words: &[&str]) -> (Scratch, Chukka, Client) {
    let files = Scratch::new();
    let socket = files.path("qmp");
    let address = format!("unix:{},server=on,wait=off", socket.display());
    let chukka = Start::guest(script).args(["-qmp", &address]).args(words).start();
    let client = Client::connect(&socket);
    (files, chukka, client)
}

/// Waits until a guest that prints for ever prints again.
fn wait_for_more(chukka: &Chukka) {
    let (before, until) = (chukka.printed(), Instant::now() + LIMIT);
    while chukka.printed() == before {
        assert!(Instant::now() < until, "it prints nothing");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_client_pauses_the_guest_and_ends_the_run() {
    if !native::kvm() {
        return;
    }
    let (files, chukka, mut client) = guest("F", &["-name", "printer"]);
    wait_for_more(&chukka);
    assert_eq!(client.ask("query-name"), json!({ "name": "printer" }));
    client.ask("stop");
    assert_eq!(client.ask("query-status")["status"], "paused");
    thread::sleep(Duration::from_millis(100));
    let printed = chukka.printed();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(chukka.printed(), printed, "it is paused");
    client.ask("cont");
    wait_for_more(&chukka);
    assert_eq!(client.ask("quit"), json!({}));
    assert_eq!(client.event("SHUTDOWN"), json!({ "guest": false, "reason": "host-qmp-quit" }));
    let ended = chukka.wait();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("ended by the monitor's command quit"), "{ended:?}");
    assert!(!files.path("qmp").exists(), "the socket is gone");
}

#[test]
fn a_client_starts_and_resets_the_guest_and_hears_of_its_end() {
    if !native::kvm() {
        return;
    }
    let (_files, chukka, mut client) = guest("CH", &["-S"]);
    assert_eq!(client.ask("query-status")["status"], "prelaunch");
    assert_eq!(chukka.printed(), 0, "nothing has been executed");
    client.ask("cont");
    for count in ["1\r\n", "2\r\n"] {
        chukka.wait_for(count);
        assert_eq!(client.ask("system_reset"), json!({}));
        let expected = json!({ "guest": false, "reason": "host-qmp-system-reset" });
        assert_eq!(client.event("RESET"), expected);
    }
    assert_eq!(client.event("SHUTDOWN"), json!({ "guest": true, "reason": "guest-shutdown" }));
    let ended = chukka.wait();
    assert_eq!((ended.code(), ended.text().as_str()), (Some(0), "1\r\n2\r\n3\r\n"), "{ended:?}");
}

#[test]
fn with_no_reboot_a_reset_by_a_client_ends_the_run() {
    if !native::kvm() {
        return;
    }
    let (_files, chukka, mut client) = guest("DH", &["-no-reboot", "-machine", "pc"]);
    chukka.wait_for("done");
    // Nobody in the guest hears it.
    client.ask("system_powerdown");
    client.ask("system_reset");
    assert_eq!(client.event("SHUTDOWN"), json!({ "guest": true, "reason": "guest-reset" }));
    assert_eq!(chukka.wait().code(), Some(0));
}

/// Nomad's way to end a guest is a line on such a socket.
#[test]
fn the_human_monitor_takes_commands_by_a_socket_and_by_standard_input() {
    if !native::kvm() {
        return;
    }
    let files = Scratch::new();
    let (socket, pid) = (files.path("monitor"), files.path("pid"));
    let address = format!("unix:{},server,nowait", socket.display());
    let pid_file = pid.display().to_string();
    let chukka = Start::guest("DH")
        .args(["-monitor", &address, "-pidfile", &pid_file])
        .called("qemu-system-x86_64")
        .start();
    let mut client = connect(&socket);
    chukka.wait_for("done");
    let written = std::fs::read_to_string(&pid).expect("the file is there");
    assert_eq!(written, format!("{}\n", chukka.pid()));
    client.write_all(b"info status\nquit\n").expect("it reads");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("it ends");
    assert!(text.starts_with("QEMU 7.2.0 monitor"), "{text:?}");
    assert!(text.contains("VM status: running\r\n(qemu) "), "{text:?}");
    let ended = chukka.wait();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(!pid.exists() && !socket.exists());

    let start = Start::guest("H").args(["-serial", "none", "-monitor", "stdio"]);
    let mut chukka = start.input(Input::Pipe).start();
    chukka.wait_for("(qemu) ");
    chukka.send(b"q\n");
    assert_eq!(chukka.wait().code(), Some(0));
}
