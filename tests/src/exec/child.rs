//! The process of a job and its three standard streams.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use crate::job::{Input, Job, Stream};
use crate::sys::{self, ExecClock, Prepare, Pty};

/// A started job.
pub(super) struct Child {
    /// Its process, which leads a session and a process group.
    pub pid: i32,
    /// Readable once it has ended.
    pub ended: OwnedFd,
    /// The moment of its exec.
    pub started: u64,
    /// Standard output (or the terminal) and standard error; none once at its end.
    pub outputs: [Option<File>; 2],
    /// What is still to be written to standard input.
    pub pending: VecDeque<u8>,
    /// The terminal's flags before the start.
    pub flags_before: Option<String>,
    input: Option<File>,
    close: bool,
    // Kept open so that the terminal can be inspected when the job has closed it.
    slave: Option<OwnedFd>,
}

impl Child {
    /// Starts a job.
    pub fn spawn(job: &Job) -> io::Result<Self> {
        let (program, words) =
            job.command.split_first().ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut command = Command::new(program);
        command.args(words).envs(&job.env);
        if std::env::var_os("PATH").is_none() && !job.env.contains_key("PATH") {
            command.env("PATH", "/bin:/sbin:/usr/bin:/usr/sbin");
        }
        if let Some(folder) = &job.folder {
            command.current_dir(folder);
        }
        let pty = if job.input == Input::Terminal { Some(Pty::open()?) } else { None };
        if let Some(pty) = &pty {
            command.stdin(pty.slave.try_clone()?).stdout(pty.slave.try_clone()?);
            command.stderr(pty.slave.try_clone()?);
        } else {
            let null = job.input == Input::Null;
            command.stdin(if null { Stdio::null() } else { Stdio::piped() });
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let clock = ExecClock::new()?;
        let limits = job.limits.iter().map(|(name, value)| Ok((resource(name)?, *value)));
        let what = Prepare {
            terminal: pty.is_some(),
            limits: limits.collect::<io::Result<_>>()?,
            user: job.user,
            delay: job.delay,
        };
        sys::prepare(&mut command, &clock, what);
        let flags_before = pty.as_ref().map(|pty| sys::describe(pty.slave.as_fd())).transpose()?;
        let mut process = command.spawn()?;
        drop(command);
        let pid = i32::try_from(process.id()).map_err(io::Error::other)?;
        let (input, outputs, slave) = match pty {
            Some(pty) => {
                let input = Some(File::from(pty.master.try_clone()?));
                (input, [Some(File::from(pty.master)), None], Some(pty.slave))
            }
            None => {
                let file = |fd: Option<OwnedFd>| fd.map(File::from);
                let outputs = [
                    file(process.stdout.take().map(Into::into)),
                    file(process.stderr.take().map(Into::into)),
                ];
                (file(process.stdin.take().map(Into::into)), outputs, None)
            }
        };
        for file in outputs.iter().flatten().chain(&input) {
            sys::set_nonblocking(file.as_fd())?;
        }
        let (pending, close) = match &job.input {
            Input::Bytes(bytes) => (bytes.iter().copied().collect(), true),
            _ => (VecDeque::new(), false),
        };
        let ended = sys::pidfd(pid)?;
        let started = clock.read();
        let mut child =
            Self { pid, ended, started, outputs, pending, flags_before, input, close, slave };
        child.write();
        Ok(child)
    }

    /// Standard input, if there is something to write to it.
    pub fn writable(&self) -> Option<&File> {
        self.input.as_ref().filter(|_| !self.pending.is_empty())
    }

    /// Writes as much of what is pending as the pipe takes.
    pub fn write(&mut self) {
        while let (Some(input), false) = (&mut self.input, self.pending.is_empty()) {
            match input.write(self.pending.make_contiguous()) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The job has closed its end, so the rest is never read.
                Err(_) => self.pending.clear(),
            }
        }
        if self.close {
            self.input = None;
        }
    }

    /// Closes standard input as soon as all is written.
    pub fn close_after_writing(&mut self) {
        self.close = true;
        self.write();
    }

    /// Reads the available data of a stream; empty if there is none.
    pub fn read(&mut self, stream: Stream) -> Vec<u8> {
        let output = &mut self.outputs[stream as usize];
        let Some(file) = output else { return Vec::new() };
        let mut buffer = [0; 65536];
        match file.read(&mut buffer) {
            Ok(0) => *output = None,
            Ok(n) => return buffer[..n].to_vec(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // A terminal's other end has been closed.
            Err(_) => *output = None,
        }
        Vec::new()
    }

    /// The terminal's flags now.
    pub fn flags(&self) -> Option<String> {
        self.slave.as_ref().and_then(|slave| sys::describe(slave.as_fd()).ok())
    }
}

fn resource(name: &str) -> io::Result<u32> {
    Ok(match name {
        "as" => libc::RLIMIT_AS,
        "core" => libc::RLIMIT_CORE,
        "cpu" => libc::RLIMIT_CPU,
        "data" => libc::RLIMIT_DATA,
        "fsize" => libc::RLIMIT_FSIZE,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "stack" => libc::RLIMIT_STACK,
        _ => return Err(io::Error::other(format!("unknown resource limit {name}"))),
    })
}
