//! Boot loader configurations of media and disks: GRUB, GRUB legacy, isolinux, syslinux, extlinux,
//! elilo, and loaders that read Boot Loader Specification entries.

mod bls;
pub(crate) mod devices;
mod elilo;
mod environment;
mod grub;
mod legacy;
mod syslinux;
pub(crate) mod unified;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cmdline;
use devices::Devices;
use storage::{FileError, FileTree, RandomAccess, TreePath, read_whole};
use unified::UnifiedImage;

/// Bytes that one configuration file may have.
const LIMIT: usize = 2 << 20;
/// The same as the length of a file.
const SHORT: u64 = LIMIT as u64;
/// Bytes that all of them together may have.
const TOTAL: usize = 4 << 20;
/// What is said where there are more bytes than `TOTAL`.
const TOO_LONG: &str = "the configuration has more than 4 MiB in all";
/// How many files are looked for while one configuration is read: what it includes, what its
/// conditions ask for.
const FILES: usize = 256;
/// How many files that could not be read are named.
const WARNINGS: usize = 8;
/// How many entries a menu may have; those behind are left out.
const ENTRIES: usize = 1 << 12;

/// Whose configuration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loader {
    /// GRUB 2: `grub.cfg`.
    Grub,
    /// The Boot Loader Specification: `loader/entries/*.conf`.
    Entries,
    /// isolinux, syslinux, pxelinux, extlinux.
    Syslinux,
    /// GRUB before 2: `menu.lst`, `grub.conf`.
    GrubLegacy,
    /// elilo.
    Elilo,
    /// None: a system that is known by its kernel's place.
    Known,
}

impl Loader {
    /// The directories in which a kernel or initrd can be whose name does not begin with a slash.
    fn directories(self, configuration: &TreePath) -> Vec<TreePath> {
        let own = configuration.parent();
        let is_pxelinux = own.to_string().rsplit('/').next() == Some("pxelinux.cfg");
        match self {
            // A path begins with a slash on a disk (grub-core/fs/fshelp.c); on a server, it is from
            // the root.
            Self::Grub => vec![TreePath::root()],
            // That of the loader itself (syslinux's doc/pxelinux.txt).
            Self::Syslinux if is_pxelinux => vec![own.parent()],
            Self::Syslinux => vec![own],
            Self::Entries | Self::GrubLegacy | Self::Elilo | Self::Known => {
                vec![own, TreePath::root()]
            }
        }
    }
}

/// Where the loaders look, in their order (syslinux's core/fs/iso9660/iso9660.c and
/// core/fs/lib/loadconfig.c, then where it is usually installed for UEFI; extlinux.conf, grub.cfg, menu.lst and elilo.conf where Xen's tools/pygrub
/// looks for them; the Boot Loader Specification; petitboot's discover/grub2/grub2.c).
const PLACES: [(&str, Loader); 45] = [
    ("boot/isolinux/isolinux.cfg", Loader::Syslinux),
    ("boot/isolinux/syslinux.cfg", Loader::Syslinux),
    ("isolinux/isolinux.cfg", Loader::Syslinux),
    ("isolinux/syslinux.cfg", Loader::Syslinux),
    ("boot/syslinux/isolinux.cfg", Loader::Syslinux),
    ("boot/syslinux/extlinux.conf", Loader::Syslinux),
    ("boot/syslinux/syslinux.cfg", Loader::Syslinux),
    ("syslinux/isolinux.cfg", Loader::Syslinux),
    ("syslinux/extlinux.conf", Loader::Syslinux),
    ("syslinux/syslinux.cfg", Loader::Syslinux),
    ("isolinux.cfg", Loader::Syslinux),
    ("syslinux.cfg", Loader::Syslinux),
    ("EFI/syslinux/syslinux.cfg", Loader::Syslinux),
    ("EFI/BOOT/syslinux.cfg", Loader::Syslinux),
    ("boot/extlinux/extlinux.conf", Loader::Syslinux),
    ("boot/extlinux.conf", Loader::Syslinux),
    ("extlinux/extlinux.conf", Loader::Syslinux),
    ("extlinux.conf", Loader::Syslinux),
    ("pxelinux.cfg/default", Loader::Syslinux),
    ("boot/grub/grub.cfg", Loader::Grub),
    ("boot/grub2/grub.cfg", Loader::Grub),
    ("grub/grub.cfg", Loader::Grub),
    ("grub2/grub.cfg", Loader::Grub),
    ("EFI/BOOT/grub.cfg", Loader::Grub),
    ("EFI/boot/grub.cfg", Loader::Grub),
    ("efi/boot/grub.cfg", Loader::Grub),
    ("grub.cfg", Loader::Grub),
    ("EFI/fedora/grub.cfg", Loader::Grub),
    ("EFI/redhat/grub.cfg", Loader::Grub),
    ("EFI/centos/grub.cfg", Loader::Grub),
    ("loader/entries", Loader::Entries),
    ("boot/loader/entries", Loader::Entries),
    ("boot/grub/menu.lst", Loader::GrubLegacy),
    ("boot/grub/grub.conf", Loader::GrubLegacy),
    ("grub/menu.lst", Loader::GrubLegacy),
    ("grub/grub.conf", Loader::GrubLegacy),
    ("efi/debian/elilo.conf", Loader::Elilo),
    ("efi/gentoo/elilo.conf", Loader::Elilo),
    ("efi/redflag/elilo.conf", Loader::Elilo),
    ("efi/redhat/elilo.conf", Loader::Elilo),
    ("efi/SuSE/elilo.conf", Loader::Elilo),
    ("efi/boot/elilo.conf", Loader::Elilo),
    ("EFI/BOOT/elilo.conf", Loader::Elilo),
    ("EFI/boot/elilo.conf", Loader::Elilo),
    ("elilo.conf", Loader::Elilo),
];

/// One menu on the way to an entry, or the entry itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its place in its menu, from 0.
    pub position: usize,
    /// What the menu calls it.
    pub title: String,
    /// What configurations call it: an `--id`, a label, a file's name; empty where there is none.
    pub id: String,
}

/// An entry of a boot menu.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place among all entries of the configuration, from 0; those that boot no kernel count
    /// too.
    pub number: usize,
    /// What the menu calls it, with the menus it is in: `Advanced > Rescue`.
    pub title: String,
    /// The menus it is in, outermost first, and itself.
    pub steps: Vec<Step>,
    /// The kernel, with its device if that is not the configuration's own volume; empty for what
    /// boots none.
    pub kernel: String,
    /// The initrds, named like the kernel.
    pub initrds: Vec<String>,
    /// The kernel's command line, without `initrd=`.
    pub arguments: String,
    /// Whether the kernel is a unified kernel image, which has initrd and command line in it.
    pub is_unified: bool,
    /// Which of a unified kernel image's profiles it boots, from 0.
    pub profile: usize,
    /// The hypervisor that is to start the kernel, named like it; mostly empty.
    pub hypervisor: String,
    /// Whether it is booted unasked.
    pub is_default: bool,
}

impl Entry {
    /// One in the outermost menu.
    fn new(title: impl Into<String>, id: impl Into<String>) -> Self {
        Self::at(vec![Step { position: 0, title: title.into(), id: id.into() }])
    }

    fn at(steps: Vec<Step>) -> Self {
        let titles: Vec<_> = steps.iter().map(|step| step.title.as_str()).collect();
        Self { title: titles.join(" > "), steps, ..Self::default() }
    }

    /// What configurations call it; empty where there is no such name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.steps.last().map(|step| step.id.as_str()).unwrap_or_default()
    }

    /// The words of its command line; one with a space in double quotes is one word.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let words = cmdline::words(self.arguments.as_bytes());
        words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    /// What is behind the kernel with a multiboot loader's modules: a hypervisor and the kernel it
    /// starts, or a kernel with its own files (as Solaris has them).
    fn set_multiboot(&mut self, (kernel, arguments): (String, String), modules: Vec<Module>) {
        let own = kernel.rsplit('/').next().unwrap_or_default();
        if own.starts_with("xen") {
            self.hypervisor = kernel;
            let mut modules = modules.into_iter();
            (self.kernel, self.arguments) = modules.next().unwrap_or_default();
            self.initrds = modules.map(|(name, _)| name).collect();
        } else {
            (self.kernel, self.arguments) = (kernel, arguments);
            self.initrds = modules.into_iter().map(|(name, _)| name).collect();
        }
    }

    /// Whether it boots memtest86+, which many menus have.
    fn is_memory_test(&self) -> bool {
        self.kernel
            .rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with("memtest") || name.starts_with("mt86plus"))
    }

    /// Whether `name` is this entry's, as in GRUB's `default`: positions, titles or ids of menus
    /// and entry, with `>` between.
    fn has_name(&self, name: &str) -> bool {
        let names = menu_path(name);
        names
            .iter()
            .zip(&self.steps)
            .all(|(name, step)| is_in_menu_named(step.position, &step.title, &step.id, name))
    }
}

/// The names in a path through menus: `Advanced>Rescue`. A doubled `>>` is a `>` in a title.
fn menu_path(path: &str) -> Vec<String> {
    let names = path.replace(">>", "\0");
    names.split('>').map(|name| name.trim().replace('\0', ">")).collect()
}

/// Whether an entry is called `name` in its own menu: by its position, title or id.
fn is_in_menu_named(position: usize, title: &str, id: &str, name: &str) -> bool {
    match name.parse::<usize>() {
        Ok(number) => number == position || name == title || name == id,
        Err(_) => !name.is_empty() && (name == title || name == id),
    }
}

/// A module's name and its words.
type Module = (String, String);

/// What a reader made of a configuration.
#[derive(Debug, Default)]
struct Menu {
    /// All entries in their order, also those that boot no kernel.
    entries: Vec<Entry>,
    /// The indexes of those that are booted unasked: where one cannot be, the next one is.
    defaults: Vec<usize>,
    /// What was booted last, where the loader keeps that: as `default` would name it.
    saved: String,
    /// What could not be followed, for the user.
    warnings: Vec<String>,
}

/// A configuration that was read.
#[derive(Debug)]
pub struct BootConfig {
    /// Where it is.
    pub path: TreePath,
    /// Whose it is.
    pub loader: Loader,
    /// Its entries that boot a kernel; the one that is booted unasked comes first, those that need
    /// a hypervisor last.
    pub entries: Vec<Entry>,
    /// What in it could not be followed, for the user.
    pub warnings: Vec<String>,
    /// What was booted last, where the loader keeps that.
    saved: String,
    /// Whether the first entry is the one that the loader itself would boot.
    is_first_default: bool,
    /// Where names in it may begin.
    directories: Vec<TreePath>,
    /// Which of the place's volumes it is on, if the place has several.
    volume: usize,
}

impl BootConfig {
    /// Reads all configurations of a place. If that is a disk with several file systems, files in
    /// them are named with their device.
    pub fn read_all(place: &dyn FileTree) -> Vec<Self> {
        let volumes = place.volumes();
        if volumes.is_empty() {
            return Self::read_places(place, &|| Devices::alone(place));
        }
        let read = |(volume, source): (usize, &&dyn FileTree)| {
            let devices = || devices_from(place, volume);
            let mut configs = Self::read_places(*source, &devices);
            for config in &mut configs {
                config.volume = volume;
                config.shorten_names(devices().name(0));
            }
            configs
        };
        volumes.iter().enumerate().flat_map(read).collect()
    }

    /// The devices of the place that it was read from; its own is the first.
    pub(crate) fn devices<'a>(&self, place: &'a dyn FileTree) -> Devices<'a> {
        devices_from(place, self.volume)
    }

    /// Whether a name in it means the file that the place has at `path`.
    pub(crate) fn names_file(&self, place: &dyn FileTree, name: &str, path: &TreePath) -> bool {
        if place.volumes().is_empty() {
            return self.meanings(name).contains(path);
        }
        let opened = self.devices(place).open(name, None, &|name| self.meanings(name));
        opened.is_ok_and(|opened| opened.path_in(place) == Some(path))
    }

    /// Reads all configurations of a disk's volume; what they include or refer to can be on
    /// `others`. Files in partitions are named with their device.
    pub fn read_volume(source: &dyn FileTree, others: &[&dyn FileTree]) -> Vec<Self> {
        let volumes: Vec<_> = std::iter::once(source).chain(others.iter().copied()).collect();
        Self::read_places(source, &|| Devices::of(&volumes))
    }

    fn read_places<'a>(source: &dyn FileTree, devices: &dyn Fn() -> Devices<'a>) -> Vec<Self> {
        let mut places: Vec<_> =
            PLACES.iter().map(|(place, loader)| ((*place).to_owned(), *loader)).collect();
        // Every distribution has a directory of its own on an EFI system partition.
        for directory in ["EFI", "boot/efi/EFI"] {
            for vendor in vendors(source, directory) {
                let path = format!("{directory}/{vendor}/grub.cfg");
                if !places.iter().any(|(place, _)| place.eq_ignore_ascii_case(&path)) {
                    places.push((path, Loader::Grub));
                }
            }
        }
        let read = |(place, loader): &(String, Loader)| Self::read(devices(), place, *loader);
        places.iter().filter_map(read).collect()
    }

    fn read(devices: Devices<'_>, place: &str, loader: Loader) -> Option<Self> {
        let mut path = TreePath::new(place);
        let mut directories = loader.directories(&path);
        let mut files = Files::new(devices, path.parent());
        let menu = match loader {
            Loader::Entries => {
                directories.reverse();
                directories.push(path.parent().parent());
                let menu;
                (path, menu) = bls::menu(&path, &mut files)?;
                menu
            }
            _ => match files.read_own(&path) {
                Some(text) => Self::menu(&text, loader, &mut files),
                // It is there, but cannot be read.
                None if !files.warnings.is_empty() => Menu::default(),
                None => return None,
            },
        };
        let mut menu = menu;
        menu.warnings.append(&mut files.warnings);
        menu.warnings.append(&mut files.devices.warnings);
        Some(Self::of(path, loader, menu, directories))
    }

    /// Reads one whose text is known, which includes nothing.
    #[must_use]
    pub fn of_text(source: &dyn FileTree, path: TreePath, loader: Loader, text: &str) -> Self {
        let mut files = Files::new(Devices::alone(source), path.parent());
        let menu = Self::menu(text, loader, &mut files);
        let directories = loader.directories(&path);
        Self::of(path, loader, menu, directories)
    }

    /// One entry of a system that needs no configuration.
    #[must_use]
    pub fn known(path: TreePath, title: &str, kernel: &str, initrd: Option<&str>) -> Self {
        let entry = Entry {
            kernel: kernel.into(),
            initrds: initrd.map(str::to_owned).into_iter().collect(),
            ..Entry::new(title, "")
        };
        let menu = Menu { entries: vec![entry], ..Menu::default() };
        Self::of(path, Loader::Known, menu, vec![TreePath::root()])
    }

    fn menu(text: &str, loader: Loader, files: &mut Files<'_>) -> Menu {
        match loader {
            Loader::Grub => grub::menu(text, files),
            Loader::Syslinux => syslinux::menu(text, files),
            Loader::GrubLegacy => legacy::menu(text, files),
            Loader::Elilo => elilo::menu(text),
            Loader::Entries | Loader::Known => Menu::default(),
        }
    }

    fn of(path: TreePath, loader: Loader, menu: Menu, directories: Vec<TreePath>) -> Self {
        let Menu { mut entries, defaults, saved, mut warnings } = menu;
        if entries.len() >= ENTRIES {
            warnings.push(format!(
                "the menu has {ENTRIES} entries or more: those behind were not read"
            ));
        }
        for (number, entry) in entries.iter_mut().enumerate() {
            entry.number = number;
        }
        // Where the configuration names none, its first entry is the default.
        let default = defaults.first().copied().unwrap_or(0);
        entries.retain(|entry| !entry.kernel.is_empty());
        entries.sort_by_key(|entry| {
            let default = defaults.iter().position(|index| *index == entry.number);
            // A memory test is not what to boot in place of a system.
            let is_substitute = default.is_none() && entry.is_memory_test();
            let rank = u8::from(!entry.hypervisor.is_empty()) + 2 * u8::from(is_substitute);
            (rank, default.unwrap_or(defaults.len()), entry.number)
        });
        if let Some(first) = entries.first_mut() {
            first.is_default = true;
        }
        let is_first_default = entries.first().is_some_and(|entry| entry.number == default);
        Self { path, loader, entries, warnings, saved, is_first_default, directories, volume: 0 }
    }

    /// The paths that a name in it may mean, in their order: from its own directory, then from the
    /// root, which a network's loader begins at.
    pub fn meanings(&self, name: &str) -> Vec<TreePath> {
        meanings(&self.directories, name)
    }

    /// Leaves the device `own` away where files are on it.
    pub(crate) fn shorten_names(&mut self, own: &str) {
        let prefix = format!("({own})");
        for entry in &mut self.entries {
            let names = [&mut entry.kernel, &mut entry.hypervisor].into_iter();
            for name in names.chain(&mut entry.initrds) {
                *name = name.replacen(&prefix, "", usize::from(name.starts_with(&prefix)));
            }
        }
    }

    /// The entry that `wanted` names: its number, its title with or without its menus, its id, or a
    /// path of these with `>` between.
    #[must_use]
    pub fn entry(&self, wanted: &str) -> Option<&Entry> {
        let find = |fits: &dyn Fn(&Entry) -> bool| self.entries.iter().find(|entry| fits(entry));
        if let Ok(number) = wanted.parse::<usize>() {
            return find(&|entry| entry.number == number);
        }
        let own = |entry: &Entry| entry.steps.last().is_some_and(|step| step.title == wanted);
        find(&|entry| entry.title == wanted || own(entry))
            .or_else(|| find(&|entry| !wanted.is_empty() && entry.id() == wanted))
            .or_else(|| find(&|entry| wanted.contains('>') && entry.has_name(wanted)))
    }

    /// Whether the first entry is the one that the loader itself would boot; if not, that one boots
    /// no Linux, or needs a hypervisor.
    #[must_use]
    pub fn is_first_default(&self) -> bool {
        self.is_first_default
    }

    /// What the user should know if the first entry is not the loader's default.
    pub(crate) fn why_not_default(&self, entry: &Entry) -> String {
        let (title, path) = (&entry.title, &self.path);
        format!(
            "Booting the entry '{title}' of {path}, because the default needs a hypervisor or does not boot a Linux kernel"
        )
    }

    /// The entry that was booted last, where the loader keeps that.
    #[must_use]
    pub fn saved(&self) -> Option<&Entry> {
        let saved = (!self.saved.is_empty()).then_some(&self.saved)?;
        self.entries.iter().find(|entry| entry.has_name(saved))
    }
}

/// The devices of a place, with the one of its volumes in front that a configuration is on.
fn devices_from(place: &dyn FileTree, volume: usize) -> Devices<'_> {
    let mut volumes = place.volumes();
    if volumes.is_empty() {
        return Devices::alone(place);
    }
    if let Some(to_own) = volumes.get_mut(..=volume) {
        to_own.rotate_right(1);
    }
    Devices::of(&volumes)
}

fn meanings(directories: &[TreePath], name: &str) -> Vec<TreePath> {
    let root = TreePath::root();
    let absolute = name.starts_with('/');
    let from = directories.iter().filter(|directory| !absolute || **directory == root);
    let mut paths: Vec<_> = from.map(|directory| directory.join(name)).collect();
    if absolute {
        // A loader's root may be a directory of this place: that of a partition of its own.
        paths = vec![TreePath::new(name)];
        let rest = name.trim_start_matches('/');
        paths.extend(directories.get(2).map(|directory| directory.join(rest)));
    }
    paths.dedup();
    paths
}

/// The vendors' directories on an EFI system partition.
fn vendors(source: &dyn FileTree, directory: &str) -> Vec<String> {
    const VENDORS: usize = 32;
    let found = source.list(&TreePath::new(directory)).unwrap_or_default();
    let names = found.into_iter().filter(|entry| entry.is_directory).map(|entry| entry.name);
    names.take(VENDORS).collect()
}

/// The files that a configuration is made of, on its own volume first. The number of look-ups and
/// the bytes read are limited.
struct Files<'a> {
    devices: Devices<'a>,
    /// The device of names without one: GRUB's `$root`.
    root: String,
    /// GRUB's loopback devices.
    loops: BTreeMap<String, Loop>,
    directory: TreePath,
    left: usize,
    bytes: usize,
    /// Files that are there and were not read, for the user.
    warnings: Vec<String>,
}

/// A loopback device of GRUB's.
#[derive(Clone)]
struct Loop {
    /// The name of the image file.
    image: String,
    /// Whether it is there. If not, no file on the device is.
    is_open: bool,
}

impl<'a> Files<'a> {
    fn new(devices: Devices<'a>, directory: TreePath) -> Self {
        let (root, loops) = (devices.name(0).to_owned(), BTreeMap::new());
        let (left, bytes, warnings) = (FILES, TOTAL, Vec::new());
        Self { devices, root, loops, directory, left, bytes, warnings }
    }

    /// The name of a file with its device, as it is handed on ([`devices`]).
    fn absolute(&self, name: &str) -> String {
        let device = devices::split(name).0.unwrap_or(&self.root);
        let path = without_device(name);
        match self.loops.get(device) {
            Some(looped) => format!("({}){path}", looped.image),
            None => self.devices.on_device(device, &path),
        }
    }

    /// The text of a file that a configuration includes.
    fn include(&mut self, name: &str) -> Option<String> {
        let file = self.find(name)?;
        self.text(&*file)
    }

    /// Whether there is a file or directory of this name.
    fn exists(&mut self, name: &str) -> bool {
        self.find(name).is_some() || self.is_directory(name)
    }

    /// Whether there is a directory of this name.
    fn is_directory(&mut self, name: &str) -> bool {
        let (name, directory) = (self.absolute(name), self.directory.clone());
        let is_there = |tree: &dyn FileTree, path: &TreePath| {
            *path == TreePath::root() || tree.list(path).is_ok()
        };
        let look = |tree: &dyn FileTree, path: &str| {
            let paths = meanings(&[directory.clone(), TreePath::root()], path);
            let found = paths.iter().any(|path| is_there(tree, path));
            found.then_some(()).ok_or_else(|| FileError::Missing(path.to_owned()))
        };
        self.look_up().is_some() && self.devices.on(&name, look).is_ok()
    }

    /// Whether there is a file of this name that is not empty.
    fn has_content(&mut self, name: &str) -> bool {
        self.find(name).is_some_and(|file| !file.is_empty())
    }

    /// The device of the first volume that `fits`. Volumes that `hints` name come first.
    fn search(&self, hints: &[&str], fits: impl Fn(&dyn FileTree) -> bool) -> Option<String> {
        let trees = self.devices.trees();
        let mut order = self.devices.search_order(hints).into_iter();
        let found = order.find(|at| trees.get(*at).is_some_and(|tree| fits(*tree)))?;
        Some(self.devices.name(found).to_owned())
    }

    /// The device of the volume with this label.
    fn with_label(&self, label: &str, hints: &[&str]) -> Option<String> {
        self.search(hints, |tree| tree.volume_label() == Some(label))
    }

    /// The device of the volume with this UUID, or of a directory, whose UUID is not known.
    fn with_uuid(&self, uuid: &str, hints: &[&str]) -> Option<String> {
        let fits = |own: &str| !own.is_empty() && own.eq_ignore_ascii_case(uuid);
        self.search(hints, |tree| tree.volume_uuid().is_some_and(fits))
            .or_else(|| self.search(hints, |tree| tree.volume_uuid().is_none()))
    }

    /// The device of the first volume with a file of this name.
    fn with_file(&mut self, name: &str, hints: &[&str]) -> Option<String> {
        self.look_up()?;
        let paths = self.meanings(&without_device(name));
        self.search(hints, |tree| paths.iter().any(|path| tree.open_short(path, SHORT).is_ok()))
    }

    /// The names of what is in a directory.
    fn list(&mut self, directory: &str) -> Vec<String> {
        if self.look_up().is_none() {
            return Vec::new();
        }
        let name = self.absolute(directory);
        let found = self.devices.on(&name, |tree, path| tree.list(&TreePath::new(path)));
        found.unwrap_or_default().into_iter().map(|entry| entry.name).collect()
    }

    fn meanings(&self, name: &str) -> Vec<TreePath> {
        meanings(&[self.directory.clone(), TreePath::root()], name)
    }

    /// Opens a file that is not booted: of a longer one than a configuration may be, the beginning
    /// may be all that there is ([`RandomAccess::is_cut`]).
    fn find(&mut self, name: &str) -> Option<Box<dyn RandomAccess>> {
        let name = self.absolute(name);
        self.find_absolute(&name, Some(SHORT))
    }

    /// Opens a file by a name that [`Self::absolute`] made, all of it or up to `most` bytes.
    fn find_absolute(&mut self, name: &str, most: Option<u64>) -> Option<Box<dyn RandomAccess>> {
        self.look_up()?;
        let directories = [self.directory.clone(), TreePath::root()];
        let opened = self.devices.open(name, most, &|path| meanings(&directories, path));
        Some(opened.ok()?.file)
    }

    fn open(&mut self, volume: &dyn FileTree, path: &TreePath) -> Option<Box<dyn RandomAccess>> {
        self.look_up()?;
        volume.open(path).ok()
    }

    /// Counts a look-up. `None` if there were too many, which the user is told.
    fn look_up(&mut self) -> Option<()> {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        if left.is_none() {
            self.warn(format!("the menu needs more than {FILES} files: the others were not read"));
        }
        left.map(|_| ())
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The text of a file on the configuration's own volume.
    fn read_own(&mut self, path: &TreePath) -> Option<String> {
        let own = *self.devices.trees().first()?;
        self.read_from(own, path)
    }

    fn read_from(&mut self, volume: &dyn FileTree, path: &TreePath) -> Option<String> {
        self.look_up()?;
        let file = volume.open_short(path, SHORT).ok()?;
        self.text(&*file)
    }

    /// The text of a section of a unified kernel image; empty if it has none. `None` if it was not
    /// read, which the user is told.
    fn section(&mut self, image: &UnifiedImage, name: &str) -> Option<String> {
        let Some(section) = image.section(name) else { return Some(String::new()) };
        let text = self.text_up_to(&*section, unified::TEXT)?;
        Some(text.trim_end_matches('\0').to_owned())
    }

    /// The kernel's command line in a unified kernel image; `None` if it was not read.
    fn command_line(&mut self, image: &UnifiedImage) -> Option<String> {
        Some(unified::command_line(&self.section(image, ".cmdline")?))
    }

    /// Counts text that is put together from what was read. `None` if there is too much, which the
    /// user is told: `name` was not read then.
    fn charge(&mut self, bytes: usize, name: &str) -> Option<()> {
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.unwrap_or(0);
        if left.is_none() {
            self.warn(format!("{name} was not read: {TOO_LONG}"));
        }
        left.map(|_| ())
    }

    fn text(&mut self, file: &dyn RandomAccess) -> Option<String> {
        self.text_up_to(file, LIMIT)
    }

    /// The text of a file or section of at most `most` bytes.
    fn text_up_to(&mut self, file: &dyn RandomAccess, most: usize) -> Option<String> {
        let limit = most.min(self.bytes);
        let problem = match read_whole(file, limit) {
            Ok(Some(bytes)) => {
                self.bytes -= bytes.len();
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            Ok(None) if limit < most => TOO_LONG.to_owned(),
            Ok(None) if file.is_cut() => format!("it has more than {most} bytes"),
            Ok(None) => format!("it has {} bytes, expected at most {most}", file.len()),
            Err(error) => format!("it cannot be read: {error}"),
        };
        self.warn(format!("{} was not read: {problem}", file.name()));
        None
    }
}

/// `(hd0,gpt2)/boot/vmlinuz` without the device; several slashes are one.
fn without_device(path: &str) -> String {
    let path = devices::split(path).1;
    let mut clean = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !clean.ends_with('/') {
            clean.push(c);
        }
    }
    clean
}

#[cfg(test)]
mod tests;
