//! `werror=` and `rerror=`: what follows when a disk's image cannot be written or read.

use devices::disk::{ErrorPolicy, OnError};

use super::error::ArgsError;
use super::value::Pair;

const POLICIES: [(&str, OnError); 4] = [
    ("report", OnError::Report),
    ("ignore", OnError::Ignore),
    ("enospc", OnError::Enospc),
    ("stop", OnError::Stop),
];

/// Reads one of the two, for `-OPTION`. As in QEMU, a read cannot fail for want of space.
pub(super) fn read(
    pair: &Pair,
    option: &'static str,
    policy: &mut ErrorPolicy,
) -> Result<(), ArgsError> {
    let is_read = pair.key == "rerror";
    let value = pair.value(option)?;
    let found = POLICIES.iter().find(|(name, _)| *name == value).map(|(_, found)| *found);
    let Some(found) = found.filter(|found| !(is_read && *found == OnError::Enospc)) else {
        let enospc = if is_read { "" } else { ", enospc" };
        return Err(ArgsError::bad(pair.shown(option), format!("report, ignore{enospc} or stop")));
    };
    *(if is_read { &mut policy.read } else { &mut policy.write }) = found;
    Ok(())
}
