//! The `chukka` binary: argv in, a guest's console through, one verdict line and an exit status out.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use chukka::args::{self, CalledAs, Invocation};
use chukka::error::RunError;
use chukka::guest::Ended;
use chukka::install_state::{self, InstallState, StateError};
use chukka::report::{self, COULD_NOT_RUN, with_sources};
use chukka::request::Request;
use chukka::{bootdisk, commands, guest, location_server, plan};
use guest_memory::hint::Hint;
use vmm::host::signals;
use vmm::outcome::Outcome;

fn main() -> ExitCode {
    let started = Instant::now();
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let args: Vec<_> = args.collect();
    if let Some(status) = commands::run_as(&program, &args).or_else(|| commands::run(&args)) {
        return status;
    }
    let called_as = CalledAs::of(&program);
    let (mut name, mut state) = (String::new(), None);
    let result = match args::parse_as(called_as, args) {
        Ok(Invocation::Print(text)) => return print(&text),
        Ok(Invocation::Boot(request)) => {
            name = request.vm.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            run(*request, &mut state)
        }
        Ok(Invocation::DryRun(request)) => match dry_run(*request) {
            Ok(text) => return print(&text),
            Err(error) => Err(error),
        },
        Err(error) => Err(error.into()),
    };
    // Before anything else: what comes next may end this process.
    let state = state.map(|state| state.finish(result.as_ref().ok()));
    if matches!(
        result,
        Ok(Ended { outcome: Outcome::Signal(_), .. }) | Err(RunError::Stopped { .. })
    ) {
        report::hurry();
    }
    match result {
        Ok(Ended { outcome, .. }) => {
            let elapsed = started.elapsed().as_secs_f64();
            let text = format!("{name}{outcome} (after {elapsed:.2} s)");
            match called_as {
                // As QEMU, which says nothing then: scripts take any text for a failure.
                CalledAs::Qemu if outcome.is_orderly() => report::no_message(),
                _ => report::last_message(&text, outcome.hint()),
            }
            match (outcome.status(), outcome) {
                _ if !report_state(state) => ExitCode::from(COULD_NOT_RUN),
                (Some(status), _) => ExitCode::from(status),
                (None, Outcome::Signal(signal)) => signals::die_of(signal),
                (None, _) => ExitCode::from(COULD_NOT_RUN),
            }
        }
        Err(error) => {
            report::last_message(&(name + &with_sources(&error)), error.hint().as_deref());
            report_state(state);
            match error {
                RunError::Stopped { signal, .. } => signals::die_of(signal),
                _ => ExitCode::from(COULD_NOT_RUN),
            }
        }
    }
}

/// Prints what was asked for. A closed pipe (`chukka -help | head`) is not a failure.
fn print(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Says what became of the installation that the run belongs to. Whether all is well with it.
fn report_state(state: Option<Result<Option<String>, StateError>>) -> bool {
    match state {
        None | Some(Ok(None)) => true,
        Some(Ok(Some(text))) => {
            report::message(&text, None);
            true
        }
        Some(Err(error)) => {
            report::message(&with_sources(&error), error.hint().as_deref());
            false
        }
    }
}

/// Runs a guest to its end. `state` is the installation that the run belongs to, if any.
fn run(request: Request, state: &mut Option<InstallState>) -> Result<Ended, RunError> {
    let (request, begun) = install_state::begin(bootdisk::attach(request))?;
    *state = begun;
    guest::run(&location_server::attach(request), |_| ())
}

/// What a run would do.
fn dry_run(request: Request) -> Result<String, RunError> {
    let (request, state) = install_state::look(bootdisk::attach(request))?;
    plan::text(&location_server::attach(request), state.as_deref())
}
