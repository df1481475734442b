//! One dash works as two in the options of a command, as it does where a guest is run.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Command;

/// `args` with `-name` and `-name=value` written as `--name` and `--name=value` if `name` is a long
/// option of `command` or of one of its subcommands. The value of an option stays as it is.
pub(super) fn doubled(command: &Command, args: &[OsString]) -> Vec<OsString> {
    let mut all = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == "--" {
            all.push(arg.clone());
            break;
        }
        let name = arg.as_bytes().strip_prefix(b"-").unwrap_or_default();
        let has_two = name.starts_with(b"-");
        let name = name.strip_prefix(b"-").unwrap_or(name);
        let end = name.iter().position(|byte| *byte == b'=');
        let long = std::str::from_utf8(&name[..end.unwrap_or(name.len())]).unwrap_or_default();
        let Some(takes_value) = takes_value(command, long) else {
            all.push(arg.clone());
            continue;
        };
        let mut word = OsString::from(if has_two { "" } else { "-" });
        word.push(arg);
        all.push(word);
        if takes_value && end.is_none() {
            all.extend(rest.next().cloned());
        }
    }
    all.extend(rest.cloned());
    all
}

/// Whether the long option takes a value; `None` if there is no such option.
fn takes_value(command: &Command, long: &str) -> Option<bool> {
    if long == "help" {
        return Some(false);
    }
    let of = |command: &Command| {
        let mut args = command.get_arguments();
        let found = args.find(|arg| {
            arg.get_long() == Some(long)
                || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&long))
        });
        found.map(|arg| arg.get_action().takes_values())
    };
    of(command).or_else(|| command.get_subcommands().find_map(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str, given: &str) -> String {
        let (_, command) =
            crate::commands::described().find(|(known, _)| *known == name).expect("a command");
        let given: Vec<OsString> = given.split(' ').map(Into::into).collect();
        let all = doubled(&command, &given);
        all.join(" ".as_ref()).into_string().expect("text")
    }

    #[test]
    fn long_options_get_their_second_dash() {
        for (command, given, expected) in [
            ("fetch", "-dry-run x", "--dry-run x"),
            ("fetch", "--dry-run x -help", "--dry-run x --help"),
            ("fetch", "-format=json x", "--format=json x"),
            ("fetch", "-append -dry-run", "--append -dry-run"),
            ("fetch", "--append -dry-run", "--append -dry-run"),
            ("fetch", "-args -offline -offline", "--args -offline --offline"),
            ("fetch", "-nonsense -h -", "-nonsense -h -"),
            ("fetch", "-- -dry-run", "-- -dry-run"),
            ("bootloader", "-l -list x", "-l --list x"),
            ("cache", "prune -older-than 3 -all", "prune --older-than 3 --all"),
        ] {
            assert_eq!(words(command, given), expected);
        }
    }
}
