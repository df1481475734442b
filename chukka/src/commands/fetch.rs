//! `chukka fetch`: finds or downloads kernel, initrd and command line, without booting them.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};
use firmware::SourceFile;
use location::fetch::Keep;
use serde_json::json;

use super::copy_out::{self, Original};
use super::source::{self, boot_args, switch, value};
use super::{answer, failed_as, spelling};
use crate::args;
use crate::error::{CopyError, RunError};
use crate::report;
use crate::request::Confinement;
use crate::resolve::{Purpose, Resolved};
use crate::{install_state, plan};
use vmm::host::printable::printable;

const AFTER: &str = "\
LOCATION is a directory, an image or a URL, as for -location. Downloads are cached; see
chukka cache --help.

Examples:
  chukka fetch http://mirror.example/debian/dists/stable/main/installer-amd64/
  chukka fetch --preseed preseed.cfg --output /srv/boot --format json LOCATION

Boot an installer until it has finished, and its disk from then on:
  chukka fetch --state DIR LOCATION
  chukka -state DIR -bootdisk DISK
The installer has finished when it powers the guest off or resets it after writing to its disk.
chukka restart-install DIR starts over.";

/// `chukka fetch LOCATION`.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    match fetched(matches) {
        Ok(text) => answer(&text),
        Err(error) => failed_as(&error, spelling::of_fetch),
    }
}

/// Its options.
pub(super) fn command() -> Command {
    Command::new("chukka fetch")
        .about("Find or download a kernel and initrd, without booting them")
        .after_help(AFTER)
        .arg(
            Arg::new("location")
                .value_name("LOCATION")
                .required(true)
                .value_parser(ValueParser::os_string())
                .help("Where to look"),
        )
        .args(source::options())
        .args([
            value("output", "DIR", "Copy kernel and initrd into DIR, under their own names")
                .value_parser(ValueParser::path_buf()),
            value("state", "DIR", "Save them in DIR, for chukka -state DIR to boot")
                .value_parser(ValueParser::path_buf())
                .conflicts_with("output"),
            value("format", "FORMAT", "The format of the answer")
                .value_parser(["text", "json"])
                .default_value("text"),
            switch("dry-run", "Only show what was found, where and by which rule"),
        ])
}

fn fetched(matches: &ArgMatches) -> Result<String, RunError> {
    let source = args::boot_source(&boot_args(matches))?;
    let state = matches.get_one::<PathBuf>("state");
    if let Some(directory) = state {
        install_state::check_vacant(directory)?;
    }
    let has_place = state.is_some() || matches.contains_id("output");
    if source.fetch.cache == Keep::No
        && !has_place
        && !matches.get_flag("dry-run")
        && source.files.is_remote()
    {
        return Err(CopyError::NowhereToPut.into());
    }
    let resolved = Resolved::open(&source, Purpose::Copies, Confinement::Full)?;
    let format = matches.get_one::<String>("format");
    let wants_json = format.is_some_and(|format| format == "json");
    if matches.get_flag("dry-run") {
        return Ok(if wants_json {
            report::json(&plan::json(&resolved))
        } else {
            plan::of(&resolved)
        });
    }
    report::warnings(&resolved.warnings);
    let (kernel, initrd) = match state {
        Some(directory) => install_state::keep(directory, &resolved, None)?.files(),
        None => both_placed(&resolved, matches.get_one::<PathBuf>("output"))?,
    };
    let args = String::from_utf8_lossy(&resolved.boot.cmdline);
    if wants_json {
        let rule = resolved.found.as_ref().map(|found| &found.rule);
        return Ok(report::json(&json!({
            "kernel": kernel,
            "initrd": initrd,
            "args": args,
            "found": rule,
            "warnings": resolved.warnings,
        })));
    }
    Ok(text(&kernel, initrd.as_deref(), &args))
}

/// Formats the answer as lines. Line breaks in names are escaped.
fn text(kernel: &Path, initrd: Option<&Path>, args: &str) -> String {
    let line = |what: &str, value: &str| format!("{what} {}\n", printable(value));
    let file = |what, path: &Path| line(what, &path.to_string_lossy());
    let initrd = initrd.map(|path| file("initrd", path)).unwrap_or_default();
    file("kernel", kernel) + &initrd + &line("args", args)
}

/// Where kernel and initrd are, or are copied to.
fn both_placed(
    resolved: &Resolved,
    directory: Option<&PathBuf>,
) -> Result<(PathBuf, Option<PathBuf>), CopyError> {
    let kernel = &resolved.boot.kernel.source;
    let initrd = resolved.boot.initrd.as_ref();
    let Some(directory) = directory else {
        let initrd = initrd.map(|file| path_of(file, "initrd")).transpose()?;
        return Ok((path_of(kernel, "kernel")?, initrd));
    };
    let name = resolved.initrd_name.as_deref().unwrap_or(Path::new("initrd"));
    let is_secret = resolved.kernel_is_private;
    let kernel = Original { file: kernel, path: kernel.path(), role: "kernel", is_secret };
    let is_secret = resolved.initrd_is_private;
    let initrd = initrd.map(|file| Original { file, path: name, role: "initrd", is_secret });
    let originals: Vec<_> = std::iter::once(kernel).chain(initrd).collect();
    let mut paths = copy_out::copy(directory, &originals)?.into_iter();
    Ok((paths.next().unwrap_or_default(), paths.next()))
}

/// The path of a file that is on this host already.
fn path_of(file: &SourceFile, role: &'static str) -> Result<PathBuf, CopyError> {
    let path = fs::read_link(format!("/proc/self/fd/{}", file.file().as_raw_fd()));
    // The link of a file without a name leads nowhere.
    path.ok().filter(|path| path.exists()).ok_or(CopyError::NoName { role })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_in_names_are_escaped() {
        let kernel = Path::new("/a/vmlinuz-6\ninitrd /etc/passwd");
        let expected = "kernel /a/vmlinuz-6\\ninitrd /etc/passwd\nargs a\\tb\n";
        assert_eq!(text(kernel, None, "a\tb"), expected);
        let initrd = Some(Path::new("i"));
        assert_eq!(text(Path::new("k"), initrd, ""), "kernel k\ninitrd i\nargs \n");
    }
}
