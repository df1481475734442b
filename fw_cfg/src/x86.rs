//! Builds the contents of files that PC firmware expects.
//!
//! Sources: hw/i386/fw_cfg.c, hw/i386/e820_memory_layout.c, system/bootdevice.c and
//! hw/nvram/fw_cfg.c in QEMU; src/fw/paravirt.c and src/boot.c in SeaBIOS.

/// File name of the memory map, see [`e820`].
pub const E820_FILE: &str = "etc/e820";
/// File name of the boot order, see [`bootorder`].
pub const BOOTORDER_FILE: &str = "bootorder";
/// File name of a u32: after how many milliseconds firmware that found nothing to boot tries again,
/// or [`NEVER`].
pub const BOOT_FAIL_WAIT_FILE: &str = "etc/boot-fail-wait";
/// File name of a u16: for how many milliseconds the firmware offers its boot menu.
pub const BOOT_MENU_WAIT_FILE: &str = "etc/boot-menu-wait";
/// File name of the SMBIOS entry point.
pub const SMBIOS_ANCHOR_FILE: &str = "etc/smbios/smbios-anchor";
/// File name of the SMBIOS structures.
pub const SMBIOS_TABLES_FILE: &str = "etc/smbios/smbios-tables";
/// Directory of option ROMs that belong to no device.
pub const OPTION_ROM_FOLDER: &str = "genroms/";
/// File name of a writable item of 16 bytes to which Linux writes the address of its VMCOREINFO
/// note (docs/specs/vmcoreinfo.rst in QEMU).
pub const VMCOREINFO_FILE: &str = "etc/vmcoreinfo";

/// Value of [`BOOT_FAIL_WAIT_FILE`]: do not try again.
pub const NEVER: u32 = u32::MAX;

/// Encodes the memory map from (start address, length in bytes, type): 20 bytes for each entry,
/// little-endian, without padding.
pub fn e820(entries: impl IntoIterator<Item = (u64, u64, u32)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (start, size, kind) in entries {
        bytes.extend(start.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
    }
    bytes
}

/// Encodes the boot order from the firmware paths of devices: one line each, zero-terminated, or
/// nothing if there are none. With `strict`, firmware does not boot from any other device.
pub fn bootorder<'a>(paths: impl IntoIterator<Item = &'a str>, strict: bool) -> Vec<u8> {
    let mut lines: Vec<&str> = paths.into_iter().collect();
    if strict {
        lines.push("HALT");
    }
    if lines.is_empty() {
        return Vec::new();
    }
    let mut bytes = lines.join("\n").into_bytes();
    bytes.push(0);
    bytes
}

/// The path of an option ROM in [`OPTION_ROM_FOLDER`], for [`bootorder`].
pub fn rom_path(file: &str) -> String {
    format!("/rom@{file}")
}

/// What Linux writes to [`VMCOREINFO_FILE`] (`struct fw_cfg_vmcoreinfo`, little-endian).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmCoreInfo {
    /// Format that the host accepts: 0 for none, 1 for an ELF note.
    pub host_format: u16,
    /// Format that the guest supplied.
    pub guest_format: u16,
    /// Length of the note in bytes.
    pub size: u32,
    /// Guest-physical address of the note.
    pub paddr: u64,
}

impl VmCoreInfo {
    /// An ELF note (`FW_CFG_VMCOREINFO_FORMAT_ELF`).
    pub const ELF: u16 = 1;
    /// Length of the file in bytes.
    pub const SIZE: usize = 16;

    /// The file's initial contents: the host accepts an ELF note, the guest has supplied nothing.
    pub fn offer() -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..2].copy_from_slice(&Self::ELF.to_le_bytes());
        bytes
    }

    /// Parses the file. `None` if it has another length.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, d, s0, s1, s2, s3, paddr @ ..] =
            *<&[u8; Self::SIZE]>::try_from(bytes).ok()?;
        Some(Self {
            host_format: u16::from_le_bytes([a, b]),
            guest_format: u16::from_le_bytes([c, d]),
            size: u32::from_le_bytes([s0, s1, s2, s3]),
            paddr: u64::from_le_bytes(paddr),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_e820_entry_is_20_bytes() {
        let bytes = e820([(0xfeff_c000, 0x4000, 2)]);
        assert_eq!(bytes, [0, 0xc0, 0xff, 0xfe, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    }

    #[test]
    fn bootorder_ends_with_a_single_zero() {
        assert_eq!(bootorder([], false), b"");
        assert_eq!(bootorder([], true), b"HALT\0");
        let rom = rom_path("genroms/a.rom");
        assert_eq!(bootorder([rom.as_str(), "/x"], true), b"/rom@genroms/a.rom\n/x\nHALT\0");
    }

    #[test]
    fn vmcoreinfo_is_read_as_linux_writes_it() {
        let offer = VmCoreInfo::offer();
        assert_eq!(VmCoreInfo::parse(&offer).unwrap().host_format, VmCoreInfo::ELF);
        let mut bytes = offer;
        bytes[2] = 1;
        bytes[4..8].copy_from_slice(&0x1024u32.to_le_bytes());
        bytes[8..].copy_from_slice(&0x0400_8000u64.to_le_bytes());
        let info = VmCoreInfo { host_format: 1, guest_format: 1, size: 0x1024, paddr: 0x0400_8000 };
        assert_eq!(VmCoreInfo::parse(&bytes), Some(info));
        assert_eq!(VmCoreInfo::parse(&bytes[1..]), None);
    }
}
