//! Runs one job on this machine, be that the host or the outer machine of the lab.

mod child;
mod counters;
mod gather;
mod tracker;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use crate::job::{Act, Chunk, Job, Mark, Report, Status, Stream, TerminalFlags};
use crate::sys::{self, Usage, Watch};
use child::Child;
use counters::Counters;
use gather::Gather;
use tracker::Tracker;

/// Runs a job to its end; hands each piece of output to `sink` as it comes.
pub fn run(job: &Job, sink: &mut dyn FnMut(&Chunk)) -> Report {
    match Run::start(job, sink).and_then(Run::finish) {
        Ok(report) => report,
        Err(error) => Report::not_started(format!("{}: {error}", job.line())),
    }
}

struct Run<'a> {
    job: &'a Job,
    child: Child,
    tracker: Tracker,
    gather: Gather<'a>,
    counters: Counters,
    marks: Vec<Mark>,
}

impl<'a> Run<'a> {
    fn start(job: &'a Job, sink: &'a mut dyn FnMut(&Chunk)) -> io::Result<Self> {
        write_files(job)?;
        let counters = Counters::watch();
        Ok(Self {
            job,
            child: Child::spawn(job)?,
            tracker: Tracker::new(&job.marks, &job.steps),
            gather: Gather::new(sink),
            counters,
            marks: Vec::new(),
        })
    }

    fn now(&self) -> u64 {
        sys::now_ns().saturating_sub(self.child.started)
    }

    fn finish(mut self) -> io::Result<Report> {
        let limit = u64::try_from(self.job.timeout.as_nanos()).unwrap_or(u64::MAX);
        let mut over = false;
        let elapsed = loop {
            if self.wait(limit)? {
                break self.now();
            }
            self.act();
            if self.now() >= limit && !over {
                over = true;
                self.counters.find_new(self.child.pid);
                sys::kill_group(self.child.pid);
            }
        };
        self.drain();
        let usage = sys::wait(self.child.pid)?;
        sys::kill_group(self.child.pid);
        self.gather.flush();
        Ok(self.report(elapsed, over, usage))
    }

    /// Waits for the next thing to happen and takes what was printed; true once the child has
    /// ended.
    fn wait(&mut self, limit: u64) -> io::Result<bool> {
        let now = self.now();
        let next = [self.tracker.due(), self.gather.due(), (now < limit).then_some(limit)];
        let timeout = next.into_iter().flatten().min();
        let timeout = timeout.map(|at| Duration::from_nanos(at.saturating_sub(now)));
        let child = &self.child;
        let ready = sys::poll(
            &[
                Watch::read(child.outputs[0].as_ref().map(AsFd::as_fd)),
                Watch::read(child.outputs[1].as_ref().map(AsFd::as_fd)),
                Watch::read(Some(child.ended.as_fd())),
                Watch::read(self.counters.news.as_ref().map(AsFd::as_fd)),
                Watch::write(child.writable().map(AsFd::as_fd)),
            ],
            timeout,
        )?;
        if ready[3] {
            self.counters.find_new(self.child.pid);
        }
        for stream in [Stream::Out, Stream::Err] {
            if ready[stream as usize] {
                self.take(stream);
            }
        }
        if ready[4] {
            self.child.write();
        }
        self.gather.tick(self.now());
        Ok(ready[2])
    }

    /// Takes one piece of output; false if there was none.
    fn take(&mut self, stream: Stream) -> bool {
        let bytes = self.child.read(stream);
        if bytes.is_empty() {
            return false;
        }
        let now = self.now();
        let seen = self.tracker.feed(stream, &bytes, now);
        self.gather.add(now, stream, &bytes);
        for name in seen {
            self.mark(name, now);
        }
        true
    }

    fn drain(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            while self.take(stream) {}
        }
    }

    /// Takes every step whose time has come.
    fn act(&mut self) {
        while let Some(act) = self.tracker.next_act(self.now()) {
            match act {
                Act::Send(bytes) => {
                    self.child.pending.extend(bytes);
                    self.child.write();
                }
                Act::Close => self.child.close_after_writing(),
                // A process that has just ended takes no signal; its report will say how it ended.
                Act::Signal(signal) => drop(sys::kill(self.child.pid, signal)),
                Act::Mark(name) => self.mark(name, self.now()),
            }
        }
    }

    fn mark(&mut self, name: String, ns: u64) {
        self.counters.find_new(self.child.pid);
        let counters = self.counters.read();
        let folder = Path::new("/proc").join(self.child.pid.to_string());
        let mut proc_files = BTreeMap::new();
        for file in &self.job.proc_files {
            let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
            proc_files.insert(file.clone(), text);
        }
        self.marks.push(Mark { name, ns, counters, terminal: self.child.flags(), proc_files });
    }

    fn report(mut self, elapsed: u64, over: bool, usage: Usage) -> Report {
        let after = self.child.flags();
        let before = self.child.flags_before.take();
        Report {
            status: if over { Status::Timeout } else { status(usage.status) },
            elapsed: Duration::from_nanos(elapsed),
            output: self.gather.done(),
            marks: self.marks,
            steps_left: self.tracker.left(),
            counters: self.counters.read(),
            max_rss_kib: usage.max_rss_kib,
            user: Duration::from_micros(usage.user_us),
            system: Duration::from_micros(usage.system_us),
            terminal: before.zip(after).map(|(before, after)| TerminalFlags { before, after }),
        }
    }
}

/// The status word of wait(2), read as in its manual page.
fn status(word: i32) -> Status {
    if libc::WIFSIGNALED(word) {
        Status::Signal(libc::WTERMSIG(word))
    } else {
        Status::Exit(libc::WEXITSTATUS(word))
    }
}

fn write_files(job: &Job) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(folder) = &job.folder {
        fs::create_dir_all(folder)?;
    }
    for file in &job.files {
        let path = Path::new(&file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, &file.content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(file.mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
