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

    fn is_private(&self) -> bool {
        self.parts.iter().any(|(_, part)| part.is_private())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Temp;
    use storage::{FileTree, TreePath};

    /// A piece may begin and end anywhere, also in the padding between two files.
    #[test]
    fn each_file_begins_at_a_multiple_of_four_bytes() {
        let temp = Temp::of(&["a", "bcdef", "gh"]);
        let open = |path: &str| temp.source().open(&TreePath::new(path)).unwrap();
        assert!(joined(Vec::new()).unwrap().is_none());
        assert_eq!(joined(vec![open("a")]).unwrap().unwrap().len(), 1);
        let names = ["a", "bcdef", "gh"].map(|path| open(path).name().to_owned());
        let all = joined(["a", "bcdef", "gh"].map(open).into()).unwrap().unwrap();
        assert_eq!(all.name(), names.join(" + "));
        let expected = b"a\0\0\0bcdef\0\0\0gh";
        assert_eq!(all.len(), expected.len() as u64);
        for from in 0..=expected.len() {
            let (mut piece, mut bytes) = ([9; 3], Vec::new());
            while let count @ 1.. = all.read_at(&mut piece, (from + bytes.len()) as u64).unwrap() {
                bytes.extend_from_slice(&piece[..count]);
            }
            assert_eq!(bytes, expected[from..], "from byte {from}");
        }
    }
}
