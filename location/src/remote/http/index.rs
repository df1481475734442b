//! Pages that list a directory, as Apache, nginx, lighttpd and Python's http.server make them.

use super::url::{Url, decoded};
use storage::Entry;

/// Such pages have as many bytes at most.
pub(super) const LONGEST: usize = 1 << 20;

/// As many entries are taken at most.
const ENTRIES: usize = 1 << 16;

/// What a page at `url` lists, sorted; `None`: it is a page of another kind.
pub(super) fn entries(page: &str, url: &Url) -> Option<Vec<Entry>> {
    // ASCII letters only: places in the one are places in the other.
    let small = page.to_ascii_lowercase();
    let mut is_index = small.contains("index of ") || small.contains("directory listing for");
    let mut entries = Vec::new();
    for (at, attribute) in small.match_indices("href=") {
        let value = value(&page[at + attribute.len()..]).replace("&amp;", "&");
        let (path, has_query) = match value.find(['?', '#']) {
            Some(end) => (&value[..end], true),
            None => (value.as_str(), false),
        };
        if matches!(path, ".." | "../") {
            is_index = true;
        }
        // Links to the page itself, sorted in another way.
        if has_query {
            continue;
        }
        if let Some(entry) = entry(path, url)
            && entries.len() < ENTRIES
        {
            entries.push(entry);
        }
    }
    entries.sort_by(|a: &Entry, b| a.name.cmp(&b.name));
    entries.dedup_by(|a, b| a.name == b.name);
    is_index.then_some(entries)
}

/// The value of an attribute, from behind its equals sign.
fn value(text: &str) -> &str {
    let text = text.trim_start();
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => text[1..].split(quote).next().unwrap_or_default(),
        _ => text.split(|c: char| c.is_whitespace() || c == '>').next().unwrap_or_default(),
    }
}

/// What a link names, if it is in the directory itself.
fn entry(link: &str, url: &Url) -> Option<Entry> {
    let name = link.strip_prefix("./").unwrap_or(link);
    let name = if name.starts_with('/') { name.strip_prefix(&url.path)? } else { name };
    // A colon before any slash is a scheme's: mailto:, https:.
    if name.split('/').next()?.contains(':') {
        return None;
    }
    let (name, is_directory) = match name.strip_suffix('/') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let bytes = decoded(name);
    let is_name = !bytes.is_empty() && !bytes.iter().any(|byte| matches!(byte, b'/' | 0));
    if !is_name || bytes == b"." || bytes == b".." {
        return None;
    }
    Some(Entry { name: String::from_utf8_lossy(&bytes).into_owned(), is_directory })
}
