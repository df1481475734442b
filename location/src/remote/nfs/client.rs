//! Calls of a server's programs, and how a directory of it is got hold of: by its port mapper (RFC
//! 1833) and its mount daemon (RFC 1813, appendix I).

use std::io;
use std::net::SocketAddr;

use nfs3_client::RpcError;
use nfs3_client::nfs3_types::mount::{self, dirpath};
use nfs3_client::nfs3_types::nfs3;
use nfs3_client::nfs3_types::portmap::{self, mapping};
use nfs3_client::nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_client::nfs3_types::xdr_codec::{Opaque, Pack};
use nfs3_client::rpc::RpcClient;

use super::wire::{Wire, done, garbage};
use super::xdr::{Fields, Handle, Reply};
use crate::remote::Net;
use crate::remote::address::Host;
use storage::Failure;

/// Where an NFS server is unless somebody says otherwise.
const PORT: u16 = 2049;

/// `EPERM` and `EACCES`, in mountstat3 as in nfsstat3.
const FORBIDDEN: [u32; 2] = [1, 13];

/// Why a call brought nothing.
#[derive(Debug)]
pub(super) enum CallError {
    /// A status other than 0: a mountstat3 or nfsstat3.
    Status(u32),
    /// The server does not talk to this user, or from this port.
    Denied(String),
    /// There is no such program.
    Absent,
    /// Anything else.
    Io(io::Error),
}

impl CallError {
    /// Whether the server may require a reserved port for this.
    fn is_denied(&self) -> bool {
        match self {
            Self::Status(status) => FORBIDDEN.contains(status),
            Self::Denied(_) => true,
            Self::Absent | Self::Io(_) => false,
        }
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A program of a server's. Its connection is made when it is needed, and again when it broke.
pub(super) struct Program {
    at: SocketAddr,
    number: u32,
    version: u32,
    reserved: bool,
    net: Net,
    rpc: Option<RpcClient<Wire>>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("at", &self.at).field("number", &self.number).finish()
    }
}

impl Program {
    fn new(at: SocketAddr, (number, version): (u32, u32), reserved: bool, net: &Net) -> Self {
        Self { at, number, version, reserved, net: net.clone(), rpc: None }
    }

    /// How the server is talked to.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Calls a procedure.
    pub fn call<A: Pack + Send + Sync>(
        &mut self,
        procedure: u32,
        arguments: &A,
    ) -> Result<Reply, CallError> {
        let mut tries = 0;
        loop {
            let mut rpc = match self.rpc.take() {
                Some(rpc) => rpc,
                None => self.connect()?,
            };
            let call = rpc.call::<A, Reply>(self.number, self.version, procedure, arguments);
            let answer = done(call)?;
            match answer {
                Ok(answer) => {
                    self.rpc = Some(rpc);
                    return Ok(answer);
                }
                // It broke, or the server has closed it for want of use.
                Err(RpcError::Io(error)) if is_broken(&error) && tries < self.net.retries => {
                    tries += 1;
                }
                Err(RpcError::Io(error)) => return Err(error.into()),
                Err(RpcError::Auth(why)) => return Err(CallError::Denied(why.to_string())),
                Err(RpcError::ProgUnavail | RpcError::ProgMismatch { .. }) => {
                    return Err(CallError::Absent);
                }
                Err(error) => return Err(garbage(&format!("no answer: {error}")).into()),
            }
        }
    }

    fn connect(&self) -> io::Result<RpcClient<Wire>> {
        let wire = Wire::connect(self.at, self.reserved, self.net.idle)?;
        Ok(RpcClient::new_with_auth(wire, credential(), opaque_auth::default()))
    }
}

/// AUTH_SYS (RFC 5531, appendix A), since servers seldom show anything to nobody: who runs this
/// program.
fn credential() -> opaque_auth<'static> {
    opaque_auth::auth_unix(&auth_unix {
        machinename: Opaque::borrowed(b"chukka"),
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        ..auth_unix::default()
    })
}

fn is_broken(error: &io::Error) -> bool {
    error.get_ref().is_none_or(|cause| !cause.is::<Failure>())
}

/// A directory, or a file, that a server lets this host see.
#[derive(Debug)]
pub(super) struct Mounted {
    /// The server.
    pub nfs: Program,
    /// What it calls it.
    pub handle: Handle,
    /// The names from there to the path that was asked for.
    pub below: Vec<String>,
}

/// Has `then` done with `path` of `server`: the longest part of it that is exported; from a
/// reserved port where it must be.
pub(super) fn mount<T>(
    server: &Host,
    path: &[String],
    net: &Net,
    then: impl Fn(Mounted) -> Result<T, CallError>,
) -> Result<T, CallError> {
    let from = |reserved| {
        let mut last = CallError::Absent;
        for address in server.addresses(PORT)? {
            let server = Server { address, fixed: server.port.is_some(), reserved, net };
            match server.mount(path).and_then(&then) {
                Err(trouble @ CallError::Io(_)) => last = trouble,
                done => return done,
            }
        }
        Err(last)
    };
    match from(false) {
        // Who is not root has no reserved port, and the first answer stands.
        Err(trouble) if trouble.is_denied() => from(true).map_err(|_| trouble),
        done => done,
    }
}

/// A server at one address.
struct Server<'a> {
    address: SocketAddr,
    /// Whether the user named the port.
    fixed: bool,
    reserved: bool,
    net: &'a Net,
}

impl Server<'_> {
    fn mount(&self, path: &[String]) -> Result<Mounted, CallError> {
        let nfs = (nfs3::PROGRAM, nfs3::VERSION);
        let daemon = (mount::PROGRAM, mount::VERSION);
        if !self.fixed {
            let at = self.mapped(nfs)?.unwrap_or(self.address);
            let daemon = self.mapped(daemon)?.ok_or(CallError::Absent)?;
            return self.mount_by(daemon, at, path);
        }
        match self.mount_by(self.address, self.address, path) {
            Err(CallError::Absent) => {
                let daemon = self.mapped(daemon)?.ok_or(CallError::Absent)?;
                self.mount_by(daemon, self.address, path)
            }
            done => done,
        }
    }

    /// Where a program is, as the port mapper has it.
    fn mapped(&self, program: (u32, u32)) -> Result<Option<SocketAddr>, CallError> {
        let at = SocketAddr::new(self.address.ip(), portmap::PMAP_PORT);
        let mapper = (portmap::PROGRAM, portmap::VERSION);
        let mut mapper = Program::new(at, mapper, false, self.net);
        let prot = portmap::IPPROTO_TCP;
        let asked = mapping { prog: program.0, vers: program.1, prot, port: 0 };
        let answer = mapper.call(3, &asked)?;
        let port = answer.fields().number().ok_or_else(|| garbage("no port"))?;
        match u16::try_from(port) {
            Ok(0) => Ok(None),
            Ok(port) => Ok(Some(SocketAddr::new(self.address.ip(), port))),
            Err(_) => Err(garbage("a port above 65535").into()),
        }
    }

    fn mount_by(
        &self,
        daemon: SocketAddr,
        nfs: SocketAddr,
        path: &[String],
    ) -> Result<Mounted, CallError> {
        let program = (mount::PROGRAM, mount::VERSION);
        let mut daemon = Program::new(daemon, program, self.reserved, self.net);
        let mut refused = CallError::Absent;
        for count in (0..=path.len()).rev() {
            let (exported, below) = path.split_at(count);
            let exported = format!("/{}", exported.join("/"));
            let argument = dirpath(Opaque::borrowed(exported.as_bytes()));
            let answer = daemon.call(1, &argument)?;
            let mut fields = answer.fields();
            match status(&mut fields) {
                Ok(()) => {
                    let handle = fields.handle().ok_or_else(|| garbage("no file handle"))?;
                    let program = (nfs3::PROGRAM, nfs3::VERSION);
                    let nfs = Program::new(nfs, program, self.reserved, self.net);
                    return Ok(Mounted { nfs, handle, below: below.to_vec() });
                }
                // What is said of the path itself may just mean that it is a file. What is
                // forbidden may be allowed from another port.
                Err(trouble) if !refused.is_denied() => refused = trouble,
                Err(_) => {}
            }
        }
        Err(refused)
    }
}

/// The status in front of an answer.
pub(super) fn status(fields: &mut Fields<'_>) -> Result<(), CallError> {
    match fields.number() {
        Some(0) => Ok(()),
        Some(status) => Err(CallError::Status(status)),
        None => Err(garbage("an answer without a status").into()),
    }
}
