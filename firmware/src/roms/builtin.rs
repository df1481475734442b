//! The built-in firmware, `-bios builtin`: starts a kernel from fw_cfg and does nothing else.
//!
//! The ROM (`builtin/rom.S`, assembled by the crate's `build.rs`) is one page that ends at 4 GiB.
//! It switches from the reset vector to protected mode, has fw_cfg copy the items published by
//! [`crate::publish::kernel`] into guest memory, places ACPI and SMBIOS tables, and enters the kernel
//! at its 32-bit entry point: that of a bzImage, of PVH or of Multiboot 1. It offers no services,
//! runs no option ROMs and cannot boot anything else.
//!
//! Errors are written to COM1 and, if the host has published it, to the file [`ERROR_FILE`].

use fw_cfg::{ItemError, Items};

/// Its name in `-bios`.
pub const NAME: &str = "builtin";

/// The image: one page, with the reset vector in its last 16 bytes.
pub static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/builtin.bin"));

/// The writable file to which the firmware writes its error message. Through it the host detects a
/// failed boot even without a serial port.
pub const ERROR_FILE: &str = "opt/org.chukka/boot-error";

/// Size of [`ERROR_FILE`] in bytes: more than the longest message.
const ERROR_SIZE: usize = 128;

/// Publishes [`ERROR_FILE`]; `on_error` is called with the text that the guest writes.
///
/// # Errors
/// A file with that name already exists, or the directory is full.
pub fn publish_error_file(
    items: &mut Items,
    on_error: impl Fn(String) + Send + 'static,
) -> Result<(), ItemError> {
    let on_write = Box::new(move |bytes: &[u8], start: usize, count: usize| {
        let text = bytes.get(start..start.saturating_add(count)).unwrap_or_default();
        // The text comes from the guest: do not pass control characters to the user's terminal.
        let plain = |char: char| if char.is_control() { '?' } else { char };
        on_error(String::from_utf8_lossy(text).chars().map(plain).collect());
    });
    items.add_writable_file(ERROR_FILE, vec![0; ERROR_SIZE], on_write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;

    #[test]
    fn image_is_one_page_that_ends_at_4_gib() {
        assert_eq!(IMAGE.len() as u64, layout::PAGE_SIZE);
        assert!(IMAGE.len() <= 16 << 10);
    }

    #[test]
    fn the_reset_vector_leads_to_its_first_instruction() {
        let vector = &IMAGE[IMAGE.len() - 16..];
        assert_eq!(vector[0], 0xe9, "jmp, 16 bits relative to the next instruction");
        let distance = u16::from_le_bytes([vector[1], vector[2]]);
        assert_eq!(0xfff3u16.wrapping_add(distance), 0xf000, "where the page begins");
        assert_eq!(IMAGE[..2], [0xfa, 0xfc], "cli, cld");
        assert_eq!(vector[3..], [0; 13]);
    }

    /// The ROM's source and the layout must agree on every address.
    #[test]
    fn addresses_match_the_layout() {
        let source = include_str!("builtin/rom.S");
        for (name, address) in [
            ("CMDLINE", layout::CMDLINE),
            ("EBDA", layout::EBDA),
            ("FSEG", layout::SMBIOS),
            ("BIOS_CALL", layout::BIOS_CALL),
            ("RESET_VECTOR", layout::RESET_VECTOR),
            ("HIGH_RAM", layout::HIGH_RAM),
            ("ROM_SIZE", layout::PAGE_SIZE),
        ] {
            let line = format!(".set    {name}, {address:#x}");
            assert!(source.contains(&line), "{line}");
        }
    }

    #[test]
    fn file_names_match_the_published_ones() {
        let texts: Vec<&[u8]> = IMAGE.split(|byte| *byte == 0).collect();
        for name in [
            fw_cfg::x86::E820_FILE,
            fw_cfg::loader::FILE_NAME,
            fw_cfg::x86::SMBIOS_ANCHOR_FILE,
            fw_cfg::x86::SMBIOS_TABLES_FILE,
            ERROR_FILE,
        ] {
            assert!(texts.contains(&name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn the_error_file_is_published_once() {
        let mut items = Items::new();
        publish_error_file(&mut items, |_| {}).unwrap();
        let file = items.file(ERROR_FILE).unwrap().read_to_vec().unwrap();
        assert_eq!(file, [0; ERROR_SIZE]);
        assert!(publish_error_file(&mut items, |_| {}).is_err());
    }
}
