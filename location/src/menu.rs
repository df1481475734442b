//! The boot menus on a disk, and what an entry boots: what Xen's pygrub does (tools/pygrub in Xen).
//!
//! Each volume in turn is searched for a system known by the path of its kernel (Solaris, NetWare),
//! then for GRUB 2, the entries of the Boot Loader Specification, syslinux and its relatives, GRUB
//! legacy, elilo. The first entry whose files are there is booted.

mod joined;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::fetch::Fetcher;
use crate::place::{Place, PlaceError};
pub use crate::tree::Attempt;
use crate::tree::boot_config::devices::{self, Devices, Opened, with_cause};
use crate::tree::boot_config::unified::{self, UnifiedImage, Unpacked};
pub use crate::tree::boot_config::{BootConfig, Entry, Loader, Step};
use crate::tree::kernel_candidates;
pub use joined::joined;
use storage::image;
use storage::{FileError, FileTree, LocalFile, RandomAccess, Slice, TreePath, head};

/// A file system of a disk.
#[derive(Debug)]
pub struct Volume {
    /// Its name in messages.
    pub name: String,
    /// Its files.
    pub source: Box<dyn FileTree>,
}

/// All file systems of a disk; a directory is one.
///
/// # Errors
/// The disk has no file system, or cannot be read.
pub fn volumes(fetcher: &Fetcher, disk: &Place) -> Result<Vec<Volume>, PlaceError> {
    let image = fetcher.short_file(disk, image::TELLING as u64).ok();
    if let Some(file) = image.filter(|file| is_image(&**file)) {
        return volumes_of(if file.is_cut() { fetcher.file(disk)? } else { file });
    }
    let source = fetcher.place(disk)?;
    Ok(vec![Volume { name: source.name().to_owned(), source }])
}

/// All file systems of a disk that is open.
///
/// # Errors
/// See [`volumes`].
pub fn volumes_of(file: Box<dyn RandomAccess>) -> Result<Vec<Volume>, PlaceError> {
    let found = image::volumes(with_random_access(file)?)?.into_iter();
    Ok(found.map(|volume| Volume { name: volume.name, source: volume.source }).collect())
}

fn is_image(file: &dyn RandomAccess) -> bool {
    head(file, image::TELLING).is_ok_and(|head| image::kind(&head).is_some())
}

/// The file itself if it has random access, else a copy of it.
fn with_random_access(file: Box<dyn RandomAccess>) -> Result<Arc<dyn RandomAccess>, FileError> {
    if !file.is_sequential() {
        return Ok(file.into());
    }
    let name = file.name().to_owned();
    let copy = file.into_file().and_then(|copy| LocalFile::new(copy, name.clone()));
    Ok(Arc::new(copy.map_err(|source| FileError::Io { name, source })?))
}

/// The file system at byte `offset` of a disk.
///
/// # Errors
/// There is no file system.
pub fn volume_at(file: Box<dyn RandomAccess>, offset: u64) -> Result<Vec<Volume>, PlaceError> {
    let file: Arc<dyn RandomAccess> = file.into();
    let name = format!("{} from byte {offset}", file.name());
    let slice = Slice::new(file, offset, u64::MAX, name.clone());
    Ok(vec![Volume { name, source: image::open(Arc::new(slice))? }])
}

/// Which entry to boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Choice {
    /// The default.
    #[default]
    Default,
    /// The saved entry; the default if none is saved.
    Saved,
    /// A number, a title or an id ([`BootConfig::entry`]).
    Entry(String),
}

impl Choice {
    /// `default`, `saved`, or an entry.
    #[must_use]
    pub fn of(given: &str) -> Self {
        match given {
            "default" => Self::Default,
            "saved" => Self::Saved,
            entry => Self::Entry(entry.to_owned()),
        }
    }
}

/// A menu on a disk.
#[derive(Debug)]
pub struct Menu<'a> {
    /// The volume it is on.
    pub volume: &'a Volume,
    /// Its configuration.
    pub config: BootConfig,
}

/// What an entry boots, with its files open.
#[derive(Debug)]
pub struct Picked {
    /// The menu's volume and path.
    pub place: String,
    /// The menu's entry, with the command line that it boots with.
    pub entry: Entry,
    /// The kernel.
    pub kernel: Box<dyn RandomAccess>,
    /// Its initrds, in their order.
    pub initrds: Vec<Box<dyn RandomAccess>>,
    /// What the user should know: why it is another entry than expected, and what in the menu could
    /// not be followed.
    pub warnings: Vec<String>,
}

/// Nothing on the disk can be booted, or not the entry that was asked for.
#[derive(Debug, Error)]
#[error("{problem}{}", shown(.attempts))]
pub struct MenuError {
    problem: String,
    hint: &'static str,
    /// What the search tried, in order.
    pub attempts: Vec<Attempt>,
}

impl MenuError {
    /// `own`: what to do about a file that a menu names and that cannot be read.
    fn nothing_bootable(
        choice: &Choice,
        is_without_menu: bool,
        attempts: Vec<Attempt>,
        volumes: &[&Volume],
        own: Option<&'static str>,
    ) -> Self {
        let candidates = candidates(volumes);
        let (problem, hint) = match (choice, is_without_menu) {
            (_, true) => (
                format!("There is no boot menu{candidates}"),
                "check that this is the right disk and that a system is installed on it; chukka bootloader --kernel PATH --initrd PATH DISK uses the files that you name",
            ),
            (Choice::Entry(wanted), false) => (
                format!("No entry '{wanted}' can be booted"),
                "chukka bootloader --list DISK lists the entries; choose one by its number, title or id",
            ),
            (_, false) => (
                format!("No entry of a boot menu can be booted{candidates}"),
                "name the files: chukka bootloader --kernel /boot/vmlinuz-… --initrd /boot/initrd.img-… DISK",
            ),
        };
        let hint = own.filter(|_| !is_without_menu).unwrap_or(hint);
        Self { problem, hint, attempts }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

/// Files that look like kernels, for the end of a sentence.
fn candidates(volumes: &[&Volume]) -> String {
    let mut found: Vec<String> = Vec::new();
    for volume in volumes {
        found.extend(kernel_candidates(&*volume.source).into_iter().map(|path| format!("/{path}")));
    }
    found.dedup();
    found.truncate(4);
    match &found[..] {
        [] => String::new(),
        [one] => format!(", but {one} is there"),
        several => format!(", but these are there: {}", several.join(", ")),
    }
}

fn shown(attempts: &[Attempt]) -> String {
    let one = |attempt: &Attempt| format!("{}: {}", attempt.what, attempt.found);
    let all: Vec<_> = attempts.iter().map(one).collect();
    if all.is_empty() { String::new() } else { format!("; tried {}", all.join("; ")) }
}

/// All menus in their order of preference. Volumes without one are noted in `looks`.
pub fn menus<'a>(volumes: &'a [Volume], attempts: &mut Vec<Attempt>) -> Vec<Menu<'a>> {
    let mut menus: Vec<Menu<'a>> = Vec::new();
    for skipped in volumes.iter().flat_map(|volume| volume.source.skipped()) {
        let (what, found) = (skipped.name.clone(), skipped.why.clone());
        attempts.push(Attempt { what, found });
    }
    for (index, volume) in volumes.iter().enumerate() {
        let mut configs: Vec<_> = known(&*volume.source).into_iter().collect();
        let others = volumes.iter().enumerate().filter(|(other, _)| *other != index);
        let others: Vec<_> = others.map(|(_, volume)| &*volume.source).collect();
        let mut read = BootConfig::read_volume(&*volume.source, &others);
        read.sort_by_key(|config| config.loader);
        configs.append(&mut read);
        if configs.is_empty() {
            let found =
                "no grub.cfg, loader/entries, extlinux.conf, isolinux.cfg, menu.lst or elilo.conf";
            attempts.push(Attempt { what: volume.name.clone(), found: found.into() });
        }
        // Entries of two volumes that a boot loader reads as one are found on both.
        configs.retain(|config| {
            let is_same = |menu: &Menu<'_>| menu.config.entries == config.entries;
            config.loader != Loader::Entries || !menus.iter().any(is_same)
        });
        menus.extend(configs.into_iter().map(|config| Menu { volume, config }));
    }
    for menu in &mut menus {
        let own = Devices::of(&[&*menu.volume.source]).name(0).to_owned();
        menu.config.shorten_names(&own);
    }
    menus
}

/// An error if menus were found, and none has an entry that boots a kernel.
///
/// # Errors
/// There is no menu, or there are only such menus.
pub fn require_entries(menus: &[Menu<'_>], mut attempts: Vec<Attempt>) -> Result<(), MenuError> {
    if menus.iter().any(|menu| !menu.config.entries.is_empty()) {
        return Ok(());
    }
    for menu in menus {
        attempts
            .push(Attempt { what: menu.path(), found: "has no entry that boots a kernel".into() });
        attempts.extend(menu.warnings());
    }
    let volumes: Vec<_> = menus.iter().map(|menu| menu.volume).collect();
    let is_without_menu = menus.is_empty();
    Err(MenuError::nothing_bootable(&Choice::Default, is_without_menu, attempts, &volumes, None))
}

impl Menu<'_> {
    fn path(&self) -> String {
        format!("{}/{}", self.volume.name, self.config.path)
    }

    /// Its entries by their numbers, with the command lines that they boot with.
    #[must_use]
    pub fn entries(&self, volumes: &[Volume]) -> Vec<Entry> {
        let mut entries = self.config.entries.clone();
        entries.sort_by_key(|entry| entry.number);
        // A unified kernel image may have one.
        for entry in entries.iter_mut().filter(|entry| entry.arguments.is_empty()) {
            if let Ok((opened, _)) = open(self, entry, volumes) {
                entry.arguments = opened.arguments;
            }
        }
        entries
    }

    /// What in it could not be followed, for the user.
    pub fn warnings(&self) -> impl Iterator<Item = Attempt> {
        let what = self.path();
        self.config
            .warnings
            .iter()
            .map(move |found| Attempt { what: what.clone(), found: found.clone() })
    }
}

/// Systems known by the path of their kernel: Solaris as a paravirtual guest, 64 bits before 32,
/// and NetWare.
fn known(source: &dyn FileTree) -> Option<BootConfig> {
    const KNOWN: [(&str, &str, Option<&str>); 3] = [
        (
            "Solaris, 64 bits",
            "/platform/i86xpv/kernel/amd64/unix",
            Some("/platform/i86pc/amd64/boot_archive"),
        ),
        ("Solaris, 32 bits", "/platform/i86xpv/kernel/unix", Some("/platform/i86pc/boot_archive")),
        ("NetWare", "/nwserver/xnloader.sys", None),
    ];
    KNOWN.iter().find_map(|(title, kernel, initrd)| {
        let path = TreePath::new(kernel);
        source.open_short(&path, 0).ok()?;
        Some(BootConfig::known(path, title, kernel, *initrd))
    })
}

/// Finds the entry and opens its files, each on the device that the menu names.
///
/// # Errors
/// There is no such entry, or none whose files are there.
pub fn pick(volumes: &[Volume], choice: &Choice) -> Result<(Picked, Vec<Attempt>), MenuError> {
    let mut attempts = Vec::new();
    let menus = menus(volumes, &mut attempts);
    // Menus and entries that should have been booted before what is.
    let mut passed = Vec::new();
    let mut hint = None;
    for menu in &menus {
        let path = menu.path();
        let entries = chosen(&menu.config, choice);
        attempts.extend(menu.warnings());
        if entries.is_empty() {
            let found = match choice {
                Choice::Entry(wanted) => format!("has no entry '{wanted}' that boots a kernel"),
                _ => "has no entry that boots a kernel".into(),
            };
            if !matches!(choice, Choice::Entry(_)) {
                passed.push(format!("{path} {found}"));
            }
            attempts.push(Attempt { what: path.clone(), found });
        }
        for entry in entries {
            let what = format!("{path}: '{}': {}", entry.title, entry.kernel);
            match open(menu, entry, volumes) {
                Err(Unopened { why, hint: own }) => {
                    passed.push(format!("'{}' cannot be booted ({why})", entry.title));
                    attempts.push(Attempt { what, found: why });
                    hint = hint.or(own);
                }
                Ok((Unpacked { kernel, initrds, arguments }, notes)) => {
                    attempts.push(Attempt { what, found: "there".into() });
                    let mut warnings = warnings(menu, entry, choice, &passed);
                    warnings.extend(notes);
                    let (place, entry) = (path, Entry { arguments, ..entry.clone() });
                    return Ok((Picked { place, entry, kernel, initrds, warnings }, attempts));
                }
            }
        }
    }
    let volumes: Vec<_> = volumes.iter().collect();
    Err(MenuError::nothing_bootable(choice, menus.is_empty(), attempts, &volumes, hint))
}

/// What the user should know about an entry: that it is another one than the boot loader would
/// boot, and what in its menu could not be followed.
fn warnings(menu: &Menu<'_>, entry: &Entry, choice: &Choice, passed: &[String]) -> Vec<String> {
    let mut warnings: Vec<_> =
        menu.config.warnings.iter().map(|warning| format!("{}: {warning}", menu.path())).collect();
    let title = &entry.title;
    if !passed.is_empty() {
        warnings.push(format!("Booting the entry '{title}', as {}", passed.join(", ")));
    } else if !matches!(choice, Choice::Entry(_))
        && entry.is_default
        && !menu.config.is_first_default()
    {
        warnings.push(menu.config.why_not_default(entry));
    }
    if *choice == Choice::Saved && menu.config.saved().is_none() {
        warnings.push(format!("Booting the entry '{title}', because the menu has no saved entry"));
    }
    warnings
}

/// The entries to try, in their order.
fn chosen<'c>(config: &'c BootConfig, choice: &Choice) -> Vec<&'c Entry> {
    match choice {
        Choice::Entry(wanted) => config.entry(wanted).into_iter().collect(),
        Choice::Saved => config.saved().into_iter().chain(&config.entries).collect(),
        Choice::Default => config.entries.iter().collect(),
    }
}

/// Why the files of an entry cannot be used.
struct Unopened {
    /// As messages have it.
    why: String,
    /// What to do about a file that is there.
    hint: Option<&'static str>,
}

impl From<String> for Unopened {
    fn from(why: String) -> Self {
        Self { why, hint: None }
    }
}

/// Opens the files of an entry; else says which one is missing. The warnings are what was assumed of
/// their devices, and what is left out.
fn open(
    menu: &Menu<'_>,
    entry: &Entry,
    volumes: &[Volume],
) -> Result<(Unpacked, Vec<String>), Unopened> {
    let others = volumes.iter().filter(|volume| !std::ptr::eq(*volume, menu.volume));
    let places = [menu.volume].into_iter().chain(others).map(|volume| &*volume.source);
    let mut devices = Devices::of(&places.collect::<Vec<_>>());
    let mut file = |name: &str| {
        let opened = devices.open(name, None, &|path| menu.config.meanings(path));
        opened.map_err(|error| match error.is_missing() {
            true => Unopened::from(format!("{name} is not there")),
            false => Unopened { why: with_cause(&error), hint: error.hint() },
        })
    };
    let Opened { file: kernel, place, path } = file(&entry.kernel)?;
    let initrds = entry.initrds.iter().map(|name| Ok(file(name)?.file));
    let initrds = initrds.collect::<Result<Vec<_>, Unopened>>()?;
    let name = &entry.kernel;
    let mut warnings = devices.warnings;
    let unpacked = match UnifiedImage::split(kernel).map_err(|error| format!("{name}: {error}"))? {
        Ok(image) => {
            warnings.extend(unified::left_out(&*place, &path));
            image.with_profile(entry.profile).unpacked(initrds, &entry.arguments)?
        }
        Err(_) if entry.is_unified => {
            let why = format!(
                "{name} should be a unified kernel image, but has no .linux section: give the kernel and initrd with --kernel and --initrd, or boot the disk through firmware"
            );
            return Err(why.into());
        }
        Err(kernel) => Unpacked { kernel, initrds, arguments: entry.arguments.clone() },
    };
    Ok((unpacked, warnings))
}

/// Opens a file that the user names: on the partition in front of its path, as `(hd0,gpt2)/vmlinuz`,
/// or on the first volume that has it.
///
/// # Errors
/// None has it.
pub fn named(volumes: &[Volume], path: &str) -> Result<(usize, Box<dyn RandomAccess>), FileError> {
    if let (Some(device), inner) = devices::split(path) {
        let trees: Vec<_> = volumes.iter().map(|volume| &*volume.source).collect();
        let missing = || FileError::Missing(path.to_owned());
        let index = Devices::of(&trees).position(device).ok_or_else(missing)?;
        let volume = volumes.get(index).ok_or_else(missing)?;
        return Ok((index, volume.source.open(&TreePath::new(inner))?));
    }
    let mut first = None;
    for (index, volume) in volumes.iter().enumerate() {
        match volume.source.open(&TreePath::new(path)) {
            Ok(file) => return Ok((index, file)),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| FileError::Missing(path.to_owned())))
}

/// The command line that Solaris as a paravirtual guest wants: what is for Xen, the kernel's own
/// name, the rest.
#[must_use]
pub fn solaris_arguments(kernel: &str, arguments: &str) -> String {
    let words = || arguments.split_whitespace().filter(|word| *word != kernel);
    let is_xen = |word: &&str| word.starts_with("root=") || word.starts_with("ip=");
    let (xen, user) = (words().filter(is_xen), words().filter(|word| !is_xen(word)));
    xen.chain([kernel]).chain(user).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
