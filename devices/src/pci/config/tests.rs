use super::*;
use crate::exit::tests::Requests;
use crate::exit::{ExitRequest, ResetSource};
use crate::irq::RecordingLine;
use crate::pci::pirq::PirqRouter;
use crate::pci::{host_bridge, isa_bridge};

fn machine() -> (PciConfigPorts, Requests) {
    let requests = Requests::default();
    let router = PirqRouter::new(|_| Box::new(RecordingLine::default()));
    let bridge = isa_bridge::IsaBridge::new(router);
    let mut bus = PciBus::new();
    bus.add(host_bridge::PLACE, Box::new(host_bridge::function())).unwrap();
    bus.add(isa_bridge::PLACE, Box::new(bridge)).unwrap();
    (PciConfigPorts::new(bus, ResetControl::new(requests.handle())), requests)
}

fn input(ports: &mut PciConfigPorts, port: u16, width: usize) -> u32 {
    let mut data = [0; 4];
    ports.pio_read(PioAddress(BASE_PORT), port - BASE_PORT, &mut data[..width]);
    u32::from_le_bytes(data)
}

fn output(ports: &mut PciConfigPorts, port: u16, width: usize, value: u32) {
    ports.pio_write(PioAddress(BASE_PORT), port - BASE_PORT, &value.to_le_bytes()[..width]);
}

/// `pci_ioconfig_readl` and similar functions in SeaBIOS's src/hw/pci.c; Linux's `pci_conf1_read`
/// in arch/x86/pci/direct.c does the same.
fn config_read(ports: &mut PciConfigPorts, bdf: u32, register: u32, width: usize) -> u32 {
    output(ports, 0xcf8, 4, 0x8000_0000 | bdf << 8 | register & 0xfc);
    input(ports, 0xcfc + u16::try_from(register & 3).unwrap(), width)
}

fn config_write(ports: &mut PciConfigPorts, bdf: u32, register: u32, width: usize, value: u32) {
    output(ports, 0xcf8, 4, 0x8000_0000 | bdf << 8 | register & 0xfc);
    output(ports, 0xcfc + u16::try_from(register & 3).unwrap(), width, value);
}

/// `pci_probe_host` in SeaBIOS's src/hw/pci.c.
#[test]
fn seabios_finds_pci() {
    let (mut ports, _) = machine();
    output(&mut ports, 0xcf8, 4, 0x8000_0000);
    assert_eq!(input(&mut ports, 0xcf8, 4), 0x8000_0000);
}

/// `pci_check_type1` and `pci_sanity_check` in Linux's arch/x86/pci/direct.c.
#[test]
fn linux_uses_mechanism_1() {
    let (mut ports, requests) = machine();
    output(&mut ports, 0xcfb, 1, 0x01);
    let before = input(&mut ports, 0xcf8, 4);
    assert_eq!(before, 0, "a byte is not the address");
    output(&mut ports, 0xcf8, 4, 0x8000_0000);
    assert_eq!(input(&mut ports, 0xcf8, 4), 0x8000_0000);
    assert_eq!(config_read(&mut ports, 0, 0x0a, 2), 0x0600);
    output(&mut ports, 0xcf8, 4, before);
    assert_eq!(requests.take(), []);
}

/// `pci_check_type2` in the same file must fail.
#[test]
fn linux_rules_out_mechanism_2() {
    let (mut ports, _) = machine();
    for port in [0xcfb, 0xcf8, 0xcfa] {
        output(&mut ports, port, 1, 0x00);
    }
    assert_ne!(input(&mut ports, 0xcf8, 1), 0);
    assert_ne!(input(&mut ports, 0xcfa, 1), 0);
}

/// `qemu_detect` in SeaBIOS's src/fw/paravirt.c: words.
#[test]
fn seabios_recognizes_qemu_by_its_ids() {
    let (mut ports, _) = machine();
    let ids = [0x00, 0x02, 0x2c, 0x2e].map(|register| config_read(&mut ports, 0, register, 2));
    assert_eq!(ids, [0x8086, 0x1237, 0x1af4, 0x1100]);
}

/// `__make_bios_writable_intel` in SeaBIOS's src/fw/shadow.c, through the ports.
#[test]
fn seabios_unlocks_shadow_memory() {
    let (mut ports, _) = machine();
    assert_eq!(config_read(&mut ports, 0, 0x59, 1) & 0x10, 0x10);
    let low = config_read(&mut ports, 0, 0x58, 4);
    let high = config_read(&mut ports, 0, 0x5c, 4);
    assert_eq!((low, high), (0x3333_3000, 0x3333_3333));
    config_write(&mut ports, 0, 0x58, 4, 0x3333_3000);
    config_write(&mut ports, 0, 0x5c, 4, 0x3333_3333);
    assert_eq!(config_read(&mut ports, 0, 0x59, 1), 0x30);
    assert_eq!(config_read(&mut ports, 0, 0x5f, 1), 0x33);
    assert_eq!(config_read(&mut ports, 0, 0x58, 1), 0x00);
}

/// `pci_next` in SeaBIOS's src/hw/pci.c: all devices of the bus, and functions only where there are
/// several.
#[test]
fn seabios_finds_two_functions_on_the_bus() {
    let (mut ports, requests) = machine();
    let (mut bdf, mut found, mut probes) = (0, Vec::new(), 0);
    while bdf < 0x100 {
        probes += 1;
        let vendor = config_read(&mut ports, bdf, 0x00, 2);
        if vendor != 0 && vendor != 0xffff {
            found.push((bdf, config_read(&mut ports, bdf, 0x00, 4)));
            let several = config_read(&mut ports, bdf, 0x0e, 1) & 0x80 != 0;
            bdf += if bdf % 8 == 0 && !several { 8 } else { 1 };
        } else {
            bdf += if bdf % 8 == 0 { 8 } else { 1 };
        }
    }
    assert_eq!(found, [(0x00, 0x1237_8086), (0x08, 0x7000_8086)]);
    assert_eq!((probes, requests.take()), (32, vec![]));
}

/// `pci_bios_get_bar` in SeaBIOS's src/fw/pciinit.c: write ones, read the size, restore; no
/// function has a BAR or a ROM.
#[test]
fn seabios_finds_no_bars() {
    let (mut ports, _) = machine();
    for bdf in [0x00, 0x08] {
        for register in (0x10..0x28).step_by(4).chain([0x30]) {
            let old = config_read(&mut ports, bdf, register, 4);
            config_write(&mut ports, bdf, register, 4, 0xffff_ffff);
            assert_eq!(config_read(&mut ports, bdf, register, 4), 0);
            config_write(&mut ports, bdf, register, 4, old);
        }
    }
}

#[test]
fn reads_all_ones_when_there_is_no_function() {
    let (mut ports, _) = machine();
    // 00:00.1, 00:02.0, 00:1f.7, 01:00.0, ff:1f.7
    for bdf in [0x001, 0x010, 0x0ff, 0x100, 0xffff] {
        assert_eq!(config_read(&mut ports, bdf, 0x00, 4), 0xffff_ffff, "{bdf:#x}");
        assert_eq!(config_read(&mut ports, bdf, 0x00, 2), 0xffff, "{bdf:#x}");
        config_write(&mut ports, bdf, 0x3c, 1, 5);
    }
    assert_eq!(config_read(&mut ports, 0x000, 0x3c, 1), 0);
}

#[test]
fn reads_all_ones_when_not_enabled() {
    let (mut ports, _) = machine();
    output(&mut ports, 0xcf8, 4, 0x0000_003c);
    assert_eq!(input(&mut ports, 0xcfc, 4), 0xffff_ffff);
    output(&mut ports, 0xcfc, 1, 5);
    assert_eq!(config_read(&mut ports, 0, 0x3c, 1), 0);
}

#[test]
fn unimplemented_address_bits_read_as_zero() {
    let (mut ports, _) = machine();
    output(&mut ports, 0xcf8, 4, 0xffff_ffff);
    assert_eq!(input(&mut ports, 0xcf8, 4), 0x80ff_fffc);
}

/// Both kinds of access to the same ports: SeaBIOS's `qemu_reboot` in src/fw/shadow.c after a
/// configuration access.
#[test]
fn byte_write_to_the_reset_register_resets_the_machine() {
    let (mut ports, requests) = machine();
    output(&mut ports, 0xcf8, 4, 0x8000_0600);
    output(&mut ports, 0xcf8, 2, 0x0600);
    assert_eq!(requests.take(), [], "an address is no reset");
    output(&mut ports, 0xcf9, 1, 0x02);
    assert_eq!(input(&mut ports, 0xcf9, 1), 0x02);
    output(&mut ports, 0xcf9, 1, 0x06);
    assert_eq!(requests.take(), [ExitRequest::Reset(ResetSource::ResetControl)]);
    assert_eq!(input(&mut ports, 0xcf8, 4), 0x8000_0600, "a reset is no address");
}

#[test]
fn machine_reset_clears_address_and_functions() {
    let (mut ports, _) = machine();
    config_write(&mut ports, 0, 0x59, 1, 0x11);
    assert_eq!(config_read(&mut ports, 0, 0x59, 1), 0x11);
    output(&mut ports, 0xcf9, 1, 0x02);
    ports.reset();
    assert_eq!(input(&mut ports, 0xcf8, 4), 0);
    assert_eq!(input(&mut ports, 0xcf9, 1), 0);
    assert_eq!(config_read(&mut ports, 0, 0x59, 1), 0x30);
}

#[test]
fn floats_when_access_straddles_registers() {
    let (mut ports, requests) = machine();
    output(&mut ports, 0xcf8, 4, 0x8000_0000);
    for (port, width) in [(0xcf8, 1), (0xcf8, 2), (0xcf9, 2), (0xcf9, 4), (0xcfa, 4), (0xcff, 2)] {
        let ones = u32::MAX >> (32 - 8 * width);
        assert_eq!(input(&mut ports, port, width), ones, "{port:#x}, {width}");
        output(&mut ports, port, width, u32::MAX);
    }
    assert_eq!(input(&mut ports, 0xcf8, 4), 0x8000_0000);
    assert_eq!(requests.take(), []);
}

/// Uses a bus that maps a range of ports to one device, like the machine's bus.
#[test]
fn works_on_a_port_bus() {
    use std::sync::{Arc, Mutex};

    use vm_device::bus::PioRange;
    use vm_device::device_manager::{IoManager, PioManager};

    let (ports, requests) = machine();
    let mut bus = IoManager::new();
    let range = PioRange::new(PioAddress(BASE_PORT), PORT_COUNT).unwrap();
    bus.register_pio(range, Arc::new(Mutex::new(ports))).unwrap();

    bus.pio_write(PioAddress(0xcf8), &0x8000_0800u32.to_le_bytes()).unwrap();
    let mut id = [0; 2];
    bus.pio_read(PioAddress(0xcfe), &mut id).unwrap();
    assert_eq!(u16::from_le_bytes(id), 0x7000);
    bus.pio_write(PioAddress(0xcf9), &[0x06]).unwrap();
    assert_eq!(requests.take(), [ExitRequest::Reset(ResetSource::ResetControl)]);
}

#[test]
fn survives_any_access() {
    let (mut ports, _) = machine();
    for address in (0..0x1_0000).chain([0xffff]).map(|bdf| 0x8000_0000 | bdf << 8 | 0xfc) {
        output(&mut ports, 0xcf8, 4, address);
        for port in BASE_PORT + 4..BASE_PORT + PORT_COUNT {
            for width in [1, 2, 4] {
                output(&mut ports, port, width, u32::MAX);
                input(&mut ports, port, width);
            }
        }
    }
    let mut data = [0; 9];
    ports.pio_read(PioAddress(BASE_PORT), 0, &mut data);
    assert_eq!(data, [0xff; 9]);
    ports.pio_write(PioAddress(BASE_PORT), u16::MAX, &data);
}
