use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use firmware::KernelError;
use firmware::flash::FlashError;
use firmware::payload::LoadError;
use firmware::rom::RomError;
use firmware::smbios::SmbiosError;
use firmware::source_file::SourceError;
use fw_cfg::ItemError;
use guest_memory::hint::Hint;
use thiserror::Error;
use vm_memory::GuestMemoryError;
use vm_memory::mmap::MmapRegionError;

use super::REPORT_DEFECT;

/// Why a guest file or the firmware cannot be used.
#[derive(Debug, Error)]
pub enum BootError {
    /// A guest file.
    #[error(transparent)]
    File(#[from] SourceError),
    /// A file does not fit into guest memory.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The SMBIOS tables.
    #[error(transparent)]
    Smbios(#[from] SmbiosError),
    /// A firmware image or an option ROM.
    #[error(transparent)]
    RomFile(#[from] RomError),
    /// The images of the flash chips.
    #[error(transparent)]
    Flash(#[from] FlashError),
    /// An image of a flash chip could be opened but not read.
    #[error("Cannot read the flash image '{}'", path.display())]
    FlashRead {
        /// Its name.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// There is a disk or a CD and no kernel, and the firmware that could boot it is not there.
    #[error("A disk or CD cannot be booted without firmware")]
    NoFirmwareForDisk(#[source] RomError),
    /// The boot ROM of the network cards is not there.
    #[error("The guest cannot boot from the network without a boot ROM for its card")]
    NoNetworkRom(#[source] RomError),
    /// Firmware cannot boot the kernel.
    #[error(transparent)]
    Publish(#[from] KernelError),
    /// The description of the machine does not fit into fw_cfg.
    #[error(transparent)]
    Platform(#[from] firmware::PublishError),
    /// An item of fw_cfg.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// Memory for the firmware's ROM.
    #[error("Cannot allocate memory for the firmware's ROM")]
    RomMemory(#[source] MmapRegionError),
    /// The firmware does not fit into guest memory.
    #[error("Cannot copy the firmware into guest memory")]
    Rom(#[source] GuestMemoryError),
    /// A file that contains an SMBIOS string.
    #[error("Cannot read '{}' for -smbios type=11", path.display())]
    OemString {
        /// The file's name.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The configuration names neither a kernel nor firmware.
    #[error("There is neither firmware nor a kernel to boot")]
    Nothing,
}

impl Hint for BootError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::File(error) => Hint::hint(error),
            Self::Load(error) => Hint::hint(error),
            Self::Smbios(error) => Hint::hint(error),
            Self::RomFile(error) => Hint::hint(error),
            Self::Flash(error) => Hint::hint(error),
            Self::FlashRead { .. } => Some("did the file change while it was being read?".into()),
            Self::NoFirmwareForDisk(_) => Some(
                "install SeaBIOS (Debian, Ubuntu: 'apt install seabios'; Fedora: 'dnf install \
                 seabios-bin'), or name its directory with -L; -bootdisk DISK boots the disk's \
                 kernel without firmware"
                    .into(),
            ),
            Self::NoNetworkRom(_) => Some(
                "install iPXE's (Debian, Ubuntu: 'apt install ipxe-qemu'; Fedora: 'dnf install \
                 ipxe-roms-qemu'), or name its directory with -L, or give the card's -device \
                 romfile=FILE"
                    .into(),
            ),
            Self::Publish(error) => Hint::hint(error),
            Self::Platform(firmware::PublishError::Item(error)) | Self::Item(error) => {
                item_hint(error).map(Into::into)
            }
            Self::Rom(_) => Some("give the guest at least 1 MiB of memory".into()),
            Self::RomMemory(_) => Some("check ulimit -v".into()),
            Self::OemString { .. } => Some("check the path given to path=".into()),
            Self::Platform(_) | Self::Nothing => Some(REPORT_DEFECT.into()),
        }
    }
}

/// Hint for an item that cannot be published.
fn item_hint(error: &ItemError) -> Option<&'static str> {
    Some(match error {
        ItemError::Duplicate { .. } => {
            "chukka publishes this name itself, or it is given twice: use another, such as \
             opt/org.example/…"
        }
        ItemError::NameLength { .. } | ItemError::NameNul { .. } => "use a shorter name",
        ItemError::DirectoryFull { .. } => "give fewer files",
        ItemError::TooBig { .. } => "sizes in fw_cfg are 32 bits wide; make the file smaller",
        ItemError::KeyTaken { .. } | ItemError::KeyReserved { .. } => return None,
    })
}
