//! Standard input as a descriptor that epoll can wait for, whatever standard input is.

use std::fs::File;
use std::io::{self, IsTerminal, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// Bytes read at once.
const CHUNK: usize = 1024;

/// Standard input.
#[derive(Debug)]
pub struct Input {
    source: Source,
    /// A terminal is always read, so that Ctrl-A x is heard; anything else only when the guest has
    /// room.
    pub is_terminal: bool,
}

#[derive(Debug)]
enum Source {
    /// Standard input itself.
    Direct(File),
    /// epoll(7) takes no regular files: a thread reads them into a pipe.
    Pumped(PipeReader),
}

impl Input {
    /// Standard input.
    ///
    /// # Errors
    /// See dup(2) and pipe(2).
    pub fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let file = File::from(stdin.as_fd().try_clone_to_owned()?);
        let kind = file.metadata()?.file_type();
        let is_terminal = stdin.is_terminal();
        use std::os::unix::fs::FileTypeExt;
        let pollable = is_terminal || kind.is_fifo() || kind.is_socket();
        let source = if pollable { Source::Direct(file) } else { Source::Pumped(pump(file)?) };
        Ok(Self { source, is_terminal })
    }

    /// What there is to read, a chunk at most; empty at the end.
    ///
    /// # Errors
    /// See read(2).
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; CHUNK];
        let count = match &mut self.source {
            Source::Direct(file) => file.read(&mut bytes)?,
            Source::Pumped(pipe) => pipe.read(&mut bytes)?,
        };
        bytes.truncate(count);
        Ok(bytes)
    }
}

impl AsRawFd for Input {
    fn as_raw_fd(&self) -> RawFd {
        match &self.source {
            Source::Direct(file) => file.as_raw_fd(),
            Source::Pumped(pipe) => pipe.as_raw_fd(),
        }
    }
}

/// Starts the thread that copies `file` into a pipe. It ends with the file, or with the process.
fn pump(mut file: File) -> io::Result<PipeReader> {
    let (reader, mut writer) = io::pipe()?;
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut bytes = [0; CHUNK];
        while let Ok(count @ 1..) = file.read(&mut bytes) {
            if writer.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
    })?;
    Ok(reader)
}
