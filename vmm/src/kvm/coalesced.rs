//! Writes to console ports that KVM collects in a ring instead of leaving the guest for each byte
//! (KVM_CAP_COALESCED_PIO; Documentation/virt/kvm/api.rst, KVM_REGISTER_COALESCED_MMIO).
//!
//! A VM has one ring, which all vCPUs fill, so it has one reader at a time. The ring is read
//!
//! - before each exit is handled: a device sees a vCPU's accesses in their order;
//! - whenever buffered output is flushed. That includes a timer that starts at 10 ms and slows down
//!   while nothing comes, because a guest that prints and halts never leaves KVM_RUN.
//!
//! A driver that works by transmit interrupts gets its next interrupt when the ring is read. Most
//! drivers, such as Linux's 8250, read the interrupt identification register once more before they
//! return, which leaves the guest. One that only waits for the interrupt would send one byte, or one
//! FIFO, per expiry of the timer: after three such waits, its port leaves the guest for each byte
//! again.
#![expect(unsafe_code, reason = "the ring's reader has a descriptor and a mapping of its own")]

use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvm_ioctls::{Cap, IoEventAddress, Kvm, VcpuFd, VmFd};

use crate::bus::Bus;
use crate::lock::{lock, try_lock};

/// The shortest and the longest time between two reads of the ring by the timer.
const INTERVALS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(80)];
/// After a driver has waited for the timer this often, its port is no longer coalesced.
const PATIENCE: u32 = 3;
/// A driver counts as waiting if it has not accessed its port for this long.
const WAITS: Duration = Duration::from_millis(5);
/// The most writes kept from the ring of a VM that was destroyed: more than a ring holds.
const KEPT: usize = 1024;

/// A port whose writes of one byte are coalesced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoalescedPort {
    /// The port.
    pub data: u16,
    /// The number of ports of its device, from `data` on: an access to one of them waits until all
    /// earlier writes have reached the device.
    pub count: u16,
}

/// Whether the host's KVM can coalesce writes to ports.
pub fn is_supported(kvm: &Kvm) -> bool {
    kvm.check_extension(Cap::CoalescedMmio) && kvm.check_extension(Cap::CoalescedPio)
}

/// Has KVM coalesce writes to these ports. Call this before the interrupt controllers exist, when
/// it costs least. KVM may refuse: the port then leaves the guest for each byte, as without the
/// capability.
pub fn register(vm: &VmFd, ports: &[CoalescedPort]) {
    for port in ports {
        let _ = vm.register_coalesced_mmio(IoEventAddress::Pio(port.data.into()), 1);
    }
}

/// The ring of coalesced writes, and the state of its reader and its ports.
#[derive(Debug, Default)]
pub struct CoalescedWrites {
    ports: Vec<CoalescedPort>,
    /// Held while writes are passed to devices, so that they stay in order.
    turn: Mutex<()>,
    ring: Mutex<Ring>,
    /// Writes that were passed on.
    count: AtomicU64,
    /// When a register of the ports' devices was accessed last; the ring was read before that.
    last_access: Mutex<Option<Instant>>,
    /// Writes have been passed on since the timer looked.
    active: AtomicBool,
    /// The time until the timer expires next, in milliseconds.
    interval: AtomicU32,
    /// How often a driver has waited for the timer.
    waits: AtomicU32,
}

#[derive(Default)]
struct Ring {
    vm: Option<Arc<VmFd>>,
    /// The reader's own handle of the first vCPU, at which the ring is mapped.
    mapped: Option<VcpuFd>,
    /// What was left in the ring of a VM that is gone.
    kept: VecDeque<(u16, u8)>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("kept", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Ring {
    fn take(&mut self) -> Option<(u16, u8)> {
        self.kept.pop_front().or_else(|| self.read())
    }

    fn read(&mut self) -> Option<(u16, u8)> {
        let write = self.mapped.as_mut()?.coalesced_mmio_read().ok()??;
        Some((u16::try_from(write.phys_addr).ok()?, write.data[0]))
    }
}

impl CoalescedWrites {
    /// Nothing is coalesced before [`Self::connect`].
    pub fn new(ports: Vec<CoalescedPort>) -> Self {
        Self { ports, ..Self::default() }
    }

    /// The ports to coalesce.
    pub fn ports(&self) -> &[CoalescedPort] {
        &self.ports
    }

    /// Reads the ring of a new VM, whose first vCPU this is. What is left of the old one's is kept.
    pub fn connect(&self, vm: &Arc<VmFd>, vcpu: &VcpuFd) {
        let mut ring = lock(&self.ring);
        ring.let_go();
        // SAFETY: fcntl(2) returns a new descriptor, which has no other owner, or -1, for which the
        // mapping fails.
        let mapped = unsafe {
            let fd = libc::fcntl(vcpu.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0);
            if fd < 0 {
                return;
            }
            vm.create_vcpu_from_rawfd(fd)
        };
        let mapped = mapped.and_then(|mut vcpu| vcpu.map_coalesced_mmio_ring().map(|()| vcpu));
        match mapped {
            Ok(vcpu) => ring.mapped = Some(vcpu),
            // Nobody would read what KVM collects.
            Err(_) => self.ports.iter().for_each(|port| stop_coalescing(vm, port.data)),
        }
        ring.vm = Some(Arc::clone(vm));
    }

    /// Lets go of the VM. What is left in its ring can still be passed on.
    pub fn disconnect(&self) {
        lock(&self.ring).let_go();
    }

    /// Passes the ring's writes to their devices before an exit is handled. `port` is the port of
    /// the exit, if any. Waits for another reader only if the exit accesses a device with coalesced
    /// writes, whichever of them that reader writes to. Calls `seen` for each write.
    #[inline]
    pub fn before_exit(&self, port: Option<u16>, bus: &Bus, seen: impl FnMut(u16)) {
        let is_ours = |port: u16| self.ports.iter().any(|ours| ours.covers(port));
        if port.is_some_and(is_ours) {
            *lock(&self.last_access) = Some(Instant::now());
            let turn = lock(&self.turn);
            self.pass_on(bus, seen);
            drop(turn);
        } else if let Some(_turn) = try_lock(&self.turn) {
            self.pass_on(bus, seen);
        }
    }

    /// Passes the ring's writes to their devices. May block until the guest's output is read.
    /// `needs_interrupt` returns whether a driver waits for an interrupt after it writes to this
    /// port.
    pub fn flush(&self, bus: &Bus, needs_interrupt: impl Fn(u16) -> bool) {
        let mut written = Vec::new();
        let turn = lock(&self.turn);
        self.pass_on(bus, |port| {
            if !written.contains(&port) {
                written.push(port);
            }
        });
        drop(turn);
        written.retain(|port| needs_interrupt(*port));
        if !written.is_empty() && self.is_late() && self.has_waited_too_often() {
            let vm = lock(&self.ring).vm.clone();
            for port in written {
                vm.iter().for_each(|vm| stop_coalescing(vm, port));
            }
        }
    }

    /// Whether the guest has not accessed a register of these devices for a while. What was in the
    /// ring has waited for the timer then.
    fn is_late(&self) -> bool {
        lock(&self.last_access).is_some_and(|at| at.elapsed() >= WAITS)
    }

    /// Counts a wait. Whether that is one too many.
    fn has_waited_too_often(&self) -> bool {
        self.waits.fetch_add(1, Ordering::Relaxed) + 1 >= PATIENCE
    }

    fn pass_on(&self, bus: &Bus, mut seen: impl FnMut(u16)) {
        let next = || lock(&self.ring).take();
        while let Some((port, byte)) = next() {
            seen(port);
            bus.write(port, 1, &[byte]);
            self.count.fetch_add(1, Ordering::Relaxed);
            self.active.store(true, Ordering::Relaxed);
        }
    }

    /// The time after which the timer is to have the ring read next.
    pub fn next_interval(&self) -> Duration {
        let [shortest, longest] = INTERVALS;
        let last = Duration::from_millis(self.interval.load(Ordering::Relaxed).into());
        let next = match self.active.swap(false, Ordering::Relaxed) {
            true => shortest,
            false => (last * 2).clamp(shortest, longest),
        };
        let millis = u32::try_from(next.as_millis()).unwrap_or(u32::MAX);
        self.interval.store(millis, Ordering::Relaxed);
        next
    }

    /// The number of writes that came through the ring.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Ring {
    fn let_go(&mut self) {
        while self.kept.len() < KEPT
            && let Some(write) = self.read()
        {
            self.kept.push_back(write);
        }
        (self.mapped, self.vm) = (None, None);
    }
}

impl CoalescedPort {
    fn covers(self, port: u16) -> bool {
        port >= self.data && port - self.data < self.count
    }
}

fn stop_coalescing(vm: &VmFd, port: u16) {
    // It fails if the port is not coalesced.
    let _ = vm.unregister_coalesced_mmio(IoEventAddress::Pio(port.into()), 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{CODE, END, Guest};

    #[test]
    fn the_timer_slows_down_while_nothing_comes() {
        let writes = CoalescedWrites::default();
        let next = || writes.next_interval().as_millis();
        assert_eq!([next(), next(), next(), next(), next()], [10, 20, 40, 80, 80]);
        writes.active.store(true, Ordering::Relaxed);
        assert_eq!([next(), next()], [10, 20]);
    }

    #[test]
    fn a_port_covers_its_devices_registers() {
        let port = CoalescedPort { data: 0x3f8, count: 8 };
        let covered = |at| port.covers(at);
        assert_eq!([0x3f7, 0x3f8, 0x3ff, 0x400].map(covered), [false, true, true, false]);
        assert!(CoalescedPort { data: 0xffff, count: 1 }.covers(0xffff));
    }

    #[test]
    fn a_driver_that_reads_a_register_only_when_it_is_interrupted_is_found_waiting() {
        let port = CoalescedPort { data: 0x3f8, count: 8 };
        let (writes, bus) = (CoalescedWrites::new(vec![port]), Bus::new([]).unwrap());
        let flush = || {
            lock(&writes.ring).kept.push_back((0x3f8, b'x'));
            writes.flush(&bus, |port| port == 0x3f8);
            writes.waits.load(Ordering::Relaxed)
        };
        for waits in 1..=PATIENCE {
            // The handler reads why it was called, writes, and returns.
            writes.before_exit(Some(0x3fa), &bus, |_| ());
            assert_eq!(flush(), waits - 1, "it has not been long");
            writes.before_exit(Some(0x3fa), &bus, |_| ());
            std::thread::sleep(WAITS);
            assert_eq!(flush(), waits);
        }
        assert!(writes.has_waited_too_often());
        assert_eq!(writes.count(), 2 * u64::from(PATIENCE));
    }

    /// Writes "ABA" to the port.
    const PRINT: [u8; 13] =
        [0xba, 0xf8, 0x03, 0xb0, b'A', 0xee, 0xb0, b'B', 0xee, 0xb0, b'A', 0xee, 0x90];
    const PORT: CoalescedPort = CoalescedPort { data: 0x3f8, count: 8 };

    /// A guest that prints, and the reader of its ring.
    fn printing() -> Option<(Guest, Arc<CoalescedWrites>)> {
        let guest = Guest::with(&[&PRINT[..], &END].concat(), 1, &[PORT])?;
        let writes = Arc::new(CoalescedWrites::new(vec![PORT]));
        writes.connect(&guest.vm, &guest.vcpus[0].fd);
        Some((guest, writes))
    }

    fn letters(guest: &Guest) -> String {
        let written = lock(&guest.written);
        assert!(written.iter().all(|(port, bytes)| *port == 0x3f8 && bytes.len() == 1));
        written.iter().map(|(_, bytes)| char::from(bytes[0])).collect()
    }

    #[test]
    fn what_kvm_has_collected_reaches_the_device_before_the_next_exit_is_handled() {
        let Some((mut guest, writes)) = printing() else { return };
        guest.vcpus[0].coalesced = Some(Arc::clone(&writes));
        assert_eq!(guest.vcpus[0].run(), None);
        assert_eq!((letters(&guest), writes.count()), ("ABA".to_owned(), 3));
        assert!(lock(&writes.last_access).is_none(), "only the exit's own port counts");
        // in al, dx
        let code = [&PRINT[..], &[0xec], &END].concat();
        guest.set_memory(CODE, &code);
        let vcpu = &mut guest.vcpus[0];
        let mut regs = vcpu.fd.get_regs().unwrap();
        regs.rip = CODE;
        vcpu.fd.set_regs(&regs).unwrap();
        vcpu.notifier.start_over();
        assert_eq!(vcpu.run(), None);
        assert!(lock(&writes.last_access).is_some());
    }

    #[test]
    fn what_is_in_the_ring_of_a_vm_that_is_gone_is_kept_up_to_a_limit() {
        for (kept, left) in [(0, "ABA"), (KEPT - 2, "AB"), (KEPT, "")] {
            let Some((mut guest, writes)) = printing() else { return };
            assert_eq!(guest.vcpus[0].run(), None, "nobody reads the ring");
            assert_eq!(letters(&guest), "");
            lock(&writes.ring).kept.extend(vec![(0x3f8, b'.'); kept]);
            writes.disconnect();
            writes.flush(&guest.vcpus[0].bus, |_| false);
            assert_eq!(letters(&guest), format!("{}{left}", ".".repeat(kept)));
        }
    }

    #[test]
    fn the_port_of_a_driver_that_has_waited_too_often_leaves_the_guest_for_each_byte() {
        let Some((mut guest, writes)) = printing() else { return };
        let bus = Arc::clone(&guest.vcpus[0].bus);
        for _ in 0..PATIENCE {
            lock(&writes.ring).kept.push_back((0x3f8, b'.'));
            writes.before_exit(Some(0x3fa), &bus, |_| ());
            lock(&writes.ring).kept.push_back((0x3f8, b'.'));
            std::thread::sleep(WAITS);
            writes.flush(&bus, |port| port == 0x3f8);
        }
        assert_eq!(guest.vcpus[0].run(), None);
        assert_eq!(letters(&guest), format!("{}ABA", "..".repeat(3)), "nobody has read the ring");
    }
}
