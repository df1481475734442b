//! `-kernel`, `-initrd`, `-append`; `-location`, `-initrd-inject`, `-preseed`, `-kickstart`.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use location::Place;
use location::menu::Choice;

use super::error::CliError;
use super::fetching;
use super::value::{last, raw, texts};
use crate::config::{Answers, BootFiles, BootSource, Injection};

/// What to boot. As in QEMU (`qemu_validate_options`, system/vl.c) `-initrd` and `-append` need `-kernel`, here for want of
/// `-location`; so does what goes into the initrd. Only firmware can do without all of them.
pub(super) fn boot(
    matches: &ArgMatches,
    with_firmware: bool,
) -> Result<Option<BootSource>, CliError> {
    let path = |id| match last(matches, id) {
        Some(path) if path.is_empty() => Err(CliError::EmptyPath { option: id }),
        path => Ok(path.map(PathBuf::from)),
    };
    let cmdline = last(matches, "append");
    let (kernel, initrd) = (path("kernel")?, path("initrd")?);
    let injections = injections(matches)?;
    let files = match (path("location")?, kernel) {
        (location, kernel) if last(matches, "bootdisk").is_some() => {
            let others = [("location", location), ("kernel", kernel), ("initrd", initrd)];
            disk(matches, &path("bootdisk")?.unwrap_or_default(), &others)?
        }
        _ if last(matches, "entry").is_some() => {
            return Err(CliError::unsupported(
                "-entry",
                "it picks an entry of a disk's boot menu, and there is no -bootdisk",
                "for example: -bootdisk disk.qcow2 -entry 0",
            ));
        }
        (Some(place), kernel) => {
            BootFiles::Location { place: Place::parse(place.as_os_str())?, kernel, initrd }
        }
        (None, Some(kernel)) => BootFiles::Named { kernel, initrd },
        (None, None) => {
            let also = ["initrd", "append", INJECTING[0].0, INJECTING[1].0, INJECTING[2].0];
            return match also.into_iter().find(|id| last(matches, id).is_some()) {
                Some(option) => Err(CliError::NeedsKernel { option }),
                None if with_firmware => Ok(None),
                None => Err(CliError::NoKernel),
            };
        }
    };
    let cmdline = cmdline.cloned().unwrap_or_default().into_vec();
    let (fetch, checksums) = (fetching::settings(matches)?, fetching::checksums(matches)?);
    Ok(Some(BootSource { files, injections, cmdline, fetch, checksums }))
}

/// `-bootdisk` and `-entry`. The menu names kernel and initrd: nothing else may.
fn disk(
    matches: &ArgMatches,
    disk: &Path,
    others: &[(&str, Option<PathBuf>)],
) -> Result<BootFiles, CliError> {
    if let Some((other, _)) = others.iter().find(|(_, path)| path.is_some()) {
        return Err(CliError::unsupported(
            format!("-bootdisk with -{other}"),
            "a disk's boot menu names kernel and initrd",
            "give one of the two",
        ));
    }
    let choice = texts(matches, "entry")?.last().map(|entry| Choice::of(entry)).unwrap_or_default();
    Ok(BootFiles::Disk { place: Place::parse(disk.as_os_str())?, choice })
}

/// What puts a file into the initrd, and what it then is.
const INJECTING: [(&str, Answers); 3] = [
    ("initrd-inject", Answers::None),
    ("preseed", Answers::Preseed),
    ("kickstart", Answers::Kickstart),
];

/// The files for the initrd. One that is given twice, as `-initrd-inject ks.cfg -kickstart ks.cfg`, goes there once.
fn injections(matches: &ArgMatches) -> Result<Vec<Injection>, CliError> {
    let mut injections: Vec<Injection> = Vec::new();
    for (option, answers) in INJECTING {
        let all: Vec<_> = raw(matches, option).collect();
        let counting = if answers == Answers::None { 0 } else { all.len().saturating_sub(1) };
        for given in &all[counting..] {
            if given.is_empty() {
                return Err(CliError::EmptyPath { option });
            }
            let path = PathBuf::from(OsStr::from_bytes(given));
            match injections.iter_mut().find(|known| known.path == path) {
                Some(known) => known.answers = answers,
                None => injections.push(Injection { path, answers }),
            }
        }
    }
    Ok(injections)
}
