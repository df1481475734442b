//! Making images, and asking about them: what `chukka disk` does.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access;

use super::error::DiskError;
use super::image::Image;
use super::medium::{HostFile, Medium};
use super::qcow2::{self, CheckReport};
use super::{CacheMode, DiskFormat, DiskOptions, SECTOR, open};

/// What an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskInfo {
    /// Its format: what was named, or what its first sector says.
    pub format: DiskFormat,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes that the image takes on the host.
    pub allocated: u64,
    /// What only qcow2 images have.
    pub qcow2: Option<Qcow2Info>,
}

/// What a qcow2 image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qcow2Info {
    /// 2 or 3.
    pub version: u32,
    /// Bytes of a cluster.
    pub cluster: u64,
    /// The image that it is based on, and the format of that, as the image names them.
    pub backing: Option<(String, Option<String>)>,
    /// How many internal snapshots it has.
    pub snapshots: u32,
    /// A program has not closed it: the next writer corrects its reference counts.
    pub is_dirty: bool,
}

/// Creates an image of a disk of `size` bytes that is all zeros. Nothing is overwritten.
///
/// # Errors
/// There is something of this name; the size cannot be had; the file cannot be written.
pub fn create(path: &Path, format: DiskFormat, size: u64) -> Result<(), DiskError> {
    check_creation(path, format, size)?;
    let failed = |source| DiskError::Write { path: path.into(), source };
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
    let file = file.map_err(failed)?;
    let filled = match format {
        DiskFormat::Raw => file.set_len(size).map_err(failed),
        DiskFormat::Qcow2 => HostFile::new(path, file, false, false, false)
            .and_then(|medium| qcow2::create_empty(&medium).map_err(failed))
            .and_then(|()| resize(path, Some(format), size)),
    };
    // What was created here is not finished, and nobody else's.
    filled.inspect_err(|_| drop(std::fs::remove_file(path)))
}

/// Whether [`create`] would create an image, as far as that can be known without trying.
///
/// # Errors
/// There is something of this name; the size cannot be had; the directory cannot be written to.
pub fn check_creation(path: &Path, format: DiskFormat, size: u64) -> Result<(), DiskError> {
    let refuse =
        |problem: String, hint| Err(DiskError::Size { path: path.into(), size, problem, hint });
    if size == 0 || !size.is_multiple_of(SECTOR) {
        return refuse("the size of a disk is a multiple of 512 bytes".into(), "for example: 20G");
    }
    let largest = match format {
        DiskFormat::Raw => i64::MAX.unsigned_abs(),
        DiskFormat::Qcow2 => qcow2::largest_new(),
    };
    if size > largest {
        return refuse(format!("a new {} image has at most {largest}", format.name()), SMALLER);
    }
    let failed = |source: io::Error| DiskError::Write { path: path.into(), source };
    if path.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = beside.unwrap_or(Path::new("."));
    rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| failed(error.into()))
}

const SMALLER: &str = "choose a smaller size";

/// Tells what an image is. Another process may use it.
///
/// # Errors
/// It is not a disk image that can be used.
pub fn info(path: &Path, format: Option<DiskFormat>) -> Result<DiskInfo, DiskError> {
    let failed = |source| DiskError::Open { path: path.into(), source };
    let (medium, metadata) = open::unlocked(path)?;
    let format = match format {
        Some(format) => format,
        None => open::probed(path, &medium)?,
    };
    let allocated = metadata.blocks() * 512;
    let (size, qcow2) = match format {
        DiskFormat::Raw => (medium.len().map_err(failed)?, None),
        DiskFormat::Qcow2 => {
            let header = open::header(path, &medium)?;
            let info = Qcow2Info {
                version: header.version,
                cluster: header.cluster(),
                backing: header.backing.map(|name| (name, header.backing_format)),
                snapshots: header.snapshots,
                is_dirty: header.is_dirty,
            };
            (header.size, Some(info))
        }
    };
    Ok(DiskInfo { format, size, allocated, qcow2 })
}

/// Checks the tables of an image. `None`: it is raw and has no tables.
///
/// # Errors
/// It cannot be read, is not an image that can be used, or another process writes to it.
pub fn check(path: &Path, format: Option<DiskFormat>) -> Result<Option<CheckReport>, DiskError> {
    let failed = |source| DiskError::Open { path: path.into(), source };
    let locked = open::file(path, true, CacheMode::Writeback)?;
    let format = match format {
        Some(format) => format,
        None => open::probed(path, &locked.medium)?,
    };
    if format == DiskFormat::Raw {
        return Ok(None);
    }
    let header = open::header(path, &locked.medium)?;
    if header.has_autoclear {
        return Err(DiskError::Qcow2 {
            path: path.into(),
            problem: "has bitmaps, which chukka cannot check".into(),
            hint: "check it by qemu-img check",
        });
    }
    qcow2::check(&locked.medium, &header).map(Some).map_err(failed)
}

/// Makes a disk larger; the new part is zeros.
///
/// # Errors
/// It is not an image that can be used, or not that of a smaller disk; another process has it; it
/// cannot be written.
pub fn resize(path: &Path, format: Option<DiskFormat>, size: u64) -> Result<(), DiskError> {
    let refuse =
        |problem: String, hint| Err(DiskError::Size { path: path.into(), size, problem, hint });
    let failed = |source: io::Error| DiskError::Write { path: path.into(), source };
    let locked = open::file(path, false, CacheMode::Writeback)?;
    let format = match format {
        Some(format) => format,
        None => open::probed(path, &locked.medium)?,
    };
    if !size.is_multiple_of(SECTOR) {
        return refuse("the size of a disk is a multiple of 512 bytes".into(), "for example: 20G");
    }
    const SHRINK: &str =
        "shrink file system and partition first, then use qemu-img resize --shrink";
    let old = match format {
        DiskFormat::Raw => locked.medium.len().map_err(failed)?,
        DiskFormat::Qcow2 => open::header(path, &locked.medium)?.size,
    };
    if size < old {
        return refuse(format!("it has {old}, and chukka cannot make a disk smaller"), SHRINK);
    }
    if format == DiskFormat::Raw {
        return match locked.medium.grows() {
            true => locked.medium.set_len(size).map_err(failed),
            false => refuse("it is a block device".into(), "use the tools of the device"),
        };
    }
    let header = open::header(path, &locked.medium)?;
    if header.snapshots > 0 {
        return refuse("it has internal snapshots".into(), "use qemu-img resize");
    }
    if size > qcow2::largest(&header) {
        let problem =
            format!("an image with these clusters has at most {}", qcow2::largest(&header));
        return refuse(problem, "create an image with larger clusters: qemu-img create");
    }
    let options = DiskOptions { format: Some(format), ..DiskOptions::default() };
    let image = open::qcow2(path, locked.medium, locked.id, options, None)?;
    if image.backing_len() > image.len() {
        let problem = "its backing file is longer, and what is there would appear".into();
        return refuse(problem, "use qemu-img resize");
    }
    image.resize(size).map_err(failed)
}
