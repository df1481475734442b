//! What installers need of a machine.
//!
//! The numbers are osinfo-db's (data/os in its repository), for the current release of each family:
//! the memory is the larger of "minimum" and "network-install", the disk what is "recommended".

use location::tree::Installer;

/// A machine for an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Memory in bytes.
    pub memory: u64,
    /// CPUs.
    pub cpus: u8,
    /// The size of the disk in bytes.
    pub disk: u64,
}

const GIB: u64 = 1 << 30;

/// What `installer` needs, and where that is written.
#[must_use]
pub fn of(installer: Installer) -> (Needs, &'static str) {
    let needs = |memory, disk| Needs { memory: memory * GIB, cpus: 1, disk: disk * GIB };
    match installer {
        Installer::Debian | Installer::DebianMedium | Installer::DebianLive => {
            (needs(1, 20), "osinfo-db: debian-12")
        }
        // A network install keeps the installer's system in memory.
        Installer::Anaconda => (needs(3, 20), "osinfo-db: rhel-9.4, network-install"),
        Installer::Yast => (needs(2, 16), "osinfo-db: opensuse-15.6, recommended"),
        Installer::Casper => (needs(3, 25), "osinfo-db: ubuntu-24.04"),
        Installer::Alpine => (needs(1, 4), "osinfo-db: alpinelinux-3.21, recommended"),
        Installer::Mageia => (needs(2, 20), "osinfo-db: mageia-9, recommended"),
        Installer::CoreOs => (needs(2, 20), "osinfo-db: coreos-stable, recommended"),
        // Its live system is copied into memory: osinfo-db's 512 MiB are for the CD.
        Installer::Arch => (needs(2, 20), "its live system is in memory"),
        Installer::Nevada | Installer::OpenSolaris => {
            (needs(2, 20), "its live system is in memory")
        }
        Installer::Other => (needs(1, 20), "the installer is not known"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_installation_has_room_for_the_installer() {
        assert_eq!(of(Installer::Debian).0, Needs { memory: GIB, cpus: 1, disk: 20 * GIB });
        assert_eq!(of(Installer::Anaconda).0.memory, 3 * GIB);
    }
}
