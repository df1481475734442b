//! A file of an HTTP server.

use std::fmt;
use std::fs::File as HostFile;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::client::{Body, Client, RequestError};
use super::opening::{self, Expected, Identity, Opened};
use super::page_cache::{PAGE, PageCache};
use super::url::Url;
use crate::remote::unannounced::Taken;
use storage::RandomAccess;
use storage::host_file;
use storage::sync::lock;

/// How long reading ahead may take.
const AHEAD: Duration = Duration::from_secs(3);

/// Where the bytes behind a file's first ones come from.
pub(super) enum Rest {
    /// Whatever range is asked for, from the server.
    Ranges,
    /// The server always begins at the beginning: an answer's body, and where in the file it is.
    Sequential(Box<Mutex<Option<(u64, Body)>>>),
    /// The server did not say how many there are: all that are wanted are here by now.
    Copied(Taken),
}

/// A file of an HTTP server.
pub(super) struct File {
    client: Arc<Client>,
    url: Url,
    name: String,
    len: u64,
    /// The first bytes.
    head: Vec<u8>,
    rest: Rest,
    pages: Mutex<PageCache>,
    identity: Identity,
}

impl File {
    /// What was found out by opening it.
    pub fn new(
        client: Arc<Client>,
        url: Url,
        name: &str,
        opened: Opened,
        identity: Identity,
    ) -> Self {
        let Opened { len, head, rest } = opened;
        let pages = Mutex::default();
        Self { client, url, name: name.into(), len, head, rest, pages, identity }
    }

    /// Copies from the first bytes; 0: `at` is behind them.
    fn read_head(&self, to: &mut [u8], at: u64) -> usize {
        let rest = usize::try_from(at).ok().and_then(|at| self.head.get(at..)).unwrap_or_default();
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        count
    }

    fn ask(&self, from: u64, to: Option<u64>) -> Result<(Body, bool), RequestError> {
        let expected = Expected { len: self.len, identity: &self.identity };
        opening::part(&self.client, &self.url, (from, to), &expected)
    }

    /// Reads by pages. `at` is within the file.
    fn read_pages(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let mut pages = lock(&self.pages);
        if let Some(count) = pages.read(to, at) {
            return Ok(count);
        }
        let (first, end) = pages.wanted(at, to.len());
        let (from, end) = (first * PAGE, end.saturating_mul(PAGE).min(self.len));
        let most = usize::try_from(end - from).map_err(io::Error::other)?;
        let bytes = self.client.persist(|| {
            let began = Instant::now();
            let mut bytes = vec![0; most];
            let (mut body, is_part) = self.ask(from, Some(end - 1))?;
            let filled = self.fill_pages(&mut body, &mut bytes, began)?;
            if filled < most {
                bytes.truncate(filled);
            } else if is_part {
                body.ended()?;
            }
            Ok(bytes)
        })?;
        pages.keep(first, &bytes);
        Ok(pages.read(to, at).unwrap_or(0))
    }

    /// Fills `bytes` with whole pages, and returns their size. Reading ahead ends early if it takes
    /// long: who waits for the first page need not wait for the others.
    fn fill_pages(
        &self,
        body: &mut Body,
        bytes: &mut [u8],
        began: Instant,
    ) -> Result<usize, RequestError> {
        let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let needed = bytes.len().min(page);
        let mut filled = 0;
        while filled < bytes.len() {
            match body.read(&mut bytes[filled..]) {
                Err(_) if filled >= needed => break,
                Err(error) => return Err(error),
                Ok(0) => {
                    let problem = "the server sent less than it was asked for";
                    let hint = "try again, or use another server";
                    return Err(RequestError::retryable(problem, hint));
                }
                Ok(count) => filled += count,
            }
            let time = began.elapsed();
            if filled < needed && time > 2 * self.client.net().idle {
                let problem =
                    format!("the server sent only {filled} bytes in {} s", time.as_secs());
                return Err(RequestError::retryable(problem, "use another server"));
            }
            if filled >= needed && time > AHEAD {
                break;
            }
        }
        Ok(if filled < bytes.len() { filled / page * page } else { filled })
    }

    /// Goes on with the body that is open, if `at` is not before it.
    fn read_body(
        &self,
        open: &Mutex<Option<(u64, Body)>>,
        to: &mut [u8],
        at: u64,
    ) -> io::Result<usize> {
        let body = lock(open).take().filter(|(position, _)| *position <= at);
        let mut stream = self.part(at..self.len);
        if let Some((position, mut body)) = body
            && body.skip(at - position).is_ok()
        {
            stream.body = Some((body, false));
        }
        let count = stream.read(to)?;
        let at = stream.at;
        *lock(open) = stream.body.take().map(|(body, _)| (at, body));
        Ok(count)
    }

    /// These bytes; nothing is asked yet.
    fn part(&self, range: Range<u64>) -> Stream<'_> {
        let end = range.end.min(self.len);
        Stream { file: self, at: range.start.min(end), end, body: None, failures: 0 }
    }
}

impl RandomAccess for File {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let most = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let most = most.min(to.len());
        let to = &mut to[..most];
        if to.is_empty() {
            return Ok(0);
        }
        match self.read_head(to, at) {
            0 => match &self.rest {
                Rest::Ranges => self.read_pages(to, at),
                Rest::Sequential(open) => self.read_body(open, to, at),
                Rest::Copied(taken) => taken.file.read_at(to, at),
            },
            count => Ok(count),
        }
    }

    fn stream(&self, from: u64) -> io::Result<Box<dyn Read + '_>> {
        self.stream_range(from..self.len)
    }

    fn stream_range(&self, range: Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        let body = match &self.rest {
            // What was sent on opening goes on.
            Rest::Sequential(open) => match lock(open).take() {
                Some((at, body)) if at == self.head.len() as u64 && range.start <= at => {
                    Some((body, false))
                }
                _ => None,
            },
            Rest::Ranges | Rest::Copied(_) => None,
        };
        Ok(Box::new(Stream { body, ..self.part(range) }))
    }

    fn is_sequential(&self) -> bool {
        matches!(self.rest, Rest::Sequential(_))
    }

    fn is_cut(&self) -> bool {
        matches!(&self.rest, Rest::Copied(taken) if !taken.is_whole)
    }

    fn version(&self) -> String {
        self.identity.version(self.len)
    }

    fn into_file(self: Box<Self>) -> io::Result<HostFile> {
        match self.rest {
            Rest::Copied(taken) => host_file::read_only(&taken.file),
            _ => storage::copy_to_memory(&*self),
        }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("File");
        out.field("name", &self.name).field("len", &self.len).finish_non_exhaustive()
    }
}

/// A file's bytes in order, by as few requests as it takes.
struct Stream<'a> {
    file: &'a File,
    /// Where it is.
    at: u64,
    /// Where it ends.
    end: u64,
    /// An answer's body that is there too, or behind the file's first bytes as long as it is within
    /// them; and whether it ends where this does.
    body: Option<(Body, bool)>,
    /// So often in a row not one byte came.
    failures: u32,
}

impl Stream<'_> {
    fn read_server(&mut self, to: &mut [u8]) -> Result<usize, RequestError> {
        let to_its_end = self.end == self.file.len;
        let (mut body, is_part, is_new) = match self.body.take() {
            Some((body, is_part)) => (body, is_part, false),
            None => {
                let last = (!to_its_end).then(|| self.end - 1);
                let (body, is_part) = self.file.ask(self.at, last)?;
                (body, is_part, true)
            }
        };
        let count = body.read(to)?;
        if count == 0 {
            // A server may send less than was asked for.
            if !is_new {
                return self.read_server(to);
            }
            let problem = format!("the server ended after {} of {} bytes", self.at, self.file.len);
            return Err(RequestError::retryable(problem, "try again, or use another server"));
        }
        if self.at + (count as u64) < self.end {
            self.body = Some((body, is_part));
        } else if is_part || to_its_end {
            body.ended()?;
        }
        Ok(count)
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(to.len());
        let to = &mut to[..most];
        if to.is_empty() {
            return Ok(0);
        }
        let mut count = self.file.read_head(to, self.at);
        if let (0, Rest::Copied(taken)) = (count, &self.file.rest) {
            count = taken.file.read_at(to, self.at)?;
        }
        while count == 0 {
            match self.read_server(to) {
                Ok(read) => (count, self.failures) = (read, 0),
                Err(RequestError::Retryable(_))
                    if self.failures < self.file.client.net().retries =>
                {
                    self.file.client.pause(self.failures);
                    self.failures += 1;
                }
                Err(trouble) => return Err(trouble.into_error()),
            }
        }
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::Net;
    use crate::remote::unannounced::Wanted;
    use crate::testing::http::{Reply, Server};

    /// [`PAGE`].
    const SIZE: usize = 64 << 10;
    const LEN: usize = 40 * SIZE;
    const QUICK: Duration = Duration::from_millis(300);

    /// A file whose first part is sent as a whole; of any other, `sent` bytes, and then nothing.
    fn file(sent: usize, idle: Duration) -> (Server, File) {
        let server = Server::new(move |request, before| {
            let reply = Reply::file(request, &vec![7; LEN], "\"1\"");
            if before == 0 { reply } else { reply.stalled(sent) }
        });
        let client = Arc::new(Client::new(&Net { idle, retries: 0, ..Net::default() }));
        let url = Url::parse(&server.url("/x")).unwrap();
        let file = opening::open(&client, &url, "x", Wanted::All(0)).unwrap().unwrap();
        (server, file)
    }

    /// Asks for this number of bytes, from a reader that has been waiting for `waited`.
    fn filled(file: &File, count: usize, waited: Duration) -> Result<usize, String> {
        let (mut body, _) = file.ask(20 * PAGE, Some(20 * PAGE + count as u64 - 1)).unwrap();
        let began = Instant::now().checked_sub(waited).unwrap();
        file.fill_pages(&mut body, &mut vec![0; count], began)
            .map_err(|error| error.into_error().to_string())
    }

    #[test]
    fn reading_ahead_ends_with_a_whole_page_when_it_takes_long() {
        let (_server, whole) = file(LEN, Duration::from_secs(6));
        assert_eq!(filled(&whole, 16 * SIZE, Duration::ZERO), Ok(16 * SIZE));
        let count = filled(&whole, 16 * SIZE, 2 * AHEAD).unwrap();
        assert!((SIZE..16 * SIZE).contains(&count) && count.is_multiple_of(SIZE), "{count}");
        // One page and a half come.
        let (_server, stalled) = file(SIZE * 3 / 2, QUICK);
        assert_eq!(filled(&stalled, 2 * SIZE, Duration::ZERO), Ok(SIZE));
    }

    #[test]
    fn the_page_that_is_needed_has_twice_the_idle_timeout() {
        let (_server, slow) = file(1000, QUICK);
        let problem = filled(&slow, SIZE, 3 * QUICK).unwrap_err();
        assert!(problem.starts_with("the server sent only 1000 bytes in "), "{problem}");
        let problem = filled(&slow, SIZE, Duration::ZERO).unwrap_err();
        assert_eq!(problem, "the server sent no data for 300 ms", "it is waited for");
        assert_eq!(filled(&slow, 1000, 3 * QUICK), Ok(1000), "all of it is there");
    }
}
