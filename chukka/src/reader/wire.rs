//! Messages between the two processes: a length of four bytes in this host's order, then JSON. Open
//! files come with the length (`SCM_RIGHTS`, unix(7)).

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes of a message. The longest have the names of many files, and a list of what was tried.
const LONGEST: usize = 16 << 20;
/// Most files with a message: kernel and initrd.
const FILES: usize = 2;

/// Sends a message with `files`, at most two.
pub(super) fn send(
    mut socket: &UnixStream,
    message: &impl Serialize,
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other("too many files"));
    }
    let sent = sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    socket.write_all(&bytes[sent..])
}

/// Takes a message and its files.
pub(super) fn receive<T: DeserializeOwned>(mut socket: &UnixStream) -> io::Result<(T, Vec<File>)> {
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let buffers = &mut [IoSliceMut::new(&mut length)];
        match recvmsg(socket, buffers, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            got => break got?.bytes,
        }
    };
    if got == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    let files: Vec<File> = files.flatten().map(File::from).collect();
    socket.read_exact(&mut length[got..])?;
    let length = u32::from_ne_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes)?;
    // Not as serde_json has it: JSON that is cut short is not the end of the connection.
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    Ok((serde_json::from_slice(&bytes).map_err(invalid)?, files))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_message_brings_its_files() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = storage::host_file::in_memory().unwrap();
        (&file).write_all(b"hello").unwrap();
        send(&theirs, &"first", &[]).unwrap();
        send(&theirs, &"second", &[file.as_fd(), file.as_fd()]).unwrap();
        let (text, files): (String, _) = receive(&ours).unwrap();
        assert_eq!((text.as_str(), files.len()), ("first", 0));
        let (text, files): (String, _) = receive(&ours).unwrap();
        assert_eq!((text.as_str(), files.len()), ("second", 2));
        assert_eq!(files[1].metadata().unwrap().len(), 5);
        drop(theirs);
        let error = receive::<String>(&ours).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_too_long_cut_short_or_no_message_is_an_error() {
        let received = |bytes: &[u8]| {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(bytes).unwrap();
            drop(theirs);
            receive::<String>(&ours).unwrap_err()
        };
        let end = io::ErrorKind::UnexpectedEof;
        let long = u32::try_from(LONGEST + 1).unwrap().to_ne_bytes();
        assert_eq!(received(&long).to_string(), "a message of 16777217 bytes");
        assert_eq!(received(&[5, 0]).kind(), end);
        assert_eq!(received(&[5, 0, 0, 0, b'"']).kind(), end);
        // Whole messages, of which the second has half a text: the sender may still be there.
        for text in [b'{', b'"'] {
            assert_eq!(received(&[1, 0, 0, 0, text]).kind(), io::ErrorKind::InvalidData);
        }
    }
}
