use std::time::Duration;

use super::{config, refusal};
use vmm::config::{OnPanic, OnReset};

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
        ("watchdog=reset", "chukka has no watchdog device"),
        ("panic=never", "panic=none"),
        ("wake=none", "panic=none"),
    ] {
        let (text, _) = refusal(&["-action", value]);
        assert!(text.contains(message), "{value}: {text}");
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
