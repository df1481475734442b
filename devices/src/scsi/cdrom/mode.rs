//! MODE SENSE (SPC-4, 6.11 and 6.12; MMC-6, 7): what the drive can do. Nothing can be changed.

use super::{CdRom, Cdb, Reply, Sense, opcode};

/// Pages: read errors, and capabilities.
const READ_ERRORS: u8 = 0x01;
const CAPABILITIES: u8 = 0x2a;
const ALL_PAGES: u8 = 0x3f;
/// What is asked for: current, changeable, default and saved values.
const CHANGEABLE: u8 = 1;
const SAVED: u8 = 3;
/// Kilobytes per second of a drive with single speed.
const SINGLE_SPEED: u16 = 176;

impl CdRom {
    pub(super) fn mode_sense(&self, cdb: &Cdb) -> Result<Reply, Sense> {
        let (page, control, subpage) = (cdb.byte(2) & 0x3f, cdb.byte(2) >> 6, cdb.byte(3));
        if control == SAVED {
            return Err(Sense::NO_SAVED_PARAMETERS);
        }
        let all_subpages = page == ALL_PAGES && subpage == 0xff;
        if subpage != 0 && !all_subpages {
            return Err(Sense::INVALID_FIELD);
        }
        let mut pages = Vec::new();
        for known in [READ_ERRORS, CAPABILITIES] {
            if page == known || page == ALL_PAGES {
                pages.extend(self.page(known, control == CHANGEABLE));
            }
        }
        if pages.is_empty() {
            return Err(Sense::INVALID_FIELD);
        }
        // CD drives have no block descriptors and no device-specific parameter (MMC-6, 7.2.2). The
        // length counts what follows it.
        let count = |header: usize| pages.len() + header;
        if cdb.opcode() == opcode::MODE_SENSE_6 {
            let length = u8::try_from(count(3)).unwrap_or(u8::MAX);
            let data = [&[length, 0, 0, 0][..], &pages].concat();
            return Ok(Reply::data(data, cdb.byte(4).into()));
        }
        let [high, low] = u16::try_from(count(6)).unwrap_or(u16::MAX).to_be_bytes();
        let data = [&[high, low, 0, 0, 0, 0, 0, 0][..], &pages].concat();
        Ok(Reply::data(data, cdb.u16(7).into()))
    }

    fn page(&self, page: u8, changeable: bool) -> Vec<u8> {
        let mut body = match page {
            READ_ERRORS => vec![0; 10],
            _ => self.capabilities().to_vec(),
        };
        if changeable {
            body.fill(0);
        }
        let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
        [&[page, length][..], &body].concat()
    }

    /// MM Capabilities and Mechanical Status (MMC-3, 5.5.10), by which Linux learns that there is a
    /// tray (`get_capabilities`, drivers/scsi/sr.c).
    fn capabilities(&self) -> [u8; 20] {
        let mut page = [0; 20];
        page[0] = 0x0b; // reads CD-R, CD-RW and DVD-ROM; byte 1: writes nothing
        page[2] = 0x70; // mode 2 form 1 and 2, multi-session
        // A tray that can be locked and ejected, with a jumper that leaves it unlocked at power-on.
        page[4] = 0x2d | if self.state().is_locked { 2 } else { 0 };
        page[6..8].copy_from_slice(&(50 * SINGLE_SPEED).to_be_bytes()); // maximum speed
        page[10..12].copy_from_slice(&2048u16.to_be_bytes()); // buffer, in KiB
        page[12..14].copy_from_slice(&(50 * SINGLE_SPEED).to_be_bytes()); // current speed
        page
    }
}
