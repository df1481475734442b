//! Booting from the network by iPXE's boot ROM: DHCP, TFTP and HTTP by the user network.

use std::fs;
use std::path::PathBuf;

use chukka_tests::assets;
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
