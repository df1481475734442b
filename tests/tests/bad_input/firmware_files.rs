//! Images, option ROMs, items and kernels that firmware boot cannot use.

use std::fs::File;
use std::path::{Path, PathBuf};

use chukka_tests::assets;
use chukka_tests::native::image::{self, BzImage};
use chukka_tests::native::{self, Scratch, Start, guest, start};

/// Where SeaBIOS and QEMU's images are on Debian.
const PACKAGED: [&str; 2] = ["/usr/share/seabios", "/usr/share/qemu"];

/// A kernel and a BIOS image that pass every check; nothing in them could run.
fn with_bios(scratch: &Scratch) -> Start {
    let mut bios = [0x90; 128 << 10];
    bios[(128 << 10) - 16] = 0xea; // As SeaBIOS, it begins with a far jump.
    let bios = scratch.file("bios", &bios);
    Start::kernel(&scratch.file("kernel", &BzImage::default().file()))
        .args(["-bios".as_ref(), &*bios])
}

/// A file that is `size` bytes of nothing, and takes no room.
fn sparse(scratch: &Scratch, name: &str, size: u64) -> PathBuf {
    let path = scratch.file(name, b"");
    let sized = File::options().write(true).open(&path).and_then(|file| file.set_len(size));
    assert!(sized.is_ok(), "{}: {sized:?}", path.display());
    path
}

fn bios(path: &Path) -> Start {
    start(["-bios".as_ref(), path])
}

#[test]
fn a_missing_image_is_reported_with_searched_directories_and_package() {
    let mut refusal = start(["-bios", "no-such.bin", "-L", "/nonexistent"])
        .refused()
        .says("Cannot find the bios 'no-such.bin' in /nonexistent, ");
    for folder in PACKAGED {
        refusal = refusal.says(folder);
    }
    refusal.hints("apt install seabios").hints("apt install qemu-system-data").hints("-L");
}

#[test]
fn a_path_to_no_image_is_named() {
    let scratch = Scratch::new();
    let path = scratch.path("no-such-file");
    bios(&path).refused().says(&format!("Cannot open the bios '{}': No such file", path.display()));
}

#[test]
fn a_directory_is_no_image() {
    let scratch = Scratch::new();
    bios(scratch.as_ref()).refused().says("is a directory, expected a regular file");
}

#[test]
fn an_image_of_a_wrong_size_is_told_its_size() {
    let scratch = Scratch::new();
    bios(&scratch.file("empty", b"")).refused().says("is empty (0 bytes)");
    for size in [1000, (64 << 10) - 1, (128 << 10) + 16, (16 << 20) + (64 << 10)] {
        bios(&sparse(&scratch, "odd", size))
            .refused()
            .says(&format!("has {size} bytes, expected a multiple of 4096 (4 KiB), 16777216"))
            .hints("not a complete BIOS image");
    }
}

#[test]
fn an_image_without_a_reset_vector_is_told() {
    let scratch = Scratch::new();
    for byte in [0x00, 0xff] {
        bios(&scratch.file("image", &[byte; 64 << 10]))
            .refused()
            .says(&format!("has no reset vector: each of its last 16 bytes is {byte:#04x}"))
            .hints("not a complete firmware image");
    }
}

#[test]
fn what_is_no_option_rom_is_told() {
    let scratch = Scratch::new();
    let refused = |path: &Path| with_bios(&scratch).args(["-option-rom".as_ref(), path]).refused();
    refused("no-such.rom".as_ref())
        .says("Cannot find the option-rom 'no-such.rom' in ")
        .hints("-L");
    refused(scratch.as_ref()).says("is a directory, expected a regular file");
    refused(&scratch.file("empty", b"")).says("is empty (0 bytes)");
    refused(&scratch.file("text", b"text")).says("starts with 74 65, expected 55 aa");
    let cut = [&[0x55, 0xaa, 3][..], &[0; 1021]].concat();
    refused(&scratch.file("cut", &cut)).says("has 1024 bytes; its header says 1536");
    let big = sparse(&scratch, "big", (128 << 10) + 1);
    refused(&big).says("has 131073 bytes, expected 512 to 131072");
}

#[test]
fn a_vmlinux_is_refused_with_firmware() {
    let scratch = Scratch::new();
    let vmlinux = scratch.file("vmlinux", &guest::kernel("P"));
    // The last -kernel counts.
    with_bios(&scratch)
        .args(["-kernel".as_ref(), vmlinux.as_path()])
        .refused()
        .says(&format!("The kernel '{}' is a vmlinux, expected a bzImage", vmlinux.display()))
        .hints("boot it directly, without -bios");
}

#[test]
fn a_multiboot_kernel_that_overlaps_the_firmware_is_refused() {
    let scratch = Scratch::new();
    let with = |load, memory| {
        let file = image::multiboot(1 << 16, load, memory);
        let kernel = scratch.file(&format!("at-{load:x}-{memory:x}"), &file);
        with_bios(&scratch).args(["-m", "16M", "-kernel"]).args([&kernel])
    };
    for (load, memory, found) in [
        (0x7c00, 0x400, "is loaded at 0x7c00-0x8fff, which the firmware uses"),
        (0x1_0000, 0x8_0000, "is loaded at 0x10000-0x90fff, which the firmware uses"),
    ] {
        with(load, memory)
            .refused()
            .says(found)
            .says("expected 0x8000-0x8ffff, or from 1 MiB on")
            .hints("link it at 1 MiB or above, or boot it directly");
    }
    with(1 << 20, 15 << 20).refused().says("need 17 MiB of guest memory").hints("-m 17M or more");
    let modules = sparse(&scratch, "module", 8 << 20).display().to_string();
    let modules = format!("{modules},{modules}");
    with(1 << 20, 4096)
        .args(["-initrd", &modules])
        .refused()
        .says("need 18 MiB of guest memory")
        .hints("-m 18M or more");
}

#[test]
fn a_multiboot_kernel_is_refused_with_firmware_that_runs_no_option_roms() {
    let scratch = Scratch::new();
    let kernel = scratch.file("kernel", &image::multiboot(1 << 16, 1 << 20, 4096));
    let bios = scratch.file("bios", &[0x90; 128 << 10]);
    Start::kernel(&kernel)
        .args(["-bios".as_ref(), bios.as_path()])
        .refused()
        .says("is a multiboot kernel, expected a bzImage or a PVH kernel: this firmware runs no")
        .hints("through SeaBIOS: -bios seabios");
}

#[test]
fn the_built_in_firmware_refuses_what_it_cannot_enter() {
    let scratch = Scratch::new();
    let kernel = scratch.file("kernel", &image::multiboot(1 << 16, 0x1_0000, 4096));
    Start::kernel(&kernel)
        .args(["-bios", "builtin"])
        .refused()
        .says("is loaded at 0x10000-0x11fff, which the firmware uses; expected 1 MiB or above");
    let kernel = scratch.file("vmlinux", &guest::kernel("P"));
    Start::kernel(&kernel)
        .args(["-bios", "builtin"])
        .refused()
        .says("is a vmlinux, expected a bzImage, a PVH or a Multiboot 1 kernel")
        .hints("boot it directly, without -bios");
}

#[test]
fn an_initrd_that_does_not_fit_below_the_firmware_s_memory_reports_the_memory_needed() {
    let scratch = Scratch::new();
    let initrd = sparse(&scratch, "initrd", 50 << 20);
    with_bios(&scratch)
        .args(["-m", "64M", "-initrd"])
        .args([&initrd])
        .refused()
        .says(&format!(
            "The initrd '{}' (50 MiB) does not fit: between the kernel's end",
            initrd.display()
        ))
        .says("(256 KiB are reserved for the firmware)")
        .hints("-m 75M or more");
}

#[test]
fn a_kernel_that_leaves_firmware_no_room_reports_the_memory_needed() {
    let scratch = Scratch::new();
    with_bios(&scratch).args(["-m", "24M"]).refused().says("needs 25 MiB").hints("-m 25M or more");
}

#[test]
fn an_invalid_video_mode_is_refused() {
    let scratch = Scratch::new();
    with_bios(&scratch)
        .args(["-append", "vga=odd"])
        .refused()
        .says("has vga=odd, expected normal, ext, ask or a number up to 65535")
        .hints("leave vga= out");
}

#[test]
fn a_file_for_an_item_is_checked_before_the_guest_starts() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let missing = scratch.path("no-such-file");
    let folder: &Path = scratch.as_ref();
    let pipe = scratch.fifo("pipe");
    for (path, what) in [
        (missing.as_path(), "': No such file"),
        (folder, "' is a directory, expected a regular file"),
        (&pipe, "' is a pipe, expected a regular file"),
    ] {
        // With firmware and without.
        let direct = Start::kernel(&scratch.file("kernel", &BzImage::default().file()));
        for start in [with_bios(&scratch), direct] {
            let item = format!("opt/org.example/x,file={}", path.display());
            start.args(["-fw_cfg", &item]).refused().says(&format!("{}{what}", path.display()));
        }
    }
}

#[test]
fn an_item_with_a_name_of_chukka_s_own_is_refused_after_a_warning() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    for name in ["etc/e820", "bootorder", "genroms/chukka-linux.bin", "etc/acpi/tables"] {
        let ended = with_bios(&scratch).args(["-fw_cfg", &format!("{name},string=x")]).run();
        assert_eq!(ended.code(), Some(125), "{ended:?}");
        let lines: Vec<&str> = ended.stderr.lines().collect();
        let [warning, message, hint] = lines[..] else { panic!("three lines: {ended:?}") };
        assert!(
            warning.contains(&format!("warning: -fw_cfg {name}: a name that does not")),
            "{warning}"
        );
        assert_eq!(message, format!("chukka: There are two fw_cfg files named '{name}'"));
        assert!(hint.contains("chukka publishes this name itself"), "{hint}");
    }
}

#[test]
fn an_unwritable_log_is_reported() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    with_bios(&scratch)
        .args(["-debugcon", "file:/nonexistent/log"])
        .refused()
        .says("Cannot create '/nonexistent/log' for the output of the debug console: No such file")
        .hints("directory exists");
}

#[test]
fn ovmf_on_microvm_and_code_without_variables_are_worth_a_warning() {
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let too_small =
        "looks like OVMF, which may be unable to start a kernel in 255 MiB: use -m 256M";
    for (image, machine, memory, expected) in [
        ("OVMF.fd", "microvm", "256M", "looks like OVMF, which needs -machine pc"),
        (
            "OVMF_CODE_4M.fd",
            "pc",
            "256M",
            "has no variable store, so changes to variables are lost",
        ),
        ("OVMF.fd", "pc", "255M", too_small),
    ] {
        let Some(path) = assets::or_skip(assets::firmware(image)) else { return };
        let start = Start::kernel(&kernel.vmlinuz).args(["-dry-run", "-machine", machine]);
        let ended = start.args(["-m", memory, "-bios"]).args([&path]).run();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert!(ended.text().contains(expected), "{ended:?}");
        assert_eq!(ended.text().contains(too_small), memory == "255M", "{ended:?}");
    }
}
