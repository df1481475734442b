use std::io::Read;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::testing::Temp;
use crate::{each_piece, read_whole};

/// An image in memory; counts the bytes that are read of it.
struct Image {
    bytes: Vec<u8>,
    len: u64,
    read: AtomicUsize,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an image of {} bytes", self.len)
    }
}

impl RandomAccess for Image {
    fn name(&self) -> &'static str {
        "x.iso"
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = self.len.saturating_sub(at);
        let count = usize::try_from(rest).map_or(to.len(), |rest| rest.min(to.len()));
        to[..count].fill(0);
        let at = usize::try_from(at).unwrap();
        let known = self.bytes.get(at..).unwrap_or_default();
        let known = &known[..known.len().min(count)];
        to[..known.len()].copy_from_slice(known);
        self.read.fetch_add(count, Ordering::Relaxed);
        Ok(count)
    }
}

fn image(bytes: Vec<u8>) -> Arc<Image> {
    Arc::new(Image { len: bytes.len() as u64, bytes, read: AtomicUsize::default() })
}

fn opened(bytes: &[u8]) -> Box<dyn FileTree> {
    crate::image::open(image(bytes.to_vec())).unwrap()
}

/// Makes an image of a directory by the words of a command line.
fn made(command: &str, tree: &Temp) -> Vec<u8> {
    let out = Temp::new();
    let file = out.path().join("x.iso");
    let mut words = command.split_whitespace();
    let tool = words.next().unwrap();
    let mut command = Command::new(tool);
    command.args(words).arg("-o").arg(&file).arg(tree.path());
    let output = command.output().unwrap_or_else(|error| {
        panic!("{tool} cannot be run (hint: sh tests/setup.sh test): {error}")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    std::fs::read(file).unwrap()
}

const LONG: &str = "a-name-of-more-than-a-hundred-and-three-bytes-which-is-more-than-joliet-has-and-needs-to-be-continued-somewhere-else-on-the-medium-as-it-is-with-extra-long-names-of-files-that-nobody-would-ever-use-0001";
const DEEP: &str = "d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/file.txt";

fn tree() -> Temp {
    let temp = Temp::of(&[".treeinfo", "isolinux/isolinux.cfg", "Mixed Case.TXT", LONG, DEEP]);
    temp.file("images/pxeboot/vmlinuz", &kernel());
    temp.file("empty", b"");
    let link = |to: &str, at: &str| symlink(to, temp.path().join(at)).unwrap();
    link("images/pxeboot", "boot");
    link("/images/pxeboot/vmlinuz", "absolute");
    link("../../../../images/./pxeboot/vmlinuz", "isolinux/up");
    link(&format!("/{}images/pxeboot/vmlinuz", "isolinux/../".repeat(40)), "long-way");
    link("loop-2", "loop-1");
    link("loop-1", "loop-2");
    link("/etc/passwd", "dangling");
    temp
}

fn kernel() -> Vec<u8> {
    (0..300_000u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn content(source: &dyn FileTree, path: &str) -> Vec<u8> {
    let file = source.open(&TreePath::new(path)).unwrap();
    assert_eq!(file.name(), format!("x.iso/{path}"));
    let mut bytes = Vec::new();
    let read = each_piece(&*file, |piece| {
        bytes.extend(piece);
        Ok(())
    });
    assert_eq!(read.unwrap(), file.len(), "{path}");
    assert_eq!(read_whole(&*file, 1 << 20).unwrap().as_deref(), Some(&*bytes), "{path}");
    bytes
}

fn listed(source: &dyn FileTree, path: &str) -> Vec<String> {
    let entries = source.list(&TreePath::new(path)).unwrap();
    let slash = |is_directory| if is_directory { "/" } else { "" };
    entries.iter().map(|entry| format!("{}{}", entry.name, slash(entry.is_directory))).collect()
}

#[test]
fn rock_ridge_has_names_and_links_as_they_were() {
    let tree = tree();
    for command in
        ["xorriso -as mkisofs -quiet -R -J -V RR_J", "xorriso -as mkisofs -quiet -R -V RR"]
    {
        let bytes = made(command, &tree);
        let iso = opened(&bytes);
        assert_eq!(iso.label(), command.split(' ').next_back(), "{command}");
        for path in [
            "images/pxeboot/vmlinuz",
            "boot/vmlinuz",
            "absolute",
            "isolinux/up",
            "long-way",
            "IMAGES/PXEBOOT/VMLINUZ",
        ] {
            assert!(content(&*iso, path) == kernel(), "{command}: {path}");
        }
        for path in [".treeinfo", "Mixed Case.TXT", LONG, DEEP] {
            assert_eq!(content(&*iso, path), path.as_bytes(), "{command}");
        }
        assert_eq!(content(&*iso, "empty"), b"");
        for path in ["dangling", "absent", "empty/x", "empty/../empty2", "isolinux/up/x"] {
            let error = iso.open(&TreePath::new(path)).unwrap_err();
            assert!(error.is_missing(), "{command}: {path}: {error}");
        }
        let error = iso.open(&TreePath::new("loop-1")).unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("more than 40 symbolic links"), "{why}");
        let error = iso.open(&TreePath::new("boot")).unwrap_err();
        assert!(error.to_string().contains("is a directory"), "{error}");
        let root = listed(&*iso, "/");
        for name in [".treeinfo", "Mixed Case.TXT", "boot", "d1/", "images/", "loop-1", LONG] {
            assert!(root.iter().any(|found| found == name), "{command}: {root:?}");
        }
        assert_eq!(listed(&*iso, "boot"), ["vmlinuz"]);
        assert_eq!(listed(&*iso, &DEEP[..DEEP.len() - 8]), ["file.txt"]);
        assert!(iso.list(&TreePath::new("empty")).unwrap_err().is_missing());
    }
}

#[test]
fn directories_that_were_too_deep_are_where_they_were() {
    let iso = opened(&made("genisoimage -quiet -R", &Temp::of(&[DEEP, LONG])));
    assert_eq!(content(&*iso, DEEP), DEEP.as_bytes());
    assert_eq!(content(&*iso, LONG), LONG.as_bytes());
    assert_eq!(listed(&*iso, "rr_moved"), [""; 0]);
    assert_eq!(listed(&*iso, &DEEP[..DEEP.len() - 8]), ["file.txt"]);
}

#[test]
fn joliet_and_plain_names_are_found_in_any_case() {
    let tree = Temp::of(&["boot/Grub.cfg", "noext", "Read Me.text"]);
    tree.file("boot/vmlinuz", &kernel());
    let joliet = opened(&made("genisoimage -quiet -J -V J", &tree));
    assert_eq!(listed(&*joliet, "/"), ["Read Me.text", "boot/", "noext"]);
    assert_eq!(content(&*joliet, "boot/Grub.cfg"), b"boot/Grub.cfg");
    let plain = opened(&made("genisoimage -quiet -V PLAIN", &tree));
    assert_eq!(listed(&*plain, "/"), ["boot/", "noext", "read_me.tex"]);
    for iso in [joliet, plain] {
        assert!(content(&*iso, "BOOT/VMLINUZ") == kernel());
        assert_eq!(content(&*iso, "boot/grub.CFG"), b"boot/Grub.cfg");
        assert_eq!(content(&*iso, "noext"), b"noext");
    }
}

#[test]
fn a_medium_that_is_a_disk_too_is_a_medium() {
    let (tree, temp) = (tree(), Temp::new());
    temp.file("efi.img", &[0; 64 << 10]);
    let efi = temp.path().join("efi.img");
    let append = format!("-append_partition 2 0xef {}", efi.display());
    for more in ["", " -appended_part_as_gpt"] {
        let bytes = made(&format!("xorriso -as mkisofs -quiet -R {append}{more}"), &tree);
        assert_eq!(bytes[510..512], [0x55, 0xaa], "it has a partition table");
        assert_eq!(crate::image::kind(&bytes[..68 << 10]), Some("an ISO 9660 image"));
        assert!(content(&*opened(&bytes), "boot/vmlinuz") == kernel());
    }
}

#[test]
fn little_is_read_before_the_kernel_itself() {
    let bytes = made("xorriso -as mkisofs -quiet -R -J", &tree());
    let image = image(bytes);
    let iso = crate::image::open(Arc::clone(&image) as _).unwrap();
    for path in ["absent/vmlinuz", ".treeinfo", "isolinux/isolinux.cfg", "boot/vmlinuz"] {
        drop(iso.open(&TreePath::new(path)));
    }
    assert!(
        image.read.load(Ordering::Relaxed) < 160 << 10,
        "{} bytes",
        image.read.load(Ordering::Relaxed)
    );
}

/// What is wrong with what `path` says of a medium.
fn wrong(iso: &dyn FileTree, path: &str) -> String {
    let error = iso.open(&TreePath::new(path)).unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("checksum")), "{error:?}");
    std::error::Error::source(&error).unwrap().to_string()
}

/// Where a record's own name stands in an image.
fn record(bytes: &[u8], name: &[u8]) -> usize {
    let is_record = |at: &usize| {
        let (size, len) = (usize::from(bytes[at - 33]), usize::from(bytes[at - 1]));
        bytes[*at..].starts_with(name) && len == name.len() && size >= 33 + len
    };
    (33..bytes.len()).find(is_record).unwrap() - 33
}

#[test]
fn what_a_damaged_medium_says_is_not_believed() {
    let tree = Temp::of(&["DIR/SUB/FILE.TXT", "TOP.TXT"]);
    let good = made("genisoimage -quiet", &tree);
    let patched = |name: &[u8], at: usize, to: &[u8]| {
        let mut bytes = good.clone();
        let at = record(&good, name) + at;
        bytes[at..at + to.len()].copy_from_slice(to);
        opened(&bytes)
    };
    // A file, and a directory, that end behind the end.
    let path = "dir/sub/file.txt";
    assert!(wrong(&*patched(b"FILE.TXT;1", 2, &[0xff; 4]), path).contains("which has only"));
    assert!(wrong(&*patched(b"FILE.TXT;1", 10, &[0xff; 4]), path).contains("which has only"));
    assert!(wrong(&*patched(b"DIR", 2, &[0xff; 4]), path).contains("ends before a directory"));
    assert!(wrong(&*patched(b"DIR", 10, &[0xff; 4]), path).contains("at most"));
    // A record that is shorter than one, and one that ends behind its sector.
    for (at, len) in [(0, 5), (0, 33), (32, 255)] {
        let problem = wrong(&*patched(b"DIR", at, &[len]), "top.txt");
        assert!(problem.contains("does not hold a directory"), "{len}: {problem}");
    }
    // A directory in itself is as deep as the path.
    let root = good[156 + 16 * SECTOR + 2..][..4].to_vec();
    let iso = patched(b"DIR", 2, &root);
    assert_eq!(content(&*iso, "dir/dir/dir/top.txt"), b"TOP.TXT");
    assert!(wrong(&*iso, &"dir/".repeat(300)).contains("more than 256 components"));
    // A file that never ends.
    let iso = patched(b"TOP.TXT;1", 25, &[0x80]);
    assert!(iso.open(&TreePath::new("top.txt")).unwrap_err().is_missing());
    // A volume that ends early, and one without anything.
    for len in [16, 17, 18, 19, 20, 24] {
        let bytes = &good[..len * SECTOR + 100];
        match crate::image::open(image(bytes.to_vec())) {
            Ok(iso) => assert!(wrong(&*iso, path).contains("it ends"), "{len}"),
            Err(error) => assert!(error.hint().is_some(), "{len}: {error:?}"),
        }
    }
}

#[test]
fn whatever_is_broken_there_is_an_end() {
    let good = made("xorriso -as mkisofs -quiet -R", &tree());
    let start = record(&good, b"EMPTY.;1") & !(SECTOR - 1);
    let mut seed = 1u64;
    let mut random = |end: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % end
    };
    let (mut whole, mut broken) = (0, 0);
    for _ in 0..200 {
        let mut bytes = good[..start + 32 * SECTOR].to_vec();
        for _ in 0..=random(8) {
            let at =
                if random(4) == 0 { 16 * SECTOR + random(256) } else { start + random(6 * SECTOR) };
            bytes[at] = [0, 1, 0x80, 0xff, b'C', b'L', b'N', b'M'][random(8)];
        }
        // As far as it says it goes, there are zeros.
        let image = Image { len: 1 << 40, bytes, read: AtomicUsize::default() };
        let Ok(iso) = crate::image::open(Arc::new(image)) else {
            broken += 1;
            continue;
        };
        for path in ["absolute", DEEP, "isolinux/up", LONG, "long-way", "loop-1"] {
            match iso.open(&TreePath::new(path)) {
                Ok(_) => whole += 1,
                Err(_) => broken += 1,
            }
        }
        drop(iso.list(&TreePath::root()));
    }
    assert!(whole > 100 && broken > 100, "{whole} {broken}");
}

#[test]
fn parts_of_a_file_are_one_file() {
    let bytes: Vec<u8> = (0..=255).collect();
    let image: Arc<dyn RandomAccess> = image(bytes);
    let part = |at, len| Slice::new(Arc::clone(&image), at, len, "part");
    let parts = Parts::new(vec![part(10, 3), part(0, 0), part(100, 2), part(50, 1)], "x".into());
    let all = [10, 11, 12, 100, 101, 50];
    assert_eq!(read_whole(&parts, 10).unwrap().as_deref(), Some(&all[..]));
    for from in 0..=7 {
        let mut bytes = Vec::new();
        parts.stream(from).unwrap().read_to_end(&mut bytes).unwrap();
        let from = usize::try_from(from).unwrap().min(all.len());
        assert_eq!(bytes, all[from..], "{from}");
    }
}

#[test]
fn a_file_of_more_than_4_gib_is_read_at_its_end() {
    let records = Temp::new();
    records.file("big", b"");
    // The first sectors are genisoimage's for an empty file; the record is then made two: the
    // file's bytes follow them.
    let mut bytes = made("genisoimage -quiet -iso-level 3", &records);
    let at = record(&bytes, b"BIG.;1");
    let len = usize::from(bytes[at]);
    let (block, first) = (u32::try_from(bytes.len() / SECTOR).unwrap(), 0xffff_f800u32);
    let mut one = bytes[at..at + len].to_vec();
    let set = |one: &mut Vec<u8>, block: u32, len: u32, flags| {
        one[2..6].copy_from_slice(&block.to_le_bytes());
        one[10..14].copy_from_slice(&len.to_le_bytes());
        one[25] = flags;
    };
    set(&mut one, block, first, 0x80);
    let mut two = one.clone();
    set(&mut two, block + first / 2048, 0x80a, 0);
    bytes[at..at + len].copy_from_slice(&one);
    bytes[at + len..at + 2 * len].copy_from_slice(&two);
    bytes.truncate(block as usize * SECTOR);
    let len = bytes.len() as u64 + (4 << 30) + 10;
    let image = Image { bytes, len, read: AtomicUsize::default() };
    let iso = crate::image::open(Arc::new(image)).unwrap();
    let big = iso.open(&TreePath::new("big")).unwrap();
    assert_eq!(big.len(), (4 << 30) + 10);
    assert_eq!(big.read_at(&mut [1; 20], (4 << 30) + 3).unwrap(), 7);
}

/// `grub_iso9660_uuid` in GRUB's grub-core/fs/iso9660.c.
#[test]
fn the_uuid_is_the_time_of_modification() {
    let tree = Temp::new();
    tree.file("file", b"x");
    let command = "xorriso -as mkisofs -quiet --modification-date=2024010203040567";
    let mut bytes = made(command, &tree);
    assert_eq!(opened(&bytes).volume_uuid(), Some("2024-01-02-03-04-05-67"));
    bytes[16 * SECTOR + 830..][..17].fill(0);
    assert_eq!(opened(&bytes).volume_uuid(), Some(""));
    bytes[16 * SECTOR + 830..][..17].fill(0xff);
    assert_eq!(opened(&bytes).volume_uuid().map(|uuid| uuid.chars().count()), Some(22));
}
