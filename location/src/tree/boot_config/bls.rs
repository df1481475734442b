//! Entries of the Boot Loader Specification (UAPI.1), read as systemd-boot does, and as `blscfg` of
//! Fedora's GRUB does, which expands GRUB's variables in them.

use std::cmp::Ordering;

use super::super::{glob, version};
use super::unified::UnifiedImage;
use super::{ENTRIES, Entry, Files, Menu, Step, environment, vendors};
use storage::{FileTree, TreePath};

/// Where the entries are: on a boot partition, and on one that has `/boot` as a directory.
const DIRECTORIES: [&str; 2] = ["loader/entries", "boot/loader/entries"];
/// Where EFI system partitions are mounted, on one of their own and below `/`.
const PARTITIONS: [&str; 3] = ["", "efi", "boot/efi"];
/// Where unified kernel images are on such a partition.
const IMAGES: &str = "EFI/Linux";
/// Bytes that a value can have after its variables were expanded.
const VALUE: usize = 1 << 16;

/// One entry's file, its keys in their order.
struct EntryFile {
    /// The file's name without `.conf`.
    id: String,
    keys: Vec<(String, String)>,
}

impl EntryFile {
    fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        let fits = move |(name, value): &'_ &(String, String)| name == key && !value.is_empty();
        self.keys.iter().filter(fits).map(|(_, value)| value.as_str())
    }

    fn get(&self, key: &str) -> &str {
        self.all(key).next().unwrap_or_default()
    }

    /// The id without its boot counter, and how many tries are left: `name+3-1` has 3.
    fn counter(&self) -> (&str, Option<u32>) {
        let stem = self.id.strip_suffix(".efi").unwrap_or(&self.id);
        let Some((name, counter)) = stem.rsplit_once('+') else { return (&self.id, None) };
        let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(left) || !is_number(done) {
            return (&self.id, None);
        }
        (name, Some(left.parse().unwrap_or(u32::MAX)))
    }

    fn name(&self) -> &str {
        self.counter().0
    }

    /// "Sorting": entries without tries left come last. Then those with a sort-key, by it; the
    /// newest first.
    fn order(&self, other: &Self) -> Ordering {
        let is_exhausted = |file: &Self| file.counter().1 == Some(0);
        let (a, b) = (self.get("sort-key"), other.get("sort-key"));
        let by_key = || match (a.is_empty(), b.is_empty()) {
            (false, false) => a
                .cmp(b)
                .then_with(|| self.get("machine-id").cmp(other.get("machine-id")))
                .then_with(|| version::compare(other.get("version"), self.get("version"))),
            (a, b) => a.cmp(&b),
        };
        is_exhausted(self)
            .cmp(&is_exhausted(other))
            .then_with(by_key)
            .then_with(|| version::compare(other.name(), self.name()))
    }
}

/// The values of variables in entries, and which of them were missing.
struct Variables<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    missing: Vec<String>,
}

/// The entries of a directory as systemd-boot lists them, with the default of `loader.conf`, and
/// the path of that file or of the directory. Boot loaders read the EFI system partition and the
/// extended boot partition as one, and so does this.
pub(super) fn menu(directory: &TreePath, files: &mut Files<'_>) -> Option<(TreePath, Menu)> {
    let settings = directory.parent().join("loader.conf");
    let own = *files.volumes.first()?;
    let has_own = files.read_own(&settings);
    let mut file_entries = read_directory(own, directory, files);
    let boot = directory.parent().parent();
    file_entries.extend(read_own_images(own, &boot, files));
    if has_own.is_none() && file_entries.is_empty() {
        return None;
    }
    let others = files.volumes[1..].to_vec();
    let mut text = has_own.clone();
    for other in others {
        text = text.or_else(|| files.read_from(other, &TreePath::new("loader/loader.conf")));
        file_entries.extend(read_volume(other, files));
    }
    let variables = grub_environment(&boot, files);
    let get = |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let (entries, warnings) = entries(file_entries, &get);
    let saved = get("saved_entry").unwrap_or_default();
    let wanted = text.as_deref().unwrap_or_default().lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("default")).then(|| words.next()).flatten()
    });
    let by_pattern = |pattern: &str| {
        entries.iter().position(|entry| {
            glob::matches(pattern, entry.id())
                || glob::matches(pattern, &format!("{}.conf", entry.id()))
        })
    };
    let by_saved = || (!saved.is_empty()).then(|| by_pattern(&saved)).flatten();
    let default = wanted.and_then(by_pattern).or_else(by_saved);
    let path = if has_own.is_some() { settings } else { directory.clone() };
    Some((path, Menu { defaults: default.into_iter().collect(), entries, saved, warnings }))
}

/// The entries that GRUB's `blscfg` lists, with its variables: those of the first volume that has
/// any.
pub(super) fn grub_entries(
    files: &mut Files<'_>,
    get: &dyn Fn(&str) -> Option<String>,
) -> (Vec<Entry>, Vec<String>) {
    for volume in files.volumes.clone() {
        for directory in DIRECTORIES {
            let found = read_directory(volume, &TreePath::new(directory), files);
            if !found.is_empty() {
                return entries(found, get);
            }
        }
    }
    (Vec::new(), Vec::new())
}

/// The unified kernel images beside a directory of entries; those of mounted partitions go with the
/// first directory.
fn read_own_images(own: &dyn FileTree, boot: &TreePath, files: &mut Files<'_>) -> Vec<EntryFile> {
    let mut directories = vec![boot.join(IMAGES)];
    if *boot == TreePath::root() {
        let mounted = PARTITIONS.iter().skip(1).map(|partition| boot.join(partition).join(IMAGES));
        directories.extend(mounted);
    }
    directories.iter().flat_map(|directory| read_images(own, directory, files)).collect()
}

/// GRUB's variables from all environment blocks: beside the entries, then in each distribution's
/// directory on an EFI partition.
fn grub_environment(boot: &TreePath, files: &mut Files<'_>) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for volume in files.volumes.clone() {
        let mut paths = vec![boot.join("grub2/grubenv"), boot.join("grub/grubenv")];
        let root = TreePath::root();
        let mut directories: Vec<_> =
            PARTITIONS.iter().map(|partition| root.join(partition).join("EFI")).collect();
        directories.push(boot.join("EFI"));
        directories.dedup();
        for directory in directories {
            let names = vendors(volume, &directory.to_string()).into_iter();
            paths.extend(names.map(|name| directory.join(&format!("{name}/grubenv"))));
        }
        for path in paths {
            let text = files.read_from(volume, &path);
            variables.extend(text.as_deref().map(environment::variables).unwrap_or_default());
        }
    }
    variables
}

fn read_volume(volume: &dyn FileTree, files: &mut Files<'_>) -> Vec<EntryFile> {
    let mut found: Vec<EntryFile> = Vec::new();
    for directory in DIRECTORIES {
        found.extend(read_directory(volume, &TreePath::new(directory), files));
    }
    found.extend(read_images(volume, &TreePath::new(IMAGES), files));
    found
}

/// The names of a directory's files that end in `ending`, whatever its case; hidden files do not
/// count.
fn names(volume: &dyn FileTree, directory: &TreePath, ending: &str) -> Vec<String> {
    let found = volume.list(directory).unwrap_or_default().into_iter();
    let names = found.filter(|entry| !entry.is_directory).map(|entry| entry.name);
    let fits =
        |name: &String| !name.starts_with('.') && name.to_ascii_lowercase().ends_with(ending);
    names.filter(fits).take(ENTRIES).collect()
}

fn read_directory(
    volume: &dyn FileTree,
    directory: &TreePath,
    files: &mut Files<'_>,
) -> Vec<EntryFile> {
    let names = names(volume, directory, ".conf").into_iter();
    let read = names.filter_map(|name| {
        let text = files.read_from(volume, &directory.join(&name))?;
        let mut keys: Vec<_> = text.lines().filter_map(key).collect();
        // An EFI program boots here only if it is a unified kernel image.
        if let Some((_, path)) = keys.iter().find(|(key, _)| key == "efi") {
            let file = files.open(volume, &TreePath::new(path))?;
            if UnifiedImage::open(file).ok().flatten().is_some() {
                keys.push(("uki".to_owned(), path.clone()));
            }
        }
        let id = name.get(..name.len() - ".conf".len()).unwrap_or(&name).to_owned();
        Some(EntryFile { id, keys })
    });
    read.collect()
}

/// Entries for unified kernel images, which are entries without a file that describes them.
fn read_images(
    volume: &dyn FileTree,
    directory: &TreePath,
    files: &mut Files<'_>,
) -> Vec<EntryFile> {
    let mut found = Vec::new();
    for name in names(volume, directory, ".efi") {
        let path = directory.join(&name);
        let Some(file) = files.open(volume, &path) else { continue };
        let mut keys = vec![("uki".to_owned(), format!("/{path}"))];
        if let Ok(Some(image)) = UnifiedImage::open(file) {
            let version = ["IMAGE_VERSION", "VERSION_ID", "BUILD_ID"].map(|k| image.os_release(k));
            let version = version.into_iter().find(|version| !version.is_empty());
            let sort_key = ["IMAGE_ID", "ID"].map(|key| image.os_release(key));
            let sort_key = sort_key.into_iter().find(|key| !key.is_empty());
            keys.extend([
                ("title".to_owned(), image.os_release("PRETTY_NAME")),
                ("version".to_owned(), version.unwrap_or_default()),
                ("sort-key".to_owned(), sort_key.unwrap_or_default()),
                ("options".to_owned(), image.command_line().replace('$', "$$")),
            ]);
        }
        found.push(EntryFile { id: name, keys });
    }
    found
}

/// Makes entries of files, in their order, and warnings for variables that are not set.
fn entries(
    mut found: Vec<EntryFile>,
    get: &dyn Fn(&str) -> Option<String>,
) -> (Vec<Entry>, Vec<String>) {
    found.sort_by(EntryFile::order);
    found.truncate(ENTRIES);
    let mut variables = Variables { get, missing: Vec::new() };
    let entries = found.iter().enumerate();
    let entries = entries.map(|(position, file)| entry(file, position, &mut variables)).collect();
    (entries, variables.missing.iter().map(|name| missing(name)).collect())
}

/// The warning for a variable that is not set.
pub(super) fn missing(name: &str) -> String {
    format!(
        "the entries use ${name}, which is not set: the kernel's command line may lack its root device"
    )
}

fn entry(file: &EntryFile, position: usize, variables: &mut Variables<'_>) -> Entry {
    let title = match file.get("title") {
        "" => file.name(),
        title => title,
    };
    let id = file.name().to_owned();
    let mut entry = Entry::at(vec![Step { position, title: title.to_owned(), id }]);
    let architecture = file.get("architecture").to_ascii_lowercase();
    if ["", "x64", "x86_64", "x86-64", "amd64"].contains(&architecture.as_str()) {
        entry.is_unified = file.get("linux").is_empty() && !file.get("uki").is_empty();
        let kernel = if entry.is_unified { file.get("uki") } else { file.get("linux") };
        entry.kernel = super::without_device(&variables.expand(kernel, false));
    }
    let initrds: Vec<_> = file.all("initrd").map(|line| variables.expand(line, false)).collect();
    let names = initrds.iter().flat_map(|line| line.split_whitespace());
    entry.initrds = names.map(super::without_device).collect();
    let options: Vec<_> = file.all("options").map(|line| variables.expand(line, true)).collect();
    entry.arguments = options.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    entry
}

/// `key value`; a line that begins with `#` is none.
fn key(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (key, value) = line.split_once(char::is_whitespace)?;
    (!key.starts_with('#')).then(|| (key.to_owned(), value.trim().to_owned()))
}

impl Variables<'_> {
    /// The text with the values of `$name` and `${name}`; `$$` is a `$`. Only what is needed is
    /// reported as missing.
    fn expand(&mut self, text: &str, is_needed: bool) -> String {
        let mut whole = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            whole += before;
            if let Some(behind) = behind.strip_prefix('$') {
                whole.push('$');
                rest = behind;
                continue;
            }
            let braced = behind.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, behind) = braced.unwrap_or(behind.split_at(end.unwrap_or(behind.len())));
            if name.is_empty() {
                whole.push('$');
            } else if let Some(value) = (self.get)(name) {
                if whole.len() + value.len() <= VALUE {
                    whole += &value;
                }
            } else if is_needed && is_essential(name) && !self.missing.iter().any(|m| m == name) {
                self.missing.push(name.to_owned());
            }
            rest = behind;
        }
        whole + rest
    }
}

/// Whether an unset variable is a mistake: Fedora's entries also name `$tuned_params`, which is
/// empty without tuned.
fn is_essential(name: &str) -> bool {
    !name.starts_with("tuned_") && name != "grub_users"
}
