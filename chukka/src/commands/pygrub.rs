//! pygrub: what this program does under that name, for Xen's toolstack (tools/pygrub/src/pygrub of
//! Xen, of which it takes the options and writes the output, byte for byte).

use std::fs;
use std::io::Write;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use location::fetch::Settings;
use location::menu::{self, BootConfig, Choice, Entry, Loader, Picked, Volume};
use location::{Fetcher, FileTree, Place, RandomAccess, TreePath};
use storage::{LocalFile, read_whole};

use super::confine;
use super::xen_output::{Answer, Draft, Format, output, repr};
use crate::report::with_sources;
use vmm::host::printable::printable;

/// The most bytes of a configuration (`FS_READ_MAX`).
const CONFIG_LIMIT: usize = 1 << 20;

/// Its options.
pub(super) fn command() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Count);
    let value = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::Set)
            .allow_hyphen_values(true)
            .overrides_with(name)
    };
    Command::new("pygrub")
        .no_binary_name(true)
        .infer_long_args(true)
        .about("Hands the kernel, the initrd and the arguments of a disk's boot menu to Xen's toolstack (chukka as pygrub)")
        .args([
            flag("quiet").short('q').help("never ask; without effect, as chukka never asks"),
            flag("interactive").short('i').help("without effect: no menu is shown, the default entry is taken"),
            flag("list-entries").short('l').help("list the entries"),
            flag("not-really").short('n').help("copy nothing, only show what would be copied"),
            flag("isconfig").help("DISK is the configuration file of a boot menu"),
            flag("debug").help("show where it looked"),
        ])
        .args(["output", "output-format", "output-directory", "offset", "runas", "entry"].map(value))
        .args(["kernel", "ramdisk", "args", "default_args", "extra_args", "vm"].map(value))
        .arg(Arg::new("disk").value_name("DISK").required(true))
        .arg(Arg::new("more").action(ArgAction::Append).hide(true))
}

fn text<'m>(matches: &'m ArgMatches, name: &str) -> Option<&'m str> {
    matches.get_one::<String>(name).map(String::as_str).filter(|text| !text.is_empty())
}

fn has(matches: &ArgMatches, name: &str) -> bool {
    matches.get_count(name) > 0
}

/// What an entry boots.
struct Chosen {
    kernel: Box<dyn RandomAccess>,
    kernel_name: String,
    initrd: Option<Box<dyn RandomAccess>>,
    initrd_name: String,
    args: String,
}

/// Does its work.
///
/// # Errors
/// What it cannot do, as a message.
pub(super) fn answer(matches: &ArgMatches) -> Result<(), String> {
    let format = text(matches, "output-format").unwrap_or("sxp");
    let format = Format::parse(format).ok_or_else(|| format!("unknown output format {format}"))?;
    let number = |name: &str| {
        let parse = |text: &str| text.parse::<u64>();
        let bad = |_| format!("{name} value must be an integer");
        text(matches, name).map(parse).transpose().map_err(bad)
    };
    let (uid, offset) = (number("runas")?.unwrap_or(0), number("offset")?);
    if uid > 0 && !has(matches, "quiet") && text(matches, "entry").is_none() {
        return Err("In order to use --runas, you must also set --entry or -q".into());
    }
    let disk = text(matches, "disk").unwrap_or_default();
    if has(matches, "isconfig") {
        return print_config(matches, disk, uid);
    }
    let not_really = has(matches, "not-really");
    let lists = has(matches, "list-entries");
    let directory = directory(text(matches, "output-directory"))?;
    let draft = |prefix| match not_really || lists {
        true => Ok(None),
        false => Draft::new(directory.as_ref(), prefix)
            .map(Some)
            .map_err(|error| format!("Cannot create a file in {directory}: {error}")),
    };
    let (kernel_file, ramdisk_file) = (draft("boot_kernel.")?, draft("boot_ramdisk.")?);
    let path = text(matches, "output");
    let opened = output(path);
    let mut output =
        opened.map_err(|error| format!("Cannot open {}: {error}", path.unwrap_or_default()))?;
    let volumes = open_disk(disk, offset, uid, &directory)?;
    if lists {
        return output.write_all(list(&volumes).as_bytes()).map_err(|error| error.to_string());
    }
    let chosen = choose(matches, &volumes)?;
    let (kernel, ramdisk) = match (kernel_file, ramdisk_file) {
        (Some(kernel), Some(ramdisk)) => hand_out(&chosen, kernel, ramdisk)?,
        _ => {
            let ramdisk =
                chosen.initrd.as_ref().map(|_| format!("<ramdisk:{}>", chosen.initrd_name));
            (format!("<kernel:{}>", chosen.kernel_name), ramdisk)
        }
    };
    let answer = Answer { kernel: &kernel, ramdisk: ramdisk.as_deref(), args: &chosen.args };
    let text = answer.text(format, repr, repr)?;
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| format!("Cannot write the answer: {error}"))
}

/// The directory for the files: one that is there, or the usual one, which is made.
fn directory(given: Option<&str>) -> Result<String, String> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(given) = given else {
        let usual = "/var/run/xen/pygrub/";
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(usual);
        made.map_err(|error| format!("Cannot make {usual}: {error}"))?;
        return Ok(usual.into());
    };
    let is_directory = Path::new(given).is_dir();
    let absolute = std::path::absolute(given).ok().filter(|_| is_directory);
    let absolute = absolute.ok_or_else(|| format!("{given} is not an existing directory"))?;
    Ok(absolute.display().to_string())
}

/// Opens the disk, and reads what is on it as `uid`, who may not be one that could open it. The
/// files in `directory` can still be removed.
fn open_disk(
    disk: &str,
    offset: Option<u64>,
    uid: u64,
    directory: &str,
) -> Result<Vec<Volume>, String> {
    let place = Place::Local(disk.into());
    let mut settings = Settings::default();
    let fetcher = Fetcher::new(settings.clone());
    let file = fetcher.file(&place);
    confine::become_user(uid)?;
    confine::to_places(vec![place.clone()], &[directory.as_ref()], &mut settings)?;
    let volumes = match (file, offset) {
        (Ok(file), None) => menu::volumes_of(file),
        (Ok(file), Some(offset)) => menu::volume_at(file, offset),
        (Err(_), _) => menu::volumes(&fetcher, &place),
    };
    volumes.map_err(|error| with_sources(&error))
}

fn choose(matches: &ArgMatches, volumes: &[Volume]) -> Result<Chosen, String> {
    let user = text(matches, "args").unwrap_or_default();
    let extra = text(matches, "extra_args").unwrap_or_default();
    let with_extra = |args: String| [args.as_str(), extra].join(" ").trim_end().to_owned();
    if let Some(name) = text(matches, "kernel") {
        // The menu does not count, as in pygrub.
        let (_, kernel) = menu::named(volumes, name).map_err(|error| with_sources(&error))?;
        let ramdisk = text(matches, "ramdisk");
        let opened = ramdisk.map(|name| menu::named(volumes, name).map(|(_, file)| file));
        let initrd = opened.transpose().map_err(|error| with_sources(&error))?;
        let (kernel_name, initrd_name) = (name.into(), ramdisk.unwrap_or_default().into());
        let args = with_extra(user.into());
        return Ok(Chosen { kernel, kernel_name, initrd, initrd_name, args });
    }
    let choice = match text(matches, "entry") {
        None => Choice::Default,
        Some(entry) => Choice::Entry(entry.into()),
    };
    // As in pygrub, an entry that is not there means the one that is booted unasked.
    let picked = menu::pick(volumes, &choice).or_else(|error| match choice {
        Choice::Entry(_) => menu::pick(volumes, &Choice::Default),
        _ => Err(error),
    });
    let (picked, attempts) = picked.map_err(|error| {
        format!("Unable to find partition containing kernel: {}", with_sources(&error))
    })?;
    if has(matches, "debug") {
        for attempt in attempts {
            let line = format!("{}: {}", attempt.what, attempt.found);
            let _ = writeln!(std::io::stderr(), "{}", printable(&line));
        }
    }
    for warning in &picked.warnings {
        let _ = writeln!(std::io::stderr(), "pygrub: warning: {}", printable(warning));
    }
    let Picked { entry, kernel, initrds, .. } = picked;
    let args = arguments(&entry, user);
    let initrd_name = entry.initrds.join(" ");
    let initrd = menu::joined(initrds).map_err(|error| error.to_string())?;
    Ok(Chosen { kernel, kernel_name: entry.kernel, initrd, initrd_name, args: with_extra(args) })
}

/// The entry's words and, behind a space, the user's.
fn arguments(entry: &Entry, user: &str) -> String {
    if entry.kernel.starts_with("/platform/i86xpv/") {
        return menu::solaris_arguments(&entry.kernel, &format!("{} {user}", entry.arguments));
    }
    match user {
        "" => entry.arguments.clone(),
        user => format!("{} {user}", entry.arguments),
    }
}

/// Fills the files; their paths. An empty one does not stay.
fn hand_out(
    chosen: &Chosen,
    mut kernel: Draft,
    mut ramdisk: Draft,
) -> Result<(String, Option<String>), String> {
    let filled = kernel.fill(&*chosen.kernel);
    filled.map_err(|error| format!("Error writing temporary copy of kernel: {error}"))?;
    let initrd = match &chosen.initrd {
        None => None,
        Some(initrd) => {
            let filled = ramdisk.fill(&**initrd);
            filled.map_err(|error| format!("Error writing temporary copy of ramdisk: {error}"))?;
            Some(kept(ramdisk)?)
        }
    };
    Ok((kept(kernel)?, initrd))
}

/// Keeps the file. Its path.
fn kept(draft: Draft) -> Result<String, String> {
    let path = draft.keep().map_err(|error| format!("Cannot keep a file: {error}"))?;
    Ok(path.display().to_string())
}

fn list(volumes: &[Volume]) -> String {
    let menus = menu::menus(volumes, &mut Vec::new());
    let first = menus.into_iter().find(|menu| !menu.config.entries.is_empty());
    let mut entries = first.map(|menu| menu.config.entries).unwrap_or_default();
    entries.sort_by_key(|entry| entry.number);
    let one = |entry: &Entry| {
        let initrd = if entry.initrds.is_empty() { "None".into() } else { entry.initrds.join(" ") };
        let Entry { title, kernel, arguments, .. } = entry;
        format!(
            "title: {title}\n  root: None\n  kernel: {kernel}\n  args: {arguments}\n  initrd: {initrd}\n"
        )
    };
    entries.iter().map(one).collect()
}

/// `--isconfig`: what the text of a menu would boot.
fn print_config(matches: &ArgMatches, path: &str, uid: u64) -> Result<(), String> {
    let fail = |error: &dyn std::error::Error| with_sources(error);
    let file = LocalFile::open(path.as_ref()).map_err(|error| fail(&error))?;
    confine::become_user(uid)?;
    confine::to_places(Vec::new(), &[], &mut Settings::default())?;
    let bytes = read_whole(&file, CONFIG_LIMIT).map_err(|error| fail(&error))?;
    let bytes = bytes.ok_or_else(|| format!("{path} is longer than {CONFIG_LIMIT} bytes"))?;
    let text_of = String::from_utf8_lossy(&bytes);
    let begins = |word: &str| {
        text_of.lines().any(|line| line.trim_start().to_ascii_lowercase().starts_with(word))
    };
    let loader = match () {
        () if begins("menuentry") => Loader::Grub,
        () if begins("title") => Loader::GrubLegacy,
        () if begins("label ") => Loader::Syslinux,
        () if begins("image") => Loader::Elilo,
        () => Loader::Grub,
    };
    let config = BootConfig::of_text(&Alone, TreePath::new(path), loader, &text_of);
    let wanted = text(matches, "entry").and_then(|entry| config.entry(entry));
    let entry = wanted.or(config.entries.first());
    let entry = entry.ok_or_else(|| format!("{path} has no entry that boots a kernel"))?;
    let args = arguments(entry, text(matches, "args").unwrap_or_default());
    let mut text = format!("  kernel: {}\n", entry.kernel);
    if !entry.initrds.is_empty() {
        text += &format!("  initrd: {}\n", entry.initrds.join(" "));
    }
    text += &format!("  args: {args}\n");
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}

/// What is around a text that stands alone: nothing.
#[derive(Debug)]
struct Alone;

impl FileTree for Alone {
    fn name(&self) -> &'static str {
        "nothing"
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<storage::Entry>, location::FileError> {
        Err(location::FileError::Missing(directory.to_string()))
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, location::FileError> {
        Err(location::FileError::Missing(path.to_string()))
    }
}
