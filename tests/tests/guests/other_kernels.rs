//! Kernels that are not Linux, as Debian's packages have them: Xen with Linux as its first guest, and Memtest86+.

use chukka_tests::job::Act;
use chukka_tests::runner::{Guest, Runner};
use chukka_tests::{assets, guest};

const SEABIOS: &str = "bios-256k.bin";
/// What Memtest86+ prints once it has set up its screen, which is the serial console.
const MEMTEST: &str = "Memtest86+ v";

/// Xen starts Linux and powers the machine off when Linux does. Its file is gzip'd, its modules are the kernel and the
/// initrd of the first guest. QEMU's emulation, in the lab, gets SMAP wrong: "iret" at privilege level 3 reads the stack
/// with the kernel's rights, so that Linux crashes in Xen under any VMM.
#[test]
fn xen_starts_linux_and_powers_off() {
    let Some(runner) = Runner::get() else { return };
    let Some(xen) = assets::or_skip(assets::other_kernel("xen.gz")) else { return };
    let Some(linux) = assets::or_skip(assets::generic()) else { return };
    let Some(initrd) = assets::or_skip(guest::initrd()) else { return };
    let (path, initrd) = (linux.vmlinuz.display(), initrd.display());
    let modules = format!("{path} console=hvc0 panic=-1 quiet,{initrd}");
    let words = ["-M", "pc", "-m", "640M", "-no-reboot", "-kernel"];
    let run = Guest::argv(words).args([xen.display().to_string().as_str(), "-initrd", &modules]);
    let run = run.args(["-append", "com1=115200,8n1 console=com1 dom0_mem=320M smap=0 smep=0"]);
    let run = run.with(|job| job.need(&linux.vmlinuz)).timeout_secs(400).run(runner);
    run.assert_userspace().assert_exit(0).assert_stderr("chukka: the guest powered off (after ");
    run.assert_stdout("(XEN) Bootloader: chukka");
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
