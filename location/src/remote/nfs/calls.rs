//! What is asked of an NFS server (RFC 1813, section 3.3).

use std::thread::sleep;
use std::time::{Duration, Instant};

use nfs3_client::nfs3_types::nfs3::{
    FSINFO3args, GETATTR3args, LOOKUP3args, READ3args, READDIRPLUS3args, READLINK3args,
    cookieverf3, diropargs3, filename3, nfs_fh3,
};
use nfs3_client::nfs3_types::xdr_codec::{Opaque, Pack};

use super::client::{CallError, Program, status};
use super::wire::garbage;
use super::xdr::{Attributes, Fields, Handle, Reply};

/// A server asks to come again later: `NFS3ERR_JUKEBOX`.
const LATER: u32 = 10008;

/// A file, a directory or a link.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub handle: Handle,
    pub attributes: Attributes,
}

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Name {
    pub name: String,
    /// Where the server told.
    pub attributes: Option<Attributes>,
}

impl Handle {
    fn argument(&self) -> nfs_fh3 {
        nfs_fh3 { data: Opaque::owned(self.0.clone()) }
    }
}

impl Program {
    /// Calls a procedure, checks its status and returns its answer.
    fn ask<A: Pack + Send + Sync>(
        &mut self,
        procedure: u32,
        arguments: &A,
    ) -> Result<Reply, CallError> {
        let begun = Instant::now();
        loop {
            let answer = self.call(procedure, arguments)?;
            match status(&mut answer.fields()) {
                Err(CallError::Status(LATER)) if begun.elapsed() < self.net().idle => {
                    sleep(Duration::from_millis(200));
                }
                done => return done.map(|()| answer),
            }
        }
    }

    /// GETATTR.
    pub fn look_at(&mut self, handle: Handle) -> Result<Node, CallError> {
        let answer = self.ask(1, &GETATTR3args { object: handle.argument() })?;
        let attributes = after_status(&answer, Fields::attributes)?;
        Ok(Node { handle, attributes })
    }

    /// LOOKUP.
    pub fn look_up(&mut self, directory: &Handle, name: &str) -> Result<Node, CallError> {
        let name = filename3(Opaque::borrowed(name.as_bytes()));
        let what = diropargs3 { dir: directory.argument(), name };
        let answer = self.ask(3, &LOOKUP3args { what })?;
        let (handle, attributes) =
            after_status(&answer, |f| Some((f.handle()?, f.perhaps_attributes()?)))?;
        match attributes {
            Some(attributes) => Ok(Node { handle, attributes }),
            None => self.look_at(handle),
        }
    }

    /// READLINK.
    pub fn read_link(&mut self, link: &Handle) -> Result<Vec<u8>, CallError> {
        let answer = self.ask(5, &READLINK3args { symlink: link.argument() })?;
        after_status(&answer, |fields| {
            fields.perhaps_attributes()?;
            // PATH_MAX
            Some(fields.bytes(4096)?.to_vec())
        })
    }

    /// READ: how many bytes it brought.
    pub fn read(&mut self, file: &Handle, at: u64, to: &mut [u8]) -> Result<usize, CallError> {
        let count = u32::try_from(to.len()).unwrap_or(u32::MAX);
        let answer = self.ask(6, &READ3args { file: file.argument(), offset: at, count })?;
        after_status(&answer, |fields| {
            fields.perhaps_attributes()?;
            let _count_and_end = (fields.number()?, fields.is_there()?);
            let bytes = fields.bytes(to.len())?;
            to[..bytes.len()].copy_from_slice(bytes);
            Some(bytes.len())
        })
    }

    /// READDIRPLUS: the names of a directory, at most `most`; the others are left out.
    pub fn names(&mut self, directory: &Handle, most: usize) -> Result<Vec<Name>, CallError> {
        let mut names = Vec::new();
        let (mut cookie, mut verifier) = (0, [0; 8]);
        while names.len() < most {
            let asked = READDIRPLUS3args {
                dir: directory.argument(),
                cookie,
                cookieverf: cookieverf3(verifier),
                dircount: 1 << 15,
                maxcount: 1 << 17,
            };
            let answer = self.ask(17, &asked)?;
            let before = cookie;
            let ended = after_status(&answer, |fields| {
                fields.perhaps_attributes()?;
                verifier = fields.verifier()?;
                while fields.is_there()? {
                    let _id = fields.long()?;
                    let name = String::from_utf8_lossy(fields.bytes(1024)?).into_owned();
                    cookie = fields.long()?;
                    let attributes = fields.perhaps_attributes()?;
                    if fields.is_there()? {
                        fields.handle()?;
                    }
                    names.push(Name { name, attributes });
                }
                fields.is_there()
            })?;
            if ended {
                return Ok(names);
            }
            if cookie == before {
                return Err(garbage("a directory without an end").into());
            }
        }
        Ok(names)
    }

    /// FSINFO: how many bytes it sends at a time.
    pub fn piece(&mut self, root: &Handle) -> Result<u32, CallError> {
        let answer = self.ask(19, &FSINFO3args { fsroot: root.argument() })?;
        after_status(&answer, |fields| {
            fields.perhaps_attributes()?;
            fields.number()
        })
    }
}

fn after_status<'a, T>(
    answer: &'a Reply,
    take: impl FnOnce(&mut Fields<'a>) -> Option<T>,
) -> Result<T, CallError> {
    let mut fields = answer.fields();
    status(&mut fields)?;
    take(&mut fields).ok_or_else(|| garbage("an answer that ends in the middle").into())
}
