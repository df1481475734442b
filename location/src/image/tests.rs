use super::*;

fn with(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut head = vec![0; TELLING];
    for (at, bytes) in parts {
        head[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    head
}

#[test]
fn images_are_told_by_what_is_in_them() {
    let (signature, entry) =
        ((510, &b"\x55\xaa"[..]), (446, &b"\x80\0\0\0\x83\0\0\0\0\x08\0\0\0\x08"[..]));
    let medium = (0x8001, &b"CD001"[..]);
    let ext = [(1024, &b"\x10\0\0\0\x10"[..]), (1080, b"\x53\xef")];
    let fat = (0, &b"\xeb\x3c\x90mkfs.fat\0\x02\x04\x01\0\x02\0\x02\0\x10\xf8\x08"[..]);
    for (parts, word) in [
        (vec![(0, &b"QFI\xfb"[..])], "qcow2"),
        (vec![medium, signature, entry, (512, b"EFI PART")], "ISO 9660"),
        (vec![signature, entry, (512, b"EFI PART")], "GPT"),
        (vec![signature, entry, (4096, b"EFI PART")], "GPT"),
        (vec![signature, entry], "MBR"),
        (vec![ext[0], ext[1], signature], "ext4"),
        (vec![fat, signature], "FAT"),
        (vec![(0, b"hsqs")], "squashfs"),
        (vec![(0, b"XFSB")], "XFS"),
        (vec![(0x1_0040, b"_BHRfS_M")], "btrfs"),
        (vec![(0, b"LUKS\xba\xbe")], "LUKS"),
        (vec![(0, b"PK\x03\x04")], "zip"),
    ] {
        let found = kind(&with(&parts));
        assert!(found.is_some_and(|found| found.contains(word)), "{word}: {found:?}");
    }
    for parts in [vec![], vec![signature], vec![ext[1]], vec![signature, entry, (0x202, b"HdrS")]] {
        assert_eq!(kind(&with(&parts)), None, "{parts:?}");
    }
    assert_eq!(kind(b""), None);
}
