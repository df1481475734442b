//! The menus of the boot loaders on a disk, and what one of their entries boots: what Xen's pygrub does (its tools/pygrub).
//!
//! Volume by volume; in each, a system that is known by its kernel's place (Solaris, NetWare), then GRUB 2, the entries of the Boot
//! Loader Specification, syslinux and its relatives, GRUB legacy, elilo. The first entry whose files are there is booted.

mod joined;

use std::sync::Arc;

use thiserror::Error;

use crate::fetch::Fetcher;
use crate::place::{Place, PlaceError};
pub use crate::tree::Look;
pub use crate::tree::boot_config::{BootConfig, Entry, Loader, Step};
pub use joined::joined;
use storage::image;
use storage::{FileError, FileTree, LocalFile, RandomAccess, Slice, TreePath, head};

/// A file system of a disk.
#[derive(Debug)]
pub struct Volume {
    /// What messages call it.
    pub name: String,
    /// What is in it.
    pub source: Box<dyn FileTree>,
}

/// All file systems of a disk; a directory is one.
///
/// # Errors
/// There is none.
pub fn volumes(fetcher: &Fetcher, disk: &Place) -> Result<Vec<Volume>, PlaceError> {
    let whole = fetcher.file(disk).ok().filter(|file| is_image(&**file));
    let Some(file) = whole else {
        let source = fetcher.place(disk)?;
        return Ok(vec![Volume { name: source.name().to_owned(), source }]);
    };
    let found = image::volumes(in_places(file)?)?.into_iter();
    Ok(found.map(|volume| Volume { name: volume.name, source: volume.source }).collect())
}

fn is_image(file: &dyn RandomAccess) -> bool {
    head(file, image::TELLING).is_ok_and(|head| image::kind(&head).is_some())
}

/// The file itself where it can be read in places, else a copy of it.
fn in_places(file: Box<dyn RandomAccess>) -> Result<Arc<dyn RandomAccess>, FileError> {
    if !file.is_sequential() {
        return Ok(file.into());
    }
    let name = file.name().to_owned();
    let copy = file.into_file().and_then(|copy| LocalFile::new(copy, name.clone()));
    Ok(Arc::new(copy.map_err(|source| FileError::Io { name, source })?))
}

/// The file system that begins `offset` bytes behind a disk's beginning.
///
/// # Errors
/// There is none.
pub fn volume_at(fetcher: &Fetcher, disk: &Place, offset: u64) -> Result<Vec<Volume>, PlaceError> {
    let file: Arc<dyn RandomAccess> = fetcher.file(disk)?.into();
    let name = format!("{} from byte {offset}", file.name());
    let slice = Slice::new(file, offset, u64::MAX, name.clone());
    Ok(vec![Volume { name, source: image::open(Arc::new(slice))? }])
}

/// Which entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The one that is booted unasked.
    #[default]
    Default,
    /// The one that was booted last; where that is not known, the one that is booted unasked.
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
    /// Where it is.
    pub volume: &'a Volume,
    /// What it says.
    pub config: BootConfig,
}

/// What an entry boots, with its files open.
#[derive(Debug)]
pub struct Picked {
    /// Where it is: volume and file.
    pub place: String,
    /// What the menu says.
    pub entry: Entry,
    /// The kernel.
    pub kernel: Box<dyn RandomAccess>,
    /// Its initrds, in their order.
    pub initrds: Vec<Box<dyn RandomAccess>>,
}

/// Nothing on the disk can be booted, or not what was asked for.
#[derive(Debug, Error)]
#[error("{problem}{}", shown(.looks))]
pub struct MenuError {
    problem: String,
    hint: &'static str,
    /// Where was looked, in order.
    pub looks: Vec<Look>,
}

impl MenuError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

fn shown(looks: &[Look]) -> String {
    let one = |look: &Look| format!("\n  {}: {}", look.what, look.found);
    looks.iter().map(one).collect()
}

/// All menus, in the order in which they count; where one was looked for and none was found goes to `looks`.
pub fn menus<'a>(volumes: &'a [Volume], looks: &mut Vec<Look>) -> Vec<Menu<'a>> {
    let mut menus = Vec::new();
    for volume in volumes {
        let mut configs: Vec<_> = known(&*volume.source).into_iter().collect();
        let mut read = BootConfig::read_all(&*volume.source);
        read.sort_by_key(|config| config.loader);
        configs.append(&mut read);
        if configs.is_empty() {
            let found = "no grub.cfg, loader/entries, extlinux.conf, isolinux.cfg, menu.lst or elilo.conf where they are looked for";
            looks.push(Look { what: volume.name.clone(), found: found.into() });
        }
        menus.extend(configs.into_iter().map(|config| Menu { volume, config }));
    }
    menus
}

/// Systems that are known by their kernel's place: Solaris as a paravirtual guest, 64 bits before 32, and NetWare.
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
        source.open(&path).ok()?;
        Some(BootConfig::known(path, title, kernel, *initrd))
    })
}

/// Finds the entry and opens its files. What is not on the menu's own volume may be on another one, as it is where `/boot` is one.
///
/// # Errors
/// There is no such entry, or none whose files are there.
pub fn pick(volumes: &[Volume], choice: &Choice) -> Result<(Picked, Vec<Look>), MenuError> {
    let mut looks = Vec::new();
    let menus = menus(volumes, &mut looks);
    for menu in &menus {
        let path = format!("{}/{}", menu.volume.name, menu.config.path);
        let entries = chosen(&menu.config, choice);
        if entries.is_empty() {
            let found = match choice {
                Choice::Entry(wanted) => format!("has no entry '{wanted}' that boots a kernel"),
                _ => "has no entry that boots a kernel".into(),
            };
            looks.push(Look { what: path.clone(), found });
        }
        for entry in entries {
            let what = format!("{path}: '{}': {}", entry.title, entry.kernel);
            match open(menu, entry, volumes) {
                Err(missing) => looks.push(Look { what, found: missing }),
                Ok((kernel, initrds)) => {
                    looks.push(Look { what, found: "there".into() });
                    let (place, entry) = (path, entry.clone());
                    return Ok((Picked { place, entry, kernel, initrds }, looks));
                }
            }
        }
    }
    Err(match (choice, menus.is_empty()) {
        (Choice::Entry(wanted), false) => MenuError {
            problem: format!("No entry '{wanted}' can be booted"),
            hint: "chukka bootloader --list DISK shows the entries; each can be given by its number, title or id",
            looks,
        },
        (_, false) => MenuError {
            problem: "No entry of a boot menu can be booted".into(),
            hint: "name the files: chukka bootloader --kernel /boot/vmlinuz-… --initrd /boot/initrd.img-… DISK",
            looks,
        },
        (_, true) => MenuError {
            problem: "There is no boot menu".into(),
            hint: "is it the right disk, and is a system installed on it? chukka bootloader --kernel PATH --initrd PATH DISK gets files of it by their names",
            looks,
        },
    })
}

/// The entries to try, in their order.
fn chosen<'c>(config: &'c BootConfig, choice: &Choice) -> Vec<&'c Entry> {
    match choice {
        Choice::Entry(wanted) => config.entry(wanted).into_iter().collect(),
        Choice::Saved => config.saved().into_iter().chain(&config.entries).collect(),
        Choice::Default => config.entries.iter().collect(),
    }
}

type Opened = Box<dyn RandomAccess>;

/// The files of an entry; else which one is missing.
fn open(
    menu: &Menu<'_>,
    entry: &Entry,
    volumes: &[Volume],
) -> Result<(Opened, Vec<Opened>), String> {
    let others = volumes.iter().filter(|volume| !std::ptr::eq(*volume, menu.volume));
    let places: Vec<_> = [menu.volume].into_iter().chain(others).collect();
    let file = |name: &str| {
        let mut problem = format!("{name} is not there");
        for volume in &places {
            for path in menu.config.meanings(name) {
                match volume.source.open(&path) {
                    Ok(file) => return Ok(file),
                    Err(error) if error.is_missing() => {}
                    Err(error) => problem = with_cause(&error),
                }
            }
        }
        Err(problem)
    };
    let kernel = file(&entry.kernel)?;
    let initrds = entry.initrds.iter().map(|name| file(name)).collect::<Result<_, _>>()?;
    Ok((kernel, initrds))
}

/// Opens a file that the user names, on the first volume that has it.
///
/// # Errors
/// None has it.
pub fn named(volumes: &[Volume], path: &str) -> Result<(usize, Box<dyn RandomAccess>), FileError> {
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

/// The command line that Solaris as a paravirtual guest wants: what is for Xen, the kernel's own name, the rest.
#[must_use]
pub fn solaris_arguments(kernel: &str, arguments: &str) -> String {
    let words = || arguments.split_whitespace().filter(|word| *word != kernel);
    let is_xen = |word: &&str| word.starts_with("root=") || word.starts_with("ip=");
    let (xen, user) = (words().filter(is_xen), words().filter(|word| !is_xen(word)));
    xen.chain([kernel]).chain(user).collect::<Vec<_>>().join(" ")
}

fn with_cause(error: &FileError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
