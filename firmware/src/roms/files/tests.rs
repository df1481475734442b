//! Checks where firmware is found, and what is rejected.

use super::*;
use crate::MemoryMap;
use crate::testing::{TempFile, TestRam};

/// A directory with files, deleted when dropped.
struct TempDir(PathBuf);

impl TempDir {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let unique = TempFile::new(b"");
        let path = unique.0.with_extension("d");
        std::fs::create_dir(&path).unwrap();
        for (name, bytes) in files {
            std::fs::write(path.join(name), bytes).unwrap();
        }
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An image of `size` bytes that starts with `text` and ends with SeaBIOS's reset vector.
fn bios(size: usize, text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    bytes[..text.len()].copy_from_slice(text);
    bytes[size - 16..size - 11].copy_from_slice(&[0xea, 0x5b, 0xe0, 0, 0xf0]);
    bytes
}

fn open(bytes: &[u8]) -> Result<BiosImage, RomError> {
    let file = TempFile::new(bytes);
    BiosImage::open(file.0.as_os_str(), &[])
}

#[test]
fn a_256_kib_image_is_placed_whole_below_4_gib_and_below_1_mib() {
    let image = open(&bios(256 << 10, b"first")).unwrap();
    assert_eq!(image.high_address(), 0xfffc_0000);
    assert_eq!(image.low_copy(), (0xc_0000, image.bytes()));
    let ram = TestRam::new(&MemoryMap::new(2 << 20));
    image.place_low(ram.memory()).unwrap();
    assert_eq!(ram.bytes(0xc_0000, 5), b"first");
    assert_eq!(ram.bytes(0xf_fff0, 5), [0xea, 0x5b, 0xe0, 0, 0xf0]);
}

#[test]
fn the_builtin_image_is_found_by_name_and_ends_at_4_gib_and_at_1_mib() {
    let search = TempDir::new(&[("builtin", &bios(64 << 10, b""))]);
    let image = BiosImage::open(OsStr::new("builtin"), std::slice::from_ref(&search.0)).unwrap();
    assert!(image.is_builtin(), "also where -L has a file of that name");
    assert_eq!(image.high_address(), 0xffff_f000);
    assert_eq!(image.low_copy(), (0xf_f000, builtin::IMAGE));
    let path = search.0.join("builtin");
    assert!(!BiosImage::open(path.as_os_str(), &[]).unwrap().is_builtin());
}

#[test]
fn only_a_far_jump_restarts_from_the_low_copy() {
    let mut bytes = bios(64 << 10, b"");
    assert!(open(&bytes).unwrap().restarts_below_1_mib());
    let vector = bytes.len() - 16;
    bytes[vector..vector + 3].copy_from_slice(&[0xe9, 0x8d, 0xff]); // qboot's
    assert!(!open(&bytes).unwrap().restarts_below_1_mib());
}

#[test]
fn seabios_runs_option_roms_and_the_others_do_not() {
    let mut bytes = bios(64 << 10, b"");
    assert!(open(&bytes).unwrap().runs_option_roms());
    let vector = bytes.len() - 16;
    bytes[vector..vector + 3].copy_from_slice(&[0xe9, 0x8d, 0xff]); // qboot's
    assert!(!open(&bytes).unwrap().runs_option_roms());
    assert!(!BiosImage::builtin().runs_option_roms());
}

#[test]
fn at_most_the_last_256_kib_of_an_image_are_copied_low() {
    let mut bytes = bios(1 << 20, b"");
    bytes[768 << 10] = 0x77;
    let image = open(&bytes).unwrap();
    assert_eq!(image.high_address(), 0xfff0_0000);
    let (address, copy) = image.low_copy();
    assert_eq!((address, copy.len(), copy[0]), (0xc_0000, 256 << 10, 0x77));
    assert_eq!(open(&bios(64 << 10, b"")).unwrap().low_copy().0, 0xf_0000);
    assert_eq!(open(&bios(16 << 20, b"")).unwrap().high_address(), 0xff00_0000);
    assert_eq!(
        open(&bios(3568 << 10, b"")).unwrap().high_address(),
        0xffc8_4000,
        "OVMF_CODE_4M.fd"
    );
}

#[test]
fn an_invalid_size_is_reported_with_the_expected_ones() {
    for size in [1000, (64 << 10) + 1, (16 << 20) + (4 << 10)] {
        let error = open(&bios(size, b"")).unwrap_err();
        let expected = format!("has {size} bytes, expected a multiple of 4096 (4 KiB)");
        assert!(error.to_string().contains(&expected), "{error}");
        assert!(!error.hint().is_empty());
    }
    assert!(matches!(open(b"").unwrap_err(), RomError::Source(SourceError::Empty { .. })));
}

#[test]
fn an_image_without_a_reset_vector_is_refused() {
    for filler in [0, 0xff] {
        let error = open(&vec![filler; 128 << 10]).unwrap_err();
        assert!(
            matches!(error, RomError::NoResetVector { found, .. } if found == filler),
            "{error}"
        );
    }
    assert!(open(&vec![0x90; 128 << 10]).is_ok());
}

#[test]
fn a_directory_is_not_an_image() {
    let error = BiosImage::open(OsStr::new("/"), &[]).unwrap_err();
    assert_eq!(error.to_string(), "The bios '/' is a directory, expected a regular file");
}

#[test]
fn a_name_is_searched_for_in_each_directory_in_order() {
    let first = TempDir::new(&[("other.bin", b"")]);
    let second = TempDir::new(&[("mine.bin", &bios(64 << 10, b"two"))]);
    let third = TempDir::new(&[("mine.bin", &bios(64 << 10, b"three"))]);
    let search = [first.0.clone(), second.0.clone(), third.0.clone()];
    let image = BiosImage::open(OsStr::new("mine.bin"), &search).unwrap();
    assert_eq!(image.path(), second.0.join("mine.bin"));
}

#[test]
fn a_missing_file_error_names_every_directory_and_the_package() {
    let error = BiosImage::open(OsStr::new("no-such.bin"), &["/nonexistent".into()]).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("Cannot find the bios 'no-such.bin' in /nonexistent, "), "{text}");
    assert!(DIRECTORIES.iter().all(|directory| text.contains(directory)), "{text}");
    assert!(error.hint().contains("apt install seabios"), "{}", error.hint());
}

#[test]
fn a_path_is_not_searched_for() {
    let error = BiosImage::open(OsStr::new("/nonexistent/bios.bin"), &[]).unwrap_err();
    assert_eq!(error.to_string(), "Cannot open the bios '/nonexistent/bios.bin'");
}

#[test]
fn a_missing_alias_error_names_the_file_it_stands_for() {
    let looked = vec!["/usr/share/seabios/bios-256k.bin".into()];
    let error = RomError::NotFound { role: "bios", name: "seabios".into(), looked };
    let expected = "Cannot find the bios 'seabios' (bios-256k.bin) in /usr/share/seabios";
    assert_eq!(error.to_string(), expected);
}

/// Debian's /usr/share/qemu/bios-microvm.bin is qboot.
#[test]
fn an_alias_skips_other_firmware_with_the_same_file_name() {
    let qboot = TempDir::new(&[("bios-microvm.bin", &bios(64 << 10, b"qboot"))]);
    let seabios = TempDir::new(&[("bios-microvm.bin", &bios(128 << 10, b"SeaBIOS (version"))]);
    let search = [qboot.0.clone(), seabios.0.clone()];
    let image = BiosImage::open(OsStr::new("seabios-microvm"), &search).unwrap();
    assert_eq!(image.path(), seabios.0.join("bios-microvm.bin"));
    let image = BiosImage::open(OsStr::new("bios-microvm.bin"), &search).unwrap();
    assert_eq!(image.path(), qboot.0.join("bios-microvm.bin"), "a file's name is taken as it is");
}

#[test]
fn the_installed_seabios_and_qboot_are_found_by_their_aliases() {
    for (alias, file, address) in [
        ("seabios", "/usr/share/seabios/bios-256k.bin", 0xfffc_0000),
        ("seabios-microvm", "/usr/share/seabios/bios-microvm.bin", 0xfffe_0000),
        ("qboot", "/usr/share/qemu/qboot.rom", 0xffff_0000),
    ] {
        if !Path::new(file).exists() {
            eprintln!("skipped: {file} is not installed");
            continue;
        }
        let image = BiosImage::open(OsStr::new(alias), &[]).unwrap();
        assert_eq!((image.path(), image.high_address()), (Path::new(file), address));
    }
}

/// An option ROM of `units` times 512 bytes with a correct checksum.
fn option_rom(units: u8) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(units) * 512];
    bytes[..4].copy_from_slice(&[0x55, 0xaa, units, 0xcb]);
    bytes[5] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    bytes
}

fn open_option_rom(bytes: &[u8]) -> Result<OptionRom, RomError> {
    let file = TempFile::new(bytes);
    OptionRom::open(file.0.as_os_str(), &[])
}

#[test]
fn an_option_rom_is_published_under_its_own_name() {
    let directory = TempDir::new(&[("net.rom", &option_rom(3))]);
    let rom = OptionRom::open(OsStr::new("net.rom"), std::slice::from_ref(&directory.0)).unwrap();
    assert_eq!((rom.fw_cfg_name().as_str(), rom.bytes().len()), ("genroms/net.rom", 1536));
    assert_eq!(rom.warning(), None);
}

#[test]
fn an_option_rom_with_a_bad_checksum_is_a_warning() {
    let mut bytes = option_rom(2);
    bytes[700] += 1;
    let warning = open_option_rom(&bytes).unwrap().warning().unwrap();
    assert!(warning.contains("bad checksum"), "{warning}");
    bytes[700] -= 1;
    bytes.extend([1; 512]);
    assert_eq!(open_option_rom(&bytes).unwrap().warning(), None, "what follows does not count");
}

#[test]
fn invalid_option_roms_are_rejected() {
    let cut = &option_rom(3)[..1024];
    let empty = [0x55, 0xaa, 0, 0];
    let big = vec![0x55; (128 << 10) + 1];
    for (bytes, expected) in [
        (b"MZ\x90\x00".as_slice(), "starts with 4d 5a, expected 55 aa"),
        (&[0x55, 0xaa], "has 2 bytes, expected 512 to 131072"),
        (&big, "has 131073 bytes, expected 512 to 131072"),
        (cut, "has 1024 bytes; its header says 1536"),
        (&empty, "has 4 bytes; its header says 0"),
    ] {
        let error = open_option_rom(bytes).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.hint().is_empty());
    }
}
