use super::*;
use crate::making::{Bytes, abuse, blank, local, run, text};
use crate::testing::Temp;

const MIB: u64 = 1 << 20;

fn of(bytes: Vec<u8>) -> Result<Vec<Partition>, FileError> {
    list(&(Arc::new(Bytes(bytes)) as _))
}

/// The disk that sfdisk makes of this script.
fn sfdisk(script: &str, mib: u64) -> Vec<u8> {
    let temp = Temp::new();
    let disk = blank(&temp, "disk", mib * MIB);
    temp.file("script", script.as_bytes());
    let script = temp.path().join("script");
    let command =
        format!("sfdisk -q --no-reread --no-tell-kernel {} < {}", text(&disk), text(&script));
    run("sh", &["-c", &command]);
    std::fs::read(disk).unwrap()
}

/// Number, MiB of begin and length, active, kind.
fn told(found: &[Partition]) -> Vec<(u32, u64, u64, bool, &str)> {
    found
        .iter()
        .map(|one| (one.number, one.at / MIB, one.len / MIB, one.active, &*one.kind))
        .collect()
}

const LOGICAL: &str = "label: dos\nstart=2048, size=10M, type=83, bootable\nstart=12M, size=4M, type=c\n\
    start=20M, size=40M, type=5\nstart=21M, size=5M, type=83\nstart=30M, size=6M, type=82\nstart=40M, size=7M, type=8e\n";

#[test]
fn primary_and_logical_partitions_of_an_mbr_are_found() {
    let found = of(sfdisk(LOGICAL, 64)).unwrap();
    assert_eq!(
        told(&found),
        [
            (1, 1, 10, true, "Linux"),
            (2, 12, 4, false, "FAT"),
            (5, 21, 5, false, "Linux"),
            (6, 30, 6, false, "Solaris or Linux swap"),
            (7, 40, 7, false, "Linux LVM"),
        ]
    );
    let ids: Vec<_> =
        found.iter().map(|one| (one.id.len(), one.id[0].table, one.id[0].number)).collect();
    let expected = [1, 2, 5, 6, 7].map(|number| (1, PartitionTable::Mbr, number));
    assert_eq!(ids, expected);
}

/// UAPI.1, "The partitions": by types, in a GPT and in an MBR.
#[test]
fn partitions_for_boot_loaders_are_known_by_their_type() {
    let gpt = "label: gpt\nstart=1M, size=1M, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\n\
        start=2M, size=1M, type=BC13C2FF-59E6-4262-A352-B275FD6F7172\n\
        start=3M, size=1M, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4\n";
    let mbr = "label: dos\nstart=1M, size=1M, type=ef\nstart=2M, size=1M, type=ea\nstart=3M, size=1M, type=83\n";
    let roles = [PartitionRole::EfiSystem, PartitionRole::ExtendedBoot, PartitionRole::Other];
    for (script, table) in [(gpt, PartitionTable::Gpt), (mbr, PartitionTable::Mbr)] {
        let found = of(sfdisk(script, 8)).unwrap();
        let ids: Vec<_> = found.iter().map(|one| one.id.clone()).collect();
        let expected =
            (1..).zip(roles).map(|(number, role)| vec![PartitionId { table, number, role }]);
        assert_eq!(ids, expected.collect::<Vec<_>>(), "{script}");
    }
}

#[test]
fn a_gpt_is_found_by_either_of_its_copies_and_its_sectors_length() {
    let temp = Temp::new();
    let path = blank(&temp, "disk", 64 * MIB);
    run("sgdisk", &["-n1:1M:+8M", "-t1:ef00", "-n5:16M:+20M", "-A5:set:2", text(&path)]);
    let disk = std::fs::read(&path).unwrap();
    let expected = [(1, 1, 8, false, "EFI system"), (5, 16, 20, true, "Linux")];
    assert_eq!(told(&list(&local(&path)).unwrap()), expected);
    // One copy is damaged, its entries are, the first is gone.
    for damage in [512..516, 560..561, 1024..1040, 512..(34 * 512)] {
        let mut disk = disk.clone();
        disk[damage].iter_mut().for_each(|byte| *byte ^= 0xff);
        assert_eq!(told(&of(disk).unwrap()), expected);
    }
    // Both are.
    let mut both = disk.clone();
    let end = both.len();
    both[520] ^= 1;
    both[end - 500] ^= 1;
    let error = of(both).unwrap_err();
    assert!(format!("{error:?}").contains("both copies"), "{error:?}");
    // A hybrid MBR names partitions twice.
    run("sgdisk", &["-h", "5", text(&path)]);
    assert_eq!(told(&list(&local(&path)).unwrap()), expected);
    // Sectors of 4096 bytes: the same tables eight times as far apart, and with new sums.
    assert_eq!(told(&of(with_sectors_of_4096()).unwrap()), [(1, 1, 8, false, "Linux")]);
}

/// Makes the header's sums right.
fn sum(disk: &mut [u8], header: usize, entries: usize, len: usize) {
    let sum = crc32fast::hash(&disk[entries..entries + len]);
    disk[header + 88..header + 92].copy_from_slice(&sum.to_le_bytes());
    disk[header + 16..header + 20].fill(0);
    let sum = crc32fast::hash(&disk[header..header + 92]);
    disk[header + 16..header + 20].copy_from_slice(&sum.to_le_bytes());
}

fn with_sectors_of_4096() -> Vec<u8> {
    let mut disk = vec![0; 16 << 20];
    disk[450] = 0xee;
    disk[454] = 1;
    disk[458..462].fill(0xff);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    put(4096, b"EFI PART\0\0\x01\0\x5c\0\0\0");
    for (at, value) in [(24, 1_u64), (72, 2), (80, 4 | 128 << 32)] {
        put(4096 + at, &value.to_le_bytes());
    }
    let linux = [
        0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d,
        0xe4,
    ];
    put(8192, &linux);
    put(8192 + 32, &256_u64.to_le_bytes());
    put(8192 + 40, &(256_u64 + 2047).to_le_bytes());
    sum(&mut disk, 4096, 8192, 512);
    disk
}

#[test]
fn a_gpt_of_impossible_numbers_is_refused() {
    let good = with_sectors_of_4096();
    let refused = |at: usize, bytes: &[u8]| {
        let mut disk = good.clone();
        disk[4096 + at..4096 + at + bytes.len()].copy_from_slice(bytes);
        sum(&mut disk, 4096, 8192, 512);
        assert!(of(disk).is_err(), "{at} {bytes:x?}");
    };
    refused(80, &u32::MAX.to_le_bytes());
    refused(84, &u32::MAX.to_le_bytes());
    refused(84, &0_u32.to_le_bytes());
    refused(72, &u64::MAX.to_le_bytes());
    refused(72, &(1_u64 << 50).to_le_bytes());
    refused(12, &u32::MAX.to_le_bytes());
    // Entries that end before they begin, and behind everything.
    for (first, last) in
        [(9, 8), (0, u64::MAX), (u64::MAX, u64::MAX), (1 << 60, 1 << 61), (1 << 20, 1 << 21)]
    {
        let mut disk = good.clone();
        disk[8192 + 32..8192 + 40].copy_from_slice(&u64::to_le_bytes(first));
        disk[8192 + 40..8192 + 48].copy_from_slice(&u64::to_le_bytes(last));
        sum(&mut disk, 4096, 8192, 512);
        assert_eq!(of(disk).unwrap(), [], "{first} {last}");
    }
}

#[test]
fn partitions_end_where_the_disk_does() {
    let mut disk = sfdisk(LOGICAL, 64);
    disk.truncate(8 << 20);
    assert_eq!(told(&of(disk).unwrap()), [(1, 1, 7, true, "Linux")]);
}

#[test]
fn what_is_no_table_has_no_partitions() {
    assert_eq!(of(vec![0; 4096]).unwrap(), []);
    assert_eq!(of(vec![0; 100]).unwrap(), []);
    // A FAT's boot sector has the mark, and text where the entries would be.
    let temp = Temp::new();
    let fat = blank(&temp, "fat", MIB);
    run("mkfs.vfat", &[text(&fat)]);
    assert_eq!(list(&local(&fat)).unwrap(), []);
}

#[test]
fn chains_of_logical_partitions_that_lead_back_end() {
    let good = sfdisk(LOGICAL, 64);
    // The second table says where the third is; it is entry 2, from the extended one's beginning.
    let tables: Vec<usize> = (20 << 20..60 << 20)
        .step_by(512)
        .filter(|at| good[at + 510..at + 512] == [0x55, 0xaa])
        .collect();
    assert_eq!(tables.len(), 3, "{tables:?}");
    for (table, next) in [(1, 0), (1, 1), (0, 0)] {
        let mut disk = good.clone();
        let sector = u32::try_from((tables[next] - tables[0]) / 512).unwrap();
        let at = tables[table] + 446 + 16;
        disk[at + 8..at + 12].copy_from_slice(&sector.to_le_bytes());
        let found = of(disk).unwrap();
        assert_eq!(found.len(), 2 + table + 1, "{found:?}");
    }
    // One that is everywhere: each sector says that the next is another.
    let mut disk = vec![0; 1 << 20];
    for (index, sector) in disk.chunks_mut(512).enumerate() {
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector[450] = 0x05;
        sector[454..458].copy_from_slice(&u32::try_from(index + 1).unwrap().to_le_bytes());
        sector[458] = 1;
        sector[466] = 0x83;
        sector[474] = 1;
    }
    assert!(of(disk).unwrap().len() <= super::LOGICAL + 4);
}

#[test]
fn slices_of_solaris_are_found() {
    let mut disk = sfdisk("label: dos\nstart=2048, size=20M, type=bf, bootable\n", 32);
    let vtoc = (1 << 20) + 512;
    let mut put =
        |at: usize, bytes: &[u8]| disk[vtoc + at..vtoc + at + bytes.len()].copy_from_slice(bytes);
    put(12, &0x600d_deee_u32.to_le_bytes());
    put(30, &16_u16.to_le_bytes());
    put(508, &0xdabe_u16.to_le_bytes());
    for (index, tag, start, count) in [
        (0, 2_u16, 2048_u32, 10240_u32),
        (2, 5, 0, 40960),
        (8, 1, 0, 2048),
        (15, 7, u32::MAX, u32::MAX),
    ] {
        put(72 + 12 * index, &tag.to_le_bytes());
        put(72 + 12 * index + 4, &start.to_le_bytes());
        put(72 + 12 * index + 8, &count.to_le_bytes());
    }
    let found = of(disk.clone()).unwrap();
    assert_eq!(
        told(&found),
        [
            (1, 1, 20, true, "Solaris"),
            (5, 2, 5, true, "root slice of Solaris"),
            (6, 1, 1, false, "slice of Solaris, tag 1"),
        ]
    );
    // GRUB counts all slices, from 1, and not only those in use.
    let ids: Vec<Vec<_>> =
        found.iter().map(|one| one.id.iter().map(|id| (id.table, id.number)).collect()).collect();
    let mbr = (PartitionTable::Mbr, 1);
    let slice = |number| vec![mbr, (PartitionTable::Solaris, number)];
    assert_eq!(ids, [vec![mbr], slice(1), slice(9)]);
    // Without its mark it is Linux' swap, or nothing.
    disk[vtoc + 508] = 0;
    assert_eq!(of(disk).unwrap().len(), 1);
}

#[test]
fn a_damaged_table_is_an_error_and_no_more() {
    let look = |disk: Arc<dyn RandomAccess>| {
        let len = disk.len();
        for one in list(&disk).unwrap_or_default() {
            assert!(one.at < len && one.len <= len - one.at && one.len > 0, "{one:?}");
        }
    };
    let mut logical = sfdisk(LOGICAL, 64);
    logical.truncate(32 << 20);
    abuse(&logical, &[440..512, (20 << 20) + 440..(20 << 20) + 512], 200, look);
    abuse(&with_sectors_of_4096(), &[440..512, 4096..4200, 8192..8320], 200, look);
}
