//! What the boot menu of a disk boots (`-bootdisk`).

use firmware::KernelImage;
use location::menu::{self, Choice};
use location::tree::{Installer, Release};
use location::{Fetcher, Place, arguments};

use super::{Files, Found, opened};
use crate::error::StartError;

/// Finds the entry and opens its files.
///
/// # Errors
/// There is no disk, no such entry, or its files are not what they should be.
pub(super) fn find(fetcher: &Fetcher, place: &Place, choice: &Choice) -> Result<Files, StartError> {
    let volumes = menu::volumes(fetcher, place)?;
    let (picked, looks) = menu::pick(&volumes, choice)?;
    let entry = &picked.entry;
    let words: Vec<_> = entry.arguments.split_ascii_whitespace().map(str::to_owned).collect();
    let rule = format!("entry {} '{}' of {}", entry.number, entry.title, picked.place);
    let fetch = |source| StartError::Fetch { name: entry.initrds.join(" + "), source };
    let initrd = menu::joined(picked.initrds).map_err(fetch)?;
    let found = Found {
        place: place.to_string(),
        looks,
        rule,
        installer: Installer::Other,
        release: Release::default(),
        checked: [None, None],
    };
    Ok(Files {
        kernel: KernelImage::of(opened(picked.kernel, "kernel")?)?,
        initrd: initrd.map(|initrd| opened(initrd, "initrd")).transpose()?,
        found: Some(found),
        of_tree: arguments::of_entry(&words),
    })
}
