//! Guests that hang: time limits, and the report on what each CPU is doing.

use chukka_tests::assets;
use chukka_tests::native::{self, Ended, Input, Scratch, Start};

use crate::dump::multiboot1_of;

/// Runs a guest that hangs, with these words, and checks how the run ends.
fn hang(script: &str, words: &[&str], verdict: &str) -> Ended {
    let ended = Start::guest(script).args(words).run();
    assert_eq!(ended.code(), Some(124), "{ended:?}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("chukka: {verdict} (after ")), "{ended:?}");
    ended
}

#[test]
fn a_hang_is_ended_by_the_time_out_and_each_cpu_has_its_sentence() {
    if !native::kvm() {
        return;
    }
    // Polling has to be seen also where others take most of the time.
    for (seconds, script, words, sentence) in [
        ("1", "~", &[][..], "CPU 0 has run for "),
        ("1", "H", &[], "CPU 0 is halted with interrupts off: only an NMI or a reset wakes it\n"),
        // A kernel without a clock.
        ("1", ";", &[], "CPU 0 is halted until the next interrupt, and its timer is off\n"),
        ("1", "H", &["-smp", "2"], "CPU 1 has not been started by the guest\n"),
        ("2", ":", &[], "CPU 0 has polled port 0x608 (no device) for "),
        ("2", ":", &["-machine", "pc"], "CPU 0 has polled port 0x608 (PM timer) for "),
        ("2", "", &[], "CPU 0 has polled port 0x3fd (COM1) for "),
    ] {
        let words = [words, &["-timeout", seconds]].concat();
        let verdict = format!("the guest did not end in {seconds} s (-timeout)");
        let ended = hang(script, &words, &verdict);
        assert!(ended.stderr.contains(&format!("chukka: {sentence}")), "{script}: {ended:?}");
        let at = "chukka:     CPU 0 at RIP 0x10";
        assert!(ended.stderr.contains(at), "{script}: {ended:?}");
    }
}

/// Tells the CMOS that there are 200 CPUs more than one, and resets the machine.
const TOO_MANY_CPUS: &[u8] = &[
    0xb0, 0x5f, 0xe6, 0x70, // mov $0x5f, %al; outb %al, $0x70
    0xb0, 200, 0xe6, 0x71, // mov $200, %al; outb %al, $0x71
    0xb0, 0xfe, 0xe6, 0x64, // mov $0xfe, %al; outb %al, $0x64
    0xf4, 0xeb, 0xfd, // hlt, for ever
];

/// SeaBIOS takes the greater number of fw_cfg's and the CMOS's (`qemu_get_present_cpus_count`), and
/// waits until that many CPUs have started (`smp_scan` in src/fw/smp.c).
#[test]
fn seabios_waiting_for_missing_cpus_is_reported() {
    if !native::kvm() {
        return;
    }
    let Some(bios) = assets::or_skip(assets::firmware("bios-256k.bin")) else { return };
    let files = Scratch::new();
    let kernel = files.file("kernel", &multiboot1_of(1 << 16, TOO_MANY_CPUS));
    let start = Start::kernel(&kernel).args(["-M", "pc", "-m", "64M", "-bios"]).args([&bios]);
    // On a busy host SeaBIOS needs seconds to come so far.
    let runs = ["4", "30"].map(|seconds| start.clone().args(["-timeout", seconds]));
    let waits = runs.iter().any(|start| {
        let ended = start.run();
        assert_eq!(ended.code(), Some(124), "{ended:?}");
        let mut lines = ended.stderr.lines();
        let sentence = lines.next().unwrap_or_default();
        // SeaBIOS's code for the start of the machine is below 1 MiB.
        let at = lines.next().is_some_and(|line| line.contains(" at RIP 0xe"));
        sentence.starts_with("chukka: CPU 0 has run for ")
            && sentence.ends_with(" s without leaving the guest, with interrupts off")
            && at
    });
    assert!(waits, "SeaBIOS does not wait");
}

#[test]
fn a_spinning_cpu_is_said_to_have_its_interrupts_off() {
    if !native::kvm() {
        return;
    }
    let ended = hang("~", &["-timeout", "1.5"], "the guest did not end in 1.5 s (-timeout)");
    let sentence = " s without leaving the guest, with interrupts off\n";
    assert!(ended.stderr.contains(sentence), "{ended:?}");
    assert!(ended.stderr.contains(" in 64-bit mode, instruction bytes eb fe "), "{ended:?}");
}

#[test]
fn a_guest_that_prints_nothing_is_ended_by_the_silence() {
    if !native::kvm() {
        return;
    }
    let words = ["-silence", "1", "-timeout", "300"];
    let ended = hang("D\"half a line\"~", &words, "the guest printed nothing for 1 s (-silence)");
    assert_eq!(ended.text(), "done\r\nhalf a line");
}

#[test]
fn a_guest_that_ends_in_time_is_not_touched_by_the_limits() {
    if !native::kvm() {
        return;
    }
    let ended = Start::guest("DP").args(["-timeout", "300", "-silence", "300"]).run();
    assert_eq!((ended.code(), ended.text().as_str()), (Some(0), "done\r\n"), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "no report: {ended:?}");
}

#[test]
fn a_panic_overrules_the_time_out_that_follows_it() {
    if !native::kvm() {
        return;
    }
    let ended = Start::guest("LH").args(["-action", "panic=none", "-timeout", "2"]).run();
    assert_eq!(ended.code(), Some(120), "{ended:?}");
    assert!(ended.stderr.contains("chukka: CPU 0 is halted "), "{ended:?}");
}

#[test]
fn sigquit_reports_and_ends() {
    if !native::kvm() {
        return;
    }
    for words in [&[][..], &["-timeout", "300"]] {
        let chukka = Start::guest("").args(words).input(Input::Pipe).start();
        chukka.wait_for("ready");
        chukka.signal(libc::SIGQUIT);
        let ended = chukka.wait();
        assert_eq!(ended.signal(), Some(libc::SIGQUIT), "{ended:?}");
        // It has just begun to wait, and a busy machine may not let it poll often.
        assert!(ended.stderr.starts_with("chukka: CPU 0 "), "{ended:?}");
        let (_, exits) = ended.stderr.split_once("; last exits: ").unwrap_or_default();
        assert!(
            exits.contains("port 0x3fd (COM1)") || exits.contains("port 0x3f8 (COM1)"),
            "{ended:?}"
        );
    }
}

#[test]
fn sigquit_ends_a_guest_that_resets_for_ever() {
    if !native::kvm() {
        return;
    }
    let chukka = Start::guest("DS").start();
    chukka.wait_for("done\r\ndone");
    chukka.signal(libc::SIGQUIT);
    assert_eq!(chukka.wait().signal(), Some(libc::SIGQUIT));
}
