//! HTTP (RFC 9110, RFC 9112), by ureq.
//!
//! | what | module |
//! |---|---|
//! | URLs: joining names, following links, credentials | `url` |
//! | requests, redirections, what is tried again, what failures are called | `client` |
//! | deadlines, and connections that break | `connection` |
//! | proxies of the environment | `proxy` |
//! | what the status line and the headers of an answer mean for a file | `opening` |
//! | a file: its pages, and streams that go on where they broke | `file` |
//! | the page cache and read-ahead | `page_cache` |
//! | pages that list a directory | `index` |

mod client;
mod connection;
mod file;
mod index;
mod opening;
mod page_cache;
mod proxy;
mod url;

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use self::client::{Ask, Client, RequestError};
use self::url::Url;
use super::Net;
use super::unannounced::Wanted;
use crate::fetch::without_login;
use storage::{Entry, FileError, FileTree, RandomAccess, TreePath};

/// The files below a URL; its root is the URL itself. Nothing is asked yet.
///
/// # Errors
/// The URL is none.
pub(crate) fn tree(url: &str, net: &Net) -> Result<Box<dyn FileTree>, FileError> {
    let parsed = Url::parse(url).map_err(|why| {
        FileError::failure(without_login(url), why, "use http://HOST/PATH or https://HOST/PATH")
    })?;
    let name = parsed.shown();
    if parsed.tls && !cfg!(feature = "tls") {
        let problem = "this chukka was built without TLS and does not support https:";
        return Err(FileError::failure(name, problem, "build it with the feature tls"));
    }
    Ok(Box::new(Tree { url: parsed, name, client: Arc::new(Client::new(net)) }))
}

/// What is at and below a URL.
#[derive(Debug)]
struct Tree {
    url: Url,
    name: String,
    client: Arc<Client>,
}

impl Tree {
    /// Where something is, and what messages call it.
    fn at(&self, path: &TreePath) -> (Url, String) {
        if *path == TreePath::root() {
            return (self.url.clone(), self.name.clone());
        }
        let bytes = path.as_path().as_os_str().as_bytes();
        (self.url.below(bytes), format!("{}/{path}", self.name))
    }

    fn opened(&self, path: &TreePath, wanted: Wanted) -> Result<Box<dyn RandomAccess>, FileError> {
        let (url, name) = self.at(path);
        let opened = self.client.persist(|| opening::open(&self.client, &url, &name, wanted));
        match opened {
            Ok(Some(file)) => Ok(Box::new(file)),
            Ok(None) => Err(FileError::Missing(name)),
            Err(source) => Err(FileError::Io { name, source }),
        }
    }
}

impl FileTree for Tree {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<Entry>, FileError> {
        let (mut url, name) = self.at(directory);
        if !url.path.ends_with('/') {
            url.path.push('/');
        }
        let page = self.client.persist(|| page(&self.client, &url));
        match page.map_err(|source| FileError::Io { name: name.clone(), source })? {
            Page::Missing => Err(FileError::Missing(name)),
            Page::Other => Err(FileError::Unlisted(name)),
            Page::Html(url, text) => index::entries(&text, &url).ok_or(FileError::Unlisted(name)),
        }
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        self.opened(path, Wanted::All(self.client.net().unannounced))
    }

    fn open_short(&self, path: &TreePath, most: u64) -> Result<Box<dyn RandomAccess>, FileError> {
        self.opened(path, Wanted::Beginning(most))
    }
}

/// What a server has for the URL of a directory.
enum Page {
    Missing,
    Other,
    Html(Url, String),
}

fn page(client: &Client, url: &Url) -> Result<Page, RequestError> {
    let mut answer = client.get(url, &Ask::default())?;
    match answer.status() {
        200 if answer.is_page() => {}
        200 => return Ok(Page::Other),
        404 | 410 => {
            answer.body.drain();
            return Ok(Page::Missing);
        }
        // Many servers have files and forbid their lists.
        403 => {
            answer.body.drain();
            return Ok(Page::Other);
        }
        _ => return Err(answer.failure()),
    }
    let mut bytes = vec![0; index::LONGEST + 1];
    let count = answer.body.fill(&mut bytes)?;
    if count > index::LONGEST {
        return Ok(Page::Other);
    }
    Ok(Page::Html(answer.url, String::from_utf8_lossy(&bytes[..count]).into_owned()))
}

#[cfg(test)]
mod tests;
