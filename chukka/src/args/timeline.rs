//! `-timeline`: where the phases of the run are written.

use super::error::ArgsError;
use super::options::Options;
use crate::timeline::{Format, TimelineConfig};

/// `-timeline FILE.json`, `-timeline FILE.svg` or `-timeline -`. The last one counts.
pub(super) fn timeline(options: &Options) -> Result<Option<TimelineConfig>, ArgsError> {
    let Some(name) = &options.timeline else { return Ok(None) };
    let format = Format::of(name).ok_or_else(|| {
        let given = format!("-timeline {}", name.to_string_lossy());
        ArgsError::bad(given, "FILE.json, FILE.svg or -").with_hint(
            "use .json for Perfetto, .svg for a picture, or - for a table on standard error",
        )
    })?;
    Ok(Some(TimelineConfig { format, path: name.into() }))
}
