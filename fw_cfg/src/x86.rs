//! What PC firmware expects in some files and items: bytes from plain values.
//!
//! Sources: hw/i386/fw_cfg.c, hw/i386/e820_memory_layout.c, system/bootdevice.c and hw/nvram/fw_cfg.c in QEMU; src/fw/paravirt.c and
//! src/boot.c in SeaBIOS.

/// File of the memory map: see [`e820`].
pub const E820_FILE: &str = "etc/e820";
/// File of the order in which to boot from devices: see [`bootorder`].
pub const BOOTORDER_FILE: &str = "bootorder";
/// File of a u32: milliseconds after which firmware that found nothing to boot tries again; [`NEVER`] for not at all.
pub const BOOT_FAIL_WAIT_FILE: &str = "etc/boot-fail-wait";
/// File of a u16: milliseconds for which a boot menu offers itself.
pub const BOOT_MENU_WAIT_FILE: &str = "etc/boot-menu-wait";
/// The SMBIOS entry point.
pub const SMBIOS_ANCHOR_FILE: &str = "etc/smbios/smbios-anchor";
/// The SMBIOS structures.
pub const SMBIOS_TABLES_FILE: &str = "etc/smbios/smbios-tables";
/// Folder of option ROMs that belong to no device.
pub const OPTION_ROM_FOLDER: &str = "genroms/";
/// A writable file of 16 bytes in which Linux says where its VMCOREINFO note is (docs/specs/vmcoreinfo.rst).
pub const VMCOREINFO_FILE: &str = "etc/vmcoreinfo";

/// In [`BOOT_FAIL_WAIT_FILE`]: do not try again.
pub const NEVER: u32 = u32::MAX;

/// The memory map: (first byte, bytes, type) each, as 20 bytes without padding, little-endian.
pub fn e820(entries: impl IntoIterator<Item = (u64, u64, u32)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (start, size, kind) in entries {
        bytes.extend(start.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
    }
    bytes
}

/// The order of devices by their firmware paths, first to last, a line each, zero-terminated; empty without any. `strict`: boot
/// from nothing else.
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

/// What Linux writes to [`VMCOREINFO_FILE`] (`struct fw_cfg_vmcoreinfo`, all little-endian).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmCoreInfo {
    /// What the host can use: 0 none, 1 an ELF note.
    pub host_format: u16,
    /// What the guest gave.
    pub guest_format: u16,
    /// Bytes of the note.
    pub size: u32,
    /// Its guest-physical address.
    pub paddr: u64,
}

impl VmCoreInfo {
    /// An ELF note (`FW_CFG_VMCOREINFO_FORMAT_ELF`).
    pub const ELF: u16 = 1;
    /// Bytes of the file.
    pub const SIZE: usize = 16;

    /// What the host puts into the file: that it can use an ELF note, and nothing from the guest yet.
    pub fn offer() -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..2].copy_from_slice(&Self::ELF.to_le_bytes());
        bytes
    }

    /// What the file says. `None`: it has another size.
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
    fn bootorder_ends_with_one_zero() {
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
