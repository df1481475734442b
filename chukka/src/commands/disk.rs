//! `chukka disk`: images of disks, without QEMU's tools.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};
use storage::disk::{self, CheckReport, DiskError, DiskFormat, DiskInfo};
use vmm::config::Size;

use super::{answer, failed};
use crate::args::disk_bytes;

/// As of qemu-img check.
const CORRUPT: u8 = 2;
const LEAKS: u8 = 3;

const AFTER: &str = "\
The status of check is 0 if nothing is wrong, 2 if data may be lost, 3 if only space is lost, and 125 if
the image cannot be checked. The same numbers as those of qemu-img check, but for the last.";

/// `chukka disk create`, `info`, `check`, `resize`.
pub(super) fn command() -> Command {
    let file = || {
        Arg::new("file")
            .value_name("FILE")
            .required(true)
            .value_parser(ValueParser::path_buf())
            .help("The image")
    };
    let size =
        |help| Arg::new("size").value_name("SIZE").required(true).value_parser(bytes).help(help);
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let format = |help| {
        Arg::new("format")
            .long("format")
            .value_name("FORMAT")
            .value_parser(["raw", "qcow2"])
            .help(help)
    };
    const PROBED: &str = "The image's format [default: what it begins with]";
    let create = Command::new("create")
        .about("Create the image of an empty disk")
        .arg(file())
        .arg(size("The size of the disk: 20G"))
        .arg(format("[default: qcow2 if FILE ends in .qcow2, otherwise raw]"))
        .arg(json());
    let info = Command::new("info")
        .about("Print format and size of an image")
        .arg(file())
        .arg(format(PROBED))
        .arg(json());
    let check = Command::new("check")
        .about("Look for contradictions in the tables of a qcow2 image")
        .arg(file())
        .arg(format(PROBED))
        .arg(json());
    let resize = Command::new("resize")
        .about("Make a disk larger; partitions and file systems on it stay as they are")
        .arg(file())
        .arg(size("The new size: 40G"))
        .arg(format(PROBED))
        .arg(json());
    Command::new("chukka disk")
        .bin_name("chukka disk")
        .about("Create, describe, check or enlarge the image of a disk")
        .after_help(AFTER)
        .subcommand_required(true)
        .subcommand(create)
        .subcommand(info)
        .subcommand(check)
        .subcommand(resize)
}

fn bytes(text: &str) -> Result<u64, &'static str> {
    disk_bytes(text).ok_or("expected a size with a unit, such as 20G")
}

/// Runs it.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let Some((name, matches)) = matches.subcommand() else { return ExitCode::FAILURE };
    let path = matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
    let format = matches.get_one::<String>("format").and_then(|name| DiskFormat::by_name(name));
    let size = || matches.get_one::<u64>("size").copied().unwrap_or_default();
    let done = match name {
        "create" => {
            disk::create(&path, format.unwrap_or_else(|| DiskFormat::for_name(&path)), size())
                .and_then(|()| about(&path, format))
        }
        "resize" => disk::resize(&path, format, size()).and_then(|()| about(&path, format)),
        "check" => checked(&path, format),
        _ => about(&path, format),
    };
    match done {
        Ok(Done { text, json, status }) => {
            let text = if matches.get_flag("json") { format!("{json:#}\n") } else { text };
            answer(&text);
            ExitCode::from(status)
        }
        Err(error) => failed(&error.into()),
    }
}

/// What to print, in words and as JSON, and the status.
struct Done {
    text: String,
    json: Value,
    status: u8,
}

fn about(path: &Path, format: Option<DiskFormat>) -> Result<Done, DiskError> {
    let DiskInfo { format, size, allocated, qcow2 } = disk::info(path, format)?;
    let mut text = format!(
        "'{}' is a {} image of a disk of {}; it takes {} on this host\n",
        path.display(),
        format.name(),
        Size(size),
        Size(allocated)
    );
    let mut json = json!({
        "file": path.display().to_string(),
        "format": format.name(),
        "size": size,
        "allocated": allocated,
    });
    if let Some(about) = qcow2 {
        text += &format!("version {}, clusters of {}\n", about.version, Size(about.cluster));
        let (backing, backing_format) = about.backing.unzip();
        let backing_format = backing_format.flatten();
        if let Some(backing) = &backing {
            let format = backing_format.as_deref().unwrap_or("a format that it does not name");
            text += &format!("based on '{}' ({})\n", backing.escape_debug(), format.escape_debug());
        }
        if about.snapshots > 0 {
            text += &format!("internal snapshots: {}\n", about.snapshots);
        }
        if about.is_dirty {
            text += "not closed: its reference counts are corrected when it is next written to\n";
        }
        json["qcow2"] = json!({
            "version": about.version,
            "cluster_size": about.cluster,
            "backing_file": backing,
            "backing_format": backing_format,
            "snapshots": about.snapshots,
            "dirty": about.is_dirty,
        });
    }
    Ok(Done { text, json, status: 0 })
}

fn checked(path: &Path, format: Option<DiskFormat>) -> Result<Done, DiskError> {
    let shown = path.display();
    let Some(report) = disk::check(path, format)? else {
        let text = format!("'{shown}' is a raw image, which has no tables to check\n");
        let json = json!({ "file": shown.to_string(), "format": "raw" });
        return Ok(Done { text, json, status: 0 });
    };
    let CheckReport { leaks, corruptions, allocated, compressed, described } = report;
    let mut text = match (corruptions, leaks) {
        (0, 0) => format!("'{shown}': nothing is wrong\n"),
        (0, leaks) => format!(
            "'{shown}': {leaks} clusters are lost: they take space, and no data is affected\n"
        ),
        (corruptions, _) => format!("'{shown}': {corruptions} contradictions; data may be lost\n"),
    };
    for problem in &described {
        text += &format!("  {problem}\n");
    }
    if (described.len() as u64) < corruptions {
        text += "  and others\n";
    }
    if corruptions > 0 {
        text += "make a copy, then repair it: qemu-img check -r all\n";
    }
    text += &format!("clusters in use: {allocated}, compressed: {compressed}\n");
    let json = json!({
        "file": shown.to_string(),
        "format": "qcow2",
        "leaks": leaks,
        "corruptions": corruptions,
        "allocated_clusters": allocated,
        "compressed_clusters": compressed,
        "problems": described,
    });
    let status = match (corruptions, leaks) {
        (0, 0) => 0,
        (0, _) => LEAKS,
        _ => CORRUPT,
    };
    Ok(Done { text, json, status })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<Done, DiskError> {
        let matches = command().no_binary_name(true).try_get_matches_from(words).unwrap();
        let (name, matches) = matches.subcommand().unwrap();
        let path = matches.get_one::<PathBuf>("file").unwrap();
        match name {
            "check" => checked(path, None),
            _ => about(path, None),
        }
    }

    #[test]
    fn images_are_described_in_words_and_as_json() {
        let path = std::env::temp_dir().join(format!("chukka-disk-{}.qcow2", std::process::id()));
        let name = path.to_str().unwrap();
        disk::create(&path, DiskFormat::for_name(&path), 20 << 30).unwrap();
        let info = run(&["info", name]).unwrap();
        assert!(info.text.contains("is a qcow2 image of a disk of 20G"), "{}", info.text);
        assert!(info.text.contains("version 3, clusters of 64K"), "{}", info.text);
        assert_eq!(info.json["size"], 20u64 << 30);
        assert_eq!(info.json["qcow2"]["backing_file"], Value::Null);
        let check = run(&["check", name]).unwrap();
        assert!(check.text.contains("nothing is wrong"), "{}", check.text);
        assert_eq!((&check.json["leaks"], check.status), (&json!(0), 0));
        // The reference count of the last cluster, and of one that is not used.
        let mut image = std::fs::read(&path).unwrap();
        image[0x2_0000 + 2 * 2 + 1] = 2;
        std::fs::write(&path, &image).unwrap();
        let check = run(&["check", name]).unwrap();
        assert!(check.text.contains("1 clusters are lost"), "{}", check.text);
        assert_eq!(check.status, LEAKS);
        image[0x2_0000 + 1] = 0;
        std::fs::write(&path, &image).unwrap();
        let check = run(&["check", name]).unwrap();
        let text = "cluster 0 is used 1 times, its reference count is 0";
        assert!(check.text.contains(text), "{}", check.text);
        assert_eq!(check.status, CORRUPT);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn sizes_have_units() {
        for (size, is_right) in [("20G", true), ("20", false), ("700b", false), ("0G", false)] {
            let words = ["create", "x", size];
            let matches = command().no_binary_name(true).try_get_matches_from(words);
            assert_eq!(matches.is_ok(), is_right, "{size}");
        }
    }
}
