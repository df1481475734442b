//! What the sandbox of a run leaves open: the files that are opened after the guest has started.

use std::path::{Path, PathBuf};

use location::{Place, place};
use vmm::config::{Chardev, SocketAddress};
use vmm::sandbox::Sandbox;

use crate::request::{BootFiles, Confinement, NetworkConfig, Request, StreamAddress};

/// What the C library reads to find a host by its name: getaddrinfo(3), nsswitch.conf(5).
pub(crate) const NAME_SERVICE: [&str; 10] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/lib",
    "/lib64",
    "/usr/lib",
];

/// The sandbox of a run: `None` if the user has switched it off.
#[must_use]
pub fn of(request: &Request) -> Option<Sandbox> {
    let mut sandbox = match request.confinement {
        Confinement::Off => return None,
        Confinement::Full => Sandbox::default(),
        Confinement::BeforeAnother => before_another(request),
    };
    // Which pages of an initrd are in memory: /proc/self/pagemap.
    sandbox.read.push("/proc/self".into());
    let mut asks_for_names = false;
    for card in &request.cards {
        match &card.network {
            NetworkConfig::User(config) => {
                // It changes with the networks of the host: network/src/resolver.rs.
                sandbox.read.push("/etc/resolv.conf".into());
                sandbox.read.extend(config.tftp.clone());
            }
            NetworkConfig::Stream(stream) => {
                asks_for_names |= matches!(stream.address, StreamAddress::Inet(..));
            }
            NetworkConfig::Tap(_) => {}
        }
    }
    sandbox.remove.extend(removed_in_the_end(request).map(|path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).into()
    }));
    if let Some(boot) = &request.boot {
        // The guest reads a location of this host by its network.
        if let BootFiles::Location { place: Place::Local(path), .. } = &boot.files {
            sandbox.read.push(path.clone());
        }
        asks_for_names |= boot.files.places().any(|place| !matches!(place, Place::Local(_)));
    }
    // A CD on a server is read as the guest asks, if need be by a new connection.
    asks_for_names |= request.all_cds().map(|cd| place::url(&cd.path)).any(|place| {
        matches!(
            place,
            Some(Ok(Place::Http(_) | Place::Ftp(_) | Place::Tftp(_) | Place::Nfs { .. }))
        )
    });
    if asks_for_names {
        sandbox.read.extend(NAME_SERVICE.map(PathBuf::from));
    }
    // How the run ended is recorded there after it: `-state`, and `chukka install`, which keeps the
    // console's log there.
    let directory = request.state.as_ref().map(|state| state.directory.as_path());
    let directory = directory.or(request.installs_in.as_deref());
    sandbox.write.extend(directory.map(PathBuf::from));
    Some(sandbox)
}

/// The files that are there while the guest runs: sockets, the file with the
/// process's id, and a core file that stays empty.
fn removed_in_the_end(request: &Request) -> impl Iterator<Item = &Path> {
    let gdb = request.vm.gdb.iter().filter_map(|gdb| match &gdb.address {
        SocketAddress::Unix(path) => Some(path.as_path()),
        SocketAddress::Tcp { .. } => None,
    });
    let sockets = request.vm.chardevs().filter_map(Chardev::socket_path);
    gdb.chain(sockets).chain(request.pid_file.as_deref()).chain(request.core_file.as_deref())
}

/// What is open to a process that will start another guest of the same installation: it reads
/// everything, such as firmware, and writes to the disks and KVM.
fn before_another(request: &Request) -> Sandbox {
    let disks = request.disks.iter().map(|disk| disk.path.clone());
    let devices = ["/dev/kvm", "/dev/net/tun"].map(PathBuf::from);
    Sandbox {
        read: vec!["/".into()],
        write: disks.chain(devices).collect(),
        remove: Vec::new(),
        keeps_capabilities: true,
    }
}
