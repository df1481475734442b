//! What chukka does besides running a guest: argv's first word names it, as in `chukka cache list`.
//!
//! Commands take long options in GNU's style, each with a `--help` of its own; what runs a guest
//! has QEMU's. One dash works as two.

mod bootloader;
mod cache;
mod copy_out;
mod dashes;
mod disk;
mod fetch;
mod inspect;
mod install;
mod pygrub;
mod restart_install;
mod source;
mod spelling;
mod start;
mod template;
mod xen_output;
mod xenpvnetboot;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::ArgMatches;

use crate::args;
use crate::error::RunError;
use crate::report::{self, COULD_NOT_RUN};
use vmm::host::printable::printable;
use vmm::host::signals;

/// A command with options.
struct Subcommand {
    name: &'static str,
    /// Its options.
    describe: fn() -> clap::Command,
    /// Runs it with the options given.
    run: fn(&ArgMatches) -> ExitCode,
}

/// All of them.
static SUBCOMMANDS: [Subcommand; 9] = [
    Subcommand { name: "bootloader", describe: bootloader::command, run: bootloader::run },
    Subcommand { name: "cache", describe: cache::command, run: cache::run },
    Subcommand { name: "disk", describe: disk::command, run: disk::run },
    Subcommand { name: "fetch", describe: fetch::command, run: fetch::run },
    Subcommand { name: "inspect", describe: inspect::command, run: inspect::run },
    Subcommand { name: "install", describe: install::command, run: install::run },
    Subcommand {
        name: "restart-install",
        describe: restart_install::command,
        run: restart_install::run,
    },
    Subcommand { name: "start", describe: start::command, run: start::run },
    Subcommand { name: "template", describe: template::command, run: template::run },
];

/// Another program, whose work chukka does when it is called by that program's name.
struct Program {
    name: &'static str,
    command: fn() -> clap::Command,
    /// Runs it with the options given. An error is a message.
    run: fn(&ArgMatches) -> Result<(), String>,
    /// Whether messages begin with the program's name.
    names_itself: bool,
}

static PROGRAMS: [Program; 2] = [
    Program { name: "pygrub", command: pygrub::command, run: pygrub::answer, names_itself: true },
    Program {
        name: "xenpvnetboot",
        command: xenpvnetboot::command,
        run: xenpvnetboot::answer,
        names_itself: false,
    },
];

/// Does another program's work, if `program`, the path chukka was called by, is one that it knows.
#[must_use]
pub fn run_as(program: &OsStr, args: &[OsString]) -> Option<ExitCode> {
    let name = Path::new(program).file_name()?;
    let program = PROGRAMS.iter().find(|known| OsStr::new(known.name) == name)?;
    Some(program.run(args))
}

impl Program {
    /// Runs it. The status of every failure is 1.
    fn run(&self, args: &[OsString]) -> ExitCode {
        let matches = match (self.command)().try_get_matches_from(args) {
            Ok(matches) => matches,
            Err(error) => {
                let _ = error.print();
                return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            }
        };
        let Err(problem) = (self.run)(&matches) else { return ExitCode::SUCCESS };
        if self.names_itself {
            let _ = writeln!(io::stderr(), "{}: {}", self.name, printable(&problem));
        } else if matches.get_count("quiet") == 0 {
            let _ = writeln!(io::stderr(), "{}", printable(&problem));
        }
        ExitCode::FAILURE
    }
}

/// Runs the command that the first of `args` names, if it names one. `args` begins after the
/// program's name.
#[must_use]
pub fn run(args: &[OsString]) -> Option<ExitCode> {
    let (name, rest) = args.split_first()?;
    match (name.to_str()?, rest) {
        ("version", _) => return Some(answer(&args::version())),
        ("help", words) => return Some(help(words.first())),
        _ => {}
    }
    let command = find(name)?;
    let matches = parsed((command.describe)(), rest);
    Some(match matches.and_then(|matches| with_template(matches, command, rest)) {
        Ok(matches) => (command.run)(&matches),
        Err(status) => status,
    })
}

/// Reads the arguments of `chukka install` once more, behind those of a template if they name one.
fn with_template(
    matches: ArgMatches,
    command: &Subcommand,
    args: &[OsString],
) -> Result<ArgMatches, ExitCode> {
    if command.name != "install" {
        return Ok(matches);
    }
    let words = install::template(&matches)?;
    if words.is_empty() {
        return Ok(matches);
    }
    parsed((command.describe)(), &[&words, args].concat())
}

/// `chukka help [COMMAND]`.
fn help(command: Option<&OsString>) -> ExitCode {
    match command.map(|name| (name, find(name))) {
        None => answer(&args::help_text()),
        Some((_, Some(command))) => answer(&(command.describe)().render_help().to_string()),
        Some((name, None)) if name == "help" || name == "version" => answer(&args::help_text()),
        Some((name, None)) => fail(
            &format!("\"{}\" is not a command of chukka", name.display()),
            "chukka help lists the commands",
        ),
    }
}

fn find(name: &OsStr) -> Option<&'static Subcommand> {
    SUBCOMMANDS.iter().find(|known| OsStr::new(known.name) == name)
}

/// What clap knows about the commands that have options, for the man page and the completions.
pub fn described() -> impl Iterator<Item = (&'static str, clap::Command)> {
    SUBCOMMANDS.iter().map(|command| (command.name, (command.describe)()))
}

/// Reads the arguments of a command. An error in them, or `--help`, has been answered: the status
/// is what remains.
fn parsed(command: clap::Command, args: &[OsString]) -> Result<ArgMatches, ExitCode> {
    let args = dashes::doubled(&command, args);
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

/// Prints what was asked for. A closed pipe (`chukka cache list | head`) is not a failure.
fn answer(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Says why it cannot be done.
fn fail(message: &str, hint: &str) -> ExitCode {
    report::message(message, Some(hint).filter(|hint| !hint.is_empty()));
    ExitCode::from(COULD_NOT_RUN)
}

/// The same for what keeps a guest from starting. After a signal it does not return.
fn failed(error: &RunError) -> ExitCode {
    failed_as(error, str::to_owned)
}

/// The same, with every text as `spelt` has it.
fn failed_as(error: &RunError, spelt: impl Fn(&str) -> String) -> ExitCode {
    if matches!(error, RunError::Stopped { .. }) {
        report::hurry();
    }
    error.report_as(spelt, "");
    if let RunError::Stopped { signal, .. } = error {
        signals::die_of(*signal);
    }
    ExitCode::from(COULD_NOT_RUN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_command() {
        for command in &SUBCOMMANDS {
            assert!(args::COMMANDS.iter().any(|(name, _)| *name == command.name));
        }
        for (name, _) in args::COMMANDS {
            let is_plain = ["help", "version"].contains(&name);
            assert!(is_plain || find(OsStr::new(name)).is_some(), "{name}");
        }
    }

    #[test]
    fn commands_describe_their_options_without_conflicts() {
        for (_, command) in described() {
            command.debug_assert();
        }
    }
}
