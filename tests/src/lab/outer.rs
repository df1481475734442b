//! The outer machine as a process: QEMU without hardware help, which cannot outlive the process
//! that starts it.

use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::{Doing, Error, Result, assets, pack, sys};

/// How much of the console to keep for error messages.
const TAIL: usize = 8192;

/// A running outer machine; dropping it switches it off.
#[derive(Debug)]
pub(super) struct Outer {
    process: OwnedFd,
    pid: u32,
    ended: Mutex<Receiver<()>>,
    console: Arc<Console>,
}

/// What a machine printed.
#[derive(Debug, Default)]
struct Console {
    /// The end of it.
    tail: Mutex<VecDeque<u8>>,
    /// How many bytes that were in all.
    bytes: AtomicU64,
}

/// What every outer machine has: an emulated AMD processor with SVM, and no devices but those named
/// later.
pub(super) fn command(
    initramfs: &Path,
    memory_mib: u32,
    cpu: &str,
    words: &str,
) -> Result<Command> {
    let qemu = "qemu-system-x86_64";
    if pack::which(qemu).is_none() {
        return Err(Error::Missing(format!("{qemu} (package qemu-system-x86)")));
    }
    let mut command = Command::new(qemu);
    command.args(["-M", "pc", "-cpu", cpu, "-nodefaults", "-no-user-config"]);
    command.args(["-display", "none", "-no-reboot", "-serial", "stdio"]);
    command.args(["-m", &format!("{memory_mib}M")]);
    // The unpacked kernel: an emulated processor takes its time to unpack it.
    command.arg("-kernel").arg(assets::cloud()?.vmlinux).arg("-initrd").arg(initramfs);
    // The timer check counts interrupts during a delay loop. On a busy host the emulated timer is
    // late, and the kernel would panic: "IO-APIC + timer doesn't work" (`check_timer`).
    let words = format!("console=ttyS0 panic=-1 loglevel=4 no_timer_check {words}");
    command.args(["-append", &words]);
    Ok(command)
}

impl Outer {
    /// Starts QEMU.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        sys::die_with_parent_thread(&mut command);
        let (to_us, started) = channel();
        let (end, ended) = channel::<()>();
        // The kernel ends the child with the thread that made it, so that thread stays until the
        // child is gone.
        thread::spawn(move || {
            let result = command.spawn();
            drop(command);
            match result {
                Err(error) => drop(to_us.send(Err(error))),
                Ok(mut child) => {
                    let streams = (child.stdout.take(), child.stderr.take());
                    let process = pidfd(&child).map(|process| (process, child.id()));
                    drop(to_us.send(process.map(|process| (process, streams))));
                    drop(child.wait());
                    // Closes the channel, which is what the other end waits for.
                    drop(end);
                }
            }
        });
        let started = started
            .recv()
            .map_err(|_| Error::Other("The thread that starts QEMU has ended".into()))?;
        let ((process, pid), (stdout, stderr)) = started.doing("Starting qemu-system-x86_64")?;
        let console = Arc::<Console>::default();
        follow(stdout, &console);
        follow(stderr, &console);
        Ok(Self { process, pid, ended: Mutex::new(ended), console })
    }

    /// Waits until the machine has gone; false if it uses this much processor time without printing
    /// anything.
    pub fn wait(&self, quiet: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let mut printed = (self.console.bytes.load(Ordering::Relaxed), self.cpu_time());
        // An error other than a timeout means that the thread has gone, and the machine with it.
        while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            let now = (self.console.bytes.load(Ordering::Relaxed), self.cpu_time());
            if now.0 != printed.0 {
                printed = now;
            } else if now.1.saturating_sub(printed.1) > quiet {
                return false;
            }
        }
        true
    }

    /// The processor time that the machine has used; zero if it has gone.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // proc(5): utime and stime are the 14th and 15th word, in ticks of 10 ms; the second is in
        // parentheses and may have spaces.
        let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        Duration::from_millis(words.filter_map(|word| word.parse::<u64>().ok()).sum::<u64>() * 10)
    }

    /// An error that shows the end of the console.
    pub fn error(&self, what: &str) -> Error {
        // What the machine said last may still be on its way through the pipe.
        thread::sleep(Duration::from_millis(100));
        let console = self.console.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = console.iter().copied().collect();
        Error::Lab { what: what.into(), console: String::from_utf8_lossy(&bytes).into_owned() }
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(sys::pidfd_kill(self.process.as_fd()));
    }
}

fn pidfd(child: &Child) -> std::io::Result<OwnedFd> {
    sys::pidfd(i32::try_from(child.id()).map_err(std::io::Error::other)?)
}

/// Keeps the end of what comes from a stream.
fn follow(stream: Option<impl Read + Send + 'static>, console: &Arc<Console>) {
    let console = Arc::clone(console);
    thread::spawn(move || {
        let mut stream = stream?;
        let mut buffer = [0; 4096];
        loop {
            let n = stream.read(&mut buffer).ok().filter(|&n| n > 0)?;
            console.bytes.fetch_add(n as u64, Ordering::Relaxed);
            let mut tail = console.tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend(&buffer[..n]);
            let excess = tail.len().saturating_sub(TAIL);
            tail.drain(..excess);
        }
        #[expect(unreachable_code, reason = "gives the closure its type, so that `?` can end it")]
        Some(())
    });
}
