//! `chukka bootloader`: what a disk's own boot menu has, and what one of its entries boots.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use location::fetch::Settings;
use location::menu::{self, Choice, Entry, Picked, Volume};
use location::{Fetcher, Place, RandomAccess};
use serde_json::json;

use super::xen_output::{Answer, Draft, Format, atom, output, quoted};
use super::{confine, fail};
use crate::report::{self, with_sources};
use vmm::host::printable::printable;

/// Why it cannot be done, and what the user can do about it.
type Problem = (String, &'static str);

/// `chukka bootloader [OPTION]… DISK`.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    match answer(matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err((problem, hint)) => fail(&problem, hint),
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
    let place = Place::parse(disk.as_ref()).map_err(|error| (error.to_string(), error.hint()))?;
    let file = get("output").filter(|path| !matches!(*path, "" | "-"));
    let written: Vec<_> =
        [file, get("output-directory")].into_iter().flatten().map(Path::new).collect();
    let mut settings = Settings::default();
    confine::to_places(vec![place.clone()], &written, &mut settings).map_err(|problem| {
        (problem, "use a host kernel with seccomp filters (CONFIG_SECCOMP_FILTER), and a container that permits them")
    })?;
    let volumes = menu::volumes(&Fetcher::new(settings), &place);
    let volumes = volumes.map_err(|error| {
        let hint = error.hint();
        (format!("The disk cannot be used: {}", with_sources(&error.into_problem())), hint)
    })?;
    let format = get("output-format").unwrap_or("text");
    let text = if matches.get_count("list") > 0 {
        list(&volumes, format)?
    } else {
        let chosen = choose(
            &volumes,
            get("entry").unwrap_or_default(),
            get("kernel"),
            get("initrd"),
            get("args"),
        )?;
        hand_out(chosen, get("output-directory").map(Path::new), format)?
    };
    let path = get("output");
    let opened = output(path).map_err(|error| cannot("open", path.unwrap_or_default(), &error))?;
    write(opened, &text).map_err(|error| cannot("write", path.unwrap_or("the answer"), &error))
}

fn write(mut output: Box<dyn io::Write>, text: &str) -> io::Result<()> {
    output.write_all(text.as_bytes())?;
    output.flush()
}

fn cannot(what: &str, path: &str, error: &io::Error) -> Problem {
    (
        format!("Cannot {what} {path}: {error}"),
        "check that it exists and is writable, and that the disk is not full",
    )
}

/// All entries of all menus, by their numbers.
fn list(volumes: &[Volume], format: &str) -> Result<String, Problem> {
    let mut attempts = Vec::new();
    let menus = menu::menus(volumes, &mut attempts);
    menu::require_entries(&menus, attempts).map_err(|error| (error.to_string(), error.hint()))?;
    let warnings = menus.iter().flat_map(|menu| menu.warnings());
    let warnings = warnings.map(|warning| format!("{}: {}", warning.what, warning.found));
    let warnings: Vec<_> = warnings.collect();
    report::warnings(&warnings);
    let mut text = String::new();
    let mut all = Vec::new();
    for menu in &menus {
        let place = format!("{}/{}", menu.volume.name, menu.config.path);
        let mut entries: Vec<_> = menu.config.entries.iter().collect();
        entries.sort_by_key(|entry| entry.number);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", printable(&place));
        for entry in entries {
            let default = if entry.is_default { " (default)" } else { "" };
            let by = match entry.hypervisor.as_str() {
                "" => String::new(),
                name => format!(" (by the hypervisor {})", printable(name)),
            };
            let _ = writeln!(text, "{:4}  {}{default}{by}", entry.number, printable(&entry.title));
            let _ = writeln!(
                text,
                "      {} {}",
                printable(&entry.kernel),
                printable(&entry.arguments)
            );
            if !entry.initrds.is_empty() {
                let _ = writeln!(text, "      {}", printable(&entry.initrds.join(" ")));
            }
            all.push(described(entry, &place));
        }
    }
    if format == "json" {
        text = report::json(&json!({ "entries": all, "warnings": warnings }));
    }
    Ok(text)
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

struct Chosen {
    entry: Entry,
    /// What in the menu was not as it should be.
    warnings: Vec<String>,
    place: String,
    kernel: Box<dyn RandomAccess>,
    initrd: Option<Box<dyn RandomAccess>>,
}

fn choose(
    volumes: &[Volume],
    entry: &str,
    kernel: Option<&str>,
    initrd: Option<&str>,
    args: Option<&str>,
) -> Result<Chosen, Problem> {
    let named = |path: &str| {
        let missing = "--kernel and --initrd name files on the disk";
        menu::named(volumes, path).map_err(|error| (with_sources(&error), missing))
    };
    let mut chosen = match kernel {
        Some(path) => {
            let (volume, kernel) = named(path)?;
            let place = volumes.get(volume).map(|volume| volume.name.clone()).unwrap_or_default();
            let entry = Entry { kernel: path.into(), ..Entry::default() };
            Chosen { entry, warnings: Vec::new(), place, kernel, initrd: None }
        }
        None => {
            let picked = menu::pick(volumes, &Choice::of(entry));
            let (picked, _) = picked.map_err(|error| (error.to_string(), error.hint()))?;
            report::warnings(&picked.warnings);
            let joined = menu::joined(picked.initrds);
            let initrd = joined.map_err(|error| cannot("read", "the initrds", &error))?;
            let Picked { entry, warnings, place, kernel, .. } = picked;
            Chosen { entry, warnings, place, kernel, initrd }
        }
    };
    if let Some(path) = initrd {
        chosen.entry.initrds = vec![path.to_owned()];
        chosen.initrd = Some(named(path)?.1);
    }
    let words = [chosen.entry.arguments.as_str(), args.unwrap_or_default()].join(" ");
    chosen.entry.arguments = words.trim().to_owned();
    Ok(chosen)
}

fn hand_out(chosen: Chosen, directory: Option<&Path>, format: &str) -> Result<String, Problem> {
    let Chosen { entry, warnings, place, kernel, initrd } = chosen;
    let mut paths = [entry.kernel.clone(), entry.initrds.join(" ")];
    if let Some(directory) = directory {
        let copy = |prefix: &str, file: &dyn RandomAccess| {
            let mut draft = Draft::new(directory, prefix)?;
            draft.fill(file)?;
            Ok(draft)
        };
        let failed =
            |error: io::Error| cannot("write into", &directory.display().to_string(), &error);
        let made = fs::create_dir_all(directory).and_then(|()| copy("boot_kernel.", &*kernel));
        let kernel = made.map_err(failed)?;
        let initrd =
            initrd.map(|initrd| copy("boot_ramdisk.", &*initrd)).transpose().map_err(failed)?;
        let path = |path: PathBuf| path.display().to_string();
        let initrd = initrd.map(Draft::keep).transpose().map_err(failed)?;
        paths = [path(kernel.keep().map_err(failed)?), initrd.map(path).unwrap_or_default()];
    }
    let [kernel, ramdisk] = paths.each_ref().map(String::as_str);
    let args = entry.arguments.as_str();
    if let Some(format) = Format::parse(format) {
        let answer = Answer { kernel, ramdisk: (!ramdisk.is_empty()).then_some(ramdisk), args };
        let text = answer.text(format, atom, quoted);
        return text.map_err(|problem| (problem.into(), "use another --output-format"));
    }
    if format == "json" {
        let mut all = described(&entry, &place);
        all["kernel"] = json!(kernel);
        all["initrd"] = if ramdisk.is_empty() { json!(null) } else { json!(ramdisk) };
        all["warnings"] = json!(warnings);
        return Ok(report::json(&all));
    }
    let mut text = format!("menu          {}\n", printable(&place));
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
