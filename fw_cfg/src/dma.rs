//! The DMA interface's format: the descriptor in guest memory (`struct fw_cfg_dma_access`) and the
//! bits of its control field.

/// Control bit: the operation failed. Set by the device; ignored in a request.
pub const ERROR: u32 = 1;
/// Control bit: copy from the item to guest memory.
pub const READ: u32 = 1 << 1;
/// Control bit: advance the offset without copying.
pub const SKIP: u32 = 1 << 2;
/// Control bit: first select the item whose key is in bits 16 to 31.
pub const SELECT: u32 = 1 << 3;
/// Control bit: copy from guest memory to the item.
pub const WRITE: u32 = 1 << 4;

/// Bytes of a descriptor in guest memory.
pub const DESCRIPTOR_SIZE: usize = 16;

/// `struct fw_cfg_dma_access`: 16 bytes at any guest-physical address, all fields big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What to do: the bits above, and with [`SELECT`] the key in bits 16 to 31. Other bits are
    /// ignored.
    pub control: u32,
    /// How many bytes to move.
    pub length: u32,
    /// Guest-physical address to move them to or from.
    pub address: u64,
}

impl Descriptor {
    /// Parses the bytes in guest memory.
    pub fn from_bytes(bytes: [u8; DESCRIPTOR_SIZE]) -> Self {
        let [c0, c1, c2, c3, l0, l1, l2, l3, address @ ..] = bytes;
        Self {
            control: u32::from_be_bytes([c0, c1, c2, c3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
            address: u64::from_be_bytes(address),
        }
    }

    /// The bytes in guest memory.
    pub fn to_bytes(self) -> [u8; DESCRIPTOR_SIZE] {
        let mut bytes = [0; DESCRIPTOR_SIZE];
        bytes[..4].copy_from_slice(&self.control.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.length.to_be_bytes());
        bytes[8..].copy_from_slice(&self.address.to_be_bytes());
        bytes
    }

    /// The key to select, if [`SELECT`] is set.
    pub(crate) fn key(self) -> Option<u16> {
        let [high, low, ..] = self.control.to_be_bytes();
        (self.control & SELECT != 0).then_some(u16::from_be_bytes([high, low]))
    }
}
