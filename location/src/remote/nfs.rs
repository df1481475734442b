//! NFS, version 3 (RFC 1813): `nfs:HOST[:PORT]:/PATH`. Without a mount and without root: a program
//! of its own asks the server's mount daemon for the exported directory, and the server for what is
//! below it.

#[cfg(feature = "nfs")]
mod calls;
#[cfg(feature = "nfs")]
mod client;
#[cfg(feature = "nfs")]
mod walk;
#[cfg(feature = "nfs")]
mod wire;
#[cfg(feature = "nfs")]
mod xdr;

use super::Net;
use storage::{FileError, FileTree};

/// The files below a path that a host exports; its root is the path itself. Nothing is asked yet.
/// `host` may have `:PORT` behind it: where the NFS server is, without asking the host's port
/// mapper; its mount daemon is looked for there first, and else by the port mapper.
///
/// # Errors
/// The host's name is none.
pub(crate) fn tree(host: &str, path: &str, net: &Net) -> Result<Box<dyn FileTree>, FileError> {
    let name = format!("nfs:{host}:{path}");
    #[cfg(feature = "nfs")]
    return match super::address::Host::parse(host) {
        Ok(server) => Ok(Box::new(walk::Nfs::new(&name, server, path, net))),
        Err(why) => Err(FileError::failure(name, why, "expected nfs:HOST[:PORT]:/PATH")),
    };
    #[cfg(not(feature = "nfs"))]
    {
        let _ = net;
        let problem = "this chukka was built without NFS support";
        Err(FileError::failure(
            name,
            problem,
            "build it with the feature nfs, or copy the files to this host",
        ))
    }
}

#[cfg(test)]
#[cfg(feature = "nfs")]
mod tests;
