//! A program for guests that starts a kernel from a running one.

use std::fs;
use std::process::Command;

use chukka_tests::{Result, assets};

/// Loads a kernel: kernel, initrd, command line, and `crash` for one that a panic starts. Otherwise
/// it starts at once. Flag 2 is `KEXEC_FILE_ON_CRASH` (kexec_file_load(2)), 320 the system call's
/// number, the last number `LINUX_REBOOT_CMD_KEXEC` (reboot(2)).
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **words) {
    int kernel = open(words[1], O_RDONLY), initrd = open(words[2], O_RDONLY);
    int crash = count > 4 && strcmp(words[4], "crash") == 0;
    if (syscall(320, kernel, initrd, strlen(words[3]) + 1, words[3], crash ? 2L : 0L) != 0) {
        perror("kexec_file_load");
        return 1;
    }
    if (!crash)
        reboot(0x45584543);
    return 0;
}
"#;

/// The program, which is static.
pub fn program() -> Result<Vec<u8>> {
    let folder = assets::work_folder()?;
    let unique = std::thread::current().name().unwrap_or_default().replace(':', "-");
    let [source, program] =
        ["c", "program"].map(|end| folder.join(format!("kexec-{unique}.{end}")));
    fs::write(&source, PROGRAM).expect("there is room for it");
    let compiled =
        Command::new("cc").args(["-static", "-O", "-o"]).args([&program, &source]).status();
    assert!(compiled.expect("cc runs").success(), "cc compiles the program");
    Ok(fs::read(&program).expect("cc has made it"))
}
