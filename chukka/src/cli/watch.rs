//! `-trace`, `-msg`: what chukka tells while the guest runs.

use clap::ArgMatches;

use super::error::CliError;
use super::value::{Pair, pairs, texts};
use vmm::config::Trace;

/// What can be traced.
pub(super) const EVENTS: &str = "fw_cfg";

/// `-trace [enable=]PATTERN`; QEMU's events of this device are all named `fw_cfg_…`.
pub(super) fn trace(matches: &ArgMatches) -> Result<Trace, CliError> {
    let mut trace = Trace::default();
    for pair in texts(matches, "trace")?.into_iter().flat_map(|text| pairs(text, "enable")) {
        let hint = "say -trace fw_cfg; it goes to standard error";
        match (pair.key.as_str(), pair.value("trace")?) {
            ("enable", "fw_cfg" | "fw_cfg*" | "fw_cfg_*") => trace.fw_cfg = true,
            ("enable", pattern) => {
                let given = format!("-trace {pattern}");
                return Err(
                    CliError::bad(given, EVENTS).with_hint(format!("what can be traced: {EVENTS}"))
                );
            }
            ("events" | "file", _) => {
                let why = "chukka neither reads nor writes trace files";
                return Err(CliError::unsupported(pair.shown("trace"), why, hint));
            }
            _ => return Err(CliError::bad(pair.shown("trace"), EVENTS).with_hint(hint)),
        }
    }
    Ok(trace)
}

/// `-msg timestamp[=on|off]`: whether there are timestamps.
pub(super) fn timestamps(matches: &ArgMatches) -> Result<bool, CliError> {
    let mut timestamps = false;
    for text in texts(matches, "msg")? {
        for mut pair in pairs(text, "") {
            // `timestamp` alone is `timestamp=on`, though QEMU calls that deprecated.
            if pair.key.is_empty() {
                pair = Pair { key: pair.value.unwrap_or_default(), value: None };
            }
            let on = pair.value.is_none() || pair.switch("msg")?;
            match pair.key.as_str() {
                "timestamp" => timestamps = on,
                "guest-name" if !on => {}
                "guest-name" => {
                    let why = "chukka's messages always have the name that -name gives";
                    return Err(CliError::unsupported(pair.shown("msg"), why, "leave it out"));
                }
                _ => return Err(CliError::bad(pair.shown("msg"), "timestamp=on or timestamp=off")),
            }
        }
    }
    Ok(timestamps)
}
