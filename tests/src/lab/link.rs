//! A lab that takes jobs while it runs.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use super::wire::{Event, Order, PORT, receive, send};
use super::{initramfs, outer};
use crate::job::{Chunk, Job, Report};
use crate::{Doing, Error, Result, assets, pack, sys};

/// A boot takes about four seconds; ten times that is a slow machine, more is a broken one.
const BOOT: Duration = Duration::from_secs(120);
/// What a job may take beyond its own timeout: files on their way, the report.
const GRACE: Duration = Duration::from_secs(60);

/// What kind of outer machine to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its memory; QEMU takes only what is used.
    pub memory_mib: u32,
    /// Its processors.
    pub cpus: usize,
    /// How many jobs run at once; others wait for their turn.
    pub slots: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { memory_mib: 8192, cpus: 1, slots: 1 }
    }
}

/// A running outer machine that takes jobs.
#[derive(Debug)]
pub struct Lab {
    outer: outer::Outer,
    to: Mutex<UnixStream>,
    jobs: Arc<Mutex<Jobs>>,
    next: AtomicU64,
    free: Mutex<usize>,
    freed: Condvar,
    files: Mutex<HashMap<PathBuf, (SystemTime, u64)>>,
}

type Jobs = HashMap<u64, Sender<Event>>;

impl Lab {
    /// Starts the outer machine and waits until it is ready.
    ///
    /// # Errors
    /// Where something that it needs is missing, or it does not come up; then with the end of its console.
    pub fn start(options: &Options) -> Result<Self> {
        let initramfs = assets::work_folder()?.join(format!("outer-{}.cpio", std::process::id()));
        initramfs::interactive(&initramfs)?;
        let (ours, theirs) = UnixStream::pair().doing("Making a pair of sockets")?;
        let mut command = outer::command(&initramfs, options.memory_mib, "mitigations=off")?;
        command.args(["-accel", "tcg,thread=multi", "-smp", &options.cpus.to_string()]);
        command.args(["-chardev", &format!("socket,id=host,fd={}", theirs.as_raw_fd())]);
        command.args(["-device", "virtio-serial-pci"]);
        command.args(["-device", &format!("virtserialport,chardev=host,name={PORT}")]);
        sys::keep_open(&mut command, theirs.as_fd());
        let outer = outer::Outer::start(command)?;
        drop(theirs);
        let jobs: Arc<Mutex<Jobs>> = Arc::default();
        let (ready, is_ready) = channel();
        lock(&jobs).insert(0, ready);
        let from = ours.try_clone().doing("Copying a socket")?;
        let their_jobs = Arc::clone(&jobs);
        thread::spawn(move || listen(from, &their_jobs));
        let lab = Self {
            outer,
            to: Mutex::new(ours),
            jobs,
            next: AtomicU64::new(1),
            free: Mutex::new(options.slots),
            freed: Condvar::new(),
            files: Mutex::default(),
        };
        let came_up = is_ready.recv_timeout(BOOT);
        // The machine has it in memory now; nothing depends on its going.
        drop(fs::remove_file(&initramfs));
        match came_up {
            Ok(_) => Ok(lab),
            Err(RecvTimeoutError::Timeout) => Err(lab.outer.error("did not come up in time")),
            Err(RecvTimeoutError::Disconnected) => Err(lab.outer.error("ended before it came up")),
        }
    }

    /// Runs a job as soon as there is room for it; hands its output to `sink` as it comes.
    ///
    /// # Errors
    /// Where a file that it needs is not there, or the lab itself fails: never for what the job does.
    pub fn run(&self, job: &Job, sink: &mut dyn FnMut(&Chunk)) -> Result<Report> {
        let _slot = self.slot();
        self.bring(&job.needs)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (events, ours) = channel();
        lock(&self.jobs).insert(id, events);
        let result = self
            .order(&Order::Run { id, job: Box::new(job.clone()) })
            .and_then(|()| self.follow(&ours, job.timeout + GRACE, sink));
        lock(&self.jobs).remove(&id);
        result
    }

    /// Follows a job until it is done.
    fn follow(
        &self,
        from: &Receiver<Event>,
        most: Duration,
        sink: &mut dyn FnMut(&Chunk),
    ) -> Result<Report> {
        let end = std::time::Instant::now() + most;
        let mut output = Vec::new();
        loop {
            match from.recv_timeout(end.saturating_duration_since(std::time::Instant::now())) {
                Ok(Event::Output { chunk, .. }) => {
                    sink(&chunk);
                    output.push(chunk);
                }
                Ok(Event::Done { report, .. }) => return Ok(Report { output, ..*report }),
                Ok(Event::Ready) => {}
                Ok(Event::Failed(why)) => return Err(Error::Other(format!("In the lab: {why}"))),
                Err(RecvTimeoutError::Timeout) => return Err(self.outer.error("does not answer")),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.outer.error("ended in the middle of a job"));
                }
            }
        }
    }

    /// Waits for one of the places in which a job can run.
    fn slot(&self) -> Slot<'_> {
        let mut free = lock(&self.free);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot(self)
    }

    /// Brings files into the machine that it has not got yet, or not as they are now.
    fn bring(&self, needs: &[PathBuf]) -> Result<()> {
        let mut files = lock(&self.files);
        for need in needs {
            for path in pack::closure(need)? {
                let about = fs::metadata(&path).doing_with("Looking at", &path)?;
                let time = about.modified().doing_with("Looking at", &path)?;
                let now = (time, about.len());
                if files.get(&path) != Some(&now) {
                    self.put(&path, about.permissions().mode() & 0o777, about.len())?;
                    files.insert(path, now);
                }
            }
        }
        Ok(())
    }

    fn put(&self, path: &Path, mode: u32, size: u64) -> Result<()> {
        let mut file = File::open(path).doing_with("Opening", path)?;
        let name = path.to_string_lossy().into_owned();
        let mut to = lock(&self.to);
        send(&mut *to, &Order::Put { path: name, mode, size }).map_err(|_| self.gone())?;
        let sent = io::copy(&mut file, &mut *to).map_err(|_| self.gone())?;
        // The agent counts on the size that was announced.
        if sent == size { Ok(()) } else { Err(Error::Other(format!("{} changes", path.display()))) }
    }

    fn order(&self, order: &Order) -> Result<()> {
        send(&mut *lock(&self.to), order).map_err(|_| self.gone())
    }

    fn gone(&self) -> Error {
        self.outer.error("has ended")
    }
}

/// A place in which a job runs.
struct Slot<'a>(&'a Lab);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *lock(&self.0.free) += 1;
        self.0.freed.notify_one();
    }
}

/// Hands each event to whom it concerns. At the end all receivers find their channel closed.
fn listen(from: UnixStream, jobs: &Mutex<Jobs>) {
    let mut from = BufReader::new(from);
    while let Ok(Some(event)) = receive::<Event>(&mut from) {
        let mut jobs = lock(jobs);
        match &event {
            Event::Ready => {
                if let Some(ready) = jobs.remove(&0) {
                    // Nobody waits any more: then nobody is disappointed.
                    drop(ready.send(event));
                }
            }
            Event::Output { id, .. } | Event::Done { id, .. } => {
                if let Some(job) = jobs.get(id) {
                    drop(job.send(event));
                }
            }
            Event::Failed(why) => {
                for job in jobs.values() {
                    drop(job.send(Event::Failed(why.clone())));
                }
            }
        }
    }
    lock(jobs).clear();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
