//! Kernels with multiboot headers, PVH notes, and unified kernel images.

use chukka_fuzz::kernel::Header;
use chukka_tests::native::image;

use super::Seeds;

const MIB: u32 = 1 << 20;
/// 8 MiB of memory, an initrd.
const MACHINE: Header = Header { memory: 2, flags: 1, initrd: 1, cmdline: 0, zeros: 0x1000 };

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Both versions. The checksums are filled in by the target.
pub fn multiboot() -> Seeds {
    let tags = [2, 24, MIB, MIB, 0, 0, 3, 12, MIB + 80, 0, 10, 24, MIB, 0x1000_0000, 0x1000, 0];
    let mut second = words(&[0xe852_50d6, 0, 16 + 64 + 8, 0]);
    second.extend(words(&tags));
    second.extend(words(&[0, 8]));
    vec![
        ("multiboot1", MACHINE.input(b"a=b", &image::multiboot(1 << 16 | 0b111, MIB, 0x4000))),
        ("multiboot2", MACHINE.input(b"a=b", &second)),
    ]
}

/// Xen's note in both classes, padded to 4 and to 8 bytes.
pub fn notes() -> Seeds {
    let note = [words(&[4, 4, 18]).as_slice(), b"Xen\0", &words(&[MIB])].concat();
    let other = [words(&[4, 1, 3]).as_slice(), b"GNU\0x\0\0\0"].concat();
    let narrow = [&[0, 4], other.as_slice(), &note].concat();
    let wide = [&[1, 8], note.as_slice(), &[0; 4]].concat();
    vec![("pvh-32", MACHINE.input(b"a=b", &narrow)), ("pvh-64", MACHINE.input(b"a=b", &wide))]
}

/// A bzImage, an initrd and a command line.
pub fn sections() -> Seeds {
    let mut kernel =
        image::BzImage { pref_address: MIB.into(), init_size: MIB, ..Default::default() }.file();
    kernel.truncate(0x1000);
    kernel[0x1f4..0x1f8].copy_from_slice(&words(&[(0x1000 - 0xa00) / 16]));
    let content = 0x58 + 3 * 40u16;
    let mut input = vec![3];
    for (name, size, start) in [(0, 0x1000, 0), (1, 6, 0x1000), (2, 3, 0x1006)] {
        input.push(name);
        for word in [size, size, content + start] {
            input.extend(u16::to_le_bytes(word));
        }
    }
    input.extend(kernel);
    input.extend(b"070701a=b");
    vec![("unified", Header { zeros: 0, ..MACHINE }.input(b"", &input))]
}
