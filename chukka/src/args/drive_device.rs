//! What the `-device` of every disk and CD has: the drive, and how the guest sees it.

use super::disk_errors;
use super::drive::{Drive, Named, pair_text};
use super::error::ArgsError;
use super::firmware;
use super::value::{Pair, RawPair};

const OPTION: &str = "device";

/// The keys that all such devices share.
#[derive(Default)]
pub(super) struct DriveDevice {
    drive: Option<String>,
    serial: Option<String>,
    boot_index: Option<u32>,
    errors: Vec<Pair>,
}

impl DriveDevice {
    /// Reads a key and its value. Returns whether all drives have that key.
    pub fn read(&mut self, pair: &RawPair) -> Result<bool, ArgsError> {
        match pair.key.as_str() {
            "driver" | "id" => {}
            "drive" => self.drive = Some(pair_text(pair, OPTION)?),
            "serial" => self.serial = Some(pair_text(pair, OPTION)?),
            "bootindex" => self.boot_index = firmware::boot_index(pair, OPTION)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The same for a disk, which also has `werror=` and `rerror=`.
    pub fn read_disk(&mut self, pair: &RawPair) -> Result<bool, ArgsError> {
        if !matches!(pair.key.as_str(), "werror" | "rerror") {
            return self.read(pair);
        }
        self.errors.push(pair.text(OPTION)?);
        Ok(true)
    }

    /// Takes the drive that the device `name` wants, as the guest is to see it.
    pub fn take(
        self,
        name: &str,
        named: &mut Named,
        example: &'static str,
    ) -> Result<Drive, ArgsError> {
        let mut drive = named.take(name, self.drive, example)?;
        drive.disk.serial = self.serial.unwrap_or(drive.disk.serial);
        drive.disk.boot_index = self.boot_index;
        for pair in &self.errors {
            disk_errors::read(pair, OPTION, &mut drive.disk.errors)?;
        }
        Ok(drive)
    }
}
