//! What chukka does besides running a guest: argv's first word names it, as in `chukka cache list`.
//!
//! These take long options in GNU's style, each with a `--help` of its own; what runs a guest keeps QEMU's.

mod bootloader;
mod cache;
mod fetch;
mod handed;
mod pygrub;
mod restart_install;
mod xenpvnetboot;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;

use crate::error::RunError;
use crate::report::{COULD_NOT_RUN, tell, with_sources};
use guest_memory::hint::Hint;
use vmm::host::signals;

/// A command and what it does with the arguments after its name.
type Command = (&'static str, fn(&[OsString]) -> ExitCode);

/// All of them.
static COMMANDS: [Command; 4] = [
    ("bootloader", bootloader::run),
    ("cache", cache::run),
    ("fetch", fetch::run),
    ("restart-install", restart_install::run),
];

/// Names of other programs, whose work chukka does when it is called by one of them.
static PROGRAMS: [Command; 2] = [("pygrub", pygrub::run), ("xenpvnetboot", xenpvnetboot::run)];

/// Does another program's work, if `program`, the path chukka was called by, is one that it knows.
#[must_use]
pub fn run_as(program: &OsStr, args: &[OsString]) -> Option<ExitCode> {
    let name = Path::new(program).file_name()?;
    let (_, program) = PROGRAMS.iter().find(|(known, _)| OsStr::new(known) == name)?;
    Some(program(args))
}

/// Runs the command that the first of `args` names, if it names one. `args` begins after the program's name.
#[must_use]
pub fn run(args: &[OsString]) -> Option<ExitCode> {
    let (name, rest) = args.split_first()?;
    let (_, command) = COMMANDS.iter().find(|(known, _)| OsStr::new(known) == name)?;
    Some(command(rest))
}

/// Reads the arguments of a command; an error in them, or `--help`, has been answered, and the status is what remains.
fn parsed(command: clap::Command, args: &[OsString]) -> Result<ArgMatches, ExitCode> {
    command.no_binary_name(true).try_get_matches_from(args).map_err(|error| {
        if error.use_stderr() {
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            let _ = write!(io::stderr(), "chukka: {text}");
            return ExitCode::from(COULD_NOT_RUN);
        }
        answer(&error.to_string())
    })
}

/// The same for the work of another program, in its words and with its status.
fn parsed_as(command: clap::Command, args: &[OsString]) -> Result<ArgMatches, ExitCode> {
    command.try_get_matches_from(args).map_err(|error| {
        let _ = error.print();
        if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    })
}

/// Prints what was asked for. A closed pipe (`chukka cache list | head`) is no failure.
fn answer(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Says why it cannot be done.
fn fail(message: &str, hint: &str) -> ExitCode {
    tell(message, Some(hint));
    ExitCode::from(COULD_NOT_RUN)
}

/// The same for what keeps a guest from starting. It does not come back from a signal.
fn failed(error: &RunError) -> ExitCode {
    tell(&with_sources(error), error.hint().as_deref());
    if let RunError::Stopped { signal, .. } = error {
        signals::die_of(*signal);
    }
    ExitCode::from(COULD_NOT_RUN)
}
