//! Paths below a directory of an NFS server, resolved here: the server knows no paths, only names
//! in directories.

use std::io;
use std::sync::{Arc, Mutex};

use super::calls::Node;
use super::client::{CallError, Mounted, Program, mount};
use crate::remote::Net;
use crate::remote::address::Host;
use storage::sync::lock;
use storage::{Entry, Failure, FileError, FileTree, RandomAccess, TreePath};

/// Maximum number of directory entries read.
const ENTRIES: usize = 1 << 16;
/// As many symbolic links are followed on one path, as Linux does.
const LINKS: u32 = 40;
/// Bytes that are asked for at a time, at most and where the server says nothing.
const PIECE: (u32, u32) = (1 << 20, 1 << 15);

/// A tree on an NFS server.
#[derive(Debug)]
pub(super) struct Nfs {
    name: String,
    server: Host,
    path: Vec<String>,
    net: Net,
    opened: Mutex<Option<Arc<Opened>>>,
}

/// A tree that was found.
#[derive(Debug)]
struct Opened {
    program: Mutex<Program>,
    root: Node,
    piece: usize,
}

/// Why a path leads to nothing.
enum LookupError {
    Missing,
    CallError(CallError),
}

impl From<CallError> for LookupError {
    fn from(trouble: CallError) -> Self {
        match trouble {
            // NOENT, NOTDIR, NAMETOOLONG
            CallError::Status(2 | 20 | 63) => Self::Missing,
            trouble => Self::CallError(trouble),
        }
    }
}

impl Nfs {
    pub fn new(name: &str, server: Host, path: &str, net: &Net) -> Self {
        let path = names(&TreePath::new(path));
        let trimmed = name.trim_end_matches('/').to_owned();
        Self { name: trimmed, server, path, net: net.clone(), opened: Mutex::default() }
    }

    fn shown(&self, path: &TreePath) -> String {
        if *path == TreePath::root() {
            return self.name.clone();
        }
        format!("{}/{path}", self.name)
    }

    fn opened(&self) -> Result<Arc<Opened>, LookupError> {
        if let Some(opened) = &*lock(&self.opened) {
            return Ok(Arc::clone(opened));
        }
        let opened = mount(&self.server, &self.path, &self.net, |mounted| {
            let Mounted { mut nfs, handle, below } = mounted;
            let top = nfs.look_at(handle)?;
            let piece = nfs.piece(&top.handle).map_or(PIECE.1, |most| most.clamp(512, PIECE.0));
            let root = match walk(&mut nfs, &top, below) {
                Ok(root) => root,
                Err(LookupError::Missing) => return Ok(None),
                Err(LookupError::CallError(trouble)) => return Err(trouble),
            };
            let piece = usize::try_from(piece).unwrap_or(512);
            Ok(Some(Opened { program: Mutex::new(nfs), root, piece }))
        });
        let opened = Arc::new(opened?.ok_or(LookupError::Missing)?);
        *lock(&self.opened) = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn find(&self, path: &TreePath) -> Result<(Arc<Opened>, Node), LookupError> {
        let opened = self.opened()?;
        let node = walk(&mut lock(&opened.program), &opened.root, names(path))?;
        Ok((opened, node))
    }

    fn failure(&self, path: &TreePath, astray: LookupError) -> FileError {
        let name = self.shown(path);
        match astray {
            LookupError::Missing => FileError::Missing(name),
            LookupError::CallError(trouble) => FileError::Io { name, source: explained(trouble) },
        }
    }

    fn entries(&self, directory: &TreePath) -> Result<Result<Vec<Entry>, Node>, LookupError> {
        let (opened, node) = self.find(directory)?;
        if !node.attributes.is_directory() {
            return Ok(Err(node));
        }
        let mut program = lock(&opened.program);
        let mut entries = Vec::new();
        for found in program.names(&node.handle, ENTRIES)? {
            if matches!(found.name.as_str(), "" | "." | "..") {
                continue;
            }
            let is_directory = match found.attributes {
                Some(attributes) => attributes.is_directory(),
                None => program
                    .look_up(&node.handle, &found.name)
                    .is_ok_and(|node| node.attributes.is_directory()),
            };
            entries.push(Entry { name: found.name, is_directory });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Ok(entries))
    }
}

impl FileTree for Nfs {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        match self.entries(directory) {
            Ok(Ok(entries)) => Ok(entries),
            Ok(Err(node)) => {
                let (name, found) = (self.shown(directory), node.attributes.kind());
                Err(FileError::Kind { name, found, expected: "a directory" })
            }
            Err(astray) => Err(self.failure(directory, astray)),
        }
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        let (opened, node) = self.find(path).map_err(|astray| self.failure(path, astray))?;
        let name = self.shown(path);
        if !node.attributes.is_regular() {
            let found = node.attributes.kind();
            return Err(FileError::Kind { name, found, expected: "a regular file" });
        }
        Ok(Box::new(NfsFile { name, node, opened }))
    }
}

fn names(path: &TreePath) -> Vec<String> {
    path.as_path().iter().map(|name| name.to_string_lossy().into_owned()).collect()
}

/// From `root` by `path`. Symbolic links are followed; neither they nor `..` lead out of it.
fn walk(nfs: &mut Program, root: &Node, path: Vec<String>) -> Result<Node, LookupError> {
    let mut way = vec![root.clone()];
    let mut rest: Vec<String> = path.into_iter().rev().collect();
    let mut links = 0;
    while let Some(name) = rest.pop() {
        let Some(here) = way.last() else { return Err(LookupError::Missing) };
        match name.as_str() {
            "" | "." => continue,
            ".." => {
                way.truncate((way.len() - 1).max(1));
                continue;
            }
            _ => {}
        }
        if !here.attributes.is_directory() || name.contains(['/', '\0']) {
            return Err(LookupError::Missing);
        }
        let found = nfs.look_up(&here.handle, &name)?;
        if !found.attributes.is_link() {
            way.push(found);
            continue;
        }
        links += 1;
        if links > LINKS {
            let failure = Failure::new(
                format!("there are more than {LINKS} symbolic links on the way"),
                "name the file itself",
            );
            return Err(LookupError::CallError(CallError::Io(failure.into())));
        }
        let target = nfs.read_link(&found.handle)?;
        let target = String::from_utf8_lossy(&target).into_owned();
        if target.starts_with('/') {
            way.truncate(1);
        }
        rest.extend(target.split('/').rev().map(str::to_owned));
    }
    way.pop().ok_or(LookupError::Missing)
}

/// What a server's refusal means.
fn explained(trouble: CallError) -> io::Error {
    let (problem, hint) = match trouble {
        CallError::Io(error) => return error,
        CallError::Absent => (
            "the server does not provide NFS 3 or has no mount daemon".into(),
            "enable NFS 3 on the server; without a port mapper, give the port: nfs:HOST:PORT:/PATH",
        ),
        CallError::Denied(why) => (
            format!("the server denies access to this user: {why}"),
            "on the server, export it to this host with sec=sys, and with 'insecure' if you are not root",
        ),
        CallError::Status(1 | 13) => (
            "the server denies access to this host or user".into(),
            "on the server, export it to this host, and with 'insecure' if you are not root",
        ),
        CallError::Status(70 | 10001) => {
            ("it was replaced on the server (stale file handle)".into(), "start again")
        }
        CallError::Status(5) => {
            ("the server cannot read it (an input/output error)".into(), "check the server's disk")
        }
        CallError::Status(status) => {
            (format!("the server refused with NFS error {status}"), "check the server's log")
        }
    };
    Failure::new(problem, hint).into()
}

/// A file of an NFS server.
#[derive(Debug)]
struct NfsFile {
    name: String,
    node: Node,
    opened: Arc<Opened>,
}

impl RandomAccess for NfsFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.node.attributes.size
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = usize::try_from(self.len().saturating_sub(at)).unwrap_or(usize::MAX);
        let most = to.len().min(rest).min(self.opened.piece);
        if most == 0 {
            return Ok(0);
        }
        let read = lock(&self.opened.program).read(&self.node.handle, at, &mut to[..most]);
        match read {
            Ok(0) => {
                let problem = format!("it ended after {at} bytes, expected {}", self.len());
                Err(Failure::new(problem, "was it changed during the download? try again").into())
            }
            Ok(count) => Ok(count),
            Err(trouble) => Err(explained(trouble)),
        }
    }

    fn version(&self) -> String {
        self.node.attributes.version()
    }
}
