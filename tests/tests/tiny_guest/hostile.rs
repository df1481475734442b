//! A guest may do anything: chukka neither panics nor hangs, and ends at once when it is told to.

use std::time::{Duration, Instant};

use chukka_tests::native::{self, Chukka, Output, Start};

/// How long a chukka may take to end that has been told to, with room for a busy machine: it takes
/// milliseconds.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Ends it by SIGTERM, and checks that it dies of that at once.
fn terminate(chukka: Chukka) {
    let told = Instant::now();
    chukka.signal(libc::SIGTERM);
    let ended = chukka.wait();
    assert!(told.elapsed() < AT_ONCE, "{:?}", told.elapsed());
    assert_eq!(ended.signal(), Some(libc::SIGTERM), "{ended:?}");
    assert!(ended.stderr.ends_with("s)\n"), "a verdict at the end: {}", ended.stderr);
    assert!(!ended.stderr.contains("panicked at"), "{}", ended.stderr);
}

/// Runs a guest that does `script`, says `done` and powers off.
fn survives(script: &str) {
    let ended = Start::guest(&format!("{script}P")).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.text().ends_with("done\r\n"), "{ended:?}");
    assert!(ended.stderr.starts_with("chukka: the guest powered off"), "{ended:?}");
}

#[test]
fn every_port_can_be_read_and_written() {
    if native::kvm() {
        survives("O");
    }
}

#[test]
fn ports_can_be_accessed_in_every_width_and_by_string_instructions() {
    if native::kvm() {
        survives("W");
    }
}

#[test]
fn addresses_without_memory_can_be_read_and_written() {
    if native::kvm() {
        survives("X");
    }
}

#[test]
fn fw_cfg_answers_every_operation_and_every_selector() {
    if native::kvm() {
        survives("G");
        survives("V");
    }
}

#[test]
fn fw_cfg_serves_many_cpus_at_once() {
    if !native::kvm() {
        return;
    }
    let ended = Start::guest("QGP").args(["-smp", "4", "-fw_cfg", "opt/a,string=b"]).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.text().ends_with("done\r\n"), "{ended:?}");
}

#[test]
fn a_guest_that_reads_from_fw_cfg_for_ever_ends_by_sigterm_at_once() {
    if !native::kvm() {
        return;
    }
    let chukka = Start::guest("QDH").args(["-smp", "4"]).start();
    chukka.wait_for("done");
    terminate(chukka);
}

#[test]
fn a_guest_that_resets_for_ever_ends_by_sigterm_at_once() {
    if !native::kvm() {
        return;
    }
    // More than once: the signal and a reset may come together, and then the signal counts.
    for _ in 0..5 {
        let chukka = Start::guest("DS").start();
        chukka.wait_for("done\r\ndone\r\ndone");
        terminate(chukka);
    }
}

#[test]
fn a_guest_that_halts_for_ever_ends_by_sigterm_at_once() {
    if !native::kvm() {
        return;
    }
    for cpus in ["1", "8"] {
        let chukka = Start::guest("DH").args(["-smp", cpus]).start();
        chukka.wait_for("done");
        terminate(chukka);
    }
}

#[test]
fn a_guest_that_prints_for_ever_ends_by_sigterm_at_once() {
    if !native::kvm() {
        return;
    }
    let chukka = Start::guest("F").start();
    chukka.wait_for("for ever and ever and ever\r\nfor ever");
    terminate(chukka);
}

#[test]
fn output_that_nobody_reads_does_not_keep_chukka_from_ending() {
    if !native::kvm() {
        return;
    }
    // A CPU waits with its line; something of chukka's waits with what is no whole line; the same
    // while a reset is asked for.
    for script in ["DH", "xH", "xS", "F"] {
        let chukka = Start::guest(script).output(Output::Full).start();
        chukka.wait_until_it_waits_to_write();
        terminate(chukka);
    }
}

#[test]
fn many_cpus_that_print_and_reset_for_ever_end_by_sigterm_at_once() {
    if !native::kvm() {
        return;
    }
    let chukka = Start::guest("BDS").args(["-smp", "4"]).start();
    chukka.wait_for(".....");
    terminate(chukka);
}

#[test]
fn many_cpus_whose_output_nobody_reads_do_not_keep_chukka_from_ending() {
    if !native::kvm() {
        return;
    }
    // One of them waits for a reader, with the port; the others wait for the port.
    for _ in 0..3 {
        let chukka = Start::guest("BF").args(["-smp", "4"]).output(Output::Full).start();
        chukka.wait_until_it_waits_to_write();
        terminate(chukka);
    }
}

#[test]
fn output_whose_reader_has_gone_is_dropped_with_one_warning() {
    if !native::kvm() {
        return;
    }
    let ended = Start::guest("DDDP").output(Output::Broken).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let warnings = ended.stderr.matches("the guest's output can no longer be written").count();
    assert_eq!(warnings, 1, "{ended:?}");
    let chukka = Start::guest("F").output(Output::Broken).start();
    chukka.wait_for_error("can no longer be written");
    terminate(chukka);
}
