//! What the process does that reads.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;

use guest_memory::hint::Hint;
use location::fetch::FetchProgress;

use super::{Message, NAME, sandbox, wire};
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
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (mut job, _): (Job, _) = wire::receive(&socket)?;
    // Above what the sandbox closes.
    drop(socket);
    let warning = sandbox::enter(&mut job);
    let socket = Arc::new(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?));
    let watch = Arc::new(Sender(Arc::clone(&socket)));
    match warning {
        Ok(warning) => warning.iter().for_each(|warning| watch.note(warning)),
        Err(error) => {
            let hint = error.hint().map(Into::into);
            let failed = Message::Failed { message: with_sources(&error), hint };
            return wire::send(&socket, &failed, &[]);
        }
    }
    match job.run(watch) {
        Ok(Opened { kernel, initrd, found }) => {
            let files = [&kernel, &initrd].into_iter().flatten();
            let files: Vec<_> = files.map(|file| file.file().as_fd()).collect();
            let name = |file: &Option<firmware::SourceFile>| {
                file.as_ref().map(|file| file.path().as_os_str().to_owned())
            };
            let found = found.map(Box::new);
            let done = Message::Done { kernel: name(&kernel), initrd: name(&initrd), found };
            wire::send(&socket, &done, &files)
        }
        Err(error) => {
            let hint = error.hint().map(Into::into);
            wire::send(&socket, &Message::Failed { message: with_sources(&error), hint }, &[])
        }
    }
}

/// Sends how the fetching goes.
#[derive(Debug)]
struct Sender(Arc<UnixStream>);

impl Sender {
    fn send(&self, message: &Message) {
        // Who has started this process no longer listens: it is about to be killed.
        let _ = wire::send(&self.0, message, &[]);
    }
}

impl FetchProgress for Sender {
    fn begin(&self, name: &str, total: u64, already: u64, resumes: bool) {
        self.send(&Message::Begin { name: name.to_owned(), total, already, resumes });
    }

    fn advance(&self, bytes: u64) {
        self.send(&Message::Advance(bytes));
    }

    fn end(&self, whole: bool) {
        self.send(&Message::End { whole });
    }

    fn note(&self, text: &str) {
        self.send(&Message::Note(text.to_owned()));
    }
}
