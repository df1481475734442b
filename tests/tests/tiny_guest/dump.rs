//! Kernels that dump registers and memory at their first instruction on COM1, and reset the
//! machine.

use std::path::{Path, PathBuf};

use chukka_tests::native::{Ended, Scratch, Start};

/// Prints EAX, EBX, ESI, CR0, CS and DS, then memory as [`Dump`] has it, raw; then resets by the
/// keyboard controller. It is 32-bit code that runs anywhere, without a stack.
pub const DUMP: &[u8] = &[
    0xa3, 0x00, 0x00, 0x08, 0x00, // mov %eax, 0x80000
    0x89, 0x1d, 0x04, 0x00, 0x08, 0x00, // mov %ebx, 0x80004
    0x89, 0x35, 0x08, 0x00, 0x08, 0x00, // mov %esi, 0x80008
    0x0f, 0x20, 0xc0, // mov %cr0, %eax
    0xa3, 0x0c, 0x00, 0x08, 0x00, // mov %eax, 0x8000c
    0x8c, 0xc8, // mov %cs, %eax
    0xa3, 0x10, 0x00, 0x08, 0x00, // mov %eax, 0x80010
    0x8c, 0xd8, // mov %ds, %eax
    0xa3, 0x14, 0x00, 0x08, 0x00, // mov %eax, 0x80014
    0x66, 0xba, 0xf8, 0x03, // mov $0x3f8, %dx
    0xfc, // cld
    0xbe, 0x00, 0x00, 0x08, 0x00, 0xb9, 0x18, 0x00, 0x00, 0x00, 0xf3, 0x6e, // the registers
    0xbe, 0x00, 0x00, 0x00, 0x00, 0xb9, 0x00, 0xa0, 0x00, 0x00, 0xf3, 0x6e, // 40 KiB from 0
    0xbe, 0x00, 0x00, 0x02, 0x00, 0xb9, 0x00, 0x01, 0x00, 0x00, 0xf3,
    0x6e, // 256 bytes from 0x20000
    0xbe, 0x00, 0x00, 0x10, 0x00, 0xb9, 0x00, 0x60, 0x00, 0x00, 0xf3,
    0x6e, // 24 KiB from 1 MiB
    0xb0, 0xfe, 0xe6, 0x64, // mov $0xfe, %al; outb %al, $0x64
    0xf4, 0xeb, 0xfd, // hlt, for ever
];

/// Where the kernels of these tests are loaded.
pub const MIB: u32 = 1 << 20;
pub const MACHINES: [&str; 2] = ["microvm", "pc"];

/// What a kernel found.
pub struct Dump(Vec<u8>);

impl Dump {
    pub fn of(ended: &Ended) -> Self {
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert_eq!(ended.stdout.len(), 24 + 0xa000 + 0x100 + 0x6000, "{ended:?}");
        Self(ended.stdout.clone())
    }

    /// EAX, EBX, ESI, CR0, CS, DS.
    pub fn registers(&self) -> [u32; 6] {
        [0, 4, 8, 12, 16, 20].map(|at| u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap()))
    }

    /// The dumped memory from `address` on.
    pub fn memory(&self, address: u32) -> &[u8] {
        let address = address as usize;
        match address {
            0..0xa000 => &self.0[24 + address..24 + 0xa000],
            0x2_0000..0x2_0100 => &self.0[24 + 0xa000 + address - 0x2_0000..][..0x2_0100 - address],
            0x10_0000..0x10_6000 => &self.0[24 + 0xa100 + address - 0x10_0000..],
            _ => panic!("{address:#x} is not in the dump"),
        }
    }

    pub fn word(&self, address: u32) -> u32 {
        u32::from_le_bytes(self.memory(address)[..4].try_into().unwrap())
    }

    pub fn text(&self, address: u32) -> String {
        let text = self.memory(address).split(|byte| *byte == 0).next().unwrap();
        String::from_utf8_lossy(text).into_owned()
    }

    /// 32-bit protected mode without paging: flat segments are known by the selectors of our GDT.
    pub fn is_protected_mode(&self) {
        let [.., cr0, cs, ds] = self.registers();
        assert_eq!((cr0 & 0x8000_0001, cs, ds), (1, 0x10, 0x18));
    }
}

pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A flat Multiboot 1 kernel whose header has these flags.
pub fn multiboot1(flags: u32) -> Vec<u8> {
    multiboot1_of(flags, DUMP)
}

/// The same with other code.
pub fn multiboot1_of(flags: u32, code: &[u8]) -> Vec<u8> {
    multiboot1_at(MIB, flags, code)
}

/// The same for another address.
pub fn multiboot1_at(load: u32, flags: u32, code: &[u8]) -> Vec<u8> {
    let sum = 0u32.wrapping_sub(0x1bad_b002 + flags);
    let end = load + 32 + u32::try_from(code.len()).unwrap();
    let header = [0x1bad_b002, flags, sum, load, load, end, end + 0x800, load + 32];
    [words(&header).as_slice(), code].concat()
}

/// A 32-bit ELF file with a segment of code at 1 MiB, one at `low`, and a PVH note.
pub fn pvh32(low: u32) -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 0, 3, 0]); // EXEC, i386
    file.extend(words(&[1, MIB, 52, 0, 0]));
    file.extend([52u16, 32, 3, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()));
    let size = u32::try_from(DUMP.len()).unwrap();
    file.extend(words(&[1, 0x1000, MIB, MIB, size, size, 7, 0x1000]));
    file.extend(words(&[1, 0x200, low, low, 4, 0x100, 7, 4]));
    file.extend(words(&[4, 0x300, 0, 0, 20, 20, 4, 4]));
    file.resize(0x200, 0);
    file.extend(b"low!");
    file.resize(0x300, 0);
    file.extend(words(&[4, 4, 18]));
    file.extend(b"Xen\0");
    file.extend(words(&[MIB]));
    file.resize(0x1000, 0);
    file.extend(DUMP);
    file
}

/// What `kernel` finds on `machine`.
pub fn dump(kernel: &Path, machine: &str, more: &[&str]) -> Dump {
    let start = Start::kernel(kernel).args(["-M", machine, "-m", "64M", "-no-reboot"]);
    Dump::of(&start.args(more).run())
}

pub fn kernel(scratch: &Scratch, content: &[u8]) -> PathBuf {
    scratch.file("kernel", content)
}
