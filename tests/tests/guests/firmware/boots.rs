//! SeaBIOS and our option ROM boot Debian's kernels, whatever the size of machine and initrd, and
//! however the run ends.

use chukka_tests::assets;
use chukka_tests::guest::Initrd;
use chukka_tests::runner::{Guest, Run, Runner};

use super::{SEABIOS_STARTS, firmware, seabios};

/// `MemTotal` in MiB: what `-m` gave, less what the kernel keeps for itself.
fn memory_of(run: &Run) -> u64 {
    run.info("memtotal_kib").and_then(|text| text.parse().ok()).unwrap_or(0) >> 10
}

/// How many times SeaBIOS started.
fn starts(run: &Run) -> usize {
    run.stdout.matches(SEABIOS_STARTS).count()
}

/// The generic kernel, with CPUs that SeaBIOS has to count and memory on both sides of the hole
/// below 4 GiB.
fn generic_kernel_on_4_cpus_and_6_gib(machine: &str) {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::generic()) else { return };
    let Some(guest) = seabios(machine) else { return };
    let guest = guest.kernel(&kernel.vmlinuz).args(["-smp", "4"]).memory("6G");
    let run = guest.does("info").run(runner);
    run.assert_userspace().assert_exit(0).assert_stderr("chukka: the guest powered off (after ");
    run.assert(starts(&run) == 1, "SeaBIOS ran once").assert_stdout("Found 4 cpu(s) max supported");
    run.assert(run.info("nproc").as_deref() == Some("4"), "four CPUs");
    run.assert((5800..=6144).contains(&memory_of(&run)), "MemTotal near 6 GiB");
    run.assert_stdout("BIOS-e820: [mem 0x0000000100000000-0x00000001bfffffff] usable");
}

#[test]
fn the_generic_kernel_finds_4_cpus_and_6_gib_on_microvm() {
    generic_kernel_on_4_cpus_and_6_gib("microvm");
}

#[test]
fn the_generic_kernel_finds_4_cpus_and_6_gib_on_pc() {
    generic_kernel_on_4_cpus_and_6_gib("pc");
}

/// The kernel uncompressed: an ELF file with a PVH note.
fn vmlinux_by_pvh(machine: &str) {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let Some(guest) = seabios(machine) else { return };
    let guest = guest.kernel(&kernel.vmlinux).memory("256M");
    let run =
        guest.shell("echo loader=$(cat /proc/sys/kernel/bootloader_type)").does("info").run(runner);
    run.assert_userspace().assert_exit(0).assert_stderr("chukka: the guest powered off (after ");
    run.assert(starts(&run) == 1, "SeaBIOS ran once");
    run.assert_stdout("loader=176"); // Linux's own PVH entry says that QEMU has loaded it.
    run.assert((200..=256).contains(&memory_of(&run)), "MemTotal below 256 MiB");
    let acpi = run.section("acpi").unwrap_or_default();
    run.assert(acpi.lines().any(|line| line == "FACP"), "ACPI tables");
}

#[test]
fn a_vmlinux_is_entered_by_pvh_on_microvm() {
    vmlinux_by_pvh("microvm");
}

#[test]
fn a_vmlinux_is_entered_by_pvh_on_pc() {
    vmlinux_by_pvh("pc");
}

/// An initrd with 200 MiB of numbers in it, and a file behind them: all arrives. Then the guest
/// asks for a reset.
fn initrd_of_200_mib(machine: &str) {
    const MIB: usize = 1 << 20;
    let Some(runner) = Runner::get() else { return };
    let Some(guest) = seabios(machine) else { return };
    // A number every page: the guest looks at some from the beginning, the middle and the end.
    let mut padding = vec![0; 200 * MIB];
    for (number, page) in padding.chunks_mut(4096).enumerate() {
        page[..9].copy_from_slice(format!("{number:08}\n").as_bytes());
    }
    let pages = [0, 1, 25_599, 51_198, 51_199];
    let show = |page: &usize| {
        format!("dd if=/padding bs=4096 skip={page} count=1 2>/dev/null | head -n 1;")
    };
    let show: String = pages.iter().map(show).collect();
    let initrd = Initrd::new().and_then(|initrd| {
        let initrd = initrd.script(&format!("{show} cat /behind")).file("padding", &padding);
        initrd.file("behind", b"the end of the initrd\n").write()
    });
    let initrd = initrd.expect("busybox is there, and room");
    let run = guest.initrd(&initrd).memory("768M").does("reboot").run(runner);
    run.assert_userspace().assert_stdout("the end of the initrd");
    for page in pages {
        run.assert_stdout(&format!("{page:08}"));
    }
    run.assert_exit(0).assert_stderr("the guest asked for a reset (-no-reboot)");
}

#[test]
fn an_initrd_of_200_mib_arrives_whole_and_a_reset_ends_the_run_on_microvm() {
    initrd_of_200_mib("microvm");
}

#[test]
fn an_initrd_of_200_mib_arrives_whole_and_a_reset_ends_the_run_on_pc() {
    initrd_of_200_mib("pc");
}

/// Three reboots, through SeaBIOS each; then a panic.
fn reboots_and_panics(machine: &str) {
    let Some(guest) = seabios(machine) else { return };
    let Some(run) = four_boots_and_a_panic(guest) else { return };
    run.assert(starts(&run) == 4, "SeaBIOS ran each time");
}

fn four_boots_and_a_panic(guest: Guest) -> Option<Run> {
    let runner = Runner::get()?;
    // The boots are counted in the year of the RTC, which a reset leaves alone and the kernel sets
    // its clock by.
    let count = "year=$(date +%Y); [ $year -gt 2003 ] && year=2000; echo boot number $((year - 1999)); \
        [ $year -eq 2003 ] && echo c >/proc/sysrq-trigger; \
        date -s $((year + 1))-06-01 >/dev/null; hwclock -u -w; reboot -f";
    let run = guest.reboots().shell(count).run(runner);
    run.assert(run.boots() == 4, "four boots").assert_stdout("boot number 4");
    run.assert_exit(120).assert_stderr("the guest's kernel panicked: Kernel panic - not syncing: ");
    Some(run)
}

#[test]
fn qboot_reboots_though_its_low_reset_vector_cannot_be_entered() {
    let Some(guest) = firmware("qboot.rom", "microvm") else { return };
    let _ = four_boots_and_a_panic(guest);
}

#[test]
fn seabios_runs_at_each_of_three_reboots_and_a_panic_is_told_on_microvm() {
    reboots_and_panics("microvm");
}

#[test]
fn seabios_runs_at_each_of_three_reboots_and_a_panic_is_told_on_pc() {
    reboots_and_panics("pc");
}
