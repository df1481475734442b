//! A process of its own reads images, boot menus and servers' answers, so that a mistake in their
//! parsers does not give a stranger the user's rights.
//!
//! chukka starts its own program once more, under another name, with a socket as standard input.
//! The new process takes a [`Job`] from it, gives up everything that the job does not need
//! ([`vmm::sandbox::ReaderSandbox`]), and only then opens what the user named. It sends back how
//! the fetching goes, and in the end open files and plain data, or what is wrong. What it sends is
//! checked as strangers' input is: it may no longer be itself.

mod child;
mod directories;
mod sandbox;
mod wire;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use firmware::SourceFile;
use location::fetch::FetchProgress;
use serde::{Deserialize, Serialize};
use storage::OpenFor;
use thiserror::Error;

use crate::error::ResolveError;
use crate::report;
use crate::resolve::{Found, Job, MenuAnswer, Opened};
pub use child::run_as;
use directories::JobDirectories;

/// The name under which chukka starts itself.
const NAME: &str = "chukka-reader";

/// How much of what the process writes to standard error is printed.
const LONGEST_OUTPUT: u64 = 4096;

/// How long the process may take to end after it has closed its end of the connection.
const LONGEST_END: Duration = Duration::from_secs(3);

/// What the process finds in its environment: the user's proxies, certificates, cache and name
/// service. What else is there may be secret.
const ENVIRONMENT: [&str; 16] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HOME",
    "XDG_CACHE_HOME",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "HOSTALIASES",
    "LD_LIBRARY_PATH",
];

/// What the process sends.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// [`FetchProgress::begin`].
    Begin { name: String, total: u64, already: u64, resumes: bool },
    /// [`FetchProgress::advance`].
    Advance(u64),
    /// [`FetchProgress::end`].
    End { whole: bool },
    /// [`FetchProgress::note`].
    Note(String),
    /// The process may not open this path of a directory that the job names; it waits for the
    /// answer: a file with `Ok`, or the number of an error.
    Open { directory: OsString, path: OsString, wanted: OpenFor },
    /// The job is done. The files come with the message: the kernel, then the initrd.
    Done {
        kernel: Option<OsString>,
        initrd: Option<OsString>,
        found: Option<Box<Found>>,
        menu: Option<MenuAnswer>,
    },
    /// It cannot be done.
    Failed { message: String, hint: Option<String> },
}

/// What comes back for [`Message::Open`]: the number of an error, or a file with the message.
type Answer = Result<(), i32>;

/// Why the process has not done its job.
#[derive(Debug, Error)]
pub enum ReaderError {
    /// It could not be started, or the connection to it failed.
    #[error("Cannot start the process that reads images and servers' answers")]
    Start(#[source] io::Error),
    /// It has ended without an answer.
    #[error("The process that reads images and servers' answers {}", ending(*.0))]
    Died(ExitStatus),
    /// It has sent something that chukka does not send.
    #[error("The process that reads images and servers' answers has sent something unexpected")]
    Garbled(#[source] io::Error),
}

impl ReaderError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Start(_) => "check the limits for processes and open files with ulimit -a",
            Self::Died(status) if status.signal() == Some(libc::SIGKILL) => {
                "the host may have run out of memory: see dmesg"
            }
            Self::Died(_) | Self::Garbled(_) => {
                "this is a mistake in chukka, or an attack on it: do not use this location; please report it"
            }
        }
    }
}

impl ReaderError {
    /// The process has said that all is well, and has sent no such file.
    pub(crate) fn without(role: &str) -> Self {
        Self::Garbled(io::Error::other(format!("there is no {role}")))
    }
}

fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("has ended with status {code} and without an answer"),
        (None, None) => "has ended without an answer".into(),
    }
}

/// The process that reads, while there is one: whoever waits for it shares this with who ends it.
#[derive(Clone, Debug, Default)]
pub struct Reader(Arc<Mutex<Option<Child>>>);

impl Reader {
    /// Ends the process, if there is one.
    pub fn stop(&self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.kill().and_then(|()| child.wait());
        }
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a process of its own do `job`, and tells `watch` how the fetching goes. `reader` can end it.
///
/// # Errors
/// What the job leads to; the process has ended without an answer.
pub fn read(
    job: &Job,
    watch: &Arc<dyn FetchProgress>,
    reader: &Reader,
) -> Result<Opened, ResolveError> {
    let (ours, theirs) = UnixStream::pair().map_err(ReaderError::Start)?;
    *reader.child() = Some(start(theirs).map_err(ReaderError::Start)?);
    let answer = converse(&ours, job, watch);
    let Some(child) = reader.child().take() else {
        return Err(ReaderError::Start(io::ErrorKind::Interrupted.into()).into());
    };
    finish(child, answer)
}

/// Ends the process, prints its last words, and says what it has answered or how it has died. It
/// may no longer be itself, so nothing here waits for what it does.
fn finish(
    mut child: Child,
    answer: io::Result<Result<Opened, ResolveError>>,
) -> Result<Opened, ResolveError> {
    let died = match &answer {
        // It has closed its end, so it is about to die.
        Err(error) if is_end(error) => ended(&mut child),
        // Nothing that it could still do is wanted.
        _ => Ok(None),
    };
    if !matches!(died, Ok(Some(_))) {
        let _ = child.kill().and_then(|()| child.wait());
    }
    pass_on(&last_words(child.stderr.take()));
    match answer {
        Ok(answer) => answer,
        Err(error) => Err(match died.map_err(ReaderError::Start)? {
            Some(status) => ReaderError::Died(status),
            None => ReaderError::Garbled(error),
        }
        .into()),
    }
}

/// How the process has ended by itself, if it does so soon.
fn ended(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let latest = Instant::now() + LONGEST_END;
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= latest {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn start(socket: UnixStream) -> io::Result<Child> {
    let kept = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    Command::new("/proc/self/exe")
        .arg0(NAME)
        .env_clear()
        .envs(kept)
        .stdin(OwnedFd::from(socket))
        .stdout(Stdio::null())
        // Not the terminal: the process could read from it, or send it control sequences.
        .stderr(Stdio::piped())
        .spawn()
}

/// What the process has written to standard error before its end, such as which system call was
/// blocked.
fn last_words(output: Option<ChildStderr>) -> String {
    let mut text = Vec::new();
    if let Some(output) = output {
        // All of it is in the pipe, which has no end while a copy of its other side is open: the
        // process can have left one in a message. If this fails, how it ended is still reported.
        let _ = rustix::io::ioctl_fionbio(&output, true)
            .map_err(io::Error::from)
            .and_then(|()| output.take(LONGEST_OUTPUT).read_to_end(&mut text));
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Prints the last words of the process. An attacker may have taken it over by then.
fn pass_on(text: &str) {
    for line in text.lines().filter(|line| !line.is_empty()) {
        report::message(&format!("{NAME}: {line}"), None);
    }
}

/// Sends the job and takes messages until the last one.
fn converse(
    socket: &UnixStream,
    job: &Job,
    watch: &Arc<dyn FetchProgress>,
) -> io::Result<Result<Opened, ResolveError>> {
    wire::send(socket, job, &[])?;
    let mut directories = JobDirectories::of(job);
    loop {
        let (message, files) = wire::receive(socket)?;
        match message {
            Message::Begin { name, total, already, resumes } => {
                watch.begin(&name, total, already, resumes);
            }
            Message::Advance(bytes) => watch.advance(bytes),
            Message::End { whole } => watch.end(whole),
            Message::Note(text) => watch.note(&text),
            Message::Open { directory, path, wanted } => {
                match directories.open(&directory, &path, wanted)? {
                    Ok(file) => wire::send(socket, &Answer::Ok(()), &[file.as_fd()])?,
                    Err(number) => wire::send(socket, &Answer::Err(number), &[])?,
                }
            }
            Message::Failed { message, hint } => {
                return Ok(Err(ResolveError::Reported { message, hint }));
            }
            Message::Done { kernel, initrd, found, menu } => {
                let mut files = files.into_iter();
                let kernel = kernel.map(|name| opened(files.next(), &name, "kernel"));
                let initrd = initrd.map(|name| opened(files.next(), &name, "initrd"));
                let opened = || {
                    let (kernel, initrd) = (kernel.transpose()?, initrd.transpose()?);
                    Ok(Opened { kernel, initrd, found: found.map(|found| *found), menu })
                };
                return opened().map(Ok);
            }
        }
    }
}

/// A file that has been sent, checked as one that the user names.
fn opened(file: Option<File>, name: &OsStr, role: &'static str) -> io::Result<SourceFile> {
    let file = file.ok_or_else(|| io::Error::other(format!("there is no {role}")))?;
    SourceFile::opened(file, name, role).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A process that is in the place of the one that reads.
    fn process(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn end() -> io::Error {
        io::ErrorKind::UnexpectedEof.into()
    }

    #[test]
    fn a_process_that_closes_the_connection_and_stays_is_killed() {
        let child = process("exec sleep 600");
        let began = Instant::now();
        let error = finish(child, Err(end())).unwrap_err();
        assert!(matches!(error, ResolveError::Reader(ReaderError::Garbled(_))), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    }

    #[test]
    fn how_a_process_ends_is_told_if_it_takes_a_moment() {
        let error = finish(process("sleep 0.2; exit 7"), Err(end())).unwrap_err();
        let ResolveError::Reader(ReaderError::Died(status)) = error else { panic!("{error:?}") };
        assert_eq!(status.code(), Some(7));
    }

    #[test]
    fn last_words_are_read_though_somebody_could_still_write() {
        let (output, mut kept) = io::pipe().unwrap();
        kept.write_all(b"blocked\n").unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || tell.send(last_words(Some(OwnedFd::from(output).into()))));
        let text = told.recv_timeout(Duration::from_secs(10)).expect("it does not wait for an end");
        assert_eq!(text, "blocked\n");
        drop(kept);
    }
}
