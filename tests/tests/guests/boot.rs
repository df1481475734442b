//! Real kernels boot to userspace, find the machine they were promised, and end as they say.

use chukka_tests::guest::{Initrd, MARKER};
use chukka_tests::job::{Act, Input};
use chukka_tests::runner::{Guest, Run, Runner};
use chukka_tests::{Result, assets};

/// What kernels say at level "warning" or worse that is not of chukka's making, and why.
const NOT_OURS: [(&str, &str); 6] = [
    ("PCI: System does not support PCI", "there is no PCI on this machine"),
    ("PCI: Fatal: No config space access function found", "there is no PCI on this machine"),
    ("spectre", "the processor's, not the machine's"),
    ("Spectre", "the processor's, not the machine's"),
    ("clocksource", "an emulated host is too slow for the watchdog"),
    ("hrtimer: interrupt took", "an emulated host is slow"),
];

/// Warnings of the guest's kernel that nobody has explained.
fn unexplained_warnings(run: &Run) -> Vec<String> {
    let warnings = run.section("warnings").unwrap_or_default();
    let explained = |line: &&str| NOT_OURS.iter().any(|(text, _)| line.contains(text));
    warnings.lines().filter(|line| !explained(line)).map(String::from).collect()
}

/// Boots `guest`, has it report on itself, and expects an orderly end.
fn boots_and_reports(runner: &Runner, guest: Guest) -> Run {
    let run = guest.does("info").run(runner);
    run.assert_userspace().assert_exit(0).assert_stderr("chukka: the guest powered off (after ");
    run
}

#[test]
fn the_cloud_kernel_boots_without_a_warning_of_ours_and_powers_off() {
    let Some(runner) = Runner::get() else { return };
    // QEMU's emulation, in the lab, lets a nested guest set XCR0 without telling its hypervisor,
    // whose CPUID leaf 0xd is then stale: under any VMM the kernel prints a page of "XSAVE
    // consistency problem" and does without XSAVE.
    let cpu = if runner.is_lab() { "host,-xsave" } else { "host" };
    let run = boots_and_reports(runner, Guest::new().args(["-cpu", cpu]));
    let warnings = unexplained_warnings(&run);
    run.assert(warnings.is_empty(), &format!("warnings nobody has explained: {warnings:#?}"));
    run.assert(run.info("nproc").as_deref() == Some("1"), "one CPU");
    run.assert(run.info("clocksource").as_deref() == Some("kvm-clock"), "kvm-clock keeps time");
    run.assert_stdout("ttyS0 at I/O 0x3f8").assert_stdout("is a 16550A");
}

#[test]
fn the_generic_kernel_boots_whatever_its_compression() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::generic()) else { return };
    boots_and_reports(runner, Guest::new().kernel(&kernel.vmlinuz));
}

#[test]
fn vmlinux_boots_by_pvh() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let run = boots_and_reports(runner, Guest::new().kernel(&kernel.vmlinux).shell(LOADER_TYPE));
    // What Linux's own PVH entry fills in (arch/x86/platform/pvh/enlighten.c): QEMU's number.
    run.assert_stdout("loader=176");
}

#[test]
fn vmlinux_without_the_pvh_note_boots_at_its_64_bit_entry() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) =
        assets::or_skip(assets::cloud().and_then(|kernel| without_notes(&kernel.vmlinux)))
    else {
        return;
    };
    let run = boots_and_reports(runner, Guest::new().kernel(&kernel).shell(LOADER_TYPE));
    run.assert_stdout("loader=255");
}

/// Has the guest print `type_of_loader` of its zero page.
const LOADER_TYPE: &str = "echo loader=$(cat /proc/sys/kernel/bootloader_type)";

/// A copy of an ELF kernel whose note segments are not notes any more.
fn without_notes(vmlinux: &std::path::Path) -> Result<std::path::PathBuf> {
    const PT_NOTE: u32 = 4;
    let copy = assets::work_folder()?.join("vmlinux-without-notes");
    let mut bytes = std::fs::read(vmlinux).expect("set-up has unpacked it");
    let headers = u64::from_le_bytes(bytes[32..40].try_into().expect("as many bytes"));
    let count = usize::from(u16::from_le_bytes(bytes[56..58].try_into().expect("as many bytes")));
    let mut notes = 0;
    for header in (0..count).map(|i| usize::try_from(headers).expect("a small offset") + i * 56) {
        if bytes[header..header + 4] == PT_NOTE.to_le_bytes() {
            bytes[header..header + 4].fill(0); // PT_NULL
            notes += 1;
        }
    }
    assert!(notes > 0, "the kernel had notes to take away");
    std::fs::write(&copy, bytes).expect("there is room for it");
    Ok(copy)
}

#[test]
fn the_debian_installer_starts_with_its_40_mb_initrd() {
    let Some(runner) = Runner::get() else { return };
    let Some(installer) = assets::or_skip(assets::installer()) else { return };
    // What the installer's first process says once its initrd is unpacked and it runs.
    const FIRST: &str = "Starting system log daemon: syslogd, klogd.";
    let run = Guest::new()
        .kernel(&installer.linux)
        .initrd(&installer.initrd)
        .memory("512")
        .append("priority=low DEBIAN_FRONTEND=text")
        .with(|job| job.terminal())
        .when(FIRST, Act::Send(b"\x01x".to_vec()))
        .timeout_secs(240)
        .run(runner);
    run.assert_stdout(FIRST).assert_exit(0);
}

#[test]
fn four_cpus_are_found() {
    let Some(runner) = Runner::get() else { return };
    let run = boots_and_reports(runner, Guest::new().args(["-smp", "4"]).timeout_secs(240));
    run.assert(run.info("nproc").as_deref() == Some("4"), "four CPUs");
    let cores = run.section("cpuinfo").unwrap_or_default().matches("cpu cores\t: 4").count();
    run.assert(cores == 4, "four cores of one socket");
}

/// `MemTotal` in MiB: what `-m` gave, less what the kernel keeps for itself.
fn memory_of(run: &Run) -> u64 {
    run.info("memtotal_kib").and_then(|text| text.parse().ok()).unwrap_or(0) >> 10
}

#[test]
fn memory_of_128_mib_is_enough() {
    let Some(runner) = Runner::get() else { return };
    let run = boots_and_reports(runner, Guest::new().memory("128M"));
    run.assert((60..=128).contains(&memory_of(&run)), "MemTotal below 128 MiB");
}

#[test]
fn memory_beyond_3_gib_goes_on_above_4_gib() {
    let Some(runner) = Runner::get() else { return };
    let run = boots_and_reports(runner, Guest::new().memory("6G").timeout_secs(240));
    run.assert((5800..=6144).contains(&memory_of(&run)), "MemTotal near 6 GiB");
    run.assert_stdout("BIOS-e820: [mem 0x0000000100000000-0x00000001bfffffff] usable");
}

#[test]
fn a_guest_that_reboots_boots_again_and_again() {
    let Some(runner) = Runner::get() else { return };
    // The boots are counted in the year of the RTC, which a reset leaves alone and the kernel sets
    // its clock by.
    let count = "year=$(date +%Y); [ $year -gt 2003 ] && year=2000; echo boot number $((year - 1999)); \
        [ $year -eq 2003 ] && exit; date -s $((year + 1))-06-01 >/dev/null; hwclock -u -w; reboot -f";
    let run = Guest::new().reboots().append("quiet").shell(count).timeout_secs(300).run(runner);
    run.assert(run.boots() == 4, "four boots").assert_stdout("boot number 4");
    run.assert_exit(0).assert_stderr("the guest powered off");
}

#[test]
fn a_reset_ends_the_run_when_no_reboot_is_given() {
    let Some(runner) = Runner::get() else { return };
    for by in ["acpi", "kbd"] {
        let run = Guest::new().append(&format!("quiet reboot={by}")).does("reboot").run(runner);
        run.assert_userspace()
            .assert_exit(0)
            .assert_stderr("the guest asked for a reset (-no-reboot)");
    }
}

#[test]
fn a_panic_is_reported_and_ends_with_120_whatever_follows() {
    let Some(runner) = Runner::get() else { return };
    for panic in ["panic=-1", "panic=0"] {
        let guest = Guest::new().append("quiet").append(panic).args(["-json", "-"]);
        let guest = guest.args(["-vmcore", "/tmp/chukka-vmcore"]).does("panic");
        let mut job = guest.job().expect("set-up is done");
        // The lab keeps it in memory.
        let remove = "\"$@\"; status=$?; rm /tmp/chukka-vmcore && exit $status";
        job.command.splice(0..0, ["sh", "-c", remove, "sh"].map(String::from));
        let run = runner.run(&job);
        run.assert_userspace().assert_exit(120);
        run.assert_stderr("chukka: the core file '/tmp/chukka-vmcore' has ");
        run.assert(!run.stderr.contains("without VMCOREINFO"), "Linux's VMCOREINFO is in the core");
        run.assert_json("panic", 120, "Kernel panic - not syncing: sysrq triggered crash");
        run.assert_stderr(
            "the guest's kernel panicked: Kernel panic - not syncing: sysrq triggered crash",
        );
        // With panic=-1 the kernel resets the machine instead of printing its last line.
        let last_line = run.stdout.contains("---[ end Kernel panic");
        run.assert(last_line == (panic == "panic=0"), "the whole of the panic is shown");
    }
}

#[test]
fn the_argv_of_kunit_py_boots_a_kernel() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let kernel = kernel.vmlinuz.to_string_lossy().into_owned();
    // tools/testing/kunit/qemu_configs/x86_64.py and kunit_kernel.py: a kernel, and no initrd at
    // all.
    let argv = ["-nodefaults", "-m", "1024", "-kernel", &kernel, "-append"];
    let append = "kunit.enable=1 console=ttyS0 kunit_shutdown=reboot";
    let rest = [
        "-no-reboot",
        "-nographic",
        "-accel",
        "kvm",
        "-accel",
        "hvf",
        "-accel",
        "tcg",
        "-serial",
        "stdio",
    ];
    let run = Guest::argv(argv).arg(append).args(rest).args(["-json", "-"]).run(runner);
    let line = "Unable to mount root fs on unknown-block(0,0)";
    run.assert_stdout("Linux version ").assert_stdout(line).assert_exit(120);
    let line = format!("Kernel panic - not syncing: VFS: {line}");
    run.assert_stderr(&format!("chukka: the guest's kernel panicked: {line}"));
    run.assert_json("panic", 120, &line);
}

#[test]
fn switched_off_features_are_hidden_from_the_guest() {
    let Some(runner) = Runner::get() else { return };
    let flags = |run: &Run| -> Vec<String> {
        let cpuinfo = run.section("cpuinfo").unwrap_or_default();
        let line =
            cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default().to_owned();
        line.split_whitespace().map(String::from).collect()
    };
    let has = |flags: &[String], name: &str| flags.iter().any(|flag| flag == name);
    let run = boots_and_reports(runner, Guest::new().args(["-cpu", "host,-cx16,-aes,+sse4.2"]));
    let off = flags(&run);
    run.assert(!has(&off, "cx16") && !has(&off, "aes"), "cx16 and aes are off");
    run.assert(has(&off, "hypervisor") && has(&off, "sse4_1"), "what was not switched is there");
}

#[test]
fn the_clock_starts_where_rtc_base_says() {
    let Some(runner) = Runner::get() else { return };
    let run = boots_and_reports(runner, Guest::new().args(["-rtc", "base=2006-06-17T16:01:21"]));
    let epoch: i64 = run.info("epoch").and_then(|text| text.parse().ok()).unwrap_or(0);
    run.assert((1_150_560_081..1_150_560_081 + 600).contains(&epoch), "June 2006");
}

#[test]
fn a_second_serial_port_goes_to_its_file() {
    let Some(runner) = Runner::get() else { return };
    let guest = Guest::new().append("quiet").shell("echo to the second port > /dev/ttyS1").args([
        "-serial",
        "stdio",
        "-serial",
        "file:/tmp/chukka-com2",
        "-serial",
        "null",
    ]);
    let mut job = guest.job().expect("set-up is done");
    // A shell around it shows the file once chukka has ended.
    let show = "\"$@\"; status=$?; echo \"the file has: $(cat /tmp/chukka-com2)\"; exit $status";
    job.command.splice(0..0, ["sh", "-c", show, "sh"].map(String::from));
    let run = runner.run(&job);
    run.assert_userspace().assert_exit(0).assert_stdout("the file has: to the second port");
}

#[test]
fn the_power_button_reaches_the_guest() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let module = |name: &str| {
        std::fs::read(kernel.modules.join("kernel/drivers").join(name))
            .expect("Debian's kernel has it")
    };
    // It listens before it asks: an event that nobody listens to is lost.
    let script = "insmod /button.ko && insmod /evdev.ko; sleep 1; head -c 48 /dev/input/event0 >/tmp/event & \
        sleep 2; echo press the button; wait $! && echo the button was pressed; poweroff -f";
    let initrd = Initrd::new()
        .and_then(|initrd| {
            let initrd = initrd
                .file("button.ko", &module("acpi/button.ko"))
                .file("evdev.ko", &module("input/evdev.ko"));
            initrd.script(script).write()
        })
        .expect("busybox is there");
    let run = Guest::new()
        .initrd(&initrd)
        .append("quiet")
        .with(|job| job.input(Input::Terminal))
        .when("press the button", Act::Send(b"\x01p".to_vec()))
        .run(runner);
    run.assert_stdout(MARKER).assert_stdout("the button was pressed").assert_exit(0);
}
