//! A running lab that accepts jobs.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::wire::{Event, Order, PORT, receive, send};
use super::{initramfs, outer};
use crate::job::{Chunk, Job, Report};
use crate::{Doing, Error, Result, assets, guest, pack, sys};

/// A boot takes about five seconds of processor time, which a busy host may spread over minutes.
/// After this much, it has failed.
const BOOT: Duration = Duration::from_secs(60);
/// A boot has also failed after this much wall-clock time.
const BOOT_AT_MOST: Duration = Duration::from_secs(600);
/// Extra time for a job beyond its own timeout, for copying files and the report.
const GRACE: Duration = Duration::from_secs(60);

/// A machine that the agent says nothing from for this long has stopped: now and then an emulated
/// processor stays at one instruction for ever.
const SILENCE: Duration = Duration::from_secs(60);

/// How often to wake the machine while its agent says nothing. QEMU 7.2 changes a processor's
/// `interrupt_request` without a lock when a guest is entered or left (target/i386/tcg/sysemu/
/// svm_helper.c), and so now and then loses the timer interrupt that its main loop has just
/// reported: the local APIC has it pending, and the processor stays halted. Any other interrupt
/// makes QEMU look again.
const WAKE_EVERY: Duration = Duration::from_secs(1);

/// A running outer machine that runs jobs, one at a time.
///
/// It has one processor. With two, emulated by two threads, guests triple-faulted in one boot of
/// six, and the whole machine sometimes stopped; with one, this never happened. Two labs in
/// parallel are as fast, and reliable.
#[derive(Debug)]
pub struct Lab {
    outer: outer::Outer,
    line: Mutex<Line>,
}

/// The connection to the agent.
#[derive(Debug)]
struct Line {
    to: UnixStream,
    from: Receiver<Event>,
    last_job: u64,
    files: HashMap<PathBuf, (SystemTime, u64)>,
}

impl Lab {
    /// Starts the outer machine and waits until it is ready.
    ///
    /// # Errors
    /// If something that it needs is missing, or it fails to start; then with the end of its
    /// console.
    pub fn start(memory_mib: u32) -> Result<Self> {
        let name = format!("outer-{}-{}.cpio", std::process::id(), guest::stamp());
        let initramfs = assets::work_folder()?.join(name);
        initramfs::interactive(&initramfs)?;
        let lab = Self::boot(&initramfs, memory_mib);
        // The machine has it in memory now; a leftover in a temporary directory is harmless.
        drop(fs::remove_file(&initramfs));
        lab
    }

    fn boot(initramfs: &Path, memory_mib: u32) -> Result<Self> {
        let (to, theirs) = UnixStream::pair().doing("Making a pair of sockets")?;
        // Without ERMS, the kernel copies and clears memory by words instead of bytes. The emulated
        // processor handles bytes one by one, so guests boot in half the time.
        let words = "mitigations=off";
        let mut command = outer::command(initramfs, memory_mib, "max,+svm,-erms", words)?;
        command.args(["-accel", "tcg", "-smp", "1"]);
        command.args(["-chardev", &format!("socket,id=host,fd={}", theirs.as_raw_fd())]);
        command.args(["-device", "virtio-serial-pci"]);
        command.args(["-device", &format!("virtserialport,chardev=host,name={PORT}")]);
        // The machine can reach servers on the host's loopback at HOST, and nothing else.
        command.args(["-netdev", "user,id=net,ipv6=off"]);
        command.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        // Each machine has its own copy of the Debian disk, which is gone with the machine.
        if let Ok(disk) = assets::disk() {
            let file = disk.image.to_string_lossy().replace(',', ",,");
            let drive = format!("file={file},format=qcow2,if=none,id=disk,snapshot=on");
            command.args(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"]);
        }
        sys::keep_open(&mut command, theirs.as_fd());
        let outer = outer::Outer::start(command)?;
        drop(theirs);
        let (events, from) = channel();
        let stream = to.try_clone().doing("Copying a socket")?;
        thread::spawn(move || listen(stream, &events));
        let start = Instant::now();
        loop {
            match from.recv_timeout(Duration::from_secs(1)) {
                Ok(_) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if outer.cpu_time() > BOOT || start.elapsed() > BOOT_AT_MOST {
                        return Err(outer.error("did not come up in time"));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(outer.error("ended before it came up"));
                }
            }
        }
        let line = Line { to, from, last_job: 0, files: HashMap::new() };
        Ok(Self { outer, line: Mutex::new(line) })
    }

    /// Runs a job after the previous ones, and passes its output to `sink` as it arrives.
    ///
    /// # Errors
    /// If a file that it needs is not there, or the lab itself fails: never for what the job does.
    pub fn run(&self, job: &Job, sink: &mut dyn FnMut(&Chunk)) -> Result<Report> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.bring(&job.needs).map_err(|error| self.explain(error))?;
        line.last_job += 1;
        let id = line.last_job;
        let order = Order::Run { id, job: Box::new(job.clone()) };
        send(&mut line.to, &order).map_err(|error| self.explain(error))?;
        self.follow(&mut line, id, job.timeout + GRACE, sink)
    }

    /// Follows a job until it is done.
    fn follow(
        &self,
        line: &mut Line,
        job: u64,
        most: Duration,
        sink: &mut dyn FnMut(&Chunk),
    ) -> Result<Report> {
        let mut heard = Instant::now();
        let end = heard + most;
        let mut output = Vec::new();
        loop {
            match line.from.recv_timeout(WAKE_EVERY) {
                Err(RecvTimeoutError::Timeout)
                    if heard.elapsed() < SILENCE && Instant::now() < end =>
                {
                    send(&mut line.to, &Order::Wake).map_err(|error| self.explain(error))?;
                    continue;
                }
                Ok(Event::Output { id, chunk }) if id == job => {
                    sink(&chunk);
                    output.push(chunk);
                }
                Ok(Event::Done { id, report }) if id == job => {
                    return Ok(Report { output, ..*report });
                }
                Ok(Event::Failed(why)) => return Err(Error::Other(format!("In the lab: {why}"))),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Err(self.outer.error("does not answer")),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.outer.error("ended in the middle of a job"));
                }
            }
            heard = Instant::now();
        }
    }

    /// A broken connection means that the machine has stopped; its console shows why.
    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
                self.outer.error("has ended")
            }
            other => other,
        }
    }
}

impl Line {
    /// Copies files into the machine that are missing there or have changed.
    fn bring(&mut self, needs: &[PathBuf]) -> Result<()> {
        for need in needs {
            for path in pack::closure(need)? {
                let about = fs::metadata(&path).doing_with("Looking at", &path)?;
                let time = about.modified().doing_with("Looking at", &path)?;
                let now = (time, about.len());
                if self.files.get(&path) != Some(&now) {
                    self.put(&path, about.permissions().mode() & 0o777, about.len())?;
                    self.files.insert(path, now);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &Path, mode: u32, size: u64) -> Result<()> {
        let mut file = File::open(path).doing_with("Opening", path)?;
        let name = path.to_string_lossy().into_owned();
        send(&mut self.to, &Order::Put { path: name, mode, size })?;
        let sent = io::copy(&mut file, &mut self.to).doing_with("Bringing to the lab", path)?;
        // The agent expects exactly the announced size.
        if sent == size { Ok(()) } else { Err(Error::Other(format!("{} changes", path.display()))) }
    }
}

/// Passes on messages of the agent until the connection ends.
fn listen(stream: UnixStream, events: &Sender<Event>) {
    let mut from = BufReader::new(stream);
    while let Ok(Some(event)) = receive(&mut from) {
        if events.send(event).is_err() {
            break;
        }
    }
}
