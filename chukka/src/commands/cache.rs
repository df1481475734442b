//! `chukka cache`: the download cache.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use location::fetch::CacheEntry;
use location::fetch::cache::{self, Cache};

use super::{answer, fail};
use vmm::config::Size;

const DAY: u64 = 86_400;

const AFTER: &str = "\
The cache holds what -location and chukka fetch download. Cached answers are trusted for one hour; after
that chukka asks the server whether they have changed. You can delete anything in the cache at any time.";

/// `chukka cache list`, `prune`, `path`.
pub(super) fn command() -> Command {
    let prune = Command::new("prune")
        .about("Remove partial downloads and files that no entry uses any more")
        .arg(
            Arg::new("older-than")
                .long("older-than")
                .value_name("DAYS")
                .value_parser(value_parser!(u32))
                .help("Also remove entries unused for DAYS days"),
        )
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .conflicts_with("older-than")
                .help("Remove everything that is not in use"),
        );
    Command::new("chukka cache")
        .bin_name("chukka cache")
        .about("List, prune or locate the download cache")
        .after_help(AFTER)
        .subcommand_required(true)
        .arg(
            Arg::new("cache")
                .long("cache")
                .global(true)
                .value_name("DIR")
                .value_parser(ValueParser::path_buf())
                .help("Cache directory [default: $XDG_CACHE_HOME/chukka or ~/.cache/chukka]"),
        )
        .subcommand(Command::new("list").about("List the files: size, age, origin and path"))
        .subcommand(prune)
        .subcommand(Command::new("path").about("Print the cache directory"))
}

/// Runs it.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let named = matches.get_one::<PathBuf>("cache").cloned();
    let Some(directory) = named.or_else(cache::directory) else {
        return fail(
            "No cache directory: neither XDG_CACHE_HOME nor HOME is set",
            "name one: --cache DIR",
        );
    };
    let path = format!("{}\n", directory.display());
    match done(matches, directory) {
        Ok(None) => answer(&path),
        Ok(Some(text)) => answer(&text),
        Err(error) => fail(
            &format!("The cache cannot be used: {error}"),
            "check that the directory is yours and writable, or name another: --cache DIR",
        ),
    }
}

/// What to print; `None` for the directory.
fn done(matches: &ArgMatches, directory: PathBuf) -> io::Result<Option<String>> {
    Ok(match matches.subcommand() {
        Some(("list", _)) => Some(list(&Cache::open(directory)?.list()?)),
        Some(("prune", matches)) => {
            let days = matches.get_one::<u32>("older-than").map(|days| u64::from(*days) * DAY);
            let days = if matches.get_flag("all") { Some(0) } else { days };
            let pruned = Cache::open(directory)?.prune(days.map(Duration::from_secs))?;
            let files = if pruned.files == 1 { "file" } else { "files" };
            let mut text = format!("removed {} {files}, {}", pruned.files, Size(pruned.bytes));
            if pruned.in_use > 0 {
                text += &format!("; {} in use, left", pruned.in_use);
            }
            Some(text + "\n")
        }
        _ => None,
    })
}

fn list(all: &[CacheEntry]) -> String {
    let mut text = String::new();
    for CacheEntry { place, path, here, of, age, .. } in all {
        let size = match of {
            Some(of) => format!("{} of {}", Size(*here), Size(*of)),
            None => Size(*here).to_string(),
        };
        // A server's file names must not control the terminal.
        let path = if path == "/" { String::new() } else { format!(" {}", path.escape_debug()) };
        text += &format!("{size:>16}  {:>7}  {place}{path}\n", ago(*age));
    }
    // Identical files are stored once.
    let distinct: BTreeMap<_, _> = all.iter().map(|kept| (&kept.file, kept.here)).collect();
    let (total, count) = (distinct.values().sum(), distinct.len());
    let files = if count == 1 { "file" } else { "files" };
    text + &format!("{:>16}  in {count} {files}\n", Size(total).to_string())
}

/// How long ago, in the largest unit there is one of.
fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    let units = [(DAY, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let unit = units.into_iter().find(|(unit, _)| seconds >= *unit);
    unit.map_or("now".into(), |(unit, name)| format!("{} {name}", seconds / unit))
}
