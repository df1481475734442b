//! What images are made, refused and repaired.

use std::fs;

use super::model::{assert_clean, options, qemu_check, qemu_create};
use crate::disk::buffers::counting::visited;
use crate::disk::{Disk, DiskError, DiskFormat, DiskOptions, check, create, info, resize};
use crate::making::{noise, run, text};
use crate::testing::Temp;
use vm_memory::VolatileSlice;

fn write(disk: &Disk, at: u64, bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    disk.write(&[VolatileSlice::from(&mut bytes[..])], at).unwrap();
}

#[test]
fn disks_are_created_and_become_larger() {
    let temp = Temp::new();
    let path = temp.path().join("disk");
    let size = 5 << 20;
    create(&path, DiskFormat::Qcow2, size).unwrap();
    let about = info(&path, None).unwrap();
    assert_eq!((about.format, about.size), (DiskFormat::Qcow2, size));
    assert!(about.allocated <= 1 << 20, "{about:?}");
    let mut bytes = vec![0; 5 << 20];
    assert_clean(&path, &bytes, &temp);
    let disk = Disk::open(&path, DiskOptions::default()).unwrap();
    write(&disk, size - 512, &[7; 512]);
    disk.flush().unwrap();
    drop(disk);
    let large = 40 << 30;
    resize(&path, None, large).unwrap();
    assert_eq!(info(&path, None).unwrap().size, large);
    let disk = Disk::open(&path, DiskOptions::default()).unwrap();
    write(&disk, large - 512, &[8; 512]);
    disk.flush().unwrap();
    let mut end = [0; 1024];
    disk.read(&[VolatileSlice::from(&mut end[..])], large - 1024).unwrap();
    assert_eq!(end, *[[0; 512], [8; 512]].concat());
    drop(disk);
    assert_eq!(qemu_check(&path), (0, 0));
    // QEMU can use what is left if the disk is small again.
    run("qemu-img", &["resize", "-q", "-f", "qcow2", "--shrink", text(&path), "5M"]);
    bytes[(5 << 20) - 512..].fill(7);
    assert_clean(&path, &bytes, &temp);
    let problem = |error: DiskError| error.to_string();
    let smaller = problem(resize(&path, None, 1 << 20).unwrap_err());
    assert!(smaller.ends_with("it has 5242880, and chukka cannot make a disk smaller"));
    let odd = problem(create(&temp.path().join("odd"), DiskFormat::Raw, 700).unwrap_err());
    assert!(odd.ends_with("the size of a disk is a multiple of 512 bytes"), "{odd}");
    let huge = create(&temp.path().join("huge"), DiskFormat::Qcow2, 1 << 62).unwrap_err();
    assert!(matches!(huge, DiskError::Size { .. }), "{huge}");
    assert!(!temp.path().join("huge").exists());
    let again = create(&path, DiskFormat::Raw, 512).unwrap_err();
    assert_eq!(again.hint().unwrap(), "choose another name, or delete it");
    assert_clean(&path, &bytes, &temp);
}

/// A guest decides how many buffers a request has, and which clusters an image has.
#[test]
fn a_request_in_many_clusters_visits_each_buffer_once() {
    const CLUSTER: usize = 512;
    const CLUSTERS: usize = 512;
    let temp = Temp::new();
    let path = qemu_create(&temp, "image", &["-o", "cluster_size=512"], "256k");
    let disk = Disk::open(&path, options(false)).unwrap();
    for cluster in (0..CLUSTERS).step_by(2) {
        write(&disk, (cluster * CLUSTER) as u64, &[7; CLUSTER]);
    }
    let mut bytes = vec![1; CLUSTERS * CLUSTER];
    // No multiple of a cluster, so that buffers are divided.
    let slices: Vec<_> = bytes.chunks_mut(192).map(VolatileSlice::from).collect();
    let read = visited(|| disk.read(&slices, 0).unwrap());
    assert!(read <= slices.len() + CLUSTERS, "{read} of {}", slices.len());
    let expected = [[7; CLUSTER], [0; CLUSTER]].concat().repeat(CLUSTERS / 2);
    let mut found = vec![0; expected.len()];
    disk.read(&[VolatileSlice::from(&mut found[..])], 0).unwrap();
    assert!(found == expected);
    let written = visited(|| disk.write(&slices, 0).unwrap());
    assert!(written <= slices.len() + CLUSTERS, "{written} of {}", slices.len());
    disk.flush().unwrap();
    drop((slices, disk));
    assert!(bytes == expected);
    assert_clean(&path, &bytes, &temp);
}

#[test]
fn tables_of_small_clusters_grow() {
    let temp = Temp::new();
    let wide = ["-o", "cluster_size=512,refcount_bits=64"];
    let path = qemu_create(&temp, "image", &wide, "4M");
    resize(&path, None, 40 << 20).unwrap();
    let bytes = noise(4, 8 << 20);
    let disk = Disk::open(&path, options(false)).unwrap();
    for (at, part) in (0..).step_by(1 << 20).zip(bytes.chunks(1 << 20)) {
        write(&disk, at, part);
    }
    disk.flush().unwrap();
    drop(disk);
    let mut all = bytes;
    all.resize(40 << 20, 0);
    assert_clean(&path, &all, &temp);
}

#[test]
fn both_checks_find_the_same() {
    let temp = Temp::new();
    let path = qemu_create(&temp, "image", &["-o", "cluster_size=4k"], "1M");
    let disk = Disk::open(&path, options(false)).unwrap();
    write(&disk, 0, &noise(1, 60_000));
    disk.flush().unwrap();
    drop(disk);
    let image = fs::read(&path).unwrap();
    let be64 = |at: usize| usize::try_from(crate::bytes::be64(&image, at)).unwrap();
    let l1 = be64(40);
    let l2 = be64(l1) & 0xff_ffff_ffff_fe00;
    let block = be64(be64(48));
    type Change = (usize, Vec<u8>);
    let changes: [(Change, bool, bool); 8] = [
        // A reference count that is too high, and one that is too low.
        ((block + 2 * 30, vec![0, 0]), false, true),
        ((block + 2 * 10, vec![0, 2]), true, true),
        ((l2, vec![0; 8]), true, false),
        ((l2 + 8, image[l2 + 16..l2 + 24].to_vec()), true, true),
        ((l2, vec![0]), false, true),
        ((l2 + 7, vec![2]), false, true),
        ((l2 + 4, vec![0x7f]), true, true),
        ((l1, vec![0; 8]), true, false),
    ];
    for ((at, bytes), _, _) in changes {
        let mut changed = image.clone();
        changed[at..at + bytes.len()].copy_from_slice(&bytes);
        fs::write(&path, &changed).unwrap();
        let ours = check(&path, None).unwrap().unwrap();
        let (leaks, corruptions) = qemu_check(&path);
        assert_eq!(
            (ours.leaks, ours.corruptions > 0),
            (leaks, corruptions > 0),
            "{at:#x} {bytes:?}: {:?}, QEMU {corruptions}",
            ours.described
        );
        assert_eq!(ours.corruptions > 0, !ours.described.is_empty());
    }
}

#[test]
fn an_image_that_was_not_closed_gets_its_reference_counts_back() {
    let temp = Temp::new();
    let lazy = ["-o", "cluster_size=4k,lazy_refcounts=on"];
    let path = qemu_create(&temp, "image", &lazy, "1M");
    let bytes = noise(1, 300_000);
    let sectors = bytes.len() / 512 * 512;
    let disk = Disk::open(&path, options(false)).unwrap();
    write(&disk, 0, &bytes[..sectors]);
    disk.flush().unwrap();
    drop(disk);
    let mut image = fs::read(&path).unwrap();
    let be64 = |at: usize| usize::try_from(crate::bytes::be64(&image, at)).unwrap();
    let block = be64(be64(48));
    // As a program leaves it that has not written the counts of the last clusters.
    image[block + 2 * 20..block + 2 * 70].fill(0);
    image[79] |= 1;
    fs::write(&path, &image).unwrap();
    let mut expected = bytes[..sectors].to_vec();
    expected.resize(1 << 20, 0);
    let read_only = Disk::open(&path, options(true)).unwrap();
    let mut there = vec![0; 1 << 20];
    read_only.read(&[VolatileSlice::from(&mut there[..])], 0).unwrap();
    assert!(there == expected);
    drop(read_only);
    assert!(info(&path, None).unwrap().qcow2.unwrap().is_dirty);
    drop(Disk::open(&path, options(false)).unwrap());
    assert!(!info(&path, None).unwrap().qcow2.unwrap().is_dirty);
    assert_clean(&path, &expected, &temp);
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let temp = Temp::new();
    let path = qemu_create(&temp, "image", &[], "1M");
    let good = fs::read(&path).unwrap();
    let refused = |path: &std::path::Path, options| {
        let error = Disk::open(path, options).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        error.to_string().replace(text(path), "IMAGE")
    };
    for (changes, message) in [
        (&[(79, 2)][..], "is marked as corrupt"),
        (&[(79, 4)], "has its data in another file"),
        (&[(79, 16)], "has extended L2 entries (extended_l2=on), which are not supported"),
        (&[(79, 8), (104, 2)], "is compressed by method 2, expected 0 (zlib) or 1 (zstd)"),
        (&[(72, 0x80)], "does not know (bits 0x8000000000000000)"),
        (&[(35, 2)], "is encrypted"),
        (&[(7, 9)], "has version 9, expected 2 or 3"),
        (&[(23, 22)], "has clusters of 2^22 bytes, expected 2^9 to 2^21"),
        (&[(99, 7)], "has reference counts of 2^7 bits"),
        (&[(24, 1)], "do not fit a disk of"),
        (&[(40, 1)], "has its L1 table at byte"),
        (&[(55, 1)], "has its refcount table at byte"),
        (&[(56, 1)], "has a refcount table of"),
        (&[(60, 1)], "has 16777216 snapshots, expected up to 65536"),
        (&[(63, 1)], "has its snapshot table at byte 0"),
    ] {
        let mut bad = good.clone();
        for (at, byte) in changes {
            bad[*at] = *byte;
        }
        temp.file("bad", &bad);
        let said = refused(&temp.path().join("bad"), DiskOptions::default());
        assert!(said.contains(message), "{said}");
    }
    let extended = qemu_create(&temp, "extended", &["-o", "extended_l2=on"], "1M");
    assert!(refused(&extended, options(false)).contains("extended_l2"));
}

#[test]
fn a_backing_file_is_used_only_where_the_user_can_expect_it() {
    let temp = Temp::new();
    temp.file("images/base", &[5; 4096]);
    temp.file("other/base", &[6; 4096]);
    let directory = temp.path().join("images");
    let overlay = |name: &str, base: &str, format: &[&str]| {
        let mut more = vec!["-u", "-b", base];
        more.extend(format);
        qemu_create(&temp, &format!("images/{name}"), &more, "4k")
    };
    let raw = ["-F", "raw"];
    let first = |path: &std::path::Path, backing| {
        let disk = Disk::open_over(path, options(true), backing)?;
        let mut byte = [0; 512];
        disk.read(&[VolatileSlice::from(&mut byte[..])], 0).unwrap();
        Ok::<_, DiskError>(byte[0])
    };
    let whole = |error: DiskError| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(error.hint().is_some(), "{error}");
        format!("{error} {}", source.unwrap_or_default())
    };
    let good = overlay("good", "base", &raw);
    assert_eq!(first(&good, None).unwrap(), 5);
    let probed = Disk::open(&good, DiskOptions::default()).unwrap_err();
    assert!(whole(probed).contains("has the backing file 'base'"));
    let outside = overlay("outside", "../other/base", &raw);
    let refused = whole(first(&outside, None).unwrap_err());
    assert!(refused.contains("'../other/base', which is not in the directory of the image"));
    let named = temp.path().join("other/base");
    assert_eq!(first(&outside, Some(&named)).unwrap(), 6);
    let absolute = overlay("absolute", "/etc/hostname", &raw);
    assert!(whole(first(&absolute, None).unwrap_err()).contains("is not in the directory"));
    std::os::unix::fs::symlink("../other/base", directory.join("link")).unwrap();
    let linked = overlay("linked", "link", &raw);
    assert!(whole(first(&linked, None).unwrap_err()).contains("is not in the directory"));
    let url = overlay("url", "nbd://server.example/disk", &raw);
    assert!(whole(first(&url, None).unwrap_err()).contains("is not a path"));
    let json = overlay("json", "json:{\"driver\":\"null-co\"}", &raw);
    assert!(whole(first(&json, None).unwrap_err()).contains("is not a path"));
    let missing = overlay("missing", "nothing", &raw);
    assert!(whole(first(&missing, None).unwrap_err()).contains("cannot be opened"));
    let vmdk = overlay("vmdk", "base", &["-F", "vmdk"]);
    assert!(whole(first(&vmdk, None).unwrap_err()).contains("of the format 'vmdk'"));
    let circle = overlay("circle-1", "circle-2", &["-F", "qcow2"]);
    overlay("circle-2", "circle-1", &["-F", "qcow2"]);
    let refused = whole(first(&circle, None).unwrap_err());
    assert!(refused.contains("Cannot use the backing file of"), "{refused}");
    assert!(refused.contains("is its own backing file"), "{refused}");
    let writable = DiskOptions { format: Some(DiskFormat::Qcow2), ..DiskOptions::default() };
    let refused = whole(Disk::open(&circle, writable).unwrap_err());
    assert!(refused.contains("is its own backing file"), "{refused}");
    // A chain; and an image that does not name the format of its backing file, which is qcow2.
    let top = overlay("top", "good", &["-F", "qcow2"]);
    assert_eq!(first(&top, None).unwrap(), 5);
    let mut unnamed = fs::read(&top).unwrap();
    let at = unnamed.windows(4).position(|four| four == [0xe2, 0x79, 0x2a, 0xca]).unwrap();
    unnamed[at + 3] = 0;
    temp.file("images/unnamed", &unnamed);
    let refused = whole(first(&directory.join("unnamed"), None).unwrap_err());
    assert!(refused.contains("does not name its format"), "{refused}");
}

#[test]
fn changed_bytes_give_errors_at_worst() {
    let temp = Temp::new();
    let path = qemu_create(&temp, "image", &["-o", "cluster_size=512"], "256k");
    let disk = Disk::open(&path, options(false)).unwrap();
    write(&disk, 0, &noise(1, 65_536));
    disk.flush().unwrap();
    drop(disk);
    let image = fs::read(&path).unwrap();
    let mut random = crate::making::Random(1);
    let started = std::time::Instant::now();
    for _ in 0..400 {
        let mut bad = image.clone();
        for _ in 0..1 + random.below(4) {
            // Half of them in the header and the tables that follow it.
            let end = if random.below(2) == 0 { 4096 } else { bad.len() };
            let at = random.below(end);
            bad[at] = random.next().to_le_bytes()[0];
        }
        if random.below(4) == 0 {
            bad.truncate(random.below(bad.len()));
        }
        temp.file("bad", &bad);
        let path = temp.path().join("bad");
        let _ = check(&path, None);
        let Ok(disk) = Disk::open(&path, options(false)) else { continue };
        let mut bytes = noise(3, 70_000);
        bytes.truncate(69_632);
        let slices = [VolatileSlice::from(&mut bytes[..])];
        let end = disk.len().min(1 << 20).saturating_sub(69_632) / 512 * 512;
        if end == 0 {
            continue;
        }
        let at = random.below(usize::try_from(end).unwrap()) as u64 / 512 * 512;
        let _ = (disk.read(&slices, at), disk.write(&slices, at), disk.flush());
        let _ = (disk.discard(at..at + 4096), disk.write_zeroes(at..at + 9216, false));
        let _ = (disk.write(&slices, end), disk.flush());
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

/// Found by the fuzz target: the end of such a block is beyond 2⁶⁴.
#[test]
fn an_impossible_reference_count_block_is_found_and_not_followed() {
    let temp = Temp::new();
    let path = temp.path().join("image");
    create(&path, DiskFormat::Qcow2, 1 << 20).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // The table's place is in bytes 48 to 55 of the header. Its first entry has block 0.
    let table = usize::try_from(u64::from_be_bytes(bytes[48..56].try_into().unwrap())).unwrap();
    bytes[table + 8..table + 16].fill(0xff);
    fs::write(&path, bytes).unwrap();
    assert!(check(&path, None).unwrap().unwrap().corruptions > 0);
}
