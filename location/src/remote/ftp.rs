//! FTP: `ftp://[USER[:PASSWORD]@]HOST[:PORT]/PATH` (RFC 1738, 3.2). A path is looked for from the
//! directory that the server shows first, as wget and curl do; one that begins with a second slash
//! or `%2F` from the server's root.

mod control;
mod session;

use std::io;
use std::sync::{Arc, Mutex};

use super::Net;
use super::address::{Host, decode};
use super::unannounced::Wanted;
use crate::fetch::without_login;
use session::{Found, Session};
use storage::sync::lock;
use storage::{Entry, FileError, FileTree, LocalFile, RandomAccess, TreePath};

/// The files below a URL; its root is the URL itself. Nothing is asked yet.
///
/// # Errors
/// The URL is none.
pub(crate) fn tree(url: &str, net: &Net) -> Result<Box<dyn FileTree>, FileError> {
    let tree = parse(url, net).map_err(|why| {
        let shown = without_login(url);
        FileError::failure(shown, why, "expected ftp://[USER[:PASSWORD]@]HOST[:PORT]/PATH")
    })?;
    Ok(Box::new(tree))
}

/// Who logs in, where, and as whom.
pub(super) struct Login {
    host: Host,
    user: String,
    password: String,
    net: Net,
}

fn parse(url: &str, net: &Net) -> Result<Ftp, &'static str> {
    let rest = url.strip_prefix("ftp://").ok_or("it does not begin with ftp://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (who, host) = authority.rsplit_once('@').map_or((None, authority), |(w, h)| (Some(w), h));
    let (user, password) = match who {
        // RFC 1635: anything will do for a password.
        None => ("anonymous", "chukka@"),
        Some(who) => who.split_once(':').unwrap_or((who, "")),
    };
    // RFC 1738, 3.2.2: what kind of file it is. Bytes are taken as they are.
    let path = match path.rsplit_once(";type=") {
        Some((path, "i" | "I")) => path,
        Some(_) => return Err("its type is not binary"),
        None => path,
    };
    let trimmed = path.trim_end_matches('/');
    let root = decode(if trimmed.is_empty() && !path.is_empty() { "/" } else { trimmed })?;
    let login = Login {
        host: Host::parse(host)?,
        user: one_line(decode(user)?)?,
        password: one_line(decode(password)?)?,
        net: net.clone(),
    };
    let shown = match who {
        None => host.to_owned(),
        Some(_) => format!("{user}@{host}"),
    };
    Ok(Ftp {
        name: format!("ftp://{shown}/{trimmed}").trim_end_matches('/').into(),
        root: one_line(root)?,
        unannounced: net.unannounced,
        session: Arc::new(Mutex::new(Session::new(login))),
    })
}

/// A line that went on would be a command of its own.
fn one_line(text: String) -> Result<String, &'static str> {
    if text.contains(['\r', '\n', '\0']) {
        return Err("it has a line break or a zero byte in it");
    }
    Ok(text)
}

#[derive(Debug)]
struct Ftp {
    name: String,
    /// Empty: the directory that the server shows first.
    root: String,
    /// [`Net::unannounced`].
    unannounced: u64,
    session: Arc<Mutex<Session>>,
}

impl Ftp {
    /// What a path is called in messages, and by the server.
    fn names(&self, path: &TreePath) -> Result<(String, String), FileError> {
        if *path == TreePath::root() {
            return Ok((self.name.clone(), self.root.clone()));
        }
        let name = format!("{}/{path}", self.name);
        let Some(below) = path.as_path().to_str() else {
            return Err(FileError::failure(name, "it is not UTF-8", "check the path"));
        };
        let file = match self.root.as_str() {
            "" => below.to_owned(),
            root => format!("{}/{below}", root.trim_end_matches('/')),
        };
        match one_line(file) {
            Ok(file) => Ok((name, file)),
            Err(why) => {
                Err(FileError::failure(name.replace(['\r', '\n'], "?"), why, "check the path"))
            }
        }
    }
}

impl FileTree for Ftp {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        let (name, path) = self.names(directory)?;
        let found = lock(&self.session).list(&path);
        match found {
            Ok(Found::This(entries)) => Ok(entries),
            Ok(Found::Nothing) => Err(FileError::Missing(name)),
            Ok(Found::Other(found)) => {
                Err(FileError::Kind { name, found, expected: "a directory" })
            }
            Err(source) => Err(FileError::Io { name, source }),
        }
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        self.opened(path, Wanted::All(self.unannounced))
    }

    fn open_short(&self, path: &TreePath, most: u64) -> Result<Box<dyn RandomAccess>, FileError> {
        self.opened(path, Wanted::Beginning(most))
    }
}

impl Ftp {
    fn opened(&self, path: &TreePath, wanted: Wanted) -> Result<Box<dyn RandomAccess>, FileError> {
        let (name, path) = self.names(path)?;
        let found = lock(&self.session).find(&path);
        let about = match found {
            Ok(Found::This(about)) => about,
            Ok(Found::Nothing) => return Err(FileError::Missing(name)),
            Ok(Found::Other(found)) => {
                return Err(FileError::Kind { name, found, expected: "a regular file" });
            }
            Err(source) => return Err(FileError::Io { name, source }),
        };
        if let Some(len) = about.len {
            let session = Arc::clone(&self.session);
            return Ok(Box::new(FtpFile { name, path, len, version: about.version, session }));
        }
        let taken = lock(&self.session).take(&path, wanted);
        match taken {
            Ok(Some(taken)) => {
                match LocalFile::of_copy(taken.file, name.clone(), !taken.is_whole) {
                    Ok(file) => Ok(Box::new(file)),
                    Err(source) => Err(FileError::Io { name, source }),
                }
            }
            Ok(None) => Err(FileError::Missing(name)),
            Err(source) => Err(FileError::Io { name, source }),
        }
    }
}

/// A file of a server's. All of a tree are read by one connection, one at a time: whoever reads has
/// it sent from where he is.
#[derive(Debug)]
struct FtpFile {
    name: String,
    path: String,
    len: u64,
    version: String,
    session: Arc<Mutex<Session>>,
}

impl RandomAccess for FtpFile {
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
        lock(&self.session).read(&self.path, self.len, to, at)
    }

    fn is_sequential(&self) -> bool {
        true
    }

    fn version(&self) -> String {
        self.version.clone()
    }
}

#[cfg(test)]
mod tests;
