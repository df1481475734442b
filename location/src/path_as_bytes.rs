//! Paths in data that processes pass to each other: any bytes, where serde's own form is UTF-8
//! only. For `#[serde(with = …)]`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    path.as_os_str().serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    OsString::deserialize(from).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Named(#[serde(with = "super")] PathBuf);

    #[test]
    fn a_path_that_is_not_utf_8_arrives_as_it_was() {
        let sent = Named(OsStr::from_bytes(b"/srv/\xff a").into());
        let text = serde_json::to_string(&sent).unwrap();
        assert_eq!(serde_json::from_str::<Named>(&text).unwrap(), sent);
    }
}
