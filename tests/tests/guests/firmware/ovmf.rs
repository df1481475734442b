//! OVMF, EDK2's firmware for virtual machines: as one image, and in flash chips that keep its
//! variables.
//!
//! In the lab these guests run on a clock that counts instructions. QEMU 7.2's emulated processor
//! aborts if a nested guest writes CR8 while an interrupt waits for it (`helper_write_crN`,
//! target/i386/tcg/sysemu/misc_helper.c, without QEMU's lock), and OVMF's interrupt handlers write
//! CR8 at their end. On that clock, two of OVMF's timer interrupts are far apart.

use std::sync::OnceLock;

use chukka_tests::assets;
use chukka_tests::guest::Initrd;
use chukka_tests::job::Job;
use chukka_tests::modules::Modules;
use chukka_tests::runner::{Guest, Run, Runner};

/// OVMF itself needs more than other firmware.
const MEMORY: &str = "256M";

/// Stores a variable in the first boot, and prints it in the second.
const VARIABLE: &str = r"
insmod /efivarfs.ko
mount -t efivarfs none /sys/firmware/efi/efivars
variable=/sys/firmware/efi/efivars/ChukkaTest-12345678-1234-1234-1234-123456789abc
if [ -e $variable ]; then
	echo found: $(tail -c +5 $variable)
else
	printf '\007\000\000\000kept in flash' >$variable && echo stored
fi
";

/// The runs of all tests here, which share one machine.
struct Runs {
    /// `-bios OVMF.fd`.
    one_image: Run,
    /// Code and variables in flash chips, twice.
    flash: Run,
    /// `-bios OVMF.fd` and a disk.
    disk: Run,
}

fn runs() -> Option<&'static Runs> {
    static RUNS: OnceLock<Option<Runs>> = OnceLock::new();
    let run = || {
        let runner = Runner::get()?;
        let jobs = [one_image()?, flash()?, disk()?];
        let [one_image, flash, disk] = runner.run_counted(&jobs).try_into().ok()?;
        Some(Runs { one_image, flash, disk })
    };
    RUNS.get_or_init(run).as_ref()
}

fn one_image() -> Option<Job> {
    let image = assets::or_skip(assets::firmware("OVMF.fd"))?;
    let guest = Guest::new().memory(MEMORY).timeout_secs(20).args(["-machine", "pc", "-bios"]);
    let guest = guest.does("info").shell("[ -d /sys/firmware/efi ] && echo the kernel knows EFI");
    guest.arg(&image.to_string_lossy()).job().ok()
}

fn flash() -> Option<Job> {
    let code = assets::or_skip(assets::firmware("OVMF_CODE_4M.fd"))?;
    let template = assets::or_skip(assets::firmware("OVMF_VARS_4M.fd"))?;
    let kernel = assets::or_skip(assets::cloud())?;
    let modules = Modules::find(&kernel.modules).and_then(|all| all.closure(&["efivarfs"]));
    let mut initrd = Initrd::new().expect("busybox is there").script(VARIABLE);
    for module in modules.expect("Debian has it") {
        initrd = initrd.file(&format!("{}.ko", module.name), &module.content);
    }
    let guest = Guest::new().initrd(&initrd.write().expect("there is room"));
    let guest = guest.memory(MEMORY).timeout_secs(40).args(["-machine", "pc", "-drive"]);
    let guest = guest
        .arg(&format!("if=pflash,format=raw,readonly=on,file={}", code.display()))
        .args(["-drive", "if=pflash,format=raw,file=/tmp/chukka-vars.fd"]);
    let mut job = guest.job().expect("set-up is done").need(&template).need(&code);
    let twice = "rm -f /tmp/chukka-vars.fd; cp \"$0\" /tmp/chukka-vars.fd; \"$@\" && \"$@\"; \
                 status=$?; rm /tmp/chukka-vars.fd; exit $status";
    let template = template.to_string_lossy();
    job.command.splice(0..0, ["/bin/sh", "-c", twice, &template].map(String::from));
    Some(job)
}

fn disk() -> Option<Job> {
    let image = assets::or_skip(assets::firmware("OVMF.fd"))?;
    let disk = super::esp::disk();
    let drive = format!("file={},format=raw,if=virtio,readonly=on", disk.display());
    let exit = "isa-debug-exit,iobase=0xf4,iosize=4";
    let words = ["-M", "pc", "-m", MEMORY, "-nographic", "-no-reboot", "-bios"];
    let guest = Guest::argv(words).timeout_secs(20).arg(&image.to_string_lossy());
    let job = guest.args(["-drive", &drive, "-device", exit]).job();
    Some(job.expect("set-up is done").need(&disk))
}

#[test]
fn ovmf_boots_the_efi_program_on_a_disk() {
    let Some(Runs { disk: run, .. }) = runs() else { return };
    run.assert_exit(33);
}

#[test]
fn ovmf_fd_boots_on_pc() {
    let Some(Runs { one_image: run, .. }) = runs() else { return };
    super::table::assert_booted(run, 150..=256);
    run.assert_stdout("the kernel knows EFI");
}

#[test]
fn ovmf_in_flash_chips_boots_on_pc_and_keeps_its_variables() {
    let Some(Runs { flash: run, .. }) = runs() else { return };
    run.assert_exit(0).assert(run.boots() == 2, "two boots");
    run.assert_stdout("stored").assert_stdout("found: kept in flash");
}
