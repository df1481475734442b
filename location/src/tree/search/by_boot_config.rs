//! The rule for the place's own boot loader.

use super::super::boot_config::devices::{self, Devices, Opened, Place, with_cause};
use super::super::boot_config::unified::{self, UnifiedImage};
use super::super::boot_config::{BootConfig, Entry};
use super::super::{Installer, TreeError};
use super::{Item, Pair, Search};
use crate::cmdline;
use storage::{FileError, TreePath};

impl<'a> Search<'a> {
    /// The default entry of the first menu, or else the first one whose files are there.
    pub(super) fn by_boot_config(&mut self) -> Result<Option<Pair>, TreeError> {
        let all = BootConfig::read_all(self.source);
        if all.is_empty() {
            self.look("isolinux.cfg, syslinux.cfg, extlinux.conf, grub.cfg", "not there");
        }
        for config in &all {
            let warnings = config.warnings.iter();
            self.warnings.extend(warnings.map(|warning| format!("{}: {warning}", config.path)));
            for entry in &config.entries {
                if let Some(pair) = self.entry(config, entry)? {
                    if entry.is_default && !config.is_first_default() {
                        self.warnings.push(config.why_not_default(entry));
                    }
                    return Ok(Some(pair));
                }
            }
            if config.entries.is_empty() {
                self.look(config.path.to_string(), "has no entry that boots a kernel");
            }
        }
        Ok(None)
    }

    /// Opens the files of an entry. Where one is missing, the entry is passed over with a warning.
    fn entry(&mut self, config: &BootConfig, entry: &Entry) -> Result<Option<Pair>, TreeError> {
        let what = format!("{}: '{}': {}", config.path, entry.title, entry.kernel);
        let missing = |search: &mut Self, problem: &str| {
            search.look(what.clone(), problem);
            let title = &entry.title;
            search.warnings.push(format!("the entry '{title}' was skipped: {problem}"));
            Ok(None)
        };
        let problem = |role: &str, error: &FileError| match error.is_missing() {
            true => format!("{role} is not there"),
            false => with_cause(error),
        };
        let mut devices = config.devices(self.source);
        let kernel = match self.on_device(config, &mut devices, &entry.kernel)? {
            Ok(kernel) => kernel,
            Err(error) => return missing(self, &problem("the kernel", &error)),
        };
        let role = if entry.initrds.len() == 1 { "the initrd" } else { "an initrd" };
        let mut initrds = Vec::new();
        for name in &entry.initrds {
            match self.on_device(config, &mut devices, name)? {
                Ok(opened) => {
                    let path = opened.path_in(self.source).cloned();
                    initrds.push(Item { path, bytes: opened.file });
                }
                Err(error) => return missing(self, &problem(role, &error)),
            }
        }
        self.warnings.append(&mut devices.warnings);
        let path = kernel.path_in(self.source).cloned();
        let Opened { file: bytes, place, path: own_path } = kernel;
        let name = bytes.name().to_owned();
        let read = |source| TreeError::Read { name: name.clone(), source };
        let rule = format!("the entry '{}' of {}", entry.title, config.path);
        let image = match UnifiedImage::split(bytes).map_err(read)? {
            Ok(image) => image,
            Err(_) if entry.is_unified => {
                return missing(self, "it is not a unified kernel image");
            }
            Err(bytes) => {
                self.look(what, "there");
                let pair = Pair::new(Item { path, bytes }, initrds, rule, Installer::Other);
                return Ok(Some(Pair { arguments: entry.words(), ..pair }));
            }
        };
        self.warnings.extend(unified::left_out(&*place, &own_path));
        // A checksum is that of the whole image.
        let whole = Item { path, bytes: image.whole() };
        let whole = self.checked(whole, "kernel", Installer::Other)?;
        let Some(image) = UnifiedImage::open(whole.bytes).map_err(read)? else {
            return missing(self, "it changed while it was read");
        };
        let image = image.with_profile(entry.profile);
        let mut checked = Vec::new();
        for initrd in initrds {
            checked.push(self.checked(initrd, "initrd", Installer::Other)?.bytes);
        }
        let unpacked = match image.unpacked(checked, &entry.arguments) {
            Ok(unpacked) => unpacked,
            Err(problem) => return missing(self, &problem),
        };
        self.look(what, "there, a unified kernel image");
        let part = |bytes| Item { path: None, bytes };
        let initrds = unpacked.initrds.into_iter().map(part).collect();
        let pair = Pair::new(part(unpacked.kernel), initrds, rule, Installer::Other);
        let words = cmdline::words(unpacked.arguments.as_bytes());
        let arguments = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Ok(Some(Pair { arguments, ..pair }))
    }

    /// Whether a menu's name means a path of the location itself, and not one on a device.
    fn is_direct(&self, name: &str) -> bool {
        devices::split(name).0.is_none() && self.source.volumes().is_empty()
    }

    /// Opens a file on the device that the menu names.
    pub(super) fn on_device(
        &mut self,
        config: &BootConfig,
        devices: &mut Devices<'a>,
        name: &str,
    ) -> Result<Result<Opened<'a>, FileError>, TreeError> {
        if !self.is_direct(name) {
            return Ok(devices.open(name, None, &|path| config.meanings(path)));
        }
        let found = self.first(config.meanings(name))?;
        let opened = found.and_then(|Item { path, bytes }| {
            Some(Opened { file: bytes, place: Place::Volume(self.source), path: path? })
        });
        Ok(opened.ok_or_else(|| FileError::Missing(name.to_owned())))
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
}
