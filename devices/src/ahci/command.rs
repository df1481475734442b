//! A slot's command in guest memory: header, table and buffers (AHCI 1.3.1, 4.2.2 and 4.2.3). All
//! of it is the guest's, and may be anywhere and anything.
//!
//! | | bytes | |
//! |---|---|---|
//! | header | 0 | bits 4:0, dwords of the frame; bits 31:16, entries of the buffer table |
//! | | 4 | bytes that were moved |
//! | | 8 | address of the command table, 64 bits, a multiple of 128 |
//! | table | 0 | the frame |
//! | | 0x40 | the packet, 16 bytes |
//! | | 0x80 | the buffer table: entries of 16 bytes, with the address of the buffer, and its bytes less one in bits 21:0 at 12 |

use vm_memory::{GuestAddress, GuestMemoryMmap, Permissions};

use super::fis;
use crate::ata::{HostBuffers, PACKET_SIZE};
use crate::buffers::{Buffers, Segment, put, slice};

const HEADER_SIZE: u32 = 32;
const PACKET_AT: u64 = 0x40;
const BUFFERS_AT: u64 = 0x80;
const ENTRY_SIZE: u64 = 16;
/// The least dwords of a frame that has a command.
const LEAST_DWORDS: u8 = 4;
/// The most bytes that a command moves: more than 65,535 blocks of a CD. Guests with larger buffers
/// do not use them at once.
const MOST_BYTES: u64 = 256 << 20;

/// A command that a slot has.
#[derive(Debug)]
pub(super) struct SlotCommand<'a> {
    memory: &'a GuestMemoryMmap,
    /// Where the header is.
    header: u64,
    /// Where the buffer table is, and how many entries it has.
    buffers: u64,
    entries: u16,
    pub frame: [u8; fis::SIZE],
    pub packet: [u8; PACKET_SIZE],
}

/// `N` bytes of guest memory, if all are there.
fn bytes<const N: usize>(memory: &GuestMemoryMmap, at: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let len = u32::try_from(N).ok()?;
    match slice(memory, GuestAddress(at), len) {
        Some(slice) => {
            slice.copy_to(&mut bytes);
        }
        None => {
            let segment = Segment { at: GuestAddress(at), len };
            Buffers::new(memory, &[segment], Permissions::Read)?.copy_to(&mut bytes);
        }
    }
    Some(bytes)
}

impl<'a> SlotCommand<'a> {
    /// Reads a slot of the command list at `list`. `None`: part of it is not in memory.
    pub fn read(memory: &'a GuestMemoryMmap, list: u64, slot: u8) -> Option<Self> {
        let header = list.checked_add(u64::from(slot) * u64::from(HEADER_SIZE))?;
        let [options, _, e0, e1, _, _, _, _, rest @ ..] = bytes::<16>(memory, header)?;
        let table = u64::from_le_bytes(rest) & !0x7f;
        let mut frame = bytes(memory, table)?;
        if options & 0x1f < LEAST_DWORDS {
            frame = [0; fis::SIZE];
        }
        Some(Self {
            memory,
            header,
            buffers: table.checked_add(BUFFERS_AT)?,
            entries: u16::from_le_bytes([e0, e1]),
            frame,
            packet: bytes(memory, table.checked_add(PACKET_AT)?)?,
        })
    }

    /// Writes how many bytes were moved to the header.
    pub fn set_transferred(&self, count: u32) {
        if let Some(at) = self.header.checked_add(4) {
            // It was read from there.
            let _ = put(self.memory, GuestAddress(at), count.to_le());
        }
    }

    /// The buffers, until the end of the table or an entry that is not in memory.
    fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        let entry = |index: u16| {
            let at = self.buffers.checked_add(u64::from(index) * ENTRY_SIZE)?;
            let [address @ .., _, _, _, _, l0, l1, l2, l3] = bytes::<16>(self.memory, at)?;
            let at = GuestAddress(u64::from_le_bytes(address) & !1);
            Some(Segment { at, len: (u32::from_le_bytes([l0, l1, l2, l3]) & 0x3f_ffff) + 1 })
        };
        (0..self.entries).map_while(entry)
    }
}

impl HostBuffers for SlotCommand<'_> {
    fn room(&self) -> u32 {
        let mut room = 0u64;
        for segment in self.segments() {
            room += u64::from(segment.len);
            if room >= MOST_BYTES {
                break;
            }
        }
        u32::try_from(room.min(MOST_BYTES)).unwrap_or(u32::MAX)
    }

    fn find(&self, len: u32, access: Permissions) -> Option<Buffers<'_>> {
        let (mut left, mut segments) = (len, Vec::new());
        let mut all = self.segments();
        while left > 0 {
            let Segment { at, len } = all.next()?;
            segments.push(Segment { at, len: len.min(left) });
            left -= len.min(left);
        }
        Buffers::new(self.memory, &segments, access)
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::Bytes;

    use super::*;

    const LIST: u64 = 0x1000;
    const TABLE: u64 = 0x2000;
    const RAM: u64 = 1 << 20;

    fn memory() -> GuestMemoryMmap {
        let size = usize::try_from(RAM).unwrap();
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), size)]).unwrap()
    }

    /// A header in slot 3, and a table with these buffers: address, and bytes less one.
    fn with_buffers(buffers: &[(u64, u32)]) -> GuestMemoryMmap {
        let memory = memory();
        let put32 = |at: u64, value: u32| memory.write_obj(value, GuestAddress(at)).unwrap();
        let put64 = |at: u64, value: u64| memory.write_obj(value, GuestAddress(at)).unwrap();
        put32(LIST + 96, 5 | u32::try_from(buffers.len()).unwrap() << 16);
        put64(LIST + 104, TABLE | 0x7f);
        for (index, (at, len)) in (0..).zip(buffers) {
            put64(TABLE + 0x80 + 16 * index, *at);
            put32(TABLE + 0x80 + 16 * index + 12, *len);
        }
        memory
    }

    #[test]
    fn buffers_are_cut_to_what_is_moved() {
        let memory = with_buffers(&[(0x5001, 0x8000_01ff), (0x7000, 0x1ff), (RAM, 0x3f_ffff)]);
        let command = SlotCommand::read(&memory, LIST, 3).unwrap();
        assert_eq!(command.room(), 512 + 512 + (4 << 20));
        let buffers = command.find(700, Permissions::Write).unwrap();
        let lengths: Vec<_> = buffers.slices().iter().map(|slice| slice.len()).collect();
        assert_eq!(lengths, [512, 188]);
        buffers.copy_from(&[9; 700]);
        assert_eq!(memory.read_obj::<u8>(GuestAddress(0x5000)).unwrap(), 9, "an even address");
        assert!(command.find(1025, Permissions::Write).is_none(), "not in memory");
        assert!(command.find(u32::MAX, Permissions::Write).is_none(), "not so many");
    }

    #[test]
    fn a_command_outside_guest_memory_is_rejected() {
        let memory = memory();
        assert!(SlotCommand::read(&memory, RAM - 32, 1).is_none());
        assert!(SlotCommand::read(&memory, !0x3ff, 31).is_none());
        memory.write_obj(u64::MAX, GuestAddress(LIST + 8)).unwrap();
        assert!(SlotCommand::read(&memory, LIST, 0).is_none());
        memory.write_obj(RAM - 0x80, GuestAddress(LIST + 8)).unwrap();
        memory.write_obj(0xffff_0005u32, GuestAddress(LIST)).unwrap();
        let command = SlotCommand::read(&memory, LIST, 0).unwrap();
        assert_eq!((command.room(), command.entries), (0, 0xffff), "the buffer table is not");
    }

    /// The low five bits of the header are the length (AHCI 1.3.1, 4.2.2); bits 7:5 are flags.
    #[test]
    fn the_command_of_a_frame_counts_only_within_its_length() {
        let memory = memory();
        memory.write_obj(TABLE, GuestAddress(LIST + 8)).unwrap();
        memory.write_obj(0x27u8, GuestAddress(TABLE)).unwrap();
        for (options, kind) in
            [(0x00u8, 0), (0x03, 0), (0xe3, 0), (0x04, 0x27), (0xe4, 0x27), (0x1f, 0x27)]
        {
            memory.write_obj(u32::from(options), GuestAddress(LIST)).unwrap();
            let command = SlotCommand::read(&memory, LIST, 0).unwrap();
            assert_eq!(command.frame[0], kind, "{options:#x}");
        }
    }

    #[test]
    fn a_table_with_itself_as_buffer_is_read_once() {
        let most = vec![(TABLE, 0x3f_ffff); 0xf00];
        let memory = with_buffers(&most);
        let command = SlotCommand::read(&memory, LIST, 3).unwrap();
        assert_eq!(u64::from(command.room()), MOST_BYTES);
        command.set_transferred(77);
        assert_eq!(memory.read_obj::<u32>(GuestAddress(LIST + 100)).unwrap(), 77);
    }
}
