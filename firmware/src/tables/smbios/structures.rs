//! A sequence of structures: each a header, fields, and the strings that fields refer to by number
//! (SMBIOS 2.8, 6.1).

use super::SmbiosError;

/// Size of a structure's header in bytes: type, length, handle.
const HEADER: usize = 4;

/// A builder for structures.
#[derive(Clone, Debug, Default)]
pub(super) struct Structures {
    bytes: Vec<u8>,
    longest: usize,
    count: usize,
}

impl Structures {
    /// Appends a structure. `fields` is everything after the header; its first string has number 1.
    pub fn push(&mut self, kind: u8, handle: u16, fields: &[u8], strings: &[&[u8]]) {
        let start = self.bytes.len();
        // Without their strings, structures are shorter than 64 bytes.
        let length = u8::try_from(HEADER + fields.len()).unwrap_or(u8::MAX);
        self.bytes.extend([kind, length]);
        self.bytes.extend(handle.to_le_bytes());
        self.bytes.extend(fields);
        for string in strings {
            self.bytes.extend(*string);
            self.bytes.push(0);
        }
        // Two NULs end the structure. One ends the last string; without strings, both must be
        // added.
        if strings.is_empty() {
            self.bytes.push(0);
        }
        self.bytes.push(0);
        self.longest = self.longest.max(self.bytes.len() - start);
        self.count += 1;
    }

    /// All of them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Size of the longest structure in bytes, including its strings.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Number of structures.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Checks that `text` can be a string of a structure.
pub(super) fn check(what: &'static str, text: &[u8]) -> Result<(), SmbiosError> {
    if text.is_empty() {
        return Err(SmbiosError::Empty { what });
    }
    if text.contains(&0) {
        return Err(SmbiosError::Nul { what, text: text.into() });
    }
    Ok(())
}
