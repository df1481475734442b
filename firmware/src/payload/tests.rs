//! Checks where data is placed, and what is rejected.

use super::*;
use crate::image::Segment;
use crate::image::tests::{bzimage, elf};
use crate::tables::acpi::{AcpiConfig, PowerManagement};
use crate::tables::smbios::{SmbiosConfig, SystemStrings};
use crate::testing::{TempFile, TestRam};

const MIB: u64 = 1 << 20;

fn acpi() -> AcpiTables {
    let config = AcpiConfig {
        cpus: 1,
        reset_port: 0x604,
        reset_value: 1,
        power: PowerManagement::HardwareReduced {
            sleep_control_port: 0x600,
            sleep_status_port: 0x601,
        },
        pm_timer_port: None,
    };
    AcpiTables::build(&config, &[])
}

fn smbios(memory: u64) -> SmbiosTables {
    let system = SystemStrings::default();
    let config = SmbiosConfig { uuid: None, memory, cpus: 1, oem_strings: Vec::new(), system };
    SmbiosTables::build(&config).unwrap()
}

/// A boot of a kernel and an initrd with the given contents.
struct Case {
    boot: Payload,
    _files: Vec<TempFile>,
}

impl Case {
    fn new(kernel: &[u8], initrd: Option<&[u8]>) -> Self {
        let kernel_file = TempFile::new(kernel);
        let kernel = KernelImage::open(&kernel_file.0).unwrap();
        let mut files = vec![kernel_file];
        let initrd = initrd.map(|bytes| {
            files.push(TempFile::new(bytes));
            SourceFile::open(&files[1].0, "initrd").unwrap()
        });
        Self {
            boot: Payload {
                kernel,
                initrd,
                modules: Vec::new(),
                cmdline: b"console=ttyS0".to_vec(),
            },
            _files: files,
        }
    }

    fn load(&self, memory: u64) -> Result<(TestRam, BootState), LoadError> {
        let map = MemoryMap::new(memory);
        let ram = TestRam::new(&map);
        let state = self.boot.load(&ram.engine, &map, &acpi(), &smbios(map.size()))?;
        Ok((ram, state))
    }
}

#[test]
fn bzimage_goes_to_its_preferred_address_and_starts_at_its_64_bit_entry() {
    let mut kernel = bzimage(8192);
    kernel[2048..2052].copy_from_slice(b"code");
    let (ram, state) = Case::new(&kernel, Some(b"initrd")).load(64 * MIB).unwrap();
    assert_eq!(state, BootState::linux64(0x100_0200, layout::ZERO_PAGE));
    assert_eq!(ram.bytes(0x100_0000, 4), b"code");
    assert_eq!(ram.bytes(64 * MIB - 4096, 6), b"initrd");
    assert_eq!(ram.bytes(layout::CMDLINE, 14), b"console=ttyS0\0");
    assert_eq!(ram.bytes(layout::ZERO_PAGE + 0x202, 4), b"HdrS", "the zero page has its header");
    assert_eq!(ram.bytes(layout::ZERO_PAGE + 0x260, 4), 0x200_0000u32.to_le_bytes(), "init_size");
    assert_eq!(ram.bytes(layout::ACPI_TABLES, 8), b"RSD PTR ");
    assert_eq!(ram.bytes(layout::SMBIOS, 4), b"_SM_");
    assert_eq!(
        ram.bytes(layout::RESET_VECTOR, 9),
        [0xba, 0x04, 0x06, 0xb0, 1, 0xee, 0xf4, 0xeb, 0xfd]
    );
}

#[test]
fn elf_starts_by_pvh_when_it_has_the_note_and_at_its_entry_otherwise() {
    let (_, state) = Case::new(&elf(62), None).load(64 * MIB).unwrap();
    assert_eq!(state, BootState::linux64(0x100_0000, layout::ZERO_PAGE));
    let mut case = Case::new(&elf(62), None);
    let KernelKind::Elf(elf) = &mut case.boot.kernel.kind else { panic!("an ELF file") };
    elf.pvh_entry = Some(0x100_0370);
    assert_eq!(case.load(64 * MIB).unwrap().1, BootState::pvh(0x100_0370, layout::PVH_START_INFO));
}

#[test]
fn elf_bss_is_zero_on_memory_that_was_used_before() {
    let case = Case::new(&elf(62), None);
    let map = MemoryMap::new(64 * MIB);
    let ram = TestRam::new(&map);
    ram.memory().write_slice(&[0xaa; 0x4000], GuestAddress(0x100_0000)).unwrap();
    case.boot.load(&ram.engine, &map, &acpi(), &smbios(map.size())).unwrap();
    assert_eq!(ram.bytes(0x100_1000, 4096), [0; 4096]);
    assert_eq!(ram.bytes(0x100_2000, 0x2000), [0xaa; 0x2000], "nothing after it is written");
}

#[test]
fn only_the_segments_are_loaded_for_firmware_that_expects_them() {
    let map = MemoryMap::new(64 * MIB);
    let ram = TestRam::new(&map);
    let mut kernel = elf(62);
    kernel[4096..4100].copy_from_slice(b"code");
    Case::new(&kernel, Some(b"initrd")).boot.load_segments(&ram.engine).unwrap();
    assert_eq!(ram.bytes(0x100_0000, 4), b"code");
    assert_eq!(ram.bytes(64 * MIB - 4096, 6), [0; 6], "no initrd");
    assert_eq!(ram.bytes(layout::CMDLINE, 1), [0] as [u8; 1], "no command line");
    Case::new(&bzimage(64), None).boot.load_segments(&ram.engine).unwrap();
    assert_eq!(ram.bytes(0x100_0000, 4), b"code", "a bzImage has no segments");
}

#[test]
fn a_bzimage_without_a_64_bit_entry_starts_in_32_bit_mode() {
    let mut kernel = bzimage(64);
    kernel[0x236] = 0;
    let (ram, state) = Case::new(&kernel, None).load(64 * MIB).unwrap();
    assert_eq!(state, BootState::linux32(0x100_0000, layout::ZERO_PAGE));
    assert_eq!(
        ram.bytes(layout::ZERO_PAGE + 0x214, 4),
        0x100_0000u32.to_le_bytes(),
        "code32_start"
    );
}

#[test]
fn the_command_line_is_moved_when_its_nul_would_not_fit_below_a_segment() {
    for (room, expected) in [(14, layout::CMDLINE), (13, layout::LOW_PAGES)] {
        let mut case = Case::new(&elf(62), None);
        let KernelKind::Elf(elf) = &mut case.boot.kernel.kind else { panic!("an ELF file") };
        elf.pvh_entry = Some(0x100_0370);
        let addr = layout::CMDLINE + room;
        elf.segments.push(Segment { offset: 4096, addr, file_size: 16, mem_size: 16 });
        assert_eq!(case.boot.cmdline.len(), 13);
        let placement = case.boot.plan(&MemoryMap::new(64 * MIB)).unwrap().placement;
        assert_eq!(placement.low.cmdline, expected, "room for {room} bytes");
        assert_eq!(placement.kernel, addr..0x100_2000, "from the lowest segment to the highest");
    }
}

#[test]
fn modules_of_a_multiboot_kernel_may_reach_to_the_end_of_memory() {
    let kernel = crate::image::multiboot::tests::flat_v1(3, &[0x90; 64]);
    let case = Case::new(&kernel, Some(&[1; 5000]));
    let plan = case.boot.plan(&MemoryMap::new(64 * MIB)).unwrap().multiboot.unwrap();
    let end = plan.modules[0].range.end;
    assert!(case.boot.check(&MemoryMap::new(end)).is_ok());
    let error = case.boot.check(&MemoryMap::new(end - 1)).unwrap_err();
    assert!(matches!(error, LoadError::ModulesTooBig { needed, .. } if needed == end), "{error}");
    assert_eq!(error.hint(), "give the guest more memory: -m 2M or more");
    for (needed, hint) in [
        (layout::MMIO_HOLE, "give the guest more memory: -m 3072M or more"),
        (layout::MMIO_HOLE + 1, "the kernel and its modules must fit below 3 GiB"),
    ] {
        let error = LoadError::ModulesTooBig { kernel: "xen".into(), needed, memory: MIB };
        assert_eq!(error.hint(), hint);
    }
}

#[test]
fn no_command_line_is_longer_than_its_place_in_memory() {
    let path = std::path::Path::new("xen");
    assert!(check_cmdline(path, &[b'x'; 0xffff], u64::MAX).is_ok(), "and its NUL");
    let error = check_cmdline(path, &[b'x'; 0x1_0000], u64::MAX).unwrap_err();
    assert!(matches!(error, LoadError::CmdlineTooLong { limit: 0xffff, .. }), "{error}");
}

#[test]
fn segments_below_1_mib_are_only_where_ram_is_free() {
    let load = |addr: u64, size: u64, pvh: bool| {
        let mut case = Case::new(&elf(62), None);
        let KernelKind::Elf(elf) = &mut case.boot.kernel.kind else { panic!("an ELF file") };
        elf.pvh_entry = pvh.then_some(0x100_0370);
        elf.segments.push(Segment { offset: 4096, addr, file_size: 16, mem_size: size });
        case.load(64 * MIB).map(drop).map_err(|error| error.to_string())
    };
    let end = layout::EBDA;
    assert_eq!(load(0x1_0000, 0x1000, true), Ok(()));
    assert_eq!(load(layout::GDT, 16, true), Ok(()));
    assert_eq!(load(end - 0x1000, 0x1000, true), Ok(()));
    assert_eq!(load(MIB, 0x1000, false), Ok(()));
    for (addr, size, pvh, words) in [
        (layout::GDT - 1, 16, true, "where the BIOS data area is"),
        (end - 0x1000, 0x1001, true, "where no RAM is free"),
        (end, 16, true, "where no RAM is free"),
        (MIB - 1, 16, true, "where no RAM is free"),
        (0x1_0000, 0x1000, false, "where Linux finds its boot information"),
    ] {
        let error = load(addr, size, pvh).unwrap_err();
        assert!(error.contains(words), "{addr:#x}: {error}");
    }
}

#[test]
fn an_initrd_is_never_below_1_mib() {
    let map = MemoryMap::new(MIB + (64 << 10));
    let mut case = Case::new(&elf(62), Some(&[1; 100 << 10]));
    let KernelKind::Elf(elf) = &mut case.boot.kernel.kind else { panic!("an ELF file") };
    elf.pvh_entry = Some(0x1_0000);
    elf.segments = vec![Segment { offset: 4096, addr: 0x1_0000, file_size: 16, mem_size: 16 }];
    let error = case.boot.plan(&map).unwrap_err();
    assert!(matches!(error, LoadError::InitrdTooBig { .. }), "{error}");
}

#[test]
fn initrd_goes_above_4_gib_when_the_kernel_allows() {
    let map = MemoryMap::new(6144 * MIB);
    let case = Case::new(&bzimage(64), Some(&[1; 5000]));
    assert_eq!(
        case.boot.plan(&map).unwrap().placement.initrd,
        Some(7168 * MIB - 8192..7168 * MIB - 8192 + 5000)
    );
    let mut old = bzimage(64);
    old[0x236] = 1; // 64-bit, but not XLF_CAN_BE_LOADED_ABOVE_4G: so initrd_addr_max 0x7fffffff applies
    let case = Case::new(&old, Some(&[1; 5000]));
    assert_eq!(case.boot.plan(&map).unwrap().placement.initrd.unwrap().start, 0x8000_0000 - 8192);
}

#[test]
fn initrd_never_overlaps_memory_the_kernel_needs() {
    let case = Case::new(&bzimage(64), Some(&[1; 8192]));
    let kernel_end = 0x300_0000; // pref_address + init_size
    assert_eq!(
        case.boot.plan(&MemoryMap::new(kernel_end + 8192)).unwrap().placement.initrd.unwrap().start,
        kernel_end
    );
    let error = case.boot.plan(&MemoryMap::new(kernel_end + 8191)).unwrap_err();
    assert!(
        error.to_string().contains("(8 KiB) does not fit: between the kernel's end at 0x3000000"),
        "{error}"
    );
    assert!(error.hint().contains("-m 49M"), "{}", error.hint());
}

#[test]
fn kernel_is_refused_when_init_size_is_beyond_memory() {
    let case = Case::new(&bzimage(64), None);
    assert!(case.boot.plan(&MemoryMap::new(48 * MIB)).is_ok());
    let error = case.boot.plan(&MemoryMap::new(47 * MIB)).unwrap_err();
    let path = case.boot.kernel.source.path().display();
    let expected =
        format!("The kernel '{path}' needs 48 MiB of guest memory to start; the guest has 47 MiB");
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().contains("-m 48M"));
}

#[test]
fn command_line_is_refused_when_longer_than_the_kernel_takes() {
    let mut case = Case::new(&bzimage(64), None);
    case.boot.cmdline = vec![b'x'; 2047];
    assert!(case.boot.plan(&MemoryMap::new(64 * MIB)).is_ok());
    case.boot.cmdline.push(b'x');
    let error = case.boot.plan(&MemoryMap::new(64 * MIB)).unwrap_err();
    assert!(
        error.to_string().contains("has 2048 bytes")
            && error.to_string().contains("accepts at most 2047"),
        "{error}"
    );
}

/// The error and hint for a sparse initrd of `size` bytes; empty if it fits.
fn told(kernel: &[u8], size: u64, memory: u64) -> String {
    let case = Case::new(kernel, Some(b"1"));
    let file = std::fs::OpenOptions::new().write(true).open(&case._files[1].0).unwrap();
    file.set_len(size).unwrap();
    let initrd = SourceFile::open(&case._files[1].0, "initrd").unwrap();
    let boot = Payload { initrd: Some(initrd), ..case.boot };
    let checked = boot.check(&MemoryMap::new(memory));
    checked.err().map_or_else(String::new, |error| format!("{error}. {}", error.hint()))
}

#[test]
fn a_large_initrd_goes_above_4_gib_or_the_error_says_how_much_memory_is_needed() {
    // RAM beyond 3 GiB is moved above 4 GiB.
    assert_eq!(told(&bzimage(64), 5120 * MIB, 8192 * MIB), "");
    let text = told(&bzimage(64), 5120 * MIB, 8191 * MIB);
    assert!(
        text.contains("(5120 MiB) does not fit: between the kernel's end at 0x3000000"),
        "{text}"
    );
    assert!(
        text.contains("and 0xc0000000 there are 3024 MiB, and from 4 GiB on 5119 MiB"),
        "{text}"
    );
    assert!(text.ends_with("give the guest more memory: -m 8193M or more"), "{text}");
    let text = told(&bzimage(64), 2560 * MIB, 2048 * MIB);
    assert!(text.ends_with("give the guest more memory: -m 2609M or more"), "{text}");
}

#[test]
fn more_memory_helps_up_to_an_initrd_that_ends_where_the_kernel_allows() {
    let mut low = bzimage(64);
    low[0x236] = 1; // not XLF_CAN_BE_LOADED_ABOVE_4G: so initrd_addr_max 0x7fffffff applies
    let most = 0x8000_0000 - 0x300_0000;
    let text = told(&low, most, 1024 * MIB);
    assert!(text.ends_with("give the guest more memory: -m 2049M or more"), "{text}");
    assert_eq!(told(&low, most, 2049 * MIB), "");
    let text = told(&low, most + 1, 1024 * MIB);
    assert!(text.ends_with("above that address; make the initrd smaller"), "{text}");
}

#[test]
fn a_large_initrd_is_rejected_if_the_kernel_cannot_use_memory_above_4_gib() {
    let text = told(&elf(62), 3072 * MIB, 16384 * MIB);
    assert!(text.contains("and 0xc0000000 there are"), "{text}");
    assert!(!text.contains("from 4 GiB on"), "{text}");
    assert!(text.ends_with("above that address; make the initrd smaller"), "{text}");
}
