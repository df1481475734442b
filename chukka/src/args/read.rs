//! Walks argv as QEMU's `lookup_opt` (system/vl.c) does, and fills [`Options`].

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::error::ArgsError;
use super::nearest::nearest;
use super::options::Options;
use super::qemu;
use super::table::{COMMANDS, OPTIONS, Opt, Takes};

/// What an argv is.
#[derive(Debug)]
pub(super) enum Argv {
    Help,
    Version,
    Options(Box<Options>),
}

/// Reads argv up to its end, or up to the first `-help` or `-version`.
pub(super) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Argv, ArgsError> {
    let mut args = args.into_iter();
    let mut options = Box::<Options>::default();
    let mut is_first = true;
    while let Some(arg) = args.next() {
        if std::mem::take(&mut is_first) {
            check_command(&arg)?;
        }
        let (option, inline) = match recognise(&arg) {
            Err(first @ ArgsError::QemuOption { .. }) => return Err(with_others(first, args)),
            recognised => recognised?,
        };
        match (option.takes, inline) {
            (Takes::Help, _) => return Ok(Argv::Help),
            (Takes::Version, _) => return Ok(Argv::Version),
            (Takes::Value(metavar, set), inline) => {
                // The next argument is the value, even if it begins with a dash.
                let missing = ArgsError::MissingValue { option: option.name, metavar };
                set(&mut options, inline.or_else(|| args.next()).ok_or(missing)?);
            }
            (Takes::Nothing(set), None) => set(&mut options),
            (Takes::Nothing(_), Some(value)) => {
                let value = value.to_string_lossy().into_owned();
                return Err(ArgsError::UnwantedValue { option: option.name, value });
            }
        }
    }
    Ok(Argv::Options(options))
}

/// The error for an option of QEMU's that chukka does not have, with those that follow it in
/// `rest`: so that a command line can be mended at once. A word without a dash after one of them is
/// its value.
fn with_others(first: ArgsError, rest: impl Iterator<Item = OsString>) -> ArgsError {
    let ArgsError::QemuOption { option, instead } = first else { return first };
    let mut missing = vec![(option, instead)];
    let mut rest = rest.peekable();
    while let Some(arg) = rest.next() {
        match recognise(&arg) {
            Ok((Opt { takes: Takes::Value(..), .. }, None)) => drop(rest.next()),
            Err(ArgsError::QemuOption { option, instead })
                if !missing.iter().any(|(known, _)| *known == option) =>
            {
                missing.push((option, instead));
            }
            _ => {}
        }
    }
    match missing.as_slice() {
        [_] => ArgsError::QemuOption { option, instead },
        _ => ArgsError::QemuOptions { missing },
    }
}

/// The value of the last option `name` in an argv that may have mistakes: what chukka does not know
/// takes no value.
pub(super) fn last_value(args: &[OsString], name: &str) -> Option<OsString> {
    let mut args = args.iter();
    let mut last = None;
    while let Some(arg) = args.next() {
        match recognise(arg) {
            Ok((option, inline)) if matches!(option.takes, Takes::Value(..)) => {
                let value = inline.or_else(|| args.next().cloned());
                last = if option.name == name { value.or(last) } else { last };
            }
            _ => {}
        }
    }
    last
}

/// Refuses a misspelt command.
fn check_command(arg: &OsStr) -> Result<(), ArgsError> {
    let given = arg.to_string_lossy();
    if given.starts_with('-') {
        return Ok(());
    }
    match nearest(&given, COMMANDS.iter().map(|(name, _)| *name)) {
        Some(nearest) => Err(ArgsError::UnknownCommand { given: given.into_owned(), nearest }),
        None => Ok(()),
    }
}

/// The option in `arg` and, in `-name=value`, its value.
fn recognise(arg: &OsStr) -> Result<(&'static Opt, Option<OsString>), ArgsError> {
    let bytes = arg.as_bytes();
    let shown = || arg.to_string_lossy().into_owned();
    let name = match bytes {
        // `-` alone is a positional argument for QEMU, `--` an option it does not know.
        b"-" => return Err(ArgsError::Positional { given: shown() }),
        [b'-', b'-', name @ ..] | [b'-', name @ ..] => name,
        _ => return Err(ArgsError::Positional { given: shown() }),
    };
    let (name, value) = match name.iter().position(|byte| *byte == b'=') {
        Some(at) => (&name[..at], Some(OsStr::from_bytes(&name[at + 1..]).to_owned())),
        None => (name, None),
    };
    Opt::find(name)
        .map(|option| (option, value))
        .ok_or_else(|| unknown(&String::from_utf8_lossy(name), shown()))
}

fn unknown(name: &str, given: String) -> ArgsError {
    if let Some((option, instead)) = qemu::find(name) {
        return ArgsError::QemuOption { option, instead };
    }
    let names = OPTIONS.iter().map(|option| option.name);
    ArgsError::UnknownOption { given, nearest: nearest(name, names) }
}
