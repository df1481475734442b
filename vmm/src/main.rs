//! The `chukka` binary: argv in, a guest's console through, one verdict line and an exit status out.

use std::error::Error as _;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use vmm::cli::{self, Command};
use vmm::error::StartError;
use vmm::outcome::Outcome;
use vmm::plan;
use vmm::run::run;
use vmm::signals;

/// chukka could not run the guest: usage, files, memory, KVM (docs/exit-codes.md).
const COULD_NOT_RUN: u8 = 125;

fn main() -> ExitCode {
    let started = Instant::now();
    let mut name = String::new();
    let result = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help(text) | Command::Version(text)) => {
            // A closed pipe (`chukka -help | head`) is no failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(config)) => {
            name = config.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            run(&config)
        }
        Ok(Command::Plan(config)) => match plan::text(&config) {
            Ok(text) => {
                let _ = std::io::stdout().write_all(text.as_bytes());
                return ExitCode::SUCCESS;
            }
            Err(error) => Err(error),
        },
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(outcome) => {
            let elapsed = started.elapsed().as_secs_f64();
            tell(&format!("{name}{outcome} (after {elapsed:.2} s)"), outcome.hint());
            match (outcome.status(), outcome) {
                (Some(status), _) => ExitCode::from(status),
                (None, Outcome::Signal(signal)) => signals::die_of(signal),
                (None, _) => ExitCode::from(COULD_NOT_RUN),
            }
        }
        Err(error) => {
            tell(&(name + &with_sources(&error)), error.hint().as_deref());
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

/// One line on standard error, and a second one with what to do. Standard output is the guest's.
fn tell(message: &str, hint: Option<&str>) {
    let hint = hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    let _ = write!(std::io::stderr(), "chukka: {message}\n{hint}");
}

/// The message with those of its causes.
fn with_sources(error: &StartError) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message += &format!(": {cause}");
        source = cause.source();
    }
    message
}
