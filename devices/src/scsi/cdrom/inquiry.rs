//! INQUIRY: what the drive is (SPC-4, 6.6 and 7.8). The texts are QEMU's, which some guests look
//! for.

use super::{Cdb, Reply, Sense};

/// Peripheral device type: CD or DVD.
const CD_ROM: u8 = 5;
const VENDOR: &[u8; 8] = b"QEMU    ";
const PRODUCT: &[u8; 16] = b"QEMU CD-ROM     ";
const REVISION: &[u8; 4] = b"2.5+";
/// Bytes of a serial number that are shown, as in QEMU.
const SERIAL_SIZE: usize = 36;
/// Pages of vital product data: the list of pages, the serial number, and the identification.
const PAGES: u8 = 0x00;
const SERIAL: u8 = 0x80;
const IDENTIFICATION: u8 = 0x83;

pub(super) fn inquiry(cdb: &Cdb, serial: &str) -> Result<Reply, Sense> {
    let (wants_page, page, allocation) = (cdb.byte(1) & 1 != 0, cdb.byte(2), cdb.u16(3).into());
    match (wants_page, page) {
        (true, page) => {
            let body = vital_product_data(page, serial).ok_or(Sense::INVALID_FIELD)?;
            let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
            Ok(Reply::data([&[CD_ROM, page, 0, length][..], &body].concat(), allocation))
        }
        (false, 0) => Ok(Reply::data(standard(), allocation)),
        (false, _) => Err(Sense::INVALID_FIELD),
    }
}

fn standard() -> Vec<u8> {
    // Removable; SPC-3, so that drivers ask for the list of logical units; response format 2 with
    // hierarchical addresses; 31 bytes follow; command queueing.
    let head = [CD_ROM, 0x80, 5, 0x12, 31, 0, 0, 0x02];
    [&head[..], VENDOR, PRODUCT, REVISION].concat()
}

fn vital_product_data(page: u8, serial: &str) -> Option<Vec<u8>> {
    let serial = &serial.as_bytes()[..serial.len().min(SERIAL_SIZE)];
    let has_serial = !serial.is_empty();
    match page {
        PAGES if has_serial => Some(vec![PAGES, SERIAL, IDENTIFICATION]),
        PAGES => Some(vec![PAGES, IDENTIFICATION]),
        SERIAL if has_serial => Some(serial.to_vec()),
        IDENTIFICATION if has_serial => {
            // ASCII, vendor-specific, for the logical unit.
            let length = u8::try_from(serial.len()).ok()?;
            Some([&[2, 0, 0, length][..], serial].concat())
        }
        IDENTIFICATION => Some(Vec::new()),
        _ => None,
    }
}
