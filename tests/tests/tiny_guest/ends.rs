//! How a run ends: the status, the message, and the report on a CPU that could not continue.

use std::time::Duration;

use chukka_tests::native::{self, Ended, Input, Start};

/// Runs the tiny guest with this script, once.
fn run(script: &str, words: &[&str]) -> Ended {
    Start::guest(script).args(words).run()
}

#[test]
fn power_off_ends_with_0() {
    if !native::kvm() {
        return;
    }
    let ended = run("DP", &[]);
    assert_eq!((ended.code(), ended.text().as_str()), (Some(0), "done\r\n"), "{ended:?}");
    assert!(ended.stderr.starts_with("chukka: the guest powered off (after "), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "one verdict: {ended:?}");
}

/// What each action makes of a guest that lets its watchdog expire, which counts its boots.
#[test]
fn a_watchdog_that_expires_resets_the_guest_or_ends_the_run() {
    if !native::kvm() {
        return;
    }
    let run = |words: &[&str]| run("C%H", &[&["-device", "i6300esb"], words].concat());
    let expired = "chukka: the guest's watchdog expired";
    let again = run(&[]);
    assert_eq!((again.code(), again.text().as_str()), (Some(0), "1\r\n2\r\n3\r\n"), "{again:?}");
    let reset = format!("{expired}; the machine is reset\n");
    assert!(again.stderr.starts_with(&reset.repeat(2)), "{again:?}");
    for words in [&["-no-reboot"][..], &["-action", "watchdog=poweroff"]] {
        let ended = run(words);
        assert_eq!((ended.code(), ended.text().as_str()), (Some(124), "1\r\n"), "{ended:?}");
        assert!(ended.stderr.contains(&format!("{expired} (after ")), "{ended:?}");
    }
    for (action, says) in [("debug", true), ("none", false)] {
        let ended = run(&["-watchdog-action", action, "-timeout", "1"]);
        assert_eq!((ended.code(), ended.text().as_str()), (Some(124), "1\r\n"), "{ended:?}");
        assert_eq!(ended.stderr.contains(&format!("{expired}; the guest goes on")), says);
    }
}

/// The status that the value 0x1234 gives, and 0x22: QEMU's `(value << 1) | 1`, of which a process
/// keeps 8 bits.
#[test]
fn isa_debug_exit_ends_with_the_status_that_the_guest_chose() {
    if !native::kvm() {
        return;
    }
    for (script, status) in [("DN", 0x69), ("DY", 0x45)] {
        let ended = run(script, &["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]);
        let (code, text) = (ended.code(), ended.text());
        assert_eq!((code, text.as_str()), (Some(status), "done\r\n"), "{ended:?}");
        let verdict =
            format!("chukka: the guest ended by isa-debug-exit with status {status} (after ");
        assert!(ended.stderr.starts_with(&verdict), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "one verdict: {ended:?}");
    }
}

#[test]
fn isa_debug_exit_overrules_the_panic_before_it() {
    if !native::kvm() {
        return;
    }
    let ended = run("LN", &["-device", "isa-debug-exit,iobase=0xf4"]);
    assert_eq!(ended.code(), Some(0x69), "{ended:?}");
}

#[test]
fn the_ports_of_isa_debug_exit_are_nobody_s_without_it() {
    if !native::kvm() {
        return;
    }
    let ended = run("NP", &[]);
    assert_eq!(ended.code(), Some(121), "the guest goes on: {ended:?}");
    let elsewhere = run("NP", &["-device", "isa-debug-exit"]);
    assert_eq!(elsewhere.code(), Some(121), "it is at 0x501: {elsewhere:?}");
}

#[test]
fn isa_debug_exit_at_ports_that_another_device_has_is_refused() {
    if !native::kvm() {
        return;
    }
    let debugcon = ["-debugcon", "null", "-global", "isa-debugcon.iobase=0xf6"];
    for (at, words, port) in [
        ("iobase=0x50e,iosize=0x10", &[][..], "0x510"),
        ("iobase=0x60", &[], "0x60"),
        ("iobase=0x3f,iosize=2", &[], "0x40"), // KVM's own
        ("iobase=0xf4,iosize=4", &debugcon, "0xf6"),
    ] {
        let device = format!("isa-debug-exit,{at}");
        let start = Start::guest("P").args(["-device", &device]).args(words);
        start
            .refused()
            .says(&format!("isa-debug-exit cannot have port {port}: another device has it"))
            .hints("iobase=0xf4,iosize=0x4");
    }
}

#[test]
fn a_reset_ends_with_0_when_there_is_no_reboot() {
    if !native::kvm() {
        return;
    }
    for script in ["CR", "CA"] {
        let ended = run(script, &["-no-reboot"]);
        assert_eq!((ended.code(), ended.text().as_str()), (Some(0), "1\r\n"), "{ended:?}");
        assert!(ended.stderr.contains("the guest asked for a reset (-no-reboot)"), "{ended:?}");
    }
}

#[test]
fn a_reset_boots_again_and_again() {
    if !native::kvm() {
        return;
    }
    for script in ["CR", "CA"] {
        let ended = run(script, &[]);
        let counted = (ended.code(), ended.text());
        assert_eq!(counted, (Some(0), "1\r\n2\r\n3\r\n".into()), "{ended:?}");
        assert!(ended.stderr.contains("the guest powered off"), "{ended:?}");
    }
}

#[test]
fn a_kernel_panic_ends_with_120_within_a_second_and_a_half() {
    if !native::kvm() {
        return;
    }
    // On a busy machine others may take the time.
    let runs: Vec<Ended> = (0..3).map(|_| run("K", &[])).collect();
    assert!(runs.iter().any(|ended| ended.elapsed < Duration::from_millis(1500)), "{runs:?}");
    let ended = &runs[0];
    assert_eq!(ended.code(), Some(120), "{ended:?}");
    let verdict = "the guest's kernel panicked: Kernel panic - not syncing: test (after ";
    assert!(ended.stderr.contains(verdict), "{ended:?}");
    assert_eq!(ended.text(), "Kernel panic - not syncing: test\r\n");
}

/// A guest that prints the line of a panicking Linux, and then does what it is sent.
fn panicked(words: &[&str]) -> native::Chukka {
    let chukka = Start::guest("L").args(words).input(Input::Pipe).start();
    chukka.wait_for("Kernel panic - not syncing: test\r\n");
    chukka.wait_for("ready");
    chukka
}

#[test]
fn a_panic_report_may_take_longer_than_a_second() {
    if !native::kvm() {
        return;
    }
    // On a busy machine a line may come more than a second after the one before.
    let reported = (0..5).any(|_| {
        let mut chukka = panicked(&[]);
        for _ in 1..=4 {
            std::thread::sleep(Duration::from_millis(400));
            chukka.try_send(b"D");
        }
        let ended = chukka.wait();
        assert_eq!(ended.code(), Some(120), "{ended:?}");
        ended.text().ends_with(&"done\r\n".repeat(4))
    });
    assert!(reported, "the report was cut each time");
}

#[test]
fn a_panic_does_not_end_a_guest_that_may_start_a_crash_kernel() {
    if !native::kvm() {
        return;
    }
    for words in [&["-append", "quiet crashkernel=64M"][..], &["-action", "panic=none"]] {
        let mut chukka = panicked(words);
        std::thread::sleep(Duration::from_millis(1500));
        chukka.send(b"DP");
        let ended = chukka.wait();
        assert_eq!(ended.code(), Some(120), "{ended:?}");
        let verdict = "the guest's kernel panicked: Kernel panic - not syncing: test (after ";
        assert!(ended.stderr.contains(verdict), "{ended:?}");
        assert!(ended.text().ends_with("done\r\n"), "{ended:?}");
    }
}

#[test]
fn a_panic_overrules_the_reset_or_fault_that_follows_it() {
    if !native::kvm() {
        return;
    }
    for follows in ["R", "T", "P"] {
        let ended = run(&format!("L{follows}"), &[]);
        assert_eq!(ended.code(), Some(120), "{follows}: {ended:?}");
    }
}

#[test]
fn a_triple_fault_ends_with_121_and_shows_where() {
    if !native::kvm() {
        return;
    }
    let ended = run("T", &["-no-reboot"]);
    assert_eq!(ended.code(), Some(121), "{ended:?}");
    // AMD's processors do not keep where they were.
    let lost = ended.stderr.contains("the guest triple-faulted: CPU 0 (its registers are lost)");
    let at_ud2 = ended.stderr.contains("the guest triple-faulted: CPU 0 at RIP 0x10")
        && ended.stderr.contains(" in 64-bit mode, instruction bytes 0f 0b ");
    assert!(lost || at_ud2, "{ended:?}");
    assert!(ended.stderr.contains("\nhint: "), "{ended:?}");
}

#[test]
fn an_instruction_kvm_cannot_do_ends_with_122_and_shows_its_bytes() {
    if !native::kvm() {
        return;
    }
    let ended = run("E", &[]);
    assert_eq!(ended.code(), Some(122), "{ended:?}");
    assert!(ended.stderr.contains("KVM could not go on: internal error 1 ("), "{ended:?}");
    assert!(ended.stderr.contains("CPU 0 at RIP 0x10"), "{ended:?}");
    assert!(ended.stderr.contains(" in 64-bit mode, instruction bytes d9 00 "), "{ended:?}");
    assert!(ended.stderr.contains("\nhint: "), "{ended:?}");
}

#[test]
fn a_jump_to_where_no_memory_is_ends_with_122_and_says_that_there_is_none() {
    if !native::kvm() {
        return;
    }
    let ended = run("J", &[]);
    assert_eq!(ended.code(), Some(122), "{ended:?}");
    let where_it_was =
        "CPU 0 at RIP 0xd0000000 in 64-bit mode, where the instruction cannot be read";
    assert!(ended.stderr.contains(where_it_was), "{ended:?}");
}

#[test]
fn a_guest_that_fails_leaves_its_output() {
    if !native::kvm() {
        return;
    }
    for (script, status) in [("DT", 121), ("DE", 122)] {
        let ended = run(script, &[]);
        let (code, text) = (ended.code(), ended.text());
        assert_eq!((code, text.as_str()), (Some(status), "done\r\n"), "{ended:?}");
    }
}
