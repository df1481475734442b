//! What chukka publishes for a kernel is what QEMU publishes for it.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use chukka_tests::assets;
use firmware::payload::Payload;
use firmware::{
    Firmware, FirmwareKind, KernelImage, MemoryMap, SourceFile, kernel_items, option_rom,
};
use fw_cfg::{Items, key};

use crate::qemu::{Folder, PATIENCE, Qemu};

/// Where the ROM keeps what it was told: address and size of set-up code, command line, kernel and
/// initrd, u32 each.
const VARIABLES: u64 = 0x7b10;
const KEYS: [u16; 8] = [
    key::SETUP_ADDR,
    key::SETUP_SIZE,
    key::CMDLINE_ADDR,
    key::CMDLINE_SIZE,
    key::KERNEL_ADDR,
    key::KERNEL_SIZE,
    key::INITRD_ADDR,
    key::INITRD_SIZE,
];
/// What QEMU keeps clear of the initrd on its machine "pc" (`acpi_data_size`).
const ACPI_ON_PC: u64 = 0x2_8000;
const CMDLINE: &str = "console=ttyS0 quiet vga=0x317";

#[test]
fn set_up_header_and_numbers_are_those_of_qemu() {
    for kernel in [assets::cloud(), assets::generic()] {
        let Some(kernel) = assets::or_skip(kernel) else { return };
        for mib in [256, 4096] {
            compare(&kernel.vmlinuz, mib);
        }
    }
}

fn compare(kernel: &Path, mib: u64) {
    let folder = Folder::new(&format!("published-{mib}"), &halting_rom());
    let initrd = folder.initrd(1 << 20);

    let mut items = Items::new();
    let image = KernelImage::open(kernel).unwrap();
    let source = SourceFile::open(&initrd, "initrd").unwrap();
    let map = MemoryMap::new(mib << 20);
    let payload = Payload {
        kernel: image,
        initrd: Some(source),
        modules: Vec::new(),
        cmdline: CMDLINE.into(),
    };
    let firmware =
        Firmware { reserved_for_acpi: ACPI_ON_PC, kind: FirmwareKind::Bios, preloaded: false };
    kernel_items::publish(&mut items, &payload, &map, firmware).unwrap();
    let ours = |key| items.get(key).unwrap().read_to_vec().unwrap();

    let socket = folder.0.join("monitor");
    let (memory, monitor) =
        (mib.to_string(), format!("unix:{},server=on,wait=off", socket.display()));
    let args = ["-m", &memory, "-append", CMDLINE, "-monitor", &monitor];
    let files = [("-kernel", kernel), ("-initrd", &*initrd)];
    let Some(_qemu) = Qemu::start(&folder, &args, &files) else { return };
    let end = Instant::now() + PATIENCE;
    let theirs = loop {
        assert!(Instant::now() < end, "the ROM is not done within {PATIENCE:?}");
        let variables = guest_memory(&folder, VARIABLES, KEYS.len() * 4);
        // The last one it asks for.
        if variables.get(28..).is_some_and(|size| size == ours(key::INITRD_SIZE)) {
            break variables;
        }
        thread::sleep(Duration::from_millis(100));
    };

    let what = format!("{}, {mib} MiB", kernel.display());
    for (key, theirs) in KEYS.into_iter().zip(theirs.chunks(4)) {
        assert_eq!(ours(key), theirs, "{what}: {}", key::name(key).unwrap());
    }
    for (data, addr) in [(key::SETUP_DATA, key::SETUP_ADDR), (key::CMDLINE_DATA, key::CMDLINE_ADDR)]
    {
        let ours_data = ours(data);
        let at = u32::from_le_bytes(ours(addr).try_into().unwrap());
        let theirs = guest_memory(&folder, at.into(), ours_data.len());
        let differ = |at: &usize| theirs.get(*at) != ours_data.get(*at);
        let differences: Vec<_> = (0..ours_data.len()).filter(differ).collect();
        assert!(differences.is_empty(), "{what}: {}: {differences:x?}", key::name(data).unwrap());
    }
}

/// Our ROM, which halts once it knows how big the initrd is, instead of asking whether there is
/// one.
fn halting_rom() -> Vec<u8> {
    const IS_THERE_AN_INITRD: [u8; 6] = [0x66, 0x83, 0x3e, 0x2c, 0x7b, 0x00]; // cmpl $0, initrd + SIZE
    const HALT: [u8; 3] = [0xf4, 0xeb, 0xfd]; // 1: hlt; jmp 1b
    let mut rom = option_rom::LINUX.image.to_vec();
    let at = rom.windows(6).position(|window| window == IS_THERE_AN_INITRD).unwrap();
    rom[at..at + 3].copy_from_slice(&HALT);
    rom[6] = 0;
    rom[6] = rom.iter().fold(0, |sum: u8, byte| sum.wrapping_sub(*byte));
    rom
}

/// Bytes of guest memory, by QEMU's monitor; empty as long as it does not answer.
fn guest_memory(folder: &Folder, at: u64, size: usize) -> Vec<u8> {
    let dump = folder.0.join(format!("memory-{at:x}"));
    drop(fs::remove_file(&dump));
    let Ok(mut monitor) = UnixStream::connect(folder.0.join("monitor")) else { return Vec::new() };
    let command = format!("pmemsave {at:#x} {size} \"{}\"\n", dump.display());
    monitor.write_all(command.as_bytes()).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        match fs::read(&dump) {
            Ok(bytes) if bytes.len() == size => return bytes,
            _ => thread::sleep(Duration::from_millis(10)),
        }
    }
    Vec::new()
}
