//! What an observer receives.

use std::sync::{Arc, Mutex};

use fw_cfg::dma::{READ, SKIP, WRITE};
use fw_cfg::event::Event;
use fw_cfg::key;

use crate::guest::{ABSENT, BUFFER, DATA, EMPTY, Guest, INVALID, MEMORY, WRITABLE};

type Log = Arc<Mutex<Vec<String>>>;

fn observed() -> (Guest, Log) {
    let mut guest = Guest::standard();
    let log = Log::default();
    let events = Arc::clone(&log);
    guest.device.observe(Box::new(move |event: &Event<'_>| {
        events.lock().unwrap().push(match event {
            Event::Select(item) => format!("select {item} {}", item.exists),
            Event::PortRead { item, range, zeros } => format!("port {item} {range:?} +{zeros}"),
            Event::Dma(dma) => {
                let outcome = dma.result.map_or_else(|error| error.to_string(), |()| "ok".into());
                let select = if dma.selected { "selected " } else { "" };
                let (kind, item, range, zeros) = (dma.kind, dma.item, &dma.range, dma.zeros);
                format!("{select}{kind} {item} {range:?} +{zeros}: {outcome}")
            }
            Event::HostError { item, error } => format!("host {item}: {error}"),
        });
    }));
    (guest, log)
}

fn take(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock().unwrap())
}

#[test]
fn a_select_event_has_the_name_of_the_item_and_whether_it_exists() {
    let (mut guest, log) = observed();
    for key in [DATA, 0, 0x4000, ABSENT, INVALID, DATA | 0x4000, 0x8003] {
        guest.outw(0x510, key);
    }
    let expected = [
        "select opt/a true",
        "select SIGNATURE true",
        "select SIGNATURE true",
        "select NUMA false",
        "select 0x3fff false",
        "select opt/a true",
        "select E820_TABLE false",
    ];
    assert_eq!(take(&log), expected);
}

#[test]
fn a_port_read_event_has_the_range_and_the_number_of_zeros() {
    let (mut guest, log) = observed();
    guest.outw(0x510, WRITABLE);
    guest.insb(2);
    guest.device.read_data(&mut [0; 8]);
    guest.inb(0x511);
    let expected = [
        "select opt/c true",
        "port opt/c 0..1 +0",
        "port opt/c 1..2 +0",
        "port opt/c 2..8 +2",
        "port opt/c 8..8 +1",
    ];
    assert_eq!(take(&log), expected);
}

#[test]
fn a_dma_read_event_has_the_range_and_the_number_of_zeros() {
    let (mut guest, log) = observed();
    guest.dma(Guest::select_and(DATA, READ), 10, BUFFER);
    guest.dma(READ, 10, BUFFER);
    guest.dma(READ, 0, BUFFER);
    guest.dma(Guest::select_and(EMPTY, READ), 3, BUFFER);
    guest.dma(Guest::select_and(ABSENT, READ), 4, BUFFER);
    let expected = [
        "selected READ opt/a 0..10 +0: ok",
        "READ opt/a 10..16 +4: ok",
        "READ opt/a 16..16 +0: ok",
        "selected READ opt/b 0..0 +3: ok",
        "selected READ NUMA 0..0 +4: ok",
    ];
    assert_eq!(take(&log), expected);
}

#[test]
fn events_of_skips_writes_and_selects_have_their_range() {
    let (mut guest, log) = observed();
    guest.dma(Guest::select_and(WRITABLE, 0), 4, 0);
    guest.dma(SKIP, 3, 0);
    guest.dma(WRITE, 2, BUFFER);
    guest.dma(SKIP, 100, 0);
    guest.dma(0, 0, 0);
    let expected = [
        "selected SELECT opt/c 0..0 +0: ok",
        "SKIP opt/c 0..3 +0: ok",
        "WRITE opt/c 3..5 +0: ok",
        "SKIP opt/c 5..8 +0: ok",
        "SELECT opt/c 8..8 +0: ok",
    ];
    assert_eq!(take(&log), expected);
}

#[test]
fn each_failure_has_its_own_reason() {
    let (mut guest, log) = observed();
    guest.start(MEMORY);
    guest.dma(Guest::select_and(DATA, READ), 4, MEMORY);
    guest.dma(Guest::select_and(DATA, WRITE), 4, BUFFER);
    guest.dma(Guest::select_and(WRITABLE, WRITE), 9, BUFFER);
    guest.dma(Guest::select_and(WRITABLE, WRITE), 8, MEMORY);
    guest.dma(Guest::select_and(INVALID, WRITE), 8, BUFFER);
    let reasons: Vec<_> =
        take(&log).iter().map(|line| line.rsplit(": ").next().unwrap().to_owned()).collect();
    let expected = [
        "the descriptor is not in memory",
        "the address range is not entirely guest memory",
        "the item is read-only",
        "the write would go beyond the item's end",
        "the address range is not entirely guest memory",
        "the write would go beyond the item's end",
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn a_dma_event_has_the_original_descriptor() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::clone(&seen);
    let mut guest = Guest::standard();
    guest.device.observe(Box::new(move |event: &Event<'_>| {
        if let Event::Dma(dma) = event {
            events.lock().unwrap().push((dma.at, dma.descriptor));
        }
    }));
    let control = Guest::select_and(DATA, READ | 1);
    guest.dma_at(0x1234, control, 4, BUFFER);
    guest.start(u64::MAX);
    let seen = seen.lock().unwrap();
    let request = fw_cfg::dma::Descriptor { control, length: 4, address: BUFFER };
    assert_eq!(*seen, [(0x1234, Some(request)), (u64::MAX, None)]);
}

/// include/standard-headers/linux/qemu_fw_cfg.h and hw/i386/fw_cfg.h in QEMU; the names are those
/// of its trace events (`fw_cfg_wellknown_keys`).
#[test]
fn well_known_keys_have_the_names_that_qemu_traces() {
    let generic = [
        "SIGNATURE",
        "ID",
        "UUID",
        "RAM_SIZE",
        "NOGRAPHIC",
        "NB_CPUS",
        "MACHINE_ID",
        "KERNEL_ADDR",
        "KERNEL_SIZE",
        "KERNEL_CMDLINE",
        "INITRD_ADDR",
        "INITRD_SIZE",
        "BOOT_DEVICE",
        "NUMA",
        "BOOT_MENU",
        "MAX_CPUS",
        "KERNEL_ENTRY",
        "KERNEL_DATA",
        "INITRD_DATA",
        "CMDLINE_ADDR",
        "CMDLINE_SIZE",
        "CMDLINE_DATA",
        "SETUP_ADDR",
        "SETUP_SIZE",
        "SETUP_DATA",
        "FILE_DIR",
    ];
    let of_x86 = ["ACPI_TABLES", "SMBIOS_ENTRIES", "IRQ0_OVERRIDE", "E820_TABLE", "HPET"];
    for (key, name) in (0u16..).zip(generic).chain((0x8000u16..).zip(of_x86)) {
        assert_eq!(key::name(key), Some(name), "{key:#06x}");
        assert_eq!(key::name(key | 0x4000), Some(name), "the write channel of {key:#06x}");
    }
    for key in [0x1a, 0x20, 0x3fff, 0x8005, 0xbfff] {
        assert_eq!(key::name(key), None, "{key:#06x}");
    }
}
