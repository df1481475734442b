//! Standard input as a descriptor that epoll can wait for, whatever its type.

use std::fs::File;
use std::io::{self, IsTerminal, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// Maximum number of bytes per read.
const CHUNK: usize = 1024;

/// Standard input.
#[derive(Debug)]
pub struct Input {
    source: Source,
    /// A terminal is always read so that Ctrl-A x is noticed. Other input is read only when the
    /// guest has room for it.
    pub is_terminal: bool,
}

#[derive(Debug)]
enum Source {
    /// Standard input itself.
    Direct(File),
    /// A regular file, which epoll(7) does not support: a thread copies it into a pipe.
    Pumped(PipeReader),
}

impl Input {
    /// Opens standard input.
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

    /// Reads the available input, at most one chunk; empty at end of file.
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

/// Starts a thread that copies `file` into a pipe until the end of the file, or until the process
/// exits.
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

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::tests::Scratch;

    /// Set in the child process whose standard input is another one: whether it is a pipe.
    const CHILD: &str = "CHUKKA_TEST_INPUT";

    #[test]
    fn a_pipe_is_read_itself_and_a_file_through_a_pipe() {
        if let Some(is_pipe) = std::env::var_os(CHILD) {
            let mut input = Input::open().unwrap();
            assert_eq!(matches!(input.source, Source::Direct(_)), is_pipe == "true");
            assert!(!input.is_terminal);
            assert_ne!(input.as_raw_fd(), 0, "a descriptor of its own");
            assert_eq!(input.read().unwrap(), b"typed");
            assert_eq!(input.read().unwrap(), b"", "the end");
            return;
        }
        let file = Scratch::new(b"typed");
        for is_pipe in [false, true] {
            let mut command = Command::new(std::env::current_exe().unwrap());
            let test = "host::input::tests::a_pipe_is_read_itself_and_a_file_through_a_pipe";
            command.args(["--exact", test]).env(CHILD, is_pipe.to_string());
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(b"typed").unwrap();
            drop(writer);
            command.stdin(if is_pipe {
                Stdio::from(reader)
            } else {
                Stdio::from(File::open(&file.0).unwrap())
            });
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        }
    }
}
