//! What MMC-6 has about discs and trays: table of contents, configuration, events, and states.

use super::{CdRom, Cdb, Reply, Sense, block_size};

/// Blocks of a CD of 80 minutes. A larger disc is a DVD, as in QEMU.
const CD_BLOCKS: u64 = 80 * 60 * 75;
/// Profiles: what kind of disc there is.
const CD_PROFILE: u16 = 0x08;
const DVD_PROFILE: u16 = 0x10;
/// The number of the lead-out in a table of contents.
const LEAD_OUT: u8 = 0xaa;
/// Event class: media.
const MEDIA: u8 = 4;

impl CdRom {
    /// READ TOC/PMA/ATIP: one session with one track of data (MMC-6, 6.26).
    pub(super) fn toc(&self, cdb: &Cdb) -> Result<Reply, Sense> {
        let (in_minutes, format, first) = (cdb.byte(1) & 2 != 0, cdb.byte(2) & 0xf, cdb.byte(6));
        let address = |block| if in_minutes { minutes(block) } else { block.to_be_bytes() };
        // ADR 1, control 4: a track of data; in the lead-out as in QEMU.
        let track =
            |control, number, block| [&[0, control, number, 0][..], &address(block)].concat();
        let end = u32::try_from(self.blocks()).unwrap_or(u32::MAX);
        let tracks = match format {
            0 if first > 1 && first != LEAD_OUT => return Err(Sense::INVALID_FIELD),
            0 if first == LEAD_OUT => track(0x16, LEAD_OUT, end),
            0 => [track(0x14, 1, 0), track(0x16, LEAD_OUT, end)].concat(),
            // The first track of the last session.
            1 => track(0x14, 1, 0),
            _ => return Err(Sense::INVALID_FIELD),
        };
        let length = u16::try_from(tracks.len() + 2).unwrap_or(u16::MAX);
        let data = [&length.to_be_bytes()[..], &[1, 1], &tracks].concat();
        Ok(Reply::data(data, cdb.u16(7).into()))
    }

    /// The current profile; 0 without a disc.
    fn profile(&self) -> u16 {
        match self.blocks() {
            _ if self.state().is_open => 0,
            0..=CD_BLOCKS => CD_PROFILE,
            _ => DVD_PROFILE,
        }
    }

    /// GET CONFIGURATION (MMC-6, 6.6 and 5.3): features 0, profile list; 1, core; 3, removable
    /// medium; 0x10, random readable.
    pub(super) fn configuration(&self, cdb: &Cdb) -> Reply {
        let (request, starting) = (cdb.byte(1) & 3, cdb.u16(2));
        let profile = self.profile();
        let of_profile = |of: u16| {
            let [high, low] = of.to_be_bytes();
            [high, low, u8::from(of == profile), 0]
        };
        let profiles = [of_profile(DVD_PROFILE), of_profile(CD_PROFILE)].concat();
        // SCSI, and events can be told of by GET EVENT STATUS NOTIFICATION.
        let core = [0, 0, 0, 1, 1, 0, 0, 0];
        // A tray that loads, ejects, locks, and is unlocked at power-on.
        let removable = [0x39, 0, 0, 0];
        let block = block_size();
        let readable = [&block[..], &[0, 1, 0, 0]].concat();
        let has_disc = profile != 0;
        // Number, version, whether it is persistent, whether it is current, and its data.
        let features: [(u16, u8, bool, bool, &[u8]); 4] = [
            (0, 0, true, true, &profiles),
            (1, 2, true, true, &core),
            (3, 2, true, true, &removable),
            (0x10, 0, false, has_disc, &readable),
        ];
        let mut data = vec![0; 8];
        for (number, version, is_persistent, is_current, body) in features {
            let is_wanted = match request {
                2 => number == starting,
                1 => number >= starting && is_current,
                _ => number >= starting,
            };
            if is_wanted {
                let flags = version << 2 | u8::from(is_persistent) << 1 | u8::from(is_current);
                data.extend(number.to_be_bytes());
                data.extend([flags, u8::try_from(body.len()).unwrap_or(u8::MAX)]);
                data.extend(body);
            }
        }
        let length = u32::try_from(data.len() - 4).unwrap_or(u32::MAX);
        data[..4].copy_from_slice(&length.to_be_bytes());
        data[6..8].copy_from_slice(&profile.to_be_bytes());
        Reply::data(data, cdb.u16(7).into())
    }

    /// GET EVENT STATUS NOTIFICATION (MMC-6, 6.7), by which Linux looks for a change of the disc
    /// (`sr_get_events`, drivers/scsi/sr.c). Only asking is supported, not waiting.
    pub(super) fn events(&self, cdb: &Cdb) -> Result<Reply, Sense> {
        let (is_polled, classes) = (cdb.byte(1) & 1 != 0, cdb.byte(4));
        if !is_polled {
            return Err(Sense::INVALID_FIELD);
        }
        let supported = 1 << MEDIA;
        let data = if classes & supported == 0 {
            vec![0, 2, 0x80, supported] // no event of a class that was asked for
        } else {
            // Event: none. State: bit 0, the tray is open; bit 1, there is a disc.
            let status = if self.state().is_open { 1 } else { 2 };
            vec![0, 6, MEDIA, supported, 0, status, 0, 0]
        };
        Ok(Reply::data(data, cdb.u16(7).into()))
    }

    /// MECHANISM STATUS (MMC-6, 6.12): not a changer.
    pub(super) fn mechanism_status(&self, cdb: &Cdb) -> Reply {
        let open = if self.state().is_open { 0x10 } else { 0 };
        Reply::data(vec![0, open, 0, 0, 0, 1, 0, 0], cdb.u16(8).into())
    }
}

/// READ DISC INFORMATION (MMC-6, 6.22): a finished disc with one session and one track.
pub(super) fn disc_information(cdb: &Cdb) -> Result<Reply, Sense> {
    if cdb.byte(1) & 7 != 0 {
        return Err(Sense::INVALID_FIELD);
    }
    let mut data = vec![0; 34];
    // Length; last session complete, disc finalized; first track, sessions, first and last track of
    // the last session; unrestricted use.
    data[..8].copy_from_slice(&[0, 32, 0x0e, 1, 1, 1, 1, 0x20]);
    Ok(Reply::data(data, cdb.u16(7).into()))
}

/// A block's address in minutes, seconds and frames. Block 0 is at two seconds.
fn minutes(block: u32) -> [u8; 4] {
    let frames = block.saturating_add(150);
    let (minutes, seconds, frames) = (frames / 75 / 60, frames / 75 % 60, frames % 75);
    let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    [0, byte(minutes), byte(seconds), byte(frames)]
}
