//! The guest's disks: images opened and locked, as devices.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use devices::virtio::block::{Block, BlockBackend, BlockOptions, ErrorObserver, Operation};
use storage::disk::{Disk, DiskError, DiskFormat};
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
    let name = config.path.display().to_string();
    if let Some(size) = config.size {
        create(config, size, &name)?;
    }
    let disk = Disk::open_over(&config.path, config.options, config.backing.as_deref())?;
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

/// Creates the image if there is none. Its format is what the user says, or what its name says.
fn create(config: &DiskConfig, size: u64, name: &str) -> Result<(), DiskError> {
    if config.path.exists() {
        let found = storage::disk::info(&config.path, config.options.format)?.size;
        if found != size {
            report::warnings([format!(
                "the disk {name} exists and has {found} bytes: size={size} has no effect"
            )]);
        }
        return Ok(());
    }
    let by_name = DiskFormat::for_name(&config.path);
    storage::disk::create(&config.path, config.options.format.unwrap_or(by_name), size)
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
