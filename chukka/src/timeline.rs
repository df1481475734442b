//! `-timeline`: where the phases of a run are written, and in which format.

mod picture;
mod table;
mod trace;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use thiserror::Error;
use vmm::config::VmConfig;
use vmm::timeline::{BootsBy, Timeline};

use crate::own_file::Kind;
use crate::report;

/// The format of a timeline, by the end of its file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table on standard error.
    Table,
    /// The Trace Event Format, which Perfetto and Chrome open.
    Trace,
    /// An SVG picture.
    Picture,
}

/// Where a timeline goes (`-timeline`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineConfig {
    /// In which format.
    pub format: Format,
    /// The file; [`Format::Table`] has none.
    pub path: PathBuf,
}

impl TimelineConfig {
    /// Checks that [`TimelineFile::create`] can create the file. Creates and changes nothing.
    ///
    /// # Errors
    /// As of [`TimelineFile::create`].
    pub fn check(&self) -> Result<(), TimelineError> {
        let checked = self.format.file().map(|kind| kind.check(&self.path));
        checked.unwrap_or(Ok(())).map_err(self.failed())
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> TimelineError {
        let path = self.path.clone();
        |source| TimelineError { path, source }
    }
}

impl Format {
    /// The format of a file, or of standard error for `-`.
    #[must_use]
    pub fn of(name: &OsStr) -> Option<Self> {
        match Path::new(name).extension().and_then(OsStr::to_str) {
            _ if name == "-" => Some(Self::Table),
            Some("json") => Some(Self::Trace),
            Some("svg") => Some(Self::Picture),
            _ => None,
        }
    }

    /// A file of this format; a table has none.
    fn file(self) -> Option<Kind> {
        let of =
            |length, is_own: fn(&[u8]) -> bool| Some(Kind { name: "a timeline", length, is_own });
        match self {
            Self::Table => None,
            Self::Trace => of(trace::BEGINNING.len(), |found| found == trace::BEGINNING.as_bytes()),
            Self::Picture => {
                of(picture::BEGINNING.len(), |found| found == picture::BEGINNING.as_bytes())
            }
        }
    }
}

/// The file cannot be made.
#[derive(Debug, Error)]
#[error("Cannot create the timeline '{}'", path.display())]
pub struct TimelineError {
    path: PathBuf,
    source: io::Error,
}

impl TimelineError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AlreadyExists => {
                "chukka overwrites only timelines of the same format: choose another file name"
            }
            _ => "check that its directory exists and is writable",
        }
    }
}

/// A timeline that is being recorded, and its file.
#[derive(Debug)]
pub struct TimelineFile {
    timeline: Timeline,
    config: TimelineConfig,
    by: BootsBy,
    file: Option<File>,
}

impl TimelineFile {
    /// Creates the file, or empties the timeline of an earlier run, before the guest starts.
    /// `started` is when the run began.
    ///
    /// # Errors
    /// It cannot be created, or it is something else.
    pub fn create(
        config: &TimelineConfig,
        vm: &VmConfig,
        started: Instant,
    ) -> Result<Self, TimelineError> {
        let file = config.format.file().map(|kind| kind.create(&config.path)).transpose();
        let file = file.map_err(config.failed())?;
        let bios = vm.firmware.as_ref().map(|firmware| firmware.bios.as_deref());
        let by = match bios {
            None => BootsBy::Kernel,
            Some(Some(name)) if name == "builtin" || name == "qboot" => BootsBy::Firmware,
            Some(_) => BootsBy::Bios,
        };
        Ok(Self { timeline: Timeline::new(started), config: config.clone(), by, file })
    }

    /// What records the run.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.timeline.clone()
    }

    /// Writes the timeline of a run that is over, which ended like this.
    pub fn finish(self, end: &str) {
        let recorded = self.timeline.finish(self.by);
        let text = match self.config.format {
            Format::Table => return report::plain(&table::text(&recorded)),
            Format::Trace => trace::text(&recorded, end),
            Format::Picture => picture::text(&recorded, end),
        };
        if let Some(mut file) = self.file
            && let Err(error) = file.write_all(text.as_bytes())
        {
            let path = self.config.path.display();
            report::message(&format!("Cannot write the timeline '{path}': {error}"), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_timeline_of_the_same_format_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        for (name, format, beginning, other) in [
            ("a.json", Format::Trace, trace::BEGINNING, picture::BEGINNING),
            ("a.svg", Format::Picture, picture::BEGINNING, trace::BEGINNING),
        ] {
            let (path, file) = (directory.path().join(name), format.file().unwrap());
            file.create(&path).unwrap();
            fs::write(&path, format!("{beginning}…")).unwrap();
            file.create(&path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"");
            for content in ["{\n", "<svg>", other] {
                fs::write(&path, content).unwrap();
                let error = file.create(&path).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
                assert_eq!(fs::read_to_string(&path).unwrap(), content);
            }
        }
    }

    #[test]
    fn the_extension_selects_the_format() {
        for (name, format) in [
            ("-", Some(Format::Table)),
            ("a/b.json", Some(Format::Trace)),
            ("b.svg", Some(Format::Picture)),
            ("b.txt", None),
            ("json", None),
            ("", None),
        ] {
            assert_eq!(Format::of(OsStr::new(name)), format, "{name}");
        }
    }
}
