//! xenpvnetboot: what this program does under that name, for Xen's toolstack
//! (tools/misc/xenpvnetboot of Xen, of which it takes the options and writes the output, byte for
//! byte). Nothing is mounted, and a path never leaves the location.

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};
use location::fetch::Settings;
use location::{Fetcher, Place, Query, RandomAccess, Tree, menu, tree};

use super::confine;
use super::xen_output::{Answer, Draft, Format, atom, output, quoted};
use crate::report::with_sources;

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
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::Count).help("Be quiet"))
        .arg(Arg::new("more").action(ArgAction::Append).hide(true))
}

type Opened = Box<dyn RandomAccess>;

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
    let directory = Path::new(get("output-directory").unwrap_or("/var/run/libxl"));
    let made = DirBuilder::new().recursive(true).mode(0o750).create(directory);
    made.map_err(|error| format!("Cannot make {}: {error}", directory.display()))?;
    let uid = get("runas").map(str::parse).transpose();
    let uid = uid.map_err(|_| "runas value must be an integer")?.unwrap_or(0);
    let draft = |name: &str| {
        let draft = Draft::new(directory, &format!("xenpvboot.{name}."));
        draft.map_err(|error| format!("Cannot make a file in {}: {error}", directory.display()))
    };
    // The other user cannot make files in the directory.
    let (kernel_file, ramdisk_file) = match uid {
        0 => (None, None),
        _ => (Some(draft("kernel")?), Some(draft("ramdisk")?)),
    };
    confine::become_user(uid)?;
    let parse = |name: &str| Place::parse(name.as_ref()).ok();
    let files = [kernel, ramdisk].into_iter().flatten().filter_map(parse);
    // With a location, other names are of files in there.
    let files = files.filter(|file| location.is_none() || file.is_remote());
    let places = location.and_then(parse).into_iter().chain(files).collect();
    let mut settings = Settings::default();
    confine::to_places(places, &[directory], &mut settings)?;
    let (kernel, ramdisk) = find(&Fetcher::new(settings), location, kernel, ramdisk)?;
    let kernel = fetched(directory, &*kernel, kernel_file)?;
    let ramdisk = ramdisk.map(|file| fetched(directory, &*file, ramdisk_file)).transpose()?;
    let answer = Answer {
        kernel: &kernel.path().display().to_string(),
        ramdisk: ramdisk.as_ref().map(|file| file.path().display().to_string()).as_deref(),
        args: get("args").unwrap_or_default(),
    }
    .text(format, atom, quoted)?;
    let written = output.write_all(answer.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| format!("Cannot write the answer: {error}"))?;
    let keep = |draft: Draft| draft.keep().map_err(|error| format!("Cannot keep a file: {error}"));
    ramdisk.map(keep).transpose()?;
    keep(kernel)?;
    Ok(())
}

/// Kernel and ramdisk, open. A whole URL counts alone, whatever the location is.
fn find(
    fetcher: &Fetcher,
    location: Option<&str>,
    kernel: Option<&str>,
    ramdisk: Option<&str>,
) -> Result<(Opened, Option<Opened>), String> {
    let alone = |name: &str| -> Result<Opened, String> {
        let place = Place::parse(name.as_ref()).map_err(|error| error.to_string())?;
        let file = fetcher.file(&place);
        file.map_err(|error| format!("Cannot get file {name}: {}", with_sources(&error)))
    };
    let Some(location) = location else {
        let kernel = kernel.ok_or("Cannot get kernel: neither --location nor --kernel is given")?;
        return Ok((alone(kernel)?, ramdisk.map(alone).transpose()?));
    };
    let place = Place::parse(location.as_ref());
    let place = place.map_err(|error| format!("Unsupported location: {location}: {error}"))?;
    let failed = |error: &dyn std::error::Error| {
        format!("Cannot get kernel from location: {location}: {}", with_sources(error))
    };
    let source = fetcher.place(&place).map_err(|error| failed(&error))?;
    let elsewhere: tree::OpenUrl<'_> = &|place| fetcher.file(place);
    let (kernel, initrd) = (kernel.map(Path::new), ramdisk.map(Path::new));
    // How much the guest will have is not said; 64-bit systems come first.
    let wanted = Query { kernel, initrd, memory: u64::MAX, elsewhere };
    let tree = Tree::find(&*source, wanted).map_err(|error| failed(&error))?;
    let initrds = tree.initrds.into_iter().map(|part| part.bytes).collect();
    let initrd = menu::joined(initrds).map_err(|error| failed(&error))?;
    Ok((tree.kernel.bytes, initrd))
}

/// `xenpvboot.NAME.LETTERS`, or `draft`, with the file's bytes.
fn fetched(
    directory: &Path,
    file: &dyn RandomAccess,
    draft: Option<Draft>,
) -> Result<Draft, String> {
    let name = file.name().rsplit('/').next().unwrap_or_default();
    let fail = |error| format!("Cannot get file {}: {error}", file.name());
    let mut draft = match draft {
        Some(draft) => draft,
        None => Draft::new(directory, &format!("xenpvboot.{name}.")).map_err(fail)?,
    };
    draft.fill(file).map_err(fail)?;
    Ok(draft)
}
