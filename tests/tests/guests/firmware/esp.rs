//! A disk with an EFI system partition, and the smallest EFI program on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chukka_tests::assets;

/// Where the partition begins, in bytes.
const START: u64 = 1 << 20;

/// `mov dx, 0xf4; mov al, 0x10; out dx, al; hlt; jmp` to the halt: ends chukka with status 33.
const CODE: [u8; 10] = [0x66, 0xba, 0xf4, 0x00, 0xb0, 0x10, 0xee, 0xf4, 0xeb, 0xfd];

/// The program: a PE32+ file with one section (Microsoft's PE specification, sections 2 to 4).
fn program() -> Vec<u8> {
    const PE: usize = 0x40;
    const OPTIONAL: usize = PE + 24;
    const OPTIONAL_SIZE: usize = 0xf0;
    const SECTION: usize = OPTIONAL + OPTIONAL_SIZE;
    let mut file = vec![0; 0x400];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &0x40u32.to_le_bytes());
    put(PE, b"PE\0\0");
    // x86-64, one section; an executable image for large addresses.
    put(PE + 4, &[0x64, 0x86, 1, 0]);
    put(PE + 20, &[0xf0, 0, 0x22, 0]);
    // PE32+; size of the code, entry point, its base.
    put(OPTIONAL, &[0x0b, 0x02]);
    for (at, value) in [(4, 0x200u32), (16, 0x1000), (20, 0x1000)] {
        put(OPTIONAL + at, &value.to_le_bytes());
    }
    // Alignment in memory and in the file; size of the image and of the headers; EFI application.
    for (at, value) in [(32, 0x1000u32), (36, 0x200), (56, 0x2000), (60, 0x200), (68, 10)] {
        put(OPTIONAL + at, &value.to_le_bytes());
    }
    // 16 data directories, all empty.
    put(OPTIONAL + 108, &[16]);
    put(SECTION, b".text");
    for (at, value) in [(8, 0x200u32), (12, 0x1000), (16, 0x200), (20, 0x200), (36, 0x6000_0020)] {
        put(SECTION + at, &value.to_le_bytes());
    }
    put(0x200, &CODE);
    file
}

/// The disk as a file: an MBR, and a FAT file system with the program as `EFI/BOOT/BOOTX64.EFI`.
pub fn disk() -> PathBuf {
    let folder = assets::work_folder().expect("there is room");
    let [disk, efi] = ["esp.raw", "esp.efi"].map(|name| folder.join(name));
    fs::write(&efi, program()).expect("there is room");
    let mut start = vec![0; 5 << 20];
    // One partition of type 0xef: first sector, number of sectors.
    start[450] = 0xef;
    start[454..458].copy_from_slice(&2048u32.to_le_bytes());
    start[458..462].copy_from_slice(&8192u32.to_le_bytes());
    start[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&disk, start).expect("there is room");
    let run = |command: &mut Command| {
        let output = command.output().expect("set-up brings it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(Command::new("mkfs.vfat").args(["--offset", "2048"]).arg(&disk).arg("4096"));
    let place = format!("{}@@{START}", disk.display());
    run(Command::new("mmd").args(["-i", &place, "::EFI", "::EFI/BOOT"]));
    let mut copy = Command::new("mcopy");
    run(copy.args(["-i", &place]).arg(Path::new(&efi)).arg("::EFI/BOOT/BOOTX64.EFI"));
    disk
}
