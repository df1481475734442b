//! The `chukka` binary: argv in, a guest's console through, one verdict line and an exit status out.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use vmm::cli::{self, Command};
use vmm::commands;
use vmm::error::StartError;
use vmm::outcome::Outcome;
use vmm::plan;
use vmm::report::{COULD_NOT_RUN, tell, with_sources};
use vmm::run::run;
use vmm::signals;

fn main() -> ExitCode {
    let started = Instant::now();
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let args: Vec<_> = args.collect();
    if let Some(status) = commands::run_as(&program, &args).or_else(|| commands::run(&args)) {
        return status;
    }
    let mut name = String::new();
    let result = match cli::parse(args) {
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
        Err(error @ StartError::Stopped { signal, .. }) => {
            tell(&(name + &error.to_string()), None);
            signals::die_of(signal)
        }
        Err(error) => {
            tell(&(name + &with_sources(&error)), error.hint().as_deref());
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}
