//! What the machine does with each device, besides forwarding port accesses.

use vm_device::MutDevicePio;

/// A device of the machine.
///
/// Port accesses come through [`MutDevicePio`]. The machine calls every method with the device
/// locked.
pub trait MachineDevice: MutDevicePio + Send {
    /// Resets the device together with the machine, while no vCPU runs: its registers return to
    /// their power-on values. Devices without guest-visible state do nothing.
    fn reset(&mut self);

    /// Whether the guest waits for an interrupt after each byte that it writes to the device's first
    /// port.
    fn interrupts_for_writes(&self) -> bool {
        false
    }

    /// Writes out buffered output. May block until the reader on the host reads it.
    fn flush(&mut self) {}
}
