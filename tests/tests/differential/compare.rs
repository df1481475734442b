//! What is different between two guests' views.

use std::collections::BTreeSet;

use fw_cfg::key;
use fw_cfg::x86::{E820_FILE, SMBIOS_TABLES_FILE};

use crate::frame::{Entry, Frame, Told, directory};
use crate::rom::Operation;
use crate::script::DIRECTORY;
use crate::tables;

/// The ACPI tables.
const TABLES_FILE: &str = "etc/acpi/tables";

/// Pieces of the image's table of registers: see `registers` in `dump.S`.
const REGISTERS: [(&str, std::ops::Range<usize>); 7] = [
    ("the DMA register in 32 and 8 bits", 0..16),
    ("the DMA register in 16 bits", 16..20),
    ("selector and data port read in 8 bits", 20..28),
    ("data after writes of 8 bits", 28..32),
    ("ports 0x512 and 0x513", 32..34),
    ("the selector read in 16 bits", 34..37),
    ("the data port read in 16 bits", 37..40),
];

/// All differences, each by a text that does not depend on what is no difference.
pub fn differences(script: &[Operation], theirs: &Told, ours: &Told) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (what, range) in REGISTERS {
        let pair = [theirs, ours].map(|told| &told.registers[range.clone()]);
        if pair[0] != pair[1] {
            found.insert(format!("{what}: {}", against(pair)));
        }
    }
    for (at, operation) in script.iter().enumerate() {
        let pair = [&theirs.frames[at], &ours.frames[at]];
        one_view("QEMU", operation, pair[0]);
        one_view("chukka", operation, pair[1]);
        // The directory is compared below, file by file.
        let same_as = operation.key().filter(|key| key & key::WRITE_CHANNEL != 0);
        let plain = same_as.and_then(|key| asked(script, key & !key::WRITE_CHANNEL));
        if let Some(plain) = plain {
            for (who, told) in [("QEMU", theirs), ("chukka", ours)] {
                let (plain, marked) = (&told.frames[plain].bytes, &told.frames[at].bytes);
                let length = plain.len().min(marked.len());
                assert_eq!(plain[..length], marked[..length], "{who}: {}", operation.name);
            }
        } else if operation.key() != Some(key::FILE_DIR) {
            found.extend(difference(operation, pair));
        }
    }
    found.extend(files(script, theirs, ours));
    found
}

/// Clears what QEMU leaves in the kernel's item as it got it from the C library, and checks that
/// ours is clear there.
pub fn clear(script: &[Operation], theirs: &mut Told, ours: &Told, unused: &[(usize, usize)]) {
    let at = asked(script, key::KERNEL_DATA).unwrap();
    for (start, end) in unused.iter().copied() {
        theirs.frames[at].bytes[start..end].fill(0);
        let ours = &ours.frames[at].bytes[start..end];
        assert!(ours.iter().all(|byte| *byte == 0), "{start:#x}..{end:#x}");
    }
}

/// Where in the script an item is read.
fn asked(script: &[Operation], key: u16) -> Option<usize> {
    script.iter().position(|operation| operation.key() == Some(key))
}

/// By port a guest reads what it reads by DMA.
fn one_view(who: &str, operation: &Operation, frame: &Frame) {
    assert_eq!(frame.control, operation.control, "{who} is out of step");
    assert_ne!(frame.by_port, Some(false), "{who}, {}: other bytes by port", operation.name);
}

fn difference(operation: &Operation, [theirs, ours]: [&Frame; 2]) -> Option<String> {
    let name = &operation.name;
    if theirs.result != ours.result {
        return Some(format!("{name}: control {:#x} against {:#x}", theirs.result, ours.result));
    }
    if theirs.bytes != ours.bytes {
        let bytes = [&*theirs.bytes, &ours.bytes];
        let where_ = operation.key().filter(|key| *key == key::SETUP_DATA).map(|_| span(bytes));
        return Some(format!("{name}: {}", where_.unwrap_or_else(|| against(bytes))));
    }
    let tails = [&theirs.tail[..], &ours.tail];
    (theirs.tail != ours.tail).then(|| format!("{name}, then by port: {}", against(tails)))
}

/// Files by name. What their keys are follows from which there are.
fn files(script: &[Operation], theirs: &Told, ours: &Told) -> Vec<String> {
    let listed = |who: &str, told: &Told| {
        let bytes = &told.frames[asked(script, key::FILE_DIR).unwrap()].bytes;
        let (bytes, beyond) = bytes.split_at(DIRECTORY as usize);
        assert!(beyond.iter().all(|byte| *byte == 0), "{who}: the directory is longer");
        let entries = directory(who, bytes);
        let frames = &told.frames[script.len()..];
        assert_eq!(frames.len(), entries.len(), "{who}: a frame for each file");
        for (entry, frame) in entries.iter().zip(frames) {
            assert_eq!((frame.key(), frame.result), (entry.key, 0), "{who}: {entry:?}");
            assert_ne!(frame.by_port, Some(false), "{who}: {entry:?}: other bytes by port");
            let beyond = frame.bytes.get(entry.size..).unwrap_or_default();
            assert!(
                beyond.iter().all(|byte| *byte == 0),
                "{who}: {entry:?}: bytes beyond its size"
            );
            assert_eq!(frame.tail, [0; 8], "{who}: {entry:?}: bytes beyond its size");
        }
        entries.into_iter().zip(frames.to_vec()).collect::<Vec<(Entry, Frame)>>()
    };
    let (theirs, ours) = (listed("QEMU", theirs), listed("chukka", ours));
    let names: BTreeSet<&String> =
        theirs.iter().chain(&ours).map(|(entry, _)| &entry.name).collect();
    let found = names.into_iter().flat_map(|name| {
        let find = |files: &[(Entry, Frame)]| {
            files.iter().find(|(entry, _)| entry.name == *name).map(|(entry, frame)| {
                (entry.size, frame.bytes[..entry.size.min(frame.bytes.len())].to_vec())
            })
        };
        match (find(&theirs), find(&ours)) {
            (Some((0, _)), None) => vec![format!("file {name}: empty in QEMU, not in chukka")],
            (Some(_), None) => vec![format!("file {name}: not in chukka")],
            (None, _) => vec![format!("file {name}: not in QEMU")],
            (Some((_, map)), Some(b)) if name == E820_FILE => {
                let map = without_hypertransport(&map);
                if map == b.1 {
                    Vec::new()
                } else {
                    vec![format!("file {name}: {}", memory([&map, &b.1]))]
                }
            }
            (Some(a), Some(b)) if a != b => match name.as_str() {
                SMBIOS_TABLES_FILE => tables::smbios(&a.1, &b.1),
                TABLES_FILE => tables::acpi(&a.1, &b.1),
                _ => vec![format!("file {name}: {}", against([&a.1, &b.1]))],
            },
            _ => Vec::new(),
        }
    });
    found.collect()
}

/// Shows where two items differ: from the first byte to the last.
fn span([a, b]: [&[u8]; 2]) -> String {
    let differs = |at: &usize| a.get(*at) != b.get(*at);
    let at: Vec<usize> = (0..a.len().max(b.len())).filter(differs).collect();
    format!("bytes {:#x} to {:#x}", at[0], at[at.len() - 1])
}

/// QEMU's memory map without the addresses of HyperTransport, which QEMU reserves if the host's
/// processor is AMD's (`pc_memory_init` in hw/i386/pc.c). That matters for devices that are passed
/// through, which chukka does not have.
fn without_hypertransport(map: &[u8]) -> Vec<u8> {
    let (start, size, reserved) = (0xfd_0000_0000_u64, 0x3_0000_0000_u64, 2_u32);
    let entry = [&start.to_le_bytes()[..], &size.to_le_bytes(), &reserved.to_le_bytes()].concat();
    map.chunks(20).filter(|other| *other != entry).flatten().copied().collect()
}

/// Shows of two memory maps what the other has not.
fn memory(maps: [&[u8]; 2]) -> String {
    let entries = maps.map(|map| map.chunks(20).collect::<Vec<_>>());
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let show = |mine: &[&[u8]], other: &[&[u8]]| {
        let only = mine.iter().filter(|entry| !other.contains(entry));
        let shown = only.map(|entry| {
            let (start, size) = (number(&entry[..8]), number(&entry[8..16]));
            format!("{start:#x}..{:#x} type {}", start + size, entry[16])
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    let [a, b] = &entries;
    format!("{} against {}", show(a, b), show(b, a))
}

/// Shows two values: as text, as one little-endian number, or just that they differ.
fn against(values: [&[u8]; 2]) -> String {
    let texts = values.map(text);
    if let [Some(a), Some(b)] = &texts {
        return format!("{a:?} against {b:?}");
    }
    let numbers = values.map(number);
    match numbers {
        [Some(a), Some(b)] => format!("{a:#x} against {b:#x}"),
        _ => "other bytes".into(),
    }
}

/// A zero-terminated text.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
    let printable = text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte));
    (text.len() > 4 && printable).then_some(text)
}

/// A number with nothing but zeros behind it.
fn number(bytes: &[u8]) -> Option<u64> {
    let (number, zeros) = bytes.split_at(bytes.len().min(8));
    let mut full = [0; 8];
    full[..number.len()].copy_from_slice(number);
    zeros.iter().all(|byte| *byte == 0).then_some(u64::from_le_bytes(full))
}
