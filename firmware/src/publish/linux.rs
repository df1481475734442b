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
//! | setup code  | 0x16-0x18 | [`layout::SETUP`] | the file up to the protected-mode kernel, its header completed |
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
//! machine starts: see [`KernelError`].

use std::os::unix::fs::FileExt;

use fw_cfg::{Items, key};
use guest_memory::Content;

use super::initrd::{self, Bounds};
use super::kernel_error::{KernelError, narrow, read_error};
use crate::image::{BzImage, KernelImage};
use crate::layout::{self, FIRMWARE_RAM};
use crate::payload::{LoadError, check_cmdline};
use crate::source_file::SourceFile;
use crate::tables::memory_map::MemoryMap;

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

/// Publishes `kernel`, whose header is `image`, `initrd` and `cmdline` (without a terminating NUL)
/// in `items` for firmware to boot. The initrd's published address stays clear of
/// `reserved_for_acpi` bytes at the end of RAM below 4 GiB: 0x28000 in QEMU on pc, 0 on microvm.
/// Our option ROM chooses its own address, at least [`FIRMWARE_RAM`] below that end.
///
/// # Errors
/// [`KernelError`]: the command line is too long for the kernel; there is not enough memory below 4
/// GiB for it to decompress itself; the initrd does not fit above that memory; `vga=` is invalid;
/// or a file cannot be read. `items` may then contain some of the keys.
pub fn publish(
    items: &mut Items,
    kernel: &KernelImage,
    image: &BzImage,
    initrd: Option<&SourceFile>,
    cmdline: &[u8],
    map: &MemoryMap,
    reserved_for_acpi: u64,
) -> Result<(), KernelError> {
    let path = kernel.source.path();
    check_cmdline(path, cmdline, image.cmdline_size())?;
    let places = Places::of(image, cmdline.len() as u64 + 1);
    let floor = kernel_end(kernel, image, places, map)?;
    let initrd_addr = match initrd {
        Some(file) => {
            let last = (!image.above_4g()).then(|| image.initrd_addr_max());
            let limit = last.unwrap_or_else(|| image.initrd_limit());
            let bounds = Bounds { floor, last, limit };
            Some((file, initrd::address(file, bounds, map, reserved_for_acpi)?))
        }
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
    items.set(key::SETUP_ADDR, narrow("setup code", places.setup)?)?;
    items.set(key::SETUP_SIZE, narrow("setup code", setup.len() as u64)?)?;
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

/// Checks that the built-in firmware can boot `image`: it uses the 32-bit entry point and offers no
/// services to real-mode code.
///
/// # Errors
/// [`KernelError`]: the kernel has no such entry point.
pub fn check_builtin(kernel: &KernelImage, image: &BzImage) -> Result<(), KernelError> {
    let kernel = || kernel.source.path().into();
    let checked = image.check_32_bit_entry();
    checked.map_err(|reason| KernelError::NoProtectedEntry { kernel: kernel(), reason })
}

/// First address after the memory the kernel occupies: its load address range, and the range from
/// its preferred address in which it decompresses itself (`pref_address`, `init_size`).
fn kernel_end(
    kernel: &KernelImage,
    image: &BzImage,
    places: Places,
    map: &MemoryMap,
) -> Result<u64, KernelError> {
    let found = image.payload_len();
    let expected = places.setup.saturating_sub(places.kernel);
    let path = || kernel.source.path().into();
    if !image.is_loaded_high() && found > expected {
        return Err(KernelError::ZImageTooBig { kernel: path(), found, expected });
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

/// Reads the file up to the protected-mode kernel.
fn read_setup(
    source: &SourceFile,
    image: &BzImage,
    places: Places,
) -> Result<Vec<u8>, KernelError> {
    let (found, expected) = (image.payload_offset(), u64::from(places.heap_end()));
    let length = usize::try_from(found).ok().filter(|_| found <= expected);
    let Some(length) = length else {
        return Err(KernelError::SetupTooBig { kernel: source.path().into(), found, expected });
    };
    let mut setup = vec![0; length];
    source.file().read_exact_at(&mut setup, 0).map_err(|error| read_error(source, error))?;
    Ok(setup)
}

/// Fills in the header fields that do not depend on the initrd. Each field is set only if the
/// kernel's protocol version has it: in older headers the same bytes are code. All of them are in the
/// first two sectors, which every `setup` has.
fn complete_header(
    setup: &mut [u8],
    image: &BzImage,
    places: Places,
    cmdline: &[u8],
) -> Result<(), KernelError> {
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
fn video_mode(cmdline: &[u8]) -> Result<Option<u16>, KernelError> {
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
    mode.map(Some).ok_or_else(|| KernelError::VideoMode { value: value.into_owned() })
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

#[cfg(test)]
mod tests;
