use super::*;
use crate::making::{assert_tree, blank, content, local, run, text, tree};
use crate::testing::Temp;
use crate::{PartitionRole, PartitionTable, TreePath};

fn with(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut head = vec![0; TELLING];
    for (at, bytes) in parts {
        head[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    head
}

#[test]
fn images_are_recognized_by_their_content() {
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
        (vec![signature, entry, (1024, b"BD")], "MBR"),
        (vec![fat, signature, (1024, b"H+")], "FAT"),
        (vec![(1024, b"BD")], "HFS"),
        (vec![(1024, b"HX")], "HFS+"),
        (vec![ext[0], ext[1], signature], "ext4"),
        (vec![fat, signature], "FAT"),
        (vec![(0, b"hsqs")], "squashfs"),
        (vec![(0, b"XFSB")], "XFS"),
        (vec![(0x1_0040, b"_BHRfS_M")], "btrfs"),
        (vec![(0, b"LUKS\xba\xbe")], "LUKS"),
        (vec![(0, b"PK\x03\x04")], "zip"),
        (vec![(0, b"sqsh")], "squashfs"),
        (vec![(0x4018, b"version\0")], "ZFS"),
        (
            vec![(4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81")],
            "bcachefs",
        ),
        (vec![(3, b"-FVE-FS-")], "BitLocker"),
    ] {
        let found = kind(&with(&parts));
        assert!(found.is_some_and(|found| found.contains(word)), "{word}: {found:?}");
    }
    for parts in [vec![], vec![signature], vec![ext[1]], vec![signature, entry, (0x202, b"HdrS")]] {
        assert_eq!(kind(&with(&parts)), None, "{parts:?}");
    }
    assert_eq!(kind(b""), None);
}

/// Offsets and values are those of util-linux's libblkid.
#[test]
fn what_cannot_be_read_is_named() {
    let raid = &b"\xfc\x4e\x2b\xa9\x01\0\0\0"[..];
    let (bsd, sun) = (&b"\x57\x45\x56\x82"[..], (508, &b"\xda\xbe"[..]));
    let (ufs, ufs_big) = (&b"\x54\x19\x01\0"[..], &b"\0\x01\x19\x54"[..]);
    let (minix, minix_30) = (&b"\x10\0\x40\0\x01\0\x01\0\x05\0\0\0"[..], b"\x8f\x13");
    let minix_3 = &b"\x10\0\0\0\0\0\x01\0\x01\0\x05\0\0\0\0\0\0\0\0\0\x40\0\0\0\x5a\x4d"[..];
    // FreeBSD's boot loader: the signature, and an entry that begins with the sector itself.
    let (boot, own) =
        ((510, &b"\x55\xaa"[..]), (494, &b"\x80\0\0\0\xa5\0\0\0\0\0\0\0\x50\xc3"[..]));
    for (parts, word) in [
        (vec![(0, raid)], "a member of a RAID"),
        (vec![(4096, raid)], "a member of a RAID"),
        (vec![(0x255c, ufs)], "a UFS"),
        (vec![(0x255c, ufs_big), boot], "a UFS"),
        (vec![(0x1_055c, b"\x19\x01\x54\x19"), boot, own], "a UFS"),
        (vec![(0x1_055c, b"\x19\x54\x01\x19")], "a UFS"),
        (vec![(1024, b"\x02\0\0\0\0\0\x34\x34")], "a NILFS2"),
        (vec![(0, b"\x45\x3d\xcd\x28"), (16, b"Compressed ROMFS")], "a cramfs"),
        (vec![(0, b"\x28\xcd\x3d\x45"), (16, b"Compressed ROMFS")], "a cramfs"),
        (vec![(512, b"\x45\x3d\xcd\x28"), (528, b"Compressed ROMFS")], "a cramfs"),
        (vec![(1024, minix), (1040, minix_30)], "a Minix"),
        (vec![(1024, minix), (1040, b"\x78\x24"), (1044, b"\x40")], "a Minix"),
        (vec![(1024, minix_3)], "a Minix"),
        (vec![(0, b"-rom1fs-")], "a romfs"),
        (vec![(0, b"ER\x02\0"), (512, b"PM\0\0\0\0\0\x02")], "an Apple partition map"),
        (vec![(0, b"ER\x08\0"), (2048, b"PM\0\0\0\0\0\x02")], "an Apple partition map"),
        (vec![(0, b"\xda\xbe"), sun], "a Sun disklabel"),
        (vec![(512, bsd), (644, bsd)], "a BSD disklabel"),
        (vec![(512, bsd), (644, bsd), boot, own], "a BSD disklabel"),
        (vec![(64, bsd), (196, bsd)], "a BSD disklabel"),
        (vec![(4086, b"SWAPSPACE2")], "swap space"),
    ] {
        let found = kind(&with(&parts));
        assert!(found.is_some_and(|found| found.contains(word)), "{word}: {found:?}");
    }
    // Stronger signs count first, and no short one counts alone.
    let entry = (446, &b"\x80\0\0\0\x83\0\0\0\0\x08\0\0\0\x08"[..]);
    let ext = [(1024, &b"\x10\0\0\0\x10"[..]), (1080, b"\x53\xef")];
    for (parts, word) in [
        (vec![(512, bsd), (644, bsd), boot, entry], Some("MBR")),
        (vec![(1024, minix), (1040, minix_30), boot, entry], Some("MBR")),
        (vec![(0, b"ER\x02\0"), (512, b"PM\0\0"), (0x8001, b"CD001")], Some("ISO 9660")),
        (vec![ext[0], ext[1], (1040, minix_30)], Some("ext4")),
        (vec![(1040, minix_30)], None),
        (vec![(1024, &minix[..4]), (1040, minix_30)], None),
        (vec![(1048, b"\x5a\x4d")], None),
        (vec![(1030, b"\x34\x34")], None),
        (vec![(512, bsd)], None),
        (vec![sun], None),
        (vec![(512, b"PM\0\0")], None),
        (vec![(0, b"ER\x02\0")], None),
        (vec![(0, b"\xfc\x4e\x2b\xa9")], None),
    ] {
        let found = kind(&with(&parts));
        assert_eq!(found.is_some(), word.is_some(), "{word:?}: {found:?}");
        assert!(
            found.is_none_or(|found| word.is_some_and(|word| found.contains(word))),
            "{found:?}"
        );
    }
}

/// Those of util-linux; mkfs.minix makes version 1 with names of 30 bytes unless it is told.
#[test]
fn file_systems_that_are_made_here_are_named() {
    for (version, names) in [("1", "14"), ("1", "30"), ("2", "14"), ("2", "30"), ("3", "60")] {
        let temp = Temp::new();
        let image = blank(&temp, "minix", 1 << 20);
        run("mkfs.minix", &[&format!("-{version}"), "-n", names, text(&image)]);
        let error = open(local(&image)).unwrap_err();
        assert!(format!("{error:?}").contains("a Minix file system"), "{version}: {error:?}");
    }
    let (temp, from) = (Temp::new(), Temp::of(&["file"]));
    let image = temp.path().join("cramfs");
    run("mkfs.cramfs", &[text(from.path()), text(&image)]);
    let error = open(local(&image)).unwrap_err();
    assert!(format!("{error:?}").contains("a cramfs file system"), "{error:?}");
}

/// Versions 0.90, in the byte order of either host, and 1.0. A mirror's file system is read.
#[test]
fn a_member_of_a_raid_with_its_superblock_at_the_end_is_named() {
    let len = (1 << 20) + 8192 + 512;
    for (at, magic) in [
        ((1 << 20) - (64 << 10), b"\xfc\x4e\x2b\xa9\0\0\0\0"),
        ((1 << 20) - (64 << 10), b"\xa9\x2b\x4e\xfc\0\0\0\0"),
        (1 << 20, b"\xfc\x4e\x2b\xa9\x01\0\0\0"),
    ] {
        let temp = Temp::new();
        let mut image = vec![0; len];
        image[at..at + magic.len()].copy_from_slice(magic);
        temp.file("member", &image);
        let error = open(local(&temp.path().join("member"))).unwrap_err();
        assert!(format!("{error:?}").contains("it is a member of a RAID (md)"), "{error:?}");
        assert!(error.hint().unwrap().contains("mdadm --assemble"), "{error:?}");
        let mirror = fat(&temp, "which", b"FAT");
        let mut image = std::fs::read(&mirror).unwrap();
        image.resize(len, 0);
        image[at..at + magic.len()].copy_from_slice(magic);
        temp.file("mirror", &image);
        assert_eq!(content(&*open(local(&temp.path().join("mirror"))).unwrap(), "which"), b"FAT");
    }
}

#[test]
fn swap_space_has_no_files_to_be_copied() {
    let temp = Temp::new();
    let swap = blank(&temp, "swap", 1 << 20);
    run("mkswap", &["-q", text(&swap)]);
    let hint = open(local(&swap)).unwrap_err().hint().unwrap();
    assert_eq!(hint, "it holds no files: use the disk or partition that the kernel is on");
}

/// A file of `len` bytes with file systems at these places.
fn disk(temp: &Temp, table: &str, parts: &[(usize, &std::path::Path)]) -> std::path::PathBuf {
    let disk = blank(temp, "disk", 24 << 20);
    let lines = temp.path().join("table");
    std::fs::write(&lines, table).unwrap();
    run("sh", &["-c", &format!("sfdisk -q {} <{}", text(&disk), text(&lines))]);
    let mut bytes = std::fs::read(&disk).unwrap();
    for (at, part) in parts {
        let part = std::fs::read(part).unwrap();
        bytes[*at..at + part.len()].copy_from_slice(&part);
    }
    std::fs::write(&disk, bytes).unwrap();
    disk
}

/// ext4 of 8 MiB with a tree.
fn ext(temp: &Temp, from: &Temp) -> std::path::PathBuf {
    let part = blank(temp, "ext", 8 << 20);
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", text(from.path()), text(&part)]);
    part
}

/// FAT of 1 MiB with one file.
fn fat(temp: &Temp, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let part = blank(temp, "fat", 1 << 20);
    temp.file("file", bytes);
    run("mkfs.fat", &["-i", "1a2b3c4d", "-n", "LABEL", text(&part)]);
    run("mcopy", &["-i", text(&part), text(&temp.path().join("file")), &format!("::{name}")]);
    part
}

/// qcow2, GPT, ext4: a file is read back unchanged through all of them.
#[test]
fn one_image_in_the_other_is_one_place() {
    let (temp, from) = (Temp::new(), tree(3));
    let raw = disk(&temp, "label: gpt\nstart=4096, size=16384\n", &[(2 << 20, &ext(&temp, &from))]);
    let image = temp.path().join("image");
    run("qemu-img", &["convert", "-c", "-f", "raw", "-O", "qcow2", text(&raw), text(&image)]);
    let source = open(local(&image)).unwrap();
    assert_eq!(source.name(), format!("{}, partition 1", image.display()));
    assert_tree(&*source, 3);
}

#[test]
fn all_partitions_are_one_place_and_the_active_one_is_first() {
    let (temp, from) = (Temp::new(), tree(3));
    from.file("which", b"ext4");
    let swap = blank(&temp, "swap", 1 << 20);
    run("mkswap", &["-q", text(&swap)]);
    let (ext, fat) = (ext(&temp, &from), fat(&temp, "which", b"FAT"));
    let parts = [(1 << 20, &*swap), (4 << 20, &*ext), (16 << 20, &*fat)];
    for (active, which) in [(3, "FAT"), (2, "ext4"), (1, "ext4"), (0, "ext4")] {
        let line = |number, start, size, kind| {
            let bootable = if number == active { ", bootable" } else { "" };
            format!("start={start}, size={size}, type={kind}{bootable}\n")
        };
        let lines =
            [line(1, 2048, 2048, "82"), line(2, 8192, 16384, "83"), line(3, 32768, 2048, "ef")];
        let disk = disk(&temp, &format!("label: dos\n{}", lines.concat()), &parts);
        let volumes = volumes(local(&disk)).unwrap();
        let first = if active == 3 { [3, 2] } else { [2, 3] };
        let names: Vec<_> = volumes.into_iter().map(|volume| volume.name).collect();
        assert_eq!(names, first.map(|number| format!("{}, partition {number}", disk.display())));
        let source = open(local(&disk)).unwrap();
        assert_eq!(source.name(), disk.to_str().unwrap());
        assert_eq!(content(&*source, "which"), which.as_bytes(), "active: {active}");
        assert_eq!(content(&*source, "a/b/c/deep"), b"deep");
        let root = source.list(&TreePath::root()).unwrap();
        assert_eq!(root.iter().filter(|entry| entry.name == "which").count(), 1);
        let missing = source.open(&TreePath::new("nothing")).unwrap_err();
        assert!(missing.is_missing(), "{missing:?}");
    }
}

#[test]
fn what_was_seen_is_said_where_no_partition_has_a_file_system() {
    let temp = Temp::new();
    let swap = blank(&temp, "swap", 1 << 20);
    run("mkswap", &["-q", text(&swap)]);
    temp.file("luks", b"LUKS\xba\xbe\0\x02");
    let luks = temp.path().join("luks");
    let table = "label: dos\nstart=2048, size=2048, type=82\nstart=4096, size=2048, type=83\nstart=8192, size=2048, type=83\n";
    let disk = disk(&temp, table, &[(1 << 20, &swap), (2 << 20, &luks)]);
    let error = open(local(&disk)).unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    for told in [
        "partition 1 (",
        "1 MiB at 1 MiB): it is swap space",
        "1 MiB at 2 MiB): it is a LUKS encrypted volume",
        "1 MiB at 4 MiB): empty (its beginning is all zeros)",
    ] {
        assert!(why.contains(told), "{told}: {why}");
    }
    assert!(error.hint().unwrap().contains("supported are ext2"), "{error:?}");
}

/// Boot loaders tell file systems apart by their partitions.
#[test]
fn a_file_system_knows_all_partitions_that_it_is_in() {
    let temp = Temp::new();
    let inner = disk(
        &temp,
        "label: dos\nstart=2048, size=2048, type=83\nstart=4096, size=2048, type=83\n",
        &[(2 << 20, &fat(&temp, "which", b"FAT"))],
    );
    let inner_copy = temp.path().join("inner");
    let bytes = std::fs::read(&inner).unwrap();
    std::fs::write(&inner_copy, &bytes[..4 << 20]).unwrap();
    let table = "label: gpt\nstart=2048, size=2048\nstart=8192, size=8192\n";
    let outer = disk(&temp, table, &[(4 << 20, &inner_copy)]);
    let found = volumes(local(&outer)).unwrap();
    let id = |table, number| PartitionId { table, number, role: PartitionRole::Other };
    let expected = [id(PartitionTable::Gpt, 2), id(PartitionTable::Mbr, 2)];
    assert_eq!(found[0].source.partition(), expected);
    let whole = volumes(local(&fat(&temp, "which", b"FAT"))).unwrap();
    assert_eq!(whole[0].source.partition(), []);
}

/// A medium that has a partition table too, so that a disk can be made of it, is a medium.
#[test]
fn a_hybrid_medium_is_a_medium() {
    let (temp, from) = (Temp::new(), Temp::new());
    from.file("boot/vmlinuz", b"the medium's");
    let esp = fat(&temp, "vmlinuz", b"the partition's");
    let image = temp.path().join("image");
    run(
        "xorriso",
        &[
            "-as",
            "mkisofs",
            "-quiet",
            "-R",
            "-o",
            text(&image),
            "-append_partition",
            "2",
            "0xef",
            text(&esp),
            text(from.path()),
        ],
    );
    let bytes = std::fs::read(&image).unwrap();
    assert_eq!(bytes[510..512], [0x55, 0xaa]);
    assert_eq!(bytes[446 + 16 + 4], 0xef);
    let source = open(local(&image)).unwrap();
    assert_eq!(content(&*source, "boot/vmlinuz"), b"the medium's");
    assert!(source.open(&TreePath::new("vmlinuz")).unwrap_err().is_missing());
}

#[test]
fn images_in_images_end_somewhere() {
    let temp = Temp::new();
    let mut inner = fat(&temp, "file", b"innermost");
    for depth in 1..=DEPTH + 1 {
        let outer = temp.path().join(format!("outer-{depth}"));
        run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", text(&inner), text(&outer)]);
        let opened = open(local(&outer));
        if depth <= DEPTH {
            assert_eq!(content(&*opened.unwrap(), "file"), b"innermost", "{depth}");
        } else {
            let error = opened.unwrap_err();
            assert!(format!("{error:?}").contains("nested images"), "{error:?}");
        }
        inner = outer;
    }
}

/// A disk whose partitions all begin with its own partition table.
#[test]
fn an_error_about_partitions_in_partitions_is_short() {
    let mut table = vec![0; 512];
    for entry in 0..4 {
        table[446 + 16 * entry..][..16]
            .copy_from_slice(b"\0\0\0\0\x83\0\0\0\x01\0\0\0\xff\x07\0\0");
    }
    table[510..].copy_from_slice(b"\x55\xaa");
    let temp = Temp::new();
    temp.file("disk", &table.repeat(2048));
    let error = volumes(local(&temp.path().join("disk"))).unwrap_err();
    let text = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert!(text.contains("partition 1 (Linux, 0 MiB at 0 MiB)"), "{text}");
    assert!(text.len() < 500, "{} bytes: {text}", text.len());
}

/// openSUSE has all but the EFI partition on btrfs.
#[test]
fn unreadable_partitions_are_reported() {
    let temp = Temp::new();
    let (swap, btrfs) = (blank(&temp, "swap", 1 << 20), temp.path().join("btrfs"));
    run("mkswap", &["-q", text(&swap)]);
    std::fs::write(&btrfs, with(&[(0x1_0040, b"_BHRfS_M")])).unwrap();
    let fat = fat(&temp, "which", b"FAT");
    let table = "label: dos\nstart=2048, size=2048, type=82\nstart=8192, size=2048, type=ef\n\
        start=16384, size=2048, type=83\nstart=32768, size=2048, type=83\n";
    let parts = [(1 << 20, &*swap), (4 << 20, &*fat), (8 << 20, &*btrfs)];
    let disk = disk(&temp, table, &parts);
    let source = open(local(&disk)).unwrap();
    assert_eq!(content(&*source, "which"), b"FAT");
    // What the file system is called does not depend on the others.
    assert_eq!(source.volume_uuid(), Some("1A2B-3C4D"));
    assert_eq!(source.volume_label(), Some("LABEL"));
    let (table, role) = (PartitionTable::Mbr, PartitionRole::EfiSystem);
    assert_eq!(source.partition(), [PartitionId { table, number: 2, role }]);
    let name = format!("{}, partition 3", disk.display());
    let why = "it is a btrfs file system, which is not supported".to_owned();
    assert_eq!(source.skipped(), [Skipped { name, why }]);
}
