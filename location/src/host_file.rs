//! Bytes of wherever as a file of this host, which is what guest memory is filled from.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::source::{RandomAccess, each_piece};

/// A file with exactly the bytes of `bytes`: its own where it is one of this host, else a copy in the host's memory.
///
/// # Errors
/// It cannot be read, or there is no memory.
pub fn host_file(bytes: Box<dyn RandomAccess>) -> io::Result<File> {
    bytes.into_file().or_else(|bytes| {
        let mut memory = in_memory()?;
        each_piece(&*bytes, |piece| memory.write_all(piece))?;
        read_only(&memory)
    })
}

/// An empty file in the host's memory, without a name in any directory.
pub(crate) fn in_memory() -> io::Result<File> {
    Ok(File::from(memfd_create("chukka", MemfdFlags::CLOEXEC)?))
}

/// The same file, for reading only: what somebody can write to cannot be mapped into the guest (`F_SETLEASE`, fcntl(2)).
pub(crate) fn read_only(file: &File) -> io::Result<File> {
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

        fn into_file(self: Box<Self>) -> Result<File, Box<dyn RandomAccess>> {
            Err(self)
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
        assert_eq!(whole(host_file(Box::new(Elsewhere(bytes.clone()))).unwrap()), bytes);
        let temp = Temp::of(&["here"]);
        let mut file = host_file(temp.source().open(&TreePath::new("here")).unwrap()).unwrap();
        temp.file("here", b"changed");
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "changed", "it is the file itself");
    }
}
