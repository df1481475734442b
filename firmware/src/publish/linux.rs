//! What the host publishes for a firmware to boot a bzImage: four items, each by an address, a size and its bytes.
//!
//! An option ROM ([`crate::option_rom`], or QEMU's linuxboot_dma.bin), or a firmware that knows the keys itself (qboot), copies
//! them into guest memory and enters the kernel in real mode; our own firmware ([`crate::builtin`]) chooses places of its own and
//! enters it at 32 bits. Keys and formulas are those of `x86_load_linux` in QEMU's hw/i386/x86-common.c, for boot protocol 2.12 and
//! later: older kernels are no [`KernelImage`]. All integers are little-endian, addresses are guest-physical, sizes count bytes.
//!
//! | item | keys | where it goes | what it is |
//! |---|---|---|---|
//! | set-up code | 0x16-0x18 | [`layout::SETUP`] | the file up to the protected-mode kernel, its header completed |
//! | command line | 0x13-0x15 | [`layout::CMDLINE`] | `-append` with its terminator, which the size counts |
//! | kernel | 0x07, 0x08, 0x11 | [`layout::HIGH_RAM`] | the rest of the file |
//! | initrd | 0x0a, 0x0b, 0x12 | below the end of RAM below 4 GiB | the whole file; without one the keys are absent, and read as 0 |
//!
//! Sizes have 32 bits, and firmware reaches what is below 4 GiB: an initrd may be as big as there is RAM between the kernel and 3 GiB, if
//! the kernel takes it there (`xloadflags`, `initrd_addr_max`). Unlike QEMU, what cannot work is refused before the machine starts: see [`PublishError`].

use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use fw_cfg::{ItemError, Items, key};
use guest_memory::Content;
use thiserror::Error;

use crate::image::{BzImage, KernelImage, KernelKind};
use crate::layout;
use crate::payload::{LoadError, Remedy, check_cmdline};
use crate::source_file::SourceFile;
use crate::tables::memory_map::MemoryMap;

/// RAM below its end below 4 GiB that is left to the firmware, in bytes. SeaBIOS keeps ACPI and SMBIOS tables there (128 KiB under
/// QEMU, which itself counts on 160 KiB), and int 15h E801 tells the rest in units of 64 KiB.
pub const FIRMWARE_RAM: u64 = 256 << 10;

/// Offsets in the set-up code of the header fields that a boot loader fills in (boot.rst), and what QEMU fills in.
const VID_MODE: usize = 0x1fa;
const TYPE_OF_LOADER: usize = 0x210;
const LOADFLAGS: usize = 0x211;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21c;
const HEAP_END_PTR: usize = 0x224;
const CMD_LINE_PTR: usize = 0x228;
/// First offset after the fields above. Set-up code has at least 1024 bytes.
const HEADER_END: usize = 0x22c;
/// `type_of_loader`: QEMU (0xb), version 0. The number is QEMU's because the interface is.
const LOADER_QEMU: u8 = 0xb0;
/// `loadflags`: `heap_end_ptr` is valid.
const CAN_USE_HEAP: u8 = 0x80;
/// Where heap and stack end, as an offset from the set-up code: below the command line, less 512 bytes as boot.rst wants it.
const HEAP_END: u16 = 0xfe00;

const _: () = assert!(layout::CMDLINE - layout::SETUP - 0x200 == HEAP_END as u64);

/// Why a kernel cannot be booted by firmware.
#[derive(Debug, Error)]
pub enum PublishError {
    /// It is a vmlinux: firmware enters kernels in real mode, and a vmlinux has no code for it.
    #[error("The kernel '{}' is a vmlinux, expected a bzImage: firmware starts nothing else", kernel.display())]
    NotBzImage {
        /// The kernel's file name.
        kernel: PathBuf,
    },
    /// Its set-up code does not leave room for heap and stack in its 64 KiB.
    #[error("The kernel '{}' has {found} bytes of set-up code, expected {HEAP_END} at most", kernel.display())]
    SetupTooBig {
        /// The kernel's file name.
        kernel: PathBuf,
        /// Bytes there are.
        found: u64,
    },
    /// The command line's `vga=` is for the boot loader, and makes no sense.
    #[error(
        "The kernel command line has vga={value}, expected normal, ext, ask or a number up to 65535"
    )]
    VideoMode {
        /// What it says.
        value: String,
    },
    /// Command line, kernel or initrd do not fit.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file cannot be read.
    #[error("Cannot read '{}'", path.display())]
    Read {
        /// Its name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key is taken.
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
            Self::SetupTooBig { .. } => "the file is damaged; build, copy or download it again".into(),
            Self::VideoMode { .. } => "leave vga= out: a guest on a serial console needs no video mode".into(),
            Self::Load(error) => error.hint(),
            Self::Read { .. } => "is the medium it lies on in order?".into(),
            Self::Item(_) => "this is a defect of chukka; please report it".into(),
        }
    }
}

/// Publishes `kernel`, `initrd` and `cmdline` (without terminator) in `items` for a firmware to boot. `reserved_for_acpi`: bytes
/// at the end of RAM below 4 GiB that the initrd's published address stays clear of; QEMU says 0x28000 on pc, 0 on microvm. Our
/// option ROM finds a place of its own, at least [`FIRMWARE_RAM`] below that end.
///
/// # Errors
/// [`PublishError`]: the kernel is no bzImage; the command line is longer than it takes; the memory it needs to unpack itself is not
/// there below 4 GiB; the initrd does not fit above that memory; `vga=` makes no sense; a file cannot be read. `items` may then hold
/// some of the keys.
pub fn publish(
    items: &mut Items,
    kernel: &KernelImage,
    initrd: Option<&SourceFile>,
    cmdline: &[u8],
    map: &MemoryMap,
    reserved_for_acpi: u64,
) -> Result<(), PublishError> {
    let path = kernel.source.path();
    let KernelKind::BzImage(image) = &kernel.kind else {
        return Err(PublishError::NotBzImage { kernel: path.into() });
    };
    check_cmdline(path, cmdline, image.cmdline_size())?;
    let floor = kernel_end(kernel, image, map)?;
    let initrd_addr = match initrd {
        Some(file) => Some((file, initrd_address(file, image, floor, map, reserved_for_acpi)?)),
        None => None,
    };
    let mut setup = read_setup(&kernel.source, image)?;
    complete_header(&mut setup, cmdline)?;
    if let Some((file, addr)) = initrd_addr {
        patch(&mut setup, RAMDISK_IMAGE, &addr.to_le_bytes());
        patch(&mut setup, RAMDISK_SIZE, &narrow("initrd", file.len())?.to_le_bytes());
    }

    let cmdline = [cmdline, &[0]].concat();
    items.set(key::CMDLINE_ADDR, narrow("command line", layout::CMDLINE)?)?;
    items.set(key::CMDLINE_SIZE, narrow("command line", cmdline.len() as u64)?)?;
    items.set(key::CMDLINE_DATA, cmdline)?;
    items.set(key::SETUP_ADDR, narrow("set-up code", layout::SETUP)?)?;
    items.set(key::SETUP_SIZE, narrow("set-up code", setup.len() as u64)?)?;
    items.set(key::SETUP_DATA, setup)?;
    let data = kernel.source.range(image.payload_offset()..kernel.source.len(), Content::Code);
    items.set(key::KERNEL_ADDR, narrow("kernel", layout::HIGH_RAM)?)?;
    items.set(key::KERNEL_SIZE, narrow("kernel", data.len())?)?;
    items.set(key::KERNEL_DATA, data)?;
    if let Some((file, addr)) = initrd_addr {
        items.set(key::INITRD_ADDR, addr)?;
        items.set(key::INITRD_SIZE, narrow("initrd", file.len())?)?;
        items.set(key::INITRD_DATA, file.range(0..file.len(), Content::Data))?;
    }
    Ok(())
}

/// First address above all that the kernel occupies: where it is loaded, and the room from its preferred address in which it
/// unpacks itself (`pref_address`, `init_size`).
fn kernel_end(kernel: &KernelImage, image: &BzImage, map: &MemoryMap) -> Result<u64, PublishError> {
    let loaded = layout::HIGH_RAM.saturating_add(kernel.source.len() - image.payload_offset());
    let unpacked = image.pref_address().max(layout::HIGH_RAM) + image.init_size();
    let end = loaded.max(unpacked);
    let needed = end.saturating_add(FIRMWARE_RAM);
    if needed > map.below_4g() {
        let kernel = kernel.source.path().into();
        return Err(LoadError::KernelTooBig { kernel, needed, memory: map.below_4g() }.into());
    }
    Ok(end)
}

/// The initrd's address by QEMU's formula; what could not go there, or nowhere with our option ROM, is refused.
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

/// The file up to the protected-mode kernel.
fn read_setup(source: &SourceFile, image: &BzImage) -> Result<Vec<u8>, PublishError> {
    let found = image.payload_offset();
    let length = usize::try_from(found).ok().filter(|length| *length <= usize::from(HEAP_END));
    let Some(length) = length else {
        return Err(PublishError::SetupTooBig { kernel: source.path().into(), found });
    };
    let mut setup = vec![0; length];
    source.file().read_exact_at(&mut setup, 0).map_err(|error| read_error(source, error))?;
    if setup.len() < HEADER_END {
        return Err(read_error(source, io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(setup)
}

/// Fills in what does not depend on the initrd.
fn complete_header(setup: &mut [u8], cmdline: &[u8]) -> Result<(), PublishError> {
    if let Some(mode) = video_mode(cmdline)? {
        patch(setup, VID_MODE, &mode.to_le_bytes());
    }
    patch(setup, TYPE_OF_LOADER, &[LOADER_QEMU]);
    setup[LOADFLAGS] |= CAN_USE_HEAP;
    patch(setup, HEAP_END_PTR, &HEAP_END.to_le_bytes());
    patch(setup, CMD_LINE_PTR, &narrow("command line", layout::CMDLINE)?.to_le_bytes());
    Ok(())
}

fn patch(setup: &mut [u8], at: usize, bytes: &[u8]) {
    setup[at..at + bytes.len()].copy_from_slice(bytes);
}

/// `vid_mode` for the command line's first `vga=` (Linux: Documentation/admin-guide/svga.rst), which is the boot loader's to obey.
/// QEMU takes the text anywhere, also at the end of another word, and cuts a number to 16 bits.
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

/// A number as C writes it: 0x for base 16, 0 for base 8.
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

/// fw_cfg's addresses and sizes have 32 bits: what has more is refused.
fn narrow(name: &str, value: u64) -> Result<u32, ItemError> {
    u32::try_from(value).map_err(|_| ItemError::TooBig { name: name.into(), len: value })
}

/// The start of the page that `address` lies in.
fn page_of(address: u64) -> u64 {
    address & !(layout::PAGE_SIZE - 1)
}

#[cfg(test)]
mod tests;
