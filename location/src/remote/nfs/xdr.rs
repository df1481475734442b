//! What a server answers, taken apart with every length checked (XDR, RFC 4506). nfs3_client's own
//! types allocate what the server says.

use std::io::Read;

use nfs3_client::nfs3_types::xdr_codec::{Result as Unpacked, Unpack};

use super::wire::RECORD;

/// What comes back from a call, as it is.
#[derive(Debug)]
pub(super) struct Reply(Vec<u8>);

impl Unpack for Reply {
    fn unpack(input: &mut impl Read) -> Unpacked<(Self, usize)> {
        let mut bytes = Vec::new();
        input.take(RECORD as u64).read_to_end(&mut bytes)?;
        let len = bytes.len();
        Ok((Self(bytes), len))
    }
}

impl Reply {
    /// From its beginning.
    pub fn fields(&self) -> Fields<'_> {
        Fields(&self.0)
    }
}

/// What is left of an answer. Each method takes one thing off; `None`: it is not there.
#[derive(Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub fn long(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    pub fn is_there(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Bytes with their length in front, `most` at most.
    pub fn bytes(&mut self, most: usize) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok().filter(|len| *len <= most)?;
        let bytes = self.take(len)?;
        self.take(len.wrapping_neg() % 4)?;
        Some(bytes)
    }

    /// `cookieverf3`.
    pub fn verifier(&mut self) -> Option<[u8; 8]> {
        self.take(8)?.try_into().ok()
    }

    /// `nfs_fh3`.
    pub fn handle(&mut self) -> Option<Handle> {
        Some(Handle(self.bytes(64)?.to_vec()))
    }

    /// `fattr3`.
    pub fn attributes(&mut self) -> Option<Attributes> {
        let kind = self.number()?;
        // Mode, links, uid, gid.
        self.take(16)?;
        let size = self.long()?;
        // Used, rdev, fsid.
        self.take(24)?;
        let id = self.long()?;
        // The time of the last access.
        self.take(8)?;
        let changed = (self.long()?, self.long()?);
        Some(Attributes { kind, size, id, changed })
    }

    /// `post_op_attr`.
    #[expect(clippy::option_option, reason = "not there, and not sent by the server")]
    pub fn perhaps_attributes(&mut self) -> Option<Option<Attributes>> {
        Some(if self.is_there()? { Some(self.attributes()?) } else { None })
    }
}

/// What a server calls a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handle(pub Vec<u8>);

/// A server's metadata of a file.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    /// `ftype3`.
    pub kind: u32,
    /// Bytes.
    pub size: u64,
    /// What tells it from others of its file system.
    pub id: u64,
    /// When its bytes were changed, and when anything of it was.
    pub changed: (u64, u64),
}

impl Attributes {
    pub fn is_regular(&self) -> bool {
        self.kind == 1
    }

    pub fn is_directory(&self) -> bool {
        self.kind == 2
    }

    pub fn is_link(&self) -> bool {
        self.kind == 5
    }

    /// For messages.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            1 => "a file",
            2 => "a directory",
            3 => "a block device",
            4 => "a character device",
            5 => "a symbolic link",
            6 => "a socket",
            7 => "a pipe",
            _ => "a special file",
        }
    }

    /// What differs when the bytes do.
    pub fn version(&self) -> String {
        let (bytes, any) = self.changed;
        format!("{:x}-{:x}-{bytes:x}-{any:x}", self.id, self.size)
    }
}
