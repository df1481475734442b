//! The controller, shared by the vCPUs, which access registers, and the threads that serve the
//! ports: one for each drive.
//!
//! A thread takes a command and executes it without holding a lock that vCPUs need. If the host has
//! cancelled the command in the meantime, its result is dropped. A vCPU that stops or resets a
//! port, or clears Bus Master Enable, waits until no command is executing, so that no DMA follows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::PORTS;
use super::command::SlotCommand;
use super::fis::{DeviceFis, HostFis};
use super::interrupt::Interrupt;
use super::port::{Effect, Port, Taken};
use crate::ata::{AtaDevice, Command, Outcome, Reset};
use crate::buffers::{Buffers, Segment};

/// What is at a port, and its registers.
#[derive(Debug)]
struct Connector {
    registers: Mutex<Port>,
    drive: Option<Arc<dyn AtaDevice>>,
    /// Held while a command is in service.
    service: Mutex<()>,
}

/// The controller.
#[derive(Debug)]
pub struct Hba {
    connectors: [Connector; PORTS],
    interrupt: Mutex<Interrupt>,
    memory: GuestMemoryMmap,
    /// Whether it may access memory.
    is_master: AtomicBool,
}

impl Hba {
    pub(super) fn new(
        mut drives: [Option<Arc<dyn AtaDevice>>; PORTS],
        memory: GuestMemoryMmap,
        interrupt: Interrupt,
    ) -> Self {
        let connectors = std::array::from_fn(|port| {
            let drive = drives[port].take();
            let registers = Port::new(drive.as_ref().map(|drive| drive.signature()));
            Connector { registers: Mutex::new(registers), drive, service: Mutex::new(()) }
        });
        let (interrupt, is_master) = (Mutex::new(interrupt), AtomicBool::new(false));
        Self { connectors, interrupt, memory, is_master }
    }

    /// The ports that have a drive.
    pub fn drives(&self) -> impl Iterator<Item = (u8, &Arc<dyn AtaDevice>)> {
        let drives = self.connectors.iter().map(|connector| connector.drive.as_ref());
        (0..).zip(drives).filter_map(|(port, drive)| Some((port, drive?)))
    }

    /// Serves the commands of a port until there are none. For the port's own thread. Returns
    /// whether a command is held, which is to be tried again.
    pub fn serve(&self, port: u8) -> bool {
        let Some(connector) = self.connectors.get(usize::from(port)) else { return false };
        loop {
            let _service = lock(&connector.service);
            if !self.is_master.load(Ordering::SeqCst) {
                return false;
            }
            let Some(taken) = lock(&connector.registers).take() else { return false };
            if self.execute(port, connector, &taken) == Service::Held {
                return true;
            }
        }
    }

    /// Executes one command.
    fn execute(&self, port: u8, connector: &Connector, taken: &Taken) -> Service {
        let Some(drive) = &connector.drive else { return Service::Done };
        let Some(slot) = SlotCommand::read(&self.memory, taken.list, taken.slot) else {
            lock(&connector.registers).fail(taken);
            self.update(port);
            return Service::Done;
        };
        match HostFis::parse(slot.frame, slot.packet) {
            Some(HostFis::Command(command)) => {
                return self.command(port, taken, &**drive, &command, &slot);
            }
            Some(HostFis::Control { resets }) => {
                if lock(&connector.registers).set_software_reset(taken, resets) {
                    drive.reset(Reset::Software);
                }
                self.deliver_signature_fis(port);
            }
            None => lock(&connector.registers).drop_frame(taken),
        }
        Service::Done
    }

    fn command(
        &self,
        port: u8,
        taken: &Taken,
        drive: &dyn AtaDevice,
        command: &Command,
        slot: &SlotCommand<'_>,
    ) -> Service {
        let Outcome::Ended(ended) = drive.execute(command, slot) else { return Service::Held };
        let Some(connector) = self.connectors.get(usize::from(port)) else { return Service::Done };
        let mut registers = lock(&connector.registers);
        let answers = registers.end(taken, &ended);
        // FISes are written before the registers that announce them; the lock publishes both
        // together.
        if answers.iter().any(Option::is_some) {
            slot.set_transferred(ended.transferred);
        }
        for answer in answers.iter().flatten() {
            self.receive(&registers, answer);
        }
        drop(registers);
        self.update(port);
        Service::Done
    }

    /// Puts a frame into the host's area.
    fn receive(&self, registers: &Port, answer: &DeviceFis) {
        let at = registers.frames().and_then(|at| at.checked_add(answer.offset));
        let Some(at) = at.filter(|_| self.is_master.load(Ordering::SeqCst)) else { return };
        let Ok(len) = u32::try_from(answer.len) else { return };
        let segment = Segment { at: GuestAddress(at), len };
        // An area that is not in memory gets nothing.
        if let Some(buffers) = Buffers::new(&self.memory, &[segment], vm_memory::Permissions::Write)
        {
            buffers.copy_from(&answer.frame[..answer.len]);
        }
    }

    /// Has the host receive the frame that a drive sends after its reset.
    fn deliver_signature_fis(&self, port: u8) {
        let Some(connector) = self.connectors.get(usize::from(port)) else { return };
        let mut registers = lock(&connector.registers);
        if let Some(answer) = registers.take_signature_fis() {
            self.receive(&registers, &answer);
        }
        drop(registers);
        self.update(port);
    }

    /// Shows the interrupts of a port.
    fn update(&self, port: u8) {
        let Some(connector) = self.connectors.get(usize::from(port)) else { return };
        // The port stays locked, so that no older state overtakes a newer one.
        let registers = lock(&connector.registers);
        lock(&self.interrupt).set_pending(port, registers.wants_interrupt());
    }

    pub(super) fn read_port(&self, port: u8, register: u64) -> u32 {
        let connector = self.connectors.get(usize::from(port));
        connector.map_or(0, |connector| lock(&connector.registers).read(register))
    }

    /// Writes a register of a port. Returns whether the port's thread has something to do.
    pub(super) fn write_port(&self, port: u8, register: u64, value: u32) -> bool {
        let Some(connector) = self.connectors.get(usize::from(port)) else { return false };
        let effect = lock(&connector.registers).write(register, value);
        match effect {
            Effect::None => self.update(port),
            Effect::Serve => return true,
            Effect::Receive => self.deliver_signature_fis(port),
            Effect::Settle | Effect::Reset => {
                let service = lock(&connector.service);
                if let Some(drive) = &connector.drive {
                    drive.cancel();
                    if effect == Effect::Reset {
                        drive.reset(Reset::Hardware);
                    }
                }
                drop(service);
                self.deliver_signature_fis(port);
            }
        }
        false
    }

    pub(super) fn interrupt(&self) -> MutexGuard<'_, Interrupt> {
        lock(&self.interrupt)
    }

    /// The reset of the controller and its drives.
    pub(super) fn reset(&self) {
        for connector in &self.connectors {
            lock(&connector.registers).reset();
            let _service = lock(&connector.service);
            if let Some(drive) = &connector.drive {
                drive.reset(Reset::Hardware);
            }
        }
        lock(&self.interrupt).reset();
    }

    /// Whether the controller may access memory. Once it may not, this returns when no command is
    /// in service.
    pub(super) fn set_master(&self, allowed: bool) -> bool {
        let was_allowed = self.is_master.swap(allowed, Ordering::SeqCst);
        if was_allowed && !allowed {
            self.connectors.iter().for_each(|connector| drop(lock(&connector.service)));
        }
        allowed && !was_allowed
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Done,
    Held,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
