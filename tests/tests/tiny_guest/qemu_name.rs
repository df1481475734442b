//! chukka under QEMU's name, as scripts call it.

use chukka_tests::native::{self, Start, start};

const QEMU: &str = "/usr/bin/qemu-system-x86_64";

#[test]
fn a_run_that_ends_in_order_is_silent_on_standard_error() {
    if !native::kvm() {
        return;
    }
    for (script, words, status) in [
        ("DP", &[][..], 0),
        ("DR", &["-no-reboot"], 0),
        ("DN", &["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"], 0x69),
    ] {
        let ended = Start::guest(script).args(words).called(QEMU).run();
        assert_eq!((ended.code(), ended.text().as_str()), (Some(status), "done\r\n"), "{ended:?}");
        assert_eq!(ended.stderr, "", "{script}");
    }
}

#[test]
fn a_run_that_fails_says_how() {
    if !native::kvm() {
        return;
    }
    for (script, status, verdict) in [
        ("K", 120, "chukka: the guest's kernel panicked: Kernel panic - not syncing: test (after "),
        ("T", 121, "chukka: the guest triple-faulted: CPU 0 "),
    ] {
        let ended = Start::guest(script).called(QEMU).run();
        assert_eq!(ended.code(), Some(status), "{ended:?}");
        assert!(ended.stderr.starts_with(verdict), "{ended:?}");
    }
}

#[test]
fn scripts_find_the_version_and_the_lists_they_look_for() {
    for word in ["-h", "-help", "--version"] {
        let printed = start([word]).called(QEMU).run();
        assert_eq!(printed.code(), Some(0), "{printed:?}");
        assert!(printed.text().starts_with("QEMU emulator version 7.2.0 (chukka "), "{printed:?}");
        assert_eq!(printed.stderr, "");
    }
    for (words, line) in [
        (["-machine", "help"], "pc                   Standard PC (i440FX + PIIX, 1996)"),
        (["-accel", "help"], "kvm"),
        (["-device", "?"], "name \"pc-testdev\", bus ISA"),
        (["-cpu", "help"], "x86 host                  the host's CPU"),
    ] {
        let printed = start(words).called(QEMU).run();
        assert!(printed.text().lines().any(|found| found == line), "{printed:?}");
    }
}
