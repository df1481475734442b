//! The end of a guest whose virtio console has much to print.

use chukka_tests::native::{self, Output, Start};

/// A tiny guest of microvm with a virtio console on standard output and no serial port.
fn guest(script: &str) -> Start {
    let words = ["-serial", "none", "-chardev", "stdio,id=out", "-device", "virtio-serial-device"];
    Start::guest(script).args(words).args(["-device", "virtconsole,chardev=out"])
}

#[test]
fn what_is_printed_right_before_the_end_is_whole() {
    if !native::kvm() {
        return;
    }
    let expected: Vec<u8> = (0x20..0x60).flat_map(|character| [character; 4096]).collect();
    for (script, words) in [(">P", &[][..]), (">R", &["-no-reboot"])] {
        let ended = guest(script).args(words).run();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(ended.stdout == expected, "{script}: {} bytes", ended.stdout.len());
    }
}

#[test]
fn a_console_that_nobody_reads_does_not_keep_a_signal_from_ending_chukka() {
    if !native::kvm() {
        return;
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let chukka = guest(">~").output(Output::Full).start();
        chukka.wait_until_it_waits_to_write();
        chukka.signal(signal);
        let ended = chukka.wait();
        assert_eq!(ended.signal(), Some(signal), "{ended:?}");
    }
}
