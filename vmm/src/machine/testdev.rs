//! The test device of kvm-unit-tests.

use std::sync::{Arc, Mutex};

use devices::pc_testdev::{LINE_COUNT, PORTS, PcTestdev};

use super::irq::IrqChip;
use super::list::{Attached, DeviceList};
use super::parts::Parts;
use crate::error::DeviceError;
use crate::memory::discard_translations;

/// Attaches the device, if configured, and returns it for its memory-mapped registers.
///
/// # Errors
/// Another device has one of its ports.
pub(super) fn attach(
    list: &mut DeviceList,
    parts: &Parts<'_>,
    irq_chip: &IrqChip,
) -> Result<Option<Arc<Mutex<PcTestdev>>>, DeviceError> {
    if !parts.config.pc_testdev {
        return Ok(None);
    }
    let lines = (0..LINE_COUNT).map(|irq| irq_chip.level_line(irq)).collect();
    let memory = parts.ram.memory().clone();
    let device = PcTestdev::new(lines, move |page| discard_translations(&memory, page));
    let device = Arc::new(Mutex::new(device));
    let mut attached = Attached::shared("pc-testdev", Arc::clone(&device))
        .port_hint("its ports are 0xe0 to 0xeb and 0x2000 to 0x2017: move the other device");
    for (first, count) in PORTS {
        attached = attached.ports(first, count);
    }
    list.attach(attached)?;
    Ok(Some(device))
}
