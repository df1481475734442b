//! How big an initrd can be, on each way to the kernel.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use chukka_tests::native::changing::{LONG, MAPPED, Way};
use chukka_tests::native::{self, Scratch, Start};

use crate::turn;

const MIB: u64 = 1 << 20;
/// What stands at the end of every initrd.
const MARK: u64 = 0x0123_4567_89ab_cdef;

/// A file of `size` bytes, a multiple of 8: a hole, and [`MARK`].
fn sparse(scratch: &Scratch, size: u64) -> PathBuf {
    let path = scratch.file("initrd", b"");
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&MARK.to_le_bytes(), size - 8).unwrap();
    path
}

/// Boots the guest with 8 GiB and this initrd of `size` bytes, whose size and end it has to find,
/// and answers with its address. `None`: skipped.
fn address_of(way: Way, initrd: &Path, size: u64) -> Option<u64> {
    let start = way.start("$P")?.args(["-initrd".as_ref(), initrd]).args(["-m", "8G"]);
    let ended = start.start().wait_within(LONG);
    assert_eq!(ended.code(), Some(0), "{way:?}: {ended:?}");
    let text = ended.text();
    // Under SeaBIOS the screen's control codes come first.
    let words: Vec<&str> = text.split_ascii_whitespace().rev().take(3).collect();
    let [mark, found, address] = words[..] else { panic!("{text:?}") };
    let number = |word: &str| u64::from_str_radix(&word[word.len() - 16..], 16).unwrap();
    assert_eq!((number(found), number(mark)), (size, MARK), "{way:?}: {text:?}");
    Some(number(address))
}

#[test]
fn the_built_in_firmware_loads_one_beyond_2_gib() {
    if !native::kvm() {
        return;
    }
    let (_turn, scratch) = (turn(), Scratch::new());
    // Up to the last MiB of what there is below 3 GiB: the kernel ends at 24 MiB, and 256 KiB are
    // the firmware's.
    for size in [2560 * MIB, 3047 * MIB] {
        let initrd = sparse(&scratch, size);
        let address = address_of(Way::Builtin, &initrd, size).unwrap();
        assert!(address >= 24 * MIB && address + size <= 3072 * MIB, "{address:#x}");
    }
}

#[test]
fn the_built_in_firmware_has_one_beyond_2_gib_read_when_it_cannot_be_mapped() {
    if !native::kvm() {
        return;
    }
    let (_turn, scratch) = (turn(), Scratch::new());
    let size = 2560 * MIB + 8;
    let initrd = sparse(&scratch, size);
    // Somebody may write to it.
    let _open = File::options().write(true).open(&initrd).unwrap();
    address_of(Way::Builtin, &initrd, size).unwrap();
}

#[test]
fn our_option_rom_loads_one_beyond_2_gib() {
    if !native::kvm() {
        return;
    }
    let (_turn, scratch) = (turn(), Scratch::new());
    let size = 2560 * MIB;
    let initrd = sparse(&scratch, size);
    let Some(address) = address_of(Way::SeaBios, &initrd, size) else { return };
    assert!(address >= 24 * MIB && address + size <= 3072 * MIB, "{address:#x}");
}

#[test]
fn a_direct_boot_puts_one_beyond_4_gib_above_4_gib() {
    if !native::kvm() {
        return;
    }
    let (_turn, scratch) = (turn(), Scratch::new());
    let size = 4608 * MIB;
    let initrd = sparse(&scratch, size);
    let words = ["-initrd".as_ref(), initrd.as_os_str(), "-m".as_ref(), "8G".as_ref()];
    let ended = Start::bzimage("$P").args(words).args(MAPPED).run();
    let expected = format!("{:016x} {size:016x} {MARK:016x} ", (9 << 30) - size);
    assert_eq!((ended.code(), ended.text()), (Some(0), expected), "{ended:?}");
    // A vmlinux has no header to say that its initrd may be there.
    Start::guest("$P").args(words).refused().says("(4608 MiB) does not fit").hints("smaller");
}

#[test]
fn what_firmware_cannot_load_is_to_be_booted_directly() {
    let (_turn, scratch) = (turn(), Scratch::new());
    let initrd = sparse(&scratch, 4608 * MIB);
    for way in [Way::Builtin, Way::SeaBios] {
        let Some(start) = way.start("") else { return };
        start
            .args(["-initrd".as_ref(), initrd.as_path()])
            .args(["-m", "8G"])
            .refused()
            .says("(4608 MiB) does not fit: between the kernel's end at 0x1800000 and 0xbffc0000 there are 3048 MiB")
            .hints("boot it directly, without -bios, with -m 7681M or more, or make the initrd smaller");
    }
}
