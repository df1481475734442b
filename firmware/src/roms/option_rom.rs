//! Our option ROMs: SeaBIOS runs one of them to load a kernel from fw_cfg.
//!
//! SeaBIOS cannot load a kernel by itself, but it runs option ROMs from the fw_cfg files under
//! `genroms/`. There is one of ours for each boot protocol (`option_rom/*.S`, assembled by the
//! crate's `build.rs`); [`OwnRom::of`] chooses. It registers a bootstrap entry vector. When SeaBIOS
//! boots from it, it has fw_cfg copy the items published by [`crate::publish::kernel`] into guest
//! memory and enters the kernel. They work with any firmware that runs Plug and Play option ROMs
//! below 1 MiB and any fw_cfg with DMA, including QEMU's.
//!
//! | ROM | enters | takes the place of QEMU's |
//! |---|---|---|
//! | [`LINUX`] | a bzImage in real mode | linuxboot_dma.bin |
//! | [`MULTIBOOT`] | a Multiboot 1 kernel in protected mode | multiboot_dma.bin |
//! | [`PVH`] | an ELF kernel by PVH, in protected mode | pvh.bin |
//!
//! The image must be published as the file [`OwnRom::name`], and `fw_cfg::x86::rom_path` of that
//! must be first in the file `bootorder`. Otherwise a disk may be booted first.

use crate::image::KernelKind;

/// One of our option ROMs.
#[derive(Clone, Copy, Debug)]
pub struct OwnRom {
    /// Name of the fw_cfg file that holds [`OwnRom::image`]. SeaBIOS runs every file under
    /// `genroms/` (`optionrom_setup`).
    pub name: &'static str,
    /// The image: a multiple of 512 bytes that sum up to 0 modulo 256.
    pub image: &'static [u8],
}

/// Boots a bzImage.
pub static LINUX: OwnRom = OwnRom {
    name: "genroms/chukka-linux.bin",
    image: include_bytes!(concat!(env!("OUT_DIR"), "/linux.bin")),
};

/// Boots a Multiboot 1 kernel.
pub static MULTIBOOT: OwnRom = OwnRom {
    name: "genroms/chukka-multiboot.bin",
    image: include_bytes!(concat!(env!("OUT_DIR"), "/multiboot.bin")),
};

/// Boots an ELF kernel by PVH.
pub static PVH: OwnRom = OwnRom {
    name: "genroms/chukka-pvh.bin",
    image: include_bytes!(concat!(env!("OUT_DIR"), "/pvh.bin")),
};

impl OwnRom {
    /// The ROM that boots kernels of this kind.
    pub fn of(kind: &KernelKind) -> Self {
        match kind {
            KernelKind::BzImage(_) => LINUX,
            KernelKind::Elf(_) => PVH,
            KernelKind::Multiboot(_) => MULTIBOOT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each ROM, its name in boot menus, and the size of QEMU 7.2's in bytes.
    const ALL: [(&OwnRom, &str, usize); 3] = [
        (&LINUX, "Linux by fw_cfg", 1536),
        (&MULTIBOOT, "Multiboot by fw_cfg", 1024),
        (&PVH, "PVH by fw_cfg", 1536),
    ];

    fn word(image: &[u8], at: usize) -> usize {
        usize::from(u16::from_le_bytes([image[at], image[at + 1]]))
    }

    fn text(image: &[u8], at: usize) -> &[u8] {
        image[at..].split(|byte| *byte == 0).next().unwrap()
    }

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
    }

    #[test]
    fn the_rom_header_has_the_length_and_the_sum_is_0() {
        for (OwnRom { name, image }, _, of_qemu) in ALL {
            assert_eq!(image[..2], [0x55, 0xaa], "{name}");
            assert_eq!(usize::from(image[2]) * 512, image.len(), "{name}");
            assert_eq!(image[3], 0xcb, "{name}: initialization is a far return");
            assert_eq!(sum(image), 0, "{name}");
            assert!(image.len() <= of_qemu, "{name}: {} bytes, larger than QEMU's", image.len());
        }
    }

    #[test]
    fn the_pnp_header_registers_a_bootstrap_entry() {
        for (OwnRom { image, .. }, product, _) in ALL {
            assert_eq!(word(image, 0x18), 0, "no PCI header");
            let pnp = word(image, 0x1a);
            let header = &image[pnp..pnp + 32];
            assert_eq!(header[..6], *b"$PnP\x01\x02", "signature, revision, length / 16");
            assert_eq!(sum(header), 0);
            assert_eq!(text(image, word(image, pnp + 0x0e)), b"chukka");
            assert_eq!(text(image, word(image, pnp + 0x10)), product.as_bytes());
            assert_eq!(header[0x15] & 0x04, 0x04, "a device to boot from");
            assert_eq!((word(image, pnp + 0x16), word(image, pnp + 0x18)), (0, 0), "no vectors");
            let entry = word(image, pnp + 0x1a);
            assert_eq!(image[entry..entry + 2], [0xfa, 0xfc], "it begins with cli, cld");
        }
    }
}
