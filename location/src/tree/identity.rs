//! Identifies the distribution and version of a tree without `.treeinfo`. This is information only:
//! an unidentified tree boots as well.

use super::search::check::is_page;
use super::{Installer, Release};

/// Maximum size in bytes of such a file: SUSE's `content` has the description of every package.
pub(super) const LIMIT: usize = 1 << 20;

/// Reads one.
type Read = fn(&str) -> Option<Release>;

/// The files that identify a tree, by installer, in search order: Debian's and Ubuntu's
/// `.disk/info` and `MANIFEST` (virt-manager's virtinst/install/urldetect.py), `.discinfo`
/// (productmd/discinfo.py), SUSE's `content`, Mageia's `VERSION`.
pub(super) fn files(installer: Installer) -> &'static [(&'static str, Read)] {
    match installer {
        Installer::Anaconda => &[(".discinfo", discinfo)],
        Installer::Debian => &[
            (".disk/info", first_line),
            ("current/images/MANIFEST", manifest),
            ("current/legacy-images/MANIFEST", manifest),
            ("daily/MANIFEST", manifest),
        ],
        Installer::DebianMedium | Installer::DebianLive | Installer::Casper => {
            &[(".disk/info", first_line)]
        }
        Installer::Yast => &[("content", content)],
        Installer::Mageia => &[("VERSION", first_line)],
        Installer::Other | Installer::CoreOs => {
            &[(".disk/info", first_line), (".discinfo", discinfo)]
        }
        Installer::Arch | Installer::Alpine | Installer::Nevada | Installer::OpenSolaris => &[],
    }
}

/// `Debian GNU/Linux 12.5.0 "Bookworm" - Official amd64 NETINST ...`, `Mageia 8
/// Devel-x86_64-Download 20200717 20:37`.
fn first_line(text: &str) -> Option<Release> {
    // Servers can have a page for what they do not have.
    if is_page(text.as_bytes()) {
        return None;
    }
    name_and_version(text.lines().next()?)
}

/// One line each: a timestamp, the name, the architecture, the disc numbers.
fn discinfo(text: &str) -> Option<Release> {
    name_and_version(text.lines().nth(1)?.trim().trim_matches('"'))
}

/// `PATH -- DESCRIPTION`: the paths identify the installer; the version is not given.
fn manifest(text: &str) -> Option<Release> {
    let family = match () {
        () if text.contains("ubuntu-installer") => "Ubuntu",
        () if text.contains("debian-installer") => "Debian",
        () => return None,
    };
    Some(Release { family: family.into(), version: String::new() })
}

/// `KEY value`: `LABEL openSUSE 11.4`; or `DISTRO cpe:/o:opensuse:opensuse:13.2,openSUSE 13.2`, or
/// `NAME` and `VERSION`.
fn content(text: &str) -> Option<Release> {
    let get = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once([' ', '\t']));
        lines.find(|(name, _)| *name == key).map(|(_, value)| value.trim())
    };
    let distro = || get("DISTRO").and_then(|value| value.split_once(',')).map(|(_, name)| name);
    let named = get("LABEL").or_else(distro).or_else(|| get("NAME"))?;
    let mut release = name_and_version(named)?;
    if release.version.is_empty() {
        release.version = one_word(get("VERSION").unwrap_or_default());
    }
    Some(release)
}

/// The words up to and including the first that begins with a digit.
fn name_and_version(line: &str) -> Option<Release> {
    const NAME: usize = 64;
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    let at = words.iter().position(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let family = words[..at.unwrap_or(words.len())].join(" ");
    let family: String = family.chars().filter(|c| !c.is_control()).take(NAME).collect();
    let version = at.map(|at| one_word(words[at])).unwrap_or_default();
    (!family.is_empty()).then_some(Release { family, version })
}

fn one_word(text: &str) -> String {
    const VERSION: usize = 32;
    let word = text.split_ascii_whitespace().next().unwrap_or_default();
    word.chars().filter(|c| c.is_ascii_graphic()).take(VERSION).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_says_name_and_version() {
        let debian = "Debian GNU/Linux 12.5.0 \"Bookworm\" - Official amd64 NETINST with firmware 20240210-11:27";
        let ubuntu = "Ubuntu-Server 24.04 LTS \"Noble Numbat\" - Release amd64 (20240423)\n";
        let suse =
            "CONTENTSTYLE  11\nDISTRO  cpe:/o:opensuse:opensuse:13.2,openSUSE\nVERSION 13.2-1.9\n";
        for (read, text, family, version) in [
            (first_line as Read, debian, "Debian GNU/Linux", "12.5.0"),
            (first_line, ubuntu, "Ubuntu-Server", "24.04"),
            (first_line, "Mageia 8 Devel-x86_64-Download 20200717 20:37", "Mageia", "8"),
            (discinfo, "1194015344.06\n\"Fedora 8\"\nx86_64\n1,2\n", "Fedora", "8"),
            (
                discinfo,
                "1.2\nRed Hat Enterprise Linux 9.4\nx86_64\nALL",
                "Red Hat Enterprise Linux",
                "9.4",
            ),
            (manifest, "netboot/debian-installer/amd64/linux -- kernel image", "Debian", ""),
            (manifest, "netboot/ubuntu-installer/amd64/linux -- kernel image", "Ubuntu", ""),
            (content, "LABEL openSUSE 11.4\nVERSION 1", "openSUSE", "11.4"),
            (content, suse, "openSUSE", "13.2-1.9"),
        ] {
            let release = read(text).unwrap();
            assert_eq!((&*release.family, &*release.version), (family, version), "{text}");
        }
    }

    #[test]
    fn unrecognized_files_are_skipped() {
        for read in [first_line as Read, discinfo, manifest, content] {
            for text in ["", "\n", "\n\n\n", "12", "\u{1}\n\u{1}"] {
                assert_eq!(read(text), None, "{text:?}");
            }
        }
        let long = first_line(&"x".repeat(10_000)).unwrap();
        assert_eq!(long.family.len(), 64);
    }
}
