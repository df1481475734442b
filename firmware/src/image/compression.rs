//! How the kernel inside a bzImage is compressed.
//!
//! Source: `payload_offset` in Documentation/arch/x86/boot.rst, and the magic numbers that Linux's
//! lib/decompress.c looks for.

use std::io;
use std::os::unix::fs::FileExt;

use super::bzimage::BzImage;
use crate::source_file::SourceFile;

/// The first bytes of compressed data, and the name of the format.
const FORMATS: [(&[u8], &str); 9] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x1f\x9e", "gzip"),
    (b"BZh", "bzip2"),
    (b"\x5d\0\0", "lzma"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x89LZO\0", "lzo"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x7fELF", "none"),
];
/// The longest of them, in bytes.
const LONGEST: usize = 6;

/// The format of the compressed kernel in `image`, which is in `source`. `None`: the header does
/// not say where it is, or the format is not known.
///
/// # Errors
/// The file cannot be read.
pub fn compression(image: &BzImage, source: &SourceFile) -> io::Result<Option<&'static str>> {
    let Some(at) = image.compressed_offset().filter(|at| at + LONGEST as u64 <= source.len())
    else {
        return Ok(None);
    };
    let mut found = [0; LONGEST];
    source.file().read_exact_at(&mut found, at)?;
    Ok(FORMATS.iter().find(|(magic, _)| found.starts_with(magic)).map(|(_, name)| *name))
}

#[cfg(test)]
mod tests {
    use super::super::tests::bzimage;
    use super::super::{KernelImage, KernelKind};
    use super::*;
    use crate::testing::TempFile;

    /// The format that a bzImage with this protocol and payload is found to have.
    fn found(protocol: u16, at: u32, length: u32, payload: &[u8]) -> Option<&'static str> {
        let mut file = bzimage(8192);
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x206, &protocol.to_le_bytes());
        put(0x248, &at.to_le_bytes());
        put(0x24c, &length.to_le_bytes());
        put(2048 + 32, payload);
        let file = TempFile::new(&file);
        let KernelImage { source, kind: KernelKind::BzImage(image), .. } =
            KernelImage::open(&file.0).unwrap()
        else {
            panic!("a bzImage");
        };
        compression(&image, &source).unwrap()
    }

    #[test]
    fn formats_are_known_by_their_magic_numbers() {
        for (payload, name) in [
            (&b"\x1f\x8b\x08\0"[..], Some("gzip")),
            (b"\xfd7zXZ\0", Some("xz")),
            (b"\x28\xb5\x2f\xfd", Some("zstd")),
            (b"\x02\x21\x4c\x18", Some("lz4")),
            (b"\x7fELF", Some("none")),
            (b"what", None),
        ] {
            assert_eq!(found(0x20f, 32, 100, payload), name);
            assert_eq!(found(0x208, 32, 100, payload), name);
            assert_eq!(found(0x207, 32, 100, payload), None, "the header has no such field");
            assert_eq!(found(0x20f, 32, 0, payload), None, "the header gives no length");
            assert_eq!(found(0x20f, u32::MAX, 100, payload), None, "it is not in the file");
            assert_eq!(
                found(0x20f, 8192 - 5, 100, payload),
                None,
                "the file ends inside its magic"
            );
        }
    }
}
