//! The table in docs/kernels.md: every kind of kernel file by every way of booting, each cell a
//! test. Each file has a different letter at each of its entry points, and prints the one at which
//! it was entered.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use chukka_tests::assets;
use chukka_tests::native::image::{BzImage, pe};
use chukka_tests::native::{self, Scratch, Start, start};
use serde_json::Value;

use crate::dump::{MIB, words};

/// Prints `letter` on COM1 and resets by the keyboard controller, in 32- and 64-bit mode.
fn code(letter: u8) -> Vec<u8> {
    // mov $letter, %al; mov $0x3f8, %dx; out; mov $0xfe, %al; out %al, $0x64; hlt, for ever
    vec![0xb0, letter, 0x66, 0xba, 0xf8, 3, 0xee, 0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd]
}

/// The letter at each entry point, by what the page calls it.
fn letter(entry: &str) -> u8 {
    match entry {
        "64-bit entry" => b'6',
        "32-bit entry" => b'3',
        "real-mode entry" => b'R',
        "PVH entry" => b'P',
        "multiboot entry" => b'M',
        other => panic!("unknown entry: {other}"),
    }
}

/// A bzImage with this protocol version.
fn bzimage(version: u16, xloadflags: u16) -> Vec<u8> {
    let image = BzImage { version, xloadflags, pref_address: MIB.into(), ..BzImage::default() };
    let mut file = image.file();
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x214, &MIB.to_le_bytes());
    let mut real_mode = code(letter("real-mode entry"));
    real_mode.remove(2); // the operand-size prefix
    put(0x26c, &real_mode);
    put(BzImage::PAYLOAD_OFFSET, &code(letter("32-bit entry")));
    put(BzImage::PAYLOAD_OFFSET + 0x200, &code(letter("64-bit entry")));
    file
}

fn bzimage_64() -> Vec<u8> {
    bzimage(0x20f, 0b11)
}

fn bzimage_32() -> Vec<u8> {
    bzimage(0x207, 0)
}

fn old_bzimage() -> Vec<u8> {
    bzimage(0x201, 0)
}

/// memdisk by its version string, whose address is in the field `kernel_version`.
fn real_mode_program() -> Vec<u8> {
    let mut file = bzimage(0x203, 0);
    file[0x20e..0x210].copy_from_slice(&0x300u16.to_le_bytes());
    file[0x500..0x508].copy_from_slice(b"MEMDISK\0");
    file
}

/// A 64-bit ELF file with a segment of code at 1 MiB and one note. `e_entry` is the 64-bit entry.
fn elf(kind: u16, note: u32, name: &[u8], descriptor: &[u8]) -> Vec<u8> {
    let quads = |values: &[u64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let mib = u64::from(MIB);
    let mut notes = words(&[0, 0, note]);
    notes[0] = u8::try_from(name.len()).unwrap();
    notes[4] = u8::try_from(descriptor.len()).unwrap();
    for part in [name, descriptor] {
        notes.extend(part);
        notes.resize(notes.len().next_multiple_of(4), 0);
    }
    let size = notes.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([kind, 62, 1, 0].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(quads(&[mib, 64, 0]));
    file.extend([0u16, 0, 64, 56, 2, 0, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(words(&[1, 7]));
    file.extend(quads(&[0x1000, mib, mib, 0x200, 0x1000, 0x1000]));
    file.extend(words(&[4, 4]));
    file.extend(quads(&[0x200, 0, 0, size, size, 4]));
    file.resize(0x200, 0);
    file.extend(notes);
    file.resize(0x1000, 0);
    file.extend(code(letter("64-bit entry")));
    file.resize(0x1100, 0);
    file.extend(code(letter("PVH entry")));
    file.resize(0x1200, 0);
    file
}

/// A position-independent one.
fn pvh() -> Vec<u8> {
    elf(3, 18, b"Xen\0", &(MIB + 0x100).to_le_bytes())
}

fn vmlinux_without_pvh() -> Vec<u8> {
    elf(2, 0x100, b"Linux\0", b"")
}

fn multiboot_1() -> Vec<u8> {
    crate::dump::multiboot1_of(1 << 16, &code(letter("multiboot entry")))
}

fn multiboot_2() -> Vec<u8> {
    // Addresses, the entry address, the end.
    let tags = words(&[2, 24, MIB, MIB, 0, 0, 3, 12, MIB + 64, 0, 0, 8]);
    let length = u32::try_from(16 + tags.len()).unwrap();
    let sum = 0u32.wrapping_sub(0xe852_50d6u32.wrapping_add(length));
    let header = words(&[0xe852_50d6, 0, length, sum]);
    [header, tags, code(letter("multiboot entry"))].concat()
}

fn gzip_of_pvh() -> Vec<u8> {
    let mut gzip = Command::new("gzip");
    let gzip = gzip.arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut gzip = gzip.expect("gzip runs");
    gzip.stdin.take().unwrap().write_all(&pvh()).expect("it fits into a pipe");
    gzip.wait_with_output().expect("gzip ends").stdout
}

fn unified_kernel_image() -> Vec<u8> {
    pe(&[(".linux", &bzimage_64())])
}

fn efi_program() -> Vec<u8> {
    pe(&[(".text", &[0xcc; 512])])
}

/// Boots `file`, and checks at which entry. `bios` is the value of `-bios`.
fn check(file: &[u8], cell: &str, bios: Option<&str>) {
    if !native::kvm() {
        return;
    }
    let mut words = vec!["-M", "pc", "-m", "64M", "-no-reboot"];
    let image = match bios {
        Some("seabios") => assets::or_skip(assets::firmware("bios-256k.bin")),
        Some(other) => Some(other.into()),
        None => None,
    };
    let image = image.map(|path| path.display().to_string());
    match (&image, bios) {
        (Some(image), _) => words.extend(["-bios", image]),
        (None, Some(_)) => return,
        (None, None) => {}
    }
    let scratch = Scratch::new();
    let start = Start::kernel(&scratch.file("kernel", file)).args(words);
    if cell == "refused" {
        let _ = start.refused();
        return;
    }
    let ended = start.run();
    let expected = char::from(letter(cell)).to_string();
    assert_eq!((ended.code(), ended.text().trim()), (Some(0), expected.as_str()), "{ended:?}");
}

/// Checks that `chukka inspect` says of `file` what the page says.
fn inspect(file: &[u8], cells: [&str; 3]) {
    let scratch = Scratch::new();
    let path = scratch.file("kernel", file);
    let inspect = start(["inspect".as_ref(), path.as_os_str()]);
    if cells == ["refused"; 3] {
        let ended = inspect.run();
        assert_eq!(ended.code(), Some(125), "{ended:?}");
        assert!(ended.stderr.contains("hint: "), "{ended:?}");
        return;
    }
    let text = inspect.run();
    assert!(text.code() == Some(0) && text.text().contains("\n-bios seabios "), "{text:?}");
    let ended = inspect.args(["--json"]).run();
    let report: Value = serde_json::from_str(&ended.text()).expect("JSON");
    let is_packed = report["container"].is_object();
    assert_eq!(is_packed, file.starts_with(b"\x1f\x8b") || report["kernel_size"] != report["size"]);
    let ways = report["boots"].as_array().expect("a list");
    for (by, cell) in ["direct", "builtin", "seabios"].into_iter().zip(cells) {
        let way = ways.iter().find(|way| way["by"] == by).expect("each way is there");
        let found =
            way["entry"].as_str().map_or("refused", |entry| entry.trim_end_matches(" point"));
        assert_eq!(found, cell, "{by}: {ended:?}");
        assert_eq!(way["error"].is_string(), cell == "refused", "{by}: {ended:?}");
    }
}

/// A row: the file, and what the page says of its boot directly, by the built-in firmware, and by
/// SeaBIOS. What follows "as" in a cell is tested: a file with a kernel in it boots as that one.
type Row = (&'static str, [&'static str; 3]);

macro_rules! rows {
    ($($file:ident: $kind:literal, [$direct:literal, $builtin:literal, $seabios:literal];)*) => {
        const ROWS: &[Row] = &[$(($kind, [$direct, $builtin, $seabios])),*];
        $(mod $file {
            #[test]
            fn direct() {
                super::check(&super::$file(), $direct, None);
            }

            #[test]
            fn by_the_built_in_firmware() {
                super::check(&super::$file(), $builtin, Some("builtin"));
            }

            #[test]
            fn as_inspect_says() {
                super::inspect(&super::$file(), [$direct, $builtin, $seabios]);
            }

            #[test]
            fn by_seabios() {
                super::check(&super::$file(), $seabios, Some("seabios"));
            }
        })*
    };
}

rows! {
    bzimage_64: "bzImage with a 64-bit entry (protocol 2.12 or later, `XLF_KERNEL_64`)",
        ["64-bit entry", "32-bit entry", "real-mode entry"];
    bzimage_32: "bzImage of protocol 2.02 to 2.15 without a 64-bit entry",
        ["32-bit entry", "32-bit entry", "real-mode entry"];
    old_bzimage: "bzImage of protocol 2.00 or 2.01; zImage",
        ["refused", "refused", "real-mode entry"];
    real_mode_program: "real-mode program in a bzImage: memdisk, ipxe.lkrn",
        ["refused", "refused", "real-mode entry"];
    pvh: "ELF with a PVH note: 32 or 64 bits, `ET_EXEC` or `ET_DYN`",
        ["PVH entry", "PVH entry", "PVH entry"];
    vmlinux_without_pvh: "vmlinux of 64-bit Linux without a PVH note",
        ["64-bit entry", "refused", "refused"];
    multiboot_1: "Multiboot 1: ELF of 32 or 64 bits, or flat with address fields",
        ["multiboot entry", "multiboot entry", "multiboot entry"];
    multiboot_2: "Multiboot 2: the same",
        ["multiboot entry", "refused", "refused"];
    gzip_of_pvh: "gzip'd file of one of these, such as an ELF file with a PVH note",
        ["PVH entry", "PVH entry", "PVH entry"];
    unified_kernel_image: "unified kernel image (EFI program with a `.linux` section) with a bzImage of the first row",
        ["64-bit entry", "32-bit entry", "real-mode entry"];
    efi_program: "other EFI programs, EFI zboot images, Limine kernels, ordinary programs",
        ["refused", "refused", "refused"];
}

#[test]
fn the_table_in_the_documentation_has_these_rows() {
    let text = fs::read_to_string(assets::workspace().join("docs/kernels.md")).unwrap();
    let head = "| file | direct | `-bios builtin` | `-bios seabios` |";
    let table = text.lines().skip_while(|line| *line != head).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    let wanted = ROWS.iter().map(|(kind, cells)| format!("| {kind} | {} |", cells.join(" | ")));
    assert_eq!(rows.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
}
