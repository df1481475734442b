//! The boot ROM of the guest's network cards, such as iPXE's, by which a BIOS boots from the
//! network.
//!
//! SeaBIOS looks for a ROM in the fw_cfg file `pciVVVV,DDDD.rom` before it looks into the ROM BAR
//! of the function with these ids (`init_pcirom`, src/optionroms.c). A file costs the machine no
//! BAR and no memory slot. All cards with these ids share it, and each of them is called with its
//! own address.

use std::ffi::OsStr;
use std::path::Path;

use super::files::{OptionRom, RomError};

/// The fw_cfg file: vendor and device of a modern virtio network card (Virtio 1.2, 4.1.2.1).
pub const FILE: &str = "pci1af4,1041.rom";
/// iPXE's ROM, as QEMU and the distributions call it.
pub const DEFAULT: &str = "pxe-virtio.rom";

/// Offset of the pointer to the PCI data structure in a ROM (PCI Firmware Specification 3.0,
/// 5.1.1).
const PCIR_POINTER: usize = 0x18;
/// Offset of the code type in that structure, and the type of images for a BIOS.
const CODE_TYPE: usize = 0x14;
const FOR_A_BIOS: u8 = 0;

/// A boot ROM.
#[derive(Debug)]
pub struct NetworkRom {
    rom: OptionRom,
    size: usize,
}

impl NetworkRom {
    /// Reads the ROM `name`: a path, or the name of a file in a directory of `search` or
    /// [`super::files::DIRECTORIES`]. Of a file with several images, such as QEMU's `efi-virtio.rom`,
    /// the first one counts.
    ///
    /// # Errors
    /// [`RomError`]: as [`OptionRom::open`], or the ROM is not for a BIOS.
    pub fn open(name: &OsStr, search: &[std::path::PathBuf]) -> Result<Self, RomError> {
        let rom = OptionRom::open_first_image(name, search)?;
        if let Some(code_type) = code_type(rom.image()).filter(|kind| *kind != FOR_A_BIOS) {
            return Err(RomError::CodeType { path: rom.path().into(), found: code_type });
        }
        let size = rom.image().len();
        Ok(Self { rom, size })
    }

    /// The path it was read from.
    pub fn path(&self) -> &Path {
        self.rom.path()
    }

    /// The image for the firmware.
    pub fn bytes(&self) -> &[u8] {
        &self.rom.bytes()[..self.size]
    }

    /// A warning for the user, if any: [`OptionRom::warning`].
    pub fn warning(&self) -> Option<String> {
        self.rom.warning()
    }
}

/// The code type in the PCI data structure, if there is one.
fn code_type(image: &[u8]) -> Option<u8> {
    let pointer = image.get(PCIR_POINTER..PCIR_POINTER + 2)?;
    let at = usize::from(u16::from_le_bytes(pointer.try_into().ok()?));
    let structure = image.get(at..)?;
    structure.starts_with(b"PCIR").then(|| structure.get(CODE_TYPE).copied()).flatten()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// An option ROM of 1 KiB whose PCI data structure has this code type.
    fn rom(code_type: u8) -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        bytes[..4].copy_from_slice(&[0x55, 0xaa, 2, 0xcb]);
        bytes[PCIR_POINTER] = 0x20;
        bytes[0x20..0x24].copy_from_slice(b"PCIR");
        bytes[0x20 + CODE_TYPE] = code_type;
        bytes[5] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        bytes
    }

    fn open(bytes: &[u8]) -> Result<NetworkRom, RomError> {
        let name = format!("chukka-network-rom-{}-{:p}", std::process::id(), bytes);
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).unwrap();
        let opened = NetworkRom::open(path.as_os_str(), &[]);
        fs::remove_file(&path).unwrap();
        opened
    }

    #[test]
    fn of_several_images_the_one_for_a_bios_is_taken() {
        let both = [rom(0), rom(3), vec![0; 300 << 10]].concat();
        let opened = open(&both).unwrap();
        assert_eq!((opened.bytes(), opened.warning()), (&rom(0)[..], None));
        let mut damaged = both;
        damaged[1000] ^= 1;
        let warning = open(&damaged).unwrap().warning().unwrap();
        assert!(warning.contains("bad checksum"), "{warning}");
    }

    #[test]
    fn a_rom_for_efi_is_refused() {
        let error = open(&rom(3)).unwrap_err();
        assert!(error.to_string().ends_with("has code type 3, expected 0, for a BIOS"), "{error}");
        assert!(error.hint().contains("pxe-virtio.rom"), "{}", error.hint());
    }

    #[test]
    fn a_rom_may_do_without_a_pci_data_structure() {
        let mut bytes = rom(3);
        bytes[PCIR_POINTER] = 0;
        bytes[5] = bytes[5].wrapping_add(0x20);
        assert_eq!(open(&bytes).unwrap().bytes().len(), 1024);
        // A pointer beyond the image's end.
        bytes[PCIR_POINTER + 1] = 0xff;
        assert_eq!(open(&bytes).unwrap().bytes().len(), 1024);
    }
}
