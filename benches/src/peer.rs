//! The programs that are compared, and how each is told to boot the same guest.

use std::path::{Path, PathBuf};

use chukka_tests::{binaries, pack};

use crate::Error;

/// A guest: the same for everybody.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The kernel: bzImage or ELF.
    pub kernel: PathBuf,
    /// The initrd.
    pub initrd: PathBuf,
    /// The kernel's command line.
    pub append: &'static str,
}

/// A virtual machine monitor with the words that it needs beside the guest's.
#[derive(Debug, Clone)]
pub struct Peer {
    /// What it is called in tables.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    words: &'static [&'static str],
}

/// The fewest devices that QEMU's machines have, and a serial port on standard output.
const PC: &[&str] =
    &["-M", "pc", "-accel", "kvm", "-nodefaults", "-display", "none", "-serial", "stdio"];
const MICROVM: &[&str] =
    &["-M", "microvm", "-accel", "kvm", "-nodefaults", "-display", "none", "-serial", "stdio"];

/// chukka: the release build of this workspace, or `CHUKKA_BIN`.
///
/// # Errors
/// Where it does not build.
pub fn chukka() -> Result<Peer, Error> {
    Ok(another_chukka("chukka", binaries::chukka()?))
}

/// A second chukka, to be compared with the first.
#[must_use]
pub fn another_chukka(name: &str, program: PathBuf) -> Peer {
    Peer { name: name.into(), program, words: &["-nodefaults", "-nographic", "-serial", "stdio"] }
}

/// QEMU's `-M pc`: SeaBIOS finds the kernel in an option ROM.
///
/// # Errors
/// Where there is no QEMU.
pub fn qemu_pc() -> Result<Peer, Error> {
    qemu("QEMU pc", PC)
}

/// QEMU's `-M microvm`.
///
/// # Errors
/// Where there is no QEMU.
pub fn qemu_microvm() -> Result<Peer, Error> {
    qemu("QEMU microvm", MICROVM)
}

fn qemu(name: &str, words: &'static [&'static str]) -> Result<Peer, Error> {
    let program = pack::which("qemu-system-x86_64")
        .ok_or("qemu-system-x86_64 is not installed (package qemu-system-x86)")?;
    Ok(Peer { name: name.into(), program, words })
}

impl Peer {
    /// Its arguments: 256 MiB, one processor, and the guest ends it by a reset.
    #[must_use]
    pub fn args(&self, guest: &Guest) -> Vec<String> {
        let word = |path: &Path| path.to_string_lossy().into_owned();
        let mut args: Vec<String> = self.words.iter().map(ToString::to_string).collect();
        args.extend(["-m", "256", "-smp", "1", "-no-reboot", "-kernel"].map(String::from));
        args.push(word(&guest.kernel));
        args.extend(["-initrd".into(), word(&guest.initrd), "-append".into(), guest.append.into()]);
        args
    }
}
