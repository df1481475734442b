//! The end of a guest whose virtio console has much to print.

use std::process::Command;

use chukka_tests::binaries;
use chukka_tests::native::{self, Output, Scratch, Start, guest};

/// A virtio console on standard output, and no serial port.
const WORDS: [&str; 8] = [
    "-serial",
    "none",
    "-chardev",
    "stdio,id=out",
    "-device",
    "virtio-serial-device",
    "-device",
    "virtconsole,chardev=out",
];

/// A tiny guest of microvm with such a console.
fn with_console(script: &str) -> Start {
    Start::guest(script).args(WORDS)
}

#[test]
fn what_is_printed_right_before_the_end_is_whole() {
    if !native::kvm() {
        return;
    }
    let expected: Vec<u8> = (0x20..0x60).flat_map(|character| [character; 4096]).collect();
    for (script, words) in [(">P", &[][..]), (">R", &["-no-reboot"])] {
        let ended = with_console(script).args(words).run();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(ended.stdout == expected, "{script}: {} bytes", ended.stdout.len());
    }
}

/// The reader comes when the guest has ended, and a pipe holds a part of the output only.
#[test]
fn what_is_printed_right_before_the_end_waits_for_its_reader() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let kernel = scratch.file("guest", &guest::kernel(">P"));
    let output = Command::new("sh")
        .args(["-c", "\"$@\" | { sleep 1; wc -c; }", "sh"])
        .arg(binaries::chukka().expect("it is built"))
        .args(["-m", "64M", "-kernel"])
        .arg(kernel)
        .args(WORDS)
        .output()
        .expect("there is a shell");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), (64 * 4096).to_string());
}

#[test]
fn a_console_that_nobody_reads_does_not_keep_a_signal_from_ending_chukka() {
    if !native::kvm() {
        return;
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let chukka = with_console(">~").output(Output::Full).start();
        chukka.wait_until_it_waits_to_write();
        chukka.signal(signal);
        let ended = chukka.wait();
        assert_eq!(ended.signal(), Some(signal), "{ended:?}");
    }
}
