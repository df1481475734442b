//! The rule for the known layouts.

use super::super::boot_config::devices::with_cause;
use super::super::boot_config::{BootConfig, Entry};
use super::super::file_cache::NOT_THERE;
use super::super::layouts::{LAYOUTS, Layout};
use super::super::{Installer, TreeError, version};
use super::{Item, Pair, Search};
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
                    return self.with_evidence(pair);
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
    /// place tells which it is. `None`: an installed system, whose root only its menu would name.
    fn with_evidence(&mut self, pair: Pair) -> Result<Option<Pair>, TreeError> {
        let rootfs = pair.kernel.path.as_ref().filter(|_| pair.installer == Installer::Anaconda);
        let pair = match rootfs.map(|kernel| kernel.parent().join("rootfs.img")) {
            Some(rootfs) => self.with_rootfs(pair, &rootfs, true)?,
            None => pair,
        };
        let pair = self.with_menu(pair)?;
        if !pair.arguments.is_empty() {
            return Ok(Some(pair));
        }
        // A place without lists is a tree on a server.
        let Ok(top) = self.source.list(&TreePath::root()) else { return Ok(Some(pair)) };
        let has = |name: &str| top.iter().any(|entry| entry.name == name);
        if has("etc") && ["usr", "bin", "sbin"].into_iter().any(has) {
            self.look(pair.rule, "an installed system, whose root only its boot menu names");
            return Ok(None);
        }
        if pair.installer == Installer::Anaconda && self.is_live_system(&has)? {
            self.warnings.push(
                "LiveOS/squashfs.img is that of a live system, and the location has no boot menu for it: add -append 'root=live:CDLABEL=LABEL rd.live.image'"
                    .into(),
            );
            return Ok(Some(Pair { installer: Installer::Other, ..pair }));
        }
        Ok(Some(pair))
    }

    /// Whether a place with the layout of anaconda has a live system: what anaconda loads is
    /// described, has another name, or is named by the menu.
    fn is_live_system(&mut self, has: &dyn Fn(&str) -> bool) -> Result<bool, TreeError> {
        if self.treeinfo.is_some() || has(".discinfo") || !has("LiveOS") {
            return Ok(false);
        }
        let mut is_there =
            |path| Ok::<_, TreeError>(self.files.problem(&TreePath::new(path))?.is_none());
        if !is_there("LiveOS/squashfs.img")? || is_there("images/install.img")? {
            return Ok(false);
        }
        let menus = BootConfig::read_all(self.source);
        let mut entries = menus.iter().flat_map(|config| &config.entries);
        Ok(!entries.any(|entry| entry.words().iter().any(|word| word.starts_with("inst."))))
    }

    /// A pair with the words of the place's own boot menu, if these say that no installer starts: a
    /// live medium does not find itself without them, and an installed system not its root.
    pub(super) fn with_menu(&mut self, pair: Pair) -> Result<Pair, TreeError> {
        let Some(kernel) = pair.kernel.path.clone() else { return Ok(pair) };
        if self.is_agama(&pair)? {
            return Ok(pair);
        }
        let Some((config, entry)) = self.menu_entry(&kernel, pair.installer) else {
            return Ok(pair);
        };
        let mut arguments = entry.words();
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
        let rule = format!("{}; with the arguments of {}", pair.rule, config.path);
        let initrds = self.menu_initrds(&config, &entry, pair.initrds)?;
        Ok(Pair { arguments, initrds, rule, installer, ..pair })
    }

    /// The initrds of a menu's entry, then what the menu does not have: CoreOS' root file system.
    /// `own` are those of the layout.
    fn menu_initrds(
        &mut self,
        config: &BootConfig,
        entry: &Entry,
        mut own: Vec<Item>,
    ) -> Result<Vec<Item>, TreeError> {
        let layout = own.first().and_then(|item| item.path.clone());
        let mut devices = config.devices(self.source);
        let mut initrds = Vec::new();
        for name in &entry.initrds {
            match self.on_device(config, &mut devices, name)? {
                Ok(opened) => {
                    let path = opened.path_in(self.source).cloned();
                    let known = own.iter().position(|item| path.is_some() && item.path == path);
                    initrds.push(match known {
                        Some(at) => own.remove(at),
                        None => Item { path, bytes: opened.file },
                    });
                }
                Err(error) => {
                    let problem = match error.is_missing() {
                        true => "it is not there".to_owned(),
                        false => with_cause(&error),
                    };
                    self.warnings.push(format!(
                        "the initrd '{name}' of the entry '{}' was left out: {problem}",
                        entry.title
                    ));
                }
            }
        }
        self.warnings.append(&mut devices.warnings);
        if !initrds.is_empty() {
            own.retain(|item| item.path != layout);
        }
        initrds.append(&mut own);
        Ok(initrds)
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

    fn menu_entry(&self, kernel: &TreePath, installer: Installer) -> Option<(BootConfig, Entry)> {
        // A place without lists is a tree on a server.
        self.source.list(&TreePath::root()).ok()?;
        BootConfig::read_all(self.source).into_iter().find_map(|config| {
            let entry = config.entries.iter().find(|entry| {
                let words = entry.words();
                let counts =
                    installer == Installer::Other || words.iter().any(|w| finds_root(w, installer));
                counts && config.names_file(self.source, &entry.kernel, kernel)
            })?;
            let entry = entry.clone();
            Some((config, entry))
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
