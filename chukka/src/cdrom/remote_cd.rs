//! A CD on a server: only what the guest reads is fetched, by ranges, with read-ahead.

use std::io;
use std::path::{Path, PathBuf};

use devices::scsi::cdrom::Disc;
use location::remote::Net;
use location::{FileError, Place, RandomAccess, SpellingError, place};
use thiserror::Error;
use vm_memory::VolatileSlice;

use super::ReadReports;

/// Why a CD on a server cannot be used.
#[derive(Debug, Error)]
pub(super) enum RemoteCdError {
    #[error(transparent)]
    Spelling(#[from] SpellingError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("The server sends the file only as a whole")]
    Sequential,
    #[error("The file is empty")]
    Empty,
}

impl RemoteCdError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Spelling(error) => error.hint().into(),
            Self::File(error) => error.hint().unwrap_or("check the URL").into(),
            Self::Sequential => {
                "download it first, or use an HTTP server with ranges, or NFS".into()
            }
            Self::Empty => "check the URL".into(),
        })
    }
}

/// The name of a CD for messages, without a password.
pub fn shown(path: &Path) -> PathBuf {
    match place::url(path) {
        Some(Ok(place)) => place.to_string().into(),
        _ => path.into(),
    }
}

/// A CD on a server.
#[derive(Debug)]
pub(super) struct RemoteImage {
    file: Box<dyn RandomAccess>,
    reports: ReadReports,
}

impl RemoteImage {
    /// Opens the CD at `place`.
    ///
    /// # Errors
    /// It is not there, it is empty, or the server cannot send parts of it.
    pub fn open(place: &Place, net: &Net) -> Result<Self, RemoteCdError> {
        let file = place.open_file(net, None).map_err(location::PlaceError::into_problem)?;
        if file.is_sequential() {
            return Err(RemoteCdError::Sequential);
        }
        if file.is_empty() {
            return Err(RemoteCdError::Empty);
        }
        Ok(Self { file, reports: ReadReports::new(place.to_string()) })
    }

    fn read_all(&self, to: &[VolatileSlice<'_>], mut offset: u64) -> io::Result<()> {
        let mut piece = [0; PIECE];
        for slice in to {
            let mut done = 0;
            while done < slice.len() {
                let most = (slice.len() - done).min(PIECE);
                let count = self.file.read_at(&mut piece[..most], offset)?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let target = slice.subslice(done, count).map_err(io::Error::other)?;
                target.copy_from(&piece[..count]);
                done += count;
                offset += count as u64;
            }
        }
        Ok(())
    }
}

/// Bytes that are copied at a time.
const PIECE: usize = 16 << 10;

impl Disc for RemoteImage {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read(&self, to: &[VolatileSlice<'_>], offset: u64) -> io::Result<()> {
        self.reports.check(self.read_all(to, offset))
    }
}
