//! Flash chips with the firmware and its variables, just below 4 GiB: memory that the guest reads
//! directly, and registers behind it.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use devices::pflash::{FlashFile, FlashWindow, Pflash};
use kvm_ioctls::VmFd;

use crate::boot::FlashChip;
use crate::host::notices::Notifier;
use crate::kvm;
use crate::lock::lock;
use crate::memory::rom::Rom;
use crate::outcome::Outcome;

/// The current VM; a reboot replaces it.
type CurrentVm = Arc<RwLock<Option<Arc<VmFd>>>>;

/// A chip of the machine.
#[derive(Debug)]
struct Chip {
    at: u64,
    size: u32,
    file: Arc<FlashFile>,
    registers: Arc<Mutex<Pflash>>,
}

/// The flash chips of the machine. They live as long as the process; a machine reset resets them.
#[derive(Debug, Default)]
pub struct FlashChips {
    chips: Vec<Chip>,
    vm: CurrentVm,
}

impl FlashChips {
    /// Gives each chip its registers. `first_slot` is the number of the first chip's KVM memory
    /// slot; the others follow.
    pub fn new<'a>(
        chips: impl Iterator<Item = &'a FlashChip>,
        first_slot: u32,
        notifier: &Notifier,
    ) -> Self {
        let vm = CurrentVm::default();
        let chips = (first_slot..).zip(chips).map(|(slot, chip)| {
            let rom = Arc::clone(chip.rom());
            let (at, size, _) = rom.slot();
            let (vm, notifier) = (Arc::clone(&vm), notifier.clone());
            let window = Box::new(Window { rom, slot, vm, notifier });
            let registers = Arc::new(Mutex::new(Pflash::new(Arc::clone(chip.file()), window)));
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            Chip { at, size, file: Arc::clone(chip.file()), registers }
        });
        Self { chips: chips.collect(), vm }
    }

    /// Their registers: guest-physical address, size in bytes and device.
    pub fn registers(&self) -> impl Iterator<Item = (u64, u32, Arc<Mutex<Pflash>>)> {
        self.chips.iter().map(|chip| (chip.at, chip.size, Arc::clone(&chip.registers)))
    }

    /// Uses `vm`, whose memory slots show the contents of all chips.
    pub fn connect(&self, vm: Arc<VmFd>) {
        *self.vm.write().unwrap_or_else(PoisonError::into_inner) = Some(vm);
    }

    /// Resets the chips together with the machine, while no vCPU runs.
    pub fn reset(&self) {
        // The next VM has slots of its own.
        *self.vm.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.chips.iter().for_each(|chip| lock(&chip.registers).reset());
    }

    /// Makes everything durable that the guest has written.
    pub fn finish(&self) {
        for chip in &self.chips {
            // A failure has been reported.
            chip.file.flush();
        }
    }
}

/// The memory slot of a chip.
#[derive(Debug)]
struct Window {
    rom: Arc<Rom>,
    slot: u32,
    vm: CurrentVm,
    notifier: Notifier,
}

impl FlashWindow for Window {
    fn read(&self, offset: u64, data: &mut [u8]) {
        self.rom.read_at(offset, data);
    }

    fn write(&self, offset: u64, data: &[u8]) {
        self.rom.write_at(offset, data);
    }

    /// Adds or removes the slot. The calling vCPU is outside KVM_RUN; KVM waits for the others to
    /// notice (`kvm_swap_active_memslots`, virt/kvm/kvm_main.c).
    fn show_array(&mut self, shown: bool) {
        let vm = self.vm.read().unwrap_or_else(PoisonError::into_inner);
        let Some(vm) = &*vm else { return };
        if kvm::show_rom(vm, self.slot, &self.rom, shown).is_err() {
            let ended = Outcome::Defect("the memory of a flash chip");
            self.notifier.end(ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use devices::pflash::FlashBackend;

    use super::*;
    use crate::boot::{Boot, FlashDrive};
    use crate::config::{FirmwareConfig, MachineKind, VmConfig};
    use crate::tests::{Guest, builtin, config};

    /// A chip with a reset vector, which counts how often it is flushed.
    #[derive(Debug)]
    struct Flash(Arc<AtomicUsize>);

    impl FlashBackend for Flash {
        fn len(&self) -> u64 {
            0x1_0000
        }

        fn is_read_only(&self) -> bool {
            false
        }

        fn read(&self, data: &mut [u8], _: u64) -> io::Result<()> {
            data.fill(0xea);
            Ok(())
        }

        fn write(&self, _: &[u8], _: u64) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    #[test]
    fn what_the_guest_has_written_is_durable_in_the_end() {
        let flushed = Arc::<AtomicUsize>::default();
        let backend = Box::new(Flash(Arc::clone(&flushed)));
        let file = FlashFile { backend, on_error: Box::new(|_, _| ()) };
        let drive = FlashDrive { path: "code.fd".into(), file };
        let firmware = Some(FirmwareConfig { bios: None, ..builtin() });
        let config = VmConfig { firmware, ..config(MachineKind::Pc) };
        let boot = Boot::open(&config, None, vec![drive], &mut Vec::new()).unwrap();
        let chips = FlashChips::new(boot.flash_chips().iter(), 1, &Notifier::new().unwrap());
        let places: Vec<_> = chips.registers().map(|(at, size, _)| (at, size)).collect();
        assert_eq!(places, [(0xffff_0000, 0x1_0000)]);
        if let Some(guest) = Guest::new(&[]) {
            chips.connect(Arc::clone(&guest.vm));
            chips.reset();
            assert_eq!(Arc::strong_count(&guest.vm), 1, "the next VM is another one");
        }
        assert_eq!(flushed.load(Ordering::SeqCst), 0);
        chips.finish();
        assert_eq!(flushed.load(Ordering::SeqCst), 1);
    }
}
