//! Items: built by the host before the machine starts, then moved into the device.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use thiserror::Error;

use crate::data::Data;
use crate::event::ItemName;
use crate::key;

/// Longest name of a file, in bytes; the directory has room for one more, the terminator (`FW_CFG_MAX_FILE_PATH`).
pub const MAX_NAME: usize = 55;
/// How many files there can be unless more is asked for (`FW_CFG_FILE_SLOTS_DFLT`, hw/nvram/fw_cfg.c).
pub const DEFAULT_FILE_SLOTS: u16 = 0x20;
/// How many files there can be at most: the keys from [`key::FILE_FIRST`] to [`key::ENTRY_MASK`].
pub const MAX_FILE_SLOTS: u16 = key::ENTRY_MASK - key::FILE_FIRST + 1;
/// Bytes of an entry of the file directory (`struct fw_cfg_file`).
const DIRECTORY_ENTRY: usize = 64;

/// Called after the guest has written to an item: with all of the item's bytes, and the first byte written and how many.
pub type OnWrite = Box<dyn FnMut(&[u8], usize, usize) + Send>;

/// Why an item cannot be published.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ItemError {
    /// A file without a name, or with one that the directory cannot hold.
    #[error("The fw_cfg name '{name}' has {} bytes, expected 1 to {MAX_NAME}", name.len())]
    NameLength {
        /// The name.
        name: String,
    },
    /// The name has a byte that would end it early.
    #[error("The fw_cfg name '{}' has a zero byte", name.escape_default())]
    NameNul {
        /// The name.
        name: String,
    },
    /// There is a file of that name.
    #[error("There are two fw_cfg files named '{name}'")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// The key has an item.
    #[error("The fw_cfg key {key:#06x} is set twice")]
    KeyTaken {
        /// The key.
        key: u16,
    },
    /// The key belongs to the directory or to files, or is beyond the table.
    #[error("The fw_cfg key {key:#06x} is not free to be set")]
    KeyReserved {
        /// The key.
        key: u16,
    },
    /// More files than the directory has room for.
    #[error("The fw_cfg file '{name}' is one too many: the directory has room for {slots}")]
    DirectoryFull {
        /// The file's name.
        name: String,
        /// How many files there can be.
        slots: u16,
    },
    /// Sizes are 32 bits wide.
    #[error("The fw_cfg item '{name}' has {len} bytes, expected fewer than {}", u32::MAX)]
    TooBig {
        /// The file's name, or the key.
        name: String,
        /// Bytes it has.
        len: u64,
    },
}

/// One item: what it holds, and whether the guest may write to it.
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

/// The items of a machine, while it is being put together. The device takes them whole: nothing is added after power-on, and so
/// no key ever changes its meaning.
#[derive(Debug)]
pub struct Items {
    keyed: BTreeMap<u16, Item>,
    /// Sorted by name, byte by byte: the order of the directory.
    files: BTreeMap<String, Item>,
    slots: u16,
}

impl Default for Items {
    fn default() -> Self {
        Self::new()
    }
}

impl Items {
    /// Signature and features, and room for [`DEFAULT_FILE_SLOTS`] files.
    pub fn new() -> Self {
        Self::with_file_slots(DEFAULT_FILE_SLOTS)
    }

    /// Signature and features, and room for `slots` files: at least 16, at most [`MAX_FILE_SLOTS`], as QEMU's `x-file-slots`.
    pub fn with_file_slots(slots: u16) -> Self {
        let id = key::FEATURE_TRADITIONAL | key::FEATURE_DMA;
        let keyed = BTreeMap::from([
            (key::SIGNATURE, Item::read_only(b"QEMU".as_slice().into())),
            (key::ID, Item::read_only(id.into())),
        ]);
        Self { keyed, files: BTreeMap::new(), slots: slots.clamp(0x10, MAX_FILE_SLOTS) }
    }

    /// Gives a well-known key its item.
    ///
    /// # Errors
    /// The key has one, belongs to files or to the directory, or the item is too big.
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

    /// Adds a file. Its key is known when all are there: the files are numbered by their names' order.
    ///
    /// # Errors
    /// The name is empty, too long or taken, there are too many files, or the item is too big.
    pub fn add_file(&mut self, name: &str, data: impl Into<Data>) -> Result<(), ItemError> {
        self.insert(name, Item::read_only(data.into()))
    }

    /// Adds a file that the guest may write to, within its size. `on_write` hears of each write.
    ///
    /// # Errors
    /// As [`Items::add_file`].
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

    /// What a well-known key holds.
    pub fn get(&self, key: u16) -> Option<&Data> {
        self.keyed.get(&key).map(|item| &item.data)
    }

    /// What a file holds.
    pub fn file(&self, name: &str) -> Option<&Data> {
        self.files.get(name).map(|item| &item.data)
    }

    /// The names of the files, in the directory's order.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The directory: a u32 count, then {u32 size, u16 key, u16 0, 56 bytes of name} for each slot, used or not. All big-endian.
    fn directory(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + DIRECTORY_ENTRY * usize::from(self.slots));
        let count = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        bytes.extend(count.to_be_bytes());
        for (key, (name, item)) in (key::FILE_FIRST..).zip(&self.files) {
            // Both were checked when the file was added.
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

    /// The items by key.
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

/// Items by key. Both tables have the same length, which is the limit of valid keys (`fw_cfg_max_entry`).
pub(crate) struct Tables {
    generic: Box<[Option<Item>]>,
    arch: Box<[Option<Item>]>,
    /// Of the files, in the order of their keys.
    names: Vec<String>,
}

impl Tables {
    /// The item of a key, if there is one.
    pub fn get(&self, key: u16) -> Option<&Item> {
        let table = if key & key::ARCH_LOCAL == 0 { &self.generic } else { &self.arch };
        table.get(usize::from(key & key::ENTRY_MASK))?.as_ref()
    }

    /// The item of a key, if there is one, to write to.
    pub fn get_mut(&mut self, key: u16) -> Option<&mut Item> {
        self.slot_mut(key)?.as_mut()
    }

    fn slot_mut(&mut self, key: u16) -> Option<&mut Option<Item>> {
        let table = if key & key::ARCH_LOCAL == 0 { &mut self.generic } else { &mut self.arch };
        table.get_mut(usize::from(key & key::ENTRY_MASK))
    }

    /// What a key is called, whether there is an item or not.
    pub fn name(&self, key: u16) -> ItemName<'_> {
        let index = (key & !key::WRITE_CHANNEL).checked_sub(key::FILE_FIRST);
        let file = index.and_then(|index| self.names.get(usize::from(index))).map(String::as_str);
        ItemName { key, file, exists: self.get(key).is_some() }
    }

    /// The keys that have items: the architecture's own last.
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
