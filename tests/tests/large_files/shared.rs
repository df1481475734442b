//! Many guests on one initrd hold it once, where it is mapped.

use std::fs::{self, File};
use std::path::Path;

use chukka_tests::native::changing::Way;
use chukka_tests::native::guest::sum_of_pages;
use chukka_tests::native::{self, Chukka, Scratch};

use crate::turn;

const GUESTS: u64 = 10;
/// Bytes of the initrd.
const SIZE: u64 = 200 << 20;

/// What the kernel says of a process's memory, in bytes (proc(5), `smaps_rollup`).
#[derive(Debug, Default)]
struct Memory {
    /// All of it that is in RAM.
    resident: u64,
    /// The same, what others map counted in parts.
    proportional: u64,
    private_dirty: u64,
    anonymous: u64,
}

impl Memory {
    fn of(chukka: &Chukka) -> Self {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", chukka.pid())).unwrap();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
        };
        Self {
            resident: field("Rss:"),
            proportional: field("Pss:"),
            private_dirty: field("Private_Dirty:"),
            anonymous: field("Anonymous:"),
        }
    }
}

/// Runs ten guests on one initrd, waits until each has read every page of it, and answers with
/// their memory added up.
fn of_ten_guests(way: Way, initrd: &Path, sum: &str) -> Memory {
    let guests: Vec<Chukka> = (0..GUESTS)
        .map(|_| {
            let start = way.start("=DH").unwrap().args(["-initrd".as_ref(), initrd]);
            start.args(["-m", "512M"]).start()
        })
        .collect();
    let mut all = Memory::default();
    for guest in &guests {
        guest.wait_for(&format!("{sum}done"));
    }
    for guest in &guests {
        let memory = Memory::of(guest);
        assert!(memory.resident >= SIZE, "it has read all of it: {memory:?}");
        all.resident += memory.resident;
        all.proportional += memory.proportional;
        all.private_dirty += memory.private_dirty;
        all.anonymous += memory.anonymous;
    }
    for guest in guests {
        guest.signal(libc::SIGTERM);
        assert_eq!(guest.wait().signal(), Some(libc::SIGTERM));
    }
    all
}

/// An initrd no page of which is like another, and what the guest finds.
fn initrd(scratch: &Scratch) -> (std::path::PathBuf, String) {
    let mut bytes = vec![0x5a; usize::try_from(SIZE).unwrap()];
    for (page, number) in bytes.chunks_mut(4096).zip(1u64..) {
        page[..8].copy_from_slice(&number.to_le_bytes());
    }
    (scratch.file("initrd", &bytes), sum_of_pages(&bytes))
}

/// Ten guests booted so hold it once.
fn hold_it_once(way: Way) {
    if !native::kvm() {
        return;
    }
    let (_turn, scratch) = (turn(), Scratch::new());
    let (path, sum) = initrd(&scratch);
    let all = of_ten_guests(way, &path, &sum);
    // What is left to a guest is some huge pages for its kernel and tables, and chukka's own.
    assert!(all.private_dirty < GUESTS * SIZE / 5, "{all:?}");
    assert!(all.anonymous < GUESTS * SIZE / 5, "{all:?}");
    assert!(all.proportional < SIZE + GUESTS * SIZE / 5, "{all:?}");
}

#[test]
fn ten_guests_booted_directly_hold_one_initrd_once() {
    hold_it_once(Way::Direct);
}

#[test]
fn ten_guests_booted_by_the_built_in_firmware_hold_one_initrd_once() {
    hold_it_once(Way::Builtin);
}

#[test]
fn ten_guests_hold_an_initrd_ten_times_that_somebody_may_write_to() {
    if !native::kvm() {
        return;
    }
    let (_turn, scratch) = (turn(), Scratch::new());
    let (path, sum) = initrd(&scratch);
    // No lease is available, so the file is read. This shows that the tests above can fail.
    let _open = File::options().write(true).open(&path).unwrap();
    let all = of_ten_guests(Way::Direct, &path, &sum);
    assert!(all.private_dirty >= GUESTS * SIZE, "{all:?}");
    assert!(all.anonymous >= GUESTS * SIZE, "{all:?}");
    assert!(all.proportional >= GUESTS * SIZE, "{all:?}");
}
