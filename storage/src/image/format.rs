//! Identifies a file by its content, never by its name.
//!
//! If a file could be of two kinds, the order decides. A medium often has a partition table too, so
//! that it can be written to a disk; it is a medium. A file system on a whole disk may begin with a
//! boot sector that ends like a partition table; it is that file system if its header is plausible.

use crate::RandomAccess;
use crate::bytes::{le16, le32};
use crate::filesystem::squashfs::REPACK;

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A disk in QEMU's format, qcow2.
    Qcow2,
    /// A disk with partitions, by the kind of its partition table.
    Partitions(&'static str),
    /// A file system.
    FileSystem(FileSystem),
    /// A known format that chukka does not read.
    Foreign {
        /// What it is.
        name: &'static str,
        /// What the user can do about it.
        hint: &'static str,
    },
}

/// A file system that chukka reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// ISO 9660.
    Iso,
    /// ext2, ext3 or ext4.
    Ext,
    /// FAT12, FAT16 or FAT32.
    Fat,
    /// Squashfs.
    Squashfs,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

impl Format {
    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Qcow2 => "a qcow2 disk image",
            Self::Partitions(name) | Self::Foreign { name, .. } => name,
            Self::FileSystem(system) => match system {
                FileSystem::Iso => "an ISO 9660 image",
                FileSystem::Ext => "an ext2, ext3 or ext4 file system",
                FileSystem::Fat => "a FAT file system",
                FileSystem::Squashfs => "a squashfs file system",
                FileSystem::Xfs => "an XFS file system",
                FileSystem::Btrfs => "a btrfs file system",
            },
        }
    }
}

const CONVERT: &str = "convert it to qcow2 first: qemu-img convert -O qcow2 FROM TO";
const UNPACK: &str = "unpack it, and use the result";
const COPY: &str = "copy its files to a directory of this host, and use that";
const ZFS: &str = "import the pool (zpool import), and copy its files to a directory of this host";
const ENCRYPTED: &str = "open it (cryptsetup open), and use the device in /dev/mapper";
const LOGICAL: &str = "activate it (vgchange -ay, mdadm --assemble), and use the volume's device";

const OTHER: &str = "it holds no files: use the disk or partition that the kernel is on";
const PARTITIONED: &str =
    "attach it (losetup --find --show --partscan), and use a partition's device";

/// What has no files.
pub(super) const SWAP: &str = "swap space";

const RAID: &str = "a member of a RAID (md)";
const BSD: &[u8] = b"\x57\x45\x56\x82";

/// Unsupported formats, recognized by bytes at a fixed offset: offset, bytes, name, hint. The first
/// list comes from util-linux's libblkid, the list of compressed formats from file(1).
const FOREIGN: [(usize, &[u8], &str, &str); 52] = [
    (0, b"LUKS\xba\xbe", "a LUKS encrypted volume", ENCRYPTED),
    (24, b"LVM2 001", "an LVM physical volume", LOGICAL),
    (536, b"LVM2 001", "an LVM physical volume", LOGICAL),
    (1048, b"LVM2 001", "an LVM physical volume", LOGICAL),
    (1560, b"LVM2 001", "an LVM physical volume", LOGICAL),
    // Versions 1.1 and 1.2. The others are at the end.
    (0, b"\xfc\x4e\x2b\xa9\x01\0\0\0", RAID, LOGICAL),
    (4096, b"\xfc\x4e\x2b\xa9\x01\0\0\0", RAID, LOGICAL),
    (4086, b"SWAPSPACE2", SWAP, OTHER),
    (4086, b"SWAP-SPACE", SWAP, OTHER),
    (0, b"KDMV", "a VMDK disk image", CONVERT),
    (0, b"# Disk DescriptorFile", "a VMDK disk image", CONVERT),
    (64, b"\x7f\x10\xda\xbe", "a VDI disk image", CONVERT),
    (0, b"vhdxfile", "a VHDX disk image", CONVERT),
    (0, b"conectix", "a VHD disk image", CONVERT),
    (0, b"QED\0", "a QED disk image", CONVERT),
    (0, b"WithoutFreeSpace", "a Parallels disk image", CONVERT),
    (0, b"WithouFreSpacExt", "a Parallels disk image", CONVERT),
    (0, b"PK\x03\x04", "a zip archive", UNPACK),
    (0, b"\xfd7zXZ\0", "a file compressed with xz", UNPACK),
    (0, b"\x1f\x8b", "a file compressed with gzip", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a file compressed with zstd", UNPACK),
    (0, b"\x04\x22\x4d\x18", "a file compressed with lz4", UNPACK),
    (0, b"BZh", "a file compressed with bzip2", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"!<arch>\n", "an ar archive or a Debian package", UNPACK),
    (0, b"\xed\xab\xee\xdb", "an RPM package", UNPACK),
    (0, b"MSWIM\0\0\0", "a Windows image (WIM)", COPY),
    (3, b"NTFS    ", "an NTFS file system", COPY),
    (3, b"EXFAT   ", "an exFAT file system", COPY),
    (1024, b"\x10\x20\xf5\xf2", "an F2FS file system", COPY),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS file system", COPY),
    (0x8001, b"BEA01", "a UDF file system", COPY),
    (0x1_0034, b"ReIsEr", "a ReiserFS file system", COPY),
    (0x8000, b"JFS1", "a JFS file system", COPY),
    (0, b"sqsh", "a big-endian squashfs file system of version 3 or older", REPACK),
    (16, b"Compressed ROMFS", "a cramfs file system", COPY),
    // Behind a boot sector.
    (528, b"Compressed ROMFS", "a cramfs file system", COPY),
    (0, b"-rom1fs-", "a romfs file system", COPY),
    (3, b"-FVE-FS-", "a volume encrypted with BitLocker", COPY),
    (32, b"NXSB", "an APFS container", COPY),
    // The magic number of bcache; bcachefs has it, too.
    (
        4120,
        b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
        "a bcachefs file system or a bcache device",
        COPY,
    ),
    // The first name in the first label: OpenZFS' vdev_config_generate.
    (0x4018, b"version\0", "a ZFS pool's device", ZFS),
    (0x1_0000, b"\x01\x16\x19\x70", "a GFS2 file system", COPY),
    // The revision, 2.0, and the magic number.
    (1024, b"\x02\0\0\0\0\0\x34\x34", "a NILFS2 file system", COPY),
    // UFS1 and UFS2 of either byte order, with the superblock at 8 KiB and 64 KiB.
    (0x255c, b"\x54\x19\x01\0", "a UFS file system", COPY),
    (0x255c, b"\0\x01\x19\x54", "a UFS file system", COPY),
    (0x1_055c, b"\x19\x01\x54\x19", "a UFS file system", COPY),
    (0x1_055c, b"\x19\x54\x01\x19", "a UFS file system", COPY),
    (0, b"\x5d\0\0", "a file compressed with lzma", UNPACK),
    (0, b"LZIP", "a file compressed with lzip", UNPACK),
    (0, b"\x89LZO\0", "a file compressed with lzop", UNPACK),
];

/// The kind of a file that begins with `head`. `None` if it is not an image.
pub(crate) fn of(head: &[u8]) -> Option<Format> {
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if has(0, b"QFI\xfb") {
        return Some(Format::Qcow2);
    }
    if has(0x8001, b"CD001") {
        return Some(Format::FileSystem(FileSystem::Iso));
    }
    let systems = [
        (0, &b"hsqs"[..], FileSystem::Squashfs),
        (0, b"XFSB", FileSystem::Xfs),
        (0x1_0040, b"_BHRfS_M", FileSystem::Btrfs),
    ];
    if let Some((_, _, system)) = systems.into_iter().find(|(at, magic, _)| has(*at, magic)) {
        return Some(Format::FileSystem(system));
    }
    // On disks with sectors of 512 bytes, and of 4096 (UEFI 2.10, 5.3.2).
    if has(512, b"EFI PART") || has(4096, b"EFI PART") {
        return Some(Format::Partitions("a disk with partitions (GPT)"));
    }
    if is_ext(head) {
        return Some(Format::FileSystem(FileSystem::Ext));
    }
    if let Some((_, _, name, hint)) = FOREIGN.into_iter().find(|(at, magic, ..)| has(*at, magic)) {
        return Some(Format::Foreign { name, hint });
    }
    if is_fat(head) {
        return Some(Format::FileSystem(FileSystem::Fat));
    }
    if is_mbr(head) {
        return Some(Format::Partitions("a disk with partitions (MBR)"));
    }
    if let Some(name) = other_partitions(head) {
        return Some(Format::Foreign { name, hint: PARTITIONED });
    }
    // Two bytes are also found there by chance, in a FAT or in the boot loader of an MBR disk.
    let name = match head.get(1024..1026)? {
        b"H+" | b"HX" => "an HFS+ file system",
        b"BD" => "an HFS file system",
        _ if is_minix(head) => "a Minix file system",
        _ => return None,
    };
    Some(Format::Foreign { name, hint: COPY })
}

/// Partition tables that chukka does not read (libblkid's partitions/bsd.c, sun.c and mac.c).
fn other_partitions(head: &[u8]) -> Option<&'static str> {
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    // In a label, the magic number is there twice.
    if [64, 128, 512].into_iter().any(|at| has(at, BSD) && has(at + 132, BSD)) {
        return Some("a disk with a BSD disklabel");
    }
    let sum = |sector: &[u8]| sector.chunks_exact(2).fold(0, |sum, word| sum ^ le16(word, 0));
    if has(508, b"\xda\xbe") && head.get(..512).map(sum) == Some(0) {
        return Some("a disk with a Sun disklabel");
    }
    // The second block begins with the map; blocks have 512 bytes, or 2048 on a CD.
    (has(0, b"ER") && (has(512, b"PM\0\0") || has(2048, b"PM\0\0")))
        .then_some("a disk with an Apple partition map")
}

/// A superblock with one of the magic numbers and plausible sizes, of version 1, 2 or 3, in the
/// byte order of x86 (Linux, include/uapi/linux/minix_fs.h; libblkid's superblocks/minix.c).
fn is_minix(head: &[u8]) -> bool {
    const BITS: u32 = 8 * 1024;
    let Some(superblock) = head.get(1024..2048) else { return false };
    let half = |at| u32::from(le16(superblock, at));
    let (inodes, zones, maps) = match half(16) {
        0x137f | 0x138f => (half(0), half(2), 4),
        0x2468 | 0x2478 => (half(0), le32(superblock, 20), 4),
        _ if half(24) == 0x4d5a => (le32(superblock, 0), le32(superblock, 20), 6),
        _ => return false,
    };
    let [inode_map, zone_map, first, zone_size] = [0, 2, 4, 6].map(|at| half(maps + at));
    // Blocks of version 3 have 1 to 4 KiB.
    inodes != 0
        && inodes / (4 * BITS) < inode_map
        && zones > first
        && (zones - first) / (4 * BITS) < zone_map
        && first > inode_map + zone_map
        && zone_size == 0
}

/// Recognizes a file by its end: Apple's disk images and fixed-size VHD images by the last 512
/// bytes, members of a RAID by superblocks of versions 0.90 (Linux, include/uapi/linux/raid/md_p.h)
/// and 1.0 (`super_1_load` in drivers/md/md.c).
pub(crate) fn by_end(file: &dyn RandomAccess) -> Option<Format> {
    const RESERVED: u64 = 64 << 10;
    let len = file.len();
    let at = |at: Option<u64>| {
        let mut bytes = [0; 8];
        let count = file.read_at(&mut bytes, at?).ok()?;
        (count == bytes.len()).then_some(bytes)
    };
    let foreign = |name, hint| Some(Format::Foreign { name, hint });
    match at(len.checked_sub(512)).as_ref() {
        Some([b'k', b'o', b'l', b'y', ..]) => return foreign("an Apple disk image (DMG)", CONVERT),
        Some(b"conectix") => return foreign("a VHD disk image", CONVERT),
        _ => {}
    }
    // The number, and the first half of the version. Version 0.90 has the host's byte order.
    let is_0_90 = match at((len & !(RESERVED - 1)).checked_sub(RESERVED)) {
        Some(found) => {
            [*b"\xfc\x4e\x2b\xa9\0\0\0\0", *b"\xa9\x2b\x4e\xfc\0\0\0\0"].contains(&found)
        }
        None => false,
    };
    let is_1_0 = at((len & !0xfff).checked_sub(0x2000)) == Some(*b"\xfc\x4e\x2b\xa9\x01\0\0\0");
    if is_0_90 || is_1_0 { foreign(RAID, LOGICAL) } else { None }
}

/// Describes a file that is not an image, by its beginning.
pub(crate) fn otherwise(head: &[u8]) -> &'static str {
    let text = head.trim_ascii_start();
    let page =
        |tag: &[u8]| text.get(..tag.len()).is_some_and(|text| text.eq_ignore_ascii_case(tag));
    match () {
        () if head.is_empty() => "an empty file",
        () if head.iter().all(|byte| *byte == 0) => "empty (its beginning is all zeros)",
        () if page(b"<!doctype html") || page(b"<html") => "a web page",
        // Documentation/arch/x86/boot.rst
        () if head.get(0x202..0x206) == Some(b"HdrS") => "a Linux kernel",
        () if head.starts_with(b"070701") => "a cpio archive, such as an initrd",
        () => "a file without a known file system",
    }
}

/// A superblock with its magic number and plausible sizes (Linux,
/// Documentation/filesystems/ext4/super.rst).
fn is_ext(head: &[u8]) -> bool {
    let Some(superblock) = head.get(1024..2048) else { return false };
    let [inodes, blocks, _, _, _, _, block_size, _] =
        [0, 4, 8, 12, 16, 20, 24, 28].map(|at| le32(superblock, at));
    // An external journal has a superblock without inodes (`INCOMPAT_JOURNAL_DEV`).
    let is_plausible = inodes != 0 || le32(superblock, 96) & 0x8 != 0;
    le16(superblock, 56) == 0xef53 && is_plausible && blocks != 0 && block_size <= 6
}

/// A parameter block with plausible values (Microsoft's FAT specification 1.03, "Boot Sector and
/// BPB").
fn is_fat(head: &[u8]) -> bool {
    let Some(sector) = head.get(..512) else { return false };
    let jump = matches!(sector, [0xeb, _, 0x90, ..] | [0xe9, ..]);
    let (size, cluster, fats) = (le16(sector, 11), sector[13], sector[16]);
    let has_sectors = le16(sector, 19) != 0 || le32(sector, 32) != 0;
    let has_table = le16(sector, 22) != 0 || le32(sector, 36) != 0;
    jump && matches!(size, 512 | 1024 | 2048 | 4096)
        && cluster.is_power_of_two()
        && le16(sector, 14) != 0
        && matches!(fats, 1 | 2)
        && matches!(sector[21], 0xf0 | 0xf8..)
        && has_sectors
        && has_table
}

/// The signature, and at least one entry, all of them plausible. A kernel that can boot from a
/// floppy has the signature too.
fn is_mbr(head: &[u8]) -> bool {
    let Some(sector) = head.get(..512) else { return false };
    if sector[510..] != [0x55, 0xaa] || head.get(0x202..0x206) == Some(b"HdrS") {
        return false;
    }
    let entries = || sector[446..510].chunks_exact(16);
    // One that begins with this sector is no partition: FreeBSD's boot loader has one in its own.
    let is_used = |entry: &[u8]| entry[4] != 0 && le32(entry, 8) != 0 && le32(entry, 12) != 0;
    entries().all(|entry| matches!(entry[0], 0 | 0x80)) && entries().any(is_used)
}
