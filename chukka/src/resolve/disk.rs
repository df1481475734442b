//! What the boot menu of a disk boots (`-bootdisk`).

use location::menu::{self, Choice};
use location::tree::{Installer, Release};
use location::{Fetcher, Place};

use super::limits::Limits;
use super::{Found, Opened, words};
use crate::error::ResolveError;

/// Finds the entry and opens its files.
///
/// # Errors
/// There is no disk, no such entry, or its files are not what they should be.
pub(super) fn find(
    fetcher: &Fetcher,
    place: &Place,
    choice: &Choice,
    limits: Limits,
) -> Result<Opened, ResolveError> {
    let volumes = menu::volumes(fetcher, place).map_err(|error| {
        let hint = error.hint();
        ResolveError::Disk { source: error.into_problem(), hint }
    })?;
    let (picked, attempts) = menu::pick(&volumes, choice)?;
    let entry = &picked.entry;
    let rule = format!("entry {} '{}' of {}", entry.number, entry.title, picked.place);
    let found = Found {
        place: place.to_string(),
        attempts,
        rule,
        installer: Installer::Other,
        release: Release::default(),
        arguments: entry.words(),
        install_source: words::InstallSource::default(),
        warnings: picked.warnings.clone(),
        kernel_sum: None,
        initrds: Vec::new(),
    };
    let kernel = Some(limits.opened(picked.kernel, "kernel")?);
    Ok(Opened { kernel, initrd: limits.joined(picked.initrds)?, found: Some(found) })
}
