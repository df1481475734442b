//! Searches a place for a kernel and its initrd: a list of rules, each in a file of its own.

mod by_boot_config;
mod by_layout;
mod by_treeinfo;
pub(super) mod check;
mod named;
mod nothing_found;

pub(crate) use nothing_found::kernel_candidates;

use super::file_cache::{FileCache, NOT_THERE};
use super::treeinfo::Treeinfo;
use super::{Attempt, Installer, Query, Release, Tree, TreeError, identity};
use storage::{FileTree, RandomAccess, TreePath};

/// The architectures that are accepted, in this order; SUSE and ALT use `i586` and the like.
const ARCHES: [&str; 6] = ["x86_64", "i386", "i686", "i586", "i486", "amd64"];

/// A search, and its results so far.
pub(super) struct Search<'a> {
    source: &'a dyn FileTree,
    query: Query<'a>,
    files: FileCache<'a>,
    treeinfo: Option<Info>,
    attempts: Vec<Attempt>,
    warnings: Vec<String>,
}

/// A `.treeinfo`, and where it is.
struct Info {
    /// Its path.
    by: String,
    /// The directory that its paths begin in.
    root: TreePath,
    content: Treeinfo,
}

/// A file that was found.
struct Item {
    /// `None` if it is not in the location.
    path: Option<TreePath>,
    bytes: Box<dyn RandomAccess>,
}

/// A rule: returns what it finds, if anything.
type Rule<'a> = fn(&mut Search<'a>) -> Result<Option<Pair>, TreeError>;

/// A kernel and the matching initrd.
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
    pub fn new(source: &'a dyn FileTree, query: Query<'a>) -> Self {
        let files = FileCache::of(source);
        Self { source, query, files, treeinfo: None, attempts: Vec::new(), warnings: Vec::new() }
    }

    /// The rules in their order: the first that finds a kernel decides.
    const RULES: [Rule<'a>; 4] =
        [Self::named, Self::by_treeinfo, Self::by_layout, Self::by_boot_config];

    pub fn find(mut self) -> Result<Tree, TreeError> {
        self.read_treeinfo(&TreePath::root())?;
        let mut found = None;
        for rule in Self::RULES {
            found = rule(&mut self)?;
            if found.is_some() {
                break;
            }
        }
        let Some(pair) = found else { return Err(self.nothing()) };
        let Pair { kernel, initrds, rule, installer, root, arguments } = pair;
        let kernel = self.checked(kernel, "kernel", installer)?;
        let initrds = initrds.into_iter();
        let initrds = initrds.map(|initrd| self.checked(initrd, "initrd", installer));
        let initrds = initrds.collect::<Result<Vec<_>, _>>()?;
        let release = self.release(installer, &root)?;
        let (attempts, warnings) = (self.attempts, self.warnings);
        Ok(Tree { kernel, initrds, rule, installer, release, root, arguments, attempts, warnings })
    }

    fn look(&mut self, what: impl Into<String>, found: impl Into<String>) {
        self.attempts.push(Attempt { what: what.into(), found: found.into() });
    }

    /// Opens a file of the location. `None` if it does not exist.
    fn item(&mut self, path: &TreePath) -> Result<Option<Item>, TreeError> {
        let bytes = self.files.take(path)?;
        Ok(bytes.map(|bytes| Item { path: Some(path.clone()), bytes }))
    }

    /// Opens two files that belong together, and notes for the plan if one is missing.
    fn pair(
        &mut self,
        what: &str,
        kernel: &TreePath,
        initrd: &TreePath,
    ) -> Result<Option<(Item, Item)>, TreeError> {
        let mut state = |path, role| {
            Ok::<_, TreeError>(match self.files.problem(path)? {
                None => format!("the {role} is there"),
                Some(NOT_THERE) => format!("the {role} is {NOT_THERE}"),
                Some(problem) => format!("the {role} cannot be used: {problem}"),
            })
        };
        let found = format!("{}, {}", state(kernel, "kernel")?, state(initrd, "initrd")?);
        let both = match self.item(kernel)? {
            Some(kernel) => self.item(initrd)?.map(|initrd| (kernel, initrd)),
            None => None,
        };
        let found = if both.is_some() { "both there".into() } else { found };
        self.look(format!("{what}: {kernel}, {initrd}"), found);
        Ok(both)
    }

    /// Identifies the tree.
    fn release(&mut self, installer: Installer, root: &TreePath) -> Result<Release, TreeError> {
        if let Some(info) = &self.treeinfo {
            return Ok(release_of(&info.content));
        }
        for (name, read) in identity::files(installer) {
            let path = root.join(name);
            let text = self.files.text(&path, identity::LIMIT)?;
            if let Some(release) = text.ok().and_then(read) {
                let found = format!("{} {}", release.family, release.version);
                self.look(path.to_string(), found.trim());
                return Ok(release);
            }
        }
        Ok(Release::default())
    }
}

fn release_of(info: &Treeinfo) -> Release {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Release { family: text(info.family()), version: text(info.version()) }
}
