//! The guest's CD drives: images opened and locked, as targets of a SCSI controller.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use devices::scsi::cdrom::{CdRom, Disc};
use devices::scsi::target::Target;
use devices::virtio::scsi::Scsi;
use storage::disk::{Disk, DiskError};
use thiserror::Error;
use vm_memory::VolatileSlice;

use crate::report;
use crate::request::DiskConfig;

/// Why a CD cannot be put into its drive.
#[derive(Debug, Error)]
#[error("The CD {} cannot be used", path.display())]
pub struct CdError {
    /// The image.
    path: PathBuf,
    /// What is wrong with it.
    source: DiskError,
}

impl CdError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match &self.source {
            DiskError::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "check the path; -cdrom wants an ISO image or a CD drive of this host".into()
            }
            DiskError::Open { source, .. } if source.raw_os_error() == Some(libc::ENOMEDIUM) => {
                "put a disc into the drive".into()
            }
            DiskError::Open { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "let this user read it; nothing is written to it".into()
            }
            DiskError::Kind { is_directory: true, .. } => {
                "make an ISO image of it: xorriso -as mkisofs -r -J -o image.iso DIRECTORY".into()
            }
            DiskError::Kind { .. } => "use an ISO image or a block device".into(),
            DiskError::Empty { .. } => "the download may be incomplete: download it again".into(),
            DiskError::Format { .. } => {
                "if it is a hard disk's image, leave out media=cdrom, or use -hda".into()
            }
            other => return other.hint(),
        })
    }
}

/// Opens and locks the images. `None`: there is to be no controller.
///
/// # Errors
/// One cannot be used, or a process writes to it.
pub fn open(configs: Option<&[DiskConfig]>) -> Result<Option<Arc<Scsi>>, CdError> {
    let Some(configs) = configs else { return Ok(None) };
    let targets = configs.iter().map(target).collect::<Result<_, _>>()?;
    Ok(Some(Arc::new(Scsi::new(targets))))
}

fn target(config: &DiskConfig) -> Result<Arc<Target>, CdError> {
    let failed = |source| CdError { path: config.path.clone(), source };
    let disk = Disk::open(&config.path, config.options).map_err(failed)?;
    let name = config.path.display().to_string();
    if let Some(why) = disk.unlocked() {
        report::warnings([format!(
            "the CD {name} cannot be locked ({why}): keep other programs from writing to it"
        )]);
    }
    let image = Image { disk, name, has_failed: AtomicBool::new(false) };
    let drive = CdRom::new(Box::new(image), config.serial.clone());
    Ok(Arc::new(Target::new(Box::new(drive))))
}

/// An image as the drive wants it.
#[derive(Debug)]
struct Image {
    disk: Disk,
    name: String,
    /// An error has been reported. What comes after it is most likely the same.
    has_failed: AtomicBool,
}

impl Disc for Image {
    fn len(&self) -> u64 {
        self.disk.len()
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        let read = self.disk.read(to, offset);
        if let Err(error) = &read
            && !self.has_failed.swap(true, Ordering::SeqCst)
        {
            report::warnings([format!(
                "the CD {}: read failed: {error}; the guest sees a read error",
                self.name
            )]);
        }
        read
    }
}
