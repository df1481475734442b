//! The ACPI tables: RSDP, XSDT, FADT, MADT and DSDT, built once.
//!
//! The tables point at each other by physical address, and where they will lie depends on the way of booting. So they are built
//! at address 0 with a list of their pointers and checksums; direct boot [relocates](AcpiTables::relocate) them itself, and the
//! same list is what a firmware's linker-loader script is made of.

mod tables;

use acpi_tables::{Aml, rsdp::Rsdp, xsdt::XSDT};

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
/// Offset of `X_DSDT` in the FADT (ACPI 6.5, table 5.9).
const FADT_X_DSDT: usize = 140;

/// What the tables say about the machine, beyond its devices.
#[derive(Clone, Copy, Debug)]
pub struct AcpiConfig {
    /// CPUs, with local APIC IDs from 0.
    pub cpus: u8,
    /// I/O port of the reset register, 8 bits wide.
    pub reset_port: u16,
    /// What written there resets the machine.
    pub reset_value: u8,
    /// I/O port of the sleep control register, 8 bits wide (ACPI 6.5, table 4.19).
    pub sleep_control_port: u16,
    /// I/O port of the sleep status register, 8 bits wide (ACPI 6.5, table 4.20).
    pub sleep_status_port: u16,
}

/// A little-endian 64-bit field that holds the address of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pointer {
    /// Offset of the field in the blob.
    at: usize,
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
        let madt = tables.push(&bytes(&tables::madt(config)));
        tables.pointers.extend([
            Pointer { at: 24, to: xsdt },
            Pointer { at: xsdt + SDT_HEADER, to: fadt },
            Pointer { at: xsdt + SDT_HEADER + 8, to: madt },
            Pointer { at: fadt + FADT_X_DSDT, to: dsdt },
        ]);
        // Innermost last would leave the RSDP's second sum over a stale first one: the order of `checksums` is the one to run in.
        tables
    }

    fn push(&mut self, table: &[u8]) -> usize {
        let start = self.blob.len().next_multiple_of(ALIGN);
        self.blob.resize(start, 0);
        self.blob.extend(table);
        self.checksums.push(Checksum { at: start + SDT_CHECKSUM, start, len: table.len() });
        start
    }

    /// The bytes to put at guest-physical address `base`, which is then also the address of the RSDP.
    pub fn relocate(&self, base: u64) -> Vec<u8> {
        let mut blob = self.blob.clone();
        for pointer in &self.pointers {
            blob[pointer.at..pointer.at + 8]
                .copy_from_slice(&(base + pointer.to as u64).to_le_bytes());
        }
        for sum in &self.checksums {
            blob[sum.at] = 0;
            blob[sum.at] = blob[sum.start..sum.start + sum.len]
                .iter()
                .fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        }
        blob
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

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: AcpiConfig = AcpiConfig {
        cpus: 3,
        reset_port: 0x604,
        reset_value: 1,
        sleep_control_port: 0x600,
        sleep_status_port: 0x601,
    };

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte))
    }

    /// Follows the pointers as an OS does, and checks signature and checksum of each table on the way.
    fn table(blob: &[u8], base: u64, pointer: usize, signature: &[u8; 4]) -> usize {
        let at = u64::from_le_bytes(blob[pointer..pointer + 8].try_into().unwrap()) - base;
        let at = usize::try_from(at).unwrap();
        let len = u32::from_le_bytes(blob[at + 4..at + 8].try_into().unwrap()) as usize;
        assert_eq!(&blob[at..at + 4], signature);
        assert_eq!(
            sum(&blob[at..at + len]),
            0,
            "checksum of {}",
            String::from_utf8_lossy(signature)
        );
        at
    }

    #[test]
    fn an_os_finds_every_table_with_a_good_checksum() {
        for base in [0xe_0000, 0x7fff_0000, 0x1_2345_6000] {
            let blob = AcpiTables::build(&CONFIG, &[]).relocate(base);
            assert_eq!(&blob[..8], b"RSD PTR ");
            assert_eq!((sum(&blob[..20]), sum(&blob[..36])), (0, 0));
            let xsdt = table(&blob, base, 24, b"XSDT");
            let fadt = table(&blob, base, xsdt + SDT_HEADER, b"FACP");
            table(&blob, base, xsdt + SDT_HEADER + 8, b"APIC");
            table(&blob, base, fadt + FADT_X_DSDT, b"DSDT");
        }
    }

    #[test]
    fn fadt_is_hardware_reduced_with_reset_and_sleep_registers() {
        let blob = AcpiTables::build(&CONFIG, &[]).relocate(0);
        let fadt = table(&blob, 0, table(&blob, 0, 24, b"XSDT") + SDT_HEADER, b"FACP");
        let flags = u32::from_le_bytes(blob[fadt + 112..fadt + 116].try_into().unwrap());
        assert_eq!(flags, 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10 | 1 << 20);
        // Generic address structures: I/O space, 8 bits wide, byte access.
        assert_eq!(blob[fadt + 116..fadt + 129], [1, 8, 0, 1, 0x04, 0x06, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(
            blob[fadt + 244..fadt + 268],
            [1, 8, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 1, 8, 0, 1, 1, 6, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn madt_lists_each_cpu_and_the_io_apic() {
        let blob = AcpiTables::build(&CONFIG, &[]).relocate(0);
        let madt = table(&blob, 0, table(&blob, 0, 24, b"XSDT") + SDT_HEADER + 8, b"APIC");
        let mut entries = &blob[madt + 44
            ..madt + u32::from_le_bytes(blob[madt + 4..madt + 8].try_into().unwrap()) as usize];
        let mut apic_ids = Vec::new();
        let mut io_apics = 0;
        while let [kind, len, ..] = *entries {
            match kind {
                0 => apic_ids.push(entries[3]),
                1 => {
                    io_apics += 1;
                    assert_eq!(entries[4..8], crate::layout::IO_APIC.to_le_bytes());
                }
                _ => {}
            }
            entries = &entries[usize::from(len)..];
        }
        assert_eq!((apic_ids, io_apics), (vec![0, 1, 2], 1));
    }
}
