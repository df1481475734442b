//! What the command line asks for: what to boot, and the machine to boot it on. Plain data, not yet
//! checked against the host.

use std::path::PathBuf;

use devices::disk::ErrorPolicy;
use location::Place;
use location::fetch::Settings;
use location::menu::Choice;
use location::remote::Net;
use storage::disk::DiskOptions;
use vmm::config::VmConfig;
use vmm::sandbox::HostUser;

use crate::timeline::TimelineConfig;

/// Everything that argv decides about one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The machine.
    pub vm: VmConfig,
    /// The kernel; firmware can do without one.
    pub boot: Option<BootSource>,
    /// The installation that says what is booted; [`Request::boot`] is then the disk to boot once
    /// it has finished, if there is one.
    pub state: Option<StateConfig>,
    /// The guest's disks, in the order in which it finds them.
    pub disks: Vec<DiskConfig>,
    /// The guest's CD drives, likewise; `None` without a controller for them.
    pub cds: Option<Vec<DiskConfig>>,
    /// The CD drives of the SATA controller; `None` without that controller. Its disks are among
    /// [`Self::disks`].
    pub sata_cds: Option<Vec<DiskConfig>>,
    /// How servers with a CD are talked to.
    pub cd_net: Net,
    /// The disk that `-bootdisk` names. The guest gets it unless it is among `disks`:
    /// [`crate::bootdisk::attach`].
    pub boot_disk: Option<DiskConfig>,
    /// The guest's network cards, in the order in which it finds them.
    pub cards: Vec<CardConfig>,
    /// The flash chips with the firmware: its code, then its variables.
    pub flash: Vec<DiskConfig>,
    /// The directory of `chukka install`, which records there how the run ended.
    pub installs_in: Option<PathBuf>,
    /// What the process gives up before the guest starts (`-sandbox`).
    pub confinement: Confinement,
    /// Whose rights the process has while the guest runs (`-run-with user=`).
    pub user: Option<HostUser>,
    /// The file with the process id while the guest runs (`-pidfile`).
    pub pid_file: Option<PathBuf>,
    /// Whether the run goes on in the background once the guest is about to run (`-daemonize`).
    pub daemonize: bool,
    /// Where the guest's memory goes if it panics or hangs (`-vmcore`).
    pub core_file: Option<PathBuf>,
    /// Where the phases of the run are written.
    pub timeline: Option<TimelineConfig>,
    /// Options that work but are probably a mistake, one line each.
    pub warnings: Vec<String>,
}

/// What the process gives up before the guest starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confinement {
    /// Nothing: `-sandbox off`.
    Off,
    /// All that it does not need to run this guest.
    #[default]
    Full,
    /// Less: it will start another guest, of the same installation.
    BeforeAnother,
}

/// A disk for the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskConfig {
    /// The image or block device.
    pub path: PathBuf,
    /// How it is opened.
    pub options: DiskOptions,
    /// Bytes of the disk that is created if there is no such image.
    pub size: Option<u64>,
    /// What replaces the backing file that the image names.
    pub backing: Option<PathBuf>,
    /// What follows when the image cannot be read or written. Not for CDs and flash chips.
    pub errors: ErrorPolicy,
    /// The serial number that the guest sees.
    pub serial: String,
    /// Its position in the firmware's boot order, from 0.
    pub boot_index: Option<u32>,
    /// Its port of the SATA controller, from 0; `None` if it is a virtio disk, or a CD on the SCSI
    /// controller.
    pub sata_port: Option<u8>,
}

impl Request {
    /// All CDs, on either controller.
    pub fn all_cds(&self) -> impl Iterator<Item = &DiskConfig> {
        self.cds.iter().chain(&self.sata_cds).flatten()
    }

    /// How many of the disks are virtio disks.
    #[must_use]
    pub fn virtio_disks(&self) -> usize {
        self.disks.iter().filter(|disk| disk.sata_port.is_none()).count()
    }
}

impl DiskConfig {
    /// Whether what the guest writes is still there after the run.
    #[must_use]
    pub fn keeps_writes(&self) -> bool {
        !self.options.read_only && !self.options.snapshot
    }
}

/// A network card for the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardConfig {
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// What it is connected to.
    pub network: NetworkConfig,
    /// The features that it does not offer: a mask of bits of [`devices::virtio::net::OPTIONAL`].
    pub withheld: u64,
    /// Where its frames are recorded.
    pub dump: Option<DumpConfig>,
    /// Its position in the firmware's boot order, from 0.
    pub boot_index: Option<u32>,
    /// The ROM by which firmware boots from it.
    pub boot_rom: BootRom,
}

impl CardConfig {
    /// A card in place of one that is not known.
    #[must_use]
    pub fn stand_in() -> Self {
        Self {
            mac: [0; 6],
            network: NetworkConfig::stand_in(),
            withheld: 0,
            dump: None,
            boot_index: None,
            boot_rom: BootRom::Usual,
        }
    }
}

/// The ROM by which a BIOS boots from a network card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BootRom {
    /// iPXE's, if the guest boots from the network.
    #[default]
    Usual,
    /// This file (`romfile=FILE`).
    File(PathBuf),
    /// No ROM (`romfile=`): the card cannot be booted from.
    None,
}

/// A recording of a card's frames (`-object filter-dump`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpConfig {
    /// The file, which is created or truncated.
    pub path: PathBuf,
    /// The maximum number of bytes of a frame that are recorded.
    pub max_length: u32,
}

/// What a network card is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkConfig {
    /// A network of this process, by the host's sockets.
    User(Box<network::Config>),
    /// A tap interface of the host.
    Tap(TapConfig),
    /// Another program that takes and sends frames.
    Stream(StreamConfig),
}

impl NetworkConfig {
    /// A network in place of one that is not known.
    #[must_use]
    pub fn stand_in() -> Self {
        Self::Tap(TapConfig::Name(String::new()))
    }
}

/// A tap interface of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapConfig {
    /// The one of this name.
    Name(String),
    /// The one that is open under this descriptor.
    Descriptor(i32),
}

/// A connection that carries frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// Whether chukka waits for the connection, instead of making it.
    pub is_server: bool,
    /// Where.
    pub address: StreamAddress,
}

/// The address of a stream socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamAddress {
    /// A socket in the file system.
    Unix(PathBuf),
    /// TCP: a host by name or address, and a port.
    Inet(String, u16),
}

/// The kernel with its files and its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootSource {
    /// Kernel and initrd.
    pub files: BootFiles,
    /// Files to be put into the initrd, in their order; no path is there twice.
    pub injections: Vec<Injection>,
    /// Answers that the guest fetches by itself: whose, and the URL as the user wrote it.
    pub answers_at: Vec<(Answers, String)>,
    /// Where the guest's user network serves the location by HTTP, without a slash at the end:
    /// [`crate::location_server::attach`].
    pub served_at: Option<String>,
    /// The place that is served, if it is not that of [`BootSource::files`].
    pub served: Option<Place>,
    /// The answers for a Solaris installer (`-autocf`).
    pub solaris_answers: Option<SolarisAnswers>,
    /// Whether the command line gets the words that tell the installer where its tree is.
    pub location_args: bool,
    /// The kernel command line (`-append`): bytes as given, without a NUL inside or at the end.
    /// Injections may add words.
    pub cmdline: Vec<u8>,
    /// How a place on another host is read.
    pub fetch: Settings,
    /// The sums that kernel and initrd are to have (`-checksum`).
    pub checksums: Vec<Checksum>,
}

/// The answers to the questions of a Solaris installer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SolarisAnswers {
    /// JumpStart: a directory on an NFS server, for Nevada.
    JumpStart {
        /// The server.
        server: String,
        /// The directory's path there.
        path: String,
    },
    /// Properties, `NAME=VALUE`, of OpenSolaris' Automated Installer.
    Ai(Vec<String>),
}

/// An installation that is under way, or has finished (`-state`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateConfig {
    /// The directory that holds it.
    pub directory: PathBuf,
    /// The user's words for the installer's kernel (`-append`): bytes as given, without a NUL.
    pub append: Vec<u8>,
}

/// The checksum that a file must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// `kernel`, `initrd`, or the file's name without its directory.
    pub of: String,
    /// `sha256:HEX`, `sha512:HEX` or `sha1:HEX`.
    pub sum: String,
}

/// Where kernel and initrd are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootFiles {
    /// Files of this host, or with URLs of their own.
    Named {
        /// The kernel (`-kernel`): bzImage or ELF.
        kernel: Place,
        /// The initial RAM disk (`-initrd`).
        initrd: Option<Place>,
    },
    /// To be found in a place (`-location`).
    Location {
        /// The place.
        place: Place,
        /// The kernel's path in it, or its own URL (`-kernel`), where the user knows it.
        kernel: Option<PathBuf>,
        /// The initrd's (`-initrd`).
        initrd: Option<PathBuf>,
    },
    /// An entry of the boot menu on a disk (`-bootdisk`).
    Disk {
        /// The disk.
        place: Place,
        /// Which entry (`-entry`).
        choice: Choice,
    },
}

impl BootFiles {
    /// The places that are looked into, or that are a file's own.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        let (place, other) = match self {
            Self::Named { kernel, initrd } => (kernel, initrd.as_ref()),
            Self::Location { place, .. } | Self::Disk { place, .. } => (place, None),
        };
        [place].into_iter().chain(other)
    }

    /// Whether other hosts are asked, which may take long.
    pub fn is_remote(&self) -> bool {
        let urls = match self {
            Self::Named { .. } | Self::Disk { .. } => [None, None],
            Self::Location { kernel, initrd, .. } => [kernel.as_ref(), initrd.as_ref()],
        };
        let is_remote = |path: &PathBuf| matches!(location::place::url(path), Some(Ok(place)) if place.is_remote());
        self.places().any(Place::is_remote) || urls.into_iter().flatten().any(is_remote)
    }
}

/// A file to be put into the initrd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// Where it is on this host.
    pub path: PathBuf,
    /// What it is.
    pub answers: Answers,
}

/// Whose questions a file answers, which the command line then says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Nobody's that chukka knows (`-initrd-inject`).
    None,
    /// Those of Debian's installer (`-preseed`).
    Preseed,
    /// Anaconda's (`-kickstart`).
    Kickstart,
    /// SUSE's (`-autoyast`).
    Autoyast,
}
