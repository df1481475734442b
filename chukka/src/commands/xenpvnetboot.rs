//! xenpvnetboot: what this program does under that name, for Xen's toolstack
//! (tools/misc/xenpvnetboot of Xen, of which it takes the options and writes the output, byte for
//! byte). Nothing is mounted, and a path never leaves the location.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use firmware::SourceFile;
use location::Place;

use super::xen_output::{Answer, Draft, Format, atom, output, quoted, runas};
use crate::progress::Progress;
use crate::reader::ReaderError;
use crate::report::with_sources;
use crate::resolve::{self, Job};

/// Its options.
pub(super) fn command() -> Command {
    let value = |(name, help): (&'static str, &'static str)| {
        let arg = Arg::new(name).long(name).help(help).action(ArgAction::Set);
        arg.allow_hyphen_values(true).overrides_with(name)
    };
    Command::new("xenpvnetboot")
        .no_binary_name(true)
        .infer_long_args(true)
        .version("version 0.1, by chukka")
        .about("Get boot images from the given location and prepare for Xen to use (chukka as xenpvnetboot)")
        .args(
            [
                ("location", "The base url for kernel and ramdisk files"),
                ("kernel", "The kernel image file"),
                ("ramdisk", "The initial ramdisk file"),
                ("args", "Arguments passed to the kernel"),
                ("output", "Write to this file instead of stdout"),
                ("output-directory", "Output directory"),
                ("output-format", "Output format: sxp, simple or simple0"),
                ("runas", "Read files from other hosts and images as this user: its number"),
            ]
            .map(value),
        )
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::Count).help("Show no progress"))
        .arg(Arg::new("more").action(ArgAction::Append).hide(true))
}

/// Does its work.
///
/// # Errors
/// What it cannot do, as a message.
pub(super) fn answer(matches: &ArgMatches) -> Result<(), String> {
    let get = |name: &str| {
        matches.get_one::<String>(name).map(String::as_str).filter(|text| !text.is_empty())
    };
    let (location, kernel, ramdisk) = (get("location"), get("kernel"), get("ramdisk"));
    if location.is_none() && kernel.is_none() && ramdisk.is_none() {
        return Err(format!(
            "You should at least specify a location or kernel/ramdisk.\n{}",
            command().render_help()
        ));
    }
    let format = get("output-format").unwrap_or("sxp");
    let format = Format::parse(format).ok_or_else(|| format!("Unknown output format: {format}"))?;
    let path = get("output");
    let mut output = output(path)
        .map_err(|error| format!("Cannot open {}: {error}", path.unwrap_or_default()))?;
    let user = runas(get("runas"))?;
    let directory = Path::new(get("output-directory").unwrap_or("/var/run/libxl"));
    let made = DirBuilder::new().recursive(true).mode(0o750).create(directory);
    made.map_err(|error| format!("Cannot make {}: {error}", directory.display()))?;
    let job = job(location, kernel, ramdisk)?;
    let job = job.as_user(user);
    let progress = if matches.get_count("quiet") > 0 { Progress::quiet() } else { Progress::new() };
    let opened = resolve::read(job, progress).map_err(|error| {
        let from = location.map(|location| format!(" from location: {location}"));
        format!("Cannot get kernel{}: {}", from.unwrap_or_default(), with_sources(&error))
    })?;
    let kernel = opened.kernel.ok_or_else(|| ReaderError::without("kernel").to_string())?;
    let kernel = copied(directory, &kernel)?;
    let ramdisk = opened.initrd.map(|file| copied(directory, &file)).transpose()?;
    let name = |draft: &Draft| draft.path().display().to_string();
    let answer = Answer {
        kernel: &name(&kernel),
        ramdisk: ramdisk.as_ref().map(name).as_deref(),
        args: get("args").unwrap_or_default(),
    }
    .text(format, atom, quoted)?;
    let written = output.write_all(answer.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| format!("Cannot write the answer: {error}"))?;
    [Some(kernel), ramdisk].into_iter().flatten().try_for_each(Draft::keep)
}

/// What is found. Without a location, the names are URLs and paths of this host; a URL counts
/// alone, whatever the location is.
fn job(location: Option<&str>, kernel: Option<&str>, ramdisk: Option<&str>) -> Result<Job, String> {
    let Some(location) = location else {
        let alone = |name: &str| Place::parse(name.as_ref()).map_err(|error| error.to_string());
        let kernel = kernel.ok_or("Cannot get kernel: neither --location nor --kernel is given")?;
        return Ok(Job::of_files(alone(kernel)?, ramdisk.map(alone).transpose()?));
    };
    let place = Place::parse(location.as_ref());
    let place = place.map_err(|error| format!("Unsupported location: {location}: {error}"))?;
    Ok(Job::of_tree(place, kernel.map(Into::into), ramdisk.map(Into::into)))
}

/// `xenpvboot.NAME.LETTERS` with the file's bytes.
fn copied(directory: &Path, file: &SourceFile) -> Result<Draft, String> {
    let name = file.path().file_name().unwrap_or_default().to_string_lossy();
    Draft::filled(directory, &format!("xenpvboot.{name}."), file)
        .map_err(|error| format!("Cannot get file {}: {error}", file.path().display()))
}
