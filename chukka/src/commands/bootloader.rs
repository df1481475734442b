//! `chukka bootloader`: what a disk's own boot menu has, and what one of its entries boots.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use firmware::SourceFile;
use location::Place;
use location::menu::{Choice, Entry};
use serde_json::json;

use super::xen_output::{Answer, Draft, Format, atom, output, quoted};
use super::{fail, failed};
use crate::error::{ResolveError, RunError};
use crate::progress::Progress;
use crate::reader::ReaderError;
use crate::report;
use crate::resolve::{self, ChooseBy, Chosen, Job, MenuAnswer, MenuQuery};
use vmm::host::printable::printable;

/// Why it cannot be done.
enum Problem {
    /// The disk cannot be read, or has nothing of the kind.
    Read(RunError),
    /// Something else, and what the user can do about it.
    Other(String, &'static str),
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        Self::Read(error)
    }
}

/// `chukka bootloader [OPTION]… DISK`.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    match answer(matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Read(error)) => failed(&error),
        Err(Problem::Other(problem, hint)) => fail(&problem, hint),
    }
}

pub(super) fn command() -> Command {
    let value = |name: &'static str, metavar: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(metavar).help(help).allow_hyphen_values(true)
    };
    let formats = PossibleValuesParser::new(["text", "json", "sxp", "simple", "simple0"]);
    Command::new("chukka bootloader")
        .about("Read a disk's boot menu, and copy out the kernel and initrd of an entry")
        .arg(
            Arg::new("disk")
                .value_name("DISK")
                .required(true)
                .help("An image, a block device or a directory"),
        )
        .arg(
            Arg::new("list")
                .long("list")
                .short('l')
                .action(ArgAction::Count)
                .help("List the entries"),
        )
        .arg(
            value("entry", "ENTRY", "The entry: its number, title or id; default or saved")
                .default_value("default"),
        )
        .arg(value("kernel", "PATH", "Take this kernel from the disk instead of the menu's"))
        .arg(value("initrd", "PATH", "Take this initrd from the disk instead of the menu's"))
        .arg(value("args", "TEXT", "Append this to the entry's kernel command line"))
        .arg(value("output", "FILE", "Write the answer into this existing file"))
        .arg(
            value("output-format", "FORMAT", "The format of the answer")
                .value_parser(formats)
                .default_value("text"),
        )
        .arg(value(
            "output-directory",
            "DIR",
            "Copy kernel and initrd into this directory, and name the copies in the answer",
        ))
}

fn answer(matches: &ArgMatches) -> Result<(), Problem> {
    let get = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let disk = get("disk").unwrap_or_default();
    let place = Place::parse(disk.as_ref())
        .map_err(|error| Problem::Other(error.to_string(), error.hint()))?;
    let directory = get("output-directory").map(Path::new);
    let is_list = matches.get_count("list") > 0;
    let query = match is_list {
        false => MenuQuery::Choose {
            by: match get("kernel") {
                Some(path) => ChooseBy::Kernel(path.to_owned()),
                None => ChooseBy::Entry(vec![Choice::of(get("entry").unwrap_or_default())]),
            },
            initrd: get("initrd").map(Into::into),
            with_files: directory.is_some(),
        },
        true => MenuQuery::List,
    };
    let opened = resolve::read(Job::of_menu(place, None, query), Progress::new())?;
    let mut copies = [None, None];
    let format = get("output-format").unwrap_or("text");
    let text = match opened.menu {
        Some(MenuAnswer::List { menus, warnings }) if is_list => list(&menus, &warnings, format),
        _ => {
            let answer = opened.chosen(directory.is_some());
            let (mut chosen, [kernel, initrd]) = answer.map_err(failed_reader)?;
            report::warnings(&chosen.warnings);
            let words = [chosen.entry.arguments.as_str(), get("args").unwrap_or_default()];
            chosen.entry.arguments = words.join(" ").trim().to_owned();
            if let Some(directory) = directory {
                let copy = |file: Option<SourceFile>, prefix| {
                    file.map(|file| Draft::filled(directory, prefix, &file)).transpose()
                };
                let made = fs::create_dir_all(directory).and_then(|()| {
                    let kernel = copy(kernel, "boot_kernel.")?;
                    Ok([kernel, copy(initrd, "boot_ramdisk.")?])
                });
                let failed = |error| cannot("write into", &directory.display().to_string(), &error);
                copies = made.map_err(failed)?;
            }
            let paths = match directory {
                None => {
                    let mut initrds = chosen.entry.initrds.join(" ");
                    let for_programs = Format::parse(format).is_some();
                    if initrds.is_empty() && chosen.has_initrd && !for_programs {
                        // That of a unified kernel image.
                        initrds = format!("{}:.initrd", chosen.entry.kernel);
                    }
                    [chosen.entry.kernel.clone(), initrds]
                }
                Some(_) => copies.each_ref().map(|copy| {
                    let path = copy.as_ref().map(|copy| copy.path().display().to_string());
                    path.unwrap_or_default()
                }),
            };
            shown(&chosen, &paths, format)?
        }
    };
    let path = get("output");
    let opened = output(path).map_err(|error| cannot("open", path.unwrap_or_default(), &error))?;
    write(opened, &text).map_err(|error| cannot("write", path.unwrap_or("the answer"), &error))?;
    let kept = copies.into_iter().flatten().try_for_each(Draft::keep);
    kept.map_err(|problem| Problem::Other(problem, "check the file system of the output directory"))
}

fn failed_reader(error: ReaderError) -> Problem {
    Problem::Read(ResolveError::from(error).into())
}

fn write(mut output: Box<dyn io::Write>, text: &str) -> io::Result<()> {
    output.write_all(text.as_bytes())?;
    output.flush()
}

fn cannot(what: &str, path: &str, error: &io::Error) -> Problem {
    Problem::Other(
        format!("Cannot {what} {path}: {error}"),
        "check that it exists and is writable, and that the disk is not full",
    )
}

/// All entries of all menus, by their numbers.
fn list(menus: &[(String, Vec<Entry>)], warnings: &[String], format: &str) -> String {
    report::warnings(warnings);
    let mut text = String::new();
    let mut all = Vec::new();
    for (place, entries) in menus {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", printable(place));
        for entry in entries {
            let default = if entry.is_default { " (default)" } else { "" };
            let by = match entry.hypervisor.as_str() {
                "" => String::new(),
                name => format!(" (by the hypervisor {})", printable(name)),
            };
            let _ = writeln!(text, "{:4}  {}{default}{by}", entry.number, printable(&entry.title));
            let kernel = format!("{} {}", entry.kernel, entry.arguments);
            for line in [kernel.trim_end(), &entry.initrds.join(" ")] {
                if !line.is_empty() {
                    let _ = writeln!(text, "      {}", printable(line));
                }
            }
            all.push(described(entry, place));
        }
    }
    if format == "json" {
        text = report::json(&json!({ "entries": all, "warnings": warnings }));
    }
    text
}

fn described(entry: &Entry, place: &str) -> serde_json::Value {
    json!({
        "menu": place,
        "number": entry.number,
        "title": entry.title,
        "id": entry.id(),
        "default": entry.is_default,
        "kernel": entry.kernel,
        "initrds": entry.initrds,
        "arguments": entry.arguments,
        "hypervisor": entry.hypervisor,
    })
}

/// What is booted. The paths are those of the kernel and the initrd, which is empty if there is
/// none.
fn shown(chosen: &Chosen, paths: &[String; 2], format: &str) -> Result<String, Problem> {
    let Chosen { entry, warnings, place, .. } = chosen;
    let [kernel, ramdisk] = paths.each_ref().map(String::as_str);
    let args = entry.arguments.as_str();
    if let Some(format) = Format::parse(format) {
        let answer = Answer { kernel, ramdisk: (!ramdisk.is_empty()).then_some(ramdisk), args };
        let text = answer.text(format, atom, quoted);
        return text
            .map_err(|problem| Problem::Other(problem.into(), "use another --output-format"));
    }
    if format == "json" {
        let mut all = described(entry, place);
        all["kernel"] = json!(kernel);
        all["initrd"] = if ramdisk.is_empty() { json!(null) } else { json!(ramdisk) };
        all["warnings"] = json!(warnings);
        return Ok(report::json(&all));
    }
    let mut text = format!("menu          {}\n", printable(place));
    for (heading, value) in [
        ("entry", entry.title.as_str()),
        ("kernel", kernel),
        ("initrd", ramdisk),
        ("command line", args),
    ] {
        if !value.is_empty() {
            let _ = writeln!(text, "{heading:14}{}", printable(value));
        }
    }
    Ok(text)
}
