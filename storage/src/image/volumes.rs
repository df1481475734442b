//! All file systems of a disk as one tree. A kernel is in the file system for `/boot` or in that
//! for `/`, and its path does not name a partition.

use std::collections::BTreeMap;

use crate::{Entry, FileError, FileTree, PartitionId, RandomAccess, Skipped, TreePath};

/// A file system of an image.
#[derive(Debug)]
pub struct Volume {
    /// What messages call it: the image's name, and the partition's number.
    pub name: String,
    /// What is in it.
    pub source: Box<dyn FileTree>,
}

/// A file system in a partition of a disk.
#[derive(Debug)]
pub(crate) struct InPartition {
    /// The file system.
    pub source: Box<dyn FileTree>,
    /// Its partition, behind those which that one is in.
    pub partition: Vec<PartitionId>,
    /// Other partitions, which cannot be read.
    pub skipped: Vec<Skipped>,
}

impl FileTree for InPartition {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn label(&self) -> Option<&str> {
        self.source.label()
    }

    fn volume_label(&self) -> Option<&str> {
        self.source.volume_label()
    }

    fn volume_uuid(&self) -> Option<&str> {
        self.source.volume_uuid()
    }

    fn partition(&self) -> &[PartitionId] {
        &self.partition
    }

    fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        self.source.list(directory)
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        self.source.open(path)
    }
}

/// Several file systems, looked into in order.
#[derive(Debug)]
pub(crate) struct Volumes {
    name: String,
    volumes: Vec<Volume>,
}

impl Volumes {
    /// Of these; `name` is the disk's.
    pub(crate) fn new(name: String, volumes: Vec<Volume>) -> Self {
        Self { name, volumes }
    }

    /// What to say where none of the volumes has `path`: that one has something else there, or
    /// cannot be read, says more than that another has nothing.
    fn failure(&self, path: &TreePath, failures: Vec<FileError>) -> FileError {
        let telling = failures.into_iter().find(|error| !error.is_missing());
        telling.unwrap_or_else(|| FileError::Missing(format!("{}/{path}", self.name)))
    }
}

impl FileTree for Volumes {
    fn name(&self) -> &str {
        &self.name
    }

    fn label(&self) -> Option<&str> {
        self.volumes.iter().find_map(|volume| volume.source.label())
    }

    fn skipped(&self) -> &[Skipped] {
        self.volumes.first().map(|volume| volume.source.skipped()).unwrap_or_default()
    }

    fn volumes(&self) -> Vec<&dyn FileTree> {
        self.volumes.iter().map(|volume| &*volume.source).collect()
    }

    /// What any of them has there; a name that two have is the first one's.
    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        let (mut names, mut failures, mut any) = (BTreeMap::new(), Vec::new(), false);
        for volume in &self.volumes {
            match volume.source.list(directory) {
                Ok(entries) => {
                    any = true;
                    for entry in entries {
                        names.entry(entry.name).or_insert(entry.is_directory);
                    }
                }
                Err(error) => failures.push(error),
            }
        }
        if !any {
            return Err(self.failure(directory, failures));
        }
        Ok(names.into_iter().map(|(name, is_directory)| Entry { name, is_directory }).collect())
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        let mut failures = Vec::new();
        for volume in &self.volumes {
            match volume.source.open(path) {
                Ok(file) => return Ok(file),
                Err(error) => failures.push(error),
            }
        }
        Err(self.failure(path, failures))
    }
}
