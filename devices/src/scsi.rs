//! SCSI as a target sees it: commands in, data or sense out. Nothing in here knows what carries the
//! commands; [`crate::virtio::scsi`] does.
//!
//! | part | module | specification |
//! |---|---|---|
//! | a command's bytes | [`cdb`] | SPC-4, 4.2.2 |
//! | why a command failed | [`sense`] | SPC-4, 4.5 |
//! | a target with one logical unit | [`target`] | SAM-5, SPC-4 |
//! | logical unit: CD-ROM drive | [`cdrom`] | SBC-3, MMC-6 |
//!
//! An initiator never decides how much is allocated: a reply is a few hundred bytes at most, and
//! the blocks of a medium go straight into the guest's buffers.

pub mod cdb;
pub mod cdrom;
pub mod sense;
pub mod target;

use std::fmt::Debug;
use std::ops::Range;

use vm_memory::VolatileSlice;

use cdb::Cdb;
use sense::Sense;

/// What a command that succeeds returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Bytes, at most as many as the command's allocation length.
    Data(Vec<u8>),
    /// These bytes of the medium, to be read by [`LogicalUnit::read`].
    Medium(Range<u64>),
}

impl Reply {
    /// No data.
    pub const NONE: Self = Self::Data(Vec::new());

    /// The first bytes of `data`, as many as the initiator has allocated.
    pub fn data(mut data: Vec<u8>, allocation: u32) -> Self {
        data.truncate(usize::try_from(allocation).unwrap_or(usize::MAX));
        Self::Data(data)
    }
}

/// A device behind a target.
pub trait LogicalUnit: Debug + Send + Sync {
    /// Executes a command.
    ///
    /// # Errors
    /// The status is CHECK CONDITION, for this reason.
    fn execute(&self, cdb: &Cdb) -> Result<Reply, Sense>;

    /// Fills `to` with bytes of the medium, from byte `start` on: those that [`Reply::Medium`]
    /// named, or the first part of them.
    ///
    /// # Errors
    /// The medium cannot be read.
    fn read(&self, to: &[VolatileSlice<'_>], start: u64) -> Result<(), Sense>;

    /// The reset of the logical unit.
    fn reset(&self);
}
