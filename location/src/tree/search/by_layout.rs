//! The rule for the known layouts.

use super::super::boot_config::BootConfig;
use super::super::file_cache::NOT_THERE;
use super::super::layouts::{LAYOUTS, Layout};
use super::super::{Installer, TreeError, version};
use super::{Pair, Search};
use storage::TreePath;

impl Search<'_> {
    pub(super) fn by_layout(&mut self) -> Result<Option<Pair>, TreeError> {
        for row in &LAYOUTS {
            for (kernel, initrd) in self.candidates(row) {
                if self.files.problem(&kernel)? == Some(NOT_THERE) {
                    continue;
                }
                if !row.suits(self.query.memory) {
                    let what = format!("{}: {kernel}", row.of);
                    self.look(what, "is for guests with 1 GiB of memory or more");
                    continue;
                }
                if let Some((kernel, initrd)) = self.pair(row.of, &kernel, &initrd)? {
                    let rule = row.to_string();
                    let pair = Pair::new(kernel, vec![initrd], rule, row.installer);
                    return self.with_evidence(pair).map(Some);
                }
            }
        }
        let what = format!("the {} known layouts", LAYOUTS.len());
        self.look(what, "no kernel with its initrd");
        Ok(None)
    }

    /// The pairs that a row stands for: one, or as many as its `*` fits, the highest version first.
    pub(super) fn candidates(&self, row: &Layout) -> Vec<(TreePath, TreePath)> {
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

    /// Anaconda's layout is also that of live media and of CoreOS: what else is in the place tells which it is.
    fn with_evidence(&mut self, pair: Pair) -> Result<Pair, TreeError> {
        let Some(kernel) =
            pair.kernel.path.clone().filter(|_| pair.installer == Installer::Anaconda)
        else {
            return Ok(pair);
        };
        let pair = self.with_rootfs(pair, &kernel.parent().join("rootfs.img"))?;
        if pair.installer != Installer::Anaconda {
            return Ok(pair);
        }
        Ok(match self.live_arguments(&kernel) {
            Some((arguments, menu)) => {
                let rule = format!("{}; a live medium by {menu}", pair.rule);
                Pair { arguments, rule, installer: Installer::Other, ..pair }
            }
            None => pair,
        })
    }

    /// The words of a live medium's own boot menu for this kernel: without `root=live:…` it does not find itself.
    fn live_arguments(&self, kernel: &TreePath) -> Option<(Vec<String>, String)> {
        // A place without lists is a tree on a server.
        self.source.list(&TreePath::root()).ok()?;
        BootConfig::read_all(self.source).iter().find_map(|config| {
            let entry = config.entries.iter().find(|entry| {
                config.meanings(&entry.kernel).contains(kernel)
                    && entry.words().iter().any(|word| word.starts_with("root=live:"))
            })?;
            Some((entry.words(), config.path.to_string()))
        })
    }
}
