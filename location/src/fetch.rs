//! Getting what is in a place onto this host.

pub mod cache;

use crate::place::{Place, PlaceError};
use crate::remote::Net;
use crate::source::{RandomAccess, Source};

/// How things are got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How other hosts are talked to.
    pub net: Net,
}

/// Gets things.
#[derive(Debug)]
pub struct Fetcher {
    settings: Settings,
}

impl Fetcher {
    /// Of these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// A place to look into. What is opened in it is got when its bytes are asked for, and no more of it than is asked for;
    /// [`RandomAccess::into_file`] gets the whole.
    ///
    /// # Errors
    /// There is none.
    pub fn place(&self, place: &Place) -> Result<Box<dyn Source>, PlaceError> {
        place.open(&self.settings.net, &|file| file.into_file())
    }

    /// A file by its own URL or path.
    ///
    /// # Errors
    /// It is not there.
    pub fn file(&self, place: &Place) -> Result<Box<dyn RandomAccess>, PlaceError> {
        place.open_file(&self.settings.net)
    }
}
