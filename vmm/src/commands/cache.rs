//! `chukka cache`: what was fetched, and is kept.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Command;
use location::fetch::cache;

use super::{answer, fail, parsed};

/// `chukka cache path`.
pub(super) fn run(args: &[OsString]) -> ExitCode {
    let command = Command::new("chukka cache")
        .about("What chukka fetched, and keeps")
        .subcommand_required(true)
        .subcommand(Command::new("path").about("Says where it is"));
    let matches = match parsed(command, args) {
        Ok(matches) => matches,
        Err(status) => return status,
    };
    match (matches.subcommand_name(), cache::directory()) {
        (_, None) => fail(
            "There is no directory for a cache: neither XDG_CACHE_HOME nor HOME is set",
            "set XDG_CACHE_HOME, or name one",
        ),
        (_, Some(directory)) => answer(&format!("{}\n", directory.display())),
    }
}
