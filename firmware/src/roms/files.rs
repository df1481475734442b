//! Firmware files: the BIOS image that starts the machine, and option ROMs for it.
//!
//! Both are given as a path, or as a name that is looked up in each `-L` directory and then in the
//! directories where distributions install firmware ([`DIRECTORIES`]).

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryError};

use super::{builtin, flash};
use crate::layout;
use crate::source_file::{SourceError, SourceFile};

/// Directories where distributions install firmware, in search order.
///
/// SeaBIOS's own directory precedes QEMU's: on Debian, `/usr/share/qemu/bios-microvm.bin` is a link
/// to `qboot.rom`, and SeaBIOS's file of that name exists only in `/usr/share/seabios`.
pub const DIRECTORIES: [&str; 9] = [
    "/usr/share/seabios",    // Debian, Ubuntu, Fedora: SeaBIOS
    "/usr/share/qemu", // Debian's qemu-system-data: qboot.rom, option ROMs; elsewhere SeaBIOS too
    "/usr/share/qemu-kvm", // RHEL and its kin
    "/usr/local/share/qemu", // QEMU built from source
    "/usr/lib/ipxe/qemu", // Debian's ipxe-qemu: option ROMs
    "/usr/share/OVMF", // EDK2 on Debian: code and variables
    "/usr/share/ovmf", // and as one image, OVMF.fd
    "/usr/share/edk2/ovmf", // EDK2 on Fedora
    "/usr/share/edk2/x64", // EDK2 on Arch
];

/// Aliases: the short name, the file it stands for, and a byte string that only that firmware
/// contains.
const ALIASES: [(&str, &str, &[u8]); 3] = [
    ("seabios", "bios-256k.bin", b"SeaBIOS"),
    ("seabios-microvm", "bios-microvm.bin", b"SeaBIOS"),
    ("qboot", "qboot.rom", b""),
];

/// A BIOS image's size must be a multiple of 4 KiB, a page. QEMU wants 64 KiB (`x86_bios_rom_init`,
/// hw/i386/x86-common.c), but EDK2's OVMF_CODE_4M.fd has 3568 KiB.
const BIOS_UNIT: u64 = layout::PAGE_SIZE;
/// Maximum size of a BIOS image, or of all flash images. They end at 4 GiB, and must not overlap
/// KVM's task state segment, which ends 16 MiB below that.
pub(super) const BIOS_MAX: u64 = layout::MMIO_HOLE_END - (layout::KVM_TSS + 3 * layout::PAGE_SIZE);
/// Maximum size of the part of a BIOS image that is copied below 1 MiB.
///
/// QEMU maps 128 KiB there, and its host bridge lets SeaBIOS copy the rest itself. Without a bridge
/// to unlock that memory, SeaBIOS continues without a copy (`make_bios_writable`, src/fw/shadow.c),
/// so the whole image must already be there: the first nonzero byte of bios-256k.bin belongs at
/// 0xd2720, below those 128 KiB. (QEMU's microvm, which has no bridge, resets endlessly with that
/// image after "Unable to unlock ram - bridge not found".) More than 256 KiB would start below
/// 0xc0000, where a PC has its video memory.
const LOW_COPY_MAX: u64 = 256 << 10;
/// Maximum size of an option ROM: the space between 0xc0000, where SeaBIOS loads option ROMs, and
/// 0xe0000, where the low copy of a 128 KiB BIOS starts.
const OPTION_ROM_MAX: u64 = 128 << 10;
/// Maximum size of a file with several images for a PCI function. QEMU's have 256 KiB.
const IMAGES_MAX: u64 = 1 << 20;
/// The first two bytes of an option ROM.
const OPTION_ROM_SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Unit of the size in an option ROM's third byte.
const OPTION_ROM_UNIT: usize = 512;

const _: () = {
    assert!(BIOS_MAX == 16 << 20 && BIOS_MAX.is_multiple_of(BIOS_UNIT));
    assert!(layout::HIGH_RAM - LOW_COPY_MAX == layout::OPTION_ROMS);
    assert!(layout::OPTION_ROMS + OPTION_ROM_MAX <= layout::ACPI_TABLES);
};

/// Why a firmware file cannot be used. Sizes are in bytes.
#[derive(Debug, Error)]
pub enum RomError {
    /// The file is in none of the directories.
    #[error("Cannot find the {role} '{}'{} in {}", Path::new(name).display(), file(name, looked), directories(looked))]
    NotFound {
        /// Its role: "bios", "option-rom".
        role: &'static str,
        /// The name as given.
        name: OsString,
        /// The paths that were tried.
        looked: Vec<PathBuf>,
    },
    /// It cannot be opened, is not a regular file, or is empty.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It could be opened but not read.
    #[error("Cannot read the {role} '{}'", path.display())]
    Read {
        /// Its role.
        role: &'static str,
        /// Its name.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Not a valid size for a BIOS image.
    #[error("The bios '{}' has {found} bytes, expected a multiple of 4096 (4 KiB), 16777216 (16 MiB) at most", path.display())]
    BiosSize {
        /// Its name.
        path: PathBuf,
        /// Its size.
        found: u64,
    },
    /// The last 16 bytes, where the processor starts, are all the same value.
    #[error("The bios '{}' has no reset vector: each of its last 16 bytes is {found:#04x}", path.display())]
    NoResetVector {
        /// Its name.
        path: PathBuf,
        /// The value of those bytes.
        found: u8,
    },
    /// Not a valid size for an option ROM.
    #[error("The option-rom '{}' has {found} bytes, expected 512 to 131072 (128 KiB)", path.display())]
    OptionRomSize {
        /// Its name.
        path: PathBuf,
        /// Its size.
        found: u64,
    },
    /// The option ROM signature is missing.
    #[error("The option-rom '{}' starts with {:02x} {:02x}, expected 55 aa", path.display(), found[0], found[1])]
    OptionRomSignature {
        /// Its name.
        path: PathBuf,
        /// Its first two bytes.
        found: [u8; 2],
    },
    /// The ROM is not for a BIOS.
    #[error("The option-rom '{}' has code type {found}, expected 0, for a BIOS", path.display())]
    CodeType {
        /// Its name.
        path: PathBuf,
        /// The code type in its PCI data structure; 3 is EFI.
        found: u8,
    },
    /// The file is shorter than its header declares, or the header declares a size of 0.
    #[error("The option-rom '{}' has {found} bytes; its header says {declared}", path.display())]
    OptionRomCut {
        /// Its name.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// The size declared by its third byte.
        declared: u64,
    },
}

impl RomError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { role: "bios", .. } => {
                "install it (Debian: 'apt install seabios' for seabios and seabios-microvm, 'apt install qemu-system-data' \
                 for qboot), or name its directory with -L, or give -bios a path; -bios builtin needs no file"
                    .into()
            }
            Self::NotFound { .. } => {
                "install it (Debian: package qemu-system-data or ipxe-qemu), or name its directory with -L, or give a path"
                    .into()
            }
            Self::Source(source) => source.hint(),
            Self::Read { .. } => "did the file change while it was being read?".into(),
            Self::BiosSize { .. } => {
                "this is not a complete BIOS image; SeaBIOS's are bios.bin, bios-256k.bin and bios-microvm.bin".into()
            }
            Self::NoResetVector { .. } => {
                "this is not a complete firmware image; of firmware in two files (OVMF_CODE.fd, OVMF_VARS.fd), the first is \
                 the one with the code"
                    .into()
            }
            Self::OptionRomSize { .. } | Self::OptionRomCut { .. } => {
                "the download or copy may be incomplete".into()
            }
            Self::CodeType { .. } => {
                "SeaBIOS runs ROMs for a BIOS only, such as iPXE's pxe-virtio.rom".into()
            }
            Self::OptionRomSignature { .. } => {
                "this is not an option ROM; pass a BIOS image with -bios".into()
            }
        }
    }
}

/// The file that an alias stands for, in parentheses; empty if the name is not an alias.
fn file(name: &OsStr, looked: &[PathBuf]) -> String {
    match looked.first().and_then(|path| path.file_name()) {
        Some(file) if file != name => format!(" ({})", Path::new(file).display()),
        _ => String::new(),
    }
}

/// The directories of `files`, in order and without duplicates.
fn directories(files: &[PathBuf]) -> String {
    let mut text = String::new();
    let mut last = None;
    for directory in files.iter().filter_map(|file| file.parent()) {
        if last != Some(directory) {
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{}", directory.display());
        }
        last = Some(directory);
    }
    text
}

/// Finds and reads a file. `name` is a path if it contains a slash or names a file in the current
/// directory, as in QEMU; otherwise it is looked up in `search` and in [`DIRECTORIES`]. Files
/// without the alias's byte string are skipped.
fn read(
    role: &'static str,
    name: &OsStr,
    search: &[PathBuf],
    max: u64,
) -> Result<(PathBuf, Vec<u8>, u64), RomError> {
    let as_path = Path::new(name);
    if name.as_bytes().contains(&b'/') || as_path.is_file() {
        return read_path(role, as_path, max);
    }
    let alias = ALIASES.iter().find(|(alias, ..)| role == "bios" && name == OsStr::new(alias));
    let (file, text) =
        alias.map_or((as_path, &[] as &[u8]), |(_, file, text)| (Path::new(file), text));
    let directories = search.iter().map(PathBuf::as_path).chain(DIRECTORIES.iter().map(Path::new));
    let mut looked = Vec::new();
    for path in directories.map(|directory| directory.join(file)) {
        if path.exists() {
            let found = read_path(role, &path, max)?;
            if text.is_empty() || found.1.windows(text.len()).any(|window| window == text) {
                return Ok(found);
            }
        }
        looked.push(path);
    }
    Err(RomError::NotFound { role, name: name.into(), looked })
}

/// Reads a file and returns its path, contents and size. A file larger than `max` is not read: the
/// caller reports its size as an error.
fn read_path(
    role: &'static str,
    path: &Path,
    max: u64,
) -> Result<(PathBuf, Vec<u8>, u64), RomError> {
    let source = SourceFile::open(path, role)?;
    let len = source.len();
    let mut bytes = vec![0; usize::try_from(if len > max { 0 } else { len }).unwrap_or_default()];
    source.file().read_exact_at(&mut bytes, 0).map_err(|source| RomError::Read {
        role,
        path: path.into(),
        source,
    })?;
    Ok((path.into(), bytes, len))
}

/// A BIOS image. It is mapped read-only so that it ends at 4 GiB, and is copied into RAM below 1
/// MiB at each reset.
#[derive(Debug)]
pub struct BiosImage {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl BiosImage {
    /// The built-in firmware: [`builtin::IMAGE`].
    pub fn builtin() -> Self {
        Self { path: builtin::NAME.into(), bytes: builtin::IMAGE.to_vec() }
    }

    /// Reads the image `name`: `builtin` (always the built-in firmware, even if a file has that
    /// name), a path, `seabios` (bios-256k.bin), `seabios-microvm` (bios-microvm.bin), `qboot`
    /// (qboot.rom), or the name of a file in a directory of `search` (from `-L`) or
    /// [`DIRECTORIES`].
    ///
    /// # Errors
    /// [`RomError`]: not found, not readable, not a regular file, an invalid size, or no reset
    /// vector.
    pub fn open(name: &OsStr, search: &[PathBuf]) -> Result<Self, RomError> {
        if name == OsStr::new(builtin::NAME) {
            return Ok(Self::builtin());
        }
        let (path, bytes, found) = read("bios", name, search, BIOS_MAX)?;
        if found > BIOS_MAX || !found.is_multiple_of(BIOS_UNIT) {
            return Err(RomError::BiosSize { path, found });
        }
        Self::from_bytes(path, bytes)
    }

    /// The image with these bytes, which were read from `path`. Their number is valid.
    ///
    /// # Errors
    /// [`RomError::NoResetVector`].
    pub(super) fn from_bytes(path: PathBuf, bytes: Vec<u8>) -> Result<Self, RomError> {
        if let Some([first, rest @ ..]) = bytes.last_chunk::<16>()
            && matches!(first, 0 | 0xff)
            && rest.iter().all(|byte| byte == first)
        {
            return Err(RomError::NoResetVector { path, found: *first });
        }
        Ok(Self { path, bytes })
    }

    /// Whether this is EDK2's firmware for a virtual PC (OVMF).
    pub fn is_edk2(&self) -> bool {
        flash::is_edk2(&self.bytes)
    }

    /// Warns the user if the image is EDK2's code without a variable store.
    pub fn lacks_variables(&self) -> Option<String> {
        flash::lacks_variables(&self.path, &self.bytes)
    }

    /// Whether this is the built-in firmware.
    pub fn is_builtin(&self) -> bool {
        self.path.as_os_str() == builtin::NAME
    }

    /// The path it was read from; `builtin` for the built-in firmware.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole image.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Guest-physical address of the image's first byte. The image ends at 4 GiB, which puts the
    /// reset vector 16 bytes below.
    pub fn high_address(&self) -> u64 {
        layout::MMIO_HOLE_END - self.bytes.len() as u64
    }

    /// The guest-physical address below 1 MiB and the bytes to copy there: the last 256 KiB, or all
    /// of a smaller image.
    pub fn low_copy(&self) -> (u64, &[u8]) {
        let max = usize::try_from(LOW_COPY_MAX).unwrap_or(usize::MAX);
        let copy = &self.bytes[self.bytes.len().saturating_sub(max)..];
        (layout::HIGH_RAM - copy.len() as u64, copy)
    }

    /// Whether the low copy can be entered at FFFF:0, as a kernel does when it reboots "by BIOS":
    /// its reset vector must be a far jump into the copy. SeaBIOS's is; qboot's is a relative jump,
    /// which relies on the code segment the processor has after reset.
    pub fn restarts_below_1_mib(&self) -> bool {
        const FAR_JUMP: u8 = 0xea;
        self.bytes.last_chunk::<16>().is_some_and(|vector| vector[0] == FAR_JUMP)
    }

    /// Whether it runs option ROMs, as SeaBIOS does. qboot reads fw_cfg itself; it is recognized as
    /// in [`BiosImage::restarts_below_1_mib`].
    pub fn runs_option_roms(&self) -> bool {
        !self.is_builtin() && self.restarts_below_1_mib()
    }

    /// Writes the low copy into guest memory, replacing whatever the guest left there.
    ///
    /// # Errors
    /// The guest has less than 1 MiB of RAM.
    pub fn place_low<M: GuestMemoryBackend>(&self, memory: &M) -> Result<(), GuestMemoryError> {
        let (address, bytes) = self.low_copy();
        memory.write_slice(bytes, GuestAddress(address))
    }
}

/// An option ROM. The firmware finds it as a fw_cfg file under `genroms/`, copies it below 1 MiB
/// and calls it.
#[derive(Debug)]
pub struct OptionRom {
    path: PathBuf,
    bytes: Vec<u8>,
    checksum_ok: bool,
}

impl OptionRom {
    /// Reads the option ROM `name`: a path, or the name of a file in a directory of `search` or
    /// [`DIRECTORIES`].
    ///
    /// # Errors
    /// [`RomError`]: not found, not readable, not a regular file, an invalid size, or not an option
    /// ROM.
    pub fn open(name: &OsStr, search: &[PathBuf]) -> Result<Self, RomError> {
        let (path, bytes, found) = read("option-rom", name, search, OPTION_ROM_MAX)?;
        Self::parse(path, bytes, found)
    }

    /// The same for a file that may have several images, of which [`Self::image`] is the first.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn open_first_image(name: &OsStr, search: &[PathBuf]) -> Result<Self, RomError> {
        let (path, bytes, found) = read("option-rom", name, search, IMAGES_MAX)?;
        Self::parse(path, bytes, found)
    }

    fn parse(path: PathBuf, bytes: Vec<u8>, found: u64) -> Result<Self, RomError> {
        let [first, second, units, ..] = *bytes else {
            return Err(RomError::OptionRomSize { path, found });
        };
        if [first, second] != OPTION_ROM_SIGNATURE {
            return Err(RomError::OptionRomSignature { path, found: [first, second] });
        }
        let declared = usize::from(units) * OPTION_ROM_UNIT;
        let Some(image) = bytes.get(..declared).filter(|image| !image.is_empty()) else {
            return Err(RomError::OptionRomCut { path, found, declared: declared as u64 });
        };
        let checksum_ok = image.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0;
        Ok(Self { path, bytes, checksum_ok })
    }

    /// The path it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file: the ROM and any bytes after it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first image of the file, as long as its header says.
    pub(super) fn image(&self) -> &[u8] {
        let units = self.bytes.get(2).copied().unwrap_or_default();
        &self.bytes[..usize::from(units) * OPTION_ROM_UNIT]
    }

    /// The name of its fw_cfg file: `genroms/` and the file name, as in QEMU's `rom_add_option`.
    pub fn fw_cfg_name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        format!("genroms/{}", name.to_string_lossy())
    }

    /// A warning for the user, if any: SeaBIOS skips a ROM with a wrong checksum unless the fw_cfg
    /// file `etc/optionroms-checksum` is 0 (`is_valid_rom`, src/optionroms.c).
    pub fn warning(&self) -> Option<String> {
        (!self.checksum_ok).then(|| {
            format!(
                "the option-rom '{}' has a bad checksum: SeaBIOS will not run it",
                self.path.display()
            )
        })
    }
}

#[cfg(test)]
mod tests;
