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
    Options(Box<Given>),
}

/// The options of an argv, and what is wrong with their names.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub options: Options,
    /// Errors, each with its position in argv.
    pub errors: Vec<(usize, ArgsError)>,
    /// Where each option is, in argv's order.
    pub places: Vec<Place>,
}

/// An option in an argv.
#[derive(Debug)]
pub(super) struct Place {
    pub position: usize,
    pub name: &'static str,
    /// Its value, with U+FFFD for what is not UTF-8.
    pub value: String,
}

/// Reads argv up to its end, or up to the first `-help` or `-version`. Errors do not end it: those
/// of the whole argv are reported together. A misspelt option is then taken for the one that it
/// resembles most, so that the checks of the values go on; a word without a dash after another
/// option that chukka does not have is its value.
///
/// # Errors
/// A misspelt command: what follows is not options.
pub(super) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Argv, ArgsError> {
    let mut args = args.into_iter().enumerate().peekable();
    let mut given = Given::default();
    while let Some((position, arg)) = args.next() {
        if position == 0 {
            check_command(&arg)?;
        }
        let (option, inline) = match recognise(&arg) {
            Ok(recognised) => recognised,
            Err(error) => {
                let is_word = |(_, next): &(usize, OsString)| !next.as_bytes().starts_with(b"-");
                match meant(&error) {
                    Some(Takes::Value(_, set)) => {
                        let value = args.next_if(is_word);
                        value.into_iter().for_each(|(_, value)| set(&mut given.options, value));
                    }
                    Some(Takes::Nothing(set)) => set(&mut given.options),
                    Some(Takes::Help | Takes::Version) => {}
                    None if arg.as_bytes().starts_with(b"-") => drop(args.next_if(is_word)),
                    None => {}
                }
                given.errors.push((position, error));
                continue;
            }
        };
        match (option.takes, inline) {
            (Takes::Help | Takes::Version, _) if !given.errors.is_empty() => break,
            (Takes::Help, _) => return Ok(Argv::Help),
            (Takes::Version, _) => return Ok(Argv::Version),
            (Takes::Value(metavar, set), inline) => {
                // The next argument is the value, even if it begins with a dash.
                match inline.or_else(|| args.next().map(|(_, value)| value)) {
                    Some(value) => {
                        let text = value.to_string_lossy().into_owned();
                        given.places.push(Place { position, name: option.name, value: text });
                        set(&mut given.options, value);
                    }
                    None => {
                        let missing = ArgsError::MissingValue { option: option.name, metavar };
                        given.errors.push((position, missing));
                    }
                }
            }
            (Takes::Nothing(set), inline) => {
                let value = inline.map(|value| value.to_string_lossy().into_owned());
                given.errors.extend(value.map(|value| {
                    (position, ArgsError::UnwantedValue { option: option.name, value })
                }));
                let value = String::new();
                given.places.push(Place { position, name: option.name, value });
                set(&mut given.options);
            }
        }
    }
    Ok(Argv::Options(Box::new(given)))
}

/// What an option does that is probably misspelt.
fn meant(error: &ArgsError) -> Option<Takes> {
    let ArgsError::UnknownOption { nearest: Some(name), .. } = error else { return None };
    Opt::find(name.as_bytes()).map(|option| option.takes)
}

/// Where in argv the value is that `shown` begins with, as messages show it: `-option value`, or a
/// part of the value. What is in no single place comes last.
pub(super) fn position(shown: &str, places: &[Place]) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let (name, value) = match shown.strip_prefix('-') {
        Some(rest) => rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len())),
        None => ("", shown),
    };
    let value = value.trim_start_matches([' ', '\u{2026}', ',']);
    let named = || places.iter().filter(|place| name.is_empty() || place.name == name);
    let with_value = named().find(|place| place.value.contains(value));
    let place = with_value.or_else(|| named().find(|_| !name.is_empty()));
    place.map_or(usize::MAX, |place| place.position)
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
