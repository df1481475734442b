//! Concatenates several initrds.

use std::io;

use storage::{Failure, RandomAccess};

/// Alignment of each initrd in bytes, as the kernel requires
/// (Documentation/driver-api/early-userspace/buffer-format.rst).
const GRAIN: u64 = 4;

/// Concatenates files, as a boot loader does with the initrds of an entry. `None` if there are no
/// files.
///
/// # Errors
/// The total length is more than a file can have.
pub fn joined(mut files: Vec<Box<dyn RandomAccess>>) -> io::Result<Option<Box<dyn RandomAccess>>> {
    if files.len() < 2 {
        return Ok(files.pop());
    }
    let mut at: u64 = 0;
    let mut parts = Vec::new();
    for file in files {
        let start = at.checked_next_multiple_of(GRAIN);
        let end = start.and_then(|start| start.checked_add(file.len()));
        let (Some(start), Some(end)) = (start, end) else {
            return Err(
                Failure::new("their total size is too large", "check the disk for errors").into()
            );
        };
        parts.push((start, file));
        at = end;
    }
    let names: Vec<_> = parts.iter().map(|(_, file)| file.name()).collect();
    Ok(Some(Box::new(Joined { name: names.join(" + "), len: at, parts })))
}

#[derive(Debug)]
struct Joined {
    name: String,
    len: u64,
    /// The offset of each file.
    parts: Vec<(u64, Box<dyn RandomAccess>)>,
}

impl RandomAccess for Joined {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let index = self.parts.partition_point(|(start, _)| *start <= at);
        let Some((start, part)) = index.checked_sub(1).and_then(|index| self.parts.get(index))
        else {
            return Ok(0);
        };
        let inside = at - start;
        if inside < part.len() {
            return part.read_at(to, inside);
        }
        // In the padding between two files.
        let next = self.parts.get(index).map_or(self.len, |(start, _)| *start);
        let zeros =
            usize::try_from(next.saturating_sub(at)).map_or(to.len(), |len| len.min(to.len()));
        to[..zeros].fill(0);
        Ok(zeros)
    }
}
