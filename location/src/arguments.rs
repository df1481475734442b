//! The guest's command line: the user's words, then what is needed beside them, nothing twice.

use crate::tree::{Installer, Release};

/// How an installer is told where its packages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSource {
    /// What the user would write: `inst.repo=URL`.
    pub form: &'static str,
    /// Words that say it: the parts before `=`.
    names: &'static [&'static str],
}

impl PackageSource {
    /// Whether a command line says it already.
    #[must_use]
    pub fn is_in(&self, cmdline: &[u8]) -> bool {
        self.names.iter().any(|name| has(cmdline, name))
    }
}

/// What `installer` wants to be told, by release; `None`: it asks, or needs nothing.
///
/// The names by release: osinfo-db's kernel-url-argument (`method` to Fedora 18 and RHEL 6, `inst.repo` after), virt-manager's
/// virtinst/install/urldetect.py (`install`), netboot.xyz's menus (the others). A directory of the host has no URL a guest could
/// use, so the word cannot be added for the user: virt-install adds it for URLs only, and for a directory warns as chukka does.
#[must_use]
pub fn package_source(installer: Installer, release: &Release) -> Option<PackageSource> {
    let major = release.major();
    let (form, names): (_, &[_]) = match installer {
        Installer::Anaconda if is_old_anaconda(release) => {
            ("method=URL", &["method", "repo", "inst.repo"])
        }
        Installer::Anaconda => {
            ("inst.repo=URL", &["inst.repo", "inst.stage2", "root", "repo", "method"])
        }
        // Agama, from 16 on: what is live is an image.
        Installer::Yast if major == Some(16) => ("root=live:URL", &["root"]),
        Installer::Yast => ("install=URL", &["install"]),
        Installer::Casper => ("ip=dhcp iso-url=URL", &["iso-url", "url", "netboot"]),
        Installer::Arch => (
            "ip=dhcp archisobasedir=arch archiso_http_srv=URL",
            &["archiso_http_srv", "archiso_nfs_srv"],
        ),
        Installer::Alpine => ("ip=dhcp alpine_repo=URL modloop=URL", &["alpine_repo", "modloop"]),
        Installer::Mageia => {
            ("automatic=method:http,network:dhcp,server:HOST,directory:/PATH", &["automatic"])
        }
        Installer::Debian | Installer::DebianMedium | Installer::Other => return None,
    };
    Some(PackageSource { form, names })
}

/// Whether it is an anaconda from before its words began with `inst.`: to Fedora 18 and RHEL 6.
fn is_old_anaconda(release: &Release) -> bool {
    let Some(major) = release.major() else { return false };
    let family = release.family.to_ascii_lowercase();
    major <= if family.contains("fedora") { 18 } else { 6 }
}

/// The word that has an installer read the kickstart file `/name` of its initrd.
#[must_use]
pub fn kickstart(name: &str, release: &Release) -> String {
    let key = if is_old_anaconda(release) { "ks" } else { "inst.ks" };
    format!("{key}=file:/{name}")
}

/// The word that has Debian's installer read the file `/name` of its initrd. `preseed.cfg` it would read without.
#[must_use]
pub fn preseed(name: &str) -> String {
    format!("preseed/file=/{name}")
}

/// The keys that mean the same as the word's: who has given one of them has decided already.
fn synonyms(word: &str) -> Vec<&str> {
    let key = word.split('=').next().unwrap_or(word);
    match key {
        "preseed/file" | "file" => vec!["preseed/file", "file"],
        "inst.ks" | "ks" => vec!["inst.ks", "ks"],
        key => vec![key],
    }
}

/// Whether one of the words of a command line is `key` or begins with `key=`.
fn has(cmdline: &[u8], key: &str) -> bool {
    words(cmdline).any(|word| {
        let rest = word.strip_prefix(key.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'=')
    })
}

/// The words as the kernel has them: a space between double quotes parts none (`next_arg`, lib/cmdline.c in Linux).
fn words(cmdline: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let parts = cmdline.split(move |byte| {
        quoted ^= *byte == b'"';
        !quoted && byte.is_ascii_whitespace()
    });
    parts.filter(|word| !word.is_empty())
}

/// The words that a boot loader's entry has for the kernel. A separator has done its work there: it told Debian's installer which words are for
/// the installed system too, and the user's own separator is to mean that here.
#[must_use]
pub fn of_entry(words: &[String]) -> Vec<String> {
    words.iter().filter(|word| !matches!(word.as_str(), "--" | "---")).cloned().collect()
}

/// The user's command line with `added` behind it, less what it says already. What stands behind `--` is not for the kernel (init(1)
/// gets it) and behind `---` for the system to be installed (Debian's installer), so the words go in front of these.
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

/// Where the first `--` or `---` begins that stands alone.
fn separator(cmdline: &[u8]) -> Option<usize> {
    let start = cmdline.as_ptr().addr();
    words(cmdline)
        .find(|word| [&b"--"[..], b"---"].contains(word))
        .map(|word| word.as_ptr().addr() - start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(family: &str, version: &str) -> Release {
        Release { family: family.into(), version: version.into() }
    }

    fn line(user: &str, added: &[&str]) -> String {
        let added: Vec<_> = added.iter().copied().map(str::to_owned).collect();
        String::from_utf8(command_line(user.as_bytes(), &added)).unwrap()
    }

    #[test]
    fn words_are_added_behind_the_user_s_and_once() {
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
    fn what_is_not_for_the_kernel_stays_last() {
        assert_eq!(line("quiet --- console=ttyS0", &["a=1"]), "quiet a=1 --- console=ttyS0");
        assert_eq!(line("-- single", &["a=1"]), "a=1 -- single");
        assert_eq!(line("x=-- y", &["a=1"]), "x=-- y a=1");
        assert_eq!(line(r#"x="1 -- 2" y"#, &["a=1"]), r#"x="1 -- 2" y a=1"#);
    }

    #[test]
    fn the_words_are_those_of_the_release() {
        for (installer, family, version, form) in [
            (Installer::Anaconda, "Fedora", "42", Some("inst.repo=URL")),
            (Installer::Anaconda, "Fedora", "19", Some("inst.repo=URL")),
            (Installer::Anaconda, "Fedora", "18", Some("method=URL")),
            (Installer::Anaconda, "Red Hat Enterprise Linux", "6.10", Some("method=URL")),
            (Installer::Anaconda, "CentOS Stream", "9", Some("inst.repo=URL")),
            (Installer::Anaconda, "", "", Some("inst.repo=URL")),
            (Installer::Yast, "openSUSE Leap", "15.6", Some("install=URL")),
            (Installer::Yast, "openSUSE Leap", "16.0", Some("root=live:URL")),
            (Installer::Debian, "", "", None),
        ] {
            let source = package_source(installer, &release(family, version));
            assert_eq!(source.map(|source| source.form), form, "{family} {version}");
        }
        assert_eq!(kickstart("a.ks", &release("CentOS", "6.9")), "ks=file:/a.ks");
        assert_eq!(kickstart("a.ks", &release("Rocky Linux", "9.4")), "inst.ks=file:/a.ks");
    }

    #[test]
    fn a_source_that_is_given_is_seen() {
        let source = package_source(Installer::Anaconda, &release("Fedora", "42")).unwrap();
        for (cmdline, given) in [
            ("inst.repo=http://x/", true),
            ("quiet inst.stage2=hd:LABEL=x", true),
            ("xinst.repo=1 quiet", false),
        ] {
            assert_eq!(source.is_in(cmdline.as_bytes()), given, "{cmdline}");
        }
    }
}
