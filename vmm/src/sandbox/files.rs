//! Which files may still be opened, by Landlock
//! (<https://docs.kernel.org/userspace-api/landlock.html>).

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus,
};

use super::Confined;

/// The rights that are withheld. On a kernel that knows fewer, those that it knows.
const RIGHTS: ABI = ABI::V5;

/// Restricts this thread and those that it starts. A path that does not exist is left out: it
/// cannot be opened either way.
pub(super) fn restrict(
    read: &[PathBuf],
    write: &[PathBuf],
    remove: &[PathBuf],
) -> io::Result<Confined> {
    let all = AccessFs::from_all(RIGHTS);
    let mut rules =
        Ruleset::default().handle_access(all).and_then(Ruleset::create).map_err(failed)?;
    let to_read = AccessFs::ReadFile | AccessFs::ReadDir;
    let read = read.iter().map(|path| (path, to_read));
    let write = write.iter().map(|path| (path, to_read | AccessFs::from_write(RIGHTS)));
    let remove = remove.iter().map(|path| (path, AccessFs::RemoveFile.into()));
    for (path, access) in read.chain(write).chain(remove) {
        if let Ok(fd) = PathFd::new(path) {
            let file_only = AccessFs::from_file(RIGHTS);
            let access = if path.is_dir() { access } else { access & file_only };
            rules = rules.add_rule(PathBeneath::new(fd, access)).map_err(failed)?;
        }
    }
    let status = rules.restrict_self().map_err(failed)?;
    Ok(match status.ruleset {
        RulesetStatus::NotEnforced => Confined::WithoutLandlock,
        _ => Confined::Fully,
    })
}

fn failed(error: RulesetError) -> io::Error {
    io::Error::other(error)
}
