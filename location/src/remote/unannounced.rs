//! Files whose length a server does not tell: how much of them is taken.

use std::fs::File;
use std::io::{self, Write};

use crate::fetch::RAISE_LIMIT;
use storage::{Failure, host_file};

/// What is wanted of a file whose length the server does not tell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// All of it; more than so many bytes are an error.
    All(u64),
    /// So many bytes at most. One more is taken, to tell that it is longer.
    Beginning(u64),
}

/// What was taken of such a file.
pub(super) struct Taken {
    /// Its bytes, for reading only.
    pub file: File,
    /// How many there are.
    pub len: u64,
    /// Whether the server has no more.
    pub is_whole: bool,
}

/// Has `read` called for the bytes behind `head`, until it returns 0 or there are enough.
///
/// # Errors
/// What `read` says; `error` of what this host says, or of a file that is too long.
pub(super) fn take<E>(
    wanted: Wanted,
    head: &[u8],
    mut read: impl FnMut(&mut [u8]) -> Result<usize, E>,
    error: impl Fn(io::Error) -> E,
) -> Result<Taken, E> {
    const PIECE: u64 = 1 << 18;
    let (Wanted::All(most) | Wanted::Beginning(most)) = wanted;
    let enough = most.saturating_add(1);
    let mut file = host_file::in_memory().map_err(&error)?;
    file.write_all(head).map_err(&error)?;
    let mut len = head.len() as u64;
    let mut piece = vec![0; usize::try_from(PIECE.min(enough)).unwrap_or_default()];
    let is_whole = loop {
        if len > most {
            break false;
        }
        let rest = usize::try_from(enough - len).map_or(piece.len(), |rest| rest.min(piece.len()));
        match read(&mut piece[..rest])? {
            0 => break true,
            count => {
                file.write_all(&piece[..count]).map_err(&error)?;
                len += count as u64;
            }
        }
    };
    if let (false, Wanted::All(most)) = (is_whole, wanted) {
        let problem =
            format!("the server does not announce the length, and sent more than {most} bytes");
        return Err(error(Failure::new(problem, RAISE_LIMIT).into()));
    }
    Ok(Taken { file: host_file::read_only(&file).map_err(error)?, len, is_whole })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// What is taken of `sent`, whose first two bytes came before, and how many bytes were read.
    fn taken(wanted: Wanted, sent: &[u8]) -> (io::Result<(Vec<u8>, u64, bool)>, usize) {
        let mut rest = &sent[2..];
        let taken = take(wanted, &sent[..2], |to| rest.read(to), |error| error);
        let taken = taken.map(|mut taken| {
            let mut bytes = Vec::new();
            taken.file.read_to_end(&mut bytes).unwrap();
            (bytes, taken.len, taken.is_whole)
        });
        (taken, sent.len() - rest.len())
    }

    #[test]
    fn all_of_a_file_is_taken_up_to_the_limit() {
        for limit in [5, 6, u64::MAX] {
            let (file, _) = taken(Wanted::All(limit), b"01234");
            assert_eq!(file.unwrap(), (b"01234".to_vec(), 5, true), "{limit}");
        }
        let (error, read) = taken(Wanted::All(4), b"0123456789");
        let error = error.unwrap_err();
        let expected = "the server does not announce the length, and sent more than 4 bytes";
        assert_eq!((error.to_string().as_str(), read), (expected, 5));
        assert_eq!(storage::hint_of(&error), Some(RAISE_LIMIT));
    }

    #[test]
    fn no_more_is_taken_of_a_beginning_than_tells_that_the_file_is_longer() {
        for (most, expected, is_whole) in
            [(4, "01234", false), (5, "01234", true), (1, "01", false)]
        {
            let (file, read) = taken(Wanted::Beginning(most), b"01234");
            let len = expected.len() as u64;
            assert_eq!(file.unwrap(), (expected.into(), len, is_whole), "{most}");
            assert_eq!(read, expected.len());
        }
    }
}
