//! Items. The host builds them before the machine starts and then moves them into the device.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use thiserror::Error;

use crate::data::Data;
use crate::event::ItemName;
use crate::key;

/// Longest name of a file, in bytes, without the terminator (`FW_CFG_MAX_FILE_PATH` - 1).
pub const MAX_NAME: usize = 55;
/// Default capacity of the file directory (`FW_CFG_FILE_SLOTS_DFLT`, hw/nvram/fw_cfg.c in QEMU).
pub const DEFAULT_FILE_SLOTS: u16 = 0x20;
/// Largest capacity of the file directory: the keys from [`key::FILE_FIRST`] to
/// [`key::ENTRY_MASK`].
pub const MAX_FILE_SLOTS: u16 = key::ENTRY_MASK - key::FILE_FIRST + 1;
/// Length of a directory entry in bytes (`struct fw_cfg_file`).
const DIRECTORY_ENTRY: usize = 64;

/// Called after the guest has written to an item, with all bytes of the item, the offset of the
/// first byte written, and how many were written.
pub type OnWrite = Box<dyn FnMut(&[u8], usize, usize) + Send>;

/// Why an item cannot be published.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ItemError {
    /// The file's name is empty, or too long for the directory.
    #[error("The fw_cfg name '{name}' has {} bytes, expected 1 to {MAX_NAME}", name.len())]
    NameLength {
        /// The name.
        name: String,
    },
    /// The name has a zero byte, which would end it.
    #[error("The fw_cfg name '{}' has a zero byte", name.escape_default())]
    NameNul {
        /// The name.
        name: String,
    },
    /// A file of that name exists.
    #[error("There are two fw_cfg files named '{name}'")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The key already has an item.
    #[error("The fw_cfg key {key:#06x} is set twice")]
    KeyTaken {
        /// The key.
        key: u16,
    },
    /// The key is used by the directory or by files, or is beyond the table.
    #[error("The fw_cfg key {key:#06x} is reserved")]
    KeyReserved {
        /// The key.
        key: u16,
    },
    /// The directory is full.
    #[error("No room for the fw_cfg file '{name}': the directory holds {slots} files")]
    DirectoryFull {
        /// The file's name.
        name: String,
        /// The capacity of the directory.
        slots: u16,
    },
    /// The length does not fit in 32 bits.
    #[error("The fw_cfg item '{name}' has {len} bytes, expected fewer than {}", u32::MAX)]
    TooBig {
        /// The file's name, or the key.
        name: String,
        /// Its length in bytes.
        len: u64,
    },
}

/// An item: its contents, and whether the guest may write to it.
pub(crate) struct Item {
    pub data: Data,
    pub on_write: Option<OnWrite>,
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writable = self.on_write.is_some();
        f.debug_struct("Item")
            .field("len", &self.data.len())
            .field("writable", &writable)
            .finish_non_exhaustive()
    }
}

impl Item {
    fn read_only(data: Data) -> Self {
        Self { data, on_write: None }
    }
}

/// The items of a machine, while the host builds it. The device takes all of them at once: none is
/// added after power-on, so the meaning of a key never changes.
#[derive(Debug)]
pub struct Items {
    keyed: BTreeMap<u16, Item>,
    /// Sorted by the bytes of their names, the order of the directory.
    files: BTreeMap<String, Item>,
    slots: u16,
}

impl Default for Items {
    fn default() -> Self {
        Self::new()
    }
}

impl Items {
    /// Creates the signature and feature items, and a directory of [`DEFAULT_FILE_SLOTS`].
    pub fn new() -> Self {
        Self::with_file_slots(DEFAULT_FILE_SLOTS)
    }

    /// Creates the signature and feature items, and a directory for `slots` files. `slots` is
    /// raised to 16 or lowered to [`MAX_FILE_SLOTS`], the bounds of QEMU's `x-file-slots`.
    pub fn with_file_slots(slots: u16) -> Self {
        let id = key::FEATURE_TRADITIONAL | key::FEATURE_DMA;
        let keyed = BTreeMap::from([
            (key::SIGNATURE, Item::read_only(b"QEMU".as_slice().into())),
            (key::ID, Item::read_only(id.into())),
        ]);
        Self { keyed, files: BTreeMap::new(), slots: slots.clamp(0x10, MAX_FILE_SLOTS) }
    }

    /// Sets the item of a well-known key.
    ///
    /// # Errors
    /// The key already has an item or is reserved, or the item is too long.
    pub fn set(&mut self, key: u16, data: impl Into<Data>) -> Result<(), ItemError> {
        let data = data.into();
        if key & key::WRITE_CHANNEL != 0
            || key == key::FILE_DIR
            || key & key::ENTRY_MASK >= key::FILE_FIRST
        {
            return Err(ItemError::KeyReserved { key });
        }
        check_size(&data, || format!("{key:#06x}"))?;
        match self.keyed.entry(key) {
            Entry::Occupied(_) => Err(ItemError::KeyTaken { key }),
            Entry::Vacant(vacant) => {
                vacant.insert(Item::read_only(data));
                Ok(())
            }
        }
    }

    /// Adds a file. Files are numbered in the order of their names, so its key is known only once
    /// all files are added.
    ///
    /// # Errors
    /// The name is empty, too long, taken or has a zero byte, the directory is full, or the item is
    /// too long.
    pub fn add_file(&mut self, name: &str, data: impl Into<Data>) -> Result<(), ItemError> {
        self.insert(name, Item::read_only(data.into()))
    }

    /// Adds a file that the guest may overwrite, within its length. `on_write` is called after each
    /// write.
    ///
    /// # Errors
    /// Those of [`Items::add_file`].
    pub fn add_writable_file(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        on_write: OnWrite,
    ) -> Result<(), ItemError> {
        self.insert(name, Item { data: bytes.into(), on_write: Some(on_write) })
    }

    fn insert(&mut self, name: &str, item: Item) -> Result<(), ItemError> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(ItemError::NameLength { name: name.into() });
        }
        if name.contains('\0') {
            return Err(ItemError::NameNul { name: name.into() });
        }
        check_size(&item.data, || name.into())?;
        if self.files.contains_key(name) {
            return Err(ItemError::Duplicate { name: name.into() });
        }
        if self.files.len() >= usize::from(self.slots) {
            return Err(ItemError::DirectoryFull { name: name.into(), slots: self.slots });
        }
        self.files.insert(name.into(), item);
        Ok(())
    }

    /// The contents of a well-known key's item.
    pub fn get(&self, key: u16) -> Option<&Data> {
        self.keyed.get(&key).map(|item| &item.data)
    }

    /// The contents of a file.
    pub fn file(&self, name: &str) -> Option<&Data> {
        self.files.get(name).map(|item| &item.data)
    }

    /// The names of the files, in the order of the directory.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Encodes the directory, all big-endian: a u32 count, then {u32 length, u16 key, u16 0, 56
    /// bytes of name} for each slot, used or not.
    fn directory(&self) -> Vec<u8> {
        let count = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let mut bytes = count.to_be_bytes().to_vec();
        for (key, (name, item)) in (key::FILE_FIRST..).zip(&self.files) {
            // Length and name were checked when the file was added.
            bytes.extend(u32::try_from(item.data.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend(key.to_be_bytes());
            bytes.extend([0; 2]);
            let mut field = [0; MAX_NAME + 1];
            field[..name.len()].copy_from_slice(name.as_bytes());
            bytes.extend(field);
        }
        bytes.resize(4 + DIRECTORY_ENTRY * usize::from(self.slots), 0);
        bytes
    }

    /// Arranges the items by key.
    pub(crate) fn into_tables(mut self) -> Tables {
        let directory = Item::read_only(self.directory().into());
        self.keyed.insert(key::FILE_DIR, directory);
        let len = usize::from(key::FILE_FIRST + self.slots);
        let empty = || (0..len).map(|_| None).collect();
        let mut tables = Tables { generic: empty(), arch: empty(), names: Vec::new() };
        for (key, item) in self.keyed {
            if let Some(slot) = tables.slot_mut(key) {
                *slot = Some(item);
            }
        }
        for (key, (name, item)) in (key::FILE_FIRST..).zip(self.files) {
            if let Some(slot) = tables.slot_mut(key) {
                *slot = Some(item);
            }
            tables.names.push(name);
        }
        tables
    }
}

/// Items by key. Both tables have the same length, the limit of valid keys (`fw_cfg_max_entry`).
pub(crate) struct Tables {
    generic: Box<[Option<Item>]>,
    arch: Box<[Option<Item>]>,
    /// The names of the files, in the order of their keys.
    names: Vec<String>,
}

impl Tables {
    /// The item of a key, if there is one.
    pub fn get(&self, key: u16) -> Option<&Item> {
        let table = if key & key::ARCH_LOCAL == 0 { &self.generic } else { &self.arch };
        table.get(usize::from(key & key::ENTRY_MASK))?.as_ref()
    }

    /// The item of a key, if there is one, mutably.
    pub fn get_mut(&mut self, key: u16) -> Option<&mut Item> {
        self.slot_mut(key)?.as_mut()
    }

    fn slot_mut(&mut self, key: u16) -> Option<&mut Option<Item>> {
        let table = if key & key::ARCH_LOCAL == 0 { &mut self.generic } else { &mut self.arch };
        table.get_mut(usize::from(key & key::ENTRY_MASK))
    }

    /// Identifies a key, whether or not it has an item.
    pub fn name(&self, key: u16) -> ItemName<'_> {
        let index = (key & !key::WRITE_CHANNEL).checked_sub(key::FILE_FIRST);
        let file = index.and_then(|index| self.names.get(usize::from(index))).map(String::as_str);
        ItemName { key, file, exists: self.get(key).is_some() }
    }

    /// The keys that have items, the architecture's own last.
    pub fn keys(&self) -> impl Iterator<Item = u16> {
        let keys = |first: u16| first..first + u16::try_from(self.generic.len()).unwrap_or(0);
        keys(0).chain(keys(key::ARCH_LOCAL)).filter(|key| self.get(*key).is_some())
    }
}

fn check_size(data: &Data, name: impl FnOnce() -> String) -> Result<(), ItemError> {
    if data.len() >= u64::from(u32::MAX) {
        return Err(ItemError::TooBig { name: name(), len: data.len() });
    }
    Ok(())
}
