//! `-vmcore`: the core of a guest that has panicked, hung or triple-faulted.

use std::fs;
use std::os::unix::fs::MetadataExt;

use chukka_tests::native::guest::ADDRESS;
use chukka_tests::native::{self, Ended, Scratch, Start};

/// Little-endian values of a file.
struct Bytes(Vec<u8>);

impl Bytes {
    fn half(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    fn word(&self, at: usize) -> u64 {
        self.0[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    fn size(&self, at: usize) -> usize {
        usize::try_from(self.word(at)).expect("it is in the file")
    }
}

/// Runs a guest, and returns its end and the core, if there is one.
fn run(script: &str, words: &[&str]) -> (Ended, Option<Bytes>) {
    let files = Scratch::new();
    let path = files.path("core");
    let ended = Start::guest(script).args(["-vmcore"]).args([&path]).args(words).run();
    let blocks = fs::metadata(&path).map_or(0, |file| file.blocks());
    assert!(blocks * 512 < 8 << 20, "pages of zeros are holes: {blocks} blocks");
    (ended, fs::read(&path).ok().map(Bytes))
}

#[test]
fn a_guest_that_ends_badly_leaves_its_memory_and_registers() {
    if !native::kvm() {
        return;
    }
    for (script, words, status) in [
        ("K", &["-smp", "2"][..], 120),
        ("D~", &["-timeout", "1", "-smp", "2"], 124),
        ("DT", &["-smp", "2"], 121),
    ] {
        let (ended, core) = run(script, words);
        assert_eq!(ended.code(), Some(status), "{ended:?}");
        assert!(ended.stderr.contains("chukka: the core file '"), "{ended:?}");
        let core = core.expect("it is there");
        assert!(core.0.starts_with(b"\x7fELF\x02\x01\x01"), "{script}");
        assert_eq!((core.half(16), core.half(18)), (4, 62), "a core for x86-64");
        let headers: Vec<_> = (0..core.half(56)).map(|index| 64 + index * 56).collect();
        // The notes of the CPUs, each with its registers.
        let notes = core.size(headers[0] + 8);
        assert_eq!(core.0[notes + 12..notes + 17], *b"CORE\0");
        assert_eq!(core.0[notes + 20 + 32], 1, "the first CPU");
        assert_eq!(core.0[notes + 20 + 336 + 20 + 32], 2, "the second");
        let rip = core.word(notes + 20 + 112 + 16 * 8);
        if script != "DT" {
            // A triple fault resets the CPU on some processors.
            assert!((ADDRESS..ADDRESS + 0x10000).contains(&rip), "{script}: {rip:#x}");
        }
        // Memory is at its guest-physical address: the second part is RAM from 0, or from 1 MiB.
        let at = |physical: u64| {
            let header = headers[1..].iter().find(|header| {
                let (start, len) = (core.word(**header + 24), core.word(**header + 32));
                (start..start + len).contains(&physical)
            });
            let header = *header.expect("it is RAM");
            core.size(header + 8) + usize::try_from(physical - core.word(header + 24)).unwrap_or(0)
        };
        let text = &core.0[at(ADDRESS)..][..4096];
        assert!(text.iter().any(|byte| *byte != 0), "{script}: the guest's code is there");
    }
}

#[test]
fn a_guest_that_ends_well_leaves_no_file() {
    if !native::kvm() {
        return;
    }
    let (ended, core) = run("DP", &[]);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(core.is_none() && !ended.stderr.contains("core"), "{ended:?}");
}
