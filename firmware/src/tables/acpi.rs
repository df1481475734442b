//! The ACPI tables: RSDP, XSDT, FADT, MADT and DSDT, built once.
//!
//! The tables refer to each other by physical address, and their location depends on the boot
//! method. So they are built at address 0 together with a list of their pointers and checksums.
//! Direct boot [relocates](AcpiTables::relocate) them itself; for firmware, the same list becomes
//! the linker-loader script that is [published](AcpiTables::publish) with them.
//!
//! There is no RSDT: Linux and SeaBIOS (`find_acpi_table`, src/fw/biostables.c) use the XSDT if
//! there is one.

mod tables;

use acpi_tables::{Aml, facs::FACS, rsdp::Rsdp, xsdt::XSDT};
use fw_cfg::Items;
use fw_cfg::loader::{self, Script, Zone};

use crate::publish::error::PublishError;

/// OEM ID of all tables: 6 characters.
const OEM_ID: [u8; 6] = *b"CHUKKA";
/// OEM table ID of all tables: 8 characters.
const OEM_TABLE_ID: [u8; 8] = *b"CHUKKA  ";
/// Alignment of the tables in bytes, as in QEMU and EDK2.
const ALIGN: usize = 64;
/// Offset of a table's 8-bit checksum (ACPI 6.5, table 5.4).
const SDT_CHECKSUM: usize = 9;
/// Size of a table's header in bytes.
const SDT_HEADER: usize = 36;
/// QEMU's name for the fw_cfg file with the RSDP.
const RSDP_FILE: &str = "etc/acpi/rsdp";
/// QEMU's name for the fw_cfg file with all other tables.
const TABLES_FILE: &str = "etc/acpi/tables";
/// Size of the RSDP in bytes (ACPI 6.5, table 5.3).
const RSDP_SIZE: usize = 36;
/// Alignment at which an OS searches for the RSDP (ACPI 6.5, 5.2.5.1).
const RSDP_ALIGN: usize = 16;
/// Offset of `DSDT`, the 32-bit address, in the FADT (ACPI 6.5, table 5.9). SeaBIOS only reads this
/// field (`acpi_dsdt_parse`, src/fw/dsdt_parser.c); an OS uses `X_DSDT` and would warn if the two
/// differed.
const FADT_DSDT: usize = 40;
/// Offset of `FIRMWARE_CTRL`, the 32-bit address of the FACS, in the FADT (ACPI 6.5, table 5.9).
const FADT_FIRMWARE_CTRL: usize = 36;
/// Offset of `X_DSDT` in the FADT (ACPI 6.5, table 5.9).
const FADT_X_DSDT: usize = 140;

/// The parts of the tables that do not come from devices.
#[derive(Clone, Copy, Debug)]
pub struct AcpiConfig {
    /// Number of CPUs, with local APIC IDs from 0.
    pub cpus: u8,
    /// I/O port of the reset register, 8 bits wide.
    pub reset_port: u16,
    /// The value that resets the machine when written to the reset register.
    pub reset_value: u8,
    /// The sleep and event registers.
    pub power: PowerManagement,
    /// I/O port of the power management timer, if any: a 24-bit counter at 3.579545 MHz, read as 32
    /// bits (ACPI 6.5, 4.8.2.1).
    pub pm_timer_port: Option<u16>,
}

/// The two kinds of ACPI hardware.
#[derive(Clone, Copy, Debug)]
pub enum PowerManagement {
    /// Hardware-reduced (ACPI 6.5, 4.1): no SCI, no PM1 blocks, no FACS. Linux then uses neither
    /// the 8259s nor the PIT.
    HardwareReduced {
        /// I/O port of the sleep control register, 8 bits wide (ACPI 6.5, table 4.19).
        sleep_control_port: u16,
        /// I/O port of the sleep status register, 8 bits wide (ACPI 6.5, table 4.20).
        sleep_status_port: u16,
    },
    /// The fixed hardware of a PC (ACPI 6.5, 4.8.3), with a fixed power button.
    Fixed(FixedHardware),
}

/// The power-management registers of a PC.
#[derive(Clone, Copy, Debug)]
pub struct FixedHardware {
    /// I/O port of the PM1 event block: status and enable register, 16 bits each.
    pub event_port: u16,
    /// I/O port of the PM1 control register, 16 bits.
    pub control_port: u16,
    /// The ISA interrupt of the SCI, level-triggered and active high.
    pub sci: u8,
    /// I/O port of the SMI command register, 8 bits.
    pub command_port: u16,
    /// The command that passes control of power management to the OS.
    pub enable: u8,
    /// The command that returns it to the firmware.
    pub disable: u8,
}

/// A little-endian field that contains the address of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pointer {
    /// Offset of the field in the blob.
    at: usize,
    /// Size of the field in bytes: 4 or 8.
    size: u8,
    /// Offset of the target table.
    to: usize,
}

/// A checksum byte, which makes a range of bytes sum up to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checksum {
    /// Offset of the checksum byte in the blob.
    at: usize,
    /// Offset of the first byte of the range.
    start: usize,
    /// Length of the range in bytes.
    len: usize,
}

/// All tables in one blob, RSDP first, built for address 0.
#[derive(Clone, Debug)]
pub struct AcpiTables {
    blob: Vec<u8>,
    pointers: Vec<Pointer>,
    checksums: Vec<Checksum>,
    config: AcpiConfig,
}

impl AcpiTables {
    /// Builds the tables of a machine. The DSDT contains `devices` in the given order.
    ///
    /// SeaBIOS reads the DSDT to find out which devices it need not probe: if the DSDT has no PS/2
    /// keyboard (PNP0303), SeaBIOS neither looks nor waits for one (`ps2port_setup`,
    /// src/hw/ps2port.c). It ignores a DSDT without any devices.
    pub fn build(config: &AcpiConfig, devices: &[&dyn Aml]) -> Self {
        let mut tables = Self {
            blob: bytes(&Rsdp::new(OEM_ID, 0)),
            pointers: Vec::new(),
            checksums: Vec::new(),
            config: *config,
        };
        // The RSDP's first checksum covers its first 20 bytes, the second all 36 including the
        // first checksum (ACPI 6.5, 5.2.5.3).
        tables.checksums.push(Checksum { at: 8, start: 0, len: 20 });
        tables.checksums.push(Checksum { at: 32, start: 0, len: 36 });
        let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, 1);
        xsdt.add_entry(0);
        xsdt.add_entry(0);
        let xsdt = tables.push(&bytes(&xsdt));
        let dsdt = tables.push(&tables::dsdt(devices));
        let fadt = tables.push(&bytes(&tables::fadt(config)));
        let madt = tables.push(&tables::madt(config));
        tables.pointers.extend([
            Pointer { at: 24, size: 8, to: xsdt },
            Pointer { at: xsdt + SDT_HEADER, size: 8, to: fadt },
            Pointer { at: xsdt + SDT_HEADER + 8, size: 8, to: madt },
            Pointer { at: fadt + FADT_DSDT, size: 4, to: dsdt },
            Pointer { at: fadt + FADT_X_DSDT, size: 8, to: dsdt },
        ]);
        if let PowerManagement::Fixed(_) = config.power {
            let facs = tables.place(&bytes(&FACS::new()));
            tables.pointers.push(Pointer { at: fadt + FADT_FIRMWARE_CTRL, size: 4, to: facs });
        }
        // Checksums must be computed in the order of `checksums`: the RSDP's second one covers the
        // first.
        tables
    }

    fn push(&mut self, table: &[u8]) -> usize {
        let start = self.place(table);
        self.checksums.push(Checksum { at: start + SDT_CHECKSUM, start, len: table.len() });
        start
    }

    /// Appends a table without a checksum, such as the FACS.
    fn place(&mut self, table: &[u8]) -> usize {
        let start = self.blob.len().next_multiple_of(ALIGN);
        self.blob.resize(start, 0);
        self.blob.extend(table);
        start
    }

    /// The bytes to place at guest-physical address `base`, which becomes the address of the RSDP.
    pub fn relocate(&self, base: u64) -> Vec<u8> {
        let mut blob = self.blob.clone();
        for pointer in &self.pointers {
            pointer.set(&mut blob, base + pointer.to as u64);
        }
        for sum in &self.checksums {
            blob[sum.at] = 0;
            blob[sum.at] = blob[sum.start..sum.start + sum.len]
                .iter()
                .fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        }
        blob
    }

    /// Publishes the tables for firmware: two files, and the script with which firmware loads them
    /// into memory, fills in the addresses it has chosen and computes the checksums.
    ///
    /// Each pointer field contains the offset of its target within the file, to which the script
    /// adds the file's address. Each checksum byte is 0, because it is included in the sum. All
    /// pointers precede all checksums, which are in the same order as in [`AcpiTables::relocate`].
    ///
    /// # Errors
    /// One of the files already exists, or the directory is full.
    pub fn publish(&self, items: &mut Items) -> Result<(), PublishError> {
        let mut blob = self.blob.clone();
        let mut script = Script::new();
        script.allocate(RSDP_FILE, offset(RSDP_ALIGN), Zone::FSeg)?;
        script.allocate(TABLES_FILE, offset(ALIGN), Zone::High)?;
        for pointer in &self.pointers {
            let (file, at) = in_file(pointer.at);
            let (source, to) = in_file(pointer.to);
            pointer.set(&mut blob, u64::from(to));
            script.add_pointer(file, source, at, pointer.size)?;
        }
        for sum in &self.checksums {
            let (file, at) = in_file(sum.at);
            let (_, start) = in_file(sum.start);
            blob[sum.at] = 0;
            script.add_checksum(file, at, start, offset(sum.len))?;
        }
        let tables = blob.split_off(TABLES_START);
        blob.truncate(RSDP_SIZE);
        items.add_file(RSDP_FILE, blob)?;
        items.add_file(TABLES_FILE, tables)?;
        items.add_file(loader::FILE_NAME, script.into_bytes())?;
        Ok(())
    }

    /// Real-mode code for the reset vector that resets the machine through its ACPI register: at
    /// most 16 bytes.
    ///
    /// Linux reboots a hardware-reduced machine through EFI or, without EFI, by jumping to the BIOS
    /// entry point; it does not try the FADT's reset register (`reboot_init` and
    /// `native_machine_emergency_restart` in arch/x86/kernel/reboot.c).
    pub fn reset_code(&self) -> Vec<u8> {
        let [low, high] = self.config.reset_port.to_le_bytes();
        let mut code = vec![0xba, low, high]; // mov dx, port
        code.extend([0xb0, self.config.reset_value]); // mov al, value
        code.push(0xee); // out dx, al
        code.extend([0xf4, 0xeb, 0xfd]); // hlt; jmp back to it
        code
    }

    /// Size of all tables in bytes.
    pub fn size(&self) -> usize {
        self.blob.len()
    }
}

impl Pointer {
    /// Sets the field to `address`. A 32-bit field that is too small is set to 0, "none" (ACPI 6.5,
    /// table 5.9); there is a 64-bit field as well.
    fn set(&self, blob: &mut [u8], address: u64) {
        match self.size {
            4 => {
                let address = u32::try_from(address).unwrap_or(0);
                blob[self.at..self.at + 4].copy_from_slice(&address.to_le_bytes());
            }
            _ => blob[self.at..self.at + 8].copy_from_slice(&address.to_le_bytes()),
        }
    }
}

/// Offset of the first table in the blob, which is the first byte of [`TABLES_FILE`].
const TABLES_START: usize = RSDP_SIZE.next_multiple_of(ALIGN);

/// The fw_cfg file that contains a byte of the blob, and its offset there.
fn in_file(at: usize) -> (&'static str, u32) {
    match at.checked_sub(TABLES_START) {
        None => (RSDP_FILE, offset(at)),
        Some(at) => (TABLES_FILE, offset(at)),
    }
}

/// Converts an offset or size for the script. The tables are a few KiB long.
fn offset(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
