//! What the unit tests of several modules share: a small guest on the host's KVM.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use devices::exit::{ExitHandle, ExitRequest};
use firmware::payload::Payload;
use firmware::smbios::SmbiosTables;
use firmware::{KernelImage, MemoryMap};
use kvm_ioctls::{Kvm, VmFd};
use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};
use vm_memory::{Bytes, GuestAddress};

use crate::boot::Boot;
use crate::bus::Bus;
use crate::config::cpu_model::CpuModel;
use crate::config::{FirmwareConfig, LostTicks, MachineKind, MapInitrd, VmConfig};
use crate::host::notices::Notifier;
use crate::kvm::coalesced::CoalescedPort;
use crate::kvm::cpuid::Cpuid;
use crate::kvm::vcpu::{Debug, Vcpu};
use crate::kvm::{create_vm, vcpu_state};
use crate::lock::lock;
use crate::machine::outputs::Consoles;
use crate::machine::parts::Parts;
use crate::machine::{Devices, items};
use crate::memory::Ram;

/// What needs KVM, where the host has it.
pub fn on_kvm<T>(made: Result<T, crate::error::StartError>) -> Option<T> {
    let kvm = std::fs::File::options().read(true).write(true).open("/dev/kvm");
    kvm.is_ok().then(|| made.unwrap())
}

/// Where the guest's code is.
pub const CODE: u64 = 0x1000;
/// The size of its memory in bytes.
pub const MEMORY: u64 = 2 << 20;

/// `out 0xf4, al`: ends the run.
pub const END: [u8; 2] = [0xe6, 0xf4];

/// What a test has on the bus: it notes what is written, with its port.
pub type Written = Arc<Mutex<Vec<(u16, Vec<u8>)>>>;

/// A VM whose CPUs are in real mode, at the first instruction of the code, with flat segments.
pub struct Guest {
    pub vm: Arc<VmFd>,
    pub ram: Arc<Ram>,
    pub vcpus: Vec<Vcpu>,
    /// What was written to the ports 0x3f8 to 0x3ff.
    pub written: Written,
}

/// The device at port 0xf4.
struct Exit(ExitHandle);

impl MutDevicePio for Exit {
    fn pio_read(&mut self, _: PioAddress, _: PioAddressOffset, data: &mut [u8]) {
        data.fill(0x5a);
        self.0.request(ExitRequest::PowerOff);
    }

    fn pio_write(&mut self, _: PioAddress, _: PioAddressOffset, _: &[u8]) {
        self.0.request(ExitRequest::PowerOff);
    }
}

/// The device at port 0x3f8.
struct Notes(Written);

impl MutDevicePio for Notes {
    fn pio_read(&mut self, _: PioAddress, _: PioAddressOffset, data: &mut [u8]) {
        data.fill(0x5a);
    }

    fn pio_write(&mut self, base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        lock(&self.0).push((base.0 + offset, data.to_vec()));
    }
}

impl Guest {
    /// A guest with one CPU; `None` if the host has no KVM.
    pub fn new(code: &[u8]) -> Option<Self> {
        Self::with(code, 1, &[])
    }

    /// One with this many CPUs. KVM collects the writes to some ports.
    pub fn with(code: &[u8], cpus: u8, coalesced: &[CoalescedPort]) -> Option<Self> {
        let kvm = Kvm::new().ok()?;
        let ram = Arc::new(Ram::new(&MemoryMap::new(MEMORY), MapInitrd::Off).unwrap());
        ram.memory().write_slice(code, GuestAddress(CODE)).unwrap();
        let vm = create_vm(&kvm, &ram, std::iter::empty(), LostTicks::Delay, coalesced).unwrap();
        let cpuid = Cpuid::new(&kvm, &CpuModel::default(), cpus).unwrap();
        let (written, notifier) = (Written::default(), Notifier::new().unwrap());
        let notes: Arc<Mutex<Notes>> = Arc::new(Mutex::new(Notes(Arc::clone(&written))));
        let exit = Arc::new(Mutex::new(Exit(notifier.exit_handle())));
        let bus = Arc::new(Bus::new([(0x3f8, 8, notes as _), (0xf4, 1, exit as _)]).unwrap());
        let vcpu = |cpu: u8| {
            let fd = vm.create_vcpu(cpu.into()).unwrap();
            vcpu_state::configure(&fd, cpu, &cpuid).unwrap();
            let mut sregs = fd.get_sregs().unwrap();
            (sregs.cs.base, sregs.cs.selector) = (0, 0);
            fd.set_sregs(&sregs).unwrap();
            let mut regs = fd.get_regs().unwrap();
            (regs.rip, regs.rsp) = (CODE, 0x8000);
            fd.set_regs(&regs).unwrap();
            let debug = Debug { possible: true, ..Debug::default() };
            let (bus, ram) = (Arc::clone(&bus), Arc::clone(&ram));
            let (stop, notifier) = (Arc::default(), notifier.clone());
            Vcpu { cpu, fd, bus, coalesced: None, ram, stop, notifier, log: None, debug }
        };
        let vcpus = (0..cpus).map(vcpu).collect();
        Some(Self { vm: Arc::new(vm), ram, vcpus, written })
    }

    /// The guest's memory from a guest-physical address on.
    pub fn memory<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.ram.memory().read_slice(&mut bytes, GuestAddress(at)).unwrap();
        bytes
    }

    /// Changes it.
    pub fn set_memory(&self, at: u64, bytes: &[u8]) {
        self.ram.memory().write_slice(bytes, GuestAddress(at)).unwrap();
    }

    /// Puts CPU 0 into 64-bit mode, with these pages of 4 KiB: linear and guest-physical address.
    pub fn map(&self, pages: &[(u64, u64)]) {
        const PRESENT_AND_WRITABLE: u64 = 3;
        const TABLES: u64 = 0x10_0000;
        self.set_memory(TABLES, &[0; 0x2_0000]);
        let mut next = TABLES;
        let mut table = || {
            next += 0x1000;
            next - 0x1000
        };
        let root = table();
        for (linear, physical) in pages {
            let mut at = root;
            for shift in [39, 30, 21, 12] {
                let entry = at + (linear >> shift & 0x1ff) * 8;
                let found = u64::from_le_bytes(self.memory(entry));
                at = match (shift, found) {
                    (12, _) => *physical,
                    (_, 0) => table(),
                    _ => found & !0xfff,
                };
                self.set_memory(entry, &(at | PRESENT_AND_WRITABLE).to_le_bytes());
            }
        }
        let fd = &self.vcpus[0].fd;
        let mut sregs = fd.get_sregs().unwrap();
        // CR0.PG and CR0.PE, CR4.PAE, EFER.LME and EFER.LMA.
        (sregs.cr0, sregs.cr3, sregs.cr4) = (sregs.cr0 | 1 << 31 | 1, root, sregs.cr4 | 1 << 5);
        sregs.efer |= 1 << 8 | 1 << 10;
        (sregs.cs.l, sregs.cs.db, sregs.cs.type_, sregs.cs.s) = (1, 0, 11, 1);
        fd.set_sregs(&sregs).unwrap();
    }

    /// Has CPU 0 write a doubleword to a guest-physical address.
    pub fn write(&mut self, at: u64, value: u32) {
        let page = at & !0xfff;
        self.map(&[(CODE, CODE), (page, page)]);
        // mov dword ptr [rbx], value
        self.set_memory(CODE, &[&[0xc7, 0x03][..], &value.to_le_bytes(), &END].concat());
        let vcpu = &mut self.vcpus[0];
        let mut regs = vcpu.fd.get_regs().unwrap();
        (regs.rip, regs.rbx) = (CODE, at);
        vcpu.fd.set_regs(&regs).unwrap();
        vcpu.notifier.start_over();
        assert_eq!(vcpu.run(), None);
        assert!(vcpu.notifier.is_exiting());
    }
}

/// A machine with 2 MiB of memory, one CPU, and none of the devices that are the user's choice.
pub fn config(machine: MachineKind) -> VmConfig {
    VmConfig {
        name: None,
        uuid: None,
        firmware: None,
        boot_options: Default::default(),
        disk_boot_indices: Vec::new(),
        cd_boot_indices: Vec::new(),
        card_boot_indices: Vec::new(),
        fw_cfg: Vec::new(),
        smbios: Default::default(),
        credentials: Vec::new(),
        debugcon: None,
        debug_exit: None,
        pc_testdev: false,
        lost_ticks: Default::default(),
        vmcoreinfo: false,
        trace: Default::default(),
        timestamps: false,
        machine,
        memory: MEMORY,
        map_initrd: Default::default(),
        coalesced_console: false,
        cpus: 1,
        cpu: Default::default(),
        serial: Default::default(),
        terminal: Default::default(),
        on_reset: Default::default(),
        on_panic: Default::default(),
        fail_on: Default::default(),
        pvpanic: false,
        watchdog: false,
        on_watchdog: Default::default(),
        record_exits: false,
        rtc: Default::default(),
        limits: Default::default(),
        gdb: None,
        rng: None,
        virtio_serial: Vec::new(),
        monitors: Vec::new(),
        starts_paused: false,
    }
}

/// A file in the system's temporary directory, deleted when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// A file with these contents.
    pub fn new(bytes: &[u8]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("chukka-vmm-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A kernel with this command line: an ELF file with a PVH note, or a multiboot image.
pub fn kernel(is_elf: bool, cmdline: &str) -> Payload {
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let bytes = if is_elf {
        // The ELF header with two program headers, for the note and for what follows it (gABI,
        // chapters 4 and 5), and `XEN_ELFNOTE_PHYS32_ENTRY`.
        const HEADERS: u32 = 64 + 2 * 56;
        let ident = [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
        let header = words(&[62 << 16 | 2, 1, 0x10_0000, 0, 64, 0, 0, 0, 0, 56 << 16 | 64, 2, 0]);
        let program = |kind, offset, at, size| {
            words(&[kind, 5, offset, 0, at, 0, at, 0, size, 0, size, 0, 4, 0])
        };
        let note = words(&[4, 4, 18, u32::from_le_bytes(*b"Xen\0"), 0x10_0000]);
        let (note_at, load) = (program(4, HEADERS, 0, 20), program(1, HEADERS + 20, 0x10_0000, 4));
        [ident, header, note_at, load, note, vec![0x90; 4]].concat()
    } else {
        // Multiboot 0.6.96, 3.1.1, with the addresses in the header.
        let (magic, flags) = (0x1bad_b002_u32, 1 << 16);
        let sum = 0u32.wrapping_sub(magic).wrapping_sub(flags);
        let start = 0x10_0000;
        words(&[magic, flags, sum, start, start, start + 36, start + 36, start + 32, 0x9090_9090])
    };
    let file = Scratch::new(&bytes);
    let kernel = KernelImage::open(&file.0).unwrap();
    Payload { kernel, initrd: None, modules: Vec::new(), cmdline: cmdline.into() }
}

/// What a machine is made from.
pub struct Machine {
    pub config: VmConfig,
    map: MemoryMap,
    ram: Ram,
    boot: Boot,
    smbios: SmbiosTables,
    pub notifier: Notifier,
    stopping: Arc<AtomicBool>,
}

impl Machine {
    pub fn new(config: VmConfig) -> Self {
        let kernel = config.firmware.is_none().then(|| kernel(true, "quiet"));
        let boot = Boot::open(&config, kernel, Vec::new(), &mut Vec::new()).unwrap();
        let map = MemoryMap::new(config.memory);
        let ram = Ram::new(&map, MapInitrd::Off).unwrap();
        let smbios = SmbiosTables::build(&items::smbios_config(&config).unwrap()).unwrap();
        let (notifier, stopping) = (Notifier::new().unwrap(), Arc::default());
        Self { config, map, ram, boot, smbios, notifier, stopping }
    }

    /// Everything but disks and cards.
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            config: &self.config,
            map: &self.map,
            ram: &self.ram,
            boot: &self.boot,
            smbios: &self.smbios,
            disks: &[],
            cd_drives: None,
            ahci: None,
            cards: &[],
            coalesce: false,
            notifier: &self.notifier,
            stopping: &self.stopping,
        }
    }

    /// Its devices.
    pub fn devices(&self) -> Devices {
        self.devices_of(&self.parts())
    }

    /// Those of other parts.
    pub fn devices_of(&self, parts: &Parts<'_>) -> Devices {
        let consoles = Consoles::open(&self.config, &mut |_| {}).unwrap();
        Devices::new(parts, consoles).unwrap()
    }
}

/// The configuration of the built-in firmware.
pub fn builtin() -> FirmwareConfig {
    FirmwareConfig {
        bios: Some("builtin".into()),
        search: Vec::new(),
        own_option_rom: true,
        option_roms: Vec::new(),
        network_rom: None,
        for_disk: false,
    }
}

/// A machine whose configuration is changed.
pub fn machine(kind: MachineKind, change: impl FnOnce(&mut VmConfig)) -> Machine {
    let mut config = config(kind);
    change(&mut config);
    Machine::new(config)
}
