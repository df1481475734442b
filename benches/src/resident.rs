//! The memory that a VMM takes beyond its guest's, from `/proc/PID/smaps`.

use std::fs;
use std::path::PathBuf;

use crate::Error;
use crate::peer::Guest;

/// Resident memory without the guest's, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resident {
    /// All pages.
    pub rss: u64,
    /// The same, shared pages divided among those who share them.
    pub pss: u64,
}

/// One mapping of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Mapping {
    start: u64,
    end: u64,
    file: PathBuf,
    resident: Resident,
}

/// Measures a process that has a guest with `memory` bytes.
///
/// # Errors
/// The process has gone, or its guest's memory cannot be told from its own.
pub fn beyond_guest(pid: u32, guest: &Guest, memory: u64) -> Result<Resident, Error> {
    in_smaps(&fs::read_to_string(format!("/proc/{pid}/smaps"))?, guest, memory)
}

/// The same from the text of its `/proc/PID/smaps`.
///
/// # Errors
/// The guest's memory cannot be told from the process's own.
pub fn in_smaps(smaps: &str, guest: &Guest, memory: u64) -> Result<Resident, Error> {
    let mappings = parse(smaps);
    let ram = guest_ram(&mappings, memory).ok_or_else(|| {
        format!(
            "no adjacent mappings add up to {} MiB: cannot tell which are the guest's memory",
            memory >> 20
        )
    })?;
    let files = [fs::canonicalize(&guest.kernel)?, fs::canonicalize(&guest.initrd)?];
    let own = mappings.iter().enumerate();
    let own = own.filter(|(at, mapping)| !ram.contains(at) && !files.contains(&mapping.file));
    Ok(own.fold(Resident::default(), |sum, (_, mapping)| Resident {
        rss: sum.rss + mapping.resident.rss,
        pss: sum.pss + mapping.resident.pss,
    }))
}

/// The guest's memory: neighbours of this size together. It may be in pieces, where files are
/// mapped into it.
fn guest_ram(mappings: &[Mapping], memory: u64) -> Option<std::ops::Range<usize>> {
    (0..mappings.len()).find_map(|first| {
        let mut end = mappings[first].start;
        for (at, mapping) in mappings.iter().enumerate().skip(first) {
            if mapping.start != end || end - mappings[first].start > memory {
                return None;
            }
            end = mapping.end;
            if end - mappings[first].start == memory {
                return Some(first..at + 1);
            }
        }
        None
    })
}

fn parse(smaps: &str) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        if let Some((start, end)) = range(first) {
            // Then permissions, offset, device and inode; the rest is the name.
            let file = words.skip(4).collect::<Vec<_>>().join(" ").into();
            mappings.push(Mapping { start, end, file, ..Mapping::default() });
        } else if let (Some(mapping), Some(kib)) = (mappings.last_mut(), words.next()) {
            match first {
                "Rss:" => mapping.resident.rss = kib.parse().unwrap_or(0),
                "Pss:" => mapping.resident.pss = kib.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
    mappings
}

fn range(word: &str) -> Option<(u64, u64)> {
    let (start, end) = word.split_once('-')?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
1000-3000 r-xp 00000000 fe:00 17                         /usr/bin/a program
Size:                  8 kB
Rss:                   8 kB
Pss:                   4 kB
Pss_Dirty:             0 kB
7f0000000000-7f0000002000 rw-p 00000000 00:00 0 
Rss:                   8 kB
Pss:                   8 kB
7f0000002000-7f0000003000 rw-p 00003000 fe:00 18                         /x/initrd
Rss:                   4 kB
Pss:                   4 kB
7f0000003000-7f0000004000 rw-p 00000000 00:00 0 
Rss:                   0 kB
Pss:                   0 kB
";

    #[test]
    fn mappings_are_read_with_names_that_have_spaces() {
        let mappings = parse(SMAPS);
        assert_eq!(mappings.len(), 4);
        assert_eq!(mappings[0].file, PathBuf::from("/usr/bin/a program"));
        assert_eq!(mappings[0].resident, Resident { rss: 8, pss: 4 });
        assert_eq!((mappings[2].start, mappings[2].end), (0x7f00_0000_2000, 0x7f00_0000_3000));
    }

    #[test]
    fn guest_memory_is_found_in_pieces() {
        let mappings = parse(SMAPS);
        assert_eq!(guest_ram(&mappings, 0x4000), Some(1..4));
        assert_eq!(guest_ram(&mappings, 0x5000), None);
    }
}
