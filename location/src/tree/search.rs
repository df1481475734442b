//! The search itself.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::path::Path;

use super::boot_config::BootConfig;
use super::error::Mismatch;
use super::layouts::{LAYOUTS, Layout};
use super::treeinfo::{self, Treeinfo};
use super::{Installer, Look, Part, Release, Tree, TreeError, Wanted, contents};
use crate::checksum::{self, Checked};
use crate::place;
use crate::source::{Directory, RandomAccess, Source, SourceError, TreePath, head, read_whole};

/// The processors whose trees are taken, in this order; `i586` and the like are SUSE's and ALT's.
const ARCHES: [&str; 6] = ["x86_64", "i386", "i686", "i586", "i486", "amd64"];

type Opened = Box<dyn RandomAccess>;

/// A search, with what it has seen so far.
pub(super) struct Search<'a> {
    source: &'a dyn Source,
    treeinfo: Option<(&'static str, Treeinfo)>,
    looks: Vec<Look>,
}

/// A pair that was found. The paths are for the checksums; what is not in the place has none.
struct Pair {
    kernel: (Option<TreePath>, Opened),
    initrd: Option<(Option<TreePath>, Opened)>,
    rule: String,
    installer: Installer,
    arguments: Vec<String>,
}

impl<'a> Search<'a> {
    pub fn new(source: &'a dyn Source) -> Self {
        Self { source, treeinfo: None, looks: Vec::new() }
    }

    pub fn find(mut self, wanted: Wanted<'_>) -> Result<Tree, TreeError> {
        self.read_treeinfo();
        let pair = match wanted {
            Wanted { kernel: None, initrd: None } => match self.by_treeinfo()? {
                Some(pair) => pair,
                None => match self.by_layout() {
                    Some(pair) => pair,
                    None => self.by_boot_config().ok_or_else(|| self.nothing())?,
                },
            },
            Wanted { kernel, initrd } => self.named(kernel, initrd)?,
        };
        let kernel = self.checked(pair.kernel, "kernel", "a kernel")?;
        let initrd = pair.initrd.map(|initrd| self.checked(initrd, "initrd", "an initrd"));
        let initrd = initrd.transpose()?;
        let release = self.release();
        Ok(Tree {
            kernel,
            initrd,
            rule: pair.rule,
            installer: pair.installer,
            release,
            arguments: pair.arguments,
            looks: self.looks,
        })
    }

    fn look(&mut self, what: impl Into<String>, found: impl Into<String>) {
        self.looks.push(Look { what: what.into(), found: found.into() });
    }

    // ---- .treeinfo -----------------------------------------------------------------------------------------------------------------

    fn read_treeinfo(&mut self) {
        for name in treeinfo::NAMES {
            let read = self.source.open(&TreePath::new(name)).map(|file| {
                let bytes = read_whole(&*file, treeinfo::LIMIT);
                bytes.map(|bytes| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
            });
            let found = match read {
                Err(error) if error.is_missing() => "not there".into(),
                Err(error) => with_source(&error),
                Ok(Err(error)) => format!("cannot be read: {error}"),
                Ok(Ok(None)) => format!("longer than {} bytes, not used", treeinfo::LIMIT),
                Ok(Ok(Some(text))) => match Treeinfo::parse(&text) {
                    None => "no [section] in it, not used".into(),
                    Some(info) => {
                        let release = release_of(&info);
                        self.treeinfo = Some((name, info));
                        format!("{} {}", release.family, release.version).trim().to_owned()
                    }
                },
            };
            let found = if found.is_empty() { "there, without a name".into() } else { found };
            self.look(name, found);
            if self.treeinfo.is_some() {
                return;
            }
        }
    }

    fn release(&self) -> Release {
        self.treeinfo.as_ref().map(|(_, info)| release_of(info)).unwrap_or_default()
    }

    /// What `.treeinfo` names, where it is there.
    fn by_treeinfo(&mut self) -> Result<Option<Pair>, TreeError> {
        let Some((by, info)) = &self.treeinfo else { return Ok(None) };
        let by = *by;
        let own = info.arch().filter(|arch| is_ours(arch));
        let images = own.into_iter().chain(ARCHES).find_map(|arch| info.images(arch));
        let Some((kernel, initrd)) = images else {
            if let Some(arch) = info.arch().filter(|arch| !is_ours(arch)) {
                let (place, arch) = (self.source.name().to_owned(), arch.to_owned());
                return Err(TreeError::Arch { place, arch, by: by.into() });
            }
            self.look(by, "names no kernel and initrd for x86_64");
            return Ok(None);
        };
        let installer = Installer::of_family(&self.release().family);
        let Some((kernel, initrd)) = self.open_pair(by, kernel, initrd) else { return Ok(None) };
        Ok(Some(Pair {
            kernel,
            initrd: Some(initrd),
            rule: by.into(),
            installer,
            arguments: Vec::new(),
        }))
    }

    /// Opens two files that belong together. Where one is missing, it is noted for the plan which.
    #[expect(clippy::type_complexity, reason = "two of a kind")]
    fn open_pair(
        &mut self,
        what: &str,
        kernel: TreePath,
        initrd: TreePath,
    ) -> Option<((Option<TreePath>, Opened), (Option<TreePath>, Opened))> {
        match (self.source.open(&kernel), self.source.open(&initrd)) {
            (Ok(opened), Ok(ramdisk)) => {
                self.look(format!("{what}: {kernel}, {initrd}"), "both there");
                Some(((Some(kernel), opened), (Some(initrd), ramdisk)))
            }
            (opened, ramdisk) => {
                let of = |opened: Result<Opened, SourceError>| match opened {
                    Ok(_) => "there".into(),
                    Err(error) if error.is_missing() => "not there".into(),
                    Err(error) => with_source(&error),
                };
                let found = format!("the kernel is {}, the initrd {}", of(opened), of(ramdisk));
                self.look(format!("{what}: {kernel}, {initrd}"), found);
                None
            }
        }
    }

    // ---- the known layouts -----------------------------------------------------------------------------------------------------------

    fn by_layout(&mut self) -> Option<Pair> {
        for row in &LAYOUTS {
            for (kernel, initrd) in self.candidates(row) {
                if !self.is_there(&kernel) && !self.is_there(&initrd) {
                    continue;
                }
                if let Some((kernel, initrd)) = self.open_pair(row.of, kernel, initrd) {
                    let rule = row.to_string();
                    return Some(Pair {
                        kernel,
                        initrd: Some(initrd),
                        rule,
                        installer: row.installer,
                        arguments: Vec::new(),
                    });
                }
            }
        }
        let mut places: Vec<_> = LAYOUTS.iter().map(|row| TreePath::new(row.kernel)).collect();
        places.iter_mut().for_each(|path| *path = path.parent());
        let mut seen = BTreeSet::new();
        places.retain(|path| seen.insert(path.clone()));
        let places: Vec<_> = places.iter().map(TreePath::to_string).collect();
        let what = format!("{} known layouts in {}", LAYOUTS.len(), places.join(", "));
        self.look(what, "no kernel with its initrd");
        None
    }

    fn is_there(&self, path: &TreePath) -> bool {
        !matches!(self.source.open(path), Err(error) if error.is_missing())
    }

    /// The pairs that a row stands for: one, or as many as its `*` fits, the highest version first.
    fn candidates(&self, row: &Layout) -> Vec<(TreePath, TreePath)> {
        let Some((before, after)) = row.kernel.split_once('*') else {
            return vec![(TreePath::new(row.kernel), TreePath::new(row.initrd))];
        };
        let (above, prefix) = before.rsplit_once('/').unwrap_or(("", before));
        let Ok(entries) = self.source.list(&TreePath::new(above)) else { return Vec::new() };
        let star = |name: &str| name.strip_prefix(prefix)?.strip_suffix(after).map(str::to_owned);
        let mut stars: Vec<_> = entries.iter().filter_map(|entry| star(&entry.name)).collect();
        stars.sort_by(|a, b| by_version(b, a));
        let path = |pattern: &str, star: &str| TreePath::new(pattern.replacen('*', star, 1));
        stars.iter().map(|star| (path(row.kernel, star), path(row.initrd, star))).collect()
    }

    // ---- the place's own boot loader --------------------------------------------------------------------------------------------------

    /// The entry that is booted unasked, or else the first one whose files are there.
    fn by_boot_config(&mut self) -> Option<Pair> {
        let all = BootConfig::read_all(self.source);
        if all.is_empty() {
            self.look("isolinux.cfg, syslinux.cfg, extlinux.conf, grub.cfg", "not there");
        }
        for config in &all {
            for entry in &config.entries {
                let what = format!("{}: '{}': {}", config.path, entry.title, entry.kernel);
                let open = |name: &String| {
                    let mut opened = config.meanings(name).into_iter();
                    opened
                        .find_map(|path| Some((Some(path.clone()), self.source.open(&path).ok()?)))
                };
                let kernel = open(&entry.kernel);
                let initrd = entry.initrds.first().map(open);
                match (kernel, initrd, entry.initrds.len()) {
                    (_, _, 2..) => {
                        self.look(what, "wants several initrds, which chukka does not join");
                    }
                    (None, ..) => self.look(what, "the kernel is not there"),
                    (_, Some(None), _) => self.look(what, "the initrd is not there"),
                    (Some(kernel), initrd, _) => {
                        self.look(what, "there");
                        let rule = format!("the entry '{}' of {}", entry.title, config.path);
                        let words = entry.arguments.split_ascii_whitespace();
                        return Some(Pair {
                            kernel,
                            initrd: initrd.flatten(),
                            rule,
                            installer: Installer::Other,
                            arguments: words.map(str::to_owned).collect(),
                        });
                    }
                }
            }
            if config.entries.is_empty() {
                self.look(config.path.to_string(), "has no entry that boots a kernel");
            }
        }
        None
    }

    // ---- what the user named ----------------------------------------------------------------------------------------------------------

    fn named(&mut self, kernel: Option<&Path>, initrd: Option<&Path>) -> Result<Pair, TreeError> {
        let by_user = "named by the user";
        let kernel = kernel.map(|path| self.open_named(path, "kernel")).transpose()?;
        let initrd = initrd.map(|path| self.open_named(path, "initrd")).transpose()?;
        let (kernel, initrd, rule) = match (kernel, initrd) {
            (Some(kernel), Some(initrd)) => (kernel, Some(initrd), by_user.to_owned()),
            (Some(kernel), None) => {
                let partner = kernel.0.as_ref().and_then(|path| self.partner(path, Role::Kernel));
                let rule = match &partner {
                    Some((_, rule)) => format!("{by_user}; the initrd by {rule}"),
                    None => format!("{by_user}; no initrd is known to belong to it"),
                };
                (kernel, partner.map(|(file, _)| file), rule)
            }
            (None, Some(initrd)) => {
                let partner = initrd.0.as_ref().and_then(|path| self.partner(path, Role::Initrd));
                let Some((kernel, rule)) = partner else {
                    let (initrd, place) = (initrd.1.name().into(), self.source.name().into());
                    return Err(TreeError::NoPartner { initrd, place });
                };
                (kernel, Some(initrd), format!("{by_user}; the kernel by {rule}"))
            }
            (None, None) => return Err(self.nothing()),
        };
        let row = kernel.0.as_ref().and_then(row_of);
        let family = self.release().family;
        let installer = match (family.is_empty(), row) {
            (false, _) => Installer::of_family(&family),
            (true, Some(row)) => row.installer,
            (true, None) => Installer::Other,
        };
        Ok(Pair { kernel, initrd, rule, installer, arguments: Vec::new() })
    }

    fn open_named(
        &mut self,
        given: &Path,
        role: &'static str,
    ) -> Result<(Option<TreePath>, Opened), TreeError> {
        let opened = match place::host_file(given) {
            None => {
                let path = TreePath::new(given);
                let opened = self.source.open(&path);
                opened.map(|file| (Some(path.clone()), file)).map_err(|error| {
                    let (directory, there) = self.nearest(&path.parent());
                    TreeError::Named { role, problem: with_source(&error), directory, there }
                })
            }
            Some(Err(why)) => {
                let given = given.display().to_string();
                return Err(TreeError::Url { role, given, why });
            }
            Some(Ok(path)) => open_host_file(&path).map(|file| (None, file)).map_err(|error| {
                let parent = path.parent().unwrap_or(Path::new("/"));
                let there = Directory::open(parent)
                    .map_or_else(|e| e.to_string(), |d| contents(&d, &TreePath::root()));
                let directory = format!("'{}'", parent.display());
                TreeError::Named { role, problem: with_source(&error), directory, there }
            }),
        }?;
        self.look(format!("-{role} {}", given.display()), "there");
        Ok(opened)
    }

    /// What is in `directory`, or in the first one above it that is there.
    fn nearest(&self, directory: &TreePath) -> (String, String) {
        let mut at = directory.clone();
        while at != TreePath::root() && self.source.list(&at).is_err() {
            at = at.parent();
        }
        let shown = if at == TreePath::root() { String::new() } else { format!("/{at}") };
        (format!("'{}{shown}'", self.source.name()), contents(self.source, &at))
    }

    /// What belongs to the named file: by `.treeinfo`, by a layout that has just this file, or by one that has its directory.
    fn partner(
        &mut self,
        named: &TreePath,
        role: Role,
    ) -> Option<((Option<TreePath>, Opened), String)> {
        let info = self.treeinfo.as_ref();
        let by_info = info.and_then(|(by, info)| {
            let mut pairs = ARCHES.into_iter().filter_map(|arch| info.images(arch));
            pairs.find(|pair| role.own(pair) == named).map(|pair| (pair, (*by).to_owned()))
        });
        let rows = || {
            let pairs = |row: &'static Layout| {
                let rule = row.to_string();
                self.candidates(row).into_iter().map(move |pair| (pair, rule.clone()))
            };
            LAYOUTS.iter().flat_map(pairs).collect::<Vec<_>>()
        };
        let rows = rows();
        let same_file = rows.iter().filter(|(pair, _)| role.own(pair) == named);
        let same_place = rows.iter().filter(|(pair, _)| role.own(pair).parent() == named.parent());
        let all = by_info.iter().chain(same_file).chain(same_place);
        let found = all.into_iter().find_map(|(pair, rule)| {
            let path = role.other(pair);
            let file = self.source.open(path).ok()?;
            Some(((Some(path.clone()), file), rule.clone()))
        });
        if let Some(((Some(path), _), rule)) = &found {
            self.look(format!("{rule}: {path}"), "there");
        }
        found
    }

    // ---- checks -------------------------------------------------------------------------------------------------------------------------

    fn checked(
        &self,
        (path, bytes): (Option<TreePath>, Opened),
        role: &'static str,
        expected: &'static str,
    ) -> Result<Part, TreeError> {
        const LOOKED_AT: usize = 512;
        let name = bytes.name().to_owned();
        let read = |source| TreeError::Read { name: name.clone(), source };
        let foreign = |found| TreeError::Foreign { role, name: name.clone(), found, expected };
        if bytes.is_empty() {
            return Err(foreign("empty (0 bytes)"));
        }
        if is_page(&head(&*bytes, LOOKED_AT).map_err(read)?) {
            return Err(foreign("an HTML or XML page"));
        }
        let sum = self.treeinfo.as_ref().zip(path.as_ref());
        let sum = sum.and_then(|((by, info), path)| Some((by, info.checksum(path)?)));
        let checked =
            sum.map(|(_, sum)| checksum::check(&*bytes, sum)).transpose().map_err(read)?;
        if let (Some(Checked::Wrong { algorithm, found, expected }), Some((by, _))) =
            (&checked, sum)
        {
            let (found, expected) = (found.clone(), expected.clone());
            let by = (*by).to_owned();
            let mismatch = Mismatch { role, name, algorithm, found, expected, by };
            return Err(TreeError::Checksum(Box::new(mismatch)));
        }
        Ok(Part { bytes, checked })
    }

    fn nothing(&self) -> TreeError {
        let tried = self.looks.iter().map(|look| format!("{}: {}", look.what, look.found));
        TreeError::Nothing {
            place: self.source.name().into(),
            tried: tried.collect::<Vec<_>>().join("; "),
            there: contents(self.source, &TreePath::root()),
        }
    }
}

/// Which of a pair was named.
#[derive(Clone, Copy)]
enum Role {
    Kernel,
    Initrd,
}

impl Role {
    fn own(self, pair: &(TreePath, TreePath)) -> &TreePath {
        match self {
            Self::Kernel => &pair.0,
            Self::Initrd => &pair.1,
        }
    }

    fn other(self, pair: &(TreePath, TreePath)) -> &TreePath {
        match self {
            Self::Kernel => &pair.1,
            Self::Initrd => &pair.0,
        }
    }
}

fn release_of(info: &Treeinfo) -> Release {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Release { family: text(info.family()), version: text(info.version()) }
}

/// The first row that has just this kernel.
fn row_of(kernel: &TreePath) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|row| TreePath::new(row.kernel) == *kernel)
}

/// Whether `x86_64`, `x86_64_v2`, `i586` and the like.
fn is_ours(arch: &str) -> bool {
    arch.starts_with("x86_64") || ARCHES.contains(&arch)
}

fn open_host_file(path: &Path) -> Result<Opened, SourceError> {
    let (parent, name) = (path.parent(), path.file_name());
    match parent.zip(name) {
        // In its own directory links lead where they lead on the host: the root of what is opened is the host's.
        Some(_) => Directory::open(Path::new("/"))?.open(&TreePath::new(path)),
        None => Err(SourceError::Missing(path.display().to_string())),
    }
}

/// Whether it begins as a page for a browser does, or the XML of an object store's error.
fn is_page(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|t| t.eq_ignore_ascii_case(with));
    [&b"<!doctype"[..], b"<html", b"<head", b"<?xml", b"<!--"].into_iter().any(begins)
}

fn with_source(error: &SourceError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Compares texts with the numbers in them as numbers: 6.1.0-10 is above 6.1.0-9.
pub(super) fn by_version(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (in_a, in_b) = (digits(a), digits(b));
        let order = if in_a > 0 && in_b > 0 {
            let strip = |text: &'_ [u8]| text.iter().take_while(|byte| **byte == b'0').count();
            let (x, y) = (&a[strip(&a[..in_a])..in_a], &b[strip(&b[..in_b])..in_b]);
            (a, b) = (&a[in_a..], &b[in_b..]);
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            match (a.split_first(), b.split_first()) {
                (None, None) => return Ordering::Equal,
                (x, y) => {
                    let order = x.map(|(first, _)| first).cmp(&y.map(|(first, _)| first));
                    (a, b) = (x.map_or(a, |x| x.1), y.map_or(b, |y| y.1));
                    order
                }
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let mut versions = ["6.1.0-9", "6.1.0-10", "6.1", "6.1.0-9-rt", "5.10", "06.2", ""];
        versions.sort_by(|a, b| by_version(a, b));
        assert_eq!(versions, ["", "5.10", "6.1", "6.1.0-9", "6.1.0-9-rt", "6.1.0-10", "06.2"]);
    }

    #[test]
    fn pages_are_told_from_kernels() {
        for page in
            ["<!DOCTYPE html>", "\n  <html lang=en>", "\u{feff}<!doctype x", "<?xml version="]
        {
            assert!(is_page(page.as_bytes()), "{page}");
        }
        for other in [&b"MZ\0\0"[..], b"\x1f\x8b", b"", b"<h"] {
            assert!(!is_page(other));
        }
    }
}
