//! `-kernel`, `-initrd`, `-append`; `-location`, `-no-location-args`, `-initrd-inject`, `-preseed`,
//! `-kickstart`, `-autoyast`, `-autocf`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use location::menu::Choice;
use location::{Place, arguments, place};

use super::error::ArgsError;
use super::fetching;
use super::options::BootArgs;
use super::refusals::Refusals;
use super::value::{self, texts};
use crate::request::{Answers, BootFiles, BootSource, Injection, SolarisAnswers};

/// Whether argv names a kernel, or where to find one: `-kernel`, `-location`, `-bootdisk` or
/// `-state`.
pub(super) fn has_kernel(args: &BootArgs) -> bool {
    [&args.kernel, &args.location, &args.bootdisk, &args.state].into_iter().any(Option::is_some)
}

/// What to boot. As in QEMU (`qemu_validate_options`, system/vl.c) `-initrd` and `-append` need
/// `-kernel` or, here, `-location`; so does what goes into the initrd. Only firmware can do without
/// a kernel.
pub(super) fn boot(args: &BootArgs, with_firmware: bool) -> Result<Option<BootSource>, ArgsError> {
    let path = |option, given: &Option<OsString>| match given {
        Some(path) if path.is_empty() => Err(ArgsError::EmptyPath { option }),
        path => Ok(path.as_ref().map(PathBuf::from)),
    };
    let mut refusals = Refusals::default();
    let kernel = refusals.value(path("kernel", &args.kernel));
    let initrd = refusals.value(path("initrd", &args.initrd));
    let (injections, answers_at) = refusals.value(answers(args));
    let solaris_answers = args.autocf.as_deref().map(solaris_answers).transpose();
    let solaris_answers = refusals.value(solaris_answers);
    let location = refusals.value(path("location", &args.location));
    let fetch = refusals.value(fetching::settings(args));
    let checksums = refusals.value(fetching::checksums(args));
    if !refusals.is_empty() {
        return refusals.finish(None);
    }
    let files = match (location, kernel) {
        (location, kernel) if args.bootdisk.is_some() => {
            let disk = path("bootdisk", &args.bootdisk)?.unwrap_or_default();
            let others = [("location", location), ("kernel", kernel), ("initrd", initrd)];
            boot_menu(&args.entry, &disk, &others)?
        }
        _ if !args.entry.is_empty() => {
            return Err(ArgsError::unsupported(
                "-entry",
                "it selects an entry of a disk's boot menu, and there is no -bootdisk",
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
            return match needing_a_kernel(args) {
                Some(option) => Err(ArgsError::NeedsKernel { option }),
                None if with_firmware => Ok(None),
                None => Err(ArgsError::NoKernel),
            };
        }
    };
    let cmdline = args.append.clone().unwrap_or_default().into_vec();
    let location_args = !args.no_location_args;
    Ok(Some(BootSource {
        files,
        injections,
        answers_at,
        served_at: None,
        served: None,
        location_args,
        cmdline,
        fetch,
        solaris_answers,
        checksums,
    }))
}

/// The first option given that means nothing without a kernel.
fn needing_a_kernel(args: &BootArgs) -> Option<&'static str> {
    let options = [
        ("initrd", args.initrd.is_some()),
        ("append", args.append.is_some()),
        ("initrd-inject", !args.initrd_inject.is_empty()),
        ("preseed", args.preseed.is_some()),
        ("kickstart", args.kickstart.is_some()),
        ("autoyast", args.autoyast.is_some()),
        ("autocf", args.autocf.is_some()),
    ];
    options.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
}

/// A file by its URL, or of this host.
fn named(given: &Path) -> Result<Place, ArgsError> {
    Ok(place::url(given).transpose()?.unwrap_or_else(|| Place::Local(given.into())))
}

/// `-bootdisk` and `-entry`. The menu names kernel and initrd: nothing else may.
fn boot_menu(
    entry: &[OsString],
    disk: &Path,
    others: &[(&str, Option<PathBuf>)],
) -> Result<BootFiles, ArgsError> {
    if let Some((other, _)) = others.iter().find(|(_, path)| path.is_some()) {
        return Err(ArgsError::unsupported(
            format!("-bootdisk with -{other}"),
            "the disk's boot menu selects the kernel and initrd",
            "give one or the other",
        ));
    }
    let choice = texts(entry, "entry")?.last().map(|entry| Choice::of(entry)).unwrap_or_default();
    Ok(BootFiles::Disk { place: Place::parse(disk.as_os_str())?, choice })
}

/// `-autocf`, as xVM's virt-install has it: the directory of a JumpStart server, or properties for
/// the Automated Installer.
fn solaris_answers(given: &OsStr) -> Result<SolarisAnswers, ArgsError> {
    let option = "autocf";
    let text = value::text(given, option)?;
    let bad = || {
        let expected = "nfs:HOST:/DIR, or NAME=VALUE with commas between several";
        ArgsError::bad(format!("-{option} {text}"), expected)
    };
    if place::url(Path::new(text)).is_some() {
        return match place::url(Path::new(text)).transpose()? {
            Some(Place::Nfs { host, path }) => Ok(SolarisAnswers::JumpStart { server: host, path }),
            _ => Err(bad().with_hint("JumpStart reads its rules by NFS")),
        };
    }
    let properties: Vec<_> = arguments::solaris::properties(text).map(str::to_owned).collect();
    let is_property = |text: &String| {
        text.split_once('=').is_some_and(|(name, _)| !name.is_empty())
            && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if properties.is_empty() || !properties.iter().all(is_property) {
        return Err(bad());
    }
    Ok(SolarisAnswers::Ai(properties))
}

/// Files for the initrd, and answers that the guest gets itself.
type ForTheGuest = (Vec<Injection>, Vec<(Answers, String)>);

/// The files for the initrd. One given twice, as in `-initrd-inject ks.cfg -kickstart ks.cfg`, is
/// added once. The guest itself fetches answers that have a URL.
fn answers(args: &BootArgs) -> Result<ForTheGuest, ArgsError> {
    let one = |option, given: &Option<OsString>, answers| {
        given.clone().map(|given| (option, given, answers))
    };
    let plain = args.initrd_inject.iter().cloned();
    let all = plain.map(|given| ("initrd-inject", given, Answers::None)).chain(
        [
            one("preseed", &args.preseed, Answers::Preseed),
            one("kickstart", &args.kickstart, Answers::Kickstart),
            one("autoyast", &args.autoyast, Answers::Autoyast),
        ]
        .into_iter()
        .flatten(),
    );
    let mut injections: Vec<Injection> = Vec::new();
    let mut answers_at = Vec::new();
    for (option, given, answers) in all {
        if given.is_empty() {
            return Err(ArgsError::EmptyPath { option });
        }
        let given = Path::new(&given);
        let path = match named(given)? {
            Place::Local(path) => path,
            _ if answers == Answers::None => {
                return Err(ArgsError::unsupported(
                    format!("-{option} {}", given.display()),
                    "only files of this host can be added to the initrd",
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
    Ok((injections, answers_at))
}
