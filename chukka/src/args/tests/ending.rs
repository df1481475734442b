use std::time::Duration;

use super::{OsString, config, json_asked_for, refusal};
use vmm::config::{KernelProblem, KernelProblems, MachineKind, OnPanic, OnReset, OnWatchdog};

#[test]
fn the_last_action_of_each_event_counts() {
    for (words, on_reset, on_panic) in [
        (&[][..], OnReset::Reboot, OnPanic::End),
        (&["-no-reboot"], OnReset::Exit, OnPanic::End),
        (&["-action", "reboot=shutdown,panic=none"], OnReset::Exit, OnPanic::Continue),
        (
            &["-action", "panic=none", "-action", "panic=exit-failure"],
            OnReset::Reboot,
            OnPanic::End,
        ),
        (&["-no-reboot", "-action", "reboot=reset"], OnReset::Reboot, OnPanic::End),
        (&["-action", "shutdown=poweroff,panic=shutdown"], OnReset::Reboot, OnPanic::End),
    ] {
        let config = config(words);
        assert_eq!((config.on_reset, config.on_panic), (on_reset, on_panic), "{words:?}");
    }
}

#[test]
fn actions_that_chukka_cannot_do_are_refused() {
    for (value, message) in [
        ("panic=pause", "chukka cannot pause a guest"),
        ("watchdog=pause", "chukka cannot pause a guest"),
        ("watchdog=inject-nmi", "expected reset, shutdown"),
        ("panic=never", "panic=none"),
        ("wake=none", "panic=none"),
    ] {
        let (text, _) = refusal(&["-action", value]);
        assert!(text.contains(message), "{value}: {text}");
    }
}

#[test]
fn a_watchdog_is_a_device_of_pc() {
    for words in [
        &["-device", "i6300esb"][..],
        &["-device", "i6300esb,id=watchdog0"],
        &["-watchdog", "i6300esb"],
        &["-machine", "pc", "-watchdog", "i6300esb"],
    ] {
        let vm = config(words);
        assert_eq!((vm.machine, vm.watchdog), (MachineKind::Pc, true), "{words:?}");
        assert_eq!(vm.on_watchdog, OnWatchdog::Reset);
    }
    for (words, action) in [
        (&["-action", "watchdog=poweroff"][..], OnWatchdog::PowerOff),
        (&["-watchdog-action", "none"], OnWatchdog::None),
        (&["-watchdog-action", "none", "-action", "watchdog=debug"], OnWatchdog::Debug),
        (&["-action", "panic=none,watchdog=shutdown"], OnWatchdog::Shutdown),
    ] {
        assert_eq!(config(words).on_watchdog, action, "{words:?}");
    }
    for (words, text) in [
        (&["-machine", "microvm", "-device", "i6300esb"][..], "microvm has no PCI"),
        (&["-watchdog", "i6300esb", "-device", "i6300esb"], "given twice"),
        (&["-watchdog", "ib700"], "has one watchdog, i6300esb"),
        (&["-device", "i6300esb,x=1"], "i6300esb alone"),
        (&["-watchdog-action", "explode"], "reset, shutdown"),
    ] {
        let found = refusal(words).0;
        assert!(found.contains(text), "{words:?}: {found}");
    }
}

#[test]
fn time_limits_are_seconds() {
    let limits = config(&["-timeout", "9", "-timeout", "30", "-silence", "2.5"]).limits;
    assert_eq!(limits.timeout, Some(Duration::from_secs(30)));
    assert_eq!(limits.silence, Some(Duration::from_millis(2500)));
    for value in ["0", "", "-1", "1e3", "inf", "NaN", "10s", "1000000001", ".", "0.0001"] {
        for option in ["-timeout", "-silence"] {
            let expected = "seconds, 0.001 to 1000000000, such as 30 or 2.5";
            assert_eq!(
                refusal(&[option, value]).0,
                format!("{option} {value}: expected {expected}")
            );
        }
    }
}

#[test]
fn problems_to_fail_on_are_named_together_or_one_by_one() {
    let set = |words: &[&str]| config(words).fail_on;
    let names = |set: KernelProblems| {
        KernelProblem::ALL
            .into_iter()
            .filter(move |kind| set.contains(*kind))
            .map(KernelProblem::name)
    };
    let all = names(set(&["-fail-on", "warn,oops", "-fail-on", "kasan"]));
    assert_eq!(all.collect::<Vec<_>>(), ["oops", "kasan", "warn"]);
    assert!(set(&[]).is_empty());
    for (given, shown) in [("oops,hang", "hang"), ("", ""), ("Oops", "Oops")] {
        let (message, _) = refusal(&["-fail-on", given]);
        let expected = "oops, kasan, lockdep or warn, separated by commas";
        assert_eq!(message, format!("-fail-on {shown}: expected {expected}"));
    }
}

#[test]
fn the_report_s_file_is_known_whatever_else_argv_has() {
    let asked =
        |words: &[&str]| json_asked_for(&words.iter().map(OsString::from).collect::<Vec<_>>());
    assert_eq!(asked(&["-kernel", "K", "-json", "a", "--json=b"]), Some("b".into()));
    assert_eq!(asked(&["-nosuch", "-m", "7X", "-json", "-"]), Some("-".into()));
    assert_eq!(asked(&["-append", "-json", "x"]), None, "a value");
    assert_eq!(asked(&["-json"]), None);
    assert!(config(&["-json", "x"]).record_exits && !config(&[]).record_exits);
}

#[test]
fn pvpanic_is_the_isa_variant() {
    assert!(config(&["-device", "pvpanic"]).pvpanic);
    assert!(!config(&[]).pvpanic);
    let (message, hint) = refusal(&["-device", "pvpanic-pci"]);
    assert_eq!(message, "-device pvpanic-pci: chukka has the ISA variant only");
    assert!(hint.starts_with("use -device pvpanic;"));
}
