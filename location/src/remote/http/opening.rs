//! What an answer says of a file.

use std::sync::Arc;

use super::client::{Ask, Body, Client, RequestError, Response};
use super::file::{File, Rest};
use super::url::Url;
use crate::remote::unannounced::{self, Wanted};

/// The first request asks for as many bytes: enough to tell every image. Small files are had whole
/// by it.
pub(super) const FIRST: usize = 128 << 10;

const LIES: &str = "the server or a proxy is broken; try another one";
const CHANGED: &str = "wait until the server has the complete file, and try again";

/// What tells whether a file is still the same: RFC 9110, 8.8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// An `ETag` that is not weak.
    etag: Option<String>,
    /// `Last-Modified`.
    modified: Option<String>,
}

impl Identity {
    fn of(answer: &Response) -> Self {
        let etag = answer.header("ETag").filter(|tag| tag.starts_with('"'));
        let modified = answer.header("Last-Modified");
        Self { etag: etag.map(Into::into), modified: modified.map(Into::into) }
    }

    /// What a server can compare: RFC 9110, 13.1.5.
    pub fn condition(&self) -> Option<String> {
        self.etag.clone().or_else(|| self.modified.clone())
    }

    /// For [`crate::RandomAccess::version`].
    pub fn version(&self, len: u64) -> String {
        match (&self.etag, &self.modified) {
            (Some(etag), _) => etag.clone(),
            (None, Some(modified)) => format!("{modified}, {len} bytes"),
            (None, None) => String::new(),
        }
    }

    /// Whether another answer can be of the same file: where both say something, it is the same.
    fn fits(&self, other: &Self) -> bool {
        let fit = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
        match (&self.etag, &other.etag) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => fit(&self.modified, &other.modified),
        }
    }
}

/// Asks for a file's beginning; `None`: there is no such file. `wanted` says how much is taken of
/// one whose length the server does not tell.
///
/// # Errors
/// There is no answer, or none that makes sense.
pub(super) fn open(
    client: &Arc<Client>,
    url: &Url,
    name: &str,
    wanted: Wanted,
) -> Result<Option<File>, RequestError> {
    let ask = Ask { range: Some((0, Some(FIRST as u64 - 1))), condition: None };
    let answer = client.get(url, &ask)?;
    let identity = Identity::of(&answer);
    // What is asked for later is asked for there: another mirror may have another file.
    let url = answer.url.clone();
    let opened = match answer.status() {
        200 => whole(answer, wanted)?,
        // Parts of two answers could be of two versions.
        206 if identity.condition().is_none() && Part::of(&answer)?.is_beginning_only() => {
            all_of(client, answer, wanted)?
        }
        206 => beginning(client, answer, wanted)?,
        // An empty file has no first byte.
        416 => all_of(client, answer, wanted)?,
        404 | 410 => {
            answer.body.drain();
            return Ok(None);
        }
        _ => {
            let failure = answer.failure();
            answer.body.drain();
            return Err(failure);
        }
    };
    Ok(Some(File::new(Arc::clone(client), url, name, opened, identity)))
}

/// What came with the first answer.
pub(super) struct Opened {
    /// How long the file is.
    pub len: u64,
    /// Its first bytes.
    pub head: Vec<u8>,
    /// Where those behind come from.
    pub rest: Rest,
}

/// Asks once more, for the whole: the answer to a range said nothing of use.
fn all_of(client: &Client, answer: Response, wanted: Wanted) -> Result<Opened, RequestError> {
    let url = answer.url.clone();
    answer.body.drain();
    let answer = client.get(&url, &Ask::default())?;
    match answer.status() {
        200 => whole(answer, wanted),
        _ => Err(answer.failure()),
    }
}

/// A server that sends the whole: what is in the first bytes, and what to do about those behind.
fn whole(answer: Response, wanted: Wanted) -> Result<Opened, RequestError> {
    let len = answer.length();
    let mut body = answer.body;
    let mut head = vec![0; FIRST];
    let count = body.fill(&mut head)?;
    head.truncate(count);
    if count < FIRST || len == Some(FIRST as u64) {
        body.ended()?;
        return Ok(Opened { len: count as u64, head, rest: Rest::Ranges });
    }
    match len {
        Some(len) => {
            let rest = Rest::Sequential(Box::new(Some((count as u64, body)).into()));
            Ok(Opened { len, head, rest })
        }
        None => {
            let read = |to: &mut [u8]| body.read(to);
            let taken = unannounced::take(wanted, &head, read, RequestError::Permanent)?;
            Ok(Opened { len: taken.len, head, rest: Rest::Copied(taken) })
        }
    }
}

/// A server that sends a part: the length of the whole, and the first bytes.
fn beginning(
    client: &Client,
    mut answer: Response,
    wanted: Wanted,
) -> Result<Opened, RequestError> {
    let part = Part::of(&answer)?;
    let Some(len) = part.len else {
        return all_of(client, answer, wanted);
    };
    let count = usize::try_from(part.count).ok().filter(|count| *count <= FIRST);
    let (0, Some(count)) = (part.from, count) else {
        return Err(lie(&format!("bytes {}, and not those asked for", part.shown())));
    };
    let mut head = vec![0; count];
    if answer.body.fill(&mut head)? < count {
        return Err(RequestError::retryable("the answer ended early", LIES));
    }
    answer.body.ended()?;
    Ok(Opened { len, head, rest: Rest::Ranges })
}

fn lie(what: &str) -> RequestError {
    RequestError::permanent(format!("the server sent {what}"), LIES)
}

/// `Content-Range: bytes FROM-TO/LEN`, RFC 9110, 14.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    from: u64,
    count: u64,
    /// `None`: a star.
    len: Option<u64>,
}

impl Part {
    fn parse(text: &str) -> Option<Self> {
        let (range, len) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
        let (from, to) = range.split_once('-')?;
        let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
        let len = if len == "*" { None } else { Some(len.parse().ok()?) };
        let count = to.checked_sub(from)?.checked_add(1)?;
        len.is_none_or(|len| to < len).then_some(Self { from, count, len })
    }

    /// That of an answer with the status 206; its body has as many bytes as it says.
    fn of(answer: &Response) -> Result<Self, RequestError> {
        let text = answer.header("Content-Range").unwrap_or_default();
        let Some(part) = Self::parse(text) else {
            return Err(lie(&format!(
                "a part, and said of which bytes: '{}'",
                text.escape_default()
            )));
        };
        match answer.length() {
            Some(length) if length != part.count => {
                Err(lie(&format!("{length} bytes, and said they were {}", part.shown())))
            }
            _ => Ok(part),
        }
    }

    /// Whether it is the beginning that was asked for, and more follows.
    fn is_beginning_only(&self) -> bool {
        self.from == 0 && self.count <= FIRST as u64 && self.len != Some(self.count)
    }

    fn shown(&self) -> String {
        format!("{}-{}", self.from, self.from + (self.count - 1))
    }
}

/// What a file was when it was opened, which it has to be still.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    /// How long it is.
    pub len: u64,
    /// What it is.
    pub identity: &'a Identity,
}

/// Asks for a file's bytes from `from` on, up to and with `to`, if that is given; the server may
/// send fewer. Whether it knew the range is told with them: if not, more follows.
///
/// # Errors
/// There is no answer, none that makes sense, or the file is another one now.
pub(super) fn part(
    client: &Client,
    url: &Url,
    (from, to): (u64, Option<u64>),
    expected: &Expected<'_>,
) -> Result<(Body, bool), RequestError> {
    let condition = expected.identity.condition();
    if condition.is_none() {
        let problem = "it would have to be fetched in two parts, and the server has no ETag or Last-Modified that tells whether they are of one version";
        return Err(RequestError::permanent(problem, "try again, or use another server"));
    }
    let ask = Ask { range: Some((from, to)), condition };
    let answer = client.get(url, &ask)?;
    let changed = |found: String| {
        RequestError::permanent(format!("it was changed while it was read: {found}"), CHANGED)
    };
    let check = |len: Option<u64>| match len {
        Some(len) if len != expected.len => {
            Err(changed(format!("it has {len} bytes, and had {}", expected.len)))
        }
        _ if !expected.identity.fits(&Identity::of(&answer)) => {
            Err(changed("the server has another version of it".into()))
        }
        _ => Ok(()),
    };
    match answer.status() {
        206 => {
            let part = Part::of(&answer)?;
            check(part.len)?;
            let end = part.from.checked_add(part.count);
            let most = to.map_or(expected.len, |to| to.saturating_add(1));
            if part.from != from || end.is_none_or(|end| end > most) {
                let asked = to.map(|to| to.to_string()).unwrap_or_default();
                return Err(lie(&format!("bytes {}, and not {from}-{asked}", part.shown())));
            }
            Ok((answer.body, true))
        }
        // The server knows no ranges.
        200 => {
            check(answer.length())?;
            let mut body = answer.body;
            body.skip(from)?;
            Ok((body, false))
        }
        404 | 410 => Err(changed("it is not there any more".into())),
        416 => Err(changed(format!("it has no byte {from} now"))),
        _ => Err(answer.failure()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_as_rfc_9110_has_it() {
        let part = |from, count, len| Some(Part { from, count, len });
        for (text, expected) in [
            ("bytes 0-9/10", part(0, 10, Some(10))),
            ("bytes 5-5/10", part(5, 1, Some(10))),
            ("bytes 0-9/*", part(0, 10, None)),
            ("bytes 0-10/10", None),
            ("bytes 9-0/10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-18446744073709551616/*", None),
            ("bytes */10", None),
            ("items 0-9/10", None),
            ("", None),
        ] {
            assert_eq!(Part::parse(text), expected, "{text}");
        }
    }

    /// RFC 9110, 8.8.1: an `ETag` tells more than a time does.
    #[test]
    fn answers_fit_if_what_both_say_is_the_same() {
        let identity = |etag: Option<&str>, modified: Option<&str>| Identity {
            etag: etag.map(Into::into),
            modified: modified.map(Into::into),
        };
        for (ours, theirs, expected) in [
            (identity(None, Some("Mon")), identity(None, Some("Mon")), true),
            (identity(None, Some("Mon")), identity(None, Some("Tue")), false),
            (identity(None, Some("Mon")), identity(None, None), true),
            (identity(None, None), identity(None, Some("Mon")), true),
            (identity(Some("1"), Some("Mon")), identity(Some("1"), Some("Tue")), true),
            (identity(Some("1"), Some("Mon")), identity(Some("2"), Some("Mon")), false),
            (identity(Some("1"), Some("Mon")), identity(None, Some("Tue")), false),
        ] {
            assert_eq!(ours.fits(&theirs), expected, "{ours:?}, {theirs:?}");
        }
    }
}
