//! Kernel modules: the dependencies of a module, and their load order.
//!
//! A package that was unpacked but not installed has no `modules.dep`. Each module lists its
//! dependencies in its section `.modinfo` (`depends=a,b`), which depmod(8) uses too, in addition to
//! the symbols.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Doing, Error, Result};

/// The modules of one kernel.
#[derive(Debug)]
pub struct Modules {
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

/// A module ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name, with `_` for `-`.
    pub name: String,
    /// The uncompressed file.
    pub content: Vec<u8>,
}

impl Module {
    /// The patterns of the devices that the module is for: udev loads it where one matches a
    /// device's `modalias`.
    #[must_use]
    pub fn aliases(&self) -> Vec<String> {
        values(&self.content, "alias")
    }
}

impl Modules {
    /// Finds all modules below a folder.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn find(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        walk(&folder.join("kernel"), &mut files)?;
        let built_in = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        let built_in = built_in.lines().filter_map(|line| name_of(Path::new(line))).collect();
        Ok(Self { files, built_in })
    }

    /// These modules and all their dependencies, in load order. Built-in ones are left out.
    ///
    /// # Errors
    /// If one is neither a module of this kernel nor built in.
    pub fn closure(&self, names: &[&str]) -> Result<Vec<Module>> {
        let mut order = Vec::new();
        for name in names {
            self.add(&normal(name), &mut order)?;
        }
        Ok(order)
    }

    fn add(&self, name: &str, order: &mut Vec<Module>) -> Result<()> {
        if self.built_in.contains(name) || order.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let path = self.files.get(name);
        let path = path.ok_or_else(|| Error::Other(format!("This kernel has no module {name}")))?;
        let content = read(path)?;
        for needed in depends(&content) {
            self.add(&needed, order)?;
        }
        order.push(Module { name: name.into(), content });
        Ok(())
    }
}

fn walk(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).doing_with("Reading", folder)? {
        let path = entry.doing_with("Reading", folder)?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if let Some(name) = name_of(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// `kernel/arch/x86/kvm/kvm-amd.ko.xz` is module `kvm_amd`.
fn name_of(path: &Path) -> Option<String> {
    let (name, rest) = path.file_name()?.to_str()?.split_once(".ko")?;
    ["", ".xz", ".zst", ".gz"].contains(&rest).then(|| normal(name))
}

fn normal(name: &str) -> String {
    name.replace('-', "_")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let tool = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).doing_with("Reading", path),
    };
    let output = Command::new(tool).arg("-dc").arg(path).output().doing_with(tool, path)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::Tool {
        tool: format!("{tool} -dc {}", path.display()),
        status: output.status.to_string(),
        tail: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A module's dependencies according to its `.modinfo`.
fn depends(module: &[u8]) -> Vec<String> {
    let value = values(module, "depends").into_iter().next().unwrap_or_default();
    value.split(',').filter(|name| !name.is_empty()).map(normal).collect()
}

/// The values of a key of a module's `.modinfo`: strings `key=value` that end with a zero byte.
fn values(module: &[u8], key: &str) -> Vec<String> {
    let key = [b"\0", key.as_bytes(), b"="].concat();
    let starts = module.windows(key.len()).enumerate().filter(|(_, window)| *window == key);
    let value = |(at, _)| module[at + key.len()..].split(|&byte| byte == 0).next();
    starts.filter_map(value).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_load_first_and_once() {
        let folder = std::env::temp_dir().join(format!("chukka-modules-{}", std::process::id()));
        fs::create_dir_all(folder.join("kernel/x")).unwrap();
        let write = |name: &str, depends: &str| {
            let content =
                format!("ELF\0alias=a*:{name}\0depends={depends}\0alias=b\0name={name}\0");
            fs::write(folder.join(format!("kernel/x/{name}.ko")), content).unwrap();
        };
        write("top-one", "middle,bottom");
        write("middle", "bottom,built-in");
        write("bottom", "");
        fs::write(folder.join("modules.builtin"), "kernel/y/built-in.ko\n").unwrap();

        let modules = Modules::find(&folder).unwrap();
        let order = modules.closure(&["top-one", "bottom", "built_in"]).unwrap();

        let names: Vec<_> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["bottom", "middle", "top_one"]);
        assert_eq!(order[0].aliases(), ["a*:bottom", "b"]);
        let error = modules.closure(&["absent"]).unwrap_err().to_string();
        assert!(error.contains("no module absent"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn names_come_from_file_names() {
        assert_eq!(name_of(Path::new("a/kvm-amd.ko")), Some("kvm_amd".into()));
        assert_eq!(name_of(Path::new("a/kvm.ko.xz")), Some("kvm".into()));
        assert_eq!(name_of(Path::new("a/modules.order")), None);
    }
}
