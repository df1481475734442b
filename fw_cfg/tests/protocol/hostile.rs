//! A hostile guest: random operations.

use fw_cfg::Items;
use fw_cfg::dma::Descriptor;
use guest_memory::FileRange;
use vm_memory::{Bytes, GuestAddress};

use crate::guest::{Guest, file, pattern};

const REGIONS: [(u64, usize); 4] =
    [(0, 0x2000), (0x2000, 0x1000), (0x4000, 0x1000), (u64::MAX - 0x1000, 0x1000)];
const OPERATIONS: usize = 200_000;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Mostly near the start or end of a memory region.
    fn address(&mut self) -> u64 {
        let edges = [0, 0x2000, 0x3000, 0x4000, 0x5000, 1 << 32, u64::MAX - 0x1000, u64::MAX];
        let edge = edges[self.below(edges.len() as u64) as usize];
        match self.below(4) {
            0 => self.below(0x5000),
            1 => self.next(),
            _ => edge.wrapping_add(self.below(80)).wrapping_sub(40),
        }
    }

    fn length(&mut self) -> u32 {
        match self.below(20) {
            0 => u32::MAX - self.below(4) as u32,
            1 => self.next() as u32,
            2..5 => self.below(0x2000) as u32,
            _ => self.below(64) as u32,
        }
    }

    fn key(&mut self) -> u16 {
        let flags = (self.below(4) as u16) << 14;
        match self.below(4) {
            0 => self.next() as u16,
            _ => self.below(0x28) as u16 | if self.below(4) == 0 { flags } else { 0 },
        }
    }

    fn control(&mut self) -> u32 {
        let low = if self.below(8) == 0 { self.next() as u16 } else { self.below(32) as u16 };
        u32::from(self.key()) << 16 | u32::from(low)
    }
}

fn guest() -> Guest {
    let mut items = Items::new();
    items.add_file("bytes", pattern(0x123)).unwrap();
    items.add_file("empty", Vec::new()).unwrap();
    items.add_file("file", FileRange::new(file(&pattern(0x1800)), 3..0x1777)).unwrap();
    // Shorter than its range.
    items.add_file("shrunk", FileRange::new(file(&[1; 10]), 0..0x100)).unwrap();
    let on_write = |bytes: &[u8], offset: usize, count: usize| {
        assert!(bytes.len() == 40 && count > 0 && offset + count <= 40);
    };
    items.add_writable_file("writable", vec![0; 40], Box::new(on_write)).unwrap();
    Guest::new(items, &REGIONS)
}

/// Runs one DMA operation. Control must be 0 or 1 afterwards if the descriptor is in memory.
fn operation(guest: &mut Guest, random: &mut Random) {
    let (control, length) = (random.control(), random.length());
    let (at, address) = (random.address(), random.address());
    let request = Descriptor { control, length, address };
    let there = guest.memory.write_slice(&request.to_bytes(), GuestAddress(at)).is_ok();
    guest.start(at);
    if there {
        assert!(guest.control(at) <= 1, "{request:x?} at {at:#x}");
    }
}

fn anything(guest: &mut Guest, random: &mut Random) {
    match random.below(10) {
        0 => guest.outw(0x510, random.key()),
        1 => {
            let mut bytes = [0; 9];
            let len = random.below(10) as usize;
            guest.device.read_data(&mut bytes[..len]);
        }
        2 => {
            let bytes = random.address().to_be_bytes();
            let width = random.below(9) as usize;
            guest.device.write_dma_register(random.below(9) as usize, &bytes[..width]);
        }
        3 => {
            let mut bytes = [0; 8];
            guest.device.read_dma_register(random.below(12) as usize, &mut bytes);
        }
        _ => operation(guest, random),
    }
    if random.below(5000) == 0 {
        guest.device.reset();
    }
}

#[test]
fn a_guest_cannot_cause_a_panic_leave_control_unwritten_or_change_a_read_only_item() {
    let mut guest = guest();
    let directory = guest.item(0x19, 0xffc);
    let mut random = Random(0x5eed_0bad_cafe);
    for _ in 0..OPERATIONS {
        anything(&mut guest, &mut random);
    }
    assert_eq!(guest.item(0, 4), *b"QEMU");
    assert_eq!(guest.item(1, 4), [3, 0, 0, 0]);
    assert_eq!(guest.item(0x19, 0xffc), directory);
    assert_eq!(guest.item(0x20, 0x123), pattern(0x123));
    assert_eq!(guest.item(0x22, 0x800), pattern(0x1800)[3..0x803]);
    assert_eq!(guest.item(0x23, 10), [1; 10]);
    assert_eq!(guest.item(0x24, 48)[40..], [0; 8]);
}
