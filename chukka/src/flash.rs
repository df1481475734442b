//! The flash chips with the firmware: images opened and locked.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};

use devices::pflash::{FlashBackend, FlashErrorObserver, FlashFile, FlashOperation};
use storage::disk::Disk;
use vm_memory::VolatileSlice;
use vmm::boot::FlashDrive;

use crate::error::FlashFileError;
use crate::report;
use crate::request::DiskConfig;

/// Opens and locks the images.
///
/// # Errors
/// One cannot be used, or is in use.
pub fn open(configs: &[DiskConfig]) -> Result<Vec<FlashDrive>, FlashFileError> {
    configs.iter().enumerate().map(|(unit, config)| drive(unit, config)).collect()
}

fn drive(unit: usize, config: &DiskConfig) -> Result<FlashDrive, FlashFileError> {
    let disk = Disk::open(&config.path, config.options).map_err(|source| FlashFileError {
        unit,
        path: config.path.clone(),
        source,
    })?;
    let name = config.path.display().to_string();
    if let Some(why) = disk.unlocked() {
        report::warnings([format!(
            "the flash image {name} cannot be locked ({why}): keep other programs away from it"
        )]);
    }
    let file = FlashFile { backend: Box::new(Image(disk)), on_error: report_once(name) };
    Ok(FlashDrive { path: config.path.clone(), file })
}

/// Prints the first error of each kind. There may be one for each byte.
fn report_once(name: String) -> FlashErrorObserver {
    let told = Mutex::new(BTreeSet::new());
    Box::new(move |operation: FlashOperation, error: &io::Error| {
        if told.lock().unwrap_or_else(PoisonError::into_inner).insert(operation) {
            report::warnings([format!(
                "the flash image {name}: {operation} failed: {error}; \
                 the firmware may lose variables"
            )]);
        }
    })
}

/// An image as the device wants it.
#[derive(Debug)]
struct Image(Disk);

impl FlashBackend for Image {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn is_read_only(&self) -> bool {
        self.0.options().read_only
    }

    fn read(&self, data: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read(&[VolatileSlice::from(data)], offset)
    }

    fn write(&self, data: &[u8], offset: u64) -> io::Result<()> {
        // The disk takes guest memory, which is never shared as `&[u8]`.
        self.0.write(&[VolatileSlice::from(&mut data.to_vec()[..])], offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}
