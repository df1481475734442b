//! The ACPI tables: RSDP, XSDT, FADT, MADT and DSDT, built once.
//!
//! The tables point at each other by physical address, and where they will be depends on the way of booting. So they are built
//! at address 0 with a list of their pointers and checksums; direct boot [relocates](AcpiTables::relocate) them itself, and with
//! firmware the same list becomes the linker-loader script that is [published](AcpiTables::publish) with them.
//!
//! There is no RSDT: Linux and SeaBIOS (`find_acpi_table`, src/fw/biostables.c) take the XSDT where there is one.

mod tables;

use acpi_tables::{Aml, facs::FACS, rsdp::Rsdp, xsdt::XSDT};
use fw_cfg::Items;
use fw_cfg::loader::{self, Script, Zone};

use crate::publish::error::PublishError;

/// OEM ID of every table: 6 characters.
const OEM_ID: [u8; 6] = *b"CHUKKA";
/// OEM table ID of every table: 8 characters.
const OEM_TABLE_ID: [u8; 8] = *b"CHUKKA  ";
/// Tables start at multiples of this, as QEMU's and EDK2's do.
const ALIGN: usize = 64;
/// Offset of a table's 8-bit checksum (ACPI 6.5, table 5.4).
const SDT_CHECKSUM: usize = 9;
/// Bytes of a table's header.
const SDT_HEADER: usize = 36;
/// The fw_cfg file of the RSDP, by QEMU's name for it.
const RSDP_FILE: &str = "etc/acpi/rsdp";
/// The fw_cfg file of all other tables, by QEMU's name for it.
const TABLES_FILE: &str = "etc/acpi/tables";
/// Bytes of the RSDP (ACPI 6.5, table 5.3).
const RSDP_SIZE: usize = 36;
/// Where an OS looks for the RSDP, it does so at multiples of this (ACPI 6.5, 5.2.5.1).
const RSDP_ALIGN: usize = 16;
/// Offset of `DSDT`, the 32-bit address, in the FADT (ACPI 6.5, table 5.9). SeaBIOS knows no other (`acpi_dsdt_parse`,
/// src/fw/dsdt_parser.c); an OS takes `X_DSDT` and would warn if the two differed.
const FADT_DSDT: usize = 40;
/// Offset of `FIRMWARE_CTRL`, the 32-bit address of the FACS, in the FADT (ACPI 6.5, table 5.9).
const FADT_FIRMWARE_CTRL: usize = 36;
/// Offset of `X_DSDT` in the FADT (ACPI 6.5, table 5.9).
const FADT_X_DSDT: usize = 140;

/// What the tables say about the machine, beyond its devices.
#[derive(Clone, Copy, Debug)]
pub struct AcpiConfig {
    /// CPUs, with local APIC IDs from 0.
    pub cpus: u8,
    /// I/O port of the reset register, 8 bits wide.
    pub reset_port: u16,
    /// The value that resets the machine when it is written there.
    pub reset_value: u8,
    /// The registers for sleep states and events.
    pub power: PowerManagement,
    /// I/O port of the power management timer, if there is one: a 24-bit counter of 3.579545 MHz, read with 32 bits
    /// (ACPI 6.5, 4.8.2.1).
    pub pm_timer_port: Option<u16>,
}

/// The two kinds of ACPI hardware.
#[derive(Clone, Copy, Debug)]
pub enum PowerManagement {
    /// Hardware-reduced (ACPI 6.5, 4.1): no SCI, no PM1 blocks, no FACS. Linux then uses neither the
    /// 8259s nor the PIT.
    HardwareReduced {
        /// I/O port of the sleep control register, 8 bits wide (ACPI 6.5, table 4.19).
        sleep_control_port: u16,
        /// I/O port of the sleep status register, 8 bits wide (ACPI 6.5, table 4.20).
        sleep_status_port: u16,
    },
    /// The fixed hardware of a PC (ACPI 6.5, 4.8.3), with a fixed power button.
    Fixed(FixedHardware),
}

/// Where a PC has its power-management registers.
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
    /// The command that hands power management to the OS.
    pub enable: u8,
    /// The command that takes it back.
    pub disable: u8,
}

/// A little-endian field that holds the address of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pointer {
    /// Offset of the field in the blob.
    at: usize,
    /// Bytes of the field: 4 or 8.
    size: u8,
    /// Offset of the table it points at.
    to: usize,
}

/// A byte that makes a range of bytes sum up to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checksum {
    /// Offset of the byte in the blob.
    at: usize,
    /// Offset of the first byte summed up.
    start: usize,
    /// How many are.
    len: usize,
}

/// All tables in one blob, RSDP first, as if for address 0.
#[derive(Clone, Debug)]
pub struct AcpiTables {
    blob: Vec<u8>,
    pointers: Vec<Pointer>,
    checksums: Vec<Checksum>,
    config: AcpiConfig,
}

impl AcpiTables {
    /// Builds the tables of a machine. `devices` are put into the DSDT, in this order.
    ///
    /// SeaBIOS reads the DSDT for devices it may leave alone: where there is one without a PS/2 keyboard (PNP0303), it does not
    /// look for it and waits for nothing (`ps2port_setup`, src/hw/ps2port.c). A DSDT without any device counts as none.
    pub fn build(config: &AcpiConfig, devices: &[&dyn Aml]) -> Self {
        let mut tables = Self {
            blob: bytes(&Rsdp::new(OEM_ID, 0)),
            pointers: Vec::new(),
            checksums: Vec::new(),
            config: *config,
        };
        // The first checksum of the RSDP covers its first 20 bytes, the second all 36 and so the first (ACPI 6.5, 5.2.5.3).
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
        // Innermost last would leave the RSDP's second sum over a stale first one: the order of `checksums` is the one to run in.
        tables
    }

    fn push(&mut self, table: &[u8]) -> usize {
        let start = self.place(table);
        self.checksums.push(Checksum { at: start + SDT_CHECKSUM, start, len: table.len() });
        start
    }

    /// Appends a table that has no checksum, as the FACS has none.
    fn place(&mut self, table: &[u8]) -> usize {
        let start = self.blob.len().next_multiple_of(ALIGN);
        self.blob.resize(start, 0);
        self.blob.extend(table);
        start
    }

    /// The bytes to put at guest-physical address `base`, which is then also the address of the RSDP.
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

    /// Hands the tables to firmware: two files, and the script by which it puts them into memory, fills in the addresses it has
    /// chosen and makes the checksums right.
    ///
    /// Each pointer's field holds the offset of its target within the file, to which the script adds the file's address; each
    /// checksum's byte is 0, as it is summed up with the rest. All pointers come before all checksums, and these in the order
    /// of [`AcpiTables::relocate`].
    ///
    /// # Errors
    /// One of the files is there already, or the directory is full.
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

    /// Real-mode code that resets the machine by its ACPI register, for the reset vector: at most 16 bytes.
    ///
    /// Linux reboots a hardware-reduced machine by EFI, and where there is none by a jump to the BIOS's entry, without trying the
    /// register the FADT names (`reboot_init` and `native_machine_emergency_restart` in arch/x86/kernel/reboot.c).
    pub fn reset_code(&self) -> Vec<u8> {
        let [low, high] = self.config.reset_port.to_le_bytes();
        let mut code = vec![0xba, low, high]; // mov dx, port
        code.extend([0xb0, self.config.reset_value]); // mov al, value
        code.push(0xee); // out dx, al
        code.extend([0xf4, 0xeb, 0xfd]); // hlt; jmp back to it
        code
    }

    /// Bytes of all tables.
    pub fn size(&self) -> usize {
        self.blob.len()
    }
}

impl Pointer {
    /// Makes the field hold `address`. One of 32 bits that cannot holds 0, "none" (ACPI 6.5, table 5.9): there is a field of 64
    /// bits as well.
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

/// The first table's offset in the blob, and so the first byte of [`TABLES_FILE`].
const TABLES_START: usize = RSDP_SIZE.next_multiple_of(ALIGN);

/// In which fw_cfg file a byte of the blob is, and at which offset.
fn in_file(at: usize) -> (&'static str, u32) {
    match at.checked_sub(TABLES_START) {
        None => (RSDP_FILE, offset(at)),
        Some(at) => (TABLES_FILE, offset(at)),
    }
}

/// An offset or size as the script has it. Tables are some KiB.
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
