//! What the machine does with every device, beside passing port accesses to it.

use vm_device::MutDevicePio;

/// A device of the machine.
///
/// Port accesses come through [`MutDevicePio`]. The machine calls every method with the device
/// locked.
pub trait MachineDevice: MutDevicePio + Send {
    /// Resets the device with the machine, while no vCPU runs: its registers have their power-on
    /// values afterwards. A device without state that the guest can change does nothing.
    fn reset(&mut self);

    /// Writes out buffered output. May block for as long as the host's reader does not read.
    fn flush(&mut self) {}
}
