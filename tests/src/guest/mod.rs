//! The initrd of the test guests: busybox and a first process that does what the kernel's command
//! line says. `init.sh` tells which words it understands.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::assets::{self, Kernel};
use crate::modules::Modules;
use crate::{Doing, Error, Result, cpio::Cpio};

/// What the guest prints as soon as its first process runs.
pub const MARKER: &str = "chukka-guest: userspace reached";

/// An initrd under construction.
#[derive(Debug)]
pub struct Initrd(Cpio);

impl Initrd {
    /// The usual one: busybox and our first process.
    ///
    /// # Errors
    /// If there is no static busybox.
    pub fn new() -> Result<Self> {
        let path =
            busybox().ok_or_else(|| Error::Missing("busybox (package busybox-static)".into()))?;
        Self::with_busybox(&path)
    }

    /// The usual one with another busybox, for guests of another architecture.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn with_busybox(path: &Path) -> Result<Self> {
        let busybox = fs::read(path).doing_with("Reading", path)?;
        let mut archive = Cpio::new();
        archive.file("init", 0o755, include_bytes!("init.sh"));
        archive.file("bin/busybox", 0o755, &busybox);
        archive.link("bin/sh", "busybox");
        for folder in ["proc", "sys", "dev", "tmp"] {
            archive.folder(folder);
        }
        Ok(Self(archive))
    }

    /// Adds a piece of shell that the guest runs first.
    #[must_use]
    pub fn script(self, shell: &str) -> Self {
        self.file("run.sh", shell.as_bytes())
    }

    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: &str, content: &[u8]) -> Self {
        self.0.file(path, 0o755, content);
        self
    }

    /// Adds these modules of a kernel and what they depend on. Returns the shell lines that load
    /// them, too.
    ///
    /// # Errors
    /// If one is neither a module of this kernel nor built in.
    pub fn modules(mut self, kernel: &Kernel, names: &[&str]) -> Result<(Self, String)> {
        let mut load = String::new();
        for module in Modules::find(&kernel.modules)?.closure(names)? {
            let name = format!("modules/{}.ko", module.name);
            load += &format!("insmod /{name}\n");
            self = self.file(&name, &module.content);
        }
        Ok((self, load))
    }

    /// Writes the initrd into the working folder of the tests, under a name made of its content.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(self) -> Result<PathBuf> {
        let bytes = self.0.finish();
        let path = assets::work_folder()?.join(format!("initrd-{:016x}.cpio", hash(&bytes)));
        if !path.exists() {
            write_whole(&path, &bytes)?;
        }
        Ok(path)
    }
}

/// The usual initrd as a file: `target/lab/initrd.cpio`.
///
/// # Errors
/// There is no static busybox, or the disk is full.
pub fn initrd() -> Result<PathBuf> {
    let bytes = Initrd::new()?.0.finish();
    let path = assets::work_folder()?.join("initrd.cpio");
    if fs::read(&path).ok().as_ref() != Some(&bytes) {
        write_whole(&path, &bytes)?;
    }
    Ok(path)
}

/// The kernel word that makes the guest run a piece of shell. The kernel takes about 2000
/// characters in all: for longer ones use [`Initrd::script`].
#[must_use]
pub fn command_word(shell: &str) -> String {
    format!("guest.cmd={}", base64(shell.as_bytes()))
}

/// The busybox of the host, which must be a static one.
#[must_use]
pub fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"].iter().map(PathBuf::from).find(|path| path.exists())
}

/// Writes a file so that nobody ever sees half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let draft = path.with_extension(format!("{}-{}", std::process::id(), stamp()));
    fs::write(&draft, bytes).doing_with("Writing", &draft)?;
    fs::rename(&draft, path).doing_with("Renaming to", path)
}

/// A number that no other call in this process gets: names working files.
pub(crate) fn stamp() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// FNV-1a, 64 bits: names files, guards nothing.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |at: usize| usize::from(group.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[word >> (18 - 6 * place) & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_in_rfc_4648() {
        let pairs = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn the_first_thing_the_guest_does_is_to_say_so() {
        let first = include_str!("init.sh").lines().find(|line| !line.starts_with('#'));
        assert_eq!(first, Some(format!("echo '{MARKER}'").as_str()));
    }
}
