//! IDENTIFY DEVICE and IDENTIFY PACKET DEVICE: 256 words, little-endian (ATA8-ACS, 7.16 and 7.17).
//! Names and the format of serial numbers are QEMU's (`ide_identify`, hw/ide/core.c), by which
//! guests name disks: `/dev/disk/by-id/ata-QEMU_HARDDISK_QM00001`.

/// Bytes of the reply.
pub(super) const SIZE: usize = 512;
/// Heads and sectors of a track, for hosts that count in cylinders.
pub(super) const HEADS: u16 = 16;
pub(super) const TRACK_SECTORS: u16 = 63;
/// Most sectors of a block in READ MULTIPLE.
pub(super) const MAX_MULTIPLE: u16 = 16;
/// Blocks of 512 bytes that DATA SET MANAGEMENT takes.
pub(super) const TRIM_BLOCKS: u16 = 8;

const DISK_MODEL: &str = "QEMU HARDDISK";
const CD_MODEL: &str = "QEMU DVD-ROM";
const FIRMWARE: &str = "2.5+";
/// SATA capabilities: the three speeds.
const SATA_SPEEDS: u16 = 0x000e;
/// SATA capabilities: native command queueing.
const SATA_NCQ: u16 = 1 << 8;
/// Bits 15:14 of a word that is valid.
const VALID: u16 = 1 << 14;

struct Words([u16; 256]);

impl Words {
    fn set(&mut self, at: usize, value: u16) {
        self.0[at] = value;
    }

    fn set_u32(&mut self, at: usize, value: u32) {
        let [a, b, c, d] = value.to_le_bytes();
        self.set(at, u16::from_le_bytes([a, b]));
        self.set(at + 1, u16::from_le_bytes([c, d]));
    }

    /// Text, padded with spaces, two characters a word, the first one in the high byte.
    fn set_text(&mut self, at: usize, words: usize, text: &str) {
        let mut bytes = text.bytes().map(|byte| if byte.is_ascii() { byte } else { b'?' });
        let mut next = || bytes.next().unwrap_or(b' ');
        for word in &mut self.0[at..at + words] {
            *word = u16::from_be_bytes([next(), next()]);
        }
    }

    fn into_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        for (to, word) in bytes.chunks_exact_mut(2).zip(self.0) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// What both kinds of drives say: DMA by modes 0 to 2 (multiword) and 0 to 5 (ultra), PIO by
    /// modes 3 and 4, each in at least 120 ns, and the revisions of the standard.
    fn set_common(&mut self) {
        self.set(53, 0x0006);
        self.set(63, 0x0007);
        self.set(64, 0x0003);
        for word in 65..=68 {
            self.set(word, 120);
        }
        self.set(80, 0x01f0); // ATA/ATAPI-4 to ATA8-ACS
        self.set(88, 0x203f);
    }
}

/// What a disk says of itself.
pub(super) struct DiskIdentity<'a> {
    pub serial: &'a str,
    pub sectors: u64,
    /// Sectors of a block in READ MULTIPLE, as the host has set it; 0: not set.
    pub multiple: u16,
    pub write_cache: bool,
}

impl DiskIdentity<'_> {
    pub(super) fn bytes(&self) -> [u8; SIZE] {
        let mut words = Words([0; 256]);
        let track = u64::from(HEADS) * u64::from(TRACK_SECTORS);
        let cylinders = u16::try_from((self.sectors / track).min(16383)).unwrap_or(16383);
        words.set_common();
        words.set(0, 0x0040); // a fixed disk
        for (at, value) in [(1, cylinders), (3, HEADS), (6, TRACK_SECTORS)] {
            words.set(at, value);
        }
        words.set_text(10, 10, self.serial);
        words.set_text(23, 4, FIRMWARE);
        words.set_text(27, 20, DISK_MODEL);
        words.set(47, 0x8000 | MAX_MULTIPLE);
        words.set(49, 0x0f00); // IORDY, LBA, DMA
        words.set(50, VALID);
        words.set(53, 0x0007);
        for (at, value) in [(54, cylinders), (55, HEADS), (56, TRACK_SECTORS)] {
            words.set(at, value);
        }
        let by_cylinders = u32::from(cylinders) * u32::from(HEADS) * u32::from(TRACK_SECTORS);
        words.set_u32(57, by_cylinders);
        words.set(59, if self.multiple == 0 { 0 } else { 0x0100 | self.multiple });
        words.set_u32(60, u32::try_from(self.sectors.min(0x0fff_ffff)).unwrap_or(0x0fff_ffff));
        words.set(75, 31); // 32 commands
        words.set(76, SATA_SPEEDS | SATA_NCQ);
        let write_cache = if self.write_cache { 1 << 5 } else { 0 };
        // Write cache; 48-bit addresses, both flushes; writes through the cache, logs.
        let commands = [1 << 5, VALID | 1 << 13 | 1 << 12 | 1 << 10, VALID | 1 << 6 | 1 << 5];
        for (at, supported) in (82..).zip(commands) {
            words.set(at, supported);
        }
        words.set(85, write_cache);
        words.set(86, commands[1] & !VALID);
        words.set(87, commands[2]);
        words.set_u32(100, u32::try_from(self.sectors & 0xffff_ffff).unwrap_or(0));
        words.set_u32(102, u32::try_from(self.sectors >> 32).unwrap_or(0));
        words.set(105, TRIM_BLOCKS);
        words.set(169, 1); // TRIM
        words.set(217, 1); // nothing turns
        words.into_bytes()
    }
}

/// What a CD drive says of itself.
pub(super) fn packet_device(serial: &str) -> [u8; SIZE] {
    let mut words = Words([0; 256]);
    words.set_common();
    // Packets of 12 bytes, of a removable medium, by a CD drive.
    words.set(0, 0x85c0);
    words.set_text(10, 10, serial);
    words.set_text(23, 4, FIRMWARE);
    words.set_text(27, 20, CD_MODEL);
    words.set(49, 0x0f00);
    words.set(76, SATA_SPEEDS);
    // Packets and DEVICE RESET.
    words.set(82, 1 << 9 | 1 << 4);
    words.set(83, VALID);
    words.set(84, VALID);
    words.set(85, 1 << 9 | 1 << 4);
    words.set(87, VALID);
    words.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: [u8; SIZE]) -> Vec<u16> {
        bytes.chunks(2).map(|word| u16::from_le_bytes([word[0], word[1]])).collect()
    }

    /// ATA8-ACS, table 22, and Linux's include/linux/ata.h.
    #[test]
    fn a_disk_describes_itself_in_words() {
        let disk =
            DiskIdentity { serial: "1", sectors: 0x12_3456_789a, multiple: 4, write_cache: true };
        let words = words(disk.bytes());
        for (at, expected) in [
            (0, &[0x0040, 16383, 0, 16, 0, 0, 63][..]),
            (47, &[0x8010, 0, 0x0f00, 0x4000]),
            // 16383 * 16 * 63 sectors by cylinders.
            (53, &[0x0007, 16383, 16, 63, 0xfc10, 0x00fb, 0x0104, 0xffff, 0x0fff]),
            (63, &[0x0007, 0x0003, 120, 120, 120, 120]),
            (75, &[31, 0x010e]),
            (80, &[0x01f0, 0, 0x0020, 0x7400, 0x4060, 0x0020, 0x3400, 0x4060, 0x203f]),
            (100, &[0x789a, 0x3456, 0x0012, 0, 0, 8]),
            (169, &[1]),
            (217, &[1]),
        ] {
            assert_eq!(&words[at..at + expected.len()], expected, "from word {at}");
        }
    }

    /// ATA8-ACS, table 38.
    #[test]
    fn a_cd_drive_describes_itself_in_words() {
        let words = words(packet_device("1"));
        for (at, expected) in [
            (0, &[0x85c0][..]),
            (49, &[0x0f00]),
            (53, &[0x0006]),
            (63, &[0x0007, 0x0003, 120, 120, 120, 120]),
            (75, &[0, 0x000e]),
            (80, &[0x01f0, 0, 0x0210, 0x4000, 0x4000, 0x0210, 0, 0x4000, 0x203f]),
        ] {
            assert_eq!(&words[at..at + expected.len()], expected, "from word {at}");
        }
    }
}
