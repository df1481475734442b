//! The list of devices, used for the port bus, the DSDT, machine resets and flushing output.

use std::fmt;
use std::sync::{Arc, Mutex};

use acpi_tables::Aml;
use devices::device::MachineDevice;
use devices::fw_cfg::StringPort;
use vm_device::DevicePio;

use crate::bus::Bus;
use crate::error::DeviceError;
use crate::kvm::coalesced::{CoalescedPort, CoalescedWrites};
use crate::lock::{lock, try_lock};

/// The ports of KVM's in-kernel devices, as first port and number of ports: the PICs with their
/// edge/level registers, the PIT and its gate.
const KVM_PORTS: [(u16, u16); 5] = [(0x20, 2), (0xa0, 2), (0x4d0, 2), (0x40, 4), (0x61, 1)];

/// A device and how the machine uses it.
pub struct Attached {
    name: &'static str,
    /// The device as the machine sees it.
    device: Arc<Mutex<dyn MachineDevice>>,
    /// The same device as the port bus sees it.
    pio: Arc<dyn DevicePio + Send + Sync>,
    /// First port and number of ports, in any order.
    ports: Vec<(u16, u16)>,
    port_hint: Option<&'static str>,
    string_port: Option<(u16, Arc<dyn StringPort>)>,
    description: Option<Box<dyn Aml + Send + Sync>>,
    buffers_output: bool,
    coalesced: Option<CoalescedPort>,
}

impl Attached {
    /// Creates an entry for a device without ports. `name` is used in messages.
    pub fn new(name: &'static str, device: impl MachineDevice + 'static) -> Self {
        Self::shared(name, Arc::new(Mutex::new(device)))
    }

    /// As [`Self::new`], for a device to which the caller keeps a handle.
    pub fn shared<D: MachineDevice + 'static>(name: &'static str, device: Arc<Mutex<D>>) -> Self {
        Self {
            name,
            pio: Arc::<Mutex<D>>::clone(&device),
            device,
            ports: Vec::new(),
            port_hint: None,
            string_port: None,
            description: None,
            buffers_output: false,
            coalesced: None,
        }
    }

    /// Assigns `count` ports from `first` to the device. Can be called more than once for several
    /// ranges.
    #[must_use]
    pub fn ports(mut self, first: u16, count: u16) -> Self {
        self.ports.push((first, count));
        self
    }

    /// Sets the hint that explains how to choose other ports, for ports the user chose.
    #[must_use]
    pub fn port_hint(mut self, hint: &'static str) -> Self {
        self.port_hint = Some(hint);
        self
    }

    /// Lets `device` handle string reads from `port`, which must be one of the device's own ports.
    #[must_use]
    pub fn string_port(mut self, port: u16, device: Arc<dyn StringPort>) -> Self {
        self.string_port = Some((port, device));
        self
    }

    /// Sets the device's DSDT entry.
    #[must_use]
    pub fn described(mut self, description: impl Aml + Send + Sync + 'static) -> Self {
        self.description = Some(Box::new(description));
        self
    }

    /// Lets KVM collect the bytes that the guest writes to the first of the device's ports.
    #[must_use]
    pub fn coalesced(mut self) -> Self {
        self.coalesced =
            self.ports.first().map(|(data, count)| CoalescedPort { data: *data, count: *count });
        self
    }

    /// Marks a device that buffers output: the flusher calls its [`MachineDevice::flush`].
    #[must_use]
    pub fn buffers_output(mut self) -> Self {
        self.buffers_output = true;
        self
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Attached");
        debug.field("name", &self.name).field("ports", &self.ports).finish_non_exhaustive()
    }
}

/// All devices of a machine. Their order determines that of the DSDT and of flushing.
#[derive(Debug, Default)]
pub struct DeviceList(Vec<Attached>);

impl DeviceList {
    /// Adds a device.
    ///
    /// # Errors
    /// [`DeviceError::PortTaken`] if one of its ports belongs to another device or to KVM.
    pub fn attach(&mut self, device: Attached) -> Result<(), DeviceError> {
        for range in &device.ports {
            let taken = self.0.iter().flat_map(|other| other.ports.iter().copied());
            if let Some(port) = first_taken(*range, taken.chain(KVM_PORTS)) {
                let (device, hint) = (device.name, device.port_hint);
                return Err(DeviceError::PortTaken { device, port, hint });
            }
        }
        self.0.push(device);
        Ok(())
    }

    /// The DSDT entries of the devices.
    pub fn descriptions(&self) -> impl Iterator<Item = &dyn Aml> {
        self.0.iter().filter_map(|device| Some(&**device.description.as_ref()? as &dyn Aml))
    }

    /// Builds the port bus for all devices.
    ///
    /// # Errors
    /// Two devices overlap. Cannot happen, because [`Self::attach`] rejects that.
    pub fn bus(&self) -> Result<Bus, DeviceError> {
        let places = self.0.iter().flat_map(|device| {
            device.ports.iter().map(|(first, count)| (*first, *count, Arc::clone(&device.pio)))
        });
        let bus = Bus::new(places)?;
        let strings = self.0.iter().filter_map(|device| device.string_port.clone());
        Ok(strings.fold(bus, |bus, (port, device)| bus.with_string_port(port, device)))
    }

    /// Resets every device while no vCPU runs. Returns false, without resetting anything, if
    /// another thread holds a device, for example the flusher while it waits for a reader of a
    /// serial port's output. Try again.
    #[must_use]
    pub fn try_reset(&self) -> bool {
        let guards = self.0.iter().map(|device| try_lock(&device.device));
        let Some(mut guards) = guards.collect::<Option<Vec<_>>>() else { return false };
        guards.iter_mut().for_each(|device| device.reset());
        true
    }

    /// The writes that KVM collects, if there are ports for it and `coalesce`.
    pub fn coalesced_writes(&self, coalesce: bool) -> Option<Arc<CoalescedWrites>> {
        let ports: Vec<_> = self.0.iter().filter_map(|device| device.coalesced).collect();
        (coalesce && !ports.is_empty()).then(|| Arc::new(CoalescedWrites::new(ports)))
    }

    /// Whether the guest waits for an interrupt once it has written to this coalesced port.
    pub fn interrupts_for_writes(&self, port: u16) -> bool {
        let mut devices = self.0.iter();
        let device = devices.find(|device| device.coalesced.is_some_and(|at| at.data == port));
        device.is_some_and(|device| lock(&device.device).interrupts_for_writes())
    }

    /// Writes out buffered output of the devices. May block until someone reads it.
    pub fn flush(&self) {
        for device in self.0.iter().filter(|device| device.buffers_output) {
            lock(&device.device).flush();
        }
    }
}

/// The lowest port of a range, given as first port and number of ports, that is in one of `taken`.
fn first_taken((first, count): (u16, u16), taken: impl Iterator<Item = (u16, u16)>) -> Option<u16> {
    let wanted = u32::from(first)..u32::from(first) + u32::from(count);
    let common = |(first, count): (u16, u16)| {
        let end = u32::from(first) + u32::from(count);
        let lowest = wanted.start.max(first.into());
        (lowest < wanted.end.min(end)).then_some(lowest)
    };
    taken.filter_map(common).min().and_then(|port| port.try_into().ok())
}

#[cfg(test)]
mod tests;
