//! A disk in memory and a host's buffers, for tests.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap, Permissions, VolatileSlice};

use super::HostBuffers;
use crate::buffers::{Buffers, Segment};
use crate::disk::{BlockBackend, Disk, DiskOptions, ErrorPolicy, OnError};

pub(crate) const SECTORS: u64 = 1024;

/// What a disk holds, each sector filled with the low byte of its number, and what was done to it.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub bytes: Vec<u8>,
    pub calls: Vec<String>,
    pub failing: Option<io::ErrorKind>,
}

#[derive(Clone, Debug)]
pub(crate) struct MemoryDisk(pub Arc<Mutex<Content>>);

impl Default for MemoryDisk {
    fn default() -> Self {
        let bytes = (0..SECTORS).flat_map(|sector| [sector.to_le_bytes()[0]; 512]).collect();
        Self(Arc::new(Mutex::new(Content { bytes, ..Content::default() })))
    }
}

impl MemoryDisk {
    /// The disk with a write cache; errors are reported, and those for lack of space waited for.
    pub fn disk(&self) -> Arc<Disk> {
        let options = DiskOptions {
            serial: String::new(),
            write_cache: true,
            errors: ErrorPolicy { read: OnError::Report, write: OnError::Enospc },
            observer: Box::new(|_| {}),
        };
        Arc::new(Disk::new(Box::new(self.clone()), options))
    }

    /// What was done since the last time.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    pub fn fail(&self, kind: Option<io::ErrorKind>) {
        self.0.lock().unwrap().failing = kind;
    }

    fn call(&self, call: String) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        content.calls.push(call);
        content.failing.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl BlockBackend for MemoryDisk {
    fn len(&self) -> u64 {
        self.0.lock().unwrap().bytes.len() as u64
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.call(format!("read {}", offset / 512))?;
        let mut at = usize::try_from(offset).unwrap();
        for slice in to {
            slice.copy_from(&self.0.lock().unwrap().bytes[at..at + slice.len()]);
            at += slice.len();
        }
        Ok(())
    }

    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.call(format!("write {}", offset / 512))?;
        let mut at = usize::try_from(offset).unwrap();
        for slice in from {
            slice.copy_to(&mut self.0.lock().unwrap().bytes[at..at + slice.len()]);
            at += slice.len();
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.call("flush".into())
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        self.call(format!("discard {}..{}", range.start / 512, range.end / 512))
    }

    fn write_zeroes(&self, _: Range<u64>, _: bool) -> io::Result<()> {
        unreachable!("ATA has no such command here")
    }
}

/// A host whose buffer has `room` bytes, at address 0.
#[derive(Debug)]
pub(crate) struct Host {
    pub memory: GuestMemoryMmap,
    pub room: u32,
}

impl Host {
    pub fn new(room: u32) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
        Self { memory, room }
    }

    pub fn bytes(&self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.memory.read_slice(&mut bytes, GuestAddress(0)).unwrap();
        bytes
    }

    pub fn fill(&self, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(0)).unwrap();
    }
}

impl HostBuffers for Host {
    fn room(&self) -> u32 {
        self.room
    }

    fn find(&self, len: u32, access: Permissions) -> Option<Buffers<'_>> {
        let segment = Segment { at: GuestAddress(0), len };
        if len > self.room {
            return None;
        }
        Buffers::new(&self.memory, &[segment], access)
    }
}
