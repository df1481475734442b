//! Our option ROM: SeaBIOS runs it to load Linux from fw_cfg.
//!
//! SeaBIOS cannot load a kernel by itself, but it runs option ROMs from the fw_cfg files under
//! `genroms/`. Ours (`option_rom/linux.S`, assembled by the crate's `build.rs`) registers a
//! bootstrap entry vector. When SeaBIOS boots from it, it has fw_cfg copy the items published by
//! [`crate::linuxboot`] into guest memory and enters the kernel in real mode. It works with any
//! firmware that runs Plug and Play option ROMs below 1 MiB and any fw_cfg with DMA, including
//! QEMU's.
//!
//! The image must be published as the file [`NAME`], and `fw_cfg::x86::rom_path(NAME)` must be
//! first in the file `bootorder`. Otherwise a disk may be booted first.

/// Name of the fw_cfg file that holds [`IMAGE`]. SeaBIOS runs every file under `genroms/`
/// (`optionrom_setup`).
pub const NAME: &str = "genroms/chukka-linux.bin";

/// The image: a multiple of 512 bytes that sum up to 0 modulo 256.
pub static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/linux.bin"));

#[cfg(test)]
mod tests {
    use super::*;

    fn word(at: usize) -> usize {
        usize::from(u16::from_le_bytes([IMAGE[at], IMAGE[at + 1]]))
    }

    fn text(at: usize) -> &'static [u8] {
        IMAGE[at..].split(|byte| *byte == 0).next().unwrap()
    }

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
    }

    #[test]
    fn the_rom_header_has_the_length_and_the_sum_is_0() {
        assert_eq!(IMAGE[..2], [0x55, 0xaa]);
        assert_eq!(usize::from(IMAGE[2]) * 512, IMAGE.len());
        assert_eq!(IMAGE[3], 0xcb, "initialization is a far return");
        assert_eq!(sum(IMAGE), 0);
        assert!(IMAGE.len() <= 1536, "{} bytes: not larger than QEMU's", IMAGE.len());
    }

    #[test]
    fn the_pnp_header_registers_a_bootstrap_entry() {
        assert_eq!(word(0x18), 0, "no PCI header");
        let pnp = word(0x1a);
        let header = &IMAGE[pnp..pnp + 32];
        assert_eq!(header[..6], *b"$PnP\x01\x02", "signature, revision, length / 16");
        assert_eq!(sum(header), 0);
        assert_eq!(text(word(pnp + 0x0e)), b"chukka");
        assert_eq!(text(word(pnp + 0x10)), b"Linux by fw_cfg");
        assert_eq!(header[0x15] & 0x04, 0x04, "a device to boot from");
        assert_eq!((word(pnp + 0x16), word(pnp + 0x18)), (0, 0), "no connection vectors");
        let entry = word(pnp + 0x1a);
        assert_eq!(IMAGE[entry..entry + 2], [0xfa, 0xfc], "it begins with cli, cld");
    }
}
