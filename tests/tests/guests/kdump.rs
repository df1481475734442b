//! kdump: a panicking kernel starts a crash kernel, which sees the memory of the first.

use std::fs;

use chukka_tests::assets;
use chukka_tests::guest::Initrd;
use chukka_tests::runner::{Guest, Runner};

use crate::kexec;

#[test]
fn a_crash_kernel_comes_up_and_the_verdict_names_the_panic_before_it() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let Some(loader) = assets::or_skip(kexec::program()) else { return };
    let report = "echo crash-kernel vmcore=$(stat -c %s /proc/vmcore); poweroff -f";
    let crash = Initrd::new().and_then(|initrd| initrd.script(report).write());
    let Some(crash) = assets::or_skip(crash) else { return };
    let panic = "/kexec /vmlinuz /crash.cpio \
        'console=ttyS0 panic=-1 quiet maxcpus=1 nokaslr' crash && echo c >/proc/sysrq-trigger";
    let read = |path: &std::path::Path| fs::read(path).expect("it was just made");
    let first = Initrd::new().and_then(|initrd| {
        let initrd = initrd.file("kexec", &loader).file("crash.cpio", &read(&crash));
        initrd.file("vmlinuz", &read(&kernel.vmlinuz)).script(panic).write()
    });
    let Some(first) = assets::or_skip(first) else { return };
    let guest = Guest::new().initrd(&first).memory("512").append("crashkernel=192M");
    let run = guest.args(["-json", "-"]).timeout_secs(600).run(runner);
    run.assert_userspace().assert_exit(120);
    run.assert_stderr(
        "the guest's kernel panicked: Kernel panic - not syncing: sysrq triggered crash",
    );
    // The crash kernel's power-off does not change it.
    run.assert_json("panic", 120, "Kernel panic - not syncing: sysrq triggered crash");
    run.assert_stdout("crash-kernel vmcore=");
    run.assert(!run.story().contains("vmcore=0"), "the crash kernel sees the memory of the first");
}
