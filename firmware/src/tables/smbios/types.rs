//! The contents of each structure: SMBIOS 2.8, chapter 7. Fields, handles and sizes follow QEMU 7.2
//! (hw/smbios/smbios.c), except those QEMU makes up: the processor's ID and speed.

use super::structures::{self, Structures};
use super::{Maker, SmbiosConfig, SmbiosError};
use crate::tables::memory_map::MemoryMap;

/// Maximum number of strings in one structure: they are numbered by a byte, starting at 1.
const STRINGS: usize = 255;
/// Maximum size of a memory device: 16 GiB, as in QEMU.
const DIMM: u64 = 16 << 30;
/// Number of handles for memory devices before those of the next type.
const DIMMS: u64 = (HANDLE_MAPPED - HANDLE_DIMM) as u64;
/// The date in the BIOS structure of a direct boot. Linux assumes old hardware if the date is
/// missing or before 2001 (`dmi_get_bios_year`). It is fixed, so that the same options give the
/// same guest.
const RELEASE_DATE: &str = "01/01/2026";

// Handles as in QEMU (hw/smbios/smbios.c, T0_BASE and following).
const HANDLE_BIOS: u16 = 0;
const HANDLE_SYSTEM: u16 = 0x100;
const HANDLE_CHASSIS: u16 = 0x300;
const HANDLE_PROCESSOR: u16 = 0x400;
const HANDLE_OEM: u16 = 0xe00;
const HANDLE_MEMORY: u16 = 0x1000;
const HANDLE_DIMM: u16 = 0x1100;
const HANDLE_MAPPED: u16 = 0x1300;
const HANDLE_BOOT: u16 = 0x2000;
const HANDLE_END: u16 = 0x7f00;
/// "Not available" in a field for a cache or error handle.
const NO_CACHE: u16 = 0xffff;
const NO_ERROR_INFORMATION: u16 = 0xfffe;

/// BIOS information, type 0, for a direct boot; firmware provides its own.
pub(super) fn firmware(maker: &Maker) -> Structures {
    let mut structures = Structures::default();
    bios_information(&mut structures, maker);
    structures
}

/// All other structures, in ascending order of type.
pub(super) fn machine(config: &SmbiosConfig, maker: &Maker) -> Result<Structures, SmbiosError> {
    let mut structures = Structures::default();
    system_information(&mut structures, config)?;
    chassis(&mut structures, maker);
    processor(&mut structures, maker, config.cpus);
    for (handle, strings) in (HANDLE_OEM..HANDLE_MEMORY).zip(config.oem_strings.chunks(STRINGS)) {
        oem_strings(&mut structures, handle, strings)?;
    }
    memory(&mut structures, maker, config.memory);
    // No errors detected during startup.
    structures.push(32, HANDLE_BOOT, &[0; 7], &[]);
    structures.push(127, HANDLE_END, &[], &[]);
    Ok(structures)
}

/// Type 0 (SMBIOS 2.8, 7.1), for a direct boot: there is no BIOS, but operating systems expect this
/// structure.
fn bios_information(to: &mut Structures, maker: &Maker) {
    let mut fields = Vec::from([1, 2]);
    fields.extend([0x00, 0xf0, 3, 0]); // segment of the reset vector; release date; 64 KiB
    fields.extend(0x08u64.to_le_bytes()); // "BIOS characteristics are not supported"
    fields.extend([0, 0x14]); // enables targeted content distribution; this is a virtual machine
    fields.extend([0xff; 4]); // BIOS and embedded controller releases: not supported
    let strings = [maker.name, maker.version, RELEASE_DATE].map(str::as_bytes);
    to.push(0, HANDLE_BIOS, &fields, &strings);
}

/// Type 1 (7.2). The UUID's first three fields are little-endian since version 2.6, as in QEMU
/// (`smbios_encode_uuid`).
fn system_information(to: &mut Structures, config: &SmbiosConfig) -> Result<(), SmbiosError> {
    let system = &config.system;
    let all = [
        ("manufacturer", &system.manufacturer),
        ("product", &system.product),
        ("version", &system.version),
        ("serial", &system.serial),
        ("sku", &system.sku),
        ("family", &system.family),
    ];
    let mut strings = Vec::new();
    let mut numbers = [0; 6];
    for (number, (what, text)) in numbers.iter_mut().zip(all) {
        if !text.is_empty() {
            structures::check(what, text)?;
            strings.push(text.as_slice());
            *number = number_of(&strings);
        }
    }
    let mut uuid = config.uuid.unwrap_or_default();
    uuid[0..4].reverse();
    uuid[4..6].reverse();
    uuid[6..8].reverse();
    let [manufacturer, product, version, serial, sku, family] = numbers;
    let mut fields = Vec::from([manufacturer, product, version, serial]);
    fields.extend(uuid);
    fields.extend([0x06, sku, family]); // wake-up type: power switch
    to.push(1, HANDLE_SYSTEM, &fields, &strings);
    Ok(())
}

/// Type 3 (7.4): chassis type "other", state safe, security status unknown.
fn chassis(to: &mut Structures, maker: &Maker) {
    let mut fields = Vec::from([1, 0x01, 2, 0, 0]); // no serial number, no asset tag
    fields.extend([0x03, 0x03, 0x03, 0x02]);
    fields.extend([0; 9]); // OEM-defined, height, power cords, contained elements, SKU number
    to.push(3, HANDLE_CHASSIS, &fields, &[maker.name.as_bytes(), maker.version.as_bytes()]);
}

/// Type 4 (7.5): one processor with all CPUs as its cores. Its ID and clock are omitted; CPUID
/// reports them.
fn processor(to: &mut Structures, maker: &Maker, cpus: u8) {
    let mut fields = Vec::from([1, 0x03, 0x01, 2]); // central processor, family: other
    fields.extend([0; 8]); // ID
    fields.extend([3, 0, 0, 0]); // version; voltage, external clock
    fields.extend([0; 4]); // maximum and current speed: unknown
    fields.extend([0x41, 0x01]); // populated and enabled; upgrade: other
    for _level in 1..=3 {
        fields.extend(NO_CACHE.to_le_bytes());
    }
    fields.extend([0, 0, 0, cpus, cpus, cpus]); // serial, asset tag, part; cores, enabled cores, threads
    fields.extend(0x0002u16.to_le_bytes()); // characteristics: unknown
    fields.extend(0x0001u16.to_le_bytes()); // family: other
    to.push(
        4,
        HANDLE_PROCESSOR,
        &fields,
        &[b"CPU 0", maker.name.as_bytes(), maker.version.as_bytes()],
    );
}

/// Type 11 (7.12). A guest that reads one such structure, such as systemd, reads all of them.
fn oem_strings(to: &mut Structures, handle: u16, values: &[Vec<u8>]) -> Result<(), SmbiosError> {
    let strings: Vec<_> = values.iter().map(Vec::as_slice).collect();
    strings.iter().try_for_each(|text| structures::check("value", text))?;
    to.push(11, handle, &[number_of(&strings)], &strings);
    Ok(())
}

/// Types 16, 17 and 19 (7.17, 7.18, 7.20): the memory array, its devices, and their addresses.
fn memory(to: &mut Structures, maker: &Maker, memory: u64) {
    // Above 8 TiB, make the devices larger instead of adding more: handles would run out.
    let dimm = DIMM * memory.div_ceil(DIMM * DIMMS).max(1);
    let dimms = memory.div_ceil(dimm);
    memory_array(to, memory, dimms);
    for (number, handle) in (0..dimms).zip(HANDLE_DIMM..) {
        memory_device(to, maker, handle, number, dimm.min(memory - number * dimm));
    }
    for (handle, range) in (HANDLE_MAPPED..).zip(MemoryMap::new(memory).ram()) {
        mapped_memory(to, handle, range.start, range.end - 1);
    }
}

fn memory_array(to: &mut Structures, memory: u64, dimms: u64) {
    const EXTENDED: u32 = 0x8000_0000;
    let (kib, extended) = match u32::try_from(memory >> 10) {
        Ok(kib) if kib < EXTENDED => (kib, 0),
        _ => (EXTENDED, memory),
    };
    let mut fields = Vec::from([0x01, 0x03, 0x06]); // location: other; system memory; multi-bit error correction
    fields.extend(kib.to_le_bytes());
    fields.extend(NO_ERROR_INFORMATION.to_le_bytes());
    fields.extend(u16::try_from(dimms).unwrap_or(u16::MAX).to_le_bytes());
    fields.extend(extended.to_le_bytes());
    to.push(16, HANDLE_MEMORY, &fields, &[]);
}

fn memory_device(to: &mut Structures, maker: &Maker, handle: u16, number: u64, size: u64) {
    const EXTENDED: u16 = 0x7fff;
    let mib = size >> 20;
    let (short, extended) = match u16::try_from(mib) {
        Ok(short) if short < EXTENDED => (short, 0),
        _ => (EXTENDED, u32::try_from(mib).unwrap_or(u32::MAX)),
    };
    let mut fields = Vec::from(HANDLE_MEMORY.to_le_bytes());
    fields.extend(NO_ERROR_INFORMATION.to_le_bytes());
    fields.extend([0xff; 4]); // widths: unknown
    fields.extend(short.to_le_bytes());
    fields.extend([0x09, 0, 1, 0, 0x07]); // DIMM; no set; locator; no bank; RAM
    fields.extend([0x02, 0, 0, 0]); // type detail: other; speed: unknown
    fields.extend([2, 0, 0, 0, 0]); // manufacturer; no serial number, asset tag, part number; attributes
    fields.extend(extended.to_le_bytes());
    fields.extend([0; 8]); // configured speed, voltages: unknown
    let locator = format!("DIMM {number}");
    to.push(17, handle, &fields, &[locator.as_bytes(), maker.name.as_bytes()]);
}

/// `last` is the address of the last byte.
fn mapped_memory(to: &mut Structures, handle: u16, start: u64, last: u64) {
    let kib = (u32::try_from(start >> 10), u32::try_from(last >> 10));
    let ((start_kib, last_kib), (start, last)) = match kib {
        (Ok(start_kib), Ok(last_kib)) if last_kib < u32::MAX => ((start_kib, last_kib), (0, 0)),
        _ => ((u32::MAX, u32::MAX), (start, last)),
    };
    let mut fields = Vec::from(start_kib.to_le_bytes());
    fields.extend(last_kib.to_le_bytes());
    fields.extend(HANDLE_MEMORY.to_le_bytes());
    fields.push(1); // partition width: devices per range
    fields.extend(start.to_le_bytes());
    fields.extend(last.to_le_bytes());
    to.push(19, handle, &fields, &[]);
}

/// The number of the last of `strings`, which are at most [`STRINGS`].
fn number_of(strings: &[&[u8]]) -> u8 {
    u8::try_from(strings.len()).unwrap_or(u8::MAX)
}
