//! Entries of the Boot Loader Specification (UAPI.1), read as systemd-boot does (its
//! src/boot/boot.c), and as `blscfg` of Fedora's GRUB does (its grub-core/commands/blscfg.c).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::super::glob::{self, Pattern};
use super::super::version;
use super::unified::{PROFILES, UnifiedImage, value};
use super::{ENTRIES, Entry, Files, Menu, Step, environment, vendors, without_device};
use storage::{FileError, FileTree, PartitionRole, TreePath};

/// Where the entries are: on a boot partition, and on one that has `/boot` as a directory.
const DIRECTORIES: [&str; 2] = ["loader/entries", "boot/loader/entries"];
/// Where EFI system partitions are mounted, on one of their own and below `/`.
const PARTITIONS: [&str; 3] = ["", "efi", "boot/efi"];
/// Where unified kernel images are on such a partition.
const IMAGES: &str = "EFI/Linux";
/// Where programs that add to the command line of every image are on such a partition.
const ADDONS: &str = "loader/addons";
/// Bytes that a value can have after its variables were expanded.
const VALUE: usize = 1 << 16;

/// One entry's file, its keys in their order.
struct EntryFile {
    /// The file's name without `.conf`.
    id: String,
    keys: Vec<(String, String)>,
    /// Which of a unified kernel image's profiles it boots, and that profile's name.
    profile: (usize, String),
    /// The volume it is on, which its files are on, too.
    volume: usize,
}

/// What GRUB's `blscfg` takes from an entry's file, before variables are expanded.
pub(super) struct GrubEntry {
    /// The file's name without `.conf`.
    pub id: String,
    /// What the menu calls it.
    pub title: String,
    /// The kernel.
    pub linux: String,
    /// The lines with initrds.
    pub initrds: Vec<String>,
    /// The kernel's command line.
    pub options: String,
    /// The menu entry's own arguments.
    pub arguments: Vec<String>,
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
    /// newest first. systemd-boot has ids in lower case (`boot_entry_add_type1`).
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
            .then_with(|| {
                let id = |file: &Self| file.name().to_ascii_lowercase();
                version::compare(&id(other), &id(self))
            })
            .then_with(|| self.profile.0.cmp(&other.profile.0))
    }

    /// Whether it is for x86-64 and has something to boot.
    fn is_for_here(&self) -> bool {
        let architecture = self.get("architecture").to_ascii_lowercase();
        ["", "x64", "x86_64", "x86-64", "amd64"].contains(&architecture.as_str())
            && ["linux", "efi", "uki"].iter().any(|key| !self.get(key).is_empty())
    }

    /// Whether a pattern of `loader.conf` in lower case fits its file's name, with or without its
    /// ending and its boot counter. Cases do not matter.
    fn is_named(&self, pattern: &Pattern) -> bool {
        let fits = |name: &str| {
            let name = name.to_ascii_lowercase();
            let ending = if self.get("uki").is_empty() { ".conf" } else { ".efi" };
            pattern.matches(&name) || pattern.matches(&(name + ending))
        };
        match self.profile.1.as_str() {
            "" => fits(&self.id) || fits(self.name()),
            profile => fits(&format!("{}@{profile}", self.id)),
        }
    }
}

/// The entries of a directory as systemd-boot lists them, with the default of `loader.conf`, and
/// the path of that file or of the directory. Boot loaders read the EFI system partition and the
/// extended boot partition as one, and so does this.
pub(super) fn menu(directory: &TreePath, files: &mut Files<'_>) -> Option<(TreePath, Menu)> {
    let settings = directory.parent().join("loader.conf");
    let volumes = files.devices.trees();
    let own = *volumes.first()?;
    let has_own = files.read_own(&settings);
    let mut file_entries = read_directory(own, directory, Reader::SystemdBoot, files);
    let boot = directory.parent().parent();
    file_entries.extend(read_own_images(own, &boot, files));
    if has_own.is_none() && file_entries.is_empty() {
        return None;
    }
    let mut text = has_own.clone().filter(|_| !has_role(own, PartitionRole::ExtendedBoot));
    let others = volumes.into_iter().enumerate().skip(1);
    for (at, other) in others.filter(|(_, other)| is_boot(own) && is_boot(*other)) {
        // systemd-boot reads the one of the EFI system partition, which it is on itself.
        if !has_role(other, PartitionRole::ExtendedBoot) {
            text = text.or_else(|| files.read_from(other, &TreePath::new("loader/loader.conf")));
        }
        let found = read_volume(other, files).into_iter();
        file_entries.extend(found.map(|file| EntryFile { volume: at, ..file }));
    }
    let variables = grub_environment(&boot, files);
    let get = |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    file_entries.retain(EntryFile::is_for_here);
    file_entries.sort_by(EntryFile::order);
    file_entries.truncate(ENTRIES);
    let mut missing_names = Vec::new();
    let entries = file_entries.iter().enumerate();
    let entries: Vec<_> =
        entries.map(|(at, file)| entry(file, at, &get, &mut missing_names, files)).collect();
    let saved = get("saved_entry").unwrap_or_default();
    let wanted = text.as_deref().map(default_pattern).unwrap_or_default();
    // All that fit, as systemd-boot does not list an entry whose kernel is not there.
    let mut named = |name: &str| {
        if name.is_empty() {
            return Vec::new();
        }
        let Some(pattern) = Pattern::new(&name.to_ascii_lowercase()) else {
            files.warn(format!(
                "the default entry's name has {} bytes, expected at most {}: it is ignored",
                name.len(),
                glob::LENGTH
            ));
            return Vec::new();
        };
        let entries = file_entries.iter().enumerate();
        entries.filter(|(_, file)| file.is_named(&pattern)).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let mut defaults = named(&wanted);
    let is_missing = defaults.is_empty() && (1..=glob::LENGTH).contains(&wanted.len());
    if defaults.is_empty() {
        defaults = named(&saved);
    }
    let first = entries.get(defaults.first().copied().unwrap_or(0));
    if let Some(first) = first.filter(|_| is_missing) {
        let why = match wanted.as_str() {
            "@saved" => "the default entry is the last one booted, which only the firmware knows",
            _ => &format!("loader.conf's default '{wanted}' is not among the entries"),
        };
        files.warn(format!("{why}: '{}' boots instead", first.title));
    }
    let path = if has_own.is_some() { settings } else { directory.clone() };
    let warnings = missing_names.iter().map(|name| missing(name)).collect();
    Some((path, Menu { defaults, entries, saved, warnings }))
}

/// Whether systemd-boot reads a volume: the EFI system partition and the extended boot partition
/// are known by their types (UAPI.1, "The partitions"). Without a partition table, nothing says it.
fn is_boot(volume: &dyn FileTree) -> bool {
    let role = volume.partition().last().map(|partition| partition.role);
    role.is_none_or(|role| role != PartitionRole::Other)
}

fn has_role(volume: &dyn FileTree, role: PartitionRole) -> bool {
    volume.partition().last().is_some_and(|partition| partition.role == role)
}

/// The pattern of `default` in loader.conf; the last one counts. Of those that begin with `@`,
/// systemd-boot knows `@saved` only (`config_defaults_load_from_file`).
fn default_pattern(text: &str) -> String {
    let defaults = pairs(text).filter(|(key, _)| *key == "default");
    let mut patterns = defaults.map(|(_, value)| match unquoted(value) {
        saved if saved.eq_ignore_ascii_case("@saved") => "@saved",
        value => value,
    });
    patterns.rfind(|value| !value.starts_with('@') || *value == "@saved").unwrap_or_default().into()
}

/// The entries that GRUB's `blscfg` lists: those of `directory`, or by default those of `$root`. GRUB
/// sorts them by their files' names alone.
pub(super) fn grub_entries(files: &mut Files<'_>, directory: &str) -> Vec<GrubEntry> {
    let name = files.absolute(directory);
    let own = [TreePath::new(without_device(directory))];
    let usual = DIRECTORIES.map(TreePath::new);
    let directories: &[TreePath] = if own[0] == TreePath::root() { &usual } else { &own };
    let has_entries = |tree: &dyn FileTree, path: &str| {
        let found =
            directories.iter().find(|directory| !names(tree, directory, ".conf").is_empty());
        found.cloned().ok_or_else(|| FileError::Missing(path.to_owned()))
    };
    if files.look_up().is_none() {
        return Vec::new();
    }
    let Ok((place, directory)) = files.devices.find(&name, has_entries) else { return Vec::new() };
    let mut found = read_directory(&*place, &directory, Reader::Grub, files);
    found.sort_by(|a, b| package_order(&b.id, &a.id));
    found.iter().filter_map(grub_entry).take(ENTRIES).collect()
}

/// GRUB skips a file without a kernel.
fn grub_entry(file: &EntryFile) -> Option<GrubEntry> {
    let all = |key: &str| file.all(key).map(str::to_owned).collect::<Vec<_>>();
    let linux = Some(file.get("linux").to_owned()).filter(|linux| !linux.is_empty())?;
    let title = if file.get("title").is_empty() { &linux } else { file.get("title") };
    Some(GrubEntry {
        id: file.id.clone(),
        title: title.to_owned(),
        initrds: all("initrd"),
        options: all("options").join(" "),
        arguments: all("grub_arg"),
        linux,
    })
}

/// The order of `NAME-VERSION-RELEASE`, which GRUB takes files' names for.
fn package_order(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let mut parts = text.rsplitn(3, '-').map(str::to_owned).collect::<Vec<_>>();
        parts.reverse();
        parts.resize(3, String::new());
        parts
    };
    let (a, b) = (parts(a), parts(b));
    a.iter().zip(&b).map(|(a, b)| rpm_order(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// The order of versions in packages of Fedora's: runs of digits and of letters are compared, `~` is
/// below everything.
fn rpm_order(a: &str, b: &str) -> Ordering {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '~' || c == '+';
    let (mut a, mut b) = (a, b);
    loop {
        a = a.trim_start_matches(|c| !is_part(c));
        b = b.trim_start_matches(|c| !is_part(c));
        for mark in ['~', '+'] {
            let (x, y) = (a.strip_prefix(mark), b.strip_prefix(mark));
            match (x, y) {
                (Some(x), Some(y)) => (a, b) = (x, y),
                (None, None) => continue,
                // At its end, the one without `+` is below the other.
                _ if mark == '+' && (a.is_empty() || b.is_empty()) => {
                    return a.len().cmp(&b.len());
                }
                _ => return y.is_some().cmp(&x.is_some()),
            }
        }
        if a.starts_with(['~', '+']) || b.starts_with(['~', '+']) {
            continue;
        }
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let is_number = a.starts_with(|c: char| c.is_ascii_digit());
        let is_own = |c: char| if is_number { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let split = |text: &'_ str| text.find(|c| !is_own(c)).unwrap_or(text.len());
        let ((x, rest_a), (y, rest_b)) = (a.split_at(split(a)), b.split_at(split(b)));
        if y.is_empty() {
            return if is_number { Ordering::Greater } else { Ordering::Less };
        }
        let order = if is_number {
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            x.cmp(y)
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
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
    for volume in files.devices.trees() {
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
            variables.extend(text.as_deref().and_then(environment::variables).unwrap_or_default());
        }
    }
    variables
}

fn read_volume(volume: &dyn FileTree, files: &mut Files<'_>) -> Vec<EntryFile> {
    let mut found: Vec<EntryFile> = Vec::new();
    for directory in DIRECTORIES {
        let directory = TreePath::new(directory);
        found.extend(read_directory(volume, &directory, Reader::SystemdBoot, files));
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
    reader: Reader,
    files: &mut Files<'_>,
) -> Vec<EntryFile> {
    let names = names(volume, directory, ".conf").into_iter();
    // `valid_type1_filename`: these are names of entries that systemd-boot makes itself.
    let is_own = |name: &String| {
        let start = name.get(.."auto-".len());
        reader == Reader::SystemdBoot
            && start.is_some_and(|start| start.eq_ignore_ascii_case("auto-"))
    };
    let read = names.filter(|name| !is_own(name)).filter_map(|name| {
        let text = files.read_from(volume, &directory.join(&name))?;
        let mut keys = keys(&text, reader);
        let value = |key: &str| {
            let found = keys.iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        // systemd-boot, too, ignores a number that it cannot use.
        let profile = value("profile").unwrap_or("0".to_owned());
        let profile =
            profile.parse().ok().filter(|number| *number < PROFILES).unwrap_or_else(|| {
                files.warn(format!(
                    "{}: expected a number below {PROFILES} behind `profile`: it is ignored",
                    directory.join(&name)
                ));
                0
            });
        // An EFI program boots here only if it is a unified kernel image. Without options, the
        // command line in it counts.
        if let Some(path) = value("uki").or_else(|| value("efi")) {
            let file = files.open(volume, &TreePath::new(path.replace('\\', "/")));
            let is_missing = file.is_none();
            let image = file.and_then(|file| UnifiedImage::open(file).ok().flatten());
            let image = image.map(|image| image.with_profile(profile));
            if let Some(image) = image.as_ref().filter(|_| value("options").is_none()) {
                let own = files.command_line(image)?;
                keys.push(("options".to_owned(), own.replace('$', "$$")));
            }
            // If it is missing, that is told where the entry is booted.
            if image.is_some() || is_missing {
                keys.push(("uki".to_owned(), path));
            }
        }
        let id = name.get(..name.len() - ".conf".len()).unwrap_or(&name).to_owned();
        Some(EntryFile { id, keys, profile: (profile, String::new()), volume: 0 })
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
    let names = names(volume, directory, ".efi");
    if names.is_empty() {
        return found;
    }
    let shared = addons(volume, &directory.parent().parent().join(ADDONS), files);
    for name in names {
        let path = directory.join(&name);
        let Some(file) = files.open(volume, &path) else { continue };
        let uki = ("uki".to_owned(), format!("/{path}"));
        let profile = (0, String::new());
        let plain = EntryFile { id: name, keys: vec![uki.clone()], profile, volume: 0 };
        let Ok(Some(image)) = UnifiedImage::open(file) else {
            found.push(plain);
            continue;
        };
        let stem = plain.name().trim_end_matches(".efi").to_owned();
        let extra = directory.join(&format!("{stem}.efi.extra.d"));
        let added = [shared.as_str(), &addons(volume, &extra, files)].join(" ");
        for number in 0..image.profiles().min(ENTRIES.saturating_sub(found.len())) {
            let image = image.with_profile(number);
            let Some((name, keys)) = image_keys(&image, number, &added, &plain.id, files) else {
                break;
            };
            let keys = std::iter::once(uki.clone()).chain(keys).collect();
            let (id, profile) = (plain.id.clone(), (number, name));
            found.push(EntryFile { id, keys, profile, volume: 0 });
        }
    }
    found
}

/// What an image says of one of its profiles (`boot_entry_add_type2` in systemd's src/boot/boot.c):
/// the profile's name, and the entry's keys. `None` if its command line was not read.
fn image_keys(
    image: &UnifiedImage,
    profile: usize,
    added: &str,
    file: &str,
    files: &mut Files<'_>,
) -> Option<(String, [(String, String); 4])> {
    let own = files.command_line(image)?;
    // Each profile has a copy of what is added.
    files.charge(added.len(), file)?;
    let options = [own.as_str(), added].join(" ").trim().replace('$', "$$");
    let os_release = files.section(image, ".osrel").unwrap_or_default();
    let description = files.section(image, ".profile").unwrap_or_default();
    let first = |keys: &[&str]| {
        let values = keys.iter().map(|key| value(&os_release, key));
        values.into_iter().find(|value| !value.is_empty()).unwrap_or_default()
    };
    let mut title = first(&["PRETTY_NAME", "IMAGE_ID", "NAME", "ID"]);
    let id = value(&description, "ID");
    let name = match profile {
        0 => String::new(),
        _ if id.is_empty() => profile.to_string(),
        _ => id.clone(),
    };
    let own = match (value(&description, "TITLE"), id) {
        (own, id) if own.is_empty() && id.is_empty() && profile > 0 => {
            format!("Profile #{}", profile + 1)
        }
        (own, id) if own.is_empty() && profile > 0 => id,
        (own, _) => own,
    };
    if !own.is_empty() {
        title = format!("{title} ({own})");
    }
    let keys = [
        ("title", title),
        ("version", first(&["IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"])),
        ("sort-key", first(&["IMAGE_ID", "ID"])),
        ("options", options),
    ];
    Some((name, keys.map(|(key, value)| (key.to_owned(), value))))
}

/// The command lines of programs that add to those of images (systemd-stub(7)).
fn addons(volume: &dyn FileTree, directory: &TreePath, files: &mut Files<'_>) -> String {
    let names = names(volume, directory, ".addon.efi").into_iter();
    let read = names.filter_map(|name| {
        let file = files.open(volume, &directory.join(&name))?;
        files.command_line(&UnifiedImage::any(file).ok()?)
    });
    read.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The warning for a variable that is not set.
pub(super) fn missing(name: &str) -> String {
    format!(
        "the entries use ${name}, which is not set: the kernel's command line may lack its root device"
    )
}

fn entry(
    file: &EntryFile,
    position: usize,
    get: &dyn Fn(&str) -> Option<String>,
    missing: &mut Vec<String>,
    files: &Files<'_>,
) -> Entry {
    let title = match file.get("title") {
        "" => file.name(),
        title => title,
    };
    let id = match file.profile.1.as_str() {
        "" => file.name().to_owned(),
        profile => format!("{}@{profile}", file.name()),
    };
    let mut entry = Entry::at(vec![Step { position, title: title.to_owned(), id }]);
    entry.is_unified = file.get("linux").is_empty() && !file.get("uki").is_empty();
    entry.profile = file.profile.0;
    let kernel = if entry.is_unified { file.get("uki") } else { file.get("linux") };
    let path = |name: &str| {
        let path = without_device(&name.replace('\\', "/"));
        files.devices.on_volume(file.volume, &path)
    };
    // Only what the kernel needs is reported as missing.
    let mut optional = Vec::new();
    entry.kernel = path(&expanded(kernel, get, &mut optional));
    // All lines of a key together, so that the limit of what is expanded is that of the entry.
    let lines = |key: &str| file.all(key).collect::<Vec<_>>().join(" ");
    let initrds = expanded(&lines("initrd"), get, &mut optional);
    entry.initrds = initrds.split_whitespace().map(path).collect();
    let options = expanded(&lines("options"), get, missing);
    entry.arguments = options.split_whitespace().collect::<Vec<_>>().join(" ");
    entry
}

/// Whose rules apply to a file's lines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// `line_get_key_value` in systemd's src/boot/efi-string.c: quotes around a value are not part
    /// of it. Of a key that is there twice, the last value counts, but all of `initrd` and
    /// `options` (`boot_entry_add_type1` in its boot.c).
    SystemdBoot,
    /// Quotes stay, as they are those of GRUB's language. The first value of a key counts
    /// (`bls_get_val`).
    Grub,
}

/// The lines `key value` of a file; one that begins with `#` is none.
fn pairs(text: &str) -> impl DoubleEndedIterator<Item = (&str, &str)> {
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once(char::is_whitespace));
    pairs.map(|(key, value)| (key, value.trim()))
}

/// The keys of an entry's file.
fn keys(text: &str, reader: Reader) -> Vec<(String, String)> {
    let pairs = pairs(text);
    if reader == Reader::Grub {
        return pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    }
    let mut keys: Vec<(String, String)> = Vec::new();
    let mut places = BTreeMap::new();
    for (key, value) in pairs {
        let value = unquoted(value).to_owned();
        let old = places.get(key).and_then(|at| keys.get_mut(*at));
        match old.filter(|_| !["initrd", "options"].contains(&key)) {
            Some((_, old)) => *old = value,
            None => {
                places.insert(key, keys.len());
                keys.push((key.to_owned(), value));
            }
        }
    }
    keys
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if value.starts_with(quote) && value.ends_with(quote) {
            return value.get(1..value.len() - 1).unwrap_or_default();
        }
    }
    value
}

/// The text with the values of `$name` and `${name}`; `$$` is a `$`. The names of variables that
/// should be set are noted if they are not.
pub(super) fn expanded(
    text: &str,
    get: &dyn Fn(&str) -> Option<String>,
    missing: &mut Vec<String>,
) -> String {
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
        } else if let Some(value) = get(name) {
            if whole.len() + value.len() <= VALUE {
                whole += &value;
            }
        } else if is_essential(name) && !missing.iter().any(|known| known == name) {
            missing.push(name.to_owned());
        }
        rest = behind;
    }
    whole + rest
}

/// Whether an unset variable is a mistake: Fedora's entries also name `$tuned_params`, which is
/// empty without tuned.
fn is_essential(name: &str) -> bool {
    !name.starts_with("tuned_") && name != "grub_users"
}
