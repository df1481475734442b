//! Entries of the Boot Loader Specification (uapi-group.org/specifications/specs/boot_loader_specification), read as systemd-boot does and
//! as `blscfg` of Fedora's GRUB does, which has variables in them.

use std::cmp::Ordering;

use super::super::version::by_version;
use super::{ENTRIES, Entry, Files, Menu, Step, environment};
use storage::TreePath;

/// Where the entries are: of `/boot` that is a partition of its own, and of one that is none.
const DIRECTORIES: [&str; 2] = ["loader/entries", "boot/loader/entries"];
/// A value with its variables may have so many bytes.
const VALUE: usize = 1 << 16;
/// The blocks of variables that belong to the entries.
const ENVIRONMENTS: [&str; 4] =
    ["grub2/grubenv", "grub/grubenv", "EFI/fedora/grubenv", "EFI/redhat/grubenv"];

/// One file, its keys in the order they stand there.
struct Found {
    id: String,
    keys: Vec<(String, String)>,
}

impl Found {
    fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        let fits = move |(name, value): &'_ &(String, String)| name == key && !value.is_empty();
        self.keys.iter().filter(fits).map(|(_, value)| value.as_str())
    }

    fn get(&self, key: &str) -> &str {
        self.all(key).next().unwrap_or_default()
    }

    /// Without the counters of boot attempts: `name+3-1`.
    fn name(&self) -> &str {
        self.id.split_once('+').map_or(self.id.as_str(), |(name, _)| name)
    }

    /// "Sorting": those with a sort-key first and by it; then, as by their names, the newest first.
    fn order(&self, other: &Self) -> Ordering {
        let (a, b) = (self.get("sort-key"), other.get("sort-key"));
        match (a.is_empty(), b.is_empty()) {
            (false, false) => a
                .cmp(b)
                .then_with(|| self.get("machine-id").cmp(other.get("machine-id")))
                .then_with(|| by_version(other.get("version"), self.get("version"))),
            (a, b) => a.cmp(&b),
        }
        .then_with(|| by_version(other.name(), self.name()))
    }
}

/// The entries of a directory as they are without GRUB, and what they go by: `loader.conf` beside it, or itself where there is none.
pub(super) fn menu(directory: &TreePath, files: &mut Files<'_>) -> Option<(TreePath, Menu)> {
    let beside = directory.parent();
    let settings = beside.join("loader.conf");
    let text = files.read(&settings);
    let boot = beside.parent();
    let variables = ENVIRONMENTS.iter().map(|name| {
        let path = boot.join(name);
        environment::read(&format!("/{path}"), files)
    });
    let variables: Vec<_> = variables.flatten().collect();
    let get = |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let entries = read(directory, files, &get, &[]);
    let wanted = text.as_deref().unwrap_or_default().lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("default")).then(|| words.next()).flatten()
    });
    let saved = get("saved_entry");
    let by_pattern = |pattern: &str| {
        entries.iter().position(|entry| {
            fits(pattern, entry.id()) || fits(pattern, &format!("{}.conf", entry.id()))
        })
    };
    let default = wanted.and_then(by_pattern);
    let by_saved = || (!saved.is_empty()).then(|| by_pattern(&saved)).flatten();
    let defaults = default.or_else(by_saved).into_iter().collect();
    let path = if text.is_some() { settings } else { directory.clone() };
    (text.is_some() || !entries.is_empty()).then_some((path, Menu { entries, defaults, saved }))
}

/// The entries for GRUB, where they begin with the place `menu` and get their values from `get`.
pub(super) fn of_grub(
    files: &mut Files<'_>,
    get: &dyn Fn(&str) -> String,
    menu: &[Step],
) -> Vec<Entry> {
    let read = |directory: &&str| read(&TreePath::new(directory), files, get, menu);
    DIRECTORIES.iter().map(read).find(|entries| !entries.is_empty()).unwrap_or_default()
}

fn read(
    directory: &TreePath,
    files: &mut Files<'_>,
    get: &dyn Fn(&str) -> String,
    menu: &[Step],
) -> Vec<Entry> {
    let Ok(there) = files.source.list(directory) else { return Vec::new() };
    let names = there.iter().filter(|entry| !entry.is_directory).map(|entry| entry.name.as_str());
    let ids = names.filter_map(|name| Some((name, name.strip_suffix(".conf")?)));
    let mut found: Vec<_> = ids
        .take(ENTRIES)
        .filter_map(|(name, id)| {
            let text = files.read(&directory.join(name))?;
            Some(Found { id: id.to_owned(), keys: text.lines().filter_map(key).collect() })
        })
        .collect();
    found.sort_by(Found::order);
    found.iter().enumerate().map(|(position, found)| entry(found, position, get, menu)).collect()
}

fn entry(found: &Found, position: usize, get: &dyn Fn(&str) -> String, menu: &[Step]) -> Entry {
    let title = match found.get("title") {
        "" => found.name(),
        title => title,
    };
    let step = Step { position, title: title.to_owned(), id: found.name().to_owned() };
    let mut entry = Entry::at([menu, &[step]].concat());
    let architecture = found.get("architecture").to_ascii_lowercase();
    if ["", "x64", "x86_64", "x86-64", "amd64"].contains(&architecture.as_str()) {
        entry.kernel = super::without_device(&with_variables(found.get("linux"), get));
    }
    let lines = |key| found.all(key).map(|line| with_variables(line, get)).collect::<Vec<_>>();
    let initrds = lines("initrd");
    entry.initrds = initrds
        .iter()
        .flat_map(|line| line.split_whitespace())
        .map(super::without_device)
        .collect();
    let options = lines("options").join(" ");
    entry.arguments = options.split_whitespace().collect::<Vec<_>>().join(" ");
    entry
}

/// `key value`; a line that begins with `#` is none.
fn key(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (key, value) = line.split_once(char::is_whitespace)?;
    (!key.starts_with('#')).then(|| (key.to_owned(), value.trim().to_owned()))
}

/// The text with the values of `$name` and `${name}`.
fn with_variables(text: &str, get: &dyn Fn(&str) -> String) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        whole += before;
        let braced = behind.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, behind) = braced.unwrap_or(behind.split_at(end.unwrap_or(behind.len())));
        if name.is_empty() {
            whole.push('$');
        }
        let value = get(name);
        if whole.len() + value.len() <= VALUE {
            whole += &value;
        }
        rest = behind;
    }
    whole + rest
}

/// Whether a name fits a pattern with `*` and `?`.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go on when it does not fit: behind the last star, one byte further.
    let mut back = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((star, at)) = back else { return false };
                back = Some((star, at + 1));
                (p, n) = (star, at + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}
