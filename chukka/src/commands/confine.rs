//! What programs that read disks and servers by themselves, such as Xen's bootloaders, give up
//! before they parse anything from outside: a user's rights (`--runas`), and everything else that
//! they do not need.

use std::io;
use std::path::Path;

use location::Place;
use location::fetch::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use vmm::sandbox::HostUser;

use super::xen_output::FILE_LIMIT;
use crate::reader;
use crate::report::{self, with_sources};

/// Gives up all rights but those of `uid`, which is a number, or 0 for no change. There is one
/// thread only. Files that are open stay open, also those that `uid` could not open.
///
/// # Errors
/// What is wrong, as a message.
pub(super) fn become_user(uid: u64) -> Result<(), String> {
    if uid == 0 {
        return Ok(());
    }
    let confined = u32::try_from(uid).map_err(io::Error::other).and_then(drop_rights);
    confined.map_err(|error| format!("Cannot become the user {uid}: {error}"))
}

/// Confines this program, which is going to read `places` and to write to `written`: see
/// [`vmm::sandbox::ReaderSandbox`]. There is one thread only.
///
/// # Errors
/// What is wrong, as a message.
pub(super) fn to_places(
    places: Vec<Place>,
    written: &[&Path],
    fetch: &mut Settings,
) -> Result<(), String> {
    let warning = reader::enter_in_place(places, written, fetch);
    report::warnings(warning.map_err(|error| with_sources(&error))?.as_slice());
    Ok(())
}

fn drop_rights(uid: u32) -> io::Result<()> {
    let mut limit: Rlimit = getrlimit(Resource::Fsize);
    limit.current = Some(FILE_LIMIT);
    limit.maximum = Some(FILE_LIMIT);
    setrlimit(Resource::Fsize, limit)?;
    HostUser { uid, gid: uid, groups: Vec::new() }.assume()
}
