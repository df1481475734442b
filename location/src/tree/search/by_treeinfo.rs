//! The rule for `.treeinfo`.

use super::super::treeinfo::{self, Treeinfo};
use super::super::{Installer, TreeError};
use super::check::is_archive;
use super::{ARCHES, Info, Pair, Search, release_of};
use storage::TreePath;

impl Search<'_> {
    /// Reads the one in the directory `root`, if there is one.
    pub(super) fn read_treeinfo(&mut self, root: &TreePath) -> Result<(), TreeError> {
        for name in treeinfo::NAMES {
            let path = root.join(name);
            let found = match self.files.text(&path, treeinfo::LIMIT)? {
                Err(why) => why.to_owned(),
                Ok(text) => match Treeinfo::parse(text) {
                    None => "no [section] in it, not used".into(),
                    Some(content) => {
                        let release = release_of(&content);
                        let (by, root) = (path.to_string(), root.clone());
                        self.treeinfo = Some(Info { by, root, content });
                        format!("{} {}", release.family, release.version).trim().to_owned()
                    }
                },
            };
            let found = if found.is_empty() { "there, but without a name".into() } else { found };
            self.look(path.to_string(), found);
            if self.treeinfo.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// What `.treeinfo` names, where it is there.
    pub(super) fn by_treeinfo(&mut self) -> Result<Option<Pair>, TreeError> {
        let Some(info) = &self.treeinfo else { return Ok(None) };
        let (by, content) = (info.by.clone(), &info.content);
        let own = content.arch().filter(|arch| is_ours(arch));
        let images = own.into_iter().chain(ARCHES).find_map(|arch| content.images(arch));
        let Some((kernel, initrd)) = images else {
            if let Some(arch) = content.arch().filter(|arch| !is_ours(arch)) {
                let (place, arch) = (self.source.name().to_owned(), arch.to_owned());
                return Err(TreeError::Arch { place, arch, by });
            }
            self.look(by, "does not name a kernel and initrd for x86_64");
            return Ok(None);
        };
        let family = release_of(content).family;
        let installer = Installer::of_family(&family, content.has_stage2());
        let beside = || kernel.parent().join("rootfs.img");
        let named = own_rootfs(content);
        let is_guess = named.is_none();
        let rootfs = named.clone().or_else(|| (installer == Installer::CoreOs).then(beside));
        let Some((kernel, initrd)) = self.pair(&by, &kernel, &initrd)? else { return Ok(None) };
        if let Some(named) = named
            && let Some(problem) = self.files.problem(&named)?.map(str::to_owned)
        {
            self.look(named.to_string(), &*problem);
            self.warnings.push(format!(
                "{by} names the root file system '{named}', which is {problem}: add it to the location, or name it to the system by the kernel's argument coreos.live.rootfs_url=URL"
            ));
        }
        if installer == Installer::Other {
            let whose =
                if family.is_empty() { "has no name" } else { &format!("is of '{family}'") };
            self.warnings.push(format!(
                "{by} {whose}, expected a distribution whose installer chukka knows: no arguments are added for it; give those that it needs with -append"
            ));
        }
        let pair = Pair::new(kernel, vec![initrd], by, installer);
        let pair = match rootfs {
            Some(rootfs) => self.with_rootfs(pair, &rootfs, is_guess)?,
            None => pair,
        };
        self.with_menu(pair).map(Some)
    }

    /// Adds CoreOS' root file system, which is the rest of its initrd, if it is there. A server can
    /// have a page for what it does not have: a file that nothing names has to be an archive.
    pub(super) fn with_rootfs(
        &mut self,
        pair: Pair,
        rootfs: &TreePath,
        is_guess: bool,
    ) -> Result<Pair, TreeError> {
        let Some(item) = self.item(rootfs)? else { return Ok(pair) };
        if is_guess && !is_archive(&*item.bytes)? {
            self.look(rootfs.to_string(), "there, but it is no cpio archive, so it is not used");
            return Ok(pair);
        }
        self.look(rootfs.to_string(), "there, and part of the initrd");
        let Pair { mut initrds, .. } = pair;
        initrds.push(item);
        Ok(Pair { initrds, installer: Installer::CoreOs, ..pair })
    }
}

/// The root file system that `.treeinfo` names for x86-64.
fn own_rootfs(content: &Treeinfo) -> Option<TreePath> {
    content
        .arch()
        .into_iter()
        .chain(ARCHES)
        .filter(|arch| is_ours(arch))
        .find_map(|arch| content.rootfs(arch))
}

/// Whether `x86_64`, `x86_64_v2`, `i586` and the like.
fn is_ours(arch: &str) -> bool {
    arch.starts_with("x86_64") || ARCHES.contains(&arch)
}
