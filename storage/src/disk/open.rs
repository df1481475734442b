//! Opening: files, their locks, their format, and the backing files of qcow2 images.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::DiskError;
use super::image::Image;
use super::lock::{self, Lock};
use super::medium::{self, HostFile, Medium, read_bytes};
use super::qcow2::{Access, Backing, Header, Qcow2};
use super::raw::Raw;
use super::{CacheMode, DiskFormat, DiskOptions, SECTOR, SECTOR_BYTES, probe};

/// How many images can be on top of each other.
const MAX_CHAIN: usize = 32;

/// An image that is open, and its locks.
#[derive(Debug)]
pub(super) struct Opened {
    pub image: Box<dyn Image>,
    /// The locks, or why there are none: some file systems have no locks.
    pub lock: Result<Lock, io::Error>,
    /// What it is.
    pub format: DiskFormat,
}

/// A locked file.
#[derive(Debug)]
pub(super) struct Locked {
    pub medium: HostFile,
    pub lock: Result<Lock, io::Error>,
    /// Device and inode.
    pub id: (u64, u64),
}

/// Opens and locks an image, and those that it is based on. `backing` replaces the backing file
/// that the image names. With `changes_nothing`, a writable image is opened and checked as one, and
/// nothing is written to it.
///
/// # Errors
/// One is not there, is not an image that can be used, or another process has it.
pub(super) fn image(
    path: &Path,
    options: DiskOptions,
    backing: Option<&Path>,
    changes_nothing: bool,
) -> Result<Opened, DiskError> {
    let read_only = options.read_only || options.snapshot;
    let locked = file(path, read_only, options.cache)?;
    let format = match options.format {
        None => probed(path, &locked.medium)?,
        Some(format) => format,
    };
    let refuse = |problem: &str, hint| {
        Err(DiskError::Qcow2 { path: path.into(), problem: problem.into(), hint })
    };
    match format {
        DiskFormat::Raw => {
            if backing.is_some() {
                return refuse("is raw and has no backing file", "leave out backing.file.filename");
            }
            let image = raw(path, locked.medium, read_only, options)?;
            Ok(Opened { image: Box::new(image), lock: locked.lock, format })
        }
        DiskFormat::Qcow2 => {
            let Locked { medium, lock, id } = locked;
            let read_only = options.read_only || changes_nothing;
            let options = DiskOptions { read_only, ..options };
            let image = qcow2(path, medium, id, options, backing)?;
            if image.len() == 0 {
                return refuse(
                    "has a disk of 0 bytes",
                    "give it a size: chukka disk resize IMAGE 20G",
                );
            }
            Ok(Opened { image: Box::new(image), lock, format })
        }
    }
}

/// A qcow2 image, and those that it is based on. `id`: its device and inode.
///
/// # Errors
/// As of [`image`].
pub(super) fn qcow2(
    path: &Path,
    medium: HostFile,
    id: (u64, u64),
    options: DiskOptions,
    backing: Option<&Path>,
) -> Result<Qcow2, DiskError> {
    let refuse = |problem: String, hint| Err(DiskError::Qcow2 { path: path.into(), problem, hint });
    let header = header(path, &medium)?;
    match (&header.backing, options.format, backing) {
        (Some(name), None, None) => {
            return refuse(
                format!("has the backing file '{}'", name.escape_debug()),
                "to read that file too, say format=qcow2",
            );
        }
        (None, _, Some(_)) => {
            return refuse("has no backing file".into(), "leave out backing.file.filename");
        }
        _ => {}
    }
    let mut chain = vec![id];
    let backing = self::backing(path, &header, backing, &mut chain)?;
    let access = match options.read_only || options.snapshot {
        true => Access::ReadOnly,
        false => Access::ReadWrite { unmap: options.unmap },
    };
    Qcow2::open(path, Box::new(medium), header, access, backing)
}

/// Opens and locks a file or a block device.
///
/// # Errors
/// It is not there, is neither, or another process has it.
pub(super) fn file(path: &Path, read_only: bool, cache: CacheMode) -> Result<Locked, DiskError> {
    file_unless(path, read_only, cache, |_| Ok(()))
}

/// The same, unless `refuse` finds that its device and inode are not to be locked.
fn file_unless(
    path: &Path,
    read_only: bool,
    cache: CacheMode,
    refuse: impl FnOnce((u64, u64)) -> Result<(), DiskError>,
) -> Result<Locked, DiskError> {
    let (file, metadata) = file_or_device(path, read_only)?;
    let id = (metadata.dev(), metadata.ino());
    refuse(id)?;
    let lock = lock::lock(&file, path, read_only)?;
    let medium = medium_of(path, file, read_only, cache)?;
    Ok(Locked { medium, lock, id })
}

fn file_or_device(path: &Path, read_only: bool) -> Result<(File, Metadata), DiskError> {
    let failed = |source: io::Error| match source.raw_os_error() {
        Some(libc::EISDIR) => DiskError::Kind { path: path.into(), is_directory: true },
        // A socket.
        Some(libc::ENXIO) => DiskError::Kind { path: path.into(), is_directory: false },
        _ => DiskError::Open { path: path.into(), source },
    };
    let file = medium::open(path, read_only, libc::O_NONBLOCK).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let is_block_device = medium::is_block_device(&file).map_err(failed)?;
    if !metadata.is_file() && !is_block_device {
        return Err(DiskError::Kind { path: path.into(), is_directory: metadata.is_dir() });
    }
    // A device that is mounted is in use (open(2), O_EXCL).
    let file = match is_block_device && !read_only {
        true => medium::open(&medium::same_file(&file), false, libc::O_EXCL).map_err(failed)?,
        false => file,
    };
    Ok((file, metadata))
}

/// Opens a file or a block device without locks, to tell what it is.
///
/// # Errors
/// It is not there, or is neither.
pub(super) fn unlocked(path: &Path) -> Result<(HostFile, Metadata), DiskError> {
    let (file, metadata) = file_or_device(path, true)?;
    Ok((medium_of(path, file, true, CacheMode::Writeback)?, metadata))
}

fn medium_of(
    path: &Path,
    file: File,
    read_only: bool,
    cache: CacheMode,
) -> Result<HostFile, DiskError> {
    HostFile::new(path, file, read_only, cache.is_direct(), cache == CacheMode::Unsafe)
}

/// The format of an image whose format nobody has named.
///
/// # Errors
/// It cannot be read, or has the header of another format.
pub(super) fn probed(path: &Path, medium: &dyn Medium) -> Result<DiskFormat, DiskError> {
    let mut head = [0; SECTOR_BYTES];
    read_bytes(medium, &mut head, 0)
        .map_err(|source| DiskError::Open { path: path.into(), source })?;
    match probe::image_format(&head) {
        None => Ok(DiskFormat::Raw),
        Some(probe::QCOW2) => Ok(DiskFormat::Qcow2),
        Some(format) => Err(DiskError::Format { path: path.into(), format }),
    }
}

/// The header of a qcow2 image.
///
/// # Errors
/// It is not one, or one that cannot be used.
pub(super) fn header(path: &Path, medium: &dyn Medium) -> Result<Header, DiskError> {
    Header::read(path, medium)
}

/// A raw image. The last sector of a read-only one may be partly missing; that of a writable one
/// may not, as writing it would change the length of the file.
fn raw(
    path: &Path,
    medium: HostFile,
    read_only: bool,
    options: DiskOptions,
) -> Result<Raw, DiskError> {
    let failed = |source| DiskError::Open { path: path.into(), source };
    let file_len = medium.len().map_err(failed)?;
    check_not_empty(path, file_len)?;
    if !file_len.is_multiple_of(SECTOR) && !read_only {
        return Err(DiskError::OddSize { path: path.into(), len: file_len });
    }
    let is_raw = options.format == Some(DiskFormat::Raw);
    Ok(Raw { medium: Box::new(medium), file_len, is_raw, unmap: options.unmap })
}

fn check_not_empty(path: &Path, len: u64) -> Result<(), DiskError> {
    if len == 0 {
        return Err(DiskError::Empty { path: path.into() });
    }
    Ok(())
}

/// The backing file of an image, opened for reading, if it has one.
fn backing(
    path: &Path,
    header: &Header,
    named: Option<&Path>,
    chain: &mut Vec<(u64, u64)>,
) -> Result<Option<Backing>, DiskError> {
    let Some(name) = &header.backing else { return Ok(None) };
    let refuse = |problem: String, hint| DiskError::Qcow2 { path: path.into(), problem, hint };
    let shown = name.escape_debug();
    let wanted = match named {
        Some(named) => named.to_owned(),
        None => beside(path, name).map_err(|(why, hint)| {
            refuse(format!("has the backing file '{shown}', which {why}"), hint)
        })?,
    };
    let format = match header.backing_format.as_deref() {
        None => None,
        Some(name) => Some(DiskFormat::by_name(name).ok_or_else(|| {
            let name = name.escape_debug();
            refuse(
                format!("has a backing file of the format '{name}', expected raw or qcow2"),
                STANDALONE,
            )
        })?),
    };
    let opened = member(&wanted, format, chain);
    opened.map(Some).map_err(|source| {
        // The user has named the image on top; the last one says what is wrong.
        let source = match source {
            DiskError::Backing { source, .. } => source,
            source => source.into(),
        };
        DiskError::Backing { path: path.into(), source }
    })
}

const STANDALONE: &str = "make it a standalone image: qemu-img convert -O qcow2 OLD NEW";

/// An image that another one is based on. A file whose format the other image does not name may
/// only be raw: guests may have chosen what it begins with.
fn member(
    path: &Path,
    format: Option<DiskFormat>,
    chain: &mut Vec<(u64, u64)>,
) -> Result<Backing, DiskError> {
    let refusal =
        |problem: &str, hint| DiskError::Qcow2 { path: path.into(), problem: problem.into(), hint };
    // Before it is locked: this process has the lock of an image that is its own backing file.
    let locked = file_unless(path, true, CacheMode::Writeback, |id| {
        if chain.contains(&id) {
            let hint = "correct it: qemu-img rebase -u -b BASE IMAGE";
            return Err(refusal("is its own backing file", hint));
        }
        if chain.len() >= MAX_CHAIN {
            return Err(refusal("is behind more than 32 other images", STANDALONE));
        }
        Ok(())
    })?;
    chain.push(locked.id);
    let is_raw = match format {
        Some(format) => format == DiskFormat::Raw,
        None if probed(path, &locked.medium)? == DiskFormat::Raw => true,
        None => {
            let hint = "if it is really qcow2: qemu-img rebase -u -b BASE -F qcow2 IMAGE";
            return Err(refusal("is used by an image that does not name its format", hint));
        }
    };
    let image: Box<dyn Image> = if is_raw {
        Box::new(raw(path, locked.medium, true, DiskOptions::default())?)
    } else {
        let header = header(path, &locked.medium)?;
        let below = backing(path, &header, None, chain)?;
        Box::new(Qcow2::open(path, Box::new(locked.medium), header, Access::ReadOnly, below)?)
    };
    Ok(Backing { image, _lock: locked.lock })
}

/// The path of a backing file, which has to be in the directory of the image or below. Without that
/// rule an image from elsewhere could name any file of this host.
fn beside(path: &Path, name: &str) -> Result<PathBuf, (String, &'static str)> {
    // As in QEMU (path_has_protocol in block.c): json:, nbd:, ssh: and so on.
    if name.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err(("is not a path".into(), STANDALONE));
    }
    let whole = |path: &Path| path.canonicalize();
    let missing = |error: io::Error| (format!("cannot be opened: {error}"), MISSING);
    let beside = path.parent().unwrap_or(Path::new(""));
    let directory = whole(&Path::new(".").join(beside)).map_err(missing)?;
    let wanted = whole(&beside.join(name)).map_err(missing)?;
    if !wanted.starts_with(&directory) {
        return Err((
            format!("is not in the directory of the image, {}", directory.display()),
            "if you trust the image, name the file: backing.file.filename=PATH",
        ));
    }
    Ok(wanted)
}

const MISSING: &str =
    "is it in the place that the image names? backing.file.filename=PATH names another";
