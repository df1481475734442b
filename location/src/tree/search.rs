//! The search itself.

pub(super) mod check;
mod named;

use std::collections::BTreeSet;

use super::boot_config::BootConfig;
use super::layouts::{LAYOUTS, Layout};
use super::seen::{NOT_THERE, Seen};
use super::treeinfo::{self, Treeinfo};
use super::version;
use super::{Installer, Look, Release, Tree, TreeError, Wanted, contents, identity};
use storage::source::{RandomAccess, Source, TreePath};

/// The processors whose trees are taken, in this order; `i586` and the like are SUSE's and ALT's.
const ARCHES: [&str; 6] = ["x86_64", "i386", "i686", "i586", "i486", "amd64"];

/// A search, with what it has seen so far.
pub(super) struct Search<'a> {
    source: &'a dyn Source,
    wanted: Wanted<'a>,
    seen: Seen<'a>,
    treeinfo: Option<Info>,
    looks: Vec<Look>,
}

/// A `.treeinfo`, and where it is.
struct Info {
    /// Its path.
    by: String,
    /// The directory that its paths begin in.
    root: TreePath,
    says: Treeinfo,
}

/// A file that was found.
struct Item {
    /// `None`: it is not in the place.
    path: Option<TreePath>,
    bytes: Box<dyn RandomAccess>,
}

/// Files that belong together.
struct Pair {
    kernel: Item,
    initrds: Vec<Item>,
    rule: String,
    installer: Installer,
    root: TreePath,
    arguments: Vec<String>,
}

impl Pair {
    fn new(kernel: Item, initrds: Vec<Item>, rule: String, installer: Installer) -> Self {
        let (root, arguments) = (TreePath::root(), Vec::new());
        Self { kernel, initrds, rule, installer, root, arguments }
    }
}

impl<'a> Search<'a> {
    pub fn new(source: &'a dyn Source, wanted: Wanted<'a>) -> Self {
        let seen = Seen::of(source);
        Self { source, wanted, seen, treeinfo: None, looks: Vec::new() }
    }

    pub fn find(mut self) -> Result<Tree, TreeError> {
        self.read_treeinfo(&TreePath::root())?;
        let pair = if self.wanted.kernel.is_some() || self.wanted.initrd.is_some() {
            self.named()?
        } else if let Some(pair) = self.by_treeinfo()? {
            pair
        } else if let Some(pair) = self.by_layout()? {
            pair
        } else {
            self.by_boot_config()?.ok_or_else(|| self.nothing())?
        };
        let Pair { kernel, initrds, rule, installer, root, arguments } = pair;
        let kernel = self.checked(kernel, "kernel", installer)?;
        let initrds = initrds.into_iter();
        let initrds = initrds.map(|initrd| self.checked(initrd, "initrd", installer));
        let initrds = initrds.collect::<Result<Vec<_>, _>>()?;
        let release = self.release(installer, &root)?;
        Ok(Tree { kernel, initrds, rule, installer, release, root, arguments, looks: self.looks })
    }

    fn look(&mut self, what: impl Into<String>, found: impl Into<String>) {
        self.looks.push(Look { what: what.into(), found: found.into() });
    }

    /// Opens a file of the place. `None`: it is not there.
    fn item(&mut self, path: &TreePath) -> Result<Option<Item>, TreeError> {
        let bytes = self.seen.take(path)?;
        Ok(bytes.map(|bytes| Item { path: Some(path.clone()), bytes }))
    }

    /// Opens two files that belong together. Where one is missing, it is noted for the plan which.
    fn pair(
        &mut self,
        what: &str,
        kernel: &TreePath,
        initrd: &TreePath,
    ) -> Result<Option<(Item, Item)>, TreeError> {
        let mut state = |path| {
            let problem = self.seen.problem(path)?;
            Ok::<_, TreeError>(problem.map_or_else(|| "there".to_owned(), str::to_owned))
        };
        let found = format!("the kernel is {}, the initrd {}", state(kernel)?, state(initrd)?);
        let both = match self.item(kernel)? {
            Some(kernel) => self.item(initrd)?.map(|initrd| (kernel, initrd)),
            None => None,
        };
        let found = if both.is_some() { "both there".into() } else { found };
        self.look(format!("{what}: {kernel}, {initrd}"), found);
        Ok(both)
    }

    // ---- .treeinfo -----------------------------------------------------------------------------------------------------------------

    /// Reads the one in the directory `root`, if there is one.
    fn read_treeinfo(&mut self, root: &TreePath) -> Result<(), TreeError> {
        for name in treeinfo::NAMES {
            let path = root.join(name);
            let found = match self.seen.text(&path, treeinfo::LIMIT)? {
                Err(why) => why.to_owned(),
                Ok(text) => match Treeinfo::parse(text) {
                    None => "no [section] in it, not used".into(),
                    Some(says) => {
                        let release = release_of(&says);
                        let (by, root) = (path.to_string(), root.clone());
                        self.treeinfo = Some(Info { by, root, says });
                        format!("{} {}", release.family, release.version).trim().to_owned()
                    }
                },
            };
            let found = if found.is_empty() { "there, without a name".into() } else { found };
            self.look(path.to_string(), found);
            if self.treeinfo.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// What the tree says it is.
    fn release(&mut self, installer: Installer, root: &TreePath) -> Result<Release, TreeError> {
        if let Some(info) = &self.treeinfo {
            return Ok(release_of(&info.says));
        }
        for (name, read) in identity::files(installer) {
            let path = root.join(name);
            let text = self.seen.text(&path, identity::LIMIT)?;
            if let Some(release) = text.ok().and_then(read) {
                let found = format!("{} {}", release.family, release.version);
                self.look(path.to_string(), found.trim());
                return Ok(release);
            }
        }
        Ok(Release::default())
    }

    /// What `.treeinfo` names, where it is there.
    fn by_treeinfo(&mut self) -> Result<Option<Pair>, TreeError> {
        let Some(info) = &self.treeinfo else { return Ok(None) };
        let (by, says) = (info.by.clone(), &info.says);
        let own = says.arch().filter(|arch| is_ours(arch));
        let images = own.into_iter().chain(ARCHES).find_map(|arch| says.images(arch));
        let Some((kernel, initrd)) = images else {
            if let Some(arch) = says.arch().filter(|arch| !is_ours(arch)) {
                let (place, arch) = (self.source.name().to_owned(), arch.to_owned());
                return Err(TreeError::Arch { place, arch, by });
            }
            self.look(by, "names no kernel and initrd for x86_64");
            return Ok(None);
        };
        let installer = Installer::of_family(&release_of(says).family);
        let pair = self.pair(&by, &kernel, &initrd)?;
        Ok(pair.map(|(kernel, initrd)| Pair::new(kernel, vec![initrd], by, installer)))
    }

    // ---- the known layouts -----------------------------------------------------------------------------------------------------------

    fn by_layout(&mut self) -> Result<Option<Pair>, TreeError> {
        for row in &LAYOUTS {
            for (kernel, initrd) in self.candidates(row) {
                if self.seen.problem(&kernel)? == Some(NOT_THERE) {
                    continue;
                }
                if !row.suits(self.wanted.memory) {
                    let what = format!("{}: {kernel}", row.of);
                    self.look(what, "is for guests with 1 GiB of memory or more");
                    continue;
                }
                if let Some((kernel, initrd)) = self.pair(row.of, &kernel, &initrd)? {
                    let rule = row.to_string();
                    return Ok(Some(Pair::new(kernel, vec![initrd], rule, row.installer)));
                }
            }
        }
        let mut places: Vec<_> =
            LAYOUTS.iter().map(|row| TreePath::new(row.kernel).parent()).collect();
        let mut seen = BTreeSet::new();
        places.retain(|path| seen.insert(path.clone()));
        let places: Vec<_> = places.iter().map(TreePath::to_string).collect();
        let what = format!("{} known layouts in {}", LAYOUTS.len(), places.join(", "));
        self.look(what, "no kernel with its initrd");
        Ok(None)
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
        stars.sort_by(|a, b| version::compare(b, a));
        let path = |pattern: &str, star: &str| TreePath::new(pattern.replacen('*', star, 1));
        stars.iter().map(|star| (path(row.kernel, star), path(row.initrd, star))).collect()
    }

    // ---- the place's own boot loader --------------------------------------------------------------------------------------------------

    /// The entry that is booted unasked, or else the first one whose files are there.
    fn by_boot_config(&mut self) -> Result<Option<Pair>, TreeError> {
        let all = BootConfig::read_all(self.source);
        if all.is_empty() {
            self.look("isolinux.cfg, syslinux.cfg, extlinux.conf, grub.cfg", "not there");
        }
        for config in &all {
            for entry in &config.entries {
                let what = format!("{}: '{}': {}", config.path, entry.title, entry.kernel);
                let Some(kernel) = self.first(config.meanings(&entry.kernel))? else {
                    self.look(what, "the kernel is not there");
                    continue;
                };
                let mut initrds = Vec::new();
                for name in &entry.initrds {
                    initrds.extend(self.first(config.meanings(name))?);
                }
                if initrds.len() < entry.initrds.len() {
                    let one = if entry.initrds.len() == 1 { "the initrd" } else { "an initrd" };
                    self.look(what, format!("{one} is not there"));
                    continue;
                }
                self.look(what, "there");
                let rule = format!("the entry '{}' of {}", entry.title, config.path);
                let pair = Pair::new(kernel, initrds, rule, Installer::Other);
                return Ok(Some(Pair { arguments: entry.words(), ..pair }));
            }
            if config.entries.is_empty() {
                self.look(config.path.to_string(), "has no entry that boots a kernel");
            }
        }
        Ok(None)
    }

    /// The first of these paths that is there.
    fn first(&mut self, paths: Vec<TreePath>) -> Result<Option<Item>, TreeError> {
        for path in paths {
            if let Some(item) = self.item(&path)? {
                return Ok(Some(item));
            }
        }
        Ok(None)
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

fn release_of(info: &Treeinfo) -> Release {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Release { family: text(info.family()), version: text(info.version()) }
}

/// Whether `x86_64`, `x86_64_v2`, `i586` and the like.
fn is_ours(arch: &str) -> bool {
    arch.starts_with("x86_64") || ARCHES.contains(&arch)
}
