//! Bytes in JSON as a string with one character for each byte (Latin-1): console text stays
//! readable and no byte is lost. For `#[serde(with = "bytes")]`.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes bytes as a string.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&bytes.iter().map(|&byte| char::from(byte)).collect::<String>())
}

/// Reads bytes from a string.
///
/// # Errors
/// Those of the deserializer; a character above U+00FF is none of ours.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.chars()
        .map(|c| u8::try_from(c).map_err(|_| D::Error::custom(format!("{c:?} is not a byte"))))
        .collect()
}
