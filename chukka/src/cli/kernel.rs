//! `-kernel`, `-initrd`, `-append`; `-location`, `-no-location-args`, `-initrd-inject`, `-preseed`, `-kickstart`, `-autoyast`.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use location::menu::Choice;
use location::{Place, place};

use super::error::CliError;
use super::fetching;
use super::value::{last, raw, texts};
use crate::request::{Answers, BootFiles, BootSource, Injection};

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
    let (injections, answers_at) = answers(matches)?;
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
            let place = Place::parse(place.as_os_str())?;
            for given in [&kernel, &initrd].into_iter().flatten() {
                named(given)?;
            }
            BootFiles::Location { place, kernel, initrd }
        }
        (None, Some(kernel)) => {
            let initrd = initrd.as_deref().map(named).transpose()?;
            BootFiles::Named { kernel: named(&kernel)?, initrd }
        }
        (None, None) => {
            let also = ["initrd", "append"].into_iter().chain(INJECTING.map(|(id, _)| id));
            return match { also }.find(|id| last(matches, id).is_some()) {
                Some(option) => Err(CliError::NeedsKernel { option }),
                None if with_firmware => Ok(None),
                None => Err(CliError::NoKernel),
            };
        }
    };
    let cmdline = cmdline.cloned().unwrap_or_default().into_vec();
    let (fetch, checksums) = (fetching::settings(matches)?, fetching::checksums(matches)?);
    let location_args = matches.get_count("no-location-args") == 0;
    Ok(Some(BootSource { files, injections, answers_at, location_args, cmdline, fetch, checksums }))
}

/// A file by its URL, or of this host.
fn named(given: &Path) -> Result<Place, CliError> {
    Ok(place::url(given).transpose()?.unwrap_or_else(|| Place::Local(given.into())))
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
const INJECTING: [(&str, Answers); 4] = [
    ("initrd-inject", Answers::None),
    ("preseed", Answers::Preseed),
    ("kickstart", Answers::Kickstart),
    ("autoyast", Answers::Autoyast),
];

/// Files for the initrd, and answers that the guest gets itself.
type ForTheGuest = (Vec<Injection>, Vec<(Answers, String)>);

/// The files for the initrd. One that is given twice, as `-initrd-inject ks.cfg -kickstart ks.cfg`, goes there once. Answers with a URL of
/// another host are the guest's to get.
fn answers(matches: &ArgMatches) -> Result<ForTheGuest, CliError> {
    let mut injections: Vec<Injection> = Vec::new();
    let mut answers_at = Vec::new();
    for (option, answers) in INJECTING {
        let all: Vec<_> = raw(matches, option).collect();
        let counting = if answers == Answers::None { 0 } else { all.len().saturating_sub(1) };
        for given in &all[counting..] {
            if given.is_empty() {
                return Err(CliError::EmptyPath { option });
            }
            let given = Path::new(OsStr::from_bytes(given));
            let path = match named(given)? {
                Place::Local(path) => path,
                _ if answers == Answers::None => {
                    let given = given.display();
                    return Err(CliError::unsupported(
                        format!("-{option} {given}"),
                        "only files of this host go into the initrd",
                        "download it first",
                    ));
                }
                _ => {
                    answers_at.push((answers, given.to_string_lossy().into_owned()));
                    continue;
                }
            };
            match injections.iter_mut().find(|known| known.path == path) {
                Some(known) => known.answers = answers,
                None => injections.push(Injection { path, answers }),
            }
        }
    }
    Ok((injections, answers_at))
}
