//! The tables as an OS finds them, by both ways of delivery.

use super::*;

const CONFIG: AcpiConfig = AcpiConfig {
    cpus: 3,
    reset_port: 0x604,
    reset_value: 1,
    sleep_control_port: 0x600,
    sleep_status_port: 0x601,
    pm_timer_port: None,
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
    assert_eq!(sum(&blob[at..at + len]), 0, "checksum of {}", String::from_utf8_lossy(signature));
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
