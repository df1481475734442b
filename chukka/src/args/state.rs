//! `-state`: an installer that is booted until it has finished.

use std::os::unix::ffi::OsStringExt;

use super::error::ArgsError;
use super::options::BootArgs;
use crate::request::StateConfig;

/// The state, if there is one.
pub(super) fn state(args: &BootArgs) -> Result<Option<StateConfig>, ArgsError> {
    let Some(directory) = &args.state else { return Ok(None) };
    if directory.is_empty() {
        return Err(ArgsError::EmptyPath { option: "state" });
    }
    // What the state itself has.
    let others = [
        ("location", args.location.is_some()),
        ("kernel", args.kernel.is_some()),
        ("initrd", args.initrd.is_some()),
        ("initrd-inject", !args.initrd_inject.is_empty()),
        ("preseed", args.preseed.is_some()),
        ("kickstart", args.kickstart.is_some()),
        ("autoyast", args.autoyast.is_some()),
        ("autocf", args.autocf.is_some()),
        ("checksum", !args.checksum.is_empty()),
    ];
    if let Some((other, _)) = others.into_iter().find(|(_, given)| *given) {
        return Err(ArgsError::unsupported(
            format!("-state with -{other}"),
            "the state has the installer's kernel, initrd and command line",
            "give it when you make the state: chukka fetch --state DIR LOCATION, with its options",
        ));
    }
    let append = args.append.clone().unwrap_or_default().into_vec();
    Ok(Some(StateConfig { directory: directory.into(), append }))
}

/// Whether argv names the disk to boot after the installation.
pub(super) fn has_disk(args: &BootArgs) -> bool {
    args.bootdisk.is_some() || !args.entry.is_empty()
}
