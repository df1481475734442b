//! `chukka restart-install`: an installation begins again.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::{Arg, Command};

use super::{answer, failed, parsed};
use crate::install_state::{self, Phase};

/// `chukka restart-install DIR`.
pub(super) fn run(args: &[OsString]) -> ExitCode {
    let command = Command::new("chukka restart-install")
        .about("Has chukka -state DIR boot the installer again, and the disk when it has finished")
        .arg(
            Arg::new("directory")
                .value_name("DIR")
                .required(true)
                .value_parser(ValueParser::path_buf())
                .help("What chukka fetch --state has made"),
        );
    let matches = match parsed(command, args) {
        Ok(matches) => matches,
        Err(status) => return status,
    };
    let directory = matches.get_one::<PathBuf>("directory").cloned().unwrap_or_default();
    let shown = directory.display();
    match install_state::restart(&directory) {
        Ok(Phase::Installed) => answer(&format!("'{shown}' is pending again\n")),
        Ok(Phase::Pending) => answer(&format!("'{shown}' was pending already\n")),
        Err(error) => failed(&error.into()),
    }
}
