//! Kernels that are not Linux, as Debian's packages have them: Xen with Linux as its first guest,
//! Memtest86+, iPXE, MEMDISK.

use std::fs;
use std::path::PathBuf;

use chukka_tests::job::Act;
use chukka_tests::runner::{Guest, Runner};
use chukka_tests::{assets, guest};

const SEABIOS: &str = "bios-256k.bin";
/// What Memtest86+ prints once it has set up its screen, which is the serial console.
const MEMTEST: &str = "Memtest86+ v";

/// Xen starts Linux and powers the machine off when Linux does. Its file is gzip'd, its modules are
/// the kernel and the initrd of the first guest. QEMU's emulation, in the lab, gets SMAP wrong:
/// "iret" at privilege level 3 reads the stack with the kernel's rights, so that Linux crashes in
/// Xen under any VMM.
fn xen(more: &[&str], loader: &str) {
    let Some(runner) = Runner::get() else { return };
    let Some(xen) = assets::or_skip(assets::other_kernel("xen.gz")) else { return };
    let Some(linux) = assets::or_skip(assets::generic()) else { return };
    let Some(initrd) = assets::or_skip(guest::initrd()) else { return };
    let (path, initrd) = (linux.vmlinuz.display(), initrd.display());
    let modules = format!("{path} console=hvc0 panic=-1 quiet,{initrd}");
    let words = ["-M", "pc", "-m", "640M", "-no-reboot", "-kernel"];
    let run = Guest::argv(words).args([xen.display().to_string().as_str(), "-initrd", &modules]);
    let run = run.args(["-append", "com1=115200,8n1 console=com1 dom0_mem=320M smap=0 smep=0"]);
    let run = run.args(more.to_vec()).with(|job| job.need(&linux.vmlinuz));
    // Half a minute on an idle host; several minutes on a busy one.
    let run = run.timeout_secs(600).run(runner);
    run.assert_userspace().assert_exit(0).assert_stderr("chukka: the guest powered off (after ");
    run.assert_stdout(&format!("(XEN) Bootloader: {loader}"));
}

#[test]
fn xen_starts_linux_and_powers_off() {
    xen(&[], "chukka");
}

#[test]
fn xen_starts_linux_and_powers_off_by_seabios() {
    let Some(path) = assets::or_skip(assets::firmware(SEABIOS)) else { return };
    xen(&["-bios", &path.display().to_string()], "qemu");
}

fn memtest(file: &str, more: &[&str]) {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::other_kernel(file)) else { return };
    let words = ["-M", "pc", "-m", "64M", "-append", "console=ttyS0,115200", "-kernel"];
    let guest = Guest::argv(words).arg(&kernel.display().to_string()).args(more.to_vec());
    // It would test the memory for ever.
    let run = guest.when(MEMTEST, Act::Signal(15)).timeout_secs(200).run(runner);
    run.assert_stdout(MEMTEST);
}

#[test]
fn memtest86_for_64_bits_boots_directly() {
    memtest("memtest86+x64.bin", &[]);
}

#[test]
fn memtest86_for_32_bits_boots_by_seabios() {
    let Some(path) = assets::or_skip(assets::firmware(SEABIOS)) else { return };
    memtest("memtest86+ia32.bin", &["-bios", &path.display().to_string()]);
}

/// A real-mode program by SeaBIOS, with `-initrd` and `-append`, whose output by BIOS calls goes to
/// COM1 too.
fn real_mode(file: &str, words: &[&str]) -> Option<Guest> {
    let kernel = assets::or_skip(assets::other_kernel(file))?.display().to_string();
    let bios = assets::or_skip(assets::firmware(SEABIOS))?.display().to_string();
    // SeaBIOS (src/sercon.c): the port as a number.
    let port = work_file("sercon-port", &0x3f8u16.to_le_bytes());
    let console = format!("name=etc/sercon-port,file={}", port.display());
    let guest = Guest::argv(["-M", "pc", "-m", "64M", "-no-reboot", "-bios", &bios]);
    let guest = guest.args(["-kernel", &kernel, "-fw_cfg", &console]).args(words.to_vec());
    Some(guest.timeout_secs(200))
}

fn work_file(name: &str, content: &[u8]) -> PathBuf {
    let path = assets::work_folder().expect("set-up is done").join(name);
    fs::write(&path, content).expect("there is room for it");
    path
}

/// iPXE unpacks itself, finds its devices and prints its name.
#[test]
fn ipxe_starts_by_seabios() {
    const BANNER: &str = "Open Source Network Boot Firmware";
    let Some(runner) = Runner::get() else { return };
    let Some(guest) = real_mode("ipxe.lkrn", &["-append", "echo hello"]) else { return };
    // It would go on for half a minute.
    let run = guest.when(BANNER, Act::Signal(15)).run(runner);
    run.assert_stdout("iPXE initialising devices...ok").assert_stdout(BANNER);
}

/// MEMDISK makes the initrd a floppy disk, and runs its boot sector.
#[test]
fn memdisk_boots_a_floppy_by_seabios() {
    let Some(runner) = Runner::get() else { return };
    // mov $0x3f8, %dx; mov $'Z', %al; out; mov $0xfe, %al; out %al, $0x64; hlt, for ever
    let code = [0xba, 0xf8, 3, 0xb0, b'Z', 0xee, 0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd];
    let mut floppy = vec![0; 1440 << 10];
    floppy[..code.len()].copy_from_slice(&code);
    floppy[510..512].copy_from_slice(&[0x55, 0xaa]);
    let floppy = work_file("boot-sector.img", &floppy).display().to_string();
    let Some(guest) = real_mode("memdisk", &["-initrd", &floppy]) else { return };
    let run = guest.run(runner);
    run.assert_exit(0).assert_stdout("Disk is fd0, 1440 K, C/H/S = 80/2/18");
    run.assert(run.stdout.trim_end().ends_with('Z'), "the boot sector runs");
}
