//! Structures one after the other: a header, fields, and the strings that fields refer to by number (SMBIOS 2.8, 6.1).

use super::SmbiosError;

/// Bytes of a structure's header: type, length, handle.
const HEADER: usize = 4;

/// Structures in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Structures {
    bytes: Vec<u8>,
    longest: usize,
    count: usize,
}

impl Structures {
    /// Adds one. `fields` is what follows the header; its first string has the number 1.
    pub fn push(&mut self, kind: u8, handle: u16, fields: &[u8], strings: &[&[u8]]) {
        let start = self.bytes.len();
        // Structures are shorter than 64 bytes without their strings.
        let length = u8::try_from(HEADER + fields.len()).unwrap_or(u8::MAX);
        self.bytes.extend([kind, length]);
        self.bytes.extend(handle.to_le_bytes());
        self.bytes.extend(fields);
        for string in strings {
            self.bytes.extend(*string);
            self.bytes.push(0);
        }
        // Two zeros end the structure: that of the last string, or one more for there being none, and one.
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

    /// Bytes of the longest one, strings included.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// Whether a text can be a string of a structure.
pub(super) fn check(what: &'static str, text: &[u8]) -> Result<(), SmbiosError> {
    if text.is_empty() {
        return Err(SmbiosError::Empty { what });
    }
    if text.contains(&0) {
        return Err(SmbiosError::Nul { what, text: text.into() });
    }
    Ok(())
}
