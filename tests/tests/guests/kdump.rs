//! kdump: a panicking kernel starts a crash kernel, which sees the memory of the first.

use std::fs;
use std::process::Command;

use chukka_tests::guest::Initrd;
use chukka_tests::runner::{Guest, Runner};
use chukka_tests::{Result, assets};

/// Loads a crash kernel: kernel, initrd, command line. Flag 2 is `KEXEC_FILE_ON_CRASH`
/// (kexec_file_load(2)), 320 the system call's number.
const LOADER: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **words) {
    int kernel = open(words[1], O_RDONLY), initrd = open(words[2], O_RDONLY);
    if (syscall(320, kernel, initrd, strlen(words[3]) + 1, words[3], 2L) != 0) {
        perror("kexec_file_load");
        return 1;
    }
    return 0;
}
"#;

/// The loader as a static program.
fn loader() -> Result<Vec<u8>> {
    let folder = assets::work_folder()?;
    let (source, program) = (folder.join("load-crash.c"), folder.join("load-crash"));
    fs::write(&source, LOADER).expect("there is room for it");
    let compiled =
        Command::new("cc").args(["-static", "-O", "-o"]).args([&program, &source]).status();
    assert!(compiled.expect("cc runs").success(), "cc compiles the loader");
    Ok(fs::read(&program).expect("cc has made it"))
}

#[test]
fn a_crash_kernel_comes_up_and_the_verdict_names_the_panic_before_it() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let Some(loader) = assets::or_skip(loader()) else { return };
    let report = "echo crash-kernel vmcore=$(stat -c %s /proc/vmcore); poweroff -f";
    let crash = Initrd::new().and_then(|initrd| initrd.script(report).write());
    let Some(crash) = assets::or_skip(crash) else { return };
    let panic = "/load-crash /vmlinuz /crash.cpio \
        'console=ttyS0 panic=-1 quiet maxcpus=1 nokaslr' && echo c >/proc/sysrq-trigger";
    let read = |path: &std::path::Path| fs::read(path).expect("it was just made");
    let first = Initrd::new().and_then(|initrd| {
        let initrd = initrd.file("load-crash", &loader).file("crash.cpio", &read(&crash));
        initrd.file("vmlinuz", &read(&kernel.vmlinuz)).script(panic).write()
    });
    let Some(first) = assets::or_skip(first) else { return };
    let guest = Guest::new().initrd(&first).memory("512").append("crashkernel=192M");
    let run = guest.timeout_secs(600).run(runner);
    run.assert_userspace().assert_exit(120);
    run.assert_stderr(
        "the guest's kernel panicked: Kernel panic - not syncing: sysrq triggered crash",
    );
    run.assert_stdout("crash-kernel vmcore=");
    run.assert(!run.story().contains("vmcore=0"), "the crash kernel sees the memory of the first");
}
