//! A virtio disk of `-machine pc` against QEMU's: configuration space, capabilities, BARs, the
//! common configuration, the device's own and MSI-X, as firmware finds them and as they change.
//!
//! QEMU's is without the legacy interface, which ours does not have: `disable-legacy=on`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use chukka_tests::native::Scratch;

use crate::{machine, rom};

/// The function: slot 4 of bus 0, as port 0xcf8 takes it.
const FUNCTION: u32 = 0x8000_0000 | 4 << 11;
/// Where the script puts the BARs.
const MSIX: u32 = 0xe000_0000;
const REGISTERS: u32 = 0xe001_0000;
const COMMON: u32 = REGISTERS;
const INTERRUPT_STATUS: u32 = REGISTERS + 0x1000;
const DEVICE: u32 = REGISTERS + 0x2000;

/// An access of the image's (`registers.S`).
#[derive(Clone, Debug)]
struct Access {
    kind: u8,
    width: u8,
    address: u32,
    value: u32,
    /// What a difference here is called; of reads only.
    name: Option<String>,
}

#[derive(Default)]
struct Script(Vec<Access>);

impl Script {
    fn read(&mut self, kind: u8, width: u8, address: u32, name: String) {
        self.0.push(Access { kind, width, address, value: 0, name: Some(name) });
    }

    fn write(&mut self, kind: u8, width: u8, address: u32, value: u32) {
        self.0.push(Access { kind, width, address, value, name: None });
    }

    fn config(&mut self, width: u8, offset: u32, when: &str) {
        self.read(1, width, FUNCTION + offset, format!("configuration space, {offset:#04x}{when}"));
    }

    fn set_config(&mut self, width: u8, offset: u32, value: u32) {
        self.write(2, width, FUNCTION + offset, value);
    }

    /// A field of the common configuration, in its own width.
    fn common(&mut self, (offset, width, name): (u32, u8, &str), when: &str) {
        self.read(3, width, COMMON + offset, format!("{name}{when}"));
    }

    fn set_common(&mut self, (offset, width, _): (u32, u8, &str), value: u32) {
        self.write(4, width, COMMON + offset, value);
    }

    fn all_common(&mut self, when: &str) {
        for field in FIELDS {
            self.common(field, when);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let bytes = self.0.iter().flat_map(|access| {
            let (address, value) = (access.address.to_le_bytes(), access.value.to_le_bytes());
            [&[access.kind, access.width, 0, 0], &address[..], &value].concat()
        });
        bytes.chain([0; 12]).collect()
    }
}

/// A field of `struct virtio_pci_common_cfg`: offset, width and name.
type Field = (u32, u8, &'static str);
const DEVICE_FEATURE_SELECT: Field = (0x00, 4, "device_feature_select");
const DEVICE_FEATURE: Field = (0x04, 4, "device_feature");
const DRIVER_FEATURE_SELECT: Field = (0x08, 4, "driver_feature_select");
const DRIVER_FEATURE: Field = (0x0c, 4, "driver_feature");
const CONFIG_VECTOR: Field = (0x10, 2, "config_msix_vector");
const STATUS: Field = (0x14, 1, "device_status");
const QUEUE_SELECT: Field = (0x16, 2, "queue_select");
const QUEUE_SIZE: Field = (0x18, 2, "queue_size");
const QUEUE_VECTOR: Field = (0x1a, 2, "queue_msix_vector");
const QUEUE_ENABLE: Field = (0x1c, 2, "queue_enable");
const QUEUE_DESC: Field = (0x20, 4, "queue_desc");
const QUEUE_DRIVER: Field = (0x28, 4, "queue_driver");
const QUEUE_DEVICE: Field = (0x30, 4, "queue_device");
const FIELDS: [Field; 19] = [
    DEVICE_FEATURE_SELECT,
    DEVICE_FEATURE,
    DRIVER_FEATURE_SELECT,
    DRIVER_FEATURE,
    CONFIG_VECTOR,
    (0x12, 2, "num_queues"),
    STATUS,
    (0x15, 1, "config_generation"),
    QUEUE_SELECT,
    QUEUE_SIZE,
    QUEUE_VECTOR,
    QUEUE_ENABLE,
    (0x1e, 2, "queue_notify_off"),
    QUEUE_DESC,
    (0x24, 4, "queue_desc, high half"),
    QUEUE_DRIVER,
    (0x2c, 4, "queue_driver, high half"),
    QUEUE_DEVICE,
    (0x34, 4, "queue_device, high half"),
];

/// What the image does.
fn script() -> Script {
    let mut script = Script::default();
    for offset in (0..256).step_by(4) {
        script.config(4, offset, "");
    }
    for offset in [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30] {
        script.set_config(4, offset, u32::MAX);
        script.config(4, offset, ", all ones written");
        script.set_config(4, offset, 0);
    }
    for (width, offset, value) in [(1, 0x3c, 0xab), (4, 0x3c, u32::MAX), (2, 0x04, 0xffff)] {
        script.set_config(width, offset, value);
        script.config(width, offset, &format!(", {value:#x} written"));
    }
    script.set_config(4, 0x14, MSIX);
    script.set_config(4, 0x20, REGISTERS);
    script.set_config(4, 0x24, 0);
    script.set_config(2, 0x04, 6);
    for offset in [0x04, 0x14, 0x20] {
        script.config(4, offset, ", placed");
    }
    common(&mut script);
    device(&mut script);
    script
}

/// The common configuration from one reset to the next.
fn common(script: &mut Script) {
    script.all_common(" after reset");
    for half in [0, 1, 2] {
        script.set_common(DEVICE_FEATURE_SELECT, half);
        script.common(DEVICE_FEATURE, &format!(", half {half}"));
    }
    for queue in [1, 0xffff] {
        script.set_common(QUEUE_SELECT, queue);
        script.all_common(&format!(" of queue {queue}"));
    }
    script.set_common(QUEUE_SELECT, 0);
    for field in [CONFIG_VECTOR, QUEUE_VECTOR] {
        for vector in [1, 2, 0xfffe, 0, 0xffff] {
            script.set_common(field, vector);
            script.common(field, &format!(", {vector:#x} written"));
        }
    }
    for status in [1, 3] {
        script.set_common(STATUS, status);
        script.common(STATUS, &format!(", {status} written"));
    }
    script.set_common(DRIVER_FEATURE_SELECT, 1);
    script.set_common(DRIVER_FEATURE, 1);
    script.common(DRIVER_FEATURE, ", VERSION_1 accepted");
    script.set_common(STATUS, 11);
    script.common(STATUS, ", FEATURES_OK written");
    script.set_common(QUEUE_SIZE, 128);
    script.set_common(QUEUE_DESC, 0x1_0000);
    script.set_common(QUEUE_DRIVER, 0x2_0000);
    script.set_common(QUEUE_DEVICE, 0x3_0000);
    script.set_common(QUEUE_ENABLE, 1);
    script.set_common(STATUS, 15);
    script.all_common(" in service");
    script.read(3, 1, INTERRUPT_STATUS, "the interrupt status".into());
    script.set_common(QUEUE_ENABLE, 0);
    script.common(QUEUE_ENABLE, ", 0 written");
    script.set_common(STATUS, 0);
    script.all_common(" after the driver's reset");
    script.config(4, 0x04, " after the driver's reset");
}

/// The device's configuration, MSI-X, and the window in configuration space.
fn device(script: &mut Script) {
    for offset in (0..64).step_by(4) {
        script.read(3, 4, DEVICE + offset, format!("device configuration, {offset:#04x}"));
    }
    for (width, offset) in [(1, 0x14), (2, 0x14), (1, 0x20), (2, 0x22)] {
        let name = format!("device configuration, {offset:#04x} in {width} bytes");
        script.read(3, width, DEVICE + offset, name);
    }
    for offset in [0, 4, 8, 12, 16, 28, 32, 44, 0x800, 0x804] {
        script.read(3, 4, MSIX + offset, format!("MSI-X, {offset:#05x}"));
    }
    for (offset, value) in [(0, 0xfee0_1003), (4, 1), (8, 0x1234_5678), (12, u32::MAX)] {
        script.write(4, 4, MSIX + offset, value);
        script.read(3, 4, MSIX + offset, format!("MSI-X, {offset:#05x}, {value:#x} written"));
    }
    for control in [0xffff, 0x8000, 0] {
        script.set_config(2, 0x9a, control);
        script.config(2, 0x9a, &format!(", {control:#x} written"));
    }
    // Through the window: BAR 4, the number of queues; then a status.
    script.set_config(1, 0x88, 4);
    script.set_config(4, 0x8c, 0x12);
    script.set_config(4, 0x90, 2);
    script.config(2, 0x94, ", the number of queues through the window");
    script.set_config(4, 0x8c, 0x14);
    script.set_config(4, 0x90, 1);
    script.set_config(1, 0x94, 1);
    script.common(STATUS, ", 1 written through the window");
    for offset in [0x84, 0x88, 0x8c, 0x90] {
        script.config(4, offset, ", the window in use");
    }
}

const FEATURES: &str = "QEMU offers GEOMETRY, which no driver needs that addresses sectors by number; here SIZE_MAX is offered, \
                        without which SeaBIOS divides its reads into pieces of 32 KiB.";
const RESET: &str = "QEMU's selectors and the driver's features keep their values in a reset by the driver. Here everything \
                     but configuration space is as it was at power-on, as virtio 1.2 (2.4) has it.";
const NO_QUEUE: &str = "Registers of a queue that does not exist are 0 here.";

/// The differences, QEMU's value against ours, and why.
const LIST: [(&str, &str); 15] = [
    ("device_feature after reset: 0x30006e54 against 0x30006e46", FEATURES),
    ("device_feature, half 0: 0x30006e54 against 0x30006e46", FEATURES),
    (
        "device_feature, half 1: 0x101 against 0x1",
        "RING_RESET, a reset of one queue, is not offered. Linux uses it to resize the rings of network cards.",
    ),
    ("device configuration, 0x08: 0x0 against 0x20000", FEATURES),
    ("device configuration, 0x10: 0x3f100002 against 0x0", FEATURES),
    (
        "device configuration, 0x38: 0xffffffff against 0x1",
        "The structure ends within these four bytes. QEMU answers an access across the end with ones; here it ends after its padding.",
    ),
    (
        "queue_select of queue 65535: 0x1 against 0xffff",
        "QEMU ignores the selection of a queue of 1024 or more. Here any queue can be selected, and one that does not exist has no registers.",
    ),
    ("queue_notify_off of queue 1: 0x1 against 0x0", NO_QUEUE),
    ("queue_notify_off of queue 65535: 0x1 against 0x0", NO_QUEUE),
    (
        "config_generation after the driver's reset: 0x1 against 0x0",
        "For QEMU, a 0 written to queue_enable is the driver's mistake: it sets DEVICE_NEEDS_RESET and reports a change. Here such a \
         write has no effect, as virtio 1.2 (4.1.4.3.2) forbids drivers to do it and asks nothing of the device.",
    ),
    ("device_feature after the driver's reset: 0x0 against 0x30006e46", RESET),
    ("device_feature_select after the driver's reset: 0x2 against 0x0", RESET),
    ("driver_feature after the driver's reset: 0x1 against 0x0", RESET),
    ("driver_feature_select after the driver's reset: 0x1 against 0x0", RESET),
    (
        "MSI-X, 0x00c, 0xffffffff written: 0xffffffff against 0x1",
        "QEMU stores the reserved bits of a vector's control word. Only the lowest one, the mask, has a meaning.",
    ),
];

/// Starts both, and returns how the reads differ.
fn differences(script: &Script) -> BTreeSet<String> {
    let scratch = Scratch::new();
    let image = scratch.file("rom", &rom::with_script(&scratch, "registers", &script.bytes()));
    let disk = scratch.file("disk", &vec![0; 1 << 20]).display().to_string();
    let words = |device: &str| {
        let words = ["-m", "64", "-device", device, "-drive"].map(String::from);
        let drive = format!("file={disk},format=raw,if=none,id=disk");
        [machine::words("pc", Path::new(&image)), words.into(), vec![drive]].concat()
    };
    let reads: Vec<_> = script.0.iter().filter_map(|access| access.name.as_ref()).collect();
    let parse = |bytes: &[u8]| {
        let values = bytes.chunks_exact(4).map(|value| <[u8; 4]>::try_from(value).unwrap());
        let values: Vec<_> = values.map(u32::from_le_bytes).take(reads.len()).collect();
        (values.len() == reads.len()).then_some(values)
    };
    let theirs = "virtio-blk-pci,drive=disk,addr=4,disable-legacy=on";
    let (theirs, ours) = (
        machine::qemu(&words(theirs), parse),
        machine::chukka(&words("virtio-blk-pci,drive=disk"), parse),
    );
    let pairs = reads.iter().zip(theirs.iter().zip(&ours)).filter(|(_, (a, b))| a != b);
    pairs.map(|(name, (a, b))| format!("{name}: {a:#x} against {b:#x}")).collect()
}

#[test]
fn a_disk_s_pci_function_has_qemus_registers_but_for_the_list() {
    if !machine::both_there() {
        return;
    }
    let found = differences(&script());
    let listed: BTreeSet<_> = LIST.iter().map(|(what, _)| (*what).to_owned()).collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&found).collect();
    assert!(
        unlisted.is_empty() && stale.is_empty(),
        "not in the list (QEMU's value against ours): {unlisted:#?}\nin the list, but no difference: {stale:#?}"
    );
}

#[test]
fn the_documentation_has_this_list() {
    let mut table =
        String::from("| a virtio disk on pc: QEMU's against chukka's | why |\n|---|---|\n");
    for (what, why) in LIST {
        writeln!(table, "| {what} | {why} |").unwrap();
    }
    let path = chukka_tests::assets::workspace().join("docs/differences-from-qemu.md");
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(page.contains(&table), "{} has to have this table:\n\n{table}", path.display());
}
