//! HTTP/1.1 (RFC 9112) as far as a reader of files needs it: GET and HEAD, one range, listings.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;

use location::{FileError, RandomAccess, TreePath};
use rustix::io::Errno;
use storage::Entry;

use super::{Content, Found};

/// Longest head of a request in bytes.
const HEAD: usize = 8 << 10;
/// Bytes of a file read at once.
const PIECE: usize = 256 << 10;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    head_only: bool,
    path: TreePath,
    /// The path ends with a slash.
    wants_directory: bool,
    range: Option<Range>,
    /// Another request may follow.
    keep: bool,
}

/// A range of bytes as it was asked for (RFC 9110 section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// `A-` and `A-B`.
    From(u64, u64),
    /// `-N`: the last ones.
    Last(u64),
}

/// A status with its phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status(u16, &'static str);

const BAD_REQUEST: Status = Status(400, "Bad Request");
const FORBIDDEN: Status = Status(403, "Forbidden");
const NOT_FOUND: Status = Status(404, "Not Found");
const NOT_ALLOWED: Status = Status(405, "Method Not Allowed");
const TOO_LARGE: Status = Status(431, "Request Header Fields Too Large");
const UNREADABLE: Status = Status(500, "Internal Server Error");

/// Answers the requests of one connection until it ends.
///
/// # Errors
/// The connection was lost or idle for too long, or a file became unreadable in the middle.
pub fn converse(mut stream: impl Read + Write, content: &Content) -> io::Result<()> {
    let mut unread = Vec::new();
    loop {
        let head = match head(&mut stream, &mut unread)? {
            Head::Whole(head) => head,
            Head::End => return Ok(()),
            Head::TooLong => return refuse(&mut stream, TOO_LARGE, false, false),
        };
        let request = match Request::parse(&head) {
            Ok(request) => request,
            Err(status) => return refuse(&mut stream, status, false, false),
        };
        answer(&mut stream, content, &request)?;
        if !request.keep {
            return Ok(());
        }
    }
}

enum Head {
    Whole(Vec<u8>),
    End,
    TooLong,
}

/// Reads the next head, without the empty line at its end. `unread` has what came behind it.
fn head(stream: &mut impl Read, unread: &mut Vec<u8>) -> io::Result<Head> {
    loop {
        // Lines end with CRLF; a lone LF is common enough to be taken (RFC 9112 section 2.2).
        let ends = [&b"\r\n\r\n"[..], b"\n\n"];
        let end = ends.iter().filter_map(|end| {
            let at = unread.windows(end.len()).position(|bytes| bytes == *end)?;
            Some((at, at + end.len()))
        });
        if let Some((at, next)) = end.min() {
            let rest = unread.split_off(next);
            let mut head = std::mem::replace(unread, rest);
            head.truncate(at);
            return Ok(Head::Whole(head));
        }
        if unread.len() >= HEAD {
            return Ok(Head::TooLong);
        }
        let mut piece = [0; 1024];
        match stream.read(&mut piece) {
            Ok(0) => return Ok(Head::End),
            Ok(count) => unread.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Request {
    fn parse(head: &[u8]) -> Result<Self, Status> {
        let head = str::from_utf8(head).map_err(|_| BAD_REQUEST)?;
        // Empty lines in front are ignored (RFC 9112 section 2.2).
        let mut lines = head.trim_start_matches(['\r', '\n']).lines();
        let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, version] = words[..] else { return Err(BAD_REQUEST) };
        if !version.starts_with("HTTP/1.") {
            return Err(BAD_REQUEST);
        }
        let head_only = match method {
            "GET" => false,
            "HEAD" => true,
            _ => return Err(NOT_ALLOWED),
        };
        let (mut range, mut keep, mut conditional) = (None, version != "HTTP/1.0", false);
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(BAD_REQUEST)?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "range" => range = Range::parse(value),
                // Files have no validators here, so none can match.
                "if-range" => conditional = true,
                "connection" if value.eq_ignore_ascii_case("close") => keep = false,
                "connection" if value.eq_ignore_ascii_case("keep-alive") => keep = true,
                // A body is not read, so nothing behind it can be.
                "content-length" if value == "0" => {}
                "content-length" | "transfer-encoding" => keep = false,
                _ => {}
            }
        }
        let (path, wants_directory) = path(target)?;
        let range = range.filter(|_| !conditional);
        Ok(Self { head_only, path, wants_directory, range, keep })
    }
}

/// The path of a request's target, and whether it ends with a slash.
fn path(target: &str) -> Result<(TreePath, bool), Status> {
    // Through a proxy's eyes: the whole URL.
    let target = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find('/').map_or("/", |slash| &rest[slash..])
        }
        _ => target,
    };
    let target = target.split(['?', '#']).next().unwrap_or_default();
    if !target.starts_with('/') {
        return Err(BAD_REQUEST);
    }
    let mut bytes = Vec::with_capacity(target.len());
    let mut rest = target.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.filter(|byte| *byte != 0).ok_or(BAD_REQUEST)?);
        rest = &rest[2..];
    }
    let wants_directory = bytes.ends_with(b"/");
    Ok((TreePath::new(std::ffi::OsString::from_vec(bytes)), wants_directory))
}

impl Range {
    /// `None`: something else than one range of bytes, which a server may ignore.
    fn parse(value: &str) -> Option<Self> {
        let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
        match (first, last) {
            ("", last) => Some(Self::Last(last.parse().ok()?)),
            (first, "") => Some(Self::From(first.parse().ok()?, u64::MAX)),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(Self::From(first, last))
            }
        }
    }

    /// Start and end in a file of `len` bytes. `None`: no byte of it is in the range.
    fn within(self, len: u64) -> Option<(u64, u64)> {
        let (start, end) = match self {
            Self::From(first, last) => (first, last.saturating_add(1).min(len)),
            Self::Last(count) => (len.saturating_sub(count), len),
        };
        (start < end).then_some((start, end))
    }
}

fn answer(stream: &mut impl Write, content: &Content, request: &Request) -> io::Result<()> {
    let Request { head_only, keep, .. } = *request;
    match content.find(&request.path) {
        Ok(Found::File(_) | Found::Medium(_)) if request.wants_directory => {
            refuse(stream, NOT_FOUND, head_only, keep)
        }
        Ok(Found::File(file)) => send(stream, &*file, request),
        Ok(Found::Medium(file)) => send(stream, file, request),
        Ok(Found::Directory(_)) if !request.wants_directory => {
            // Relative links of the listing would lead to the wrong place.
            let fields = format!("Location: /{}/\r\n", escaped(&request.path));
            whole(stream, Status(301, "Moved Permanently"), &fields, "", head_only, keep)
        }
        Ok(Found::Directory(entries)) => {
            let text = listing(&request.path, &entries);
            let fields = "Content-Type: text/html; charset=utf-8\r\n";
            whole(stream, Status(200, "OK"), fields, &text, head_only, keep)
        }
        Err(error) => refuse(stream, status(&error), head_only, keep),
    }
}

fn status(error: &FileError) -> Status {
    match error {
        FileError::Missing(_) => NOT_FOUND,
        FileError::Kind { .. } | FileError::Unlisted(_) => FORBIDDEN,
        FileError::Io { source, .. } => match Errno::from_io_error(source) {
            Some(Errno::ACCESS | Errno::PERM) => FORBIDDEN,
            Some(Errno::LOOP | Errno::NAMETOOLONG) => NOT_FOUND,
            _ => UNREADABLE,
        },
    }
}

/// Sends a file, or the range of it that was asked for.
fn send(stream: &mut impl Write, file: &dyn RandomAccess, request: &Request) -> io::Result<()> {
    let len = file.len();
    let kind = "Content-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n";
    let (status, fields, (start, end)) = match request.range.map(|range| range.within(len)) {
        None => (Status(200, "OK"), kind.to_owned(), (0, len)),
        Some(Some((start, end))) => {
            let field = format!("{kind}Content-Range: bytes {start}-{}/{len}\r\n", end - 1);
            (Status(206, "Partial Content"), field, (start, end))
        }
        Some(None) => {
            let field = format!("Content-Range: bytes */{len}\r\n");
            let status = Status(416, "Range Not Satisfiable");
            return whole(stream, status, &field, "", request.head_only, request.keep);
        }
    };
    stream.write_all(header(status, &fields, end - start, request.keep).as_bytes())?;
    if request.head_only {
        return Ok(());
    }
    let size = usize::try_from(end - start).map_or(PIECE, |size| size.min(PIECE));
    let (mut piece, mut at) = (vec![0; size], start);
    while at < end {
        let room = usize::try_from(end - at).map_or(size, |rest| rest.min(size));
        match file.read_at(&mut piece[..room], at)? {
            // Shorter than it was: the client must not take this for all of it.
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                stream.write_all(&piece[..count])?;
                at += count as u64;
            }
        }
    }
    Ok(())
}

fn header(Status(code, phrase): Status, fields: &str, length: u64, keep: bool) -> String {
    let connection = if keep { "keep-alive" } else { "close" };
    format!(
        "HTTP/1.1 {code} {phrase}\r\nServer: chukka\r\n{fields}Content-Length: {length}\r\n\
         Connection: {connection}\r\n\r\n"
    )
}

/// Sends an answer whose text is in memory.
fn whole(
    stream: &mut impl Write,
    status: Status,
    fields: &str,
    text: &str,
    head_only: bool,
    keep: bool,
) -> io::Result<()> {
    let mut answer = header(status, fields, text.len() as u64, keep);
    if !head_only {
        answer.push_str(text);
    }
    stream.write_all(answer.as_bytes())
}

fn refuse(stream: &mut impl Write, status: Status, head_only: bool, keep: bool) -> io::Result<()> {
    let allowed = if status == NOT_ALLOWED { "Allow: GET, HEAD\r\n" } else { "" };
    let fields = format!("{allowed}Content-Type: text/plain\r\n");
    whole(stream, status, &fields, &format!("{}\n", status.1), head_only, keep)
}

/// A listing as Apache and nginx write it: installers and mirror tools read its links.
fn listing(path: &TreePath, entries: &[Entry]) -> String {
    let title = text(&path.to_string());
    let mut page = format!("<!DOCTYPE html>\n<title>{title}</title>\n<h1>{title}</h1>\n<pre>\n");
    for Entry { name, is_directory } in entries {
        let slash = if *is_directory { "/" } else { "" };
        let link = escaped(&TreePath::new(name));
        // Writing to a String cannot fail.
        page.push_str(&format!("<a href=\"./{link}{slash}\">{}{slash}</a>\n", text(name)));
    }
    page + "</pre>\n"
}

/// Text as HTML has it.
fn text(plain: &str) -> String {
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// A path as a URL has it (RFC 3986 section 3.3).
fn escaped(path: &TreePath) -> String {
    let escape = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' | b'+' => {
            char::from(*byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    path.as_path().as_os_str().as_encoded_bytes().iter().map(escape).collect()
}

#[cfg(test)]
mod tests;
