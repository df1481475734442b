//! The options that tell an installer where its packages are: a table by installer and release.

use super::has;
use crate::tree::{Installer, Release};

/// How to tell an installer where its packages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSource {
    /// The option as a user would write it: `inst.repo=URL`.
    pub form: &'static str,
    /// Keys of options with this meaning.
    names: &'static [&'static str],
    how: How,
}

/// The location of a tree, as seen from the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The tree's root URL, without a trailing slash: http, https, ftp, or `nfs:HOST:/PATH`.
    Tree(&'a str),
    /// The URL of a medium's image that contains the tree.
    Medium(&'a str),
    /// Not reachable from the guest.
    Host,
}

/// How to write a URL as options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The key, then the tree's URL.
    Tree(&'static str),
    /// As SUSE does, with `nfs://` for NFS.
    Suse,
    /// The live system's image.
    Agama,
    Casper,
    Arch,
    Alpine,
    Mageia,
}

impl PackageSource {
    /// Whether a command line already has such an option.
    #[must_use]
    pub fn is_in(&self, cmdline: &[u8]) -> bool {
        self.names.iter().any(|name| has(cmdline, name))
    }

    /// The options for this location, or `None` if the installer has none for it. `kernel` is the
    /// kernel's file name.
    #[must_use]
    pub fn words(&self, origin: Origin<'_>, kernel: &str) -> Option<Vec<String>> {
        let is_web = |url: &str| ["http://", "https://"].iter().any(|with| url.starts_with(with));
        let is_fetched = |url: &str| is_web(url) || url.starts_with("ftp://");
        let words = match (self.how, origin) {
            (How::Tree(key), Origin::Tree(url)) => vec![format!("{key}{url}")],
            (How::Suse, Origin::Tree(url)) => vec![format!("install={}", with_slashes(url))],
            (How::Agama, Origin::Medium(url)) if is_fetched(url) => {
                vec![format!("root=live:{url}")]
            }
            (How::Casper, Origin::Medium(url)) if is_fetched(url) => {
                vec!["ip=dhcp".into(), format!("iso-url={url}")]
            }
            (How::Arch, Origin::Tree(url)) if is_web(url) => {
                let server = format!("archiso_http_srv={url}/");
                vec!["ip=dhcp".into(), "archisobasedir=arch".into(), server]
            }
            (How::Alpine, Origin::Tree(url)) if is_fetched(url) => alpine(url, kernel)?,
            (How::Mageia, Origin::Tree(url)) => vec![mageia(url)?],
            _ => return None,
        };
        Some(words)
    }
}

/// The options that `installer` needs, by release. `None` if it asks the user or needs nothing.
///
/// The keys by release: osinfo-db's kernel-url-argument (`method` up to Fedora 18 and RHEL 6,
/// `inst.repo` since), virt-manager's virtinst/install/urldetect.py (`install`), netboot.xyz's
/// menus (the others). A directory on the host has a URL only if the guest's network serves it:
/// virt-install adds an option for URLs only, and warns about a directory.
#[must_use]
pub fn package_source(installer: Installer, release: &Release) -> Option<PackageSource> {
    // openSUSE Leap 42 is older than 15.
    let is_agama = release.major().is_some_and(|major| (16..42).contains(&major));
    let (form, names, how): (_, &[_], _) = match installer {
        Installer::Anaconda if is_old_anaconda(release) => {
            ("method=URL", &["method", "repo", "inst.repo"], How::Tree("method="))
        }
        Installer::Anaconda => (
            "inst.repo=URL",
            &["inst.repo", "inst.stage2", "root", "repo", "method"],
            How::Tree("inst.repo="),
        ),
        // A live system is an image.
        Installer::Yast if is_agama => ("root=live:URL", &["root"], How::Agama),
        Installer::Yast => ("install=URL", &["install"], How::Suse),
        Installer::Casper => ("ip=dhcp iso-url=URL", &["iso-url", "url", "netboot"], How::Casper),
        Installer::Arch => (
            "ip=dhcp archisobasedir=arch archiso_http_srv=URL",
            &["archiso_http_srv", "archiso_nfs_srv"],
            How::Arch,
        ),
        Installer::Alpine => {
            ("ip=dhcp alpine_repo=URL modloop=URL", &["alpine_repo", "modloop"], How::Alpine)
        }
        Installer::Mageia => (
            "automatic=method:http,network:dhcp,server:HOST,directory:/PATH",
            &["automatic"],
            How::Mageia,
        ),
        Installer::Debian
        | Installer::DebianMedium
        | Installer::DebianLive
        | Installer::Nevada
        | Installer::OpenSolaris
        | Installer::CoreOs
        | Installer::Other => return None,
    };
    Some(PackageSource { form, names, how })
}

/// Whether this anaconda is older than the prefix `inst.`: up to Fedora 18 and RHEL 6.
pub(super) fn is_old_anaconda(release: &Release) -> bool {
    let Some(major) = release.major() else { return false };
    let family = release.family.to_ascii_lowercase();
    major <= if family.contains("fedora") { 18 } else { 6 }
}

/// Rewrites `nfs:HOST:/PATH` as `nfs://HOST/PATH`; other URLs stay the same.
fn with_slashes(url: &str) -> String {
    match url.strip_prefix("nfs:").and_then(|rest| rest.split_once(":/")) {
        Some((host, path)) => format!("nfs://{host}/{path}"),
        None => url.to_owned(),
    }
}

/// The package repository is next to the releases directory that contains the tree: `…/v3.23/main`
/// for `…/v3.23/releases/x86_64/netboot`. The modules are in the tree, named like the kernel
/// (`vmlinuz-lts`, `modloop-lts`).
fn alpine(url: &str, kernel: &str) -> Option<Vec<String>> {
    let (above, tree) = url.rsplit_once('/')?;
    let (above, _arch) = above.rsplit_once('/')?;
    let branch = above.strip_suffix("/releases")?;
    let flavour = kernel.strip_prefix("vmlinuz-")?;
    if !tree.starts_with("netboot") {
        return None;
    }
    Some(vec![
        "ip=dhcp".into(),
        format!("alpine_repo={branch}/main"),
        "modules=loop,squashfs".into(),
        format!("modloop={url}/modloop-{flavour}"),
    ])
}

/// Stage 1 of this installer has no TLS.
fn mageia(url: &str) -> Option<String> {
    let (method, server, path) = if let Some(rest) = url.strip_prefix("nfs:") {
        let (host, path) = rest.split_once(":/")?;
        ("nfs", host, path)
    } else {
        let (method, rest) = url.split_once("://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        (method, host, path)
    };
    let is_spoken = ["http", "ftp", "nfs"].contains(&method) && !server.contains(':');
    // A comma would end this part of the option.
    let is_plain = is_spoken && !url.contains(',');
    is_plain.then(|| {
        format!("automatic=method:{method},network:dhcp,server:{server},directory:/{path}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(family: &str, version: &str) -> Release {
        Release { family: family.into(), version: version.into() }
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
            (Installer::Yast, "openSUSE Leap", "42.3", Some("install=URL")),
            (Installer::Yast, "openSUSE Tumbleweed", "20260512", Some("install=URL")),
            (Installer::Yast, "openSUSE Leap", "16.0", Some("root=live:URL")),
            (Installer::Debian, "", "", None),
        ] {
            let source = package_source(installer, &release(family, version));
            assert_eq!(source.map(|source| source.form), form, "{family} {version}");
        }
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

    #[test]
    fn a_url_makes_the_words() {
        use Installer::{Alpine, Anaconda, Arch, Casper, Mageia, Yast};
        use Origin::{Host, Medium, Tree};
        const ALPINE: &str = "http://dl/alpine/v3.23/releases/x86_64/netboot";
        let alpine = format!(
            "ip=dhcp alpine_repo=http://dl/alpine/v3.23/main modules=loop,squashfs modloop={ALPINE}/modloop-lts"
        );
        for (installer, version, origin, words) in [
            (Anaconda, "42", Tree("https://h/os"), "inst.repo=https://h/os"),
            (Anaconda, "42", Tree("nfs:h:/os"), "inst.repo=nfs:h:/os"),
            (Anaconda, "6", Tree("http://h/os"), "method=http://h/os"),
            (Anaconda, "42", Medium("http://h/x.iso"), ""),
            (Anaconda, "42", Host, ""),
            (Yast, "15.6", Tree("ftp://h/oss"), "install=ftp://h/oss"),
            (Yast, "15.6", Tree("nfs:h:/oss"), "install=nfs://h/oss"),
            (Yast, "16.0", Tree("http://h/oss"), ""),
            (Yast, "16.0", Medium("http://h/x.iso"), "root=live:http://h/x.iso"),
            (Yast, "16.0", Medium("nfs:h:/x.iso"), ""),
            (Casper, "", Medium("http://h/x.iso"), "ip=dhcp iso-url=http://h/x.iso"),
            (Casper, "", Medium("nfs:h:/x.iso"), ""),
            (Casper, "", Tree("http://h/netboot/amd64"), ""),
            (
                Arch,
                "",
                Tree("http://h/iso/latest"),
                "ip=dhcp archisobasedir=arch archiso_http_srv=http://h/iso/latest/",
            ),
            (Arch, "", Tree("ftp://h/iso"), ""),
            (Alpine, "", Tree(ALPINE), &alpine),
            (Alpine, "", Tree("http://h/somewhere"), ""),
            (Alpine, "", Tree("nfs:h:/alpine/v3.23/releases/x86_64/netboot"), ""),
            (
                Mageia,
                "9",
                Tree("http://h/distrib/9/x86_64"),
                "automatic=method:http,network:dhcp,server:h,directory:/distrib/9/x86_64",
            ),
            (
                Mageia,
                "9",
                Tree("nfs:h:/d"),
                "automatic=method:nfs,network:dhcp,server:h,directory:/d",
            ),
            (Mageia, "9", Tree("https://h/d"), ""),
        ] {
            let source = package_source(installer, &release("x", version)).unwrap();
            let said = source.words(origin, "vmlinuz-lts").unwrap_or_default().join(" ");
            assert_eq!(said, words, "{installer} {origin:?}");
        }
    }
}
