//! `chukka start`: boots the disk of a guest that `chukka install` has installed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};
use vmm::host::signals;

use super::source::switch;
use super::{fail, failed};
use crate::ending::Ending;
use crate::guest;
use crate::install::{self, Course};
use crate::install_state::{InstallState, Phase};
use crate::report::COULD_NOT_RUN;
use crate::run_report::RunReport;

/// Its options.
pub(super) fn command() -> Command {
    Command::new("chukka start")
        .about("Boot the disk of a guest that chukka install has installed")
        .arg(
            Arg::new("directory")
                .value_name("DIR")
                .default_value("guest")
                .value_parser(ValueParser::path_buf())
                .help("The directory of the guest"),
        )
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .value_parser(ValueParser::path_buf())
                .conflicts_with("directory")
                .help("The same, as chukka install spells it"),
        )
        .arg(switch(
            "bootdisk",
            "Boot the kernel of the disk's boot menu directly, without firmware",
        ))
        .arg(
            Arg::new("options")
                .value_name("OPTION")
                .last(true)
                .num_args(0..)
                .value_parser(ValueParser::os_string())
                .help("Further options of chukka for this run, such as -nic or -append"),
        )
}

/// Runs it.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let named = matches.get_one::<PathBuf>("name").or_else(|| matches.get_one("directory"));
    let directory = named.cloned().unwrap_or_default();
    let mut state = match InstallState::open(&directory) {
        Ok(state) => state,
        Err(error) => return failed(&error.into()),
    };
    let shown = directory.display();
    let Some(guest) = state.guest().cloned() else {
        let message = format!(
            "'{shown}' was made by chukka fetch --state: it has an installer, but no guest"
        );
        return fail(&message, &format!("chukka -state {shown} -bootdisk DISK boots it"));
    };
    let course = Course { limit: None, no_reboot: false, only_log: false };
    match state.phase() {
        Phase::Pending => {
            let why = state.failure().unwrap_or("its installer has not finished");
            let message = format!("'{shown}' is not installed: {why}");
            let hint = format!("chukka install --restart-install --state {shown} starts over");
            return fail(&message, &hint);
        }
        Phase::Rebooted => {
            if matches.get_flag("bootdisk") || matches.contains_id("options") {
                let message = format!(
                    "the installation of '{shown}' is not complete: its disk has not booted yet, and \
                     the first boot takes no --bootdisk and no further options"
                );
                return fail(&message, &format!("chukka start {shown} completes it"));
            }
            return match install::run(&mut state, &guest, course)
                .map(|result| install::report(&result))
            {
                Ok(Ok(status)) => ExitCode::from(status),
                Ok(Err(signal)) => signals::die_of(signal),
                Err(error) => failed(&error),
            };
        }
        Phase::Installed => {}
    }
    let started = Instant::now();
    let options: Vec<OsString> =
        matches.get_many("options").into_iter().flatten().cloned().collect();
    let Some(mut run_report) = RunReport::open(&options) else {
        return ExitCode::from(COULD_NOT_RUN);
    };
    let directly = matches.get_flag("bootdisk");
    let mut name = None;
    let result = match install::disk(&directory, &guest, course, directly, &options) {
        Ok(request) => {
            if let Some(status) = guest::go_to_background(&request) {
                return status;
            }
            name.clone_from(&request.vm.name);
            guest::run(&request, &mut run_report, |_| ())
        }
        Err(error) => Err(error),
    };
    let ending = Ending { result: &result, started, name: name.as_deref(), is_quiet: false };
    ending.conclude(&mut run_report, || true)
}
