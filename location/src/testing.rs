//! Trees and servers for unit tests.

pub(crate) mod http;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard};

pub(crate) use storage::testing::{Temp, cpu_time};

use storage::sync::lock;
use storage::{
    Entry, FileError, FileTree, PartitionId, PartitionRole, PartitionTable, RandomAccess, TreePath,
};

/// What a [`Remote`] says of a path.
type Answer = fn(&str) -> Option<FileError>;

/// A place as one on another host is: it has no lists, and counts what it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Remote {
    files: BTreeMap<TreePath, Vec<u8>>,
    /// What it was asked for, in order.
    asked: Mutex<Vec<String>>,
    /// What it says instead of giving a file, or instead of "not there".
    pub answer: Option<Answer>,
}

impl Remote {
    /// One with these files; each holds its own path.
    pub fn of(paths: &[&str]) -> Self {
        let files = paths.iter().map(|path| (TreePath::new(path), path.as_bytes().to_vec()));
        Self { files: files.collect(), ..Self::default() }
    }

    /// What it was asked for, in order.
    pub fn asked(&self) -> MutexGuard<'_, Vec<String>> {
        lock(&self.asked)
    }

    /// Adds a file.
    pub fn file(mut self, path: &str, bytes: &[u8]) -> Self {
        self.files.insert(TreePath::new(path), bytes.to_vec());
        self
    }
}

impl FileTree for Remote {
    fn name(&self) -> &str {
        "http://host/tree"
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        Err(FileError::Unlisted(format!("http://host/tree/{directory}")))
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        let name = path.to_string();
        self.asked().push(name.clone());
        if let Some(error) = self.answer.and_then(|answer| answer(&name)) {
            return Err(error);
        }
        match self.files.get(path) {
            Some(bytes) => Ok(Box::new(Bytes { name, bytes: bytes.clone() })),
            None => Err(FileError::Missing(name)),
        }
    }
}

/// A file system in a partition of a disk.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Its files.
    pub source: Box<dyn FileTree>,
    /// The label of the file system.
    pub label: &'static str,
    /// Its UUID.
    pub uuid: &'static str,
    /// The partition.
    pub id: [PartitionId; 1],
}

impl Partition {
    /// A directory as partition `number` of a GPT. It is for nothing special.
    pub fn new(number: u32, files: &Temp) -> Self {
        let (table, role) = (PartitionTable::Gpt, PartitionRole::Other);
        let id = [PartitionId { table, number, role }];
        Self { source: Box::new(files.source()), label: "", uuid: "", id }
    }

    /// The same, for this.
    pub fn with_role(mut self, role: PartitionRole) -> Self {
        self.id[0].role = role;
        self
    }
}

impl FileTree for Partition {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn volume_label(&self) -> Option<&str> {
        Some(self.label)
    }

    fn volume_uuid(&self) -> Option<&str> {
        Some(self.uuid)
    }

    fn partition(&self) -> &[PartitionId] {
        &self.id
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        self.source.list(directory)
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        self.source.open(path)
    }
}

/// A disk with several file systems, as one place.
#[derive(Debug)]
pub(crate) struct Disk(pub Vec<Box<dyn FileTree>>);

impl FileTree for Disk {
    fn name(&self) -> &str {
        "disk.img"
    }

    fn volumes(&self) -> Vec<&dyn FileTree> {
        self.0.iter().map(|volume| &**volume).collect()
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        let listed = self.0.iter().filter_map(|volume| volume.list(directory).ok());
        Ok(listed.flatten().collect())
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        let opened = self.0.iter().find_map(|volume| volume.open(path).ok());
        opened.ok_or_else(|| FileError::Missing(path.to_string()))
    }
}

/// A file in memory.
#[derive(Debug)]
pub struct Bytes {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl RandomAccess for Bytes {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let at = usize::try_from(at).map_or(self.bytes.len(), |at| at.min(self.bytes.len()));
        let count = to.len().min(self.bytes.len() - at);
        to[..count].copy_from_slice(&self.bytes[at..at + count]);
        Ok(count)
    }
}
