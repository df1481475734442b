//! Serial ports on sockets, pseudo-terminals and files, as users of them see it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use chukka_tests::native::{self, Chukka, Scratch, Start};

use crate::monitor::connect;

/// Types what ends the guest, and expects what it prints until then.
fn converse(mut socket: impl Read + Write, first: &str) {
    socket.write_all(b"hi").expect("it reads");
    let mut found = vec![0; first.len() + 2];
    socket.read_exact(&mut found).expect("it prints");
    assert_eq!(String::from_utf8_lossy(&found), format!("{first}hi"));
    socket.write_all(b"P").expect("it reads");
}

fn ends(chukka: Chukka) {
    let ended = chukka.wait();
    assert_eq!((ended.code(), ended.text().as_str()), (Some(0), ""), "{ended:?}");
}

#[test]
fn a_serial_port_is_on_a_socket() {
    if !native::kvm() {
        return;
    }
    let files = Scratch::new();
    let path = files.path("console");
    let shown = path.display();
    // The guest waits for its client, so that nothing is lost.
    let chukka = Start::guest("").args(["-serial", &format!("unix:{shown},server=on")]).start();
    converse(connect(&path), "ready\r\n");
    ends(chukka);
    assert!(!path.exists(), "the socket is removed");

    // A client that comes, leaves and comes again, under the sandbox.
    let chardev = format!("socket,id=c,path={shown},server=on,wait=off,logfile={shown}.log");
    let chukka = Start::guest("").args(["-chardev", &chardev, "-serial", "chardev:c"]).start();
    for _ in 0..2 {
        let mut socket = connect(&path);
        socket.write_all(b"hi").expect("it reads");
        let mut found = Vec::new();
        while !found.ends_with(b"hi") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("it prints");
            found.extend(byte);
        }
    }
    connect(&path).write_all(b"P").expect("it reads");
    ends(chukka);
    let log = std::fs::read_to_string(files.path("console.log")).expect("it is there");
    assert_eq!(log, "ready\r\nhihi", "also what nobody heard");

    let listener = UnixListener::bind(&path).expect("it is free");
    let chukka = Start::guest("").args(["-serial", &format!("unix:{shown}")]).start();
    converse(listener.accept().expect("chukka connects").0, "ready\r\n");
    ends(chukka);
}

#[test]
fn a_serial_port_is_on_a_pseudo_terminal() {
    if !native::kvm() {
        return;
    }
    let chukka = Start::guest("").args(["-serial", "pty"]).start();
    chukka.wait_for_error("(label serial0)");
    let text = chukka.error_text();
    let words = text.split("char device redirected to ").nth(1).expect("QEMU's words");
    let path = words.split(' ').next().expect("a path");
    let mut terminal = File::options().read(true).write(true).open(path).expect("it is there");
    // What was printed before somebody opened it is dropped.
    terminal.write_all(b"hi").expect("it reads");
    let mut found = Vec::new();
    while !found.ends_with(b"hi") {
        let mut byte = [0];
        terminal.read_exact(&mut byte).expect("it prints");
        found.extend(byte);
    }
    terminal.write_all(b"P").expect("it reads");
    ends(chukka);
}

#[test]
fn lines_begin_with_the_time_on_request() {
    if !native::kvm() {
        return;
    }
    let words = ["-chardev", "stdio,id=c,timestamp=on", "-serial", "chardev:c"];
    let ended = Start::guest("DDP").args(words).run();
    let text = ended.text();
    let rest: Vec<_> = text.lines().map(|line| line.get(15..)).collect();
    assert_eq!((ended.code(), rest), (Some(0), vec![Some("done"); 2]), "{ended:?}");
    assert!(text.lines().all(|line| line.starts_with("[    ")), "{text}");
}
