//! `-location` for the guest: a directory, ISO or image of this host, served by HTTP on the guest's
//! user network.
//!
//! It has an address of its own, 10.0.2.4, so that it hides no port of the host. A name would need
//! the guest's resolver, which static configurations and `restrict=on` are without. The network
//! hands over connections; threads of this process answer them.

mod http;

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use location::{FileError, FileTree, Place, RandomAccess, TreePath};
use network::Service;
use storage::{Entry, LocalFile};

use crate::error::ResolveError;
use crate::request::{BootFiles, BootSource, NetworkConfig, Request};

/// The directory of the tree in URLs.
pub const TREE: &str = "tree";
/// The file of the whole medium in URLs. Live systems want a name that ends like this (dracut's
/// livenetroot.sh, casper's `iso-url=`).
pub const MEDIUM: &str = "medium.iso";
/// Connections at a time. dnf and zypper make up to 20.
const CONNECTIONS: usize = 64;
/// How long a connection may be idle, in both directions.
const IDLE: Duration = Duration::from_secs(60);

/// Reserves an address for the location on the guest's first user network, if there is one and the
/// location is on this host. [`BootSource::served_at`] says where.
#[must_use]
pub fn attach(mut request: Request) -> Request {
    if let Some(boot) = &mut request.boot
        && local(boot).is_some()
    {
        let reserve = |network: &mut NetworkConfig| match network {
            NetworkConfig::User(config) => config.reserve_service(),
            _ => None,
        };
        let address = request.cards.iter_mut().find_map(|card| reserve(&mut card.network));
        boot.served_at = address.map(|address| match address {
            IpAddr::V4(address) => format!("http://{address}"),
            IpAddr::V6(address) => format!("http://[{address}]"),
        });
    }
    request
}

/// The location that can be served.
fn local(boot: &BootSource) -> Option<&Place> {
    match (&boot.served, &boot.files) {
        (Some(place @ Place::Local(_)), _)
        | (None, BootFiles::Location { place: place @ Place::Local(_), .. }) => Some(place),
        _ => None,
    }
}

/// Opens what is to be served, if anything is.
///
/// # Errors
/// The location cannot be opened.
pub fn open(request: &Request) -> Result<Option<Arc<dyn Service>>, ResolveError> {
    let boot = request.boot.as_ref().filter(|boot| boot.served_at.is_some());
    let Some((boot, place)) = boot.and_then(|boot| Some((boot, local(boot)?))) else {
        return Ok(None);
    };
    let tree = location::Fetcher::new(boot.fetch.clone()).place(place)?;
    let medium = match place {
        Place::Local(path) if tree.label().is_some() => {
            Some(LocalFile::open(path).map_err(location::PlaceError::from)?)
        }
        _ => None,
    };
    let content = Arc::new(Content { tree, medium });
    Ok(Some(Arc::new(LocationServer { content, open: Arc::default() })))
}

/// What is served.
#[derive(Debug)]
pub(crate) struct Content {
    tree: Box<dyn FileTree>,
    medium: Option<LocalFile>,
}

/// What a path leads to.
pub(crate) enum Found<'a> {
    File(Box<dyn RandomAccess>),
    Medium(&'a LocalFile),
    Directory(Vec<Entry>),
}

impl Content {
    /// What is at `path`, which cannot lead out of the tree: see [`FileTree`].
    pub(crate) fn find(&self, path: &TreePath) -> Result<Found<'_>, FileError> {
        let mut names = path.as_path().components();
        let first = names.next().map(|name| name.as_os_str().to_owned());
        let rest = TreePath::new(names.as_path());
        match (first, &self.medium) {
            (None, medium) => {
                let medium =
                    medium.as_ref().map(|_| Entry { name: MEDIUM.into(), is_directory: false });
                let tree = Entry { name: TREE.into(), is_directory: true };
                Ok(Found::Directory(medium.into_iter().chain([tree]).collect()))
            }
            (Some(name), Some(medium)) if name == MEDIUM && rest == TreePath::root() => {
                Ok(Found::Medium(medium))
            }
            (Some(name), _) if name == TREE => match self.tree.open(&rest) {
                Ok(file) => Ok(Found::File(file)),
                Err(FileError::Kind { found: "a directory", .. }) => {
                    self.tree.list(&rest).map(Found::Directory)
                }
                Err(error) => Err(error),
            },
            _ => Err(FileError::Missing(path.to_string())),
        }
    }
}

/// The server.
#[derive(Debug)]
struct LocationServer {
    content: Arc<Content>,
    /// Connections that are open.
    open: Arc<AtomicUsize>,
}

/// An open connection, as long as it lives.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Option<Self> {
        let open = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < CONNECTIONS).then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Service for LocationServer {
    fn connect(&self) -> Option<OwnedFd> {
        let open = Open::new(&self.open)?;
        let (network, stream) = UnixStream::pair().ok()?;
        network.set_nonblocking(true).ok()?;
        stream.set_read_timeout(Some(IDLE)).ok()?;
        stream.set_write_timeout(Some(IDLE)).ok()?;
        let content = Arc::clone(&self.content);
        let work = move || {
            // An error closes the connection, which is all that there is to say.
            let _ = http::converse(&stream, &content);
            drop(open);
        };
        thread::Builder::new().name("location".into()).spawn(work).ok()?;
        Some(network.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::args::{Invocation, parse};

    fn request(words: &[&str]) -> Request {
        let Ok(Invocation::Boot(request)) = parse(words.iter().map(Into::into)) else {
            panic!("argv is right");
        };
        attach(*request)
    }

    fn served_at(words: &[&str]) -> Option<String> {
        request(words).boot.unwrap().served_at
    }

    #[test]
    fn a_location_of_this_host_is_served_on_the_first_user_network() {
        let tree = ["-location", "/srv/tree"];
        let with = |words: &[&str]| served_at(&[&tree[..], words].concat());
        assert_eq!(with(&[]), None);
        assert_eq!(with(&["-nic", "user"]).as_deref(), Some("http://10.0.2.4"));
        assert_eq!(with(&["-nic", "user,restrict=on"]).as_deref(), Some("http://10.0.2.4"));
        assert_eq!(with(&["-nic", "user,ipv4=off"]).as_deref(), Some("http://[fec0::4]"));
        assert_eq!(with(&["-nic", "tap,ifname=tap0,script=no"]), None);
        let second = ["-nic", "tap,ifname=tap0,script=no", "-nic", "user,net=192.168.9.0/24"];
        assert_eq!(with(&second).as_deref(), Some("http://192.168.9.4"));
        assert_eq!(served_at(&["-location", "http://mirror.example/", "-nic", "user"]), None);
        assert_eq!(served_at(&["-kernel", "k", "-nic", "user"]), None);
    }

    #[test]
    fn a_server_has_a_limit_of_connections_and_forgets_closed_ones() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), "hello").unwrap();
        let path = directory.path().to_str().unwrap();
        let service = open(&request(&["-location", path, "-nic", "user"])).unwrap().unwrap();
        let mut connections: Vec<UnixStream> = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(service.connect().unwrap().into());
        }
        assert!(service.connect().is_none());
        let mut stream = connections.pop().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.write_all(b"GET /tree/file HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
        let taken = (0..1000).find_map(|_| {
            thread::sleep(Duration::from_millis(5));
            service.connect()
        });
        assert!(taken.is_some(), "the closed one has made room");
    }

    #[test]
    fn a_location_that_is_not_there_is_an_error_and_one_without_a_card_is_not_opened() {
        assert!(open(&request(&["-location", "/nonexistent/location", "-nic", "user"])).is_err());
        assert!(open(&request(&["-location", "/nonexistent/location"])).unwrap().is_none());
    }
}
