//! Templates of guests, as XCP has them: a TOML file with what `chukka install` would otherwise be
//! told by options.
//!
//! The keys `install-…`, `debian-release` and `disks` are those of XCP's templates
//! (`VM.other_config`, xenserver/guest-templates), with the values that they have there.

use std::ffi::OsString;
use std::path::Path;
use std::{fs, io};

use serde::Deserialize;
use thiserror::Error;
use vmm::config::Size;

use super::provision::{self, ProvisionError};

/// More than anybody writes.
const LIMIT: u64 = 1 << 20;

/// The templates that chukka has: a name, and the file.
pub const KNOWN: [(&str, &str); 6] = [
    ("alpine", include_str!("templates/alpine.toml")),
    ("debian", include_str!("templates/debian.toml")),
    ("fedora", include_str!("templates/fedora.toml")),
    ("mageia", include_str!("templates/mageia.toml")),
    ("suse", include_str!("templates/suse.toml")),
    ("xcp", include_str!("templates/xcp.toml")),
];

/// A template. Every key may be left out.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Template {
    /// One line about it.
    pub description: Option<String>,
    /// The guest's name, and its directory.
    name: Option<String>,
    /// Memory: a number of MiB, or a size.
    memory: Option<Amount>,
    /// CPUs.
    vcpus: Option<u32>,
    machine: Option<String>,
    /// Network cards, as for `--network`.
    network: Option<OneOrMore<String>>,
    disks: Option<Disks>,
    install_repository: Option<String>,
    install_distro: Option<Distro>,
    install_arch: Option<String>,
    debian_release: Option<String>,
    install_args: Option<String>,
    install_kernel: Option<String>,
    install_ramdisk: Option<String>,
    /// Answers, as for the options of these names.
    preseed: Option<String>,
    kickstart: Option<String>,
    autoyast: Option<String>,
    autocf: Option<String>,
    initrd_inject: Option<OneOrMore<String>>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged, expecting = "expected a number, or a size such as \"2G\"")]
enum Amount {
    Number(u64),
    Text(String),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged, expecting = "expected a text, or a list of texts")]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn iter(&self) -> std::slice::Iter<'_, T> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::More(all) => all.iter(),
        }
    }
}

/// XCP's `<provision>` element, or the same as TOML.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(
    untagged,
    expecting = "expected [{ size = \"20G\", bootable = true }], also with format and path, or a <provision> element"
)]
enum Disks {
    Provision(String),
    List(Vec<Disk>),
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Disk {
    /// A size with a unit, or a number of GiB.
    size: Amount,
    format: Option<String>,
    path: Option<String>,
    #[serde(default)]
    bootable: bool,
}

/// How the repository is laid out. The trees of all but `debianlike` and `pygrub` say it
/// themselves.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Distro {
    Rhlike,
    Sleslike,
    Debianlike,
    Pygrub,
}

/// What the user gave, which takes precedence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// A location, or a kernel.
    pub location: bool,
    /// Disks.
    pub disks: bool,
    /// Network cards.
    pub networks: bool,
    /// Files for the initrd.
    pub injected: bool,
}

impl Template {
    /// Reads the file of this name, or else the template of chukka's own.
    ///
    /// # Errors
    /// There is none, or it is not a template.
    pub fn open(name: &Path) -> Result<Self, TemplateError> {
        let shown = name.display().to_string();
        let too_large =
            |size| TemplateError::TooLarge { name: shown.clone(), size, limit: Size(LIMIT) };
        match fs::metadata(name) {
            Ok(about) if about.len() > LIMIT => return Err(too_large(Size(about.len()))),
            Ok(about) if !about.is_file() => {
                return Err(TemplateError::NoFile { name: shown });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let known = KNOWN.iter().find(|(known, _)| Path::new(known) == name);
                let (_, text) = known.ok_or(TemplateError::Absent { name: shown.clone() })?;
                return Self::parse(text).map_err(|why| TemplateError::Syntax { name: shown, why });
            }
            Err(source) => return Err(TemplateError::Read { name: shown, source }),
        }
        let text = fs::read_to_string(name)
            .map_err(|source| TemplateError::Read { name: shown.clone(), source })?;
        Self::parse(&text).map_err(|why| TemplateError::Syntax { name: shown, why })
    }

    /// Reads the text of one.
    ///
    /// # Errors
    /// It is no TOML, or has unknown keys: where and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            format!("line {line}: {}", error.message())
        })
    }

    /// The same as words of `chukka install`.
    ///
    /// # Errors
    /// Two keys contradict each other, or a value is one that chukka cannot do.
    pub fn words(&self, given: Given) -> Result<Vec<OsString>, TemplateError> {
        let mut words = Vec::new();
        let mut add = |option: &str, value: &str| {
            words.push(OsString::from(format!("--{option}={value}")));
        };
        for (option, value) in [
            ("name", &self.name),
            ("machine", &self.machine),
            ("append", &self.install_args),
            ("preseed", &self.preseed),
            ("kickstart", &self.kickstart),
            ("autoyast", &self.autoyast),
            ("autocf", &self.autocf),
        ] {
            value.iter().for_each(|value| add(option, value));
        }
        match &self.memory {
            Some(Amount::Number(mebibytes)) => add("memory", &mebibytes.to_string()),
            Some(Amount::Text(text)) => add("memory", text),
            None => {}
        }
        self.vcpus.iter().for_each(|number| add("vcpus", &number.to_string()));
        if let Some(cards) = self.network.as_ref().filter(|_| !given.networks) {
            cards.iter().for_each(|card| add("network", card));
        }
        if let Some(files) = self.initrd_inject.as_ref().filter(|_| !given.injected) {
            files.iter().for_each(|file| add("initrd-inject", file));
        }
        if let Some(disks) = self.disks.as_ref().filter(|_| !given.disks) {
            disks.words()?.iter().for_each(|disk| add("disk", disk));
        }
        if !given.location {
            if let Some(repository) = self.location()? {
                add("location", &repository);
            }
            for (option, value) in
                [("kernel", &self.install_kernel), ("initrd", &self.install_ramdisk)]
            {
                value.iter().for_each(|value| add(option, value));
            }
        }
        Ok(words)
    }

    /// Where the tree is, as XCP's eliloader finds it.
    fn location(&self) -> Result<Option<String>, TemplateError> {
        let distro = self.install_distro;
        if distro == Some(Distro::Pygrub) && self.install_kernel.is_none() {
            return Err(TemplateError::Lacks { distro: "pygrub", key: "install-kernel" });
        }
        let Some(repository) = &self.install_repository else { return Ok(None) };
        if repository == "cdrom" {
            return Err(TemplateError::Cdrom);
        }
        if distro != Some(Distro::Debianlike) {
            return Ok(Some(repository.clone()));
        }
        let base = repository.trim_end_matches('/');
        let base = if base.contains("/dists/") {
            base.to_owned()
        } else {
            let release = self.debian_release.as_ref();
            let lacks = TemplateError::Lacks { distro: "debianlike", key: "debian-release" };
            format!("{base}/dists/{}", release.ok_or(lacks)?)
        };
        let arch = self.install_arch.as_deref().unwrap_or("amd64");
        Ok(Some(format!("{base}/main/installer-{arch}/")))
    }
}

impl Disks {
    /// The values of `--disk`. The system is expected on the first disk, so the bootable one comes
    /// first.
    fn words(&self) -> Result<Vec<String>, ProvisionError> {
        let mut disks: Vec<(bool, String)> = match self {
            Self::Provision(text) => {
                let mut disks = provision::disks(text)?;
                disks.sort_by_key(|disk| disk.device);
                let word = |disk: &provision::Disk| format!("size={}K", disk.size / 1024);
                disks.iter().map(|disk| (disk.bootable, word(disk))).collect()
            }
            Self::List(disks) => disks.iter().map(Disk::word).collect(),
        };
        disks.sort_by_key(|(bootable, _)| !bootable);
        Ok(disks.into_iter().map(|(_, word)| word).collect())
    }
}

impl Disk {
    fn word(&self) -> (bool, String) {
        let mut word = match &self.size {
            Amount::Number(gibibytes) => format!("size={gibibytes}"),
            Amount::Text(text) => format!("size={text}"),
        };
        for (key, value) in [("format", &self.format), ("path", &self.path)] {
            value.iter().for_each(|value| word += &format!(",{key}={value}"));
        }
        (self.bootable, word)
    }
}

/// Why a template cannot be used.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// There is neither a file nor a template of this name.
    #[error("There is no file '{name}', and no template of that name")]
    Absent {
        /// The name.
        name: String,
    },
    /// It is a directory or a device.
    #[error("'{name}' is not a file; expected a template")]
    NoFile {
        /// The name.
        name: String,
    },
    /// It cannot be read.
    #[error("Cannot read '{name}': {source}")]
    Read {
        /// The name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be a template.
    #[error("'{name}' has {size}; a template has at most {limit}")]
    TooLarge {
        /// The name.
        name: String,
        /// How large it is.
        size: Size,
        /// How large it may be.
        limit: Size,
    },
    /// It is no TOML, or has unknown keys.
    #[error("'{name}' is not a template: {why}")]
    Syntax {
        /// The name.
        name: String,
        /// Where and why.
        why: String,
    },
    /// Its disks are not known.
    #[error("disks = {0}")]
    Disks(#[from] ProvisionError),
    /// XCP's words for the drive of the host.
    #[error("install-repository = \"cdrom\": expected a URL, a directory or an image")]
    Cdrom,
    /// A key is missing.
    #[error("install-distro = \"{distro}\" needs {key}")]
    Lacks {
        /// The distribution.
        distro: &'static str,
        /// The key.
        key: &'static str,
    },
}

impl TemplateError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Absent { .. } | Self::NoFile { .. } | Self::TooLarge { .. } => {
                "chukka template list names those that chukka has"
            }
            Self::Read { .. } => "check that it is readable, and UTF-8",
            Self::Syntax { .. } | Self::Disks(_) => "chukka template show debian shows one",
            Self::Cdrom => "give the ISO image as LOCATION, or as install-repository",
            Self::Lacks { .. } => "add it, or leave install-distro out",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<String>, String> {
        let words = Template::parse(text)?.words(Given::default());
        let words = words.map_err(|error| error.to_string())?;
        Ok(words.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn a_template_is_the_same_as_options() {
        let text = "name = 'web'\nmemory = 2048\nvcpus = 2\nnetwork = ['user', 'tap,ifname=t0']\n\
                    install-repository = 'http://mirror.example/debian/'\ninstall-distro = 'debianlike'\n\
                    debian-release = 'bookworm'\ninstall-args = 'quiet priority=critical'\npreseed = 'web.cfg'\n\
                    [[disks]]\nsize = '2G'\n[[disks]]\nsize = 8\nformat = 'raw'\nbootable = true\n";
        assert_eq!(
            words(text).unwrap(),
            [
                "--name=web",
                "--append=quiet priority=critical",
                "--preseed=web.cfg",
                "--memory=2048",
                "--vcpus=2",
                "--network=user",
                "--network=tap,ifname=t0",
                "--disk=size=8,format=raw",
                "--disk=size=2G",
                "--location=http://mirror.example/debian/dists/bookworm/main/installer-amd64/",
            ]
        );
        let text = "disks = '<provision><disk device=\"1\" size=\"1024\" sr=\"\" bootable=\"false\"/>\
                    <disk device=\"0\" size=\"8589934592\" sr=\"\" bootable=\"true\" type=\"system\"/></provision>'";
        assert_eq!(words(text).unwrap(), ["--disk=size=8388608K", "--disk=size=1K"]);
    }

    #[test]
    fn a_repository_is_found_as_eliloader_finds_it() {
        let of = |rest: &str| {
            let text = format!("install-repository = 'http://mirror.example/x'\n{rest}");
            words(&text).map(|words| words.join(" "))
        };
        for distro in ["rhlike", "sleslike"] {
            let found = of(&format!("install-distro = '{distro}'")).unwrap();
            assert_eq!(found, "--location=http://mirror.example/x");
        }
        assert_eq!(
            of("install-distro = 'debianlike'\ndebian-release = 'sid'\ninstall-arch = 'i386'")
                .unwrap(),
            "--location=http://mirror.example/x/dists/sid/main/installer-i386/"
        );
        assert_eq!(
            of("install-distro = 'pygrub'\ninstall-kernel = 'k'\ninstall-ramdisk = 'r'").unwrap(),
            "--location=http://mirror.example/x --kernel=k --initrd=r"
        );
        assert!(of("install-distro = 'debianlike'").unwrap_err().contains("needs debian-release"));
        assert!(of("install-distro = 'pygrub'").unwrap_err().contains("needs install-kernel"));
    }

    #[test]
    fn what_the_user_gives_takes_precedence() {
        let text = "network = 'user'\ndisks = [{ size = 8 }]\ninstall-repository = 'x'\ninitrd-inject = 'f'\nvcpus = 2";
        let given = Given { location: true, disks: true, networks: true, injected: true };
        let words = Template::parse(text).unwrap().words(given).unwrap();
        assert_eq!(words, ["--vcpus=2"]);
    }

    #[test]
    fn what_is_no_template_is_refused_with_a_reason() {
        for (text, said) in [
            ("vcpus = 1\nmemory = ", "line 2: "),
            ("colour = 'red'", "unknown field `colour`"),
            ("install-distro = 'bsdlike'", "unknown variant `bsdlike`"),
            ("install-repository = 'cdrom'", "expected a URL"),
            ("disks = '<provision>'", "disks = '<provision>'"),
            ("disks = [{ colour = 'red' }]", "expected [{ size = \"20G\", bootable = true }]"),
        ] {
            let error = words(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let absent = Template::open(Path::new("/no/such")).unwrap_err().to_string();
        assert!(absent.contains("There is no file '/no/such'"), "{absent}");
        assert!(Template::open(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn every_template_of_ours_can_be_used_and_says_what_it_is() {
        for (name, text) in KNOWN {
            let template = Template::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(template.description.is_some(), "{name}");
            assert!(!template.words(Given::default()).unwrap().is_empty(), "{name}");
        }
    }
}
