//! Guests whose initrd changes while they run: the ways to boot them, and the ways to change files.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::guest::sum_of_pages;
use super::{Scratch, Start};
use crate::assets;

/// Long enough for SeaBIOS on a software KVM with two shared processors.
pub const LONG: Duration = Duration::from_secs(240);

/// How long a writer may have to wait for chukka on a busy machine; usually, it takes milliseconds.
/// After `/proc/sys/fs/lease-break-time`, 45 s, the kernel lets the writer continue, whatever
/// chukka does.
const NO_LONG_WAIT: Duration = Duration::from_secs(30);

/// The options that make chukka map files that it may otherwise read, because reading is faster
/// where KVM shadows page tables.
pub const MAPPED: [&str; 2] = ["-machine", "x-map-initrd=on"];

/// A way to boot the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// chukka loads it.
    Direct,
    /// chukka's built-in firmware loads it.
    Builtin,
    /// SeaBIOS and chukka's option ROM load it. This takes about 10 s on a software KVM.
    SeaBios,
}

impl Way {
    /// The tiny guest with this script, booted in this way, with its initrd mapped. `None` if
    /// skipped because SeaBIOS is missing.
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

/// An initrd large enough to be mapped, with different content in every page.
#[derive(Debug)]
pub struct Initrd {
    /// The file.
    pub path: PathBuf,
    /// What the guest's letter `=` prints for it.
    pub sum: String,
}

/// A change to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Truncated.
    Cut,
    /// Emptied, as a shell does before it rewrites a file.
    Emptied,
    /// Overwritten with other bytes.
    Rewritten,
}

/// All changes.
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

    /// The options that pass it to a guest, mapped on any processor.
    #[must_use]
    pub fn words(&self) -> [&Path; 4] {
        ["-initrd".as_ref(), &self.path, MAPPED[0].as_ref(), MAPPED[1].as_ref()]
    }

    /// Changes it, and checks that this did not take long.
    ///
    /// # Panics
    /// If it had to, or if it cannot be changed.
    pub fn change(&self, how: Change) {
        let asked = Instant::now();
        self.change_unchecked(how);
        assert!(asked.elapsed() < NO_LONG_WAIT, "{how:?} took {:?}", asked.elapsed());
    }

    /// Changes it, however long it takes.
    ///
    /// # Panics
    /// If it cannot be changed.
    pub fn change_unchecked(&self, how: Change) {
        // The clock ticks every 4 ms: without a tick since the file was made, its time would be
        // unchanged.
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
