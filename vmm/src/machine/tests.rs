//! Whole machines, by what their guests find at ports and addresses.

use ::fw_cfg::Items;
use kvm_bindings::{KVM_IRQCHIP_PIC_SLAVE, kvm_irqchip};

use super::*;
use crate::config::{
    CharBackend, Credential, DebugExit as DebugExitConfig, EntropyFile, FirmwareConfig, FwCfgItem,
    FwCfgSource, MachineKind, OemString, OptionRomConfig, Trace, VmConfig,
};
use crate::tests::{Guest, Machine, Scratch, builtin, machine};

fn items_of(machine: &Machine) -> Items {
    let devices = machine.devices();
    items::items(&machine.parts(), &devices.acpi, &[]).unwrap()
}

/// A doubleword of the configuration space of a PCI function (PCI 3.0, 3.2.2.3.2).
fn pci(devices: &Devices, slot: u32, function: u32, offset: u32) -> u32 {
    let address = 1 << 31 | slot << 11 | function << 8 | offset;
    devices.bus.write(0xcf8, 4, &address.to_le_bytes());
    let mut data = [0; 4];
    devices.bus.read(0xcfc, 4, &mut data);
    u32::from_le_bytes(data)
}

/// Ports that every machine has, and those that one of the two kinds or an option adds.
#[test]
fn a_machine_has_the_ports_of_its_devices() {
    const ALWAYS: [u16; 6] = [0x60, 0x64, 0x70, 0x92, 0x510, 0x600];
    const PCI: u16 = 0xcfc;
    const TIMER: u16 = 0x608;
    const PVPANIC: u16 = 0x505;
    const TESTDEV: u16 = 0xe0;
    const EXIT: u16 = 0xf4;
    const COM1: u16 = 0x3f8;
    let microvm = |change: fn(&mut VmConfig)| machine(MachineKind::Microvm, change);
    for (inputs, has) in [
        (microvm(|_| ()), &[][..]),
        (microvm(|config| config.cpu.kvm = false), &[TIMER]),
        (microvm(|config| config.pvpanic = true), &[PVPANIC]),
        (microvm(|config| config.pc_testdev = true), &[TESTDEV]),
        (microvm(|config| config.serial[0] = Some(CharBackend::Null.into())), &[COM1]),
        (
            microvm(|c| c.debug_exit = Some(DebugExitConfig { port: EXIT, size: 1, pass: None })),
            &[EXIT],
        ),
        (machine(MachineKind::Pc, |_| ()), &[PCI, TIMER]),
    ] {
        let bus = inputs.devices().bus;
        assert!(ALWAYS.iter().all(|port| bus.has_port(*port)));
        for port in [PCI, TIMER, PVPANIC, TESTDEV, EXIT, COM1, 0x1234] {
            assert_eq!(bus.has_port(port), has.contains(&port), "{port:x}: {has:x?}");
        }
    }
}

/// PIIX4 datasheet, 7.2: PM1 status at 0, PM1 enable at 2; bit 8 is the power button.
#[test]
fn the_power_button_is_that_of_the_machine() {
    let pc = machine(MachineKind::Pc, |_| ()).devices();
    let status = || {
        let mut data = [0; 2];
        pc.bus.read(0x600, 2, &mut data);
        u16::from_le_bytes(data)
    };
    assert_eq!(status() & 1 << 8, 0);
    pc.press_power_button();
    assert_eq!(status() & 1 << 8, 1 << 8);
    assert!(pc.try_reset());
    assert_eq!(status() & 1 << 8, 0, "a reset of the machine is one of its devices");
    // That of microvm raises an edge-triggered interrupt: IRQ 9, bit 1 of the slave PIC.
    let Some(guest) = Guest::new(&[]) else { return };
    let microvm = machine(MachineKind::Microvm, |_| ()).devices();
    microvm.irq_chip.connect(Arc::clone(&guest.vm));
    microvm.press_power_button();
    let mut chip = kvm_irqchip { chip_id: KVM_IRQCHIP_PIC_SLAVE, ..Default::default() };
    guest.vm.get_irqchip(&mut chip).unwrap();
    #[expect(unsafe_code, reason = "the state of a PIC is in a union")]
    // SAFETY: for a PIC, KVM has filled in `pic`.
    let requests = unsafe { chip.chip.pic.irr };
    assert_eq!(requests, 1 << 1);
}

#[test]
fn the_slots_of_a_pc_are_those_of_qemu() {
    const NOBODY: u32 = u32::MAX;
    let inputs = machine(MachineKind::Pc, |config| config.rng = Some(EntropyFile::Urandom));
    let devices = inputs.devices();
    assert_eq!(pci(&devices, 0, 0, 0), 0x1237_8086, "i440FX");
    assert_eq!(pci(&devices, 1, 0, 0), 0x7000_8086, "PIIX3");
    assert_eq!(pci(&devices, 1, 3, 0), 0x7113_8086, "PIIX4's power management");
    assert_eq!(pci(&devices, 2, 0, 0), NOBODY);
    assert_eq!(pci(&devices, 3, 0, 0), NOBODY);
    assert_eq!(pci(&devices, 4, 0, 0) & 0xffff, 0x1af4, "virtio-rng");
    assert_eq!(pci(&devices, 5, 0, 0), NOBODY);
    assert!(devices.entropy.description().is_none(), "PCI finds it");
    // Without firmware, the machine places the registers: between 3 and 4 GiB.
    let bar = pci(&devices, 4, 0, 0x14) & !0xf;
    assert!((0xc000_0000..0xfec0_0000).contains(&bar), "{bar:x}");
    let inputs = machine(MachineKind::Pc, |config| {
        (config.rng, config.firmware) = (Some(EntropyFile::Urandom), Some(builtin()));
    });
    let parts = Parts { ahci: Some(&[]), ..inputs.parts() };
    let devices = inputs.devices_of(&parts);
    assert_eq!(pci(&devices, 2, 0, 0), 0x2922_8086, "ICH9's SATA controller");
    assert_eq!(pci(&devices, 4, 0, 0x14) & !0xf, 0, "firmware places them");
}

/// virtio 1.2, 4.2.2: the magic value at 0, the device's number at 8 (4: entropy, 2: block).
#[test]
fn the_places_of_microvm_are_those_of_qemu() {
    let inputs = machine(MachineKind::Microvm, |config| config.rng = Some(EntropyFile::Urandom));
    let devices = inputs.devices();
    let register = |at: u64| {
        let mut data = [0; 4];
        devices.bus.mmio_read(at, &mut data);
        u32::from_le_bytes(data)
    };
    assert_eq!(register(0xfeb0_0000), u32::from_le_bytes(*b"virt"));
    assert_eq!(register(0xfeb0_0008), 4);
    assert_eq!(register(0xfeb0_0200), u32::MAX, "the next place is free");
    let mut description = Vec::new();
    devices.entropy.description().unwrap().to_aml_bytes(&mut description);
    let has = |bytes: &[u8]| description.windows(bytes.len()).any(|found| found == bytes);
    assert!(has(&0xfeb0_0000u32.to_le_bytes()) && has(&16u32.to_le_bytes()), "{description:x?}");
    devices.bus.clear_mmio();
    assert_eq!(register(0xfeb0_0000), u32::MAX);
}

#[test]
fn lines_and_the_terminal_are_those_of_the_configuration() {
    for (backend, lines, terminal) in
        [(CharBackend::Null, 0, false), (CharBackend::Pty, 1, false), (CharBackend::Stdio, 0, true)]
    {
        let inputs = machine(MachineKind::Pc, |config| config.serial[0] = Some(backend.into()));
        let devices = inputs.devices();
        assert_eq!((devices.lines().len(), devices.has_terminal()), (lines, terminal));
        assert!(devices.trace.is_none() && devices.coalesced.is_none());
    }
    let inputs = machine(MachineKind::Pc, |config| {
        config.trace = Trace { fw_cfg: true };
        config.serial[1] = Some(CharBackend::Null.into());
    });
    let devices = inputs.devices_of(&Parts { coalesce: true, ..inputs.parts() });
    assert!(devices.trace.is_some());
    let ports = devices.coalesced.unwrap().ports().to_vec();
    assert_eq!(ports.iter().map(|port| (port.data, port.count)).collect::<Vec<_>>(), [(0x2f8, 8)]);
}

#[test]
fn there_is_room_for_all_files_of_fw_cfg() {
    let roms: Vec<_> = (0..20)
        .map(|_| {
            let mut bytes = [0; 512];
            (bytes[0], bytes[1], bytes[2]) = (0x55, 0xaa, 1);
            Scratch::new(&bytes)
        })
        .collect();
    let inputs = machine(MachineKind::Pc, |config| {
        let option_rom = |rom: &Scratch| OptionRomConfig { path: rom.0.clone(), bootindex: None };
        let option_roms = roms.iter().map(option_rom).collect();
        config.firmware = Some(FirmwareConfig { option_roms, ..builtin() });
        let source = FwCfgSource::Text(b"text".to_vec());
        let item = |n| FwCfgItem { name: format!("opt/user{n}"), source: source.clone() };
        config.fw_cfg = (0..40).map(item).collect();
        config.vmcoreinfo = true;
        let credential = |n| Credential { name: format!("c{n}"), value: b"value".to_vec() };
        config.credentials = (0..30).map(credential).collect();
    });
    let items = items_of(&inputs);
    assert_eq!(items.file_names().filter(|name| name.starts_with("opt/user")).count(), 40);
    assert_eq!(items.file_names().filter(|name| name.starts_with("genroms/")).count(), 20);
    assert_eq!(
        items.file_names().filter(|name| name.contains("/io.systemd.credentials/")).count(),
        30
    );
}

#[test]
fn files_of_the_user_s_are_passed_on() {
    let (full, empty) = (Scratch::new(b"contents"), Scratch::new(b""));
    let inputs = machine(MachineKind::Pc, |config| {
        for (name, file) in [("opt/full", &full), ("opt/empty", &empty)] {
            let source = FwCfgSource::File(file.0.clone());
            config.fw_cfg.push(FwCfgItem { name: name.to_owned(), source });
        }
        config.smbios.oem_strings.push(OemString::File(full.0.clone()));
    });
    let items = items_of(&inputs);
    assert_eq!(items.file("opt/full").unwrap().read_to_vec().unwrap(), b"contents");
    assert_eq!(items.file("opt/empty").unwrap().len(), 0);
    let smbios = items::smbios_config(&inputs.config).unwrap();
    assert_eq!(smbios.oem_strings, [b"contents".to_vec()]);
}

/// QEMU's `FW_CFG_NOGRAPHIC` (include/standard-headers/linux/qemu_fw_cfg.h), key 4: SeaBIOS prints
/// to the serial port.
#[test]
fn firmware_prints_if_nothing_else_does_or_a_menu_is_shown() {
    let nographic = |menu, firmware| {
        let inputs = machine(MachineKind::Pc, |config| {
            (config.boot_options.menu, config.firmware) = (menu, firmware);
        });
        items_of(&inputs).get(4).unwrap().read_to_vec().unwrap()
    };
    assert_eq!(nographic(false, Some(builtin())), [1, 0]);
    assert_eq!(nographic(false, None), [0, 0]);
    assert_eq!(nographic(true, None), [1, 0]);
}

/// virtio 1.2, 4.2.2: the status is at 0x70.
#[test]
fn a_reset_of_the_machine_is_one_of_its_virtio_devices() {
    const STATUS: u64 = 0xfeb0_0070;
    const ACKNOWLEDGE: u32 = 1;
    let inputs = machine(MachineKind::Microvm, |config| config.rng = Some(EntropyFile::Random));
    let devices = inputs.devices();
    let status = || {
        let mut data = [0; 4];
        devices.bus.mmio_read(STATUS, &mut data);
        u32::from_le_bytes(data)
    };
    devices.bus.mmio_write(STATUS, &ACKNOWLEDGE.to_le_bytes());
    assert_eq!(status(), ACKNOWLEDGE);
    assert!(devices.try_reset());
    assert_eq!(status(), 0);
}

#[test]
fn a_watchdog_that_the_guest_has_not_started_does_not_expire() {
    let inputs = machine(MachineKind::Pc, |config| config.watchdog = true);
    let devices = inputs.devices();
    let watchdog = devices.watchdog.as_ref().unwrap();
    watchdog.resume();
    assert!(!watchdog.on_timer());
    watchdog.pause();
    assert!(machine(MachineKind::Pc, |_| ()).devices().watchdog.is_none());
}

#[test]
fn what_is_piped_to_a_guest_waits_until_the_guest_listens() {
    let stdio = || {
        machine(MachineKind::Pc, |config| config.serial[0] = Some(CharBackend::Stdio.into()))
            .devices()
    };
    let mut typed = b"x".to_vec();
    assert!(stdio().type_in(&mut typed) && typed.is_empty(), "from a terminal it does not");
    let devices = stdio();
    devices.await_listener();
    typed.push(b'x');
    assert!(devices.type_in(&mut typed));
    assert_eq!(typed, b"x");
}
