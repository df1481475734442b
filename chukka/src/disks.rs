//! The guest's disks: images opened and locked, as devices.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use devices::virtio::block::{Block, BlockBackend, BlockOptions, ErrorObserver, Operation};
use storage::disk::{Disk, DiskError};
use vm_memory::VolatileSlice;

use crate::report;
use crate::request::DiskConfig;

/// Opens and locks the images.
///
/// # Errors
/// One cannot be used, or is in use.
pub fn open(configs: &[DiskConfig]) -> Result<Vec<Arc<Block>>, DiskError> {
    configs.iter().map(|config| disk(config).map(Arc::new)).collect()
}

fn disk(config: &DiskConfig) -> Result<Block, DiskError> {
    let disk = Disk::open(&config.path, config.options)?;
    let name = config.path.display().to_string();
    if let Some(why) = disk.unlocked() {
        report::warnings([format!(
            "the disk {name} cannot be locked ({why}): keep other programs away from it"
        )]);
    }
    let options = BlockOptions {
        serial: config.serial.clone(),
        queues: 1,
        write_cache: config.options.cache.has_write_cache(),
        on_error: report_once(name),
    };
    Ok(Block::new(Box::new(Image(disk)), options))
}

/// Tells of the first error of each kind. What comes after it is most likely the same, and there
/// may be many.
fn report_once(name: String) -> ErrorObserver {
    let told = Mutex::new(BTreeSet::new());
    Box::new(move |operation: Operation, error: &io::Error| {
        if told.lock().unwrap_or_else(PoisonError::into_inner).insert(operation) {
            report::warnings([format!(
                "the disk {name}: {operation} failed: {error}; \
                 the guest sees an I/O error"
            )]);
        }
    })
}

/// An image as the device wants it.
#[derive(Debug)]
struct Image(Disk);

impl BlockBackend for Image {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn is_read_only(&self) -> bool {
        self.0.options().read_only
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.0.read(to, offset)
    }

    fn write(&self, from: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.0.write(from, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }

    fn discard(&self, range: Range<u64>) -> io::Result<()> {
        self.0.discard(range)
    }

    fn write_zeroes(&self, range: Range<u64>, may_unmap: bool) -> io::Result<()> {
        self.0.write_zeroes(range, may_unmap)
    }
}
