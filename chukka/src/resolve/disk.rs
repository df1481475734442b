//! What the boot menu of a disk boots (`-bootdisk`).

use location::menu::{self, Choice, Volume};
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
    let volumes = volumes(fetcher, place, None)?;
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
        kernel_is_private: false,
        initrd_is_private: false,
        kernel_sum: None,
        initrds: Vec::new(),
    };
    let kernel = Some(limits.opened(picked.kernel, "kernel")?);
    let initrd = limits.joined(picked.initrds)?;
    Ok(Opened { kernel, initrd, found: Some(found), ..Opened::default() })
}

/// The file systems of a disk, or the one at byte `offset` of it.
///
/// # Errors
/// There is none, or it cannot be read.
pub(super) fn volumes(
    fetcher: &Fetcher,
    place: &Place,
    offset: Option<u64>,
) -> Result<Vec<Volume>, ResolveError> {
    let volumes = match offset {
        None => menu::volumes(fetcher, place),
        Some(offset) => menu::volume_at(fetcher.file(place)?, offset),
    };
    volumes.map_err(|error| {
        let hint = error.hint();
        ResolveError::Disk { source: error.into_problem(), hint }
    })
}
