//! `chukka fetch`: kernel, initrd and command line of a place, for whoever boots them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use firmware::SourceFile;
use location::Place;
use location::fetch::Keep;
use serde_json::json;

use super::{answer, failed, parsed};
use crate::cli::{CliError, fetching};
use crate::config::{Answers, BootFiles, BootSource, Injection};
use crate::error::StartError;
use crate::gather::Gathered;
use crate::plan;

const AFTER: &str = "\
LOCATION is what -location takes: a directory, an image or a URL. What is fetched is kept, see chukka cache --help.

Examples:
  chukka fetch http://deb.debian.org/debian/dists/stable/main/installer-amd64/
  chukka fetch --preseed preseed.cfg --output /srv/boot --format json LOCATION";

/// `chukka fetch LOCATION`.
pub(super) fn run(args: &[OsString]) -> ExitCode {
    let matches = match parsed(command(), args) {
        Ok(matches) => matches,
        Err(status) => return status,
    };
    match fetched(&matches) {
        Ok(text) => answer(&text),
        Err(error) => failed(&error),
    }
}

fn command() -> Command {
    let value = |name: &'static str, of: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(of).help(help).value_parser(ValueParser::os_string())
    };
    let path = |name, help| value(name, "FILE", help).value_parser(ValueParser::path_buf());
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    Command::new("chukka fetch")
        .about(
            "Finds kernel and initrd in a place and gets them onto this host, without booting them",
        )
        .after_help(AFTER)
        .arg(
            Arg::new("location")
                .value_name("LOCATION")
                .required(true)
                .value_parser(ValueParser::os_string())
                .help("Where to look"),
        )
        .args([
            path("kernel", "The kernel, a path in LOCATION"),
            path("initrd", "The initrd, a path in LOCATION"),
            value("append", "TEXT", "Words for the kernel's command line").alias("args"),
            path("initrd-inject", "Put FILE into the initrd's root; repeatable")
                .action(ArgAction::Append),
            path("preseed", "The same, and have Debian's installer read it"),
            path("kickstart", "The same, and have Fedora's or RHEL's read it"),
            value("output", "DIR", "Copy kernel and initrd there, under their names")
                .value_parser(ValueParser::path_buf()),
            value("format", "FORMAT", "What to print")
                .value_parser(["text", "json"])
                .default_value("text"),
            switch("dry-run", "Only say what was found, where and by which rule"),
            switch("offline", "Fetch nothing: use what earlier runs have kept"),
            switch("refresh", "Nothing that is kept counts").conflicts_with("offline"),
            value("timeout", "SECONDS", "Give up when no byte came for so long [default: 30]")
                .value_parser(value_parser!(String)),
            value("retries", "N", "Try again so often [default: 3]")
                .value_parser(value_parser!(u32).range(0..=100)),
            value("limit", "SIZE", "The largest file to fetch [default: 4G]")
                .value_parser(value_parser!(String)),
            value("cache", "DIR", "Keep things there, or not at all: off")
                .value_parser(ValueParser::path_buf()),
            value("checksum", "SUM", "sha256:HEX of the kernel; initrd=sha256:HEX; repeatable")
                .value_parser(value_parser!(String))
                .action(ArgAction::Append),
        ])
}

fn fetched(matches: &ArgMatches) -> Result<String, StartError> {
    let gathered = Gathered::open(&source(matches)?)?;
    if matches.get_flag("dry-run") {
        return Ok(plan::of(&gathered));
    }
    if let Some(advice) = &gathered.advice {
        eprintln!("chukka: warning: {advice}");
    }
    let directory = matches.get_one::<PathBuf>("output").map(PathBuf::as_path);
    let kernel = &gathered.boot.kernel.source;
    let kernel = placed(kernel, kernel.path(), directory, "kernel")?;
    let initrd = match (&gathered.boot.initrd, &gathered.initrd_name) {
        (Some(initrd), Some(name)) => Some(placed(initrd, name, directory, "initrd")?),
        (Some(initrd), None) => Some(placed(initrd, Path::new("initrd"), directory, "initrd")?),
        (None, _) => None,
    };
    let args = String::from_utf8_lossy(&gathered.boot.cmdline);
    if matches.get_one::<String>("format").is_some_and(|format| format == "json") {
        let rule = gathered.found.as_ref().map(|found| &found.rule);
        let value = json!({ "kernel": kernel, "initrd": initrd, "args": args, "found": rule });
        return Ok(format!("{value:#}\n"));
    }
    let initrd = initrd.map(|path| format!("initrd {}\n", path.display())).unwrap_or_default();
    Ok(format!("kernel {}\n{initrd}args {args}\n", kernel.display()))
}

/// What the arguments say, as [`crate::cli`] has it.
fn source(matches: &ArgMatches) -> Result<BootSource, StartError> {
    let bytes = |name: &str| matches.get_one::<OsString>(name).cloned().unwrap_or_default();
    let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
    let place = Place::parse(&bytes("location")).map_err(CliError::from)?;
    let files = BootFiles::Location { place, kernel: path("kernel"), initrd: path("initrd") };
    let mut injections = Vec::new();
    for (option, answers) in [
        ("initrd-inject", Answers::None),
        ("preseed", Answers::Preseed),
        ("kickstart", Answers::Kickstart),
    ] {
        let paths = matches.get_many::<PathBuf>(option).into_iter().flatten().cloned();
        injections.extend(paths.map(|path| Injection { path, answers }));
    }
    let mut fetch = location::fetch::Settings {
        offline: matches.get_flag("offline"),
        refresh: matches.get_flag("refresh"),
        ..Default::default()
    };
    let text = |name: &str| matches.get_one::<String>(name);
    if let Some(given) = text("timeout") {
        let bad = || CliError::bad(format!("--timeout {given}"), "seconds, 1 to 86400");
        fetch.net.idle = fetching::timeout(given).ok_or_else(bad)?;
    }
    if let Some(given) = text("limit") {
        let bad = || CliError::bad(format!("--limit {given}"), "a size, such as 8G");
        fetching::set_limit(&mut fetch, fetching::limit(given).ok_or_else(bad)?);
    }
    if let Some(retries) = matches.get_one::<u32>("retries") {
        fetch.net.retries = *retries;
    }
    fetch.cache = match path("cache") {
        None => Keep::Usual,
        Some(path) if path == Path::new("off") => Keep::No,
        Some(path) => Keep::In(fetching::absolute(&path)?),
    };
    let sums = matches.get_many::<String>("checksum").into_iter().flatten();
    let checksums = sums.map(|sum| fetching::checksum(sum)).collect::<Result<_, _>>()?;
    let cmdline = bytes("append").into_vec();
    Ok(BootSource { files, injections, cmdline, fetch, checksums })
}

/// Where the file is, or is copied to.
fn placed(
    file: &SourceFile,
    name: &Path,
    directory: Option<&Path>,
    role: &'static str,
) -> Result<PathBuf, StartError> {
    let Some(directory) = directory else {
        let path = fs::read_link(format!("/proc/self/fd/{}", file.file().as_raw_fd()));
        // A file without a name has one that is not there.
        let path = path.ok().filter(|path| path.exists());
        return path.ok_or(StartError::NoName { role });
    };
    let target = directory.join(name.file_name().unwrap_or(OsStr::new(role)));
    let copied = copy(file.file(), &target);
    copied.map_err(|source| StartError::Output {
        of: "chukka fetch",
        path: target.clone(),
        source,
    })?;
    Ok(target)
}

/// Copies a file; the name is there when all of it is.
fn copy(file: &File, target: &Path) -> io::Result<()> {
    if let Some(directory) = target.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut new = target.as_os_str().to_owned();
    new.push(".new");
    let done = (|| {
        // By a name, so that it is read from its beginning wherever the descriptor is.
        let mut from = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let mut to = File::create(&new)?;
        io::copy(&mut from, &mut to)?;
        to.sync_all()?;
        fs::rename(&new, target)
    })();
    if done.is_err() {
        let _ = fs::remove_file(&new);
    }
    done
}
