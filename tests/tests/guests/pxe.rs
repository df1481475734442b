//! Booting from the network by iPXE's boot ROM: DHCP, TFTP and HTTP by the user network.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chukka_tests::assets;
use chukka_tests::job::{Act, Status};
use chukka_tests::native::Scratch;
use chukka_tests::runner::{Guest, Runner};
use chukka_tests::servers::http;

/// iPXE's ROM, where Debian's package ipxe-qemu has it, and SeaBIOS.
fn firmware() -> Option<[PathBuf; 2]> {
    let rom = assets::or_skip(assets::boot_rom())?;
    Some([rom, assets::or_skip(assets::firmware("bios-256k.bin"))?])
}

/// A program that boot ROMs start at 0:7c00. It prints `nbp.` and the drive's number as a letter on
/// COM1, and ends with status 33 by port 0xf4.
const PROGRAM: [u8; 27] = [
    0x31, 0xc0, 0x8e, 0xd8, // xor ax, ax; mov ds, ax
    0x80, 0xc2, 0x41, 0x88, 0x16, 0x24, 0x7c, // add dl, 'A'; mov [0x7c24], dl
    0xbe, 0x20, 0x7c, 0xb9, 0x05, 0x00, // mov si, 0x7c20; mov cx, 5
    0xba, 0xf8, 0x03, 0xfc, 0xf3, 0x6e, // to COM1: rep outsb
    0xb0, 0x10, 0xe6, 0xf4, // mov al, 0x10; out 0xf4, al
];

#[test]
fn ipxe_fetches_a_script_by_tftp_and_a_program_by_http() {
    let (Some(runner), Some([rom, bios])) = (Runner::get(), firmware()) else { return };
    let scratch = Scratch::new();
    let mut program = PROGRAM.to_vec();
    program.resize(0x20, 0xf4);
    program.extend(b"nbp.?\r\n");
    fs::create_dir_all(scratch.path("www")).unwrap();
    let _ = scratch.file("www/program", &program);
    let server = http::start(&scratch.path("www"));
    let url = server.url.replacen("127.0.0.1", runner.host(), 1);
    fs::create_dir_all(scratch.path("tftp")).unwrap();
    let script = scratch.file("tftp/start", format!("#!ipxe\nchain {url}/program\n").as_bytes());
    // The lab's host has the address that is the guest's own gateway by default.
    let nic = format!(
        "user,net=192.168.76.0/24,tftp={},bootfile=start",
        script.parent().unwrap().display()
    );
    let guest = Guest::argv(["-m", "64", "-nographic", "-no-reboot", "-nic", &nic])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
        .with(|job| job.need(&script).need(&rom).need(&bios))
        .timeout_secs(200);
    let run = runner.run(&guest.job().unwrap());
    // The reference on booting by PXE has DL = 0.
    run.assert_stdout("nbp.A").assert_exit(33);
}

/// Debian's netboot directory, laid out as in its netboot.tar.gz.
fn netboot(scratch: &Scratch) -> Option<PathBuf> {
    let installer = assets::or_skip(assets::installer())?;
    let menus = assets::or_skip(assets::installer_menus())?;
    let root = scratch.path("netboot");
    let amd64 = root.join("debian-installer/amd64");
    fs::create_dir_all(amd64.join("boot-screens")).unwrap();
    fs::create_dir_all(root.join("pxelinux.cfg")).unwrap();
    let put = |from: &Path, to: PathBuf| {
        fs::copy(from, to).unwrap();
    };
    put(&installer.linux, amd64.join("linux"));
    put(&installer.initrd, amd64.join("initrd.gz"));
    let screens = menus.join("boot-screens");
    for entry in fs::read_dir(&screens).unwrap() {
        let name = entry.unwrap().file_name();
        put(&screens.join(&name), amd64.join("boot-screens").join(&name));
    }
    // These are links in netboot.tar.gz.
    put(&menus.join("pxelinux.0"), root.join("pxelinux.0"));
    put(&screens.join("ldlinux.c32"), root.join("ldlinux.c32"));
    put(&screens.join("syslinux.cfg"), root.join("pxelinux.cfg/default"));
    Some(root)
}

#[test]
#[ignore = "takes minutes in the lab: make test-install"]
fn debian_s_netboot_directory_boots_to_the_installer_s_first_screen() {
    let (Some(runner), Some([rom, bios])) = (Runner::get(), firmware()) else { return };
    let scratch = Scratch::new();
    let Some(root) = netboot(&scratch) else { return };
    let server = http::start(&root);
    let host = if runner.is_lab() { runner.host() } else { "10.0.3.2" };
    let url = server.url.replacen("127.0.0.1", host, 1);
    let nic = format!("user,net=10.0.3.0/24,bootfile={url}/pxelinux.0");
    shows_its_first_screen(runner, &nic, &[rom, bios]);
}

/// 35,000 packets, each of which is sent after the answer to the one before.
#[test]
#[ignore = "takes minutes in the lab: make test-install"]
fn debian_s_netboot_directory_boots_by_tftp_to_the_installer_s_first_screen() {
    let (Some(runner), Some([rom, bios])) = (Runner::get(), firmware()) else { return };
    let scratch = Scratch::new();
    let Some(root) = netboot(&scratch) else { return };
    let nic = format!("user,net=10.0.3.0/24,tftp={},bootfile=pxelinux.0", root.display());
    let mut files = vec![rom, bios];
    files_below(&root, &mut files);
    shows_its_first_screen(runner, &nic, &files);
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, files) } else { files.push(path) }
    }
}

/// Boots from the network of this `-nic`, with these files, up to the installer.
fn shows_its_first_screen(runner: &Runner, nic: &str, files: &[PathBuf]) {
    let pause = Duration::from_secs(5);
    // The menu's first entry, with words added to its command line, which Tab edits. The lower right
    // corner of the menu's box is the last of it that is drawn in one piece.
    let guest = Guest::argv(["-m", "1G", "-nographic", "-no-reboot", "-nic", nic])
        .with(|job| {
            let job = files.iter().fold(job.terminal(), |job, file| job.need(file));
            let job = job.when_after("\u{2518}", pause, Act::Send(b"\t".into()));
            // A keyboard's buffer has room for 15 keys.
            [" vga=normal", " console=ttyS0", "\r"]
                .into_iter()
                .fold(job, |job, keys| job.when_after("", pause, Act::Send(keys.into())))
        })
        .when("Select a language", Act::Signal(libc::SIGTERM))
        .timeout_secs(3600);
    let run = runner.run_shown(&guest.job().unwrap());
    run.assert_stdout("Select a language");
    run.assert(run.status == Status::Signal(libc::SIGTERM), "expected it to end by SIGTERM");
}
