//! The `chukka` binary: argv in, a guest's console through, one verdict line and an exit status out.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use vmm::cli::{self, Command};
use vmm::commands;
use vmm::config::VmConfig;
use vmm::error::StartError;
use vmm::outcome::Outcome;
use vmm::report::{COULD_NOT_RUN, tell, with_sources};
use vmm::run::run;
use vmm::signals;
use vmm::{install_state, plan};

fn main() -> ExitCode {
    let started = Instant::now();
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let args: Vec<_> = args.collect();
    if let Some(status) = commands::run_as(&program, &args).or_else(|| commands::run(&args)) {
        return status;
    }
    let (mut name, mut state) = (String::new(), None);
    let result = match cli::parse(args) {
        Ok(Command::Help(text) | Command::Version(text)) => {
            // A closed pipe (`chukka -help | head`) is no failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(mut config)) => {
            name = config.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            install_state::begin(&mut config).map_err(StartError::from).and_then(|begun| {
                state = begun;
                run(&config)
            })
        }
        Ok(Command::Plan(mut config)) => match planned(&mut config) {
            Ok(text) => {
                let _ = std::io::stdout().write_all(text.as_bytes());
                return ExitCode::SUCCESS;
            }
            Err(error) => Err(error),
        },
        Err(error) => Err(error.into()),
    };
    // First of all: what comes next may be the end of this process.
    let state = state.map(|state| state.finish(result.as_ref().ok()));
    let tell_state = || match state {
        None | Some(Ok(None)) => true,
        Some(Ok(Some(said))) => {
            tell(&said, None);
            true
        }
        Some(Err(error)) => {
            tell(&with_sources(&error), Some(&error.hint()));
            false
        }
    };
    match result {
        Ok(outcome) => {
            let elapsed = started.elapsed().as_secs_f64();
            tell(&format!("{name}{outcome} (after {elapsed:.2} s)"), outcome.hint());
            match (outcome.status(), outcome) {
                _ if !tell_state() => ExitCode::from(COULD_NOT_RUN),
                (Some(status), _) => ExitCode::from(status),
                (None, Outcome::Signal(signal)) => signals::die_of(signal),
                (None, _) => ExitCode::from(COULD_NOT_RUN),
            }
        }
        Err(error @ StartError::Stopped { signal, .. }) => {
            tell(&(name + &error.to_string()), None);
            tell_state();
            signals::die_of(signal)
        }
        Err(error) => {
            tell(&(name + &with_sources(&error)), error.hint().as_deref());
            tell_state();
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

/// What a run would do.
fn planned(config: &mut VmConfig) -> Result<String, StartError> {
    let state = install_state::look(config)?;
    plan::text(config, state.as_deref())
}
