//! `-timeline`: where the phases of the run are written.

use super::error::ArgsError;
use super::options::Options;
use crate::timeline::{Form, TimelineConfig};

/// `-timeline FILE.json`, `-timeline FILE.svg` or `-timeline -`. The last one counts.
pub(super) fn timeline(options: &Options) -> Result<Option<TimelineConfig>, ArgsError> {
    let Some(name) = &options.timeline else { return Ok(None) };
    let form = Form::of(name).ok_or_else(|| {
        let given = format!("-timeline {}", name.to_string_lossy());
        ArgsError::bad(given, "FILE.json, FILE.svg or -")
            .with_hint("JSON is for Perfetto, SVG is a picture, and - prints a table")
    })?;
    Ok(Some(TimelineConfig { form, path: name.into() }))
}
