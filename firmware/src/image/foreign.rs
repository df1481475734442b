//! Identifies unsupported files by their first bytes, and suggests what to do with them.

use std::os::unix::fs::FileExt;

use crate::source_file::SourceFile;

const UNPACK: &str = "a bzImage unpacks itself: pass it as it is; unpack anything else first";
const OTHER_PROCESSOR: &str = "this is a kernel for another processor; use the x86-64 one";

const HTML: &str = "the server sent a web page instead of the kernel: download with curl --fail";

const DISK: &str = "boot it as a disk: -hda FILE; or boot the kernel in it: -bootdisk FILE";
const PACKAGE: &str = "unpack the package; the kernel is boot/vmlinuz-* or lib/modules/*/vmlinuz";

/// The identifier of an ISO 9660 volume descriptor (ECMA-119, 8.1.2), and its offset in the file.
const ISO_9660: (u64, &[u8; 5]) = (0x8001, b"CD001");

/// Offset, magic number, description, hint.
type Known = (usize, &'static [u8], &'static str, &'static str);

const KNOWN: [Known; 19] = [
    (0x38, b"ARM\x64", "an arm64 Image", OTHER_PROCESSOR),
    (0x24, b"\x18\x28\x6f\x01", "an ARM zImage", OTHER_PROCESSOR),
    (0x38, b"RSC\x05", "a RISC-V Image", OTHER_PROCESSOR),
    (
        0,
        b"\x27\x05\x19\x56",
        "a U-Boot uImage",
        "this is a kernel for another machine; use arch/x86/boot/bzImage",
    ),
    (0, b"\x1f\x8b", "gzip data", "unpack it with gunzip, or use arch/x86/boot/bzImage"),
    (0, b"\xfd7zXZ\0", "xz data", "unpack it with unxz, or use arch/x86/boot/bzImage"),
    (0, b"\x28\xb5\x2f\xfd", "zstd data", "unpack it with unzstd, or use arch/x86/boot/bzImage"),
    (0, b"BZh", "bzip2 data", "unpack it with bunzip2, or use arch/x86/boot/bzImage"),
    (0, b"\x02\x21\x4c\x18", "lz4 data", "unpack it with unlz4, or use arch/x86/boot/bzImage"),
    (0, b"\x04\x22\x4d\x18", "lz4 data", "unpack it with unlz4, or use arch/x86/boot/bzImage"),
    (0, b"0707", "a cpio archive", "pass an initramfs with -initrd"),
    (
        0,
        b"!<arch>\n",
        "a Debian package or ar archive",
        "unpack it with dpkg-deb -x; the kernel is boot/vmlinuz-*",
    ),
    (0, b"#!", "a script", UNPACK),
    (0, b"<!", "an HTML page", HTML),
    (0, b"<html", "an HTML page", HTML),
    (
        0,
        b"MZ",
        "a DOS or EFI program without a bzImage header",
        "use the bzImage or vmlinux, or the program's BIOS version",
    ),
    (0, b"\xed\xab\xee\xdb", "an RPM package", PACKAGE),
    (0, b"QFI\xfb", "a qcow2 disk image", DISK),
    (0x1fe, b"\x55\xaa", "a boot sector or disk image", DISK),
];

/// Describes a file that begins with `head`, and gives a hint.
pub(super) fn recognize_file(source: &SourceFile, head: &[u8]) -> (String, &'static str) {
    let (at, magic) = ISO_9660;
    let mut found = [0; 5];
    // A file that cannot be read there, or ends before, is not an ISO image.
    if source.file().read_exact_at(&mut found, at).is_ok() && found == *magic {
        let hint = "boot it as a CD: -cdrom FILE; or boot the kernel in it: -location FILE";
        return ("an ISO image".into(), hint);
    }
    recognize(head)
}

/// Describes the file that begins with `head`, and gives a hint.
pub(super) fn recognize(head: &[u8]) -> (String, &'static str) {
    let at = |offset: usize, magic: &[u8]| {
        head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    };
    let known = KNOWN.into_iter().find(|(offset, magic, ..)| at(*offset, magic));
    if let Some((_, _, found, hint)) = known {
        return (found.into(), hint);
    }
    let first: Vec<String> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let found = format!(
        "neither ELF nor bzImage (its first bytes are {}, and 'HdrS' is not at 0x202)",
        first.join(" ")
    );
    (found, UNPACK)
}
