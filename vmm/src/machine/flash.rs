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
