//! Composes the guest's command line: the user's options, then the required ones, without
//! duplicates.

pub mod solaris;
mod source;

pub use source::{Origin, PackageSource, package_source};

use crate::cmdline::words;
use crate::tree::Release;
use source::is_old_anaconda;

/// Where the installer finds the user's answer file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswersAt<'a> {
    /// In the initrd's root directory, under this name.
    Initrd(&'a str),
    /// At a URL, as given by the user.
    Url(&'a str),
}

/// The option that makes anaconda read a kickstart file.
#[must_use]
pub fn kickstart(at: AnswersAt<'_>, release: &Release) -> String {
    let key = if is_old_anaconda(release) { "ks" } else { "inst.ks" };
    match at {
        AnswersAt::Initrd(name) => format!("{key}=file:/{name}"),
        AnswersAt::Url(url) => format!("{key}={url}"),
    }
}

/// The option that makes Debian's installer read an answer file. It reads `preseed.cfg` in the
/// initrd even without one. (Installation guide, B.2.)
#[must_use]
pub fn preseed(at: AnswersAt<'_>) -> String {
    match at {
        AnswersAt::Initrd(name) => format!("preseed/file=/{name}"),
        AnswersAt::Url(url) => format!("preseed/url={url}"),
    }
}

/// The option that makes SUSE's installer read a profile. (AutoYaST Guide, "Invoking the
/// auto-installation process".)
#[must_use]
pub fn autoyast(at: AnswersAt<'_>) -> String {
    match at {
        AnswersAt::Initrd(name) => format!("autoyast=file:///{name}"),
        AnswersAt::Url(url) => format!("autoyast={url}"),
    }
}

/// The keys with the same meaning as the option's: if the user has set one of them, the option is
/// not added.
fn synonyms(word: &str) -> Vec<&str> {
    let key = word.split('=').next().unwrap_or(word);
    match key {
        "preseed/file" | "file" | "preseed/url" | "url" => {
            vec!["preseed/file", "file", "preseed/url", "url"]
        }
        "inst.ks" | "ks" => vec!["inst.ks", "ks"],
        key => vec![key],
    }
}

/// Whether a command line has the word `key`, or a word that begins with `key=`.
fn has(cmdline: &[u8], key: &str) -> bool {
    words(cmdline).any(|word| {
        let rest = word.strip_prefix(key.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'=')
    })
}

/// The kernel options of a boot loader's entry, without its separator. The entry's separator tells
/// Debian's installer which options also apply to the installed system; the user's own separator
/// has to keep that meaning.
#[must_use]
pub fn of_entry(words: &[String]) -> Vec<String> {
    words.iter().filter(|word| !matches!(word.as_str(), "--" | "---")).cloned().collect()
}

/// Appends `added` to the user's command line, except what is there already. Words after `--` are
/// for init(1) and words after `---` are for the system to be installed (Debian's installer), so
/// `added` goes before these.
#[must_use]
pub fn command_line(user: &[u8], added: &[String]) -> Vec<u8> {
    let mut fresh: Vec<&str> = Vec::new();
    for word in added {
        let said = synonyms(word).into_iter().any(|key| has(user, key));
        if !said && !fresh.contains(&word.as_str()) {
            fresh.push(word);
        }
    }
    if fresh.is_empty() {
        return user.to_vec();
    }
    let fresh = fresh.join(" ").into_bytes();
    let parts = separator(user).map_or((user, &b""[..]), |at| user.split_at(at));
    let parts = [parts.0.trim_ascii_end(), &fresh, parts.1];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(&b' ')
}

/// The offset of the first standalone `--` or `---`.
fn separator(cmdline: &[u8]) -> Option<usize> {
    let start = cmdline.as_ptr().addr();
    words(cmdline)
        .find(|word| [&b"--"[..], b"---"].contains(word))
        .map(|word| word.as_ptr().addr() - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user: &str, added: &[&str]) -> String {
        let added: Vec<_> = added.iter().copied().map(str::to_owned).collect();
        String::from_utf8(command_line(user.as_bytes(), &added)).unwrap()
    }

    #[test]
    fn words_are_added_once_after_the_user_s() {
        assert_eq!(line("", &[]), "");
        assert_eq!(line("", &["a=1"]), "a=1");
        assert_eq!(line("quiet", &["a=1", "b", "a=1"]), "quiet a=1 b");
        assert_eq!(
            line("  a=2 quiet ", &["a=1"]),
            "  a=2 quiet ",
            "the user's words stay as they are"
        );
        assert_eq!(line("aa=2", &["a=1"]), "aa=2 a=1");
        assert_eq!(line("file=/x", &["preseed/file=/y"]), "file=/x");
        assert_eq!(line("ks=nfs:h:/k", &["inst.ks=file:/y"]), "ks=nfs:h:/k");
    }

    #[test]
    fn an_entry_s_words_come_without_its_separator() {
        let words = ["vga=788", "---", "quiet"].map(str::to_owned);
        assert_eq!(of_entry(&words), ["vga=788", "quiet"]);
    }

    #[test]
    fn words_after_a_separator_stay_last() {
        assert_eq!(line("quiet --- console=ttyS0", &["a=1"]), "quiet a=1 --- console=ttyS0");
        assert_eq!(line("-- single", &["a=1"]), "a=1 -- single");
        assert_eq!(line("x=-- y", &["a=1"]), "x=-- y a=1");
        assert_eq!(line(r#"x="1 -- 2" y"#, &["a=1"]), r#"x="1 -- 2" y a=1"#);
    }

    #[test]
    fn answer_options_depend_on_the_release() {
        let (file, url) = (AnswersAt::Initrd("a.ks"), AnswersAt::Url("http://h/a"));
        let release = |family: &str, version: &str| Release {
            family: family.into(),
            version: version.into(),
        };
        let (old, new) = (release("CentOS", "6.9"), release("Rocky Linux", "9.4"));
        assert_eq!(kickstart(file, &old), "ks=file:/a.ks");
        assert_eq!(kickstart(file, &new), "inst.ks=file:/a.ks");
        assert_eq!(kickstart(url, &old), "ks=http://h/a");
        assert_eq!(kickstart(url, &new), "inst.ks=http://h/a");
        assert_eq!(preseed(file), "preseed/file=/a.ks");
        assert_eq!(preseed(url), "preseed/url=http://h/a");
        assert_eq!(autoyast(file), "autoyast=file:///a.ks");
        assert_eq!(autoyast(url), "autoyast=http://h/a");
        assert_eq!(line("url=http://x", &[&preseed(file)]), "url=http://x");
    }
}
