//! Kernel files: what [`KernelImage::open`] makes of them, where a direct boot puts them, and what
//! is published of them.
//!
//! An input is 8 bytes, all little-endian: which memory (u8), the initrd's presence in bit 0 of a
//! u8, its length in units of 4096 bytes, less 1 byte (u8), bytes of the command line (u8), zeros
//! after the file (u32, modulo 64 KiB); then the command line, then the file.

use std::cell::OnceCell;
use std::os::unix::fs::FileExt;

use arbitrary::Unstructured;
use firmware::acpi::{AcpiConfig, AcpiTables, PowerManagement};
use firmware::image::{Elf, KernelKind, Multiboot};
use firmware::payload::{LoadError, Payload};
use firmware::smbios::{SmbiosConfig, SystemStrings};
use firmware::{
    Firmware, FirmwareKind, KernelImage, MemoryMap, SmbiosTables, SourceFile, kernel_items, layout,
};
use fw_cfg::{Items, key};
use vm_memory::{Bytes, GuestAddress};
use vmm::config::MapInitrd;
use vmm::memory::Ram;

use crate::scratch::Scratch;
use crate::{Wire, wire_struct};

/// Memory that is loaded into, in MiB: what [`Header::memory`] chooses from.
const LOADED: [u64; 4] = [1, 3, 8, 32];
/// Memory that things are only planned for, in bytes.
const PLANNED: [u64; 4] = [1 << 20, 0xc000_0000, 0xc000_1000, 6 << 30];

/// What comes before command line and file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Modulo 4: how much memory there is.
    pub memory: u8,
    /// Bit 0: there is an initrd.
    pub flags: u8,
    /// Its length in units of 4096 bytes, plus 4095.
    pub initrd: u8,
    /// Bytes of the command line.
    pub cmdline: u8,
    /// Zeros after the file's bytes, modulo 64 KiB.
    pub zeros: u32,
}

wire_struct!(Header { memory, flags, initrd, cmdline, zeros });

impl Header {
    /// An input of this.
    pub fn input(mut self, cmdline: &[u8], file: &[u8]) -> Vec<u8> {
        let mut input = Vec::new();
        self.cmdline = u8::try_from(cmdline.len()).unwrap_or(u8::MAX);
        self.put(&mut input);
        input.extend(&cmdline[..usize::from(self.cmdline)]);
        input.extend(file);
        input
    }
}

/// What lasts from input to input: files that are filled anew, and memory, as over a guest's
/// reboots.
struct Machine {
    kernel: Scratch,
    initrd: Scratch,
    rams: Vec<(MemoryMap, Ram)>,
    acpi: AcpiTables,
    smbios: SmbiosTables,
}

thread_local! {
    static MACHINE: OnceCell<Machine> = const { OnceCell::new() };
}

impl Machine {
    fn new() -> Self {
        let acpi = AcpiConfig {
            cpus: 2,
            reset_port: 0x604,
            reset_value: 1,
            power: PowerManagement::HardwareReduced {
                sleep_control_port: 0x600,
                sleep_status_port: 0x601,
            },
            pm_timer_port: None,
        };
        let system = SystemStrings::default();
        let smbios =
            SmbiosConfig { uuid: None, memory: 1 << 20, cpus: 2, oem_strings: Vec::new(), system };
        let map = |mib| MemoryMap::new(mib << 20);
        Self {
            kernel: Scratch::new().expect("a file in memory"),
            initrd: Scratch::new().expect("a file in memory"),
            rams: LOADED
                .map(map)
                .map(|map| (map.clone(), Ram::new(&map, MapInitrd::On).expect("memory")))
                .into(),
            acpi: AcpiTables::build(&acpi, &[]),
            smbios: SmbiosTables::build(&smbios).expect("no strings"),
        }
    }
}

/// How far a file has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// It is a kernel.
    pub opened: bool,
    /// A direct boot has loaded it.
    pub loaded: bool,
    /// It was published for firmware.
    pub published: bool,
}

/// Opens a kernel, loads it and publishes it.
///
/// # Panics
/// What is in memory or published is not what the file holds, or what fitted does not fit.
pub fn run(bytes: &[u8]) -> Reached {
    let mut input = Unstructured::new(bytes);
    let Ok(header) = Header::take(&mut input) else { return Reached::default() };
    let rest = input.take_rest();
    let (cmdline, file) = rest.split_at(usize::from(header.cmdline).min(rest.len()));
    MACHINE.with(|machine| boot(machine.get_or_init(Machine::new), header, cmdline, file))
}

fn boot(machine: &Machine, header: Header, cmdline: &[u8], file: &[u8]) -> Reached {
    let len = file.len() as u64 + u64::from(header.zeros % (1 << 16));
    machine.kernel.fill(file, len).expect("room for a kernel");
    let kernel = match KernelImage::open(&machine.kernel.path()) {
        Ok(kernel) => kernel,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.hint().is_empty());
            return Reached::default();
        }
    };
    let initrd = (header.flags & 1 == 1).then(|| {
        let len = u64::from(header.initrd) * 4096 + 4095;
        machine.initrd.fill(b"070701", len).expect("room for an initrd");
        SourceFile::open(&machine.initrd.path(), "initrd").expect("a file just made")
    });
    let (map, ram) = &machine.rams[usize::from(header.memory) % machine.rams.len()];
    let direct = Payload { kernel, initrd, modules: Vec::new(), cmdline: cmdline.to_vec() };
    for size in PLANNED {
        if let Err(error) = direct.check(&MemoryMap::new(size)) {
            assert!(!error.to_string().is_empty() && !error.hint().is_empty());
        }
    }
    let loaded = load(machine, &direct, map, ram);
    Reached { opened: true, loaded, published: publish(&direct, map) }
}

/// Whether it could be loaded.
fn load(machine: &Machine, direct: &Payload, map: &MemoryMap, ram: &Ram) -> bool {
    let planned = direct.check(map);
    match direct.load(ram.engine(), map, &machine.acpi, &machine.smbios) {
        Ok(_) => {
            planned.expect("what is loaded fits");
            let read = |at: u64, len: usize| {
                let mut bytes = vec![0; len];
                ram.memory().read_slice(&mut bytes, GuestAddress(at)).expect("it is in memory");
                bytes
            };
            if let KernelKind::BzImage(_) = direct.kernel.kind {
                let cmdline = [direct.cmdline.as_slice(), &[0]].concat();
                assert!(read(layout::CMDLINE, cmdline.len()) == cmdline, "the command line");
            }
            let file = |start: u64, len: u64| {
                let mut bytes = vec![0; len as usize];
                let source = direct.kernel.source.file();
                source.read_exact_at(&mut bytes, start).expect("a file just opened");
                bytes
            };
            match &direct.kernel.kind {
                KernelKind::BzImage(image) => {
                    let payload = file(image.payload_offset(), image.payload_len());
                    assert!(read(image.load_address(), payload.len()) == payload, "the kernel");
                }
                KernelKind::Elf(Elf { segments, .. })
                | KernelKind::Multiboot(Multiboot { segments, .. }) => {
                    if let [segment] = segments.as_slice() {
                        let mut expected = file(segment.offset, segment.file_size);
                        expected.resize(segment.mem_size as usize, 0);
                        assert!(read(segment.addr, expected.len()) == expected, "the segment");
                    }
                }
            }
            true
        }
        // What was planned is loaded, whatever the headers say.
        Err(error) => {
            assert!(!error.hint().is_empty());
            assert!(planned.is_err(), "{error}: {error:?}");
            assert!(!matches!(error, LoadError::Place { .. } | LoadError::Tables(_)), "{error:?}");
            false
        }
    }
}

/// Whether it could be published.
fn publish(direct: &Payload, map: &MemoryMap) -> bool {
    let mut items = Items::new();
    for reserved in [0, 0x28000] {
        if map.below_4g() < reserved {
            continue;
        }
        let mut fresh = Items::new();
        let firmware =
            Firmware { reserved_for_acpi: reserved, kind: FirmwareKind::Bios, preloaded: false };
        // Other firmware may refuse it, with a message.
        for firmware in [
            Firmware { kind: FirmwareKind::Builtin, ..firmware },
            Firmware { preloaded: true, ..firmware },
        ] {
            let other = kernel_items::publish(&mut Items::new(), direct, map, firmware);
            other.inspect_err(|error| assert!(!error.hint().is_empty())).unwrap_or_default();
        }
        match kernel_items::publish(&mut fresh, direct, map, firmware) {
            Ok(()) => items = fresh,
            Err(error) => {
                assert!(!error.to_string().is_empty() && !error.hint().is_empty());
                return false;
            }
        }
    }
    let number = |key: u16| {
        let bytes = items.get(key).map(|data| data.read_to_vec().expect("bytes"));
        bytes.map(|bytes| u32::from_le_bytes(bytes.try_into().expect("4 bytes")))
    };
    for (addr, size, data) in [
        (key::KERNEL_ADDR, key::KERNEL_SIZE, key::KERNEL_DATA),
        (key::SETUP_ADDR, key::SETUP_SIZE, key::SETUP_DATA),
        (key::CMDLINE_ADDR, key::CMDLINE_SIZE, key::CMDLINE_DATA),
        (key::INITRD_ADDR, key::INITRD_SIZE, key::INITRD_DATA),
    ] {
        let Some(size) = number(size) else { continue };
        let data = items.get(data).expect("a size is that of something");
        assert_eq!(data.len(), u64::from(size));
        assert_eq!(data.read_to_vec().expect("a file of that size").len(), size as usize);
        // The header of a PVH kernel is only looked at.
        let Some(addr) = number(addr) else { continue };
        let end = u64::from(addr) + u64::from(size);
        assert!(end <= map.below_4g(), "it ends at {end:#x} of {:#x}", map.below_4g());
    }
    items.get(key::KERNEL_DATA).is_some()
}
