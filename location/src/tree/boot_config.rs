//! What the boot loader of a medium or a disk would boot: GRUB, GRUB legacy, isolinux, syslinux, extlinux, elilo, and whoever reads the
//! entries of the Boot Loader Specification.

mod bls;
mod elilo;
mod environment;
mod grub;
mod legacy;
mod syslinux;

use storage::{FileTree, RandomAccess, TreePath, read_whole};

/// Bytes that one configuration file may have.
const LIMIT: usize = 1 << 20;
/// Bytes that all of them together may have.
const TOTAL: usize = 2 << 20;
/// How many files are looked for while one configuration is read: what it includes, what its conditions ask for.
const FILES: usize = 256;
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

/// Where the loaders look, in the order of their documentation (syslinux's doc/isolinux.txt and doc/syslinux.txt; extlinux.conf, grub.cfg,
/// menu.lst and elilo.conf where Xen's tools/pygrub looks for them; the Boot Loader Specification).
const PLACES: [(&str, Loader); 35] = [
    ("boot/isolinux/isolinux.cfg", Loader::Syslinux),
    ("isolinux/isolinux.cfg", Loader::Syslinux),
    ("isolinux.cfg", Loader::Syslinux),
    ("boot/syslinux/syslinux.cfg", Loader::Syslinux),
    ("syslinux/syslinux.cfg", Loader::Syslinux),
    ("syslinux.cfg", Loader::Syslinux),
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Its place in its menu, from 0.
    pub position: usize,
    /// What the menu calls it.
    pub title: String,
    /// What configurations call it: an `--id`, a label, a file's name; empty where there is none.
    pub id: String,
}

/// An entry of a boot menu.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its place among all entries of the configuration, from 0; those that boot no kernel count too.
    pub number: usize,
    /// What the menu calls it, with the menus it is in: `Advanced > Rescue`.
    pub title: String,
    /// The menus it is in, outermost first, and itself.
    pub steps: Vec<Step>,
    /// The kernel, as it stands there; empty for what boots none.
    pub kernel: String,
    /// The initrds, as they stand there.
    pub initrds: Vec<String>,
    /// The kernel's command line, without `initrd=`.
    pub arguments: String,
    /// The hypervisor that is to start the kernel, as it stands there; mostly empty.
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

    /// What is behind the kernel with a multiboot loader's modules: a hypervisor and the kernel it starts, or a kernel with its own files
    /// (as Solaris has them).
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

    /// Whether `wanted` means it as GRUB's `default` does: a place in the menu, a title or an `--id`, with `>` behind each menu's.
    fn is_meant_by(&self, wanted: &str) -> bool {
        let wanted: Vec<_> = wanted.split('>').map(str::trim).collect();
        wanted.iter().zip(&self.steps).all(|(wanted, step)| {
            *wanted == step.title
                || (!wanted.is_empty() && *wanted == step.id)
                || wanted.parse() == Ok(step.position)
        })
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
}

/// A configuration that was read.
#[derive(Debug)]
pub struct BootConfig {
    /// Where it is.
    pub path: TreePath,
    /// Whose it is.
    pub loader: Loader,
    /// Its entries that boot a kernel; the one that is booted unasked comes first, those that need a hypervisor last.
    pub entries: Vec<Entry>,
    /// What was booted last, where the loader keeps that.
    saved: String,
    /// Where names in it may begin.
    directories: Vec<TreePath>,
}

impl BootConfig {
    /// Reads all there are in a place.
    pub fn read_all(source: &dyn FileTree) -> Vec<Self> {
        PLACES.iter().filter_map(|(place, loader)| Self::read(source, place, *loader)).collect()
    }

    fn read(source: &dyn FileTree, place: &str, loader: Loader) -> Option<Self> {
        let mut path = TreePath::new(place);
        let mut directories = vec![path.parent(), TreePath::root()];
        let mut files = Files::new(source, path.parent());
        let menu = match loader {
            Loader::Entries => {
                directories.reverse();
                directories.push(path.parent().parent());
                let menu;
                (path, menu) = bls::menu(&path, &mut files)?;
                menu
            }
            _ => {
                let text = files.read(&path)?;
                Self::menu(&text, loader, &mut files)
            }
        };
        Some(Self::of(path, loader, menu, directories))
    }

    /// Reads one whose text is known, which includes nothing.
    #[must_use]
    pub fn of_text(source: &dyn FileTree, path: TreePath, loader: Loader, text: &str) -> Self {
        let mut files = Files::new(source, path.parent());
        let menu = Self::menu(text, loader, &mut files);
        let directories = vec![path.parent(), TreePath::root()];
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
        let Menu { mut entries, defaults, saved } = menu;
        for (number, entry) in entries.iter_mut().enumerate() {
            entry.number = number;
        }
        entries.retain(|entry| !entry.kernel.is_empty());
        entries.sort_by_key(|entry| {
            let default = defaults.iter().position(|index| *index == entry.number);
            (!entry.hypervisor.is_empty(), default.unwrap_or(defaults.len()), entry.number)
        });
        if let Some(first) = entries.first_mut() {
            first.is_default = true;
        }
        Self { path, loader, entries, saved, directories }
    }

    /// The paths that a name in it may mean, in their order: from its own directory, then from the root, which a network's loader
    /// begins at.
    pub fn meanings(&self, name: &str) -> Vec<TreePath> {
        meanings(&self.directories, name)
    }

    /// The entry that `wanted` names: its number, its title with or without its menus, its id, or a path of these with `>` between.
    #[must_use]
    pub fn entry(&self, wanted: &str) -> Option<&Entry> {
        let find = |fits: &dyn Fn(&Entry) -> bool| self.entries.iter().find(|entry| fits(entry));
        if let Ok(number) = wanted.parse::<usize>() {
            return find(&|entry| entry.number == number);
        }
        let own = |entry: &Entry| entry.steps.last().is_some_and(|step| step.title == wanted);
        find(&|entry| entry.title == wanted || own(entry))
            .or_else(|| find(&|entry| !wanted.is_empty() && entry.id() == wanted))
            .or_else(|| find(&|entry| wanted.contains('>') && entry.is_meant_by(wanted)))
    }

    /// The entry that was booted last, where the loader keeps that.
    #[must_use]
    pub fn saved(&self) -> Option<&Entry> {
        let saved = (!self.saved.is_empty()).then_some(&self.saved)?;
        self.entries.iter().find(|entry| entry.is_meant_by(saved))
    }
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

/// The files that a configuration is made of; no more than so many are looked for.
struct Files<'a> {
    source: &'a dyn FileTree,
    directory: TreePath,
    left: usize,
    bytes: usize,
}

impl<'a> Files<'a> {
    fn new(source: &'a dyn FileTree, directory: TreePath) -> Self {
        Self { source, directory, left: FILES, bytes: TOTAL }
    }

    /// What is in the file that a configuration includes.
    fn include(&mut self, name: &str) -> Option<String> {
        self.meanings(name).iter().find_map(|path| self.read(path))
    }

    /// Whether a file is there.
    fn has(&mut self, name: &str) -> bool {
        self.meanings(name).iter().any(|path| self.open(path).is_some())
    }

    fn meanings(&self, name: &str) -> Vec<TreePath> {
        meanings(&[self.directory.clone(), TreePath::root()], name)
    }

    fn open(&mut self, path: &TreePath) -> Option<Box<dyn RandomAccess>> {
        self.left = self.left.checked_sub(1)?;
        self.source.open(path).ok()
    }

    fn read(&mut self, path: &TreePath) -> Option<String> {
        let file = self.open(path)?;
        let bytes = read_whole(&*file, LIMIT.min(self.bytes)).ok()??;
        self.bytes -= bytes.len();
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// `(hd0,gpt2)/boot/vmlinuz` and `($root)/…` without the device, as it is the place that is looked at; several slashes are one.
fn without_device(path: &str) -> String {
    let path = match path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((_, path)) => path,
        None => path,
    };
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
