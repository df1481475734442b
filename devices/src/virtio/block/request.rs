//! What a disk does with a request (virtio 1.2, 5.2.6). Where the specification leaves a choice it
//! is QEMU's (hw/block/virtio-blk.c).

use virtio_bindings::virtio_blk as bindings;
use vm_memory::{GuestMemoryMmap, Permissions};

use super::config::MAX_RANGE;
use super::{Block, SERIAL_SIZE};
use crate::buffers::{Buffers, slice};
use crate::disk::{Ending, Operation, SECTOR};
use crate::virtio::chain::Chain;

/// Bytes of `struct virtio_blk_outhdr`: type and priority, 32 bits each, and the sector, 64 bits.
const HEADER_SIZE: usize = 16;
/// Bytes of `struct virtio_blk_discard_write_zeroes`: the sector, 64 bits, and count and flags, 32
/// bits each.
const RANGE_SIZE: usize = 16;
/// Flag of a range: its space may be given back.
const FLAG_UNMAP: u32 = 1;

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    IoError,
    Unsupported,
    /// It does not end yet: it is to be tried again.
    Held,
}

impl Status {
    /// As the driver sees it.
    pub fn code(self) -> Option<u8> {
        match self {
            Self::Ok => Some(0),
            Self::IoError => Some(1),
            Self::Unsupported => Some(2),
            Self::Held => None,
        }
    }
}

impl From<Ending> for Status {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Done => Self::Ok,
            Ending::Failed => Self::IoError,
            Ending::Held => Self::Held,
        }
    }
}

/// The data of a request, once header and status are taken away.
struct Data<'a> {
    kind: u32,
    sector: u64,
    from_driver: Buffers<'a>,
    to_driver: Buffers<'a>,
}

impl<'a> Data<'a> {
    /// `None`: no whole header, no status, or a buffer that is not in memory. Drivers may divide
    /// the bytes among buffers as they like (VIRTIO_F_ANY_LAYOUT is part of version 1).
    fn new(memory: &'a GuestMemoryMmap, chain: &Chain) -> Option<Self> {
        let (bytes, from_driver) = header(memory, chain)?;
        let to_driver = data_to_driver(memory, chain)?;
        let [k0, k1, k2, k3, _, _, _, _, sector @ ..] = bytes;
        let (kind, sector) = (u32::from_le_bytes([k0, k1, k2, k3]), u64::from_le_bytes(sector));
        Some(Self { kind, sector, from_driver, to_driver })
    }
}

/// The header, and what follows it. Drivers give it a buffer of its own, with few exceptions.
fn header<'a>(
    memory: &'a GuestMemoryMmap,
    chain: &Chain,
) -> Option<([u8; HEADER_SIZE], Buffers<'a>)> {
    let mut bytes = [0; HEADER_SIZE];
    if let [first, rest @ ..] = chain.readable()
        && first.len as usize == HEADER_SIZE
        && let Some(slice) = slice(memory, first.at, first.len)
    {
        slice.copy_to(&mut bytes);
        return Some((bytes, Buffers::new(memory, rest, Permissions::Read)?));
    }
    let mut header = Buffers::new(memory, chain.readable(), Permissions::Read)?;
    let rest = header.split_off(HEADER_SIZE)?;
    header.copy_to(&mut bytes);
    Some((bytes, rest))
}

/// What the device writes, without the status in its last byte, for which the same holds.
fn data_to_driver<'a>(memory: &'a GuestMemoryMmap, chain: &Chain) -> Option<Buffers<'a>> {
    if let [data @ .., status] = chain.writable()
        && status.len == 1
        && slice(memory, status.at, status.len).is_some()
    {
        return Buffers::new(memory, data, Permissions::Write);
    }
    let mut data = Buffers::new(memory, chain.writable(), Permissions::Write)?;
    data.split_off(data.len().checked_sub(1)?)?;
    Some(data)
}

impl Block {
    /// Executes a request.
    pub(super) fn answer(&self, memory: &GuestMemoryMmap, chain: &Chain) -> Status {
        let Some(data) = Data::new(memory, chain) else { return Status::IoError };
        match data.kind {
            bindings::VIRTIO_BLK_T_IN => self.read(&data),
            bindings::VIRTIO_BLK_T_OUT => self.write(&data),
            bindings::VIRTIO_BLK_T_FLUSH => self.disk.flush().into(),
            bindings::VIRTIO_BLK_T_GET_ID => self.tell_serial(&data),
            bindings::VIRTIO_BLK_T_DISCARD if self.has(bindings::VIRTIO_BLK_F_DISCARD) => {
                self.change_range(&data, Operation::Discard)
            }
            bindings::VIRTIO_BLK_T_WRITE_ZEROES
                if self.has(bindings::VIRTIO_BLK_F_WRITE_ZEROES) =>
            {
                self.change_range(&data, Operation::WriteZeroes)
            }
            _ => Status::Unsupported,
        }
    }

    fn read(&self, data: &Data<'_>) -> Status {
        let buffers = &data.to_driver;
        match self.disk.range(data.sector, buffers.len() as u64) {
            // Data where there is nothing to read into is a driver's mistake, and no reason to
            // answer that all is well.
            Some(range) if data.from_driver.is_empty() => {
                self.disk.read(buffers.slices(), range.start).into()
            }
            _ => Status::IoError,
        }
    }

    fn write(&self, data: &Data<'_>) -> Status {
        let buffers = &data.from_driver;
        match self.disk.range(data.sector, buffers.len() as u64) {
            Some(range) if data.to_driver.is_empty() => {
                self.disk.write(buffers.slices(), range.start, self.is_write_back()).into()
            }
            _ => Status::IoError,
        }
    }

    fn tell_serial(&self, data: &Data<'_>) -> Status {
        let mut id = [0; SERIAL_SIZE];
        for (to, from) in id.iter_mut().zip(self.disk.serial().bytes()) {
            *to = from;
        }
        data.to_driver.copy_from(&id[..data.to_driver.len().min(SERIAL_SIZE)]);
        Status::Ok
    }

    /// DISCARD and WRITE_ZEROES: one range each.
    fn change_range(&self, data: &Data<'_>, operation: Operation) -> Status {
        let mut bytes = [0; RANGE_SIZE];
        if data.from_driver.len() < RANGE_SIZE {
            return Status::IoError;
        }
        if data.from_driver.len() > RANGE_SIZE {
            return Status::Unsupported;
        }
        data.from_driver.copy_to(&mut bytes);
        let [s0, s1, s2, s3, s4, s5, s6, s7, c0, c1, c2, c3, flags @ ..] = bytes;
        let sector = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let (count, flags) = (u32::from_le_bytes([c0, c1, c2, c3]), u32::from_le_bytes(flags));
        let known = if operation == Operation::WriteZeroes { FLAG_UNMAP } else { 0 };
        if flags & !known != 0 {
            return Status::Unsupported;
        }
        let range = self.disk.range(sector, u64::from(count) * SECTOR);
        let Some(range) = range.filter(|_| count <= MAX_RANGE) else {
            return Status::IoError;
        };
        let write_back = self.is_write_back();
        let ending = match operation {
            Operation::Discard => self.disk.discard(range, write_back),
            _ => self.disk.write_zeroes(range, flags & FLAG_UNMAP != 0, write_back),
        };
        ending.into()
    }
}
