//! Checks the tables as an OS finds them, with both delivery methods.

use super::*;

const CONFIG: AcpiConfig = AcpiConfig {
    cpus: 3,
    reset_port: 0x604,
    reset_value: 1,
    power: PowerManagement::HardwareReduced { sleep_control_port: 0x600, sleep_status_port: 0x601 },
    pm_timer_port: None,
};

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte))
}

/// Follows a pointer as an OS does, and checks the target table's signature and checksum. `blob` is
/// at `base`.
fn table(blob: &[u8], base: u64, pointer: usize, signature: &[u8; 4]) -> usize {
    table_at(
        blob,
        base,
        u64::from_le_bytes(blob[pointer..pointer + 8].try_into().unwrap()),
        signature,
    )
}

fn table_at(blob: &[u8], base: u64, address: u64, signature: &[u8; 4]) -> usize {
    let at = usize::try_from(address - base).unwrap();
    let len = u32::from_le_bytes(blob[at + 4..at + 8].try_into().unwrap()) as usize;
    assert_eq!(&blob[at..at + 4], signature);
    let name = String::from_utf8_lossy(signature);
    assert_eq!(sum(&blob[at..at + len]), 0, "checksum of {name}");
    at
}

/// Finds the tables as an OS and SeaBIOS do: from the RSDP, and in the remaining tables at `base`.
fn find_every_table(rsdp: &[u8], blob: &[u8], base: u64) {
    assert_eq!(&rsdp[..8], b"RSD PTR ");
    assert_eq!((sum(&rsdp[..20]), sum(&rsdp[..36])), (0, 0));
    let xsdt = u64::from_le_bytes(rsdp[24..32].try_into().unwrap());
    let xsdt = table_at(blob, base, xsdt, b"XSDT");
    let fadt = table(blob, base, xsdt + SDT_HEADER, b"FACP");
    table(blob, base, xsdt + SDT_HEADER + 8, b"APIC");
    let dsdt = table(blob, base, fadt + FADT_X_DSDT, b"DSDT");
    let short =
        u32::from_le_bytes(blob[fadt + FADT_DSDT..fadt + FADT_DSDT + 4].try_into().unwrap());
    let long = base + dsdt as u64;
    assert_eq!(u64::from(short), if long < 1 << 32 { long } else { 0 });
}

#[test]
fn an_os_finds_every_table_with_a_good_checksum() {
    for base in [0xe_0000, 0x7fff_0000, 0x1_2345_6000] {
        let tables = AcpiTables::build(&CONFIG, &[]);
        let blob = tables.relocate(base);
        assert_eq!(tables.size(), blob.len());
        find_every_table(&blob, &blob, base);
    }
}

/// Runs the published script as SeaBIOS does (src/fw/romfile_loader.c), with an allocator that
/// places the RSDP and the tables at the given addresses.
struct Firmware {
    files: Vec<(String, u64, Vec<u8>)>,
}

impl Firmware {
    fn run(items: &Items, rsdp_at: u64, tables_at: u64) -> Self {
        let mut firmware = Self { files: Vec::new() };
        let script = items.file("etc/table-loader").unwrap().read_to_vec().unwrap();
        assert_eq!(script.len() % 128, 0);
        for command in script.chunks(128) {
            let number = |at: usize| u32::from_le_bytes(command[at..at + 4].try_into().unwrap());
            let name = |at: usize| {
                let field = &command[at..at + 56];
                let end = field.iter().position(|byte| *byte == 0).unwrap();
                String::from_utf8(field[..end].to_vec()).unwrap()
            };
            match number(0) {
                1 => firmware.allocate(
                    items,
                    &name(4),
                    number(60),
                    command[64],
                    [rsdp_at, tables_at],
                ),
                2 => firmware.add_pointer(&name(4), &name(60), number(116), command[120]),
                3 => firmware.add_checksum(&name(4), number(60), number(64), number(68)),
                other => panic!("no such command: {other}"),
            }
        }
        firmware
    }

    fn allocate(&mut self, items: &Items, name: &str, align: u32, zone: u8, places: [u64; 2]) {
        let at = match (name, align, zone) {
            ("etc/acpi/rsdp", 16, 2) => places[0],
            ("etc/acpi/tables", 64, 1) => places[1],
            other => panic!("allocated in an unexpected way: {other:?}"),
        };
        assert_eq!(at % u64::from(align), 0);
        self.files.push((name.into(), at, items.file(name).unwrap().read_to_vec().unwrap()));
    }

    fn file(&mut self, name: &str) -> (u64, &mut Vec<u8>) {
        let file =
            self.files.iter_mut().find(|file| file.0 == name).expect("allocated before used");
        (file.1, &mut file.2)
    }

    fn add_pointer(&mut self, dest: &str, source: &str, offset: u32, size: u8) {
        let address = self.file(source).0;
        let (offset, size) = (offset as usize, usize::from(size));
        let field = &mut self.file(dest).1[offset..offset + size];
        let mut pointer = [0; 8];
        pointer[..size].copy_from_slice(field);
        let pointer = (u64::from_le_bytes(pointer) + address).to_le_bytes();
        field.copy_from_slice(&pointer[..size]);
    }

    fn add_checksum(&mut self, name: &str, at: u32, start: u32, len: u32) {
        let data = self.file(name).1;
        let total = sum(&data[start as usize..(start + len) as usize]);
        data[at as usize] = data[at as usize].wrapping_sub(total);
    }
}

fn published(tables: &AcpiTables) -> Items {
    let mut items = Items::new();
    tables.publish(&mut items).unwrap();
    items
}

#[test]
fn script_and_relocation_give_the_same_tables() {
    let tables = AcpiTables::build(&CONFIG, &[]);
    for base in [0xe_0000, 0x7fff_0000] {
        let mut firmware = Firmware::run(&published(&tables), base, base + TABLES_START as u64);
        let mut blob = firmware.file(RSDP_FILE).1.clone();
        blob.resize(TABLES_START, 0);
        blob.extend_from_slice(firmware.file(TABLES_FILE).1);
        assert_eq!(blob, tables.relocate(base));
    }
}

#[test]
fn an_os_finds_every_table_when_firmware_places_them_apart() {
    let tables = AcpiTables::build(&CONFIG, &[]);
    for (rsdp_at, tables_at) in [(0xf_5a10, 0x7ffe_0140), (0xf_0000, 0xbffd_f000)] {
        let mut firmware = Firmware::run(&published(&tables), rsdp_at, tables_at);
        let rsdp = firmware.file(RSDP_FILE).1.clone();
        assert_eq!(rsdp.len(), 36);
        find_every_table(&rsdp, firmware.file(TABLES_FILE).1, tables_at);
    }
}

#[test]
fn tables_are_published_once() {
    let tables = AcpiTables::build(&CONFIG, &[]);
    let mut items = published(&tables);
    assert!(matches!(tables.publish(&mut items), Err(PublishError::Item(_))));
}

#[test]
fn fadt_names_the_power_management_timer_where_there_is_one() {
    for (port, block, length, register) in [
        (None, 0, 0, [0; 12]),
        (Some(0x608), 0x608, 4, [1, 32, 0, 3, 0x08, 0x06, 0, 0, 0, 0, 0, 0]),
    ] {
        let config = AcpiConfig { pm_timer_port: port, ..CONFIG };
        let blob = AcpiTables::build(&config, &[]).relocate(0);
        let fadt = table(&blob, 0, table(&blob, 0, 24, b"XSDT") + SDT_HEADER, b"FACP");
        assert_eq!(blob[fadt + 76..fadt + 80], u32::to_le_bytes(block));
        assert_eq!(blob[fadt + 91], length);
        assert_eq!(blob[fadt + 208..fadt + 220], register);
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

/// The registers of QEMU's `pc` (hw/i386/acpi-build.c, `init_common_fadt_data`), its SCI and its
/// APM port.
const FIXED: FixedHardware = FixedHardware {
    event_port: 0x600,
    control_port: 0x604,
    sci: 9,
    command_port: 0xb2,
    enable: 0xf1,
    disable: 0xf0,
};

fn fixed() -> AcpiConfig {
    AcpiConfig { power: PowerManagement::Fixed(FIXED), pm_timer_port: Some(0x608), ..CONFIG }
}

#[test]
fn fadt_names_the_fixed_hardware_of_a_pc() {
    let blob = AcpiTables::build(&fixed(), &[]).relocate(0xe_0000);
    let xsdt = table(&blob, 0xe_0000, 24, b"XSDT");
    let fadt = table(&blob, 0xe_0000, xsdt + SDT_HEADER, b"FACP");
    let flags = u32::from_le_bytes(blob[fadt + 112..fadt + 116].try_into().unwrap());
    // Neither hardware-reduced nor without a fixed power button.
    assert_eq!(flags, 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 10);
    assert_eq!(blob[fadt + 46..fadt + 48], [9, 0]); // SCI_INT
    assert_eq!(blob[fadt + 48..fadt + 54], [0xb2, 0, 0, 0, 0xf1, 0xf0]); // SMI_CMD
    assert_eq!(blob[fadt + 56..fadt + 60], [0, 6, 0, 0]); // PM1a_EVT_BLK
    assert_eq!(blob[fadt + 64..fadt + 68], [4, 6, 0, 0]); // PM1a_CNT_BLK
    assert_eq!(blob[fadt + 76..fadt + 80], [8, 6, 0, 0]); // PM_TMR_BLK
    assert_eq!(blob[fadt + 88..fadt + 92], [4, 2, 0, 4]); // lengths: event, control, PM2, timer
    assert_eq!(blob[fadt + 148..fadt + 160], [1, 32, 0, 3, 0, 6, 0, 0, 0, 0, 0, 0]);
    assert_eq!(blob[fadt + 172..fadt + 184], [1, 16, 0, 2, 4, 6, 0, 0, 0, 0, 0, 0]);
    assert_eq!(blob[fadt + 244..fadt + 268], [0; 24]); // no sleep registers
}

#[test]
fn a_machine_with_fixed_hardware_has_a_facs() {
    let blob = AcpiTables::build(&fixed(), &[]).relocate(0xe_0000);
    let xsdt = table(&blob, 0xe_0000, 24, b"XSDT");
    let fadt = table(&blob, 0xe_0000, xsdt + SDT_HEADER, b"FACP");
    let field = blob[fadt + FADT_FIRMWARE_CTRL..fadt + FADT_FIRMWARE_CTRL + 4].try_into().unwrap();
    let facs = u32::from_le_bytes(field) as usize - 0xe_0000;
    assert_eq!(facs % 64, 0);
    assert_eq!(blob[facs..facs + 8], *b"FACS\x40\0\0\0");
    assert_eq!(blob.len(), facs + 64);
    // A hardware-reduced machine has none.
    let reduced = AcpiTables::build(&CONFIG, &[]).relocate(0xe_0000);
    assert!(!reduced.windows(4).any(|window| window == b"FACS"));
}

#[test]
fn firmware_places_the_tables_of_a_pc_as_relocation_does() {
    let tables = AcpiTables::build(&fixed(), &[]);
    let base = 0x7fff_0000;
    let mut firmware = Firmware::run(&published(&tables), base, base + TABLES_START as u64);
    let mut blob = firmware.file(RSDP_FILE).1.clone();
    blob.resize(TABLES_START, 0);
    blob.extend_from_slice(firmware.file(TABLES_FILE).1);
    assert_eq!(blob, tables.relocate(base));
}

#[test]
fn madt_of_a_pc_has_8259s_and_a_level_triggered_sci() {
    let blob = AcpiTables::build(&fixed(), &[]).relocate(0);
    let madt = table(&blob, 0, table(&blob, 0, 24, b"XSDT") + SDT_HEADER + 8, b"APIC");
    let end = madt + u32::from_le_bytes(blob[madt + 4..madt + 8].try_into().unwrap()) as usize;
    assert_eq!(blob[madt + 40..madt + 44], [1, 0, 0, 0]);
    assert_eq!(blob[end - 10..end], [2, 10, 0, 9, 9, 0, 0, 0, 0x0d, 0]);
}
