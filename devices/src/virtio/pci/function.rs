//! Configuration space: identity, BARs and capabilities.
//!
//! | offset | capability |
//! |---|---|
//! | 0x40, 0x50, 0x60 | vendor-specific: common configuration, interrupt status, device configuration |
//! | 0x70 | vendor-specific: notifications |
//! | 0x84 | vendor-specific: access to BAR 4 through configuration space |
//! | 0x98 | MSI-X |
//!
//! The list begins with MSI-X and goes down from there.

use virtio_bindings::virtio_ids;

use super::{
    COMMON, DEVICE, INTERRUPT_STATUS, MSIX_BAR, NOTIFICATION_STRIDE, NOTIFICATIONS, PART,
    REGISTER_BAR, VirtioPci,
};
use crate::pci::bar::MemoryBars;
use crate::pci::function::{
    COMMAND_INTX_DISABLE, COMMAND_MASTER, ConfigSpace, INTERRUPT_PIN, Identity, PciFunction,
    STATUS, STATUS_INTERRUPT,
};
use crate::pci::msix;

/// Vendor-specific capability.
const VENDOR: u8 = 0x09;
/// Types of virtio's capabilities (virtio 1.2, 4.1.4).
const COMMON_CFG: u8 = 1;
const NOTIFY_CFG: u8 = 2;
const ISR_CFG: u8 = 3;
const DEVICE_CFG: u8 = 4;
const PCI_CFG: u8 = 5;
const MSIX_CAPABILITY: u8 = 0x98;
/// The second byte of MSI-X's message control.
const MSIX_CONTROL: u8 = MSIX_CAPABILITY + 3;
/// The capability through which BAR 4 is accessed, and its fields.
const WINDOW: u8 = 0x84;
const WINDOW_BAR: u8 = WINDOW + 4;
const WINDOW_OFFSET: u8 = WINDOW + 8;
const WINDOW_LENGTH: u8 = WINDOW + 12;
const WINDOW_DATA: u8 = WINDOW + 16;

/// Class, subclass and interface of a device type, as QEMU's functions have them.
fn class(device_id: u32) -> u32 {
    match device_id {
        virtio_ids::VIRTIO_ID_NET => 0x02_00_00,
        virtio_ids::VIRTIO_ID_BLOCK | virtio_ids::VIRTIO_ID_SCSI => 0x01_00_00,
        virtio_ids::VIRTIO_ID_CONSOLE => 0x07_80_00,
        _ => 0x00_ff_00,
    }
}

/// The name of a device type's node in OpenFirmware paths, by its class (`pci_dev_fw_name`,
/// hw/pci/pci.c in QEMU).
pub fn node_name(device_id: u32) -> &'static str {
    match class(device_id) >> 8 {
        0x02_00 => "ethernet",
        0x01_00 => "scsi",
        _ => "pci1af4",
    }
}

pub(super) fn config_space(device_id: u32, msix: &[u8; 10]) -> ConfigSpace {
    let identity = Identity {
        vendor: 0x1af4,
        device: 0x1040u16.saturating_add(device_id.try_into().unwrap_or(0)),
        revision: 1,
        class: class(device_id),
        subsystem_vendor: 0x1af4,
        subsystem: 0x1100,
    };
    let space = ConfigSpace::type_0(&identity).with(INTERRUPT_PIN, &[1]);
    let space = REGISTER_BAR.add_to(MSIX_BAR.add_to(space));
    let parts =
        [(0x40, COMMON_CFG, COMMON), (0x50, ISR_CFG, INTERRUPT_STATUS), (0x60, DEVICE_CFG, DEVICE)];
    let space = parts.into_iter().fold(space, |space, (at, kind, part)| {
        space.with_capability(at, VENDOR, &part_capability(16, kind, part))
    });
    let stride = NOTIFICATION_STRIDE.to_le_bytes();
    let notify = part_capability(20, NOTIFY_CFG, NOTIFICATIONS);
    space
        .with_capability(0x70, VENDOR, &[&notify[..], &stride].concat())
        .with_capability(WINDOW, VENDOR, &window_capability())
        .with_writable(WINDOW_BAR, &[0xff])
        .with_writable(WINDOW_OFFSET, &[0xff; 12])
        .with_capability(MSIX_CAPABILITY, msix::CAPABILITY, msix)
        .with_writable(MSIX_CONTROL, &[msix::ENABLE | msix::MASK_ALL])
}

/// `struct virtio_pci_cap` after the link: `length`, type, BAR, three bytes unused, offset and
/// length of the part.
fn part_capability(length: u8, kind: u8, part: u64) -> [u8; 14] {
    let mut body = [0; 14];
    body[..3].copy_from_slice(&[length, kind, REGISTER_BAR.number]);
    body[6..10].copy_from_slice(&u32::try_from(part).unwrap_or_default().to_le_bytes());
    body[10..].copy_from_slice(&u32::try_from(PART).unwrap_or_default().to_le_bytes());
    body
}

/// `struct virtio_pci_cfg_cap` after the link: the guest fills it in.
fn window_capability() -> [u8; 18] {
    let mut body = [0; 18];
    body[..2].copy_from_slice(&[20, PCI_CFG]);
    body
}

/// Whether an access touches the data of the window.
fn touches_window(offset: u8, width: usize) -> bool {
    let (first, end) = (usize::from(offset), usize::from(offset) + width);
    first < usize::from(WINDOW_DATA) + 4 && end > usize::from(WINDOW_DATA)
}

impl VirtioPci {
    /// Lets what configuration space says take effect.
    pub(super) fn apply(&self) {
        let command = self.config.command();
        let is_pin_disabled = command & COMMAND_INTX_DISABLE != 0;
        self.interrupt.set_control(self.config.byte(MSIX_CONTROL), is_pin_disabled);
        self.registers.state().allow_memory(command & COMMAND_MASTER != 0);
        self.config.place();
    }

    /// The place in BAR 4 that the window shows, and how many bytes of it, if these are 1, 2 or 4.
    fn window(&self) -> Option<(u64, usize)> {
        let is_register_bar = self.config.byte(WINDOW_BAR) == REGISTER_BAR.number;
        let length = self.config.dword(WINDOW_LENGTH);
        let offset = self.config.dword(WINDOW_OFFSET);
        let is_inside = offset < REGISTER_BAR.size && offset.is_multiple_of(length.max(1));
        let is_valid = is_register_bar && is_inside && matches!(length, 1 | 2 | 4);
        is_valid.then_some((offset.into(), usize::try_from(length).unwrap_or_default()))
    }
}

impl PciFunction for VirtioPci {
    fn read_config(&mut self, offset: u8, data: &mut [u8]) {
        if touches_window(offset, data.len())
            && let Some((at, length)) = self.window()
        {
            let mut value = [0; 4];
            self.read_bar(REGISTER_BAR.number, at, &mut value[..length]);
            self.config.write_config(WINDOW_DATA, &value);
        }
        self.config.read_config(offset, data);
        let status = usize::from(STATUS).checked_sub(offset.into());
        if let Some(byte) = status.and_then(|index| data.get_mut(index))
            && self.interrupt.is_pending()
        {
            *byte |= STATUS_INTERRUPT;
        }
    }

    fn write_config(&mut self, offset: u8, data: &[u8]) {
        let before = self.config.command();
        self.config.write_config(offset, data);
        self.apply();
        if before & COMMAND_MASTER == 0 && self.config.command() & COMMAND_MASTER != 0 {
            // Requests may have come meanwhile.
            let queues = u16::try_from(self.registers.state().queue_count()).unwrap_or(u16::MAX);
            (0..queues).for_each(|queue| self.notifier.notify(queue));
        }
        if touches_window(offset, data.len())
            && let Some((at, length)) = self.window()
        {
            let value = self.config.dword(WINDOW_DATA).to_le_bytes();
            self.write_bar(REGISTER_BAR.number, at, &value[..length]);
        }
    }

    fn reset(&mut self) {
        self.registers.reset();
        self.config.reset();
        self.interrupt.reset();
        self.apply();
    }
}
