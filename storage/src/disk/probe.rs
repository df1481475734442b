//! Whether the first sector of a raw image looks like a header of another format.
//!
//! Some of these name other files of the host, as backing files or extents. A guest that can write
//! such a header to its raw disk could have the next program that guesses the format read those
//! files for it. So the guess is never made against the user: an image with such a header is
//! refused unless the user says that it is raw, and a guest cannot make one of an image whose
//! format was guessed (as in QEMU, block/raw-format.c, `raw_co_pwritev`).

/// What [`image_format`] calls qcow2.
pub(super) const QCOW2: &str = "a qcow2 image";

/// Formats by what they begin with: those that QEMU probes for (block/*.c, `.bdrv_probe`), and VHDX
/// and VDI with it.
const MAGIC: [(usize, &[u8], &str); 12] = [
    (0, b"QFI\xfb", QCOW2),
    (0, b"KDMV", "a VMDK image"),
    (0, b"COWD", "a VMDK image"),
    (0, b"conectix", "a VHD image"),
    (0, b"vhdxfile", "a VHDX image"),
    (0, b"QED\0", "a QED image"),
    (0, b"WithoutFreeSpace", "a Parallels image"),
    (0, b"WithouFreSpacExt", "a Parallels image"),
    (0, b"Bochs Virtual HD Image", "a Bochs image"),
    (0, b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop", "a cloop image"),
    (0, b"OOOM", "a UML image"),
    (64, b"\x7f\x10\xda\xbe", "a VDI image"),
];

/// What the first sector says the image is; `None`: raw.
pub(super) fn image_format(head: &[u8]) -> Option<&'static str> {
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    let by_magic = MAGIC.iter().find(|(at, magic, _)| has(*at, magic)).map(|(.., name)| *name);
    by_magic.or_else(|| is_vmdk_descriptor(head).then_some("a VMDK descriptor"))
}

/// A VMDK descriptor is text: comments and empty lines, then its version (block/vmdk.c,
/// `vmdk_probe`).
fn is_vmdk_descriptor(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"));
    let version = first.and_then(|line| line.strip_prefix(b"version="));
    version.is_some_and(|version| version.first().is_some_and(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_other_formats_are_known() {
        for (head, format) in [
            (&b"QFI\xfb\0\0\0\x03"[..], Some("a qcow2 image")),
            (b"KDMV\x01\0\0\0", Some("a VMDK image")),
            (b"# Disk DescriptorFile\nversion=1\n", Some("a VMDK descriptor")),
            (b"\n  \n#x\r\nversion=3\r\n", Some("a VMDK descriptor")),
            (b"# Disk DescriptorFile\n", None),
            (b"version=", None),
            (b"", None),
            (&[0; 512], None),
            (b"\xeb\x63\x90", None),
        ] {
            assert_eq!(image_format(head), format, "{head:?}");
        }
        let mut vdi = [0; 512];
        vdi[64..68].copy_from_slice(b"\x7f\x10\xda\xbe");
        assert_eq!(image_format(&vdi), Some("a VDI image"));
    }
}
