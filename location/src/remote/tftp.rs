//! TFTP: `tftp://HOST[:PORT]/PATH[;mode=octet]` (RFC 3617). A server has neither directory listings
//! nor ranges: it always sends a file from the beginning, so reading a part again means another
//! transfer.

mod transfer;

use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Net;
use super::address::{Host, decode, goes_on};
use super::unannounced::{self, Wanted};
use storage::sync::lock;
use storage::{Entry, Failure, FileError, FileTree, LocalFile, RandomAccess, TreePath};
use transfer::{Refused, Stopped, Transfer};

/// As RFC 1350 has it.
const PORT: u16 = 69;

/// A transfer that nobody read from for so long may have been given up by the server: it is begun
/// again.
const PAUSE: Duration = Duration::from_secs(5);

/// The files below a URL; its root is the URL itself. Nothing is asked yet.
///
/// # Errors
/// The URL is none.
pub(crate) fn tree(url: &str, net: &Net) -> Result<Box<dyn FileTree>, FileError> {
    let tree = parse(url, net).map_err(|why| {
        FileError::failure(url, why, "expected tftp://HOST[:PORT]/PATH[;mode=octet]")
    })?;
    Ok(Box::new(tree))
}

fn parse(url: &str, net: &Net) -> Result<Tftp, &'static str> {
    let rest = url.strip_prefix("tftp://").ok_or("it does not begin with tftp://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = match path.rsplit_once(";mode=") {
        Some((path, mode)) if mode.eq_ignore_ascii_case("octet") => path,
        Some(_) => return Err("its mode is not octet"),
        None => path,
    };
    let name = format!("tftp://{host}/{path}");
    Ok(Tftp {
        name: name.trim_end_matches('/').into(),
        host: Host::parse(host)?,
        root: decode(path.trim_end_matches('/'))?,
        net: net.clone(),
    })
}

#[derive(Debug)]
struct Tftp {
    name: String,
    host: Host,
    /// Without a slash in front, as every server takes it.
    root: String,
    net: Net,
}

impl Tftp {
    /// What a path is called in messages, and by the server.
    fn names(&self, path: &TreePath) -> (String, String) {
        if *path == TreePath::root() {
            return (self.name.clone(), self.root.clone());
        }
        let file =
            if self.root.is_empty() { path.to_string() } else { format!("{}/{path}", self.root) };
        (format!("{}/{path}", self.name), file)
    }
}

impl FileTree for Tftp {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        Err(FileError::Unlisted(self.names(directory).0))
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        self.opened(path, Wanted::All(self.net.unannounced))
    }

    fn open_short(&self, path: &TreePath, most: u64) -> Result<Box<dyn RandomAccess>, FileError> {
        self.opened(path, Wanted::Beginning(most))
    }
}

impl Tftp {
    fn opened(&self, path: &TreePath, wanted: Wanted) -> Result<Box<dyn RandomAccess>, FileError> {
        let (name, file) = self.names(path);
        if file.is_empty() {
            return Err(FileError::Missing(name));
        }
        if file.contains('\0') || file.len() > 400 {
            let problem = "its path is longer than 400 bytes, or has a zero byte in it";
            return Err(FileError::failure(name, problem, "check the path"));
        }
        let fail = |source: io::Error| FileError::Io { name: name.clone(), source };
        let server = self.host.addresses(PORT).map_err(fail)?[0];
        let asked = Asked { server, file, net: self.net.clone() };
        let mut transfer = match asked.begin() {
            Ok(transfer) => transfer,
            // There are no directories: what cannot be had of the root is not what was meant.
            Err(Stopped::Refused(refused)) if refused.is_missing() || *path == TreePath::root() => {
                return Err(FileError::Missing(name));
            }
            Err(stopped) => return Err(fail(stopped.into())),
        };
        match transfer.announced() {
            // Its bytes are asked for when they are needed, which may be much later.
            Some(len) => Ok(Box::new(TftpFile { name, len, asked, running: Mutex::default() })),
            None => {
                let read = |to: &mut [u8]| transfer.read(to);
                let taken = unannounced::take(wanted, &[], read, |error| error).map_err(fail)?;
                let file = LocalFile::of_copy(taken.file, name.clone(), !taken.is_whole);
                Ok(Box::new(file.map_err(fail)?))
            }
        }
    }
}

/// What is asked for, and of whom.
#[derive(Debug)]
struct Asked {
    server: std::net::SocketAddr,
    file: String,
    net: Net,
}

impl Asked {
    /// A transfer from the file's beginning, with what makes it quick where the server can.
    fn begin(&self) -> Result<Transfer, Stopped> {
        match Transfer::begin(self.server, &self.file, true, self.net.idle) {
            Err(Stopped::Refused(Refused { code: 4 | 8, .. })) => {
                Transfer::begin(self.server, &self.file, false, self.net.idle)
            }
            done => done,
        }
    }
}

#[derive(Debug)]
struct TftpFile {
    name: String,
    len: u64,
    asked: Asked,
    running: Mutex<Option<Running>>,
}

/// A transfer, and where it is.
#[derive(Debug)]
struct Running {
    transfer: Transfer,
    at: u64,
    used: Instant,
}

impl TftpFile {
    /// A transfer that goes on at `at`. What is before it comes too, and is not kept.
    fn run_to(&self, running: Option<Running>, at: u64) -> io::Result<Running> {
        let usable = |running: &Running| running.at <= at && running.used.elapsed() < PAUSE;
        let mut running = match running.filter(usable) {
            Some(running) => running,
            None => Running { transfer: self.restart()?, at: 0, used: Instant::now() },
        };
        let mut unwanted = vec![0; 1 << 16];
        while running.at < at {
            let most = usize::try_from(at - running.at).map_or(unwanted.len(), |n| n.min(1 << 16));
            match running.transfer.read(&mut unwanted[..most])? {
                0 => return Err(self.shorter(running.at)),
                count => running.at += count as u64,
            }
        }
        Ok(running)
    }

    fn restart(&self) -> io::Result<Transfer> {
        let transfer = self.asked.begin()?;
        match transfer.announced() {
            Some(len) if len == self.len => Ok(transfer),
            len => {
                let len = len.map_or("an unknown number of".into(), |len| len.to_string());
                let problem = format!("it has {len} bytes by now, expected {}", self.len);
                Err(Failure::new(problem, "was it changed during the download? try again").into())
            }
        }
    }

    fn shorter(&self, at: u64) -> io::Error {
        let problem = format!("it ended after {at} bytes, expected {}", self.len);
        Failure::new(problem, "was it changed during the download? try again").into()
    }

    fn read_once(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let running = lock(&self.running).take();
        let mut running = self.run_to(running, at)?;
        let count = running.transfer.read(to)?;
        if count == 0 {
            return Err(self.shorter(at));
        }
        running.at += count as u64;
        running.used = Instant::now();
        if running.at > self.len {
            return Err(goes_on(self.len));
        }
        if running.at == self.len {
            // The last block may be an empty one.
            let mut more = [0];
            if running.transfer.read(&mut more)? != 0 {
                return Err(goes_on(self.len));
            }
        }
        *lock(&self.running) = Some(running);
        Ok(count)
    }
}

impl RandomAccess for TftpFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        if to.is_empty() || at >= self.len {
            return Ok(0);
        }
        self.read_once(to, at)
    }

    fn is_sequential(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
