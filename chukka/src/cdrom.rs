//! The guest's CD drives: images opened and locked, or on a server, as SCSI targets.

mod remote_cd;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use devices::scsi::cdrom::{CdRom, Disc};
use devices::scsi::target::Target;
use location::remote::Net;
use location::{Place, place};
use storage::disk::{Disk, DiskError};
use thiserror::Error;
use vm_memory::VolatileSlice;

use crate::report;
use crate::request::DiskConfig;
use remote_cd::{RemoteCdError, RemoteImage};

pub use remote_cd::shown;

/// Why a CD cannot be put into its drive.
#[derive(Debug, Error)]
#[error("The CD {} cannot be used", path.display())]
pub struct CdError {
    /// The image.
    path: PathBuf,
    /// What is wrong with it.
    source: CdProblem,
}

#[derive(Debug, Error)]
enum CdProblem {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Remote(#[from] RemoteCdError),
}

impl CdError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let source = match &self.source {
            CdProblem::Disk(source) => source,
            CdProblem::Remote(error) => return error.hint(),
        };
        Some(match source {
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

/// Opens and locks the images, or opens them on their servers. `None`: there is to be no
/// controller for them.
///
/// # Errors
/// One cannot be used, or a process writes to it.
pub fn open(
    configs: Option<&[DiskConfig]>,
    net: &Net,
) -> Result<Option<Vec<Arc<Target>>>, CdError> {
    let open = |configs: &[DiskConfig]| configs.iter().map(|config| target(config, net)).collect();
    configs.map(open).transpose()
}

fn target(config: &DiskConfig, net: &Net) -> Result<Arc<Target>, CdError> {
    let disc = disc(config, net).map_err(|source| CdError { path: shown(&config.path), source })?;
    let drive = CdRom::new(disc, config.serial.clone());
    Ok(Arc::new(Target::new(Box::new(drive))))
}

fn disc(config: &DiskConfig, net: &Net) -> Result<Box<dyn Disc>, CdProblem> {
    let path = match place::url(&config.path).transpose().map_err(RemoteCdError::from)? {
        None => config.path.clone(),
        Some(Place::Local(path)) => path,
        Some(place) => return Ok(Box::new(RemoteImage::open(&place, net)?)),
    };
    let disk = Disk::open(&path, config.options)?;
    let name = config.path.display().to_string();
    if let Some(why) = disk.unlocked() {
        report::warnings([format!(
            "the CD {name} cannot be locked ({why}): keep other programs from writing to it"
        )]);
    }
    Ok(Box::new(Image { disk, reports: ReadReports::new(name) }))
}

/// An image as the drive wants it.
#[derive(Debug)]
struct Image {
    disk: Disk,
    reports: ReadReports,
}

/// Reports what goes wrong with a CD.
#[derive(Debug)]
struct ReadReports {
    /// The CD's.
    name: String,
    /// An error has been reported. What comes after it is most likely the same.
    has_failed: AtomicBool,
}

impl ReadReports {
    fn new(name: String) -> Self {
        Self { name, has_failed: AtomicBool::new(false) }
    }

    /// Reports the first read that fails.
    fn check(&self, read: io::Result<()>) -> io::Result<()> {
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

impl Disc for Image {
    fn len(&self) -> u64 {
        self.disk.len()
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.reports.check(self.disk.read(to, offset))
    }
}
