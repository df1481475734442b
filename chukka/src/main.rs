//! The `chukka` binary: argv in, a guest's console through, one verdict line and an exit status
//! out.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use chukka::args::{self, CalledAs, Invocation};
use chukka::ending::Ending;
use chukka::error::RunError;
use chukka::guest::Ended;
use chukka::install_state::{self, InstallState, StateError};
use chukka::report::{self, COULD_NOT_RUN, with_sources};
use chukka::request::Request;
use chukka::run_report::{RunReport, Verdict};
use chukka::{bootdisk, commands, guest, location_server, plan, reader};
use guest_memory::hint::Hint;

fn main() -> ExitCode {
    let started = Instant::now();
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let args: Vec<_> = args.collect();
    let as_another = reader::run_as(&program).or_else(|| commands::run_as(&program, &args));
    if let Some(status) = as_another.or_else(|| commands::run(&args)) {
        return status;
    }
    let Some(mut run_report) = RunReport::open(&args) else {
        return ExitCode::from(COULD_NOT_RUN);
    };
    let called_as = CalledAs::of(&program);
    let (mut name, mut state) = (None, None);
    let result = match args::parse_as(called_as, args) {
        Ok(Invocation::Print(text)) => return print(&text),
        Ok(Invocation::Boot(request)) => {
            if let Some(status) = guest::go_to_background(&request) {
                return status;
            }
            name.clone_from(&request.vm.name);
            run(*request, &mut state, &mut run_report)
        }
        Ok(Invocation::DryRun(request)) => match dry_run(*request) {
            Ok(text) => {
                let elapsed = started.elapsed();
                run_report.write(
                    Some("dry-run"),
                    &Verdict { status: Some(0), elapsed, ..Verdict::default() },
                );
                return print(&text);
            }
            Err(error) => Err(error),
        },
        Err(error) => Err(error.into()),
    };
    // Before anything else: what comes next may end this process.
    let state = state.map(|state| state.finish(result.as_ref().ok()));
    let is_quiet = called_as == CalledAs::Qemu;
    let ending = Ending { result: &result, started, name: name.as_deref(), is_quiet };
    ending.conclude(&mut run_report, || report_state(state))
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
fn run(
    request: Request,
    state: &mut Option<InstallState>,
    run_report: &mut RunReport,
) -> Result<Ended, RunError> {
    let (request, begun) = install_state::begin(bootdisk::attach(request))?;
    *state = begun;
    guest::run(&location_server::attach(request), run_report, |_| ())
}

/// What a run would do.
fn dry_run(request: Request) -> Result<String, RunError> {
    let (request, state) = install_state::look(bootdisk::attach(request))?;
    plan::text(&location_server::attach(request), state.as_deref())
}
