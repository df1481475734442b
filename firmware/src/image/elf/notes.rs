//! ELF notes: the PVH entry point, and notes that identify Linux.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::reader::Fields;

/// `XEN_ELFNOTE_PHYS32_ENTRY` (xen/include/public/elfnote.h): the 32-bit physical entry point of
/// PVH.
const PHYS32_ENTRY: u32 = 18;
/// `XEN_ELFNOTE_GUEST_OS`: a name; Linux uses "linux".
const XEN_GUEST_OS: u32 = 6;
/// Size of a note's header in bytes: three 32-bit words.
const HEADER: u64 = 12;
/// Maximum number of notes read per segment, so that a file cannot keep us reading forever.
const MAX_NOTES: usize = 1 << 14;
/// Number of bytes read at a time.
const WINDOW: usize = 64 << 10;

/// The contents of a segment's notes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// The PVH entry point.
    pub pvh_entry: Option<u32>,
    /// Whether there is a Linux-specific note: one named "Linux" (include/linux/elfnote-lto.h,
    /// build-salt.h), or Xen's with the guest's name.
    pub linux: bool,
}

/// Reads the notes in `range` of a file, regardless of its size. With `align` 8, names and
/// descriptors are padded to 8 bytes (gABI); some linkers declare 8 but pad to 4, so that is tried
/// second.
pub(super) fn read(file: &File, range: Range<u64>, align: u64) -> io::Result<Notes> {
    let mut notes = Notes::default();
    let aligns: &[u64] = if align == 8 { &[8, 4] } else { &[4] };
    for align in aligns {
        let found = walk(&mut Window::new(file, range.clone()), *align)?;
        notes.pvh_entry = notes.pvh_entry.or(found.pvh_entry);
        notes.linux |= found.linux;
    }
    Ok(notes)
}

fn walk(window: &mut Window<'_>, align: u64) -> io::Result<Notes> {
    let mut notes = Notes::default();
    let mut at = 0u64;
    for _ in 0..MAX_NOTES {
        let Some(header) = window.bytes(at, HEADER)? else { break };
        let fields = Fields(header);
        let (name_size, size, kind) = (fields.u32(0), fields.u32(4), fields.u32(8));
        let name_end = HEADER + u64::from(name_size);
        let descriptor = at + name_end.next_multiple_of(align);
        let end = descriptor + u64::from(size);
        let is_named = |name: Option<&[u8]>, wanted: &[u8]| name == Some(wanted);
        if end > window.len() {
            break;
        }
        let xen = name_size == 4 && is_named(window.bytes(at + HEADER, 4)?, b"Xen\0");
        let linux = name_size == 6 && is_named(window.bytes(at + HEADER, 6)?, b"Linux\0");
        if xen && kind == PHYS32_ENTRY && notes.pvh_entry.is_none() {
            notes.pvh_entry = match (size, window.bytes(descriptor, size.min(8).into())?) {
                (4, Some(bytes)) => Some(Fields(bytes).u32(0)),
                (8, Some(bytes)) => u32::try_from(Fields(bytes).u64(0)).ok(),
                _ => None,
            };
        }
        let guest_os = xen && kind == XEN_GUEST_OS && (5..=6).contains(&size);
        notes.linux |= linux || guest_os && is_named(window.bytes(descriptor, 5)?, b"linux");
        at = end.next_multiple_of(align);
    }
    Ok(notes)
}

/// A part of a file, of which [`WINDOW`] bytes are buffered.
struct Window<'a> {
    file: &'a File,
    range: Range<u64>,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a File, range: Range<u64>) -> Self {
        Self { file, range, start: 0, bytes: Vec::new() }
    }

    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Returns `count` bytes (a few) from `at`, or `None` if the range ends before that.
    fn bytes(&mut self, at: u64, count: u64) -> io::Result<Option<&[u8]>> {
        let end = at.saturating_add(count);
        if end > self.len() {
            return Ok(None);
        }
        if at < self.start || end > self.start + self.bytes.len() as u64 {
            let size = usize::try_from(self.len() - at).unwrap_or(usize::MAX).min(WINDOW);
            self.bytes.resize(size, 0);
            self.file.read_exact_at(&mut self.bytes, self.range.start + at)?;
            self.start = at;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let to = usize::try_from(end - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempFile;

    fn note(kind: u32, name: &[u8], descriptor: &[u8], align: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in
            [u32::try_from(name.len()).unwrap(), u32::try_from(descriptor.len()).unwrap(), kind]
        {
            bytes.extend(word.to_le_bytes());
        }
        for part in [name, descriptor] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(align), 0);
        }
        bytes
    }

    fn read_all(bytes: &[u8], align: u64) -> Notes {
        let file = TempFile::new(bytes);
        read(&File::open(&file.0).unwrap(), 0..bytes.len() as u64, align).unwrap()
    }

    fn pvh(bytes: &[u8]) -> Option<u32> {
        read_all(bytes, 4).pvh_entry
    }

    #[test]
    fn a_note_that_reaches_beyond_its_segment_does_not_count() {
        let mut notes = note(0x100, b"Linux\0", &[7; 8], 4);
        let whole = Notes { linux: true, ..Notes::default() };
        assert_eq!(read_all(&notes, 4), whole);
        notes.truncate(notes.len() - 1);
        assert_eq!(read_all(&notes, 4), Notes::default());
    }

    #[test]
    fn pvh_note_is_found_among_others() {
        for align in [4, 8] {
            let mut notes = note(3, b"GNU\0", &[7; 20], align);
            notes.extend(note(6, b"Xen\0", b"netbsd", align));
            notes.extend(note(PHYS32_ENTRY, b"Xen\0", &0x0100_0370u64.to_le_bytes(), align));
            let expected = Notes { pvh_entry: Some(0x0100_0370), linux: false };
            assert_eq!(read_all(&notes, align as u64), expected);
        }
    }

    #[test]
    fn notes_padded_to_4_in_a_segment_aligned_to_8_are_found() {
        let mut notes = note(3, b"GNU\0", &[7; 20], 4);
        notes.extend(note(PHYS32_ENTRY, b"Xen\0", &[1, 0, 0, 0], 4));
        assert_eq!(read_all(&notes, 8).pvh_entry, Some(1));
    }

    #[test]
    fn pvh_note_is_found_behind_megabytes_of_notes() {
        let mut notes = note(1, b"big\0", &vec![0; 3 << 20], 4);
        (0..5000).for_each(|_| notes.extend(note(1, b"GNU\0", &[1; 4], 4)));
        notes.extend(note(PHYS32_ENTRY, b"Xen\0", &[1, 2, 3, 0], 4));
        assert_eq!(pvh(&notes), Some(0x03_0201));
    }

    #[test]
    fn linux_is_recognized_by_its_own_notes_and_by_xen_notes() {
        assert!(read_all(&note(0x100, b"Linux\0", &[], 4), 4).linux);
        assert!(read_all(&note(6, b"Xen\0", b"linux\0", 4), 4).linux);
        assert!(!read_all(&note(6, b"Xen\0", b"NetBSD\0", 4), 4).linux);
        assert!(!read_all(&note(3, b"GNU\0", &[1; 20], 4), 4).linux);
        assert!(!read_all(&note(0x100, b"Plan9\0", &[], 4), 4).linux);
        assert!(!read_all(&note(6, b"GNU\0", b"linux\0", 4), 4).linux, "only Xen's note counts");
        assert!(!read_all(&note(5, b"Xen\0", b"linux\0", 4), 4).linux, "of that type");
        let notes = note(0x100, b"Linux\0", &[], 8).repeat(2);
        assert!(read_all(&notes, 8).linux, "however often and with whatever padding it is found");
        assert!(read_all(&notes[..24], 8).linux);
        assert!(read_all(&note(0x100, b"Linux\0", &[], 4).repeat(2), 4).linux);
    }

    #[test]
    fn a_pvh_entry_has_4_or_8_bytes() {
        for size in 0..=12 {
            let descriptor = &[1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0][..size];
            let expected = matches!(size, 4 | 8).then_some(0x03_0201);
            assert_eq!(pvh(&note(PHYS32_ENTRY, b"Xen\0", descriptor, 4)), expected, "{size}");
        }
    }

    #[test]
    fn pvh_note_is_none_when_absent_or_damaged() {
        assert_eq!(pvh(&[]), None);
        assert_eq!(pvh(&note(PHYS32_ENTRY, b"Nex\0", &[1; 4], 4)), None);
        assert_eq!(pvh(&note(PHYS32_ENTRY, b"Xen\0", &[1; 8], 4)), None, "beyond 4 GiB");
        let whole = note(PHYS32_ENTRY, b"Xen\0", &[1; 4], 4);
        for len in 0..whole.len() {
            assert_eq!(pvh(&whole[..len]), None, "cut at {len}");
        }
        let mut huge = whole.clone();
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(pvh(&huge), None);
    }
}
