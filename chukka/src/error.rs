//! What kept chukka from running a guest, for `main` to print.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use firmware::image::ImageError;
use firmware::source_file::SourceError;
use guest_memory::hint::Hint;
use location::menu::MenuError;
use location::{InjectError, PlaceError, TreeError};
use storage::disk::DiskError;
use storage::source::hint_of;
use thiserror::Error;
use vmm::error::StartError;

use crate::cli::CliError;
use crate::install_state::StateError;

/// Anything that ends chukka with status 125. Each message says what was found and what was expected.
#[derive(Debug, Error)]
pub enum RunError {
    /// argv.
    #[error(transparent)]
    Cli(#[from] CliError),
    /// The kernel file.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The initrd file.
    #[error(transparent)]
    Initrd(#[from] SourceError),
    /// The place that `-location` names.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// What is in it.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The boot menu of a disk.
    #[error(transparent)]
    Menu(#[from] MenuError),
    /// The installation that `-state` names.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file for the initrd.
    #[error(transparent)]
    Inject(#[from] InjectError),
    /// What was found could not be made a file of this host.
    #[error("Cannot read '{name}'")]
    Fetch {
        /// Its name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The user, or the host, wanted chukka to end before the guest ran: it dies of the signal.
    #[error("Stopped{}", during.as_ref().map(|what| format!(" while fetching {what}")).unwrap_or_default())]
    Stopped {
        /// Which signal.
        signal: i32,
        /// What was under way, and what is left of it.
        during: Option<String>,
    },
    /// A sum was given for a file that is not there.
    #[error("-checksum {of}=…: there is no such file, kernel and initrd are {there}")]
    NothingToCheck {
        /// Which file.
        of: String,
        /// Which there are.
        there: String,
    },
    /// A file that is only in memory, where a path was asked for.
    #[error("The {role} is put together in memory, and has no path")]
    NoName {
        /// "kernel", "initrd".
        role: &'static str,
    },
    /// A copy for the user cannot be written.
    #[error("Cannot create '{}'", path.display())]
    Copy {
        /// Its name.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A disk for the guest.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The guest could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Hint for RunError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Cli(error) => return error.hint(),
            Self::Image(error) => return Hint::hint(error),
            Self::Initrd(error) => return Hint::hint(error),
            Self::Disk(error) => return error.hint().map(Into::into),
            Self::Start(error) => return error.hint(),
            Self::Place(error) => error.hint().into(),
            Self::Tree(error) => error.hint().into(),
            Self::Menu(error) => error.hint().into(),
            Self::State(error) => error.hint().into(),
            Self::Inject(error) => error.hint().into(),
            Self::Fetch { source, .. } => {
                hint_of(source).unwrap_or("read error: check the disk").into()
            }
            Self::Stopped { .. } => return None,
            Self::NoName { .. } => "have it copied: --output DIR".into(),
            Self::NothingToCheck { .. } => {
                "name it as it is called there, or say kernel= or initrd=".into()
            }
            Self::Copy { .. } => "check that its directory exists and is writable".into(),
        })
    }
}
