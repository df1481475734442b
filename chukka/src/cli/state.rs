//! `-state`: an installer that is booted until it has finished.

use std::os::unix::ffi::OsStringExt;

use clap::ArgMatches;

use super::error::CliError;
use super::value::last;
use crate::request::StateConfig;

/// What the state has already.
const HAS: [&str; 8] = [
    "location",
    "kernel",
    "initrd",
    "initrd-inject",
    "preseed",
    "kickstart",
    "autoyast",
    "checksum",
];

/// The state, if there is one.
pub(super) fn state(matches: &ArgMatches) -> Result<Option<StateConfig>, CliError> {
    let Some(directory) = last(matches, "state") else { return Ok(None) };
    if directory.is_empty() {
        return Err(CliError::EmptyPath { option: "state" });
    }
    if let Some(other) = HAS.into_iter().find(|id| last(matches, id).is_some()) {
        return Err(CliError::unsupported(
            format!("-state with -{other}"),
            "the state has kernel, initrd and command line of the installer",
            "it is said when the state is made: chukka fetch --state DIR LOCATION, with its options",
        ));
    }
    let append = last(matches, "append").cloned().unwrap_or_default().into_vec();
    Ok(Some(StateConfig { directory: directory.into(), append }))
}

/// Whether there is anything about the disk that is booted afterwards.
pub(super) fn has_disk(matches: &ArgMatches) -> bool {
    ["bootdisk", "entry"].into_iter().any(|id| last(matches, id).is_some())
}
