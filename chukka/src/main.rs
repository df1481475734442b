//! The `chukka` binary: argv in, a guest's console through, one verdict line and an exit status out.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use chukka::cli::{self, Command};
use chukka::error::RunError;
use chukka::install_state::{self, InstallState};
use chukka::report::{COULD_NOT_RUN, tell, warn, with_sources};
use chukka::request::Request;
use chukka::resolve::Resolved;
use chukka::{commands, disks, plan};
use guest_memory::hint::Hint;
use vmm::host::signals;
use vmm::outcome::Outcome;
use vmm::run::Vm;

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
        Ok(Command::Run(request)) => {
            name = request.vm.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            run(*request, &mut state)
        }
        Ok(Command::Plan(request)) => match planned(*request) {
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
        Err(error @ RunError::Stopped { signal, .. }) => {
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

/// Runs a guest to its end. `state` is the installation that the run belongs to, if any.
fn run(request: Request, state: &mut Option<InstallState>) -> Result<Outcome, RunError> {
    let (request, begun) = install_state::begin(request)?;
    *state = begun;
    request.warnings.iter().for_each(|warning| warn(warning));
    // Before anything is fetched: a disk that is in use ends the run at once.
    let disks = disks::open(&request.disks)?;
    let resolved = request.boot.as_ref();
    let resolved = resolved.map(|source| Resolved::open(source, request.vm.memory)).transpose()?;
    resolved.iter().flat_map(|resolved| &resolved.advice).for_each(|advice| warn(advice));
    let vm = Vm::new(&request.vm, resolved.map(|resolved| resolved.boot))?;
    let vm = vm.with_disks(disks);
    vm.warnings().iter().for_each(|warning| warn(warning));
    // The terminal is raw, and the cursor may be in the middle of a line of the guest's.
    Ok(vm.run(|message| eprintln!("\rchukka: {message}"))?)
}

/// What a run would do.
fn planned(request: Request) -> Result<String, RunError> {
    let (request, state) = install_state::look(request)?;
    plan::text(&request, state.as_deref())
}
