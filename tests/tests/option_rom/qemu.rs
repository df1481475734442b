//! QEMU's emulator with our ROM in place of its own.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use chukka_tests::cpio::Cpio;
use chukka_tests::{pack, skip};

/// Longest time for QEMU's emulator to come to what is waited for; it takes a few seconds.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A temporary directory with the ROM and the initrd, removed when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    /// A folder with `rom` under the name by which QEMU's `-L` finds it.
    pub fn new(test: &str, rom: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("chukka-rom-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("linuxboot_dma.bin"), rom).unwrap();
        fs::write(path.join("linuxboot.bin"), rom).unwrap(); // where fw_cfg has no DMA
        fs::write(path.join("multiboot_dma.bin"), rom).unwrap();
        fs::write(path.join("pvh.bin"), rom).unwrap();
        Self(path)
    }

    /// An archive the kernel can unpack, with one file of `size` bytes.
    pub fn initrd(&self, size: usize) -> PathBuf {
        let mut archive = Cpio::new();
        archive.file("content", 0o644, &vec![0x5a; size]);
        self.put("initrd", &archive.finish())
    }

    /// A file of the given bytes.
    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// QEMU, and what has come from the first serial port and as SeaBIOS's log. Ends with the test.
pub struct Qemu {
    child: Child,
    output: Receiver<Vec<u8>>,
    /// What has come so far.
    pub console: String,
}

impl Qemu {
    /// Starts QEMU's emulator with our ROM. `None` without QEMU, after reporting the skip.
    pub fn start(folder: &Folder, args: &[&str], files: &[(&str, &Path)]) -> Option<Self> {
        let qemu = "qemu-system-x86_64";
        if pack::which(qemu).is_none() {
            skip(&format!("{qemu} (package qemu-system-x86) is missing"));
            return None;
        }
        let mut command = Command::new(qemu);
        command.args(["-accel", "tcg", "-M", "pc", "-nodefaults", "-no-reboot"]);
        command.args(["-display", "none", "-chardev", "stdio,id=out,mux=on"]);
        command.args([
            "-serial",
            "chardev:out",
            "-device",
            "isa-debugcon,iobase=0x402,chardev=out",
        ]);
        command.arg("-L").arg(&folder.0).args(args);
        for (option, file) in files {
            command.arg(option).arg(file);
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("QEMU starts");
        let mut stdout = child.stdout.take().expect("it is piped");
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Some(Self { child, output, console: String::new() })
    }

    /// Waits until `text` is on the console.
    pub fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.console.contains(text) {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.console.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("not within {PATIENCE:?}: {text:?}\n--- console\n{}", self.console)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("QEMU ended before {text:?}\n--- console\n{}", self.console)
                }
            }
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
