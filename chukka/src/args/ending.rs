//! `-no-reboot` and `-action`: what a reset and a panic of the guest do, and its watchdog.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ArgsError;
use super::options::Options;
use super::refusals::Refusals;
use super::value::{pairs, texts};
use vmm::config::{KernelProblem, KernelProblems, Limits, OnPanic, OnReset, OnWatchdog};

/// What ends the run.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub on_reset: OnReset,
    pub on_panic: OnPanic,
    pub on_watchdog: OnWatchdog,
    pub limits: Limits,
    pub fail_on: KernelProblems,
}

/// `-timeout`, `-silence`, `-fail-on`, `-no-reboot`, and QEMU's `-action` (qapi/run-state.json):
/// the last value of each event counts.
///
/// QEMU hears of a panic from the pvpanic device, and ends by default. chukka reads it on the
/// console.
pub(super) fn ending(options: &Options) -> Result<Ending, ArgsError> {
    let on_reset = if options.no_reboot { OnReset::Exit } else { OnReset::Reboot };
    let mut refusals = Refusals::default();
    let mut ending = Ending { on_reset, ..Ending::default() };
    ending.limits.timeout = refusals.value(limit("timeout", &options.timeout));
    ending.limits.silence = refusals.value(limit("silence", &options.silence));
    ending.fail_on = refusals.value(fail_on(options));
    refusals.value(actions(options, &mut ending));
    refusals.finish(ending)
}

fn actions(options: &Options, ending: &mut Ending) -> Result<(), ArgsError> {
    for pair in texts(&options.actions, "action")?.into_iter().flat_map(|text| pairs(text, "")) {
        match (pair.key.as_str(), pair.value("action")?) {
            ("panic", "none") => ending.on_panic = OnPanic::Continue,
            ("panic", "shutdown" | "exit-failure") => ending.on_panic = OnPanic::End,
            ("reboot", "shutdown") => ending.on_reset = OnReset::Exit,
            ("reboot", "reset") => ending.on_reset = OnReset::Reboot,
            ("shutdown", "poweroff") => {}
            ("panic" | "shutdown" | "watchdog", "pause") => {
                let why = "chukka cannot pause a guest";
                let hint = "panic=none and watchdog=debug let it go on; leave shutdown= out";
                return Err(ArgsError::unsupported(pair.shown("action"), why, hint));
            }
            ("watchdog", action) => {
                let known = OnWatchdog::ALL.into_iter().find(|known| known.name() == action);
                let expected = "reset, shutdown, poweroff, debug or none";
                let bad = || ArgsError::bad(pair.shown("action"), expected);
                ending.on_watchdog = known.ok_or_else(bad)?;
            }
            _ => {
                let expected = "panic=none, panic=shutdown, reboot=shutdown, reboot=reset, \
                    shutdown=poweroff or watchdog=ACTION";
                return Err(ArgsError::bad(pair.shown("action"), expected));
            }
        }
    }
    Ok(())
}

/// `-fail-on`: kinds, separated by commas.
fn fail_on(options: &Options) -> Result<KernelProblems, ArgsError> {
    let mut wanted = KernelProblems::default();
    for word in texts(&options.fail_on, "fail-on")?.into_iter().flat_map(|text| text.split(',')) {
        let kind = KernelProblem::ALL.into_iter().find(|kind| kind.name() == word);
        let expected = "oops, kasan, lockdep or warn, separated by commas";
        let given = || format!("-fail-on {word}");
        wanted.insert(kind.ok_or_else(|| ArgsError::bad(given(), expected))?);
    }
    Ok(wanted)
}

/// `-timeout` or `-silence`: seconds, also with a fraction. The last value counts.
fn limit(option: &'static str, values: &[OsString]) -> Result<Option<Duration>, ArgsError> {
    let values = texts(values, option)?;
    values.last().map(|text| seconds(option, text)).transpose()
}

fn seconds(option: &str, text: &str) -> Result<Duration, ArgsError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = text.parse::<f64>().ok().filter(|number| is_plain && LIMIT.contains(number));
    let time = number.and_then(|number| Duration::try_from_secs_f64(number).ok());
    let expected = "seconds, 0.001 to 1000000000, such as 30 or 2.5";
    time.ok_or_else(|| ArgsError::bad(format!("-{option} {text}"), expected))
}

/// The shortest and the longest time limit, in seconds.
const LIMIT: RangeInclusive<f64> = 0.001..=1e9;
