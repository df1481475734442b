//! The console's cost: a byte that KVM collects does not leave the guest (Linux 5.0 or later).

use std::time::{Duration, Instant};

use chukka_tests::native::{self, Start};
use serde_json::Value;

/// A line of which [`LINES`] are printed: more than KVM's ring holds, as the guest never looks
/// whether it may go on.
const LINE: &str = "It prints line after line without reading the status of the port.\r\n";
const LINES: usize = 60;

/// Runs a guest that prints, with these words. Returns its output, and what `-json` says of exits.
fn print(words: &[&str]) -> (String, Value) {
    let script = format!("\"{}\"P", LINE.repeat(LINES));
    let ended = Start::guest(&script).args(["-json", "-"]).args(words).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let start = ended.stderr.find("{\n").unwrap_or_default();
    let report: Value = serde_json::from_str(&ended.stderr[start..]).unwrap();
    (ended.text(), report["exits"].clone())
}

#[test]
fn bytes_for_a_console_are_coalesced() {
    if !native::kvm() {
        return;
    }
    let bytes = u64::try_from(LINE.len() * LINES).unwrap();
    let count = |exits: &Value, what: &str| exits[what].as_u64().unwrap();
    let (text, each) = print(&["-machine", "microvm,x-coalesced-console=off"]);
    assert!(text == LINE.repeat(LINES), "{text}");
    assert_eq!(count(&each, "coalesced_writes"), 0, "{each}");
    assert!(count(&each, "port_writes") >= bytes, "{each}");
    let (text, exits) = print(&[]);
    assert!(text == LINE.repeat(LINES), "{text}");
    let (left, all) = (count(&exits, "port_writes"), count(&each, "port_writes"));
    assert_eq!(left + count(&exits, "coalesced_writes"), all, "{exits}");
    assert!(left * 20 < all, "{exits}");
}

#[test]
fn the_debug_console_is_coalesced_too() {
    if !native::kvm() {
        return;
    }
    // The tiny guest prints on COM1: here that is the debug console's port.
    let words = ["-serial", "none", "-debugcon", "stdio", "-global", "isa-debugcon.iobase=0x3f8"];
    for (more, is_coalesced) in [(&[][..], true), (&["-msg", "timestamp=on"], false)] {
        let (text, exits) = print(&[&words, more].concat());
        assert_eq!(text.lines().count(), LINES, "{text}");
        assert!(text.lines().all(|line| line.ends_with(LINE.trim_end())), "{text}");
        assert_eq!(exits["coalesced_writes"].as_u64() > Some(1000), is_coalesced, "{exits}");
    }
}

#[test]
fn a_prompt_appears_although_the_guest_stays_in_kvm() {
    if !native::kvm() {
        return;
    }
    // It halts, or spins: neither leaves the guest.
    for script in ["\"login: \"H", "\"login: \"~"] {
        let chukka = Start::guest(script).start();
        let begun = Instant::now();
        chukka.wait_for("login: ");
        assert!(begun.elapsed() < Duration::from_secs(30), "{script}");
        chukka.signal(libc::SIGKILL);
        assert_eq!(chukka.wait().signal(), Some(libc::SIGKILL));
    }
}

#[test]
fn what_was_printed_last_is_not_lost() {
    if !native::kvm() {
        return;
    }
    // Each ends the run, or starts the guest again, right after the last byte.
    for (script, words, code) in [
        ("\"last words\"P", &[][..], 0),
        ("\"last words\"R", &["-no-reboot"], 0),
        ("\"last words\"T", &[], 121),
        ("\"last words\"E", &[], 122),
    ] {
        let ended = Start::guest(script).args(words).run();
        assert_eq!(ended.code(), Some(code), "{ended:?}");
        assert!(ended.text().starts_with("last words"), "{script}: {ended:?}");
    }
    // It counts its boots.
    let ended = Start::guest("\"boot \"CR").run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(ended.text().matches("boot ").count(), 3, "{ended:?}");
}
