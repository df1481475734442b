//! The guest's disks: images opened and locked, as devices.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use devices::disk::{
    Action, BlockBackend, BlockEvent, BlockObserver, Disk, DiskOptions, Operation,
};
use storage::disk::{Disk as DiskImage, DiskError, DiskFormat, Examined};
use vm_memory::VolatileSlice;

use crate::report;
use crate::request::DiskConfig;

/// Opens and locks the images.
///
/// # Errors
/// One cannot be used, or is in use.
pub fn open(configs: &[DiskConfig]) -> Result<Vec<Arc<Disk>>, DiskError> {
    configs.iter().map(|config| disk(config).map(Arc::new)).collect()
}

/// A disk that a run would give to the guest.
#[derive(Debug)]
pub struct Planned {
    /// Its format.
    pub format: DiskFormat,
    /// Bytes that the guest would see.
    pub size: u64,
    /// There is no such image: the run would create it.
    pub is_new: bool,
    /// What is probably a mistake.
    pub warning: Option<String>,
    /// Keeps the image locked, so that a second disk cannot have it.
    _image: Option<Examined>,
}

/// What the guest would get from [`open`]. Checks what that checks, locks included, and neither
/// creates nor changes anything.
///
/// # Errors
/// As of [`open`].
pub fn examine(config: &DiskConfig) -> Result<Planned, DiskError> {
    if let Some(size) = config.size.filter(|_| !config.path.exists()) {
        let format = format_of_new(config);
        storage::disk::check_creation(&config.path, format, size)?;
        return Ok(Planned { format, size, is_new: true, warning: None, _image: None });
    }
    let (path, backing) = (&config.path, config.backing.as_deref());
    let image = DiskImage::examine(path, config.options, backing)?;
    let (format, size) = (image.format, image.size);
    let warning = config.size.and_then(|wanted| other_size(path, wanted, size));
    Ok(Planned { format, size, is_new: false, warning, _image: Some(image) })
}

/// What the user says that a new image is to be, or what its name says.
fn format_of_new(config: &DiskConfig) -> DiskFormat {
    config.options.format.unwrap_or_else(|| DiskFormat::for_name(&config.path))
}

fn disk(config: &DiskConfig) -> Result<Disk, DiskError> {
    let name = config.path.display().to_string();
    if let Some(size) = config.size {
        create(config, size)?;
    }
    let disk = DiskImage::open_over(&config.path, config.options, config.backing.as_deref())?;
    if let Some(why) = disk.unlocked() {
        report::warnings([format!(
            "the disk {name} cannot be locked ({why}): keep other programs away from it"
        )]);
    }
    let options = DiskOptions {
        serial: config.serial.clone(),
        write_cache: config.options.cache.has_write_cache(),
        errors: config.errors,
        observer: reports(name),
    };
    Ok(Disk::new(Box::new(Image(disk)), options))
}

/// A warning if an image that exists has another size than the user asked for.
fn other_size(path: &Path, wanted: u64, found: u64) -> Option<String> {
    let name = path.display();
    (wanted != found).then(|| {
        format!("the disk {name} exists and has {found} bytes: size={wanted} has no effect")
    })
}

/// Creates the image if there is none.
fn create(config: &DiskConfig, size: u64) -> Result<(), DiskError> {
    if config.path.exists() {
        let found = storage::disk::info(&config.path, config.options.format)?.size;
        report::warnings(other_size(&config.path, size, found));
        return Ok(());
    }
    storage::disk::create(&config.path, format_of_new(config), size)
}

/// Reports the first error of each kind: what comes after it is most likely the same, and there may
/// be many. And whenever the guest pauses and goes on.
fn reports(name: String) -> BlockObserver {
    let told = Mutex::new(BTreeSet::new());
    let is_first = move |operation: Operation| {
        told.lock().unwrap_or_else(PoisonError::into_inner).insert(operation)
    };
    Box::new(move |event| {
        let BlockEvent::Failed { operation, error, action } = event else {
            return report::message(
                &format!("the disk {name} works again; the guest goes on"),
                None,
            );
        };
        let follows = match action {
            Action::Report => "the guest sees an I/O error",
            Action::Ignore => "the guest is told that it succeeded",
            Action::Hold => "the guest is paused, and goes on once it succeeds",
        };
        if *action == Action::Hold || is_first(*operation) {
            report::warnings([format!("the disk {name}: {operation} failed: {error}; {follows}")]);
        }
    })
}

/// An image as the device wants it.
#[derive(Debug)]
struct Image(DiskImage);

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
