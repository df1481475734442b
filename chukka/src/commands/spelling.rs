//! Messages for a command that has an option's meaning under a name of its own.

/// The options that `chukka` and `chukka fetch` have in common.
const SHARED: [&str; 10] = [
    "kernel",
    "initrd-inject",
    "initrd",
    "append",
    "preseed",
    "kickstart",
    "autoyast",
    "autocf",
    "checksum",
    "offline",
];

/// A message with the options of `chukka` as those of `chukka fetch`: `-kernel PATH` is
/// `--kernel PATH`, `-fetch limit=SIZE` is `--limit SIZE`, and `-location` is LOCATION.
pub(super) fn of_fetch(text: &str) -> String {
    let text =
        text.replace(location::fetch::RAISE_LIMIT, "to allow it, raise the limit: --limit SIZE");
    let text = text.replace("chukka -help", "chukka fetch --help");
    let mut spelt = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('-') {
        let (before, from) = rest.split_at(at);
        spelt.push_str(before);
        let begins = spelt.is_empty() || spelt.ends_with([' ', '(', '\'']);
        let (word, behind) =
            begins.then(|| option(from)).flatten().unwrap_or(("-".into(), &from[1..]));
        spelt.push_str(&word);
        rest = behind;
    }
    spelt + rest
}

/// The option that a text begins with, as `chukka fetch` has it, and what is behind it.
fn option(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('-')?;
    let end = text.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(text.len());
    let (name, behind) = text.split_at(end);
    match name {
        "location" => Some(("LOCATION".into(), behind)),
        "fetch" => {
            let behind = behind.strip_prefix(' ')?;
            if let Some(behind) = behind.strip_prefix("refresh=on") {
                return Some(("--refresh".into(), behind));
            }
            let (key, value) = behind.split_once('=')?;
            let is_key = ["timeout", "retries", "limit", "cache"].contains(&key);
            is_key.then(|| (format!("--{key} "), value))
        }
        _ => SHARED.contains(&name).then(|| (format!("--{name}"), behind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_those_of_the_command() {
        for (text, expected) in [
            (
                "name the files: -kernel PATH -initrd PATH",
                "name the files: --kernel PATH --initrd PATH",
            ),
            ("-fetch timeout=0: expected seconds", "--timeout 0: expected seconds"),
            ("-location was given an empty path", "LOCATION was given an empty path"),
            ("-checksum x", "--checksum x"),
            ("use -fetch cache=DIR or XDG_CACHE_HOME", "use --cache DIR or XDG_CACHE_HOME"),
            ("-offline with -fetch refresh=on", "--offline with --refresh"),
            (location::fetch::RAISE_LIMIT, "to allow it, raise the limit: --limit SIZE"),
            ("chukka -help shows what each", "chukka fetch --help shows what each"),
            // Names of files are not options.
            (
                "'/a/vmlinuz-kernel' --kernel x-initrd -x",
                "'/a/vmlinuz-kernel' --kernel x-initrd -x",
            ),
        ] {
            assert_eq!(of_fetch(text), expected);
        }
    }
}
