//! `-daemonize`: the command returns once the guest is about to run, which goes on in the
//! background.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use chukka_tests::native::{self, LIMIT, Scratch, Start};
use serde_json::Value;

/// What a file has once that is as expected.
fn wait_for(path: &Path, is_expected: impl Fn(&str) -> bool) -> String {
    let until = Instant::now() + LIMIT;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if is_expected(&text) {
            return text;
        }
        assert!(Instant::now() < until, "{}: {text:?}", path.display());
        thread::sleep(Duration::from_millis(5));
    }
}

/// The report on the run, once the run has ended.
fn report(path: &Path) -> Value {
    serde_json::from_str(&wait_for(path, |text| text.ends_with("}\n"))).unwrap()
}

#[test]
fn the_guest_runs_in_a_session_of_its_own_until_a_signal() {
    if !native::kvm() {
        return;
    }
    let files = Scratch::new();
    let [log, pid, json, timeline] =
        ["log", "pid", "r.json", "t.json"].map(|name| files.path(name).display().to_string());
    let start = Start::guest("DF").args(["-daemonize", "-pidfile", &pid, "-json", &json]).args([
        "-serial",
        &format!("file:{log}"),
        "-timeline",
        &timeline,
    ]);
    let ended = start.run();
    assert_eq!((ended.code(), ended.text().as_str()), (Some(0), ""), "{ended:?}");
    assert_eq!(ended.stderr, "");
    let id = fs::read_to_string(&pid).unwrap().trim().to_owned();
    wait_for(log.as_ref(), |text| text.starts_with("done\r\n") && text.len() > 100);
    for stream in 0..3 {
        let to = fs::read_link(format!("/proc/{id}/fd/{stream}")).unwrap();
        assert_eq!(to, Path::new("/dev/null"));
    }
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!((fields[2], fields[3], fields[4]), (&*id, &*id, "0"), "group, session, terminal");
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    assert!(status.contains("\nSeccomp:\t2\n"), "it is in the sandbox: {status}");
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    let report = report(json.as_ref());
    assert_eq!((&report["outcome"], &report["signal"]), (&"signal".into(), &15.into()));
    assert!(fs::read_to_string(&timeline).unwrap().contains("traceEvents"));
    assert!(!Path::new(&pid).exists());
}

#[test]
fn monitors_work_and_what_goes_wrong_before_is_on_standard_error() {
    if !native::kvm() {
        return;
    }
    let files = Scratch::new();
    let (socket, json) = (files.path("monitor"), files.path("r.json"));
    let monitor = format!("unix:{},server=on,wait=off", socket.display());
    let words = ["-daemonize", "-json", json.to_str().unwrap(), "-monitor", &monitor];
    let ended = Start::guest("H").args(words).run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    let mut client = UnixStream::connect(&socket).unwrap();
    client.write_all(b"quit\n").unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(report(&json)["status"], 0);

    // As long as it may be refused, it is: by the same words and status as without the option.
    let start = |words: &[&str]| Start::guest("P").args(["-daemonize"]).args(words);
    start(&["-nographic"]).refused().says("-nographic with -daemonize");
    start(&["-serial", "file:/nonexistent/log"]).refused().says("for the output of -serial");
    start(&["-monitor", "unix:/nonexistent/m,server=on,wait=off"]).refused().says("/nonexistent/m");
    start(&["-pidfile", "/nonexistent/p"]).refused().says("Cannot write the process id");
    start(&["-initrd", "/nonexistent/i"]).refused().says("/nonexistent/i");
}
