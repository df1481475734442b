//! Files that consist of tables: what is different, table by table.

use std::collections::{BTreeMap, BTreeSet};

/// An SMBIOS structure without its handle: the formatted area, and its strings.
type Structure = (Vec<u8>, Vec<String>);

/// Differences between the SMBIOS structures of both, by type.
pub fn smbios(theirs: &[u8], ours: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let both = [structures(theirs), structures(ours)];
    for kind in both.iter().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>() {
        match [both[0].get(kind), both[1].get(kind)] {
            [Some(a), Some(b)] => {
                if a.0 != b.0 {
                    found.push(format!("SMBIOS type {kind}: other bytes"));
                }
                if a.1 != b.1 {
                    found.push(format!("SMBIOS type {kind}: strings {:?} against {:?}", a.1, b.1));
                }
            }
            [_, ours] => {
                let who = if ours.is_none() { "chukka" } else { "QEMU" };
                found.push(format!("SMBIOS type {kind}: not in {who}"));
            }
        }
    }
    found
}

/// The structures by type; those of a type are put together.
fn structures(mut bytes: &[u8]) -> BTreeMap<u8, Structure> {
    let mut found = BTreeMap::<u8, Structure>::new();
    while let [kind, length, ..] = *bytes {
        let (formatted, rest) = bytes.split_at(length.into());
        let end = rest.windows(2).position(|pair| pair == [0, 0]).unwrap();
        let strings = rest[..end].split(|byte| *byte == 0).filter(|text| !text.is_empty());
        let structure = found.entry(kind).or_default();
        structure.0.extend_from_slice(&[&formatted[..2], &formatted[4..]].concat());
        structure.1.extend(strings.map(|text| String::from_utf8_lossy(text).into_owned()));
        bytes = &rest[end + 2..];
    }
    found
}

/// Differences between the ACPI tables of both, by signature.
pub fn acpi(theirs: &[u8], ours: &[u8]) -> Vec<String> {
    let both = [signatures(theirs), signatures(ours)];
    let shown = both.iter().flat_map(BTreeMap::keys).collect::<BTreeSet<_>>().into_iter();
    let found = shown.filter_map(|name| match [both[0].get(name), both[1].get(name)] {
        [Some(a), Some(b)] => (a != b).then(|| format!("ACPI table {name}: other bytes")),
        [_, ours] => {
            let who = if ours.is_none() { "chukka" } else { "QEMU" };
            Some(format!("ACPI table {name}: not in {who}"))
        }
    });
    found.collect()
}

/// The tables by signature. Between them may be zeros.
fn signatures(mut bytes: &[u8]) -> BTreeMap<String, &[u8]> {
    let mut found = BTreeMap::new();
    while let Some(at) = bytes.iter().position(|byte| *byte != 0) {
        bytes = &bytes[at..];
        let length = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        let name = String::from_utf8(bytes[..4].to_vec()).unwrap();
        let (table, rest) = bytes.split_at_checked(length).expect("the table is told whole");
        found.insert(name, table);
        bytes = rest;
    }
    found
}
