//! Takes orders and runs jobs.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::job::Job;
use crate::lab::wire::{ALIVE_EVERY, Event, Order, REPORTS, receive, send};
use crate::{Doing, Error, Result, exec};

/// Runs all jobs, one after the other, and only then sends their reports, so that sending disturbs
/// none. Between them it prints a word, from which the host sees that the machine is still running.
pub(super) fn batch(jobs: &[Job]) -> Result<()> {
    let run = |job| {
        eprintln!("lab-agent: next job");
        exec::run(job, &mut |_| {})
    };
    let reports: Vec<_> = jobs.iter().map(run).collect();
    let path = Path::new(REPORTS);
    let file = File::options().write(true).open(path).doing_with("Opening", path)?;
    let mut to = BufWriter::new(file);
    send(&mut to, &reports)
}

/// Runs what the host orders until it hangs up.
pub(super) fn orders(port: &File) -> Result<()> {
    let mut from = BufReader::with_capacity(1 << 18, port);
    let to = Arc::new(Mutex::new(port.try_clone().doing("Copying the port")?));
    tell(&to, &Event::Ready);
    let alive = Arc::clone(&to);
    thread::spawn(move || {
        loop {
            thread::sleep(ALIVE_EVERY);
            tell(&alive, &Event::Alive);
        }
    });
    while let Some(order) = receive(&mut from)? {
        match order {
            Order::Put { path, mode, size } => {
                // The bytes must be taken from the wire even where the file cannot be written.
                let mut bytes = from.by_ref().take(size);
                if let Err(error) = put(Path::new(&path), mode, &mut bytes) {
                    std::io::copy(&mut bytes, &mut std::io::sink()).doing("Skipping a file")?;
                    tell(&to, &Event::Failed(error.to_string()));
                }
            }
            Order::Run { id, job } => {
                let to = Arc::clone(&to);
                thread::spawn(move || run(id, &job, &to));
            }
            Order::Wake => {}
        }
    }
    Ok(())
}

fn run(id: u64, job: &Job, to: &Mutex<File>) {
    let mut report = exec::run(job, &mut |chunk| {
        tell(to, &Event::Output { id, chunk: chunk.clone() });
    });
    report.output.clear();
    tell(to, &Event::Done { id, report: Box::new(report) });
}

fn tell(to: &Mutex<File>, event: &Event) {
    let mut to = to.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = send(&mut *to, event) {
        eprintln!("lab-agent: {error}");
    }
}

fn put(path: &Path, mode: u32, bytes: &mut impl Read) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).doing_with("Making", folder)?;
    }
    // A program that runs cannot be written to, but another can take its name.
    if path.exists() {
        fs::remove_file(path).doing_with("Removing", path)?;
    }
    let mut file = File::create(path).doing_with("Making", path)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let n = bytes.read(&mut buffer).doing_with("Receiving", path)?;
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n]).map_err(|error| Error::io("Writing a file", error))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .doing_with("Setting the mode of", path)
}
