//! The fw_cfg device: its ports, and chukka's reaction to guest accesses.

use std::sync::{Arc, Mutex};

use devices::fw_cfg::{self as ports, FwCfgPorts};
use firmware::acpi::AcpiTables;
use fw_cfg::FwCfg;
use fw_cfg::event::{Event, Observer};
use guest_memory::Engine;
use vm_memory::GuestMemoryMmap;

use super::items;
use super::list::{Attached, DeviceList};
use super::parts::Parts;
use super::trace::FwCfgTrace;
use crate::error::StartError;
use crate::host::notices::Notifier;
use crate::outcome::Outcome;

/// The device, shared by the bus and the trace.
pub(super) type SharedFwCfg = Arc<Mutex<FwCfgPorts<GuestMemoryMmap>>>;

/// Attaches the device with all its items, including the tables in `acpi`. `boot_paths` has the
/// devices to boot from: boot index and firmware path.
///
/// # Errors
/// An item cannot be published.
pub(super) fn attach(
    list: &mut DeviceList,
    parts: &Parts<'_>,
    acpi: &AcpiTables,
    boot_paths: &[(u32, String)],
    trace: Option<FwCfgTrace>,
) -> Result<SharedFwCfg, StartError> {
    let engine = parts.ram.engine();
    let mut device = FwCfg::new(items::items(parts, acpi, boot_paths)?, engine.clone());
    device.observe(observer(trace, parts.notifier.clone(), engine.clone()));
    let device = Arc::new(Mutex::new(FwCfgPorts::new(device)));
    list.attach(
        Attached::shared("fw_cfg", Arc::clone(&device))
            .ports(ports::SELECTOR_PORT, ports::SELECTOR_PORT_COUNT)
            .ports(ports::DMA_PORT, ports::DMA_PORT_COUNT)
            .string_port(ports::DATA_PORT, Arc::<Mutex<FwCfgPorts<_>>>::clone(&device)),
    )?;
    Ok(device)
}

/// Observes the guest's fw_cfg operations: all of them for the trace and the timeline, and always
/// those that fail because the host can no longer read an item.
fn observer(
    mut trace: Option<FwCfgTrace>,
    notifier: Notifier,
    engine: Engine<GuestMemoryMmap>,
) -> Box<dyn Observer> {
    Box::new(move |event: &Event<'_>| {
        if let Some(timeline) = notifier.timeline() {
            timeline.fw_cfg(event);
        }
        if let Some(trace) = &mut trace {
            trace.observe(event);
        }
        if let Event::HostError { item, error } = event {
            let lost = format!("the guest cannot read {item} through fw_cfg: {error}");
            notifier.note(|n| n.item_lost = n.item_lost.take().or(Some(lost)));
            // The pages of a mapped file that the guest has already loaded are lost too.
            if let Some(cut) = Outcome::file_cut(&engine) {
                notifier.end(cut);
            }
        }
    })
}
