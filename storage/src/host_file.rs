//! Bytes of wherever as a file of this host, which is what guest memory is filled from.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::source::{Failure, RandomAccess, each_piece};

/// A copy of `bytes` in the host's memory, without a name, that nobody can write to.
///
/// # Errors
/// It cannot be read, has fewer or more bytes than it said, or there is no memory.
pub fn copy_of(bytes: &(impl RandomAccess + ?Sized)) -> io::Result<File> {
    let mut memory = in_memory()?;
    let count = each_piece(bytes, |piece| memory.write_all(piece))?;
    if count != bytes.len() {
        let problem = format!("it ended after {count} bytes, expected {}", bytes.len());
        return Err(Failure::new(problem, "was it changed meanwhile? start again").into());
    }
    read_only(&memory)
}

/// An empty file in the host's memory, without a name in any directory.
pub fn in_memory() -> io::Result<File> {
    Ok(File::from(memfd_create("chukka", MemfdFlags::CLOEXEC)?))
}

/// The same file, for reading only: what somebody can write to cannot be mapped into the guest (`F_SETLEASE`, fcntl(2)).
pub fn read_only(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::testing::Temp;
    use crate::{Source, TreePath};

    /// As what comes over a network.
    #[derive(Debug)]
    struct Elsewhere(Vec<u8>);

    impl RandomAccess for Elsewhere {
        fn name(&self) -> &str {
            "elsewhere"
        }

        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
            // Seven bytes at a time at most.
            let rest = self.0.iter().skip(usize::try_from(at).unwrap());
            Ok(to.iter_mut().take(7).zip(rest).map(|(to, from)| *to = *from).count())
        }
    }

    fn whole(mut file: File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_elsewhere_is_copied_and_what_is_here_is_not() {
        let bytes: Vec<u8> = (0..100).collect();
        assert_eq!(whole(Box::new(Elsewhere(bytes.clone())).into_file().unwrap()), bytes);
        let temp = Temp::of(&["here"]);
        let mut file = temp.source().open(&TreePath::new("here")).unwrap().into_file().unwrap();
        temp.file("here", b"changed");
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "changed", "it is the file itself");
    }
}
