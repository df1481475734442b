//! The PE headers of EFI programs: machine, subsystem and sections.
//!
//! Source: "PE Format" (Microsoft), sections "COFF File Header", "Optional Header", "Section
//! Table".

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::source_file::SourceFile;

/// File offset of the 32-bit offset of the PE signature.
const SIGNATURE_OFFSET: usize = 0x3c;
/// Sizes in bytes of signature and COFF header, and of a section header.
const COFF: usize = 24;
const SECTION: usize = 40;
/// Maximum number of sections read. A unified kernel image has about 10; one with many profiles and
/// device trees, a few hundred.
const MAX_SECTIONS: u16 = 1024;

/// An EFI program's headers.
#[derive(Debug)]
pub(super) struct Pe {
    /// `IMAGE_FILE_MACHINE_*`.
    pub machine: u16,
    pub sections: Vec<Section>,
}

/// A section: its name and the byte range of its contents in the file.
#[derive(Debug)]
pub(super) struct Section {
    pub name: [u8; 8],
    /// As given by its header; may extend beyond the end of the file.
    pub file: Range<u64>,
}

impl Section {
    /// The name for people, and the size in bytes.
    pub fn described(&self) -> (String, u64) {
        let size = self.file.end.saturating_sub(self.file.start);
        (String::from_utf8_lossy(self.name()).into_owned(), size)
    }

    /// The name without NUL padding.
    pub fn name(&self) -> &[u8] {
        self.name.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

impl Pe {
    /// Reads the headers. Returns `None` if this is not a PE file or its headers are invalid.
    pub fn read(source: &SourceFile, head: &[u8]) -> io::Result<Option<Self>> {
        let Some(at) = head.get(SIGNATURE_OFFSET..).and_then(|rest| rest.first_chunk()) else {
            return Ok(None);
        };
        let at = u64::from(u32::from_le_bytes(*at));
        let mut coff = [0; COFF];
        if at + COFF as u64 > source.len() {
            return Ok(None);
        }
        source.file().read_exact_at(&mut coff, at)?;
        let word = |at: usize| u16::from_le_bytes([coff[at], coff[at + 1]]);
        let (machine, count, optional) = (word(4), word(6), word(20));
        let table = at + COFF as u64 + u64::from(optional);
        let size = usize::from(count) * SECTION;
        if &coff[..4] != b"PE\0\0" || count > MAX_SECTIONS || table + size as u64 > source.len() {
            return Ok(None);
        }
        let mut sections = vec![0; size];
        source.file().read_exact_at(&mut sections, table)?;
        let sections = sections.chunks_exact(SECTION).map(section).collect();
        Ok(Some(Self { machine, sections }))
    }
}

fn section(header: &[u8]) -> Section {
    let word = |at: usize| {
        let bytes = header.get(at..).and_then(|rest| rest.first_chunk());
        u64::from(bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes)))
    };
    let mut name = [0; 8];
    name.copy_from_slice(&header[..8]);
    // The raw size is padded to the file's alignment. The virtual size is exact, but may be larger
    // to include zeros.
    let (virtual_size, raw_size, start) = (word(8), word(16), word(20));
    let size = if virtual_size == 0 { raw_size } else { virtual_size.min(raw_size) };
    Section { name, file: start..start + size }
}
