//! The programs that are compared, and the arguments with which each boots the same guest.

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
    /// Files that its words name.
    pub files: Vec<PathBuf>,
    words: Vec<String>,
}

/// chukka's words for the fewest devices, and a serial port on standard output.
const CHUKKA: &str = "-nodefaults -nographic -serial stdio";
/// The same for QEMU, with KVM.
const QEMU: &str = "-accel kvm -nodefaults -display none -serial stdio";

/// chukka: the release build of this workspace, or `CHUKKA_BIN`.
///
/// # Errors
/// If it does not build.
pub fn chukka() -> Result<Peer, Error> {
    Ok(Peer { name: "chukka".into(), ..another_chukka(&binaries::chukka()?)? })
}

/// A second chukka, to be compared with the first: called by its path.
///
/// # Errors
/// A relative path, and no current directory.
pub fn another_chukka(path: &Path) -> Result<Peer, Error> {
    let (name, program) = (path.to_string_lossy().into_owned(), std::path::absolute(path)?);
    Ok(Peer { name, program, files: Vec::new(), words: split(CHUKKA) })
}

/// QEMU's `-M pc` with the fewest devices that it has: SeaBIOS finds the kernel in an option ROM.
///
/// # Errors
/// If there is no QEMU.
pub fn qemu_pc() -> Result<Peer, Error> {
    qemu("QEMU pc", &format!("-M pc {QEMU}"))
}

/// QEMU's `-M microvm` with the fewest devices that it has.
///
/// # Errors
/// If there is no QEMU.
pub fn qemu_microvm() -> Result<Peer, Error> {
    qemu("QEMU microvm", &format!("-M microvm {QEMU}"))
}

fn qemu(name: &str, words: &str) -> Result<Peer, Error> {
    let program = qemu_program()?;
    Ok(Peer { name: name.into(), program, files: Vec::new(), words: split(words) })
}

/// QEMU's program.
///
/// # Errors
/// If there is none.
pub fn qemu_program() -> Result<PathBuf, Error> {
    let program = pack::which("qemu-system-x86_64");
    program.ok_or_else(|| "qemu-system-x86_64 is not installed (package qemu-system-x86)".into())
}

fn split(words: &str) -> Vec<String> {
    words.split_whitespace().map(String::from).collect()
}

/// SeaBIOS as Debian builds it for PCs: QEMU's choice for `-M pc`.
const SEABIOS: &str = "/usr/share/seabios/bios-256k.bin";
/// The same with fewer drivers, for microvm.
const SEABIOS_MICROVM: &str = "/usr/share/seabios/bios-microvm.bin";

/// A chukka with SeaBIOS: each machine with each build of it that runs there.
#[must_use]
pub fn with_seabios(chukka: &Peer) -> Vec<Peer> {
    let rows = [("pc", SEABIOS), ("microvm", SEABIOS), ("microvm", SEABIOS_MICROVM)];
    rows.map(|(machine, bios)| chukka.clone().booting_by(machine, bios)).into()
}

/// A chukka with its built-in firmware.
#[must_use]
pub fn with_builtin(chukka: &Peer) -> Peer {
    let mut peer = chukka.clone();
    peer.name = format!("{}, built-in firmware", peer.name);
    peer.words.extend(["-bios", "builtin"].map(String::from));
    peer
}

/// QEMU with SeaBIOS: `-M pc` as it comes and with the fewest devices, and `-M microvm`.
///
/// # Errors
/// If there is no QEMU.
pub fn qemu_with_seabios() -> Result<Vec<Peer>, Error> {
    let fewest = format!("{QEMU} -no-user-config -nic none -vga none");
    Ok(vec![
        qemu("QEMU", "-accel kvm -display none -serial stdio")?.booting_by("pc", SEABIOS),
        qemu("QEMU, no devices,", &fewest)?.booting_by("pc", SEABIOS),
        qemu("QEMU, no devices,", &fewest)?.booting_by("microvm", SEABIOS_MICROVM),
    ])
}

impl Peer {
    fn booting_by(mut self, machine: &str, bios: &str) -> Self {
        let file = Path::new(bios);
        self.name =
            format!("{} {machine}, {}", self.name, file.file_name().unwrap_or_default().display());
        self.words.extend(["-M", machine, "-bios", bios].map(String::from));
        self.files.push(file.into());
        self
    }

    /// Its arguments: 256 MiB, one processor, and the guest ends it by a reset.
    #[must_use]
    pub fn args(&self, guest: &Guest) -> Vec<String> {
        let word = |path: &Path| path.to_string_lossy().into_owned();
        let mut args: Vec<String> = self.words.clone();
        args.extend(["-m", "256", "-smp", "1", "-no-reboot", "-kernel"].map(String::from));
        args.push(word(&guest.kernel));
        args.extend(["-initrd".into(), word(&guest.initrd), "-append".into(), guest.append.into()]);
        args
    }
}
