//! What `-location` names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::source::{Directory, Source, SourceError};

/// A place, told by how it is written; nothing has been looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path of this host, also written as `file:` URL.
    Local(PathBuf),
}

/// Why what was given is no place.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SpellingError {
    /// A URL of a kind that cannot be read.
    #[error(
        "-location {given}: chukka reads no {scheme}: locations, expected a directory or file:///PATH"
    )]
    Scheme {
        /// What was given.
        given: String,
        /// The part before the colon.
        scheme: String,
    },
    /// A `file:` URL that is none.
    #[error("-location {given}: {why}, expected file:///PATH")]
    Url {
        /// What was given.
        given: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl SpellingError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Scheme { .. } => {
                "copy the tree into a directory (wget -r, lftp mirror), or mount it, and name that"
            }
            Self::Url { .. } => "a path can also be given as it is: -location /srv/tree",
        }
    }
}

/// Why there is nothing to look into.
#[derive(Debug, Error)]
#[error("The location cannot be used")]
pub struct PlaceError(#[from] SourceError);

impl PlaceError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match &self.0 {
            SourceError::Missing(_) => {
                "check the path given to -location; a relative one starts at the current directory"
            }
            SourceError::Kind { .. } => {
                "-location takes a directory: mount an image or unpack it first, as by xorriso -osirrox on -indev FILE -extract / DIR"
            }
            SourceError::Io { .. } => "make it readable for you",
        }
    }
}

impl Place {
    /// Reads what was given: a URL is what begins with a name and a colon.
    ///
    /// # Errors
    /// A URL that is none, or of a kind that cannot be read.
    pub fn parse(given: &OsStr) -> Result<Self, SpellingError> {
        let Some((scheme, rest)) = split_scheme(given.as_bytes()) else {
            return Ok(Self::Local(given.into()));
        };
        if scheme != "file" {
            let given = given.to_string_lossy().into_owned();
            return Err(SpellingError::Scheme { given, scheme });
        }
        let bad = |why| SpellingError::Url { given: given.to_string_lossy().into_owned(), why };
        Ok(Self::Local(file_url(rest).map_err(bad)?))
    }

    /// Opens it.
    ///
    /// # Errors
    /// It is not there, or not what can be looked into.
    pub fn open(&self) -> Result<Box<dyn Source>, PlaceError> {
        match self {
            Self::Local(path) => Ok(Box::new(Directory::open(path)?)),
        }
    }
}

/// The path of a `file:` URL, if `given` is one: a file of this host, wherever the location is.
///
/// # Errors
/// What is wrong with the URL.
pub fn host_file(given: &Path) -> Option<Result<PathBuf, &'static str>> {
    match split_scheme(given.as_os_str().as_bytes()) {
        Some((scheme, rest)) if scheme == "file" => Some(file_url(rest)),
        _ => None,
    }
}

/// The scheme in small letters, and what is behind its colon. A path with a colon in it is taken as such where a slash comes first.
fn split_scheme(given: &[u8]) -> Option<(String, &[u8])> {
    let colon = given.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = (&given[..colon], &given[colon + 1..]);
    // RFC 3986, 3.1; a plus sign is in nfs+iso:.
    let right = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let is_scheme = scheme.len() > 1 && scheme[0].is_ascii_alphabetic() && scheme.iter().all(right);
    is_scheme.then(|| (String::from_utf8_lossy(scheme).to_ascii_lowercase(), rest))
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
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| high << 4 | low);
                value
                    .and_then(|value| u8::try_from(value).ok())
                    .filter(|value| *value != 0)
                    .ok_or("a % is not followed by two hexadecimal digits")?
            }
            byte => byte,
        });
    }
    Ok(OsString::from_vec(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(given: &str) -> PathBuf {
        let Place::Local(path) = Place::parse(given.as_ref()).unwrap();
        path
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
    fn other_urls_are_refused_by_name() {
        for (url, word) in [
            ("http://host/x", "no http: locations"),
            ("nfs:host:/x", "no nfs: locations"),
            ("nfs+iso:host:/x", "no nfs+iso: locations"),
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

    #[test]
    fn what_is_no_directory_says_what_it_is() {
        let temp = crate::testing::Temp::new();
        temp.file("x.iso", b"CD001");
        let place = |name: &str| Place::Local(temp.path().join(name));
        let error = place("x.iso").open().unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.ends_with("x.iso' is a file, expected a directory"), "{cause}");
        assert!(error.hint().contains("xorriso"));
        let error = place("absent").open().unwrap_err();
        assert!(error.hint().contains("check the path"));
    }
}
