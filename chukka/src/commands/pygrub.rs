//! pygrub: what this program does under that name, for Xen's toolstack (tools/pygrub/src/pygrub of
//! Xen, of which it takes the options and writes the output, byte for byte).

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use firmware::SourceFile;
use location::Place;
use location::menu::{self, Attempt, Choice, Entry};

use super::xen_output::{Answer, Draft, Format, output, repr, runas};
use crate::progress::Progress;
use crate::reader::ReaderError;
use crate::report::with_sources;
use crate::resolve::{self, ChooseBy, Chosen, Job, MenuAnswer, MenuQuery, Opened};
use vmm::host::printable::printable;

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
    let (user, offset) = (runas(text(matches, "runas"))?, number("offset")?);
    if user.is_some() && !has(matches, "quiet") && text(matches, "entry").is_none() {
        return Err("In order to use --runas, you must also set --entry or -q".into());
    }
    let place = Place::Local(text(matches, "disk").unwrap_or_default().into());
    if has(matches, "isconfig") {
        let entry = text(matches, "entry").map(Into::into);
        let opened = answered(Job::of_config(place, entry), user)?;
        let (chosen, _) = opened.chosen(false).map_err(|error| with_sources(&error))?;
        return print(&config(&chosen, text(matches, "args").unwrap_or_default()));
    }
    let directory = directory(text(matches, "output-directory"))?;
    let path = text(matches, "output");
    let opened = output(path);
    let mut output =
        opened.map_err(|error| format!("Cannot open {}: {error}", path.unwrap_or_default()))?;
    let mut write = |text: &str| {
        let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        written.map_err(|error| format!("Cannot write the answer: {error}"))
    };
    let (lists, with_files) = (has(matches, "list-entries"), !has(matches, "not-really"));
    let query = if lists { MenuQuery::List } else { query(matches, with_files) };
    let opened = answered(Job::of_menu(place, offset, query), user)?;
    if lists {
        let Some(MenuAnswer::List { menus, warnings }) = opened.menu else {
            return Err(with_sources(&ReaderError::without("answer")));
        };
        warn(&warnings);
        return write(&list(&menus));
    }
    let chosen = opened.chosen(with_files).map_err(|error| with_sources(&error));
    let (chosen, [kernel, initrd]) = chosen?;
    if has(matches, "debug") {
        for Attempt { what, found } in &chosen.attempts {
            say(&format!("{what}: {found}"));
        }
    }
    warn(&chosen.warnings);
    let copy = |file: Option<SourceFile>, prefix, what| {
        let copy = file.map(|file| Draft::filled(directory.as_ref(), prefix, &file)).transpose();
        copy.map_err(|error| format!("Error writing temporary copy of {what}: {error}"))
    };
    let copies =
        [copy(kernel, "boot_kernel.", "kernel")?, copy(initrd, "boot_ramdisk.", "ramdisk")?];
    let initrds = &chosen.entry.initrds;
    let mut names =
        [format!("<kernel:{}>", chosen.entry.kernel), format!("<ramdisk:{}>", initrds.join(" "))];
    for (name, copy) in names.iter_mut().zip(&copies) {
        if let Some(copy) = copy {
            *name = copy.path().display().to_string();
        }
    }
    let [kernel, ramdisk] = &names;
    let ramdisk = chosen.has_initrd.then_some(ramdisk.as_str());
    let args = all_arguments(matches, &chosen.entry);
    write(&Answer { kernel, ramdisk, args: &args }.text(format, repr, repr)?)?;
    copies.into_iter().flatten().try_for_each(Draft::keep)
}

/// What is booted by the options.
fn query(matches: &ArgMatches, with_files: bool) -> MenuQuery {
    match (text(matches, "kernel"), text(matches, "entry")) {
        // The menu does not count, as in pygrub.
        (Some(kernel), _) => MenuQuery::Choose {
            by: ChooseBy::Kernel(kernel.into()),
            initrd: text(matches, "ramdisk").map(Into::into),
            with_files,
        },
        (None, entry) => {
            // As in pygrub, an entry that is not there means the one that is booted unasked.
            let entry = entry.map(|entry| Choice::Entry(entry.into()));
            let choices = entry.into_iter().chain([Choice::Default]).collect();
            MenuQuery::Choose { by: ChooseBy::Entry(choices), initrd: None, with_files }
        }
    }
}

/// Has a process of its own do it, which runs as `user` if one is given.
fn answered(job: Job, user: Option<u32>) -> Result<Opened, String> {
    resolve::read(job.as_user(user), Progress::new()).map_err(|error| with_sources(&error))
}

fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}

fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| say(&format!("pygrub: warning: {warning}")));
}

fn print(text: &str) -> Result<(), String> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
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

/// The kernel's arguments: the entry's and the user's.
fn all_arguments(matches: &ArgMatches, entry: &Entry) -> String {
    let user = text(matches, "args").unwrap_or_default();
    // A kernel that the user names gets the user's only, also Solaris'.
    let own = match text(matches, "kernel") {
        Some(_) => user.to_owned(),
        None => arguments(entry, user),
    };
    let extra = text(matches, "extra_args").unwrap_or_default();
    [own.as_str(), extra].join(" ").trim_end().to_owned()
}

/// The entry's words and, behind a space, the user's.
fn arguments(entry: &Entry, user: &str) -> String {
    if entry.kernel.starts_with("/platform/i86xpv/") {
        return menu::solaris_arguments(&entry.kernel, &format!("{} {user}", entry.arguments));
    }
    match (entry.arguments.as_str(), user) {
        (own, "") => own.to_owned(),
        ("", user) => user.to_owned(),
        (own, user) => format!("{own} {user}"),
    }
}

/// The entries of the first menu that has any.
fn list(menus: &[(String, Vec<Entry>)]) -> String {
    let one = |entry: &Entry| {
        let initrd = if entry.initrds.is_empty() { "None".into() } else { entry.initrds.join(" ") };
        let Entry { title, kernel, arguments, .. } = entry;
        format!(
            "title: {title}\n  root: None\n  kernel: {kernel}\n  args: {arguments}\n  initrd: {initrd}\n"
        )
    };
    let first = menus.iter().find(|(_, entries)| !entries.is_empty());
    first.iter().flat_map(|(_, entries)| entries).map(one).collect()
}

/// `--isconfig`: what the text of a menu would boot.
fn config(chosen: &Chosen, user: &str) -> String {
    let entry = &chosen.entry;
    let mut text = format!("  kernel: {}\n", entry.kernel);
    if !entry.initrds.is_empty() {
        text += &format!("  initrd: {}\n", entry.initrds.join(" "));
    }
    text + &format!("  args: {}\n", arguments(entry, user))
}
