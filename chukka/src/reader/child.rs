//! What the process does that reads.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use guest_memory::hint::Hint;
use location::fetch::FetchProgress;
use location::place::PreopenedPaths;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use storage::sync::lock;
use storage::{OpenFor, Opener, TreePath};
use vmm::sandbox::ReaderSandbox;

use super::{Answer, Message, NAME, sandbox, wire};
use crate::report::{self, COULD_NOT_RUN, with_sources};
use crate::resolve::{Job, Opened};

/// Does the job that comes from standard input, if this program was started to do that. `program`
/// is the name it was started by.
#[must_use]
pub fn run_as(program: &OsStr) -> Option<ExitCode> {
    (program == NAME).then(|| match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::message(&format!("{NAME}: {error}"), Some("chukka starts this by itself"));
            ExitCode::from(COULD_NOT_RUN)
        }
    })
}

fn run() -> io::Result<()> {
    ReaderSandbox::close_inherited()?;
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (mut job, _): (Job, _) = wire::receive(&socket)?;
    let parent = Arc::new(Parent(Mutex::new(socket)));
    // Open them while this process still has its user's rights. Nothing in them is read yet.
    let held = PreopenedPaths::open(job.paths(), |directory| {
        let (parent, directory) = (Arc::clone(&parent), directory.into());
        Arc::new(ParentOpener { parent, directory })
    });
    let entered = sandbox::enter(&mut job);
    // The parent may have died before PR_SET_PDEATHSIG took effect.
    if parent.is_gone()? {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    match entered {
        Ok(warning) => warning.iter().for_each(|warning| parent.note(warning)),
        Err(error) => {
            let hint = error.hint().map(Into::into);
            return parent.send(&Message::Failed { message: with_sources(&error), hint });
        }
    }
    match job.run(Arc::<Parent>::clone(&parent), held) {
        Ok(Opened { kernel, initrd, found, menu }) => {
            let files = [&kernel, &initrd].into_iter().flatten();
            let files: Vec<_> = files.map(|file| file.file().as_fd()).collect();
            let name = |file: &Option<firmware::SourceFile>| {
                file.as_ref().map(|file| file.path().as_os_str().to_owned())
            };
            let found = found.map(Box::new);
            let (kernel, initrd) = (name(&kernel), name(&initrd));
            let done = Message::Done { kernel, initrd, found, menu };
            wire::send(&lock(&parent.0), &done, &files)
        }
        Err(error) => {
            let hint = error.hint().map(Into::into);
            parent.send(&Message::Failed { message: with_sources(&error), hint })
        }
    }
}

/// The connection to the process that started this one.
#[derive(Debug)]
struct Parent(Mutex<UnixStream>);

impl Parent {
    fn send(&self, message: &Message) -> io::Result<()> {
        wire::send(&lock(&self.0), message, &[])
    }

    fn is_gone(&self) -> io::Result<bool> {
        let socket = lock(&self.0);
        let mut polled = [PollFd::new(&*socket, PollFlags::empty())];
        poll(&mut polled, Some(&Timespec::default()))?;
        Ok(polled[0].revents().contains(PollFlags::HUP))
    }

    /// Reports progress to the parent.
    fn tell(&self, message: &Message) {
        // Nobody listens any more: this process is about to be killed.
        let _ = self.send(message);
    }
}

/// Opens what this process may not, in a directory that the user named.
#[derive(Debug)]
struct ParentOpener {
    parent: Arc<Parent>,
    directory: OsString,
}

impl Opener for ParentOpener {
    fn open(&self, path: &TreePath, wanted: OpenFor) -> io::Result<OwnedFd> {
        let (directory, path) = (self.directory.clone(), path.as_path().into());
        let socket = lock(&self.parent.0);
        wire::send(&socket, &Message::Open { directory, path, wanted }, &[])?;
        let (answer, mut files): (Answer, _) = wire::receive(&socket)?;
        answer.map_err(io::Error::from_raw_os_error)?;
        files.pop().map(Into::into).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl FetchProgress for Parent {
    fn begin(&self, name: &str, total: u64, already: u64, resumes: bool) {
        self.tell(&Message::Begin { name: name.to_owned(), total, already, resumes });
    }

    fn advance(&self, bytes: u64) {
        self.tell(&Message::Advance(bytes));
    }

    fn end(&self, whole: bool) {
        self.tell(&Message::End { whole });
    }

    fn note(&self, text: &str) {
        self.tell(&Message::Note(text.to_owned()));
    }
}
