//! The segments of a kernel as one item: their bytes, with zeros between them.

use fw_cfg::Part;
use guest_memory::Content;

use super::kernel_error::KernelError;
use crate::image::Segment;
use crate::source_file::SourceFile;

/// A memory image under construction, for consecutive guest-physical addresses.
#[derive(Debug)]
pub(super) struct MemoryImage {
    /// Its first address.
    pub start: u64,
    /// The first address after it.
    pub end: u64,
    /// Its contents.
    pub parts: Vec<Part>,
}

impl MemoryImage {
    /// The image of all `segments` of the kernel in `source`.
    ///
    /// # Errors
    /// Two segments overlap.
    pub fn of(source: &SourceFile, segments: &[Segment]) -> Result<Self, KernelError> {
        let mut segments = segments.to_vec();
        segments.sort_by_key(|segment| segment.addr);
        let start = segments.first().map_or(0, |segment| segment.addr);
        let mut image = Self { start, end: start, parts: Vec::new() };
        for segment in segments {
            if segment.addr < image.end {
                let (kernel, address) = (source.path().into(), segment.addr);
                return Err(KernelError::Overlap { kernel, address });
            }
            image.fill_to(segment.addr);
            let bytes = segment.offset..segment.offset + segment.file_size;
            image.add(Part::File(source.range(bytes, Content::Code)));
            image.fill_to(segment.range().end);
        }
        Ok(image)
    }

    /// Appends a part.
    pub fn add(&mut self, part: Part) {
        self.end = self.end.saturating_add(part.len());
        self.parts.push(part);
    }

    /// Appends zeros up to `address`.
    pub fn fill_to(&mut self, address: u64) {
        if let Some(count @ 1..) = address.checked_sub(self.end) {
            self.add(Part::Zeros(count));
        }
    }
}
