//! Kernels that do without a local APIC, ACPI interrupts or kvmclock find the 8259s, the PIT and
//! the PM timer of a PC, and their console works. So do 32-bit kernels.

use chukka_tests::assets;
use chukka_tests::guest::Initrd;
use chukka_tests::runner::{Guest, Runner};

const SEABIOS: &str = "bios-256k.bin";

/// A guest on `pc` that is booted directly, and one that SeaBIOS boots. None where SeaBIOS is not
/// installed: the test has then been skipped loudly.
fn both_ways() -> Option<[Guest; 2]> {
    let path = assets::or_skip(assets::firmware(SEABIOS))?;
    let guest = || Guest::new().args(["-M", "pc"]).timeout_secs(300);
    let seabios = guest().args(["-bios", SEABIOS]).with(|job| job.need(&path));
    Some([guest(), seabios])
}

/// Boots Debian's kernel with these words on its command line.
fn boots_on_pc(words: &str) {
    let Some(runner) = Runner::get() else { return };
    let Some(guests) = both_ways() else { return };
    for guest in guests {
        let run = guest.append(words).does("info").run(runner);
        run.assert_userspace().assert_exit(0);
        run.assert_stderr("chukka: the guest powered off (after ");
        // The interrupt of the serial port is one that works: userspace's output arrives by it.
        run.assert_stdout("ttyS0 at I/O 0x3f8");
    }
}

#[test]
fn a_kernel_without_smp_boots() {
    boots_on_pc("nosmp");
}

#[test]
fn a_kernel_without_the_local_apic_boots() {
    boots_on_pc("nolapic");
}

#[test]
fn a_kernel_without_the_io_apic_boots() {
    boots_on_pc("noapic");
}

#[test]
fn a_kernel_without_acpi_interrupt_routing_boots() {
    boots_on_pc("acpi=noirq");
}

#[test]
fn a_kernel_that_calibrates_its_clock_by_the_pit_boots() {
    boots_on_pc("no-kvmclock tsc=unstable");
}

#[test]
fn a_kernel_without_acpi_boots() {
    let Some(runner) = Runner::get() else { return };
    // Without ACPI the kernel cannot power off, but it can reset the machine.
    let Some(guests) = both_ways() else { return };
    for guest in guests {
        let run = guest.append("acpi=off").does("reboot").run(runner);
        run.assert_userspace().assert_exit(0);
    }
}

#[test]
fn a_guest_that_does_not_see_kvm_finds_a_clock_on_both_machines() {
    let Some(runner) = Runner::get() else { return };
    for machine in ["pc", "microvm"] {
        let guest = Guest::new().args(["-M", machine, "-cpu", "host,kvm=off"]);
        let run = guest.does("info").timeout_secs(300).run(runner);
        run.assert_userspace().assert_exit(0);
    }
}

/// Debian's 686 kernel has no 64-bit entry point: chukka enters it in 32-bit mode, and SeaBIOS in
/// real mode.
#[test]
fn a_kernel_for_32_bit_processors_boots_directly_and_by_seabios() {
    let Some(runner) = Runner::get() else { return };
    let Some((kernel, busybox)) = assets::or_skip(assets::i386()) else { return };
    let initrd = Initrd::with_busybox(&busybox).and_then(Initrd::write);
    let Some(initrd) = assets::or_skip(initrd) else { return };
    let Some(bios) = assets::or_skip(assets::firmware(SEABIOS)) else { return };
    let guest = || Guest::new().kernel(&kernel).initrd(&initrd).shell("uname -m").timeout_secs(200);
    let seabios = ["-M", "pc", "-bios", SEABIOS];
    for guest in [guest(), guest().args(seabios).with(|job| job.need(&bios))] {
        let run = guest.run(runner);
        run.assert_userspace().assert_exit(0).assert_stdout("\ni686");
        run.assert_stderr("chukka: the guest powered off (after ");
    }
}
