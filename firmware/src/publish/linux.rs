//! Publishes a bzImage for firmware to boot: four items, each with an address, a size and its
//! bytes.
//!
//! An option ROM ([`crate::option_rom`], or QEMU's linuxboot_dma.bin), or firmware that reads the
//! keys itself (qboot), copies them into guest memory and enters the kernel in real mode. The
//! built-in firmware ([`crate::builtin`]) chooses its own addresses and uses the kernel's 32-bit
//! entry point. Keys and formulas are those of `x86_load_linux` in QEMU's hw/i386/x86-common.c, for
//! all boot protocols from 2.00. All integers are little-endian, addresses are guest-physical,
//! sizes are in bytes.
//!
//! | item | keys | address | content |
//! |---|---|---|---|
//! | set-up code | 0x16-0x18 | [`layout::SETUP`] | the file up to the protected-mode kernel, its header completed |
//! | command line | 0x13-0x15 | [`layout::CMDLINE`] | `-append` with its terminating NUL, included
//! in the size |
//! | kernel | 0x07, 0x08, 0x11 | [`layout::HIGH_RAM`] | the rest of the file |
//! | initrd | 0x0a, 0x0b, 0x12 | below the end of RAM below 4 GiB | the file; without one the keys are absent, and read as 0 |
//!
//! Before protocol 2.02, and for a zImage (loaded below 640 KiB), the addresses are those of
//! `Places::of`.
//!
//! Sizes are 32 bits wide, and firmware can only access memory below 4 GiB: an initrd can be as
//! large as the RAM between the kernel and 3 GiB, if the kernel accepts it there (`xloadflags`,
//! `initrd_addr_max`). Unlike in QEMU, kernels and initrds that cannot work are rejected before the
//! machine starts: see [`PublishError`].

use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use fw_cfg::{ItemError, Items, key};
use guest_memory::Content;
use thiserror::Error;

use crate::image::{BzImage, BzImageError, KernelImage, KernelKind};
use crate::layout;
use crate::payload::{LoadError, Remedy, check_cmdline};
use crate::source_file::SourceFile;
use crate::tables::memory_map::MemoryMap;

/// Bytes at the end of RAM below 4 GiB that are reserved for firmware. SeaBIOS stores ACPI and
/// SMBIOS tables there (128 KiB under QEMU, which itself reserves 160 KiB), and int 15h E801
/// reports the rest in units of 64 KiB.
pub const FIRMWARE_RAM: u64 = 256 << 10;

/// Offsets in the setup code of the header fields that a boot loader fills in (boot.rst), and
/// QEMU's values for them.
const VID_MODE: usize = 0x1fa;
const TYPE_OF_LOADER: usize = 0x210;
const LOADFLAGS: usize = 0x211;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21c;
const HEAP_END_PTR: usize = 0x224;
const CMD_LINE_PTR: usize = 0x228;
/// The command line of kernels before 2.02: a magic number, and its offset from the setup code.
const OLD_CMDLINE_MAGIC: usize = 0x20;
const OLD_CMDLINE_OFFSET: usize = 0x22;
/// First offset after the fields above. Setup code has at least 1024 bytes.
const HEADER_END: usize = 0x22c;
/// `type_of_loader`: QEMU (0xb), version 0, because this is QEMU's interface.
const LOADER_QEMU: u8 = 0xb0;
/// `loadflags`: `heap_end_ptr` is valid.
const CAN_USE_HEAP: u8 = 0x80;
/// Bytes below the command line that heap and stack leave free, as boot.rst requires.
const BELOW_CMDLINE: u64 = 0x200;

/// Where firmware loads the setup code, command line and protected-mode kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Places {
    setup: u64,
    cmdline: u64,
    kernel: u64,
}

impl Places {
    /// The addresses for a command line of `size` bytes, including its terminating NUL. They are
    /// QEMU's, which follow boot.rst's "Memory Layout" for each generation of kernels.
    fn of(image: &BzImage, size: u64) -> Self {
        const OLD_SETUP: u64 = 0x9_0000;
        const OLD_CMDLINE_END: u64 = 0x9_a000;
        let old = OLD_CMDLINE_END.saturating_sub((size + 15) & !15);
        match (image.is_loaded_high(), image.protocol()) {
            (false, _) => Self { setup: OLD_SETUP, cmdline: old, kernel: layout::SETUP },
            (true, ..0x202) => Self { setup: OLD_SETUP, cmdline: old, kernel: layout::HIGH_RAM },
            (true, _) => {
                let (setup, cmdline) = (layout::SETUP, layout::CMDLINE);
                Self { setup, cmdline, kernel: layout::HIGH_RAM }
            }
        }
    }

    /// The end of heap and stack, as an offset from the setup code.
    fn heap_end(self) -> u16 {
        u16::try_from(self.cmdline.saturating_sub(self.setup + BELOW_CMDLINE)).unwrap_or_default()
    }
}

const _: () = assert!(layout::CMDLINE - layout::SETUP - BELOW_CMDLINE == 0xfe00);

/// Why firmware cannot boot a kernel.
#[derive(Debug, Error)]
pub enum PublishError {
    /// Firmware enters kernels in real mode, and this one has no real-mode code.
    #[error("The kernel '{}' is a {kind}, expected a bzImage: firmware starts nothing else", kernel.display())]
    NotBzImage {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Its format.
        kind: &'static str,
    },
    /// The built-in firmware enters kernels at 32 bits, which this one does not support.
    #[error("-bios builtin cannot start the kernel '{}': it {reason}", kernel.display())]
    NoProtectedEntry {
        /// The kernel's file name.
        kernel: PathBuf,
        /// What is wrong.
        reason: BzImageError,
    },
    /// Its setup code leaves no room for heap and stack.
    #[error("The kernel '{}' has {found} bytes of set-up code, expected {expected} at most", kernel.display())]
    SetupTooBig {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Size of the setup code in bytes.
        found: u64,
        /// Available size in bytes.
        expected: u64,
    },
    /// A zImage is loaded below its setup code, and this one is too long for that.
    #[error("The kernel '{}' is a zImage of {found} bytes, expected {expected} at most", kernel.display())]
    ZImageTooBig {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Size of the protected-mode kernel in bytes.
        found: u64,
        /// Available size in bytes.
        expected: u64,
    },
    /// The command line's `vga=`, which the boot loader handles, is not a video mode.
    #[error(
        "The kernel command line has vga={value}, expected normal, ext, ask or a number up to 65535"
    )]
    VideoMode {
        /// Its value.
        value: String,
    },
    /// The command line, kernel or initrd does not fit.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file cannot be read.
    #[error("Cannot read '{}'", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A key is already in use.
    #[error(transparent)]
    Item(#[from] ItemError),
}

impl PublishError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotBzImage { .. } => {
                "boot it directly, without -bios, or give the bzImage (arch/x86/boot/bzImage, /boot/vmlinuz-*)".into()
            }
            Self::NoProtectedEntry { reason, .. } => reason.hint().into(),
            Self::SetupTooBig { .. } | Self::ZImageTooBig { .. } => "the file is damaged; build, copy or download it again".into(),
            Self::VideoMode { .. } => "leave vga= out: a guest on a serial console needs no video mode".into(),
            Self::Load(error) => error.hint(),
            Self::Read { .. } => "read error: check the disk".into(),
            Self::Item(_) => "this is a defect of chukka; please report it".into(),
        }
    }
}

/// Publishes `kernel`, `initrd` and `cmdline` (without a terminating NUL) in `items` for firmware
/// to boot. The initrd's published address stays clear of `reserved_for_acpi` bytes at the end of
/// RAM below 4 GiB: 0x28000 in QEMU on pc, 0 on microvm. Our option ROM chooses its own address, at
/// least [`FIRMWARE_RAM`] below that end.
///
/// # Errors
/// [`PublishError`]: the kernel is not a bzImage; the command line is too long for it; there is not
/// enough memory below 4 GiB for it to decompress itself; the initrd does not fit above that
/// memory; `vga=` is invalid; or a file cannot be read. `items` may then contain some of the keys.
pub fn publish(
    items: &mut Items,
    kernel: &KernelImage,
    initrd: Option<&SourceFile>,
    cmdline: &[u8],
    map: &MemoryMap,
    reserved_for_acpi: u64,
) -> Result<(), PublishError> {
    let path = kernel.source.path();
    let image = bzimage(kernel)?;
    check_cmdline(path, cmdline, image.cmdline_size())?;
    let places = Places::of(image, cmdline.len() as u64 + 1);
    let floor = kernel_end(kernel, image, places, map)?;
    let initrd_addr = match initrd {
        Some(file) => Some((file, initrd_address(file, image, floor, map, reserved_for_acpi)?)),
        None => None,
    };
    let mut setup = read_setup(&kernel.source, image, places)?;
    complete_header(&mut setup, image, places, cmdline)?;
    if let Some((file, addr)) = initrd_addr {
        patch(&mut setup, RAMDISK_IMAGE, &addr.to_le_bytes());
        patch(&mut setup, RAMDISK_SIZE, &narrow("initrd", file.len())?.to_le_bytes());
    }

    let cmdline = [cmdline, &[0]].concat();
    items.set(key::CMDLINE_ADDR, narrow("command line", places.cmdline)?)?;
    items.set(key::CMDLINE_SIZE, narrow("command line", cmdline.len() as u64)?)?;
    items.set(key::CMDLINE_DATA, cmdline)?;
    items.set(key::SETUP_ADDR, narrow("set-up code", places.setup)?)?;
    items.set(key::SETUP_SIZE, narrow("set-up code", setup.len() as u64)?)?;
    items.set(key::SETUP_DATA, setup)?;
    let data = kernel.source.range(image.payload_offset()..kernel.source.len(), Content::Code);
    items.set(key::KERNEL_ADDR, narrow("kernel", places.kernel)?)?;
    items.set(key::KERNEL_SIZE, narrow("kernel", data.len())?)?;
    items.set(key::KERNEL_DATA, data)?;
    if let Some((file, addr)) = initrd_addr {
        items.set(key::INITRD_ADDR, addr)?;
        items.set(key::INITRD_SIZE, narrow("initrd", file.len())?)?;
        items.set(key::INITRD_DATA, file.range(0..file.len(), Content::Data))?;
    }
    Ok(())
}

/// Checks that the built-in firmware can boot `kernel`: it uses the 32-bit entry point and offers
/// no services to real-mode code.
///
/// # Errors
/// [`PublishError`]: the kernel is not a bzImage, or has no such entry point.
pub fn check_builtin(kernel: &KernelImage) -> Result<(), PublishError> {
    let kernel_path = || kernel.source.path().into();
    let checked = bzimage(kernel)?.check_32_bit_entry();
    checked.map_err(|reason| PublishError::NoProtectedEntry { kernel: kernel_path(), reason })
}

fn bzimage(kernel: &KernelImage) -> Result<&BzImage, PublishError> {
    match &kernel.kind {
        KernelKind::BzImage(image) => Ok(image),
        other => {
            let (kernel, kind) = (kernel.source.path().into(), other.name());
            Err(PublishError::NotBzImage { kernel, kind })
        }
    }
}

/// First address after the memory the kernel occupies: its load address range, and the range from
/// its preferred address in which it decompresses itself (`pref_address`, `init_size`).
fn kernel_end(
    kernel: &KernelImage,
    image: &BzImage,
    places: Places,
    map: &MemoryMap,
) -> Result<u64, PublishError> {
    let found = image.payload_len();
    let expected = places.setup.saturating_sub(places.kernel);
    let path = || kernel.source.path().into();
    if !image.is_loaded_high() && found > expected {
        return Err(PublishError::ZImageTooBig { kernel: path(), found, expected });
    }
    let loaded = places.kernel.saturating_add(found);
    let unpacked = image.pref_address().max(layout::HIGH_RAM).saturating_add(image.init_size());
    let end = loaded.max(unpacked);
    let needed = end.saturating_add(FIRMWARE_RAM);
    if needed > map.below_4g() {
        return Err(
            LoadError::KernelTooBig { kernel: path(), needed, memory: map.below_4g() }.into()
        );
    }
    Ok(end)
}

/// The initrd's address by QEMU's formula. Rejects an initrd that does not fit there, or that our
/// option ROM could not place.
fn initrd_address(
    file: &SourceFile,
    image: &BzImage,
    floor: u64,
    map: &MemoryMap,
    reserved_for_acpi: u64,
) -> Result<u32, PublishError> {
    let size = file.len();
    let reserved = FIRMWARE_RAM.max(reserved_for_acpi + layout::PAGE_SIZE);
    let ram_end = map.below_4g().saturating_sub(reserved);
    let ceiling = if image.above_4g() { ram_end } else { ram_end.min(image.initrd_addr_max()) };
    let fits = ceiling.checked_sub(size).is_some_and(|at| page_of(at) >= floor);
    if !fits {
        return Err(LoadError::InitrdTooBig {
            initrd: file.path().into(),
            size,
            floor,
            ceiling,
            reserved,
            above_4g: 0,
            remedy: Remedy::find(size, floor, image.initrd_limit(), reserved),
        }
        .into());
    }
    let limit = if image.above_4g() { u64::from(u32::MAX) } else { image.initrd_addr_max() };
    let max = limit.min(map.below_4g() - reserved_for_acpi - 1);
    Ok(narrow("initrd", page_of(max - size))?)
}

/// Reads the file up to the protected-mode kernel.
fn read_setup(
    source: &SourceFile,
    image: &BzImage,
    places: Places,
) -> Result<Vec<u8>, PublishError> {
    let (found, expected) = (image.payload_offset(), u64::from(places.heap_end()));
    let length = usize::try_from(found).ok().filter(|_| found <= expected);
    let Some(length) = length else {
        return Err(PublishError::SetupTooBig { kernel: source.path().into(), found, expected });
    };
    let mut setup = vec![0; length];
    source.file().read_exact_at(&mut setup, 0).map_err(|error| read_error(source, error))?;
    if setup.len() < HEADER_END {
        return Err(read_error(source, io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(setup)
}

/// Fills in the header fields that do not depend on the initrd. Each field is set only if the
/// kernel's protocol version has it: in older headers the same bytes are code.
fn complete_header(
    setup: &mut [u8],
    image: &BzImage,
    places: Places,
    cmdline: &[u8],
) -> Result<(), PublishError> {
    if let Some(mode) = video_mode(cmdline)? {
        patch(setup, VID_MODE, &mode.to_le_bytes());
    }
    patch(setup, TYPE_OF_LOADER, &[LOADER_QEMU]);
    if image.protocol() >= 0x201 {
        setup[LOADFLAGS] |= CAN_USE_HEAP;
        patch(setup, HEAP_END_PTR, &places.heap_end().to_le_bytes());
    }
    if image.protocol() >= 0x202 {
        let address = narrow("command line", places.cmdline)?;
        patch(setup, CMD_LINE_PTR, &address.to_le_bytes());
    } else {
        let offset = u16::try_from(places.cmdline - places.setup).unwrap_or_default();
        patch(setup, OLD_CMDLINE_MAGIC, &0xa33f_u16.to_le_bytes());
        patch(setup, OLD_CMDLINE_OFFSET, &offset.to_le_bytes());
    }
    Ok(())
}

fn patch(setup: &mut [u8], at: usize, bytes: &[u8]) {
    setup[at..at + bytes.len()].copy_from_slice(bytes);
}

/// `vid_mode` for the command line's first `vga=` (Linux: Documentation/admin-guide/svga.rst),
/// which the boot loader must handle. QEMU accepts the text anywhere, even at the end of another
/// word, and truncates numbers to 16 bits.
fn video_mode(cmdline: &[u8]) -> Result<Option<u16>, PublishError> {
    let words = cmdline.split(u8::is_ascii_whitespace);
    let Some(value) = words.filter_map(|word| word.strip_prefix(b"vga=")).next() else {
        return Ok(None);
    };
    let value = String::from_utf8_lossy(value);
    let mode = match &*value {
        "normal" => Some(0xffff),
        "ext" => Some(0xfffe),
        "ask" => Some(0xfffd),
        number => c_number(number),
    };
    mode.map(Some).ok_or_else(|| PublishError::VideoMode { value: value.into_owned() })
}

/// Parses a number in C notation: 0x for base 16, 0 for base 8.
fn c_number(text: &str) -> Option<u16> {
    let lower = text.to_ascii_lowercase();
    let (digits, base) = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(hex), _) => (hex, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        _ => (lower.as_str(), 10),
    };
    let unsigned = digits.starts_with(|first: char| first.is_ascii_hexdigit());
    u16::from_str_radix(digits, base).ok().filter(|_| unsigned)
}

fn read_error(source: &SourceFile, error: io::Error) -> PublishError {
    PublishError::Read { path: source.path().into(), source: error }
}

/// Converts an address or size to fw_cfg's 32 bits; rejects larger values.
fn narrow(name: &str, value: u64) -> Result<u32, ItemError> {
    u32::try_from(value).map_err(|_| ItemError::TooBig { name: name.into(), len: value })
}

/// The start of the page that contains `address`.
fn page_of(address: u64) -> u64 {
    address & !(layout::PAGE_SIZE - 1)
}

#[cfg(test)]
mod tests;
