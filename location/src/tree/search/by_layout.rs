//! The rule for the known layouts.

use super::super::boot_config::BootConfig;
use super::super::file_cache::NOT_THERE;
use super::super::layouts::{LAYOUTS, Layout};
use super::super::{Installer, TreeError, version};
use super::{Pair, Search};
use crate::arguments;
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
                    self.look(what, "needs at least 1 GiB of guest memory");
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

    /// A layout is also that of live media, of CoreOS and of installed systems: what else is in the
    /// place tells which it is.
    fn with_evidence(&mut self, pair: Pair) -> Result<Pair, TreeError> {
        let rootfs = pair.kernel.path.as_ref().filter(|_| pair.installer == Installer::Anaconda);
        let pair = match rootfs.map(|kernel| kernel.parent().join("rootfs.img")) {
            Some(rootfs) => self.with_rootfs(pair, &rootfs)?,
            None => pair,
        };
        self.with_menu(pair)
    }

    /// A pair with the words of the place's own boot menu, if these say that no installer starts: a
    /// live medium does not find itself without them, and an installed system not its root.
    pub(super) fn with_menu(&mut self, pair: Pair) -> Result<Pair, TreeError> {
        let Some(kernel) = pair.kernel.path.clone() else { return Ok(pair) };
        if self.is_agama(&pair)? {
            return Ok(pair);
        }
        let Some((mut arguments, menu)) = self.menu_arguments(&kernel, pair.installer) else {
            return Ok(pair);
        };
        if pair.installer == Installer::CoreOs {
            // The others look for a medium; the initrd has the root file system.
            arguments.retain(|word| word.starts_with("ignition."));
        }
        let installer = match pair.installer {
            live @ (Installer::Casper
            | Installer::CoreOs
            | Installer::Arch
            | Installer::Alpine
            | Installer::DebianLive)
                if !arguments.iter().any(|word| word.starts_with("root=")) =>
            {
                live
            }
            _ => Installer::Other,
        };
        let rule = format!("{}; with the arguments of {menu}", pair.rule);
        Ok(Pair { arguments, rule, installer, ..pair })
    }

    /// Whether it is SUSE's installer from 16 on: a live system, too, and one that a server can
    /// have.
    fn is_agama(&mut self, pair: &Pair) -> Result<bool, TreeError> {
        if pair.installer != Installer::Yast {
            return Ok(false);
        }
        let release = self.release(pair.installer, &pair.root)?;
        let source = arguments::package_source(pair.installer, &release);
        Ok(source.is_some_and(|source| source.form.starts_with("root=live:")))
    }

    fn menu_arguments(
        &self,
        kernel: &TreePath,
        installer: Installer,
    ) -> Option<(Vec<String>, String)> {
        // A place without lists is a tree on a server.
        self.source.list(&TreePath::root()).ok()?;
        BootConfig::read_all(self.source).iter().find_map(|config| {
            let entry = config.entries.iter().find(|entry| {
                let words = entry.words();
                let counts =
                    installer == Installer::Other || words.iter().any(|w| finds_root(w, installer));
                counts && config.names_file(self.source, &entry.kernel, kernel)
            })?;
            Some((entry.words(), config.path.to_string()))
        })
    }
}

/// Whether a word tells a kernel where its root is, or that it is on a live medium: by dracut,
/// casper, Debian's live-boot, archiso and its relatives. For Alpine's initrd, whether it names the
/// drivers that find the medium; for CoreOS's, whether it makes the system configure itself.
fn finds_root(word: &str, installer: Installer) -> bool {
    const LIVE: [&str; 5] =
        ["rd.live.image", "boot=casper", "boot=live", "archisobasedir=", "misobasedir="];
    match word.strip_prefix("root=") {
        // Installers of old have their root in the initrd.
        Some(root) => !root.starts_with("/dev/ram"),
        None => match installer {
            Installer::Alpine => word.starts_with("modules="),
            Installer::CoreOs => word.starts_with("ignition."),
            _ => LIVE.iter().any(|live| word.starts_with(live)),
        },
    }
}
