//! What a medium says of itself: its volume descriptors (ECMA-119, 8).

use std::io;

use super::directory::Extent;
use super::{SECTOR, unread};
use crate::bytes::le32;
use crate::file::page_cache::PageCache;

/// The first sector of the descriptors.
const FIRST: u64 = 16;
/// Maximum number of descriptors read; media have three or four.
const MOST: u64 = 32;

/// What a primary or a supplementary volume descriptor says.
#[derive(Clone, Debug)]
pub(super) struct Descriptor {
    /// Bytes of a logical block, by which all is counted.
    pub block: u64,
    /// The root directory.
    pub root: Extent,
    /// The volume's name, without the spaces behind it.
    pub label: String,
    /// When it was modified, which GRUB takes for its UUID; empty if it does not say.
    pub uuid: String,
}

/// The primary volume descriptor, and Joliet's if there is one.
pub(super) fn read(pages: &PageCache) -> io::Result<(Descriptor, Option<Descriptor>)> {
    let (mut primary, mut joliet) = (None, None);
    for sector in FIRST..FIRST + MOST {
        let mut bytes = [0; SECTOR];
        pages
            .read_exact_at(&mut bytes, sector * SECTOR as u64)
            .map_err(|error| unread(error, "its volume descriptors"))?;
        if &bytes[1..6] != b"CD001" {
            break;
        }
        match bytes[0] {
            1 if primary.is_none() => primary = Some(Descriptor::parse(&bytes)?),
            2 if joliet.is_none() && is_joliet(&bytes) => joliet = Some(Descriptor::parse(&bytes)?),
            255 => break,
            _ => {}
        }
    }
    let primary = primary.ok_or_else(|| super::fault("it has no primary volume descriptor"))?;
    Ok((primary, joliet))
}

/// By the escape sequences of UCS-2, levels 1 to 3 (Joliet Specification, "SVD Escape Sequences
/// Field").
fn is_joliet(bytes: &[u8; SECTOR]) -> bool {
    [b"%/@", b"%/C", b"%/E"].iter().any(|escape| bytes[88..].starts_with(*escape))
}

/// The time of the volume's modification, 16 digits (ECMA-119, 8.4.26.1), as GRUB writes it
/// (`grub_iso9660_uuid` in its grub-core/fs/iso9660.c): `2024-01-02-03-04-05-00`.
fn uuid(time: &[u8]) -> String {
    if time.iter().all(|byte| *byte == 0) {
        return String::new();
    }
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    let (year, rest) = time.split_at(4);
    let parts = std::iter::once(year).chain(rest.chunks(2)).map(text);
    parts.collect::<Vec<_>>().join("-")
}

impl Descriptor {
    fn parse(bytes: &[u8; SECTOR]) -> io::Result<Self> {
        let block = u64::from(u16::from_le_bytes([bytes[128], bytes[129]]));
        if ![512, 1024, 2048].contains(&block) {
            return Err(super::fault(format!("it claims blocks of {block} bytes, expected 2048")));
        }
        let root = &bytes[156..190];
        let root =
            Extent { block: le32(root, 2).saturating_add(u32::from(root[1])), len: le32(root, 10) };
        let label = String::from_utf8_lossy(&bytes[40..72]);
        let label = label.trim_end_matches([' ', '\0']).to_owned();
        Ok(Self { block, root, label, uuid: uuid(&bytes[830..846]) })
    }
}
