//! What `-location` names.

mod guest_url;
mod local;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::fetch::{without_login, without_password};
use crate::path_as_bytes;
use crate::remote::address::{Host, NO_DIGITS, decoded};
use crate::remote::{Net, ftp, http, nfs, tftp};
pub(crate) use local::Local;
pub use local::PreopenedPaths;
use storage::image;
use storage::{Directory, FileError, FileTree, LocalFile, RandomAccess, TreePath, head};

/// A location, parsed from its text; it has not been accessed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A path of this host, also written as `file:` URL: a directory, an image or a block device.
    Local(#[serde(with = "path_as_bytes")] PathBuf),
    /// An `http:` or `https:` URL: what tree or image is there.
    Http(String),
    /// An `ftp:` URL.
    Ftp(String),
    /// A `tftp:` URL.
    Tftp(String),
    /// `nfs:HOST:/PATH` or `nfs://HOST/PATH`: a directory or an image.
    Nfs {
        /// A name or an address, perhaps with `:PORT` behind it.
        host: String,
        /// An absolute path.
        path: String,
    },
}

/// Why what was given is no place.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SpellingError {
    /// A URL of a kind that cannot be read.
    #[error(
        "{given}: {scheme}: is not supported, expected a path or a URL of http, https, ftp, tftp, nfs, nfs+iso or file"
    )]
    Scheme {
        /// What was given, without a user and a password.
        given: String,
        /// The part before the colon.
        scheme: String,
    },
    /// A URL that is none.
    #[error("{given}: {why}, expected {form}")]
    Url {
        /// What was given, without a user and a password.
        given: String,
        /// What is wrong.
        why: &'static str,
        /// How it would be right.
        form: &'static str,
    },
}

impl SpellingError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Scheme { .. } => "copy the tree or image to this host, and use the copy",
            Self::Url { .. } => "local paths need no scheme: -location /srv/tree",
        }
    }
}

/// Why there is nothing to look into.
#[derive(Debug, Error)]
#[error("The location cannot be used")]
pub struct PlaceError(#[from] FileError);

/// What it is about the place: where a place is opened by the first look into it.
impl From<PlaceError> for FileError {
    fn from(error: PlaceError) -> Self {
        error.0
    }
}

impl PlaceError {
    /// What is wrong, for a message that says what was wanted.
    #[must_use]
    pub fn into_problem(self) -> FileError {
        self.0
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match &self.0 {
            FileError::Missing(_) => {
                "check the path; a relative one starts at the current directory"
            }
            FileError::Kind { .. } => {
                "use a directory, or an image or block device with a file system"
            }
            error => error.hint().unwrap_or("make sure that you may read it"),
        }
    }
}

/// Gets all of a file onto this host.
pub type Whole<'a> = &'a dyn Fn(Box<dyn RandomAccess>) -> io::Result<File>;

impl Place {
    /// Reads what was given: a URL is what begins with a name and a colon.
    ///
    /// # Errors
    /// A URL that is none, or of a kind that cannot be read.
    pub fn parse(given: &OsStr) -> Result<Self, SpellingError> {
        let Some((scheme, rest)) = split_scheme(given.as_bytes()) else {
            return Ok(Self::Local(given.into()));
        };
        let text = || without_login(&given.to_string_lossy());
        let bad = |form| move |why| SpellingError::Url { given: text(), why, form };
        if scheme == "file" {
            return Ok(Self::Local(file_url(rest).map_err(bad("file:///PATH"))?));
        }
        match scheme.as_str() {
            "http" | "https" | "ftp" | "tftp" => {
                let form = "SCHEME://HOST/PATH";
                let url = host_url(given, scheme != "tftp").map_err(bad(form))?;
                let url = format!("{scheme}{}", &url[scheme.len()..]);
                Ok(match scheme.as_str() {
                    "ftp" => Self::Ftp(url),
                    "tftp" => Self::Tftp(url),
                    _ => Self::Http(url),
                })
            }
            // What is on the other side tells by itself whether it is an image.
            "nfs" | "nfs+iso" => {
                let form = "nfs:HOST:/PATH or nfs://HOST/PATH";
                let (host, path) = nfs_url(rest).map_err(bad(form))?;
                Ok(Self::Nfs { host, path })
            }
            _ => Err(SpellingError::Scheme { given: text(), scheme }),
        }
    }

    /// Whether it is on another host.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::Local(_))
    }

    /// Opens it: a tree, or an image that is looked into. `whole` gets files that cannot be read in
    /// places.
    ///
    /// # Errors
    /// It is not there, or not what can be looked into.
    pub fn open(&self, net: &Net, whole: Whole<'_>) -> Result<Box<dyn FileTree>, PlaceError> {
        if let Self::Local(path) = self {
            return Ok(Local::open(path)?.into_tree()?);
        }
        let tree = self.tree(net)?;
        match tree.open_short(&TreePath::root(), image::TELLING as u64) {
            // An HTML directory listing is not an image either.
            Ok(file) if is_image(&*file) => {
                let file = if file.is_cut() { tree.open(&TreePath::root())? } else { file };
                Ok(image::open(in_places(file, whole)?)?)
            }
            // Whatever is said of the root: what is below it may be had.
            Ok(_) | Err(FileError::Missing(_) | FileError::Kind { .. }) => Ok(tree),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens it as a file, all of it or up to `most` bytes ([`FileTree::open_short`]).
    ///
    /// # Errors
    /// It is not there, or no file.
    pub fn open_file(
        &self,
        net: &Net,
        most: Option<u64>,
    ) -> Result<Box<dyn RandomAccess>, PlaceError> {
        Ok(match self {
            Self::Local(path) => Box::new(LocalFile::open(path)?),
            _ => self.tree(net)?.open_up_to(&TreePath::root(), most)?,
        })
    }

    fn tree(&self, net: &Net) -> Result<Box<dyn FileTree>, FileError> {
        match self {
            Self::Local(path) => Ok(Box::new(Directory::open(path)?)),
            Self::Http(url) => http::tree(url, net),
            Self::Ftp(url) => ftp::tree(url, net),
            Self::Tftp(url) => tftp::tree(url, net),
            Self::Nfs { host, path } => nfs::tree(host, path, net),
        }
    }
}

/// As the user would write it, without a password.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Http(url) | Self::Ftp(url) | Self::Tftp(url) => {
                f.write_str(&without_password(url))
            }
            Self::Nfs { host, path } => write!(f, "nfs:{host}:{path}"),
        }
    }
}

fn is_image(file: &dyn RandomAccess) -> bool {
    head(file, image::TELLING).is_ok_and(|head| image::kind(&head).is_some())
}

/// The file itself where it can be read in places, else a copy of it.
fn in_places(
    file: Box<dyn RandomAccess>,
    whole: Whole<'_>,
) -> Result<Arc<dyn RandomAccess>, FileError> {
    if !file.is_sequential() {
        return Ok(file.into());
    }
    let name = file.name().to_owned();
    let copy = whole(file).and_then(|copy| LocalFile::new(copy, name.clone()));
    Ok(Arc::new(copy.map_err(|source| FileError::Io { name, source })?))
}

/// The place that a URL names, if `given` is one; a path of the same look is none unless it begins
/// as a URL does: `gopher://`.
///
/// # Errors
/// What is wrong with the URL.
#[must_use]
pub fn url(given: &Path) -> Option<Result<Place, SpellingError>> {
    const KNOWN: [&str; 7] = ["file", "http", "https", "ftp", "tftp", "nfs", "nfs+iso"];
    let (scheme, rest) = split_scheme(given.as_os_str().as_bytes())?;
    let is_url = KNOWN.contains(&scheme.as_str()) || rest.starts_with(b"//");
    is_url.then(|| Place::parse(given.as_os_str()))
}

/// The scheme in lower case, and the rest after its colon. Text with a slash before the colon
/// is a path.
fn split_scheme(given: &[u8]) -> Option<(String, &[u8])> {
    let colon = given.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = (&given[..colon], &given[colon + 1..]);
    // RFC 3986, 3.1; a plus sign is in nfs+iso:.
    let right = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let is_scheme = scheme.len() > 1 && scheme[0].is_ascii_alphabetic() && scheme.iter().all(right);
    is_scheme.then(|| (String::from_utf8_lossy(scheme).to_ascii_lowercase(), rest))
}

/// A URL with a host, as text; the host's protocol client parses the rest.
fn host_url(given: &OsStr, has_users: bool) -> Result<&str, &'static str> {
    let url = given.to_str().ok_or("it is not UTF-8")?;
    if url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
        return Err("it contains a space or a control character (write a space as %20)");
    }
    let rest = url.split_once(':').map_or("", |(_, rest)| rest);
    let host = rest.strip_prefix("//").ok_or("'//' is missing after the colon")?;
    let authority = host.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some(_) if !has_users => return Err(NO_USERS),
        Some((_, host)) => Host::parse(host)?,
        None => Host::parse(authority)?,
    };
    Ok(url)
}

/// What is wrong with a user in front of a host.
const NO_USERS: &str = "this protocol has no user names and passwords";

/// `HOST:/PATH`, as mount(8) has it; `//HOST/PATH` as RFC 2224; `//HOST:/PATH`, a mixture that is
/// in use.
fn nfs_url(rest: &[u8]) -> Result<(String, String), &'static str> {
    let rest = str::from_utf8(rest).map_err(|_| "it is not UTF-8")?;
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => {
            let slash = rest.find('/').ok_or("there is no path")?;
            (rest[..slash].trim_end_matches(':'), &rest[slash..])
        }
        None => rest.split_once(":/").map_or(("", ""), |(host, _)| (host, &rest[host.len() + 1..])),
    };
    if host.is_empty() {
        return Err("there is no host, or the path is not absolute");
    }
    if host.contains('@') {
        return Err(NO_USERS);
    }
    Host::parse(host)?;
    Ok((host.into(), path.into()))
}

/// RFC 8089: `file:///path`, `file://localhost/path` and `file:/path`, with `%20` and the like.
fn file_url(rest: &[u8]) -> Result<PathBuf, &'static str> {
    let path = match rest.strip_prefix(b"//") {
        None => rest,
        Some(rest) => {
            let slash = rest.iter().position(|byte| *byte == b'/').ok_or("there is no path")?;
            match rest[..slash].to_ascii_lowercase().as_slice() {
                b"" | b"localhost" => &rest[slash..],
                _ => return Err("it names another host"),
            }
        }
    };
    if path.first() != Some(&b'/') {
        return Err("its path does not begin with a slash");
    }
    let bytes = decoded(path)?;
    // No path has one.
    if bytes.contains(&0) {
        return Err(NO_DIGITS);
    }
    Ok(OsString::from_vec(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(given: &str) -> PathBuf {
        match Place::parse(given.as_ref()).unwrap() {
            Place::Local(path) => path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        for path in ["/srv/tree", "tree", "./a:b", "/srv/http://x", "", "1:2", "c:\\x"] {
            assert_eq!(local(path), Path::new(path));
        }
    }

    #[test]
    fn a_file_url_is_a_path() {
        for (url, path) in [
            ("file:///srv/tree", "/srv/tree"),
            ("FILE:///srv/tree/", "/srv/tree/"),
            ("file:/srv", "/srv"),
            ("file://localhost/srv", "/srv"),
            ("file:///a%20b%2Fc%25", "/a b/c%"),
        ] {
            assert_eq!(local(url), Path::new(path), "{url}");
        }
    }

    #[test]
    fn a_url_of_another_host_keeps_its_spelling() {
        let nfs = |host: &str, path: &str| Place::Nfs { host: host.into(), path: path.into() };
        for (given, place) in [
            ("HTTP://Host:8/a%20b?x", Place::Http("http://Host:8/a%20b?x".into())),
            ("https://h", Place::Http("https://h".into())),
            ("ftp://h/x/", Place::Ftp("ftp://h/x/".into())),
            ("tftp://h/x", Place::Tftp("tftp://h/x".into())),
            ("nfs:h:/a b", nfs("h", "/a b")),
            ("nfs://h/a", nfs("h", "/a")),
            ("nfs://h:/a", nfs("h", "/a")),
            ("nfs://h:2049/a", nfs("h:2049", "/a")),
            ("nfs+iso:[::1]:/a/x.iso", nfs("[::1]", "/a/x.iso")),
        ] {
            assert_eq!(Place::parse(given.as_ref()).unwrap(), place, "{given}");
            assert!(place.is_remote());
        }
        assert_eq!(nfs("h", "/a").to_string(), "nfs:h:/a");
    }

    #[test]
    fn other_urls_are_refused_by_name() {
        for (url, word) in [
            ("gopher://host/x", "gopher: is not supported"),
            ("http:host/x", "'//' is missing"),
            ("http://", "no host"),
            ("http:///x", "no host"),
            ("http://h/a b", "a space"),
            ("nfs:host", "path is not absolute"),
            ("nfs:/path", "no host"),
            ("nfs://host", "no path"),
            ("file://host/x", "another host"),
            ("file://host", "no path"),
            ("file:x", "does not begin with a slash"),
            ("file:///%zz", "two hexadecimal digits"),
            ("file:///a%00", "two hexadecimal digits"),
            ("file:///a%4", "two hexadecimal digits"),
        ] {
            let error = Place::parse(url.as_ref()).unwrap_err();
            assert!(error.to_string().contains(word), "{url}: {error}");
            assert!(!error.hint().is_empty());
        }
    }

    /// A message may go to a log that others read.
    #[test]
    fn the_password_of_a_refused_url_is_in_no_message() {
        for (url, why) in [
            ("gopher://me:secret@host/x", "gopher://host/x: gopher: is not supported"),
            ("HTTPX://me:secret@host/x", "HTTPX://host/x: httpx: is not supported"),
            ("http://me:secret@ho st/x", "http://ho st/x: it contains a space"),
            ("http://me:secret @host/x", "http://host/x: it contains a space"),
            ("http:me:secret@host/x", "http://host/x: '//' is missing"),
            ("http://me:se/secret@host/", "http://host/: its port is not a number"),
            ("http://me:se?secret@host/", "http://host/: its port is not a number"),
            ("https://me:secret@/x", "https:///x: there is no host"),
            ("http://me:secret@host:99999/x", "http://host:99999/x: its port is not a number"),
            ("ftp://me:secret@host:x/", "ftp://host:x/: its port is not a number"),
            ("tftp://me:secret@host/x", "tftp://host/x: this protocol has no user names"),
            ("nfs://me:secret@host/x", "nfs://host/x: this protocol has no user names"),
            ("nfs:me:secret@host:/x", "nfs://host:/x: this protocol has no user names"),
            ("nfs://me:se/secret@host/x", "nfs://host/x: its port is not a number"),
            ("file://me:secret@host/x", "file://host/x: it names another host"),
        ] {
            let error = Place::parse(url.as_ref()).unwrap_err();
            assert!(error.to_string().starts_with(why), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_non_directory_reports_its_type() {
        let temp = crate::testing::Temp::new();
        temp.file("x.iso", b"CD001");
        let place = |name: &str| Place::Local(temp.path().join(name));
        let open = |name| place(name).open(&Net::default(), &|file| file.into_file());
        let error = open("x.iso").unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("x.iso' is "), "{cause}");
        assert!(error.hint().contains("an image"), "{}", error.hint());
        let error = open("absent").unwrap_err();
        assert!(error.hint().contains("check the path"));
    }

    #[test]
    fn only_a_path_is_on_this_host() {
        assert!(!Place::parse("/srv".as_ref()).unwrap().is_remote());
        assert!(!Place::parse("file:///srv".as_ref()).unwrap().is_remote());
        assert!(Place::parse("http://h/srv".as_ref()).unwrap().is_remote());
    }
}
