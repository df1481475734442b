//! Guests whose initrd is changed under them: in which ways they are booted, and how files are changed.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::guest::sum_of_pages;
use super::{Scratch, Start};
use crate::assets;

/// Enough for SeaBIOS on a software KVM whose two processors others use too.
pub const LONG: Duration = Duration::from_secs(240);

/// How long who wants to write to a file may have to wait for chukka, on a busy machine: it takes milliseconds. After
/// `/proc/sys/fs/lease-break-time`, 45 s, nobody waits any more, whatever chukka does.
const NO_LONG_WAIT: Duration = Duration::from_secs(30);

/// The words by which chukka maps what it otherwise may read: where KVM shadows page tables, that would be faster.
pub const MAPPED: [&str; 2] = ["-machine", "x-map-initrd=on"];

/// A way to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// chukka loads it.
    Direct,
    /// chukka's own firmware does.
    Builtin,
    /// SeaBIOS and chukka's option ROM do. It takes some 10 s on a software KVM.
    SeaBios,
}

impl Way {
    /// The tiny guest with this script, booted so, its initrd mapped. `None`: skipped, as there is no SeaBIOS.
    #[must_use]
    pub fn start(self, script: &str) -> Option<Start> {
        let start = match self {
            Self::Direct => Start::guest(script),
            Self::Builtin => Start::bzimage(script).args(["-bios", "builtin"]),
            Self::SeaBios => {
                let image = assets::or_skip(assets::firmware("bios-256k.bin"))?;
                Start::bzimage(script).args(["-bios".as_ref(), image.as_path()])
            }
        };
        Some(start.args(MAPPED))
    }
}

/// An initrd that is big enough to be mapped, every page of it another.
#[derive(Debug)]
pub struct Initrd {
    /// The file.
    pub path: PathBuf,
    /// What the guest's letter `=` prints for it.
    pub sum: String,
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its end is cut off.
    Cut,
    /// It is emptied, as a shell does before it writes it anew.
    Emptied,
    /// Other bytes are written over its own.
    Rewritten,
}

/// All of them.
pub const CHANGES: [Change; 3] = [Change::Cut, Change::Emptied, Change::Rewritten];

impl Initrd {
    /// Bytes.
    pub const SIZE: usize = 20 << 20;

    /// A new one in `scratch`.
    #[must_use]
    pub fn new(scratch: &Scratch) -> Self {
        let mut bytes = vec![0; Self::SIZE];
        for (page, number) in bytes.chunks_mut(4096).zip(1u64..) {
            page[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        }
        Self { path: scratch.file("initrd", &bytes), sum: sum_of_pages(&bytes) }
    }

    /// The words that give it to a guest, mapped whatever the processor.
    #[must_use]
    pub fn words(&self) -> [&Path; 4] {
        ["-initrd".as_ref(), &self.path, MAPPED[0].as_ref(), MAPPED[1].as_ref()]
    }

    /// Changes it, and checks that this did not have to wait for long.
    ///
    /// # Panics
    /// Where it had to, or where it cannot be changed.
    pub fn change(&self, how: Change) {
        let asked = Instant::now();
        self.change_unchecked(how);
        assert!(asked.elapsed() < NO_LONG_WAIT, "{how:?} took {:?}", asked.elapsed());
    }

    /// Changes it, however long it takes.
    ///
    /// # Panics
    /// Where it cannot be changed.
    pub fn change_unchecked(&self, how: Change) {
        // A clock that ticks by 4 ms may not have ticked since it was made, and its time would be the same.
        std::thread::sleep(Duration::from_millis(10));
        let open = || File::options().write(true).open(&self.path);
        let done = match how {
            Change::Cut => open().and_then(|file| file.set_len(1 << 20)),
            Change::Emptied => fs::write(&self.path, b"new"),
            Change::Rewritten => {
                open().and_then(|file| file.write_all_at(&vec![0xa5; Self::SIZE], 0))
            }
        };
        assert!(done.is_ok(), "{how:?}: {done:?}");
    }
}
