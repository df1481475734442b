//! GRUB's names of devices: `(hd0,gpt2)/boot/vmlinuz` (GRUB's manual, "How to specify devices";
//! `grub_partition_probe` in its grub-core/kern/partition.c).
//!
//! A name that is handed on has either no device, and then is on the configuration's own volume, or
//! a partition of the disk that is read, or an image file in place of a loopback device:
//! `((hd0,gpt2)/medium.iso)/vmlinuz`.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use super::WARNINGS;
use storage::{FileError, FileTree, PartitionId, PartitionTable, RandomAccess, TreePath, image};

/// How deep images can be in images.
const DEPTH: usize = 4;
/// How many images are opened for one configuration.
const IMAGES: usize = 16;
/// What the disk itself is called.
const DISK: &str = "hd0";

/// The file systems that a configuration can name.
#[derive(Debug)]
pub(crate) struct Devices<'a> {
    /// The configuration's own is the first.
    volumes: Vec<Device<'a>>,
    /// The images that were opened, by their names.
    images: BTreeMap<String, Option<Rc<dyn FileTree>>>,
    /// What was assumed, for the user.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
struct Device<'a> {
    tree: &'a dyn FileTree,
    /// `hd0,gpt2`; empty if it is the only one, and in no partition: all names mean it then.
    name: String,
    partition: &'a [PartitionId],
}

/// What a name means.
enum Meaning<'a> {
    /// A file system.
    Tree(Place<'a>),
    /// Another disk, as firmware numbers disks: this one may have had that number.
    OtherDisk,
}

/// A file system that was found.
pub(crate) enum Place<'a> {
    /// One of the disk's.
    Volume(&'a dyn FileTree),
    /// That in an image file.
    Image(Rc<dyn FileTree>),
}

/// A file that was found.
pub(crate) struct Opened<'a> {
    /// The file.
    pub file: Box<dyn RandomAccess>,
    /// The file system that it is on.
    pub place: Place<'a>,
    /// Its path there.
    pub path: TreePath,
}

impl Place<'_> {
    /// Whether it is this volume of the disk.
    pub fn is(&self, volume: &dyn FileTree) -> bool {
        matches!(self, Self::Volume(own) if std::ptr::addr_eq(*own, volume))
    }
}

impl Opened<'_> {
    /// Its path in a place that may join several volumes, if what the place has there is this file.
    pub fn path_in(&self, place: &dyn FileTree) -> Option<&TreePath> {
        let volumes = place.volumes();
        let first = match volumes.is_empty() {
            true => Some(place),
            false => volumes.into_iter().find(|volume| volume.open(&self.path).is_ok()),
        };
        first.filter(|first| self.place.is(*first)).map(|_| &self.path)
    }
}

impl<'a> Deref for Place<'a> {
    type Target = dyn FileTree + 'a;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Volume(tree) => *tree,
            Self::Image(tree) => &**tree,
        }
    }
}

impl<'a> Devices<'a> {
    /// A place that is no disk, or is read as one file system: names of devices say nothing in it.
    pub fn alone(tree: &'a dyn FileTree) -> Self {
        let volumes = vec![Device { tree, name: String::new(), partition: &[] }];
        Self { volumes, images: BTreeMap::new(), warnings: Vec::new() }
    }

    /// The volumes of a disk; a configuration's own is the first.
    pub fn of(volumes: &[&'a dyn FileTree]) -> Self {
        let device = |tree: &&'a dyn FileTree| {
            let partition = tree.partition();
            Device { tree: *tree, name: device_name(partition), partition }
        };
        let volumes = volumes.iter().map(device).collect();
        Self { volumes, images: BTreeMap::new(), warnings: Vec::new() }
    }

    /// The volumes, the configuration's own first.
    pub fn trees(&self) -> Vec<&'a dyn FileTree> {
        self.volumes.iter().map(|volume| volume.tree).collect()
    }

    /// What GRUB calls a volume.
    pub fn name(&self, volume: usize) -> &str {
        let name = self.volumes.get(volume).map_or("", |volume| &volume.name);
        if name.is_empty() { DISK } else { name }
    }

    /// The name of a file on a volume, with its device.
    pub fn on_volume(&self, volume: usize, path: &str) -> String {
        match self.volumes.get(volume).map(|volume| volume.name.as_str()) {
            None | Some("") => path.to_owned(),
            Some(device) => format!("({device}){path}"),
        }
    }

    /// The name of a file on a device, as it is handed on.
    pub fn on_device(&self, device: &str, path: &str) -> String {
        match self.position(device) {
            Some(volume) => self.on_volume(volume, path),
            None => format!("({device}){path}"),
        }
    }

    /// The volumes in the order in which GRUB searches them: those that hints name, then by their
    /// numbers.
    pub fn search_order(&self, hints: &[&str]) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.volumes.len()).collect();
        order.sort_by_key(|at| self.volumes.get(*at).map(|volume| volume.partition));
        let hinted = hints.iter().filter_map(|hint| self.position(hint));
        let mut order: Vec<_> = hinted.chain(order).collect();
        let mut seen = Vec::new();
        order.retain(|at| {
            !seen.contains(at) && {
                seen.push(*at);
                true
            }
        });
        order
    }

    /// The volume with this name.
    pub fn position(&self, device: &str) -> Option<usize> {
        if is_image(device) {
            return None;
        }
        if self.volumes.first()?.name.is_empty() {
            return Some(0);
        }
        let (disk, partition) = device.split_once(',')?;
        let fits = |volume: &Device<'_>| is_named(volume.partition, partition);
        self.volumes.iter().position(fits).filter(|_| disk == DISK)
    }

    /// Opens a file by the first of its meanings that is there, all of it or up to `most` bytes
    /// ([`FileTree::open_short`]).
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(
        &mut self,
        name: &str,
        most: Option<u64>,
        meanings: &dyn Fn(&str) -> Vec<TreePath>,
    ) -> Result<Opened<'a>, FileError> {
        let found = self.find(name, |tree, path| {
            let mut problem = FileError::Missing(name.to_owned());
            for path in meanings(path) {
                match tree.open_up_to(&path, most) {
                    Ok(file) => return Ok((file, path)),
                    Err(error) if error.is_missing() => {}
                    Err(error) => problem = error,
                }
            }
            Err(problem)
        });
        found.map(|(place, (file, path))| Opened { file, place, path })
    }

    /// Looks for a name on its device ([`Self::find`]).
    ///
    /// # Errors
    /// See there.
    pub fn on<T>(
        &mut self,
        name: &str,
        look: impl Fn(&dyn FileTree, &str) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        self.find(name, look).map(|(_, found)| found)
    }

    /// Looks for a name on its device, and says where that is. On a disk that is not known, it is
    /// what the only volume has that has it.
    ///
    /// # Errors
    /// There is no such device, it is ambiguous, or what `look` does not find.
    pub fn find<T>(
        &mut self,
        name: &str,
        look: impl Fn(&dyn FileTree, &str) -> Result<T, FileError>,
    ) -> Result<(Place<'a>, T), FileError> {
        let (device, path) = split(name);
        match self.meaning(name, device, DEPTH)? {
            Meaning::Tree(place) => {
                let found = look(&*place, path)?;
                Ok((place, found))
            }
            Meaning::OtherDisk => {
                let found =
                    |volume: &Device<'a>| Some((look(volume.tree, path).ok()?, volume.tree));
                let mut found = self.volumes.iter().filter_map(found);
                let (first, second) = (found.next(), found.next());
                let Some((first, tree)) = first else {
                    return Err(FileError::Missing(name.to_owned()));
                };
                if second.is_some() {
                    let problem = "which disk that is depends on the firmware, and several partitions have such a file";
                    let hint = "name the files with --kernel and --initrd: (hd0,gpt2)/vmlinuz";
                    return Err(FileError::failure(name, problem, hint));
                }
                let warning = format!(
                    "{name}: which disk that is depends on the firmware; only {} has such a file",
                    tree.name()
                );
                self.warn(warning);
                Ok((Place::Volume(tree), first))
            }
        }
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// What a device's name means; `name` is the file's, for errors.
    fn meaning(
        &mut self,
        name: &str,
        device: Option<&str>,
        depth: usize,
    ) -> Result<Meaning<'a>, FileError> {
        let Some(device) = device else {
            let own = self.volumes.first().ok_or_else(|| FileError::Missing(name.to_owned()))?;
            return Ok(Meaning::Tree(Place::Volume(own.tree)));
        };
        if is_image(device) {
            return Ok(Meaning::Tree(Place::Image(self.image(device, depth)?)));
        }
        if let Some(volume) = self.position(device).and_then(|at| self.volumes.get(at)) {
            return Ok(Meaning::Tree(Place::Volume(volume.tree)));
        }
        if is_other_disk(device) {
            return Ok(Meaning::OtherDisk);
        }
        let problem = "the disk has no such device with a file system that can be read";
        let hint = "check the menu; chukka bootloader --kernel PATH --initrd PATH uses the files that you name";
        Err(FileError::failure(name, problem, hint))
    }

    /// The file system in an image file.
    fn image(&mut self, name: &str, depth: usize) -> Result<Rc<dyn FileTree>, FileError> {
        let refused = |problem: &str| {
            let hint = "extract the files from the image, or use the image itself";
            FileError::failure(name, problem, hint)
        };
        if let Some(known) = self.images.get(name) {
            return known.clone().ok_or_else(|| refused("it has no file system that can be read"));
        }
        let depth = depth.checked_sub(1).ok_or_else(|| refused("it is nested too deeply"))?;
        if self.images.len() >= IMAGES {
            return Err(refused("the menu uses too many images"));
        }
        let (device, path) = split(name);
        let path = TreePath::new(path);
        let file = match self.meaning(name, device, depth)? {
            Meaning::Tree(place) => place.open(&path),
            Meaning::OtherDisk => self.on(name, |tree, _| tree.open(&path)),
        };
        let opened = file.and_then(|file| file_system(file, name));
        if let Err(error) = &opened {
            self.warn(format!("the image {name} was not read: {}", with_cause(error)));
        }
        let known = opened.as_ref().ok().cloned();
        self.images.insert(name.to_owned(), known);
        opened
    }
}

/// The file system that a file is. As in GRUB, a partition in it would be another device.
fn file_system(file: Box<dyn RandomAccess>, name: &str) -> Result<Rc<dyn FileTree>, FileError> {
    let hint = "extract the files from the image, or use the image itself";
    if file.is_sequential() {
        return Err(FileError::failure(name, "it can only be read from its beginning", hint));
    }
    let mut volumes = image::volumes(file.into())?;
    let only =
        volumes.pop().filter(|only| volumes.is_empty() && only.source.partition().is_empty());
    match only {
        Some(volume) => Ok(volume.source.into()),
        None => Err(FileError::failure(name, "it has partitions", hint)),
    }
}

/// `hd0,gpt2`; empty without a partition.
fn device_name(partition: &[PartitionId]) -> String {
    if partition.is_empty() {
        return String::new();
    }
    let parts = partition.iter().map(|id| format!(",{}{}", table_name(id.table), id.number));
    std::iter::once(DISK.to_owned()).chain(parts).collect()
}

/// What GRUB calls a kind of partition table.
pub(crate) fn table_name(table: PartitionTable) -> &'static str {
    match table {
        PartitionTable::Gpt => "gpt",
        PartitionTable::Mbr => "msdos",
        PartitionTable::Solaris => "sunpc",
    }
}

/// Whether `names` are a partition's: `gpt2`, or `2` in any kind of table.
fn is_named(partition: &[PartitionId], names: &str) -> bool {
    let mut names = names.split(',');
    let fits = |id: &PartitionId| {
        names.next().is_some_and(|name| {
            let number = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let table = name.strip_suffix(number).unwrap_or_default();
            number.parse() == Ok(id.number) && (table.is_empty() || table == table_name(id.table))
        })
    };
    partition.iter().all(fits) && names.next().is_none()
}

/// Whether a name is of a disk or drive that firmware numbers, other than a partition of the first
/// disk. Logical volumes, servers and the like are none.
fn is_other_disk(device: &str) -> bool {
    const KINDS: [&str; 5] = ["hd", "cd", "ahci", "ata", "usb"];
    let (disk, partition) = device.split_once(',').unwrap_or((device, ""));
    let is_number = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
    let is_disk = KINDS.iter().any(|kind| disk.strip_prefix(kind).is_some_and(is_number));
    is_disk && (disk != DISK || partition.is_empty())
}

/// An error, and what led to it.
pub(crate) fn with_cause(error: &FileError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Whether a device is an image file.
fn is_image(device: &str) -> bool {
    device.starts_with(['/', '('])
}

/// The device in front of a path, and the path. In the device's name, parentheses are balanced.
pub(crate) fn split(name: &str) -> (Option<&str>, &str) {
    let mut depth = 0_usize;
    for (at, c) in name.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return if at == 0 { (None, name) } else { (name.get(1..at), &name[at + 1..]) };
        }
    }
    (None, name)
}
