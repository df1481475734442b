//! nfs-ganesha with its file system module vfs, from Debian's packages nfs-ganesha and
//! nfs-ganesha-vfs.
//!
//! It does not come up without a port mapper, which can only be on port 111. So it has a network of
//! its own, with rpcbind in it, and this process takes connections for it: by the program that the
//! first call is for, to its NFS server or to its mount daemon. That needs root, as the server
//! itself does.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use super::{Server, utf8};
use crate::native::Scratch;
use crate::sys::enter_network_of;

/// Where the server and its mount daemon are in their own network.
const NFS: u16 = 2049;
const MOUNT: u16 = 20048;
/// The mount daemon's RPC program number (RFC 1813, 5.1).
const MOUNT_PROGRAM: u32 = 100_005;

/// Exports `directory` to be read.
///
/// # Panics
/// If it does not come up.
#[must_use]
pub fn start(directory: &Path) -> Server {
    let scratch = Scratch::new();
    let path = utf8(directory).trim_end_matches('/');
    let config = scratch.file(
        "ganesha.conf",
        format!(
            "NFS_CORE_PARAM {{ NFS_Port = {NFS}; MNT_Port = {MOUNT}; Protocols = 3; Enable_NLM = false;\n\
             Enable_RQUOTA = false; Enable_UDP = false; NSM_Use_Caller_Name = true; }}\n\
             NFSv4 {{ Graceless = true; RecoveryBackend = fs; }}\n\
             EXPORT {{ Export_Id = 1; Path = {path}; Pseudo = {path}; Access_Type = RO; Squash = None;\n\
             SecType = sys; Protocols = 3; Transports = TCP; FSAL {{ Name = VFS; }} }}\n"
        )
        .as_bytes(),
    );
    let inside = "busybox ifconfig lo up && mount -t tmpfs none /run && mount -t tmpfs none /var/lib/nfs && \
         rpcbind && exec ganesha.nfsd -F -L \"$1/ganesha.log\" -p \"$1/pid\" -f \"$1/ganesha.conf\" -N NIV_EVENT";
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "--pid", "--fork"]);
    command.args(["--kill-child", "--mount-proc", "sh", "-c", inside, "sh"]);
    command.arg(config.parent().expect("it is in a folder"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of 127.0.0.1");
    let port = listener.local_addr().expect("its number").port();
    let log = scratch.path("ganesha.log");
    let url = format!("nfs:127.0.0.1:{port}:{path}");
    let server = Server::spawn(command, url, port, scratch);
    let server = server.await_answer(|_| {
        fs::read(&log)
            .is_ok_and(|text| String::from_utf8_lossy(&text).contains("SERVER INITIALIZED"))
    });
    let pid = i32::try_from(server.child.id()).expect("a process number");
    // It ends with the test: nothing it does outlasts the server for more than a connection.
    thread::spawn(move || {
        enter_network_of(pid).expect("the server's network");
        for taken in listener.incoming().flatten() {
            forward(taken);
        }
    });
    server
}

/// Connects `from` with the program that its first call is for. Threads that carry on with a
/// connection need no network of their own.
fn forward(from: TcpStream) {
    let mut head = [0; 20];
    if (&from).read_exact(&mut head).is_err() {
        return;
    }
    // RFC 5531, 9 and 11: length, xid, CALL, RPC version, program.
    let program = u32::from_be_bytes([head[16], head[17], head[18], head[19]]);
    let port = if program == MOUNT_PROGRAM { MOUNT } else { NFS };
    let Ok(mut to) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))) else { return };
    if to.write_all(&head).is_err() {
        return;
    }
    let (Ok(back_from), Ok(back_to)) = (to.try_clone(), from.try_clone()) else { return };
    thread::spawn(move || carry(from, to));
    thread::spawn(move || carry(back_from, back_to));
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    // One of them went away: so shall the other.
    let _ = io::copy(&mut from, &mut to);
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
