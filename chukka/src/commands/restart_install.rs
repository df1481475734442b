//! `chukka restart-install`: an installation begins again.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};

use super::{answer, failed};
use crate::install_state::{self, Phase};

/// `chukka restart-install DIR`.
pub(super) fn command() -> Command {
    Command::new("chukka restart-install")
        .about("Make chukka -state DIR boot the installer again, and its disk once it has finished")
        .arg(
            Arg::new("directory")
                .value_name("DIR")
                .required(true)
                .value_parser(ValueParser::path_buf())
                .help("The directory that chukka fetch --state made"),
        )
}

/// Runs it.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let directory = matches.get_one::<PathBuf>("directory").cloned().unwrap_or_default();
    let shown = directory.display();
    match install_state::restart(&directory) {
        Ok(Phase::Installed | Phase::Rebooted) => answer(&format!("'{shown}' is pending again\n")),
        Ok(Phase::Pending) => answer(&format!("'{shown}' was already pending\n")),
        Err(error) => failed(&error.into()),
    }
}
