//! Why chukka could not run a guest, by stage.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use firmware::image::ImageError;
use firmware::source_file::SourceError;
use guest_memory::hint::Hint;
use location::menu::MenuError;
use location::{InjectError, PlaceError, TreeError};
use storage::disk::DiskError;
use storage::hint_of;
use thiserror::Error;
use vmm::error::StartError;

use crate::args::ArgsError;
use crate::cdrom::CdError;
use crate::core_file::CoreFileError;
use crate::install_state::StateError;
use crate::networks::NetworkError;
use crate::pid_file::PidFileError;
use crate::reader::ReaderError;
use crate::report::{self, with_sources};
use crate::timeline::TimelineError;

/// Anything that ends chukka with status 125, by stage.
#[derive(Debug, Error)]
pub enum RunError {
    /// Reading argv.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// Reading the state that `-state` names.
    #[error(transparent)]
    State(#[from] StateError),
    /// Finding and opening what is booted.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Handing files to the user (`chukka fetch`).
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Opening a disk for the guest.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Opening a CD for the guest.
    #[error(transparent)]
    Cd(#[from] CdError),
    /// Setting up what a network card is connected to.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Opening a flash chip.
    #[error(transparent)]
    Flash(#[from] FlashFileError),
    /// Writing the process id (`-pidfile`).
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    /// Creating the core file (`-vmcore`).
    #[error(transparent)]
    CoreFile(#[from] CoreFileError),
    /// Creating the timeline (`-timeline`).
    #[error(transparent)]
    Timeline(#[from] TimelineError),
    /// Starting the guest.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A signal ended chukka before the guest ran: chukka dies of the same signal.
    #[error("Stopped{}", during.as_ref().map(|what| format!(" while fetching {what}")).unwrap_or_default())]
    Stopped {
        /// Which signal.
        signal: i32,
        /// What was being fetched, and what happens to the part that is here.
        during: Option<String>,
    },
}

/// Why the image of a flash chip cannot be used.
#[derive(Debug, Error)]
#[error("The flash chip of unit {unit}")]
pub struct FlashFileError {
    /// Its number.
    pub unit: usize,
    /// The image.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: DiskError,
}

impl FlashFileError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let DiskError::Open { source, .. } = &self.source else {
            return match &self.source {
                DiskError::InUse { .. } => {
                    Some("give each guest its own copy of the firmware's variables".into())
                }
                DiskError::Empty { .. } | DiskError::OddSize { .. } => Some(COPY_TEMPLATE.into()),
                other => other.hint(),
            };
        };
        match source.kind() {
            io::ErrorKind::NotFound if self.unit > 0 => Some(COPY_TEMPLATE.into()),
            io::ErrorKind::NotFound => {
                Some("install the firmware (Debian: 'apt install ovmf'), or check the path".into())
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(
                "add readonly=on for the code; give the guest its own copy of the variables".into(),
            ),
            _ => None,
        }
    }
}

const COPY_TEMPLATE: &str =
    "make a copy of the firmware's template: cp /usr/share/OVMF/OVMF_VARS.fd my-OVMF_VARS.fd";

/// Why there is nothing to boot.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// The kernel file.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The initrd file.
    #[error(transparent)]
    Initrd(#[from] SourceError),
    /// The place that `-location` names.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The tree in it.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The disk that `-bootdisk` names.
    #[error("The disk cannot be used")]
    Disk {
        /// What is wrong with it.
        source: location::FileError,
        /// What to do.
        hint: &'static str,
    },
    /// The disk's boot menu.
    #[error(transparent)]
    Menu(#[from] MenuError),
    /// A file for the initrd.
    #[error(transparent)]
    Inject(#[from] InjectError),
    /// What the process says that reads images and servers' answers.
    #[error("{message}")]
    Reported {
        /// The whole message.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// That process has not done its work.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// A file that was found cannot be fetched or read.
    #[error("Cannot read '{name}'")]
    Fetch {
        /// Its name.
        name: String,
        /// The cause.
        source: io::Error,
    },
    /// An initrd with the user's files in it would be too long.
    #[error("Cannot put files into the initrd '{name}'")]
    Compose {
        /// Its name.
        name: String,
        /// The cause.
        source: io::Error,
    },
    /// A checksum was given for a file that is not booted.
    #[error("-checksum {of}=…: no such file; kernel and initrd are {there}")]
    NothingToCheck {
        /// The name that was given.
        of: String,
        /// The files that are booted.
        there: String,
    },
}

/// Why `chukka fetch` cannot hand a file to the user.
#[derive(Debug, Error)]
pub enum CopyError {
    /// A file that is only in memory, where a path was asked for.
    #[error("The {role} exists only in memory and has no path")]
    NoName {
        /// "kernel", "initrd".
        role: &'static str,
    },
    /// Without a cache and a directory for copies nothing would remain of what is fetched.
    #[error("Without a cache, what is fetched exists only in memory")]
    NowhereToPut,
    /// A file of the user's has the name of a copy.
    #[error("'{}' already exists, and is not a copy that chukka fetch wrote", path.display())]
    Taken {
        /// Its name.
        path: PathBuf,
    },
    /// A copy cannot be written.
    #[error("Cannot create '{}'", path.display())]
    Create {
        /// Its name.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl RunError {
    /// Tells the user, with `name` in front: each error of a command line with its hint.
    pub fn report(&self, name: &str) {
        self.report_as(|text| text.to_owned(), name);
    }

    /// The same, with every text as `spelt` has it.
    pub fn report_as(&self, spelt: impl Fn(&str) -> String, name: &str) {
        let tell = |text: String, hint: Option<Cow<'_, str>>| {
            let hint = hint.map(|hint| spelt(&hint));
            report::message(&(name.to_owned() + &spelt(&text)), hint.as_deref());
        };
        let Self::Args(errors) = self else {
            return tell(with_sources(self), self.hint());
        };
        for error in errors.parts() {
            tell(with_sources(error), error.hint());
        }
    }
}

impl Hint for RunError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Args(error) => error.hint(),
            Self::State(error) => error.hint(),
            Self::Resolve(error) => error.hint(),
            Self::Copy(error) => error.hint(),
            Self::Disk(error) => error.hint().map(Into::into),
            Self::Cd(error) => error.hint().map(Into::into),
            Self::Network(error) => error.hint().map(Into::into),
            Self::Flash(error) => error.hint().map(Into::into),
            Self::PidFile(error) => Some(error.hint().into()),
            Self::CoreFile(error) => Some(error.hint().into()),
            Self::Timeline(error) => Some(error.hint().into()),
            Self::Start(error) => error.hint(),
            Self::Stopped { .. } => None,
        }
    }
}

impl Hint for ResolveError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint: String = match self {
            Self::Reported { hint, .. } => return hint.as_deref().map(Into::into),
            Self::Reader(error) => error.hint().into(),
            Self::Image(error) => error.hint(),
            Self::Initrd(error) => error.hint(),
            Self::Place(error) => error.hint().into(),
            Self::Tree(error) => error.hint(),
            Self::Disk { hint, .. } => (*hint).into(),
            Self::Menu(error) => error.hint().into(),
            Self::Inject(error) => error.hint(),
            Self::Fetch { source, .. } | Self::Compose { source, .. } => {
                hint_of(source).unwrap_or("read error: check the disk").into()
            }
            Self::NothingToCheck { .. } => {
                "use the name of one of these files, or kernel= or initrd=".into()
            }
        };
        Some(hint.into())
    }
}

impl Hint for CopyError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint: String = match self {
            Self::NoName { .. } | Self::NowhereToPut => "use --output DIR to copy it there".into(),
            Self::Taken { .. } => "remove it, or use another directory: --output DIR".into(),
            Self::Create { .. } => "check that its directory exists and is writable".into(),
        };
        Some(hint.into())
    }
}
