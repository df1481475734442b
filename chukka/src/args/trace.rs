//! `-trace`, `-msg`: what chukka tells while the guest runs.

use std::ffi::OsString;

use super::error::ArgsError;
use super::value::{Pair, pairs, texts};
use vmm::config::Trace;

/// What can be traced.
pub(super) const EVENTS: &str = "fw_cfg";

/// `-trace [enable=]PATTERN`; QEMU's events of this device are all named `fw_cfg_…`.
pub(super) fn trace(given: &[OsString]) -> Result<Trace, ArgsError> {
    let mut trace = Trace::default();
    for pair in texts(given, "trace")?.into_iter().flat_map(|text| pairs(text, "enable")) {
        let hint = "use -trace fw_cfg; it goes to standard error";
        match (pair.key.as_str(), pair.value("trace")?) {
            ("enable", "fw_cfg" | "fw_cfg*" | "fw_cfg_*") => trace.fw_cfg = true,
            ("enable", pattern) => {
                let given = format!("-trace {pattern}");
                return Err(ArgsError::bad(given, EVENTS)
                    .with_hint(format!("events that can be traced: {EVENTS}")));
            }
            ("events" | "file", _) => {
                let why = "chukka neither reads nor writes trace files";
                return Err(ArgsError::unsupported(pair.shown("trace"), why, hint));
            }
            _ => return Err(ArgsError::bad(pair.shown("trace"), EVENTS).with_hint(hint)),
        }
    }
    Ok(trace)
}

/// `-msg timestamp[=on|off]`: whether there are timestamps.
pub(super) fn timestamps(given: &[OsString]) -> Result<bool, ArgsError> {
    let mut timestamps = false;
    for text in texts(given, "msg")? {
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
                    return Err(ArgsError::unsupported(pair.shown("msg"), why, "leave it out"));
                }
                _ => {
                    return Err(ArgsError::bad(pair.shown("msg"), "timestamp=on or timestamp=off"));
                }
            }
        }
    }
    Ok(timestamps)
}
