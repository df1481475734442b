//! The files that the user named, and the matching file if only one was named.

use std::path::{Path, PathBuf};

use super::super::file_cache::{NOT_THERE, with_source};
use super::super::layouts::{LAYOUTS, Layout};
use super::super::{Installer, TreeError, contents};
use super::{ARCHES, Item, Pair, Search};
use crate::place::{self, Place};
use storage::{Directory, FileTree, TreePath};

/// Which file of the pair was named.
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

    fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
        }
    }
}

impl Search<'_> {
    /// The rule for `-kernel` and `-initrd`.
    pub(super) fn named(&mut self) -> Result<Option<Pair>, TreeError> {
        if self.query.kernel.is_none() && self.query.initrd.is_none() {
            return Ok(None);
        }
        let by_user = "named by the user";
        let kernel = self.query.kernel.map(|path| self.open_named(path, Role::Kernel));
        let kernel = kernel.transpose()?;
        let initrd = self.query.initrd.map(|path| self.open_named(path, Role::Initrd));
        let initrd = initrd.transpose()?;
        let named = kernel.as_ref().or(initrd.as_ref()).and_then(|item| item.path.clone());
        let role = if kernel.is_some() { Role::Kernel } else { Role::Initrd };
        // The location may be a whole server, with the tree in a subdirectory.
        let row = named.as_ref().and_then(|path| row_of(path, role));
        let root = row.as_ref().map(|(_, root)| root.clone()).unwrap_or_default();
        if self.treeinfo.is_none() && root != TreePath::root() {
            self.read_treeinfo(&root)?;
        }
        let (kernel, initrds, rule) = match (kernel, initrd) {
            (Some(kernel), Some(initrd)) => (kernel, vec![initrd], by_user.to_owned()),
            (Some(kernel), None) => {
                let partner = self.partner(named.as_ref(), &root, role)?;
                let rule = match &partner {
                    Some((_, rule)) => format!("{by_user}; the initrd by {rule}"),
                    None => format!("{by_user}; no matching initrd found"),
                };
                (kernel, partner.into_iter().map(|(item, _)| item).collect(), rule)
            }
            (None, Some(initrd)) => {
                let Some((kernel, rule)) = self.partner(named.as_ref(), &root, role)? else {
                    let (initrd, place) = (initrd.bytes.name().into(), self.source.name().into());
                    return Err(TreeError::NoPartner { initrd, place });
                };
                (kernel, vec![initrd], format!("{by_user}; the kernel by {rule}"))
            }
            (None, None) => return Ok(None),
        };
        let content = self.treeinfo.as_ref().map(|info| &info.content);
        let content = content.filter(|_| named.is_some());
        let by_family = content.and_then(|content| {
            Some(Installer::of_family(content.family()?, content.has_stage2()))
        });
        let by_row = || row.map(|(row, _)| row.installer);
        let installer = by_family.or_else(by_row).unwrap_or_default();
        Ok(Some(Pair { root, ..Pair::new(kernel, initrds, rule, installer) }))
    }

    fn open_named(&mut self, given: &Path, role: Role) -> Result<Item, TreeError> {
        let shown = given.display().to_string();
        let item = match place::url(given) {
            Some(Err(why)) => return Err(TreeError::Url { role: role.name(), why }),
            Some(Ok(place)) => self.open_elsewhere(&place, role)?,
            None => {
                let path = TreePath::new(given);
                match self.item(&path)? {
                    Some(item) => item,
                    None => return Err(self.not_usable(&path, role)?),
                }
            }
        };
        self.look(format!("-{} {shown}", role.name()), "there");
        Ok(item)
    }

    /// Explains why a file of the location could not be opened.
    fn not_usable(&mut self, path: &TreePath, role: Role) -> Result<TreeError, TreeError> {
        let problem = self.files.problem(path)?.unwrap_or(NOT_THERE).to_owned();
        let problem = match problem.as_str() {
            NOT_THERE => {
                format!("'{}/{path}' is not there", self.source.name().trim_end_matches('/'))
            }
            _ => problem,
        };
        let (directory, there) = self.nearest(&path.parent());
        Ok(TreeError::Named { role: role.name(), problem, directory, there })
    }

    /// A file with its own URL. A `file:` URL is a file on the host.
    fn open_elsewhere(&self, place: &Place, role: Role) -> Result<Item, TreeError> {
        let role = role.name();
        match ((self.query.elsewhere)(place), place) {
            (Ok(bytes), _) => Ok(Item { path: None, bytes }),
            (Err(error), Place::Local(path)) => {
                let parent: PathBuf = path.parent().unwrap_or(Path::new("/")).into();
                let directory = Directory::open(&parent);
                let there = contents(directory.and_then(|it| it.list(&TreePath::root())));
                let directory = format!("'{}'", parent.display());
                let problem = with_source(&error.into_problem());
                Err(TreeError::Named { role, problem, directory, there })
            }
            (Err(error), _) => Err(TreeError::Elsewhere { role, source: error.into_problem() }),
        }
    }

    /// The contents of `directory`, or of its nearest ancestor that exists.
    fn nearest(&self, directory: &TreePath) -> (String, String) {
        let mut at = directory.clone();
        while at != TreePath::root() && self.source.list(&at).is_err() {
            at = at.parent();
        }
        let shown = if at == TreePath::root() { String::new() } else { format!("/{at}") };
        (format!("'{}{shown}'", self.source.name()), contents(self.source.list(&at)))
    }

    /// Finds the file that belongs to the named one: by `.treeinfo`, by a layout with exactly this
    /// file, or by a layout with its directory. The layouts' paths are relative to `root`.
    fn partner(
        &mut self,
        named: Option<&TreePath>,
        root: &TreePath,
        role: Role,
    ) -> Result<Option<(Item, String)>, TreeError> {
        let Some(named) = named else { return Ok(None) };
        let by_info = self.treeinfo.as_ref().and_then(|info| {
            let pairs = ARCHES.into_iter().filter_map(|arch| info.content.images(arch));
            let mut pairs = pairs.map(|pair| below(&info.root, &pair));
            pairs.find(|pair| role.own(pair) == named).map(|pair| (pair, info.by.clone()))
        });
        let mut rows = Vec::new();
        for row in &LAYOUTS {
            let pairs = self.candidates(row).into_iter().map(|pair| below(root, &pair));
            rows.extend(pairs.map(|pair| (pair, row.to_string())));
        }
        let same_file = rows.iter().filter(|(pair, _)| role.own(pair) == named);
        let same_place = rows.iter().filter(|(pair, _)| role.own(pair).parent() == named.parent());
        for (pair, rule) in by_info.iter().chain(same_file).chain(same_place) {
            let path = role.other(pair);
            if let Some(item) = self.item(path)? {
                self.look(format!("{rule}: {path}"), "there");
                return Ok(Some((item, rule.clone())));
            }
        }
        Ok(None)
    }
}

/// The same two paths below the directory `root`.
fn below(root: &TreePath, pair: &(TreePath, TreePath)) -> (TreePath, TreePath) {
    let path = |path: &TreePath| TreePath::new(root.as_path().join(path.as_path()));
    (path(&pair.0), path(&pair.1))
}

/// The first row with exactly this file, or whose multi-component path is a suffix of it; and the
/// directory that the row is then relative to.
fn row_of(named: &TreePath, role: Role) -> Option<(&'static Layout, TreePath)> {
    let path = |row: &Layout| {
        TreePath::new(match role {
            Role::Kernel => row.kernel,
            Role::Initrd => row.initrd,
        })
    };
    let whole = LAYOUTS.iter().find(|row| path(row) == *named);
    let whole = whole.map(|row| (row, TreePath::root()));
    whole.or_else(|| {
        let mut tails = LAYOUTS.iter().filter_map(|row| {
            let tail = path(row);
            let names = tail.as_path().components().count();
            let is_tail = names > 1 && named.as_path().ends_with(tail.as_path());
            let root = named.as_path().ancestors().nth(names)?;
            is_tail.then(|| (row, TreePath::new(root)))
        });
        tails.next()
    })
}
