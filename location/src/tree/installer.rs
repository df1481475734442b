//! What starts from a kernel, and what its tree says it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What starts from a kernel and its initrd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Installer {
    /// Fedora's, RHEL's and that of its rebuilds.
    Anaconda,
    /// Debian's, with network.
    Debian,
    /// Debian's, for its medium.
    DebianMedium,
    /// SUSE's YaST, and from 16 on Agama.
    Yast,
    /// Ubuntu's live system.
    Casper,
    /// Arch's live system.
    Arch,
    /// Alpine's live system.
    Alpine,
    /// Debian's live system.
    DebianLive,
    /// Mageia's and Mandriva's.
    Mageia,
    /// Solaris Express up to Nevada: Solaris' own installer, of a miniroot.
    Nevada,
    /// OpenSolaris, illumos and what came after: a live system.
    OpenSolaris,
    /// The live system of Fedora CoreOS, RHEL CoreOS and their relatives.
    CoreOs,
    /// Something that needs no words, or is not known.
    #[default]
    Other,
}

/// Parts of the names of distributions that anaconda installs (osinfo-db's data/os, and the
/// rebuilds of RHEL and Fedora).
const OF_ANACONDA: [&str; 27] = [
    "fedora",
    "red hat",
    "redhat",
    "rhel",
    "rhv",
    "centos",
    "scientific",
    "oracle",
    "alma",
    "rocky",
    "eurolinux",
    "cloudlinux",
    "miracle",
    "navy",
    "circle",
    "vzlinux",
    "virtuozzo",
    "openeuler",
    "anolis",
    "opencloudos",
    "tencentos",
    "asianux",
    "springdale",
    "qubes",
    "ovirt",
    "red os",
    "msvsphere",
];

impl Installer {
    /// What a `.treeinfo` of `family` belongs to. `has_stage2`: it names the second stage that
    /// anaconda loads.
    pub(super) fn of_family(family: &str, has_stage2: bool) -> Self {
        let family = family.to_ascii_lowercase();
        let has = |name: &&str| family.contains(name);
        match () {
            () if has(&"coreos") => Self::CoreOs,
            () if ["suse", "sle"].iter().any(has) => Self::Yast,
            () if ["debian", "ubuntu"].iter().any(has) => Self::Debian,
            () if has_stage2 || OF_ANACONDA.iter().any(has) => Self::Anaconda,
            () => Self::Other,
        }
    }
}

impl fmt::Display for Installer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anaconda => "anaconda",
            Self::Debian => "Debian's installer",
            Self::DebianMedium => "Debian's installer for its medium",
            Self::Yast => "SUSE's installer",
            Self::Casper => "Ubuntu's live system",
            Self::Arch => "Arch's live system",
            Self::Alpine => "Alpine's live system",
            Self::DebianLive => "Debian's live system",
            Self::Mageia => "Mageia's installer",
            Self::Nevada => "Solaris' installer",
            Self::OpenSolaris => "the live system of OpenSolaris or illumos",
            Self::CoreOs => "CoreOS' live system",
            Self::Other => "not known",
        })
    }
}

/// What a tree says it is; empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// "Fedora", "Red Hat Enterprise Linux".
    pub family: String,
    /// "42", "9.4".
    pub version: String,
}

impl Release {
    /// The first number of the version.
    #[must_use]
    pub fn major(&self) -> Option<u32> {
        let digits = self.version.find(|c: char| !c.is_ascii_digit());
        self.version[..digits.unwrap_or(self.version.len())].parse().ok()
    }
}
