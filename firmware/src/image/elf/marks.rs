//! Distinguishes Linux's vmlinux from other ELF files, and identifies those.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::reader::{Class, Fields, Header};
use crate::source_file::SourceFile;

/// Maximum number of section headers, and of bytes of their names, that are read. vmlinux has about
/// 80 and 1 KiB.
const MAX_SECTIONS: u16 = 4096;
const MAX_NAMES: u64 = 256 << 10;
/// Number of bytes searched for the marks of other boot protocols.
const SEARCHED: u64 = 8 << 20;
/// A 64-bit vmlinux has `.init.text`, code that is freed after boot, and one of these
/// Linux-specific tables (include/asm-generic/vmlinux.lds.h; `.data.percpu` before Linux 2.6.33).
const LINUX_SECTIONS: [&[u8]; 4] = [b"__param", b"__ksymtab", b".data..percpu", b".data.percpu"];
/// The first half of the ID of each Limine request (`LIMINE_COMMON_MAGIC`, limine.h).
const LIMINE_MAGIC: [u8; 16] = [
    0x88, 0x4c, 0x8b, 0xdf, 0x30, 0xdd, 0xb1, 0xc7, 0x7b, 0xf0, 0x94, 0xe1, 0x83, 0xe8, 0x82, 0x0a,
];
/// FreeBSD's interpreter (sys/conf/kern.pre.mk).
const FREEBSD_INTERPRETER: &[u8] = b"/red/herring";

/// Whether the section table is that of a vmlinux. Kernels before Linux 5.1 have no Linux-specific
/// note, but all have section headers, even if stripped. An invalid table counts as none.
pub(super) fn has_linux_sections(source: &SourceFile, header: &Header) -> io::Result<bool> {
    const SECTION: u16 = 64;
    let count = header.section_count;
    if header.section_entry != SECTION || count > MAX_SECTIONS || header.section_names >= count {
        return Ok(false);
    }
    let Some(table) = read(source, header.sections, u64::from(count) * u64::from(SECTION))? else {
        return Ok(false);
    };
    let sections = || table.chunks_exact(SECTION.into()).map(Fields);
    let names = sections().nth(header.section_names.into());
    let Some(names) = names.filter(|names| names.u64(32) <= MAX_NAMES) else { return Ok(false) };
    let Some(names) = read(source, names.u64(24), names.u64(32))? else { return Ok(false) };
    let name = |section: Fields<'_>| {
        let start = usize::try_from(section.u32(0)).ok()?;
        names.get(start..)?.split(|byte| *byte == 0).next()
    };
    let has = |wanted: &[&[u8]]| sections().filter_map(name).any(|name| wanted.contains(&name));
    Ok(has(&[b".init.text"]) && has(&LINUX_SECTIONS))
}

/// Reads bytes of a file, if it has them.
fn read(source: &SourceFile, at: u64, size: u64) -> io::Result<Option<Vec<u8>>> {
    if at.checked_add(size).is_none_or(|end| end > source.len()) {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    source.file().read_exact_at(&mut bytes, at)?;
    Ok(Some(bytes))
}

/// Identifies an ELF file that cannot be booted, and gives a hint. `interpreter` is the file range
/// of `PT_INTERP`.
pub(super) fn foreign_kind(
    source: &SourceFile,
    dynamic: bool,
    interpreter: Option<Range<u64>>,
    class: Class,
) -> io::Result<(&'static str, &'static str)> {
    const PASS_KERNEL: &str =
        "pass vmlinux from the top of the kernel's build tree, or arch/x86/boot/bzImage";
    const ADD_ENTRY: &str = "give it a PVH note (XEN_ELFNOTE_PHYS32_ENTRY) or a multiboot header; or boot its disk image through a BIOS";
    if let Some(range) = interpreter {
        let size = range.end.saturating_sub(range.start).min(FREEBSD_INTERPRETER.len() as u64);
        return Ok(match read(source, range.start, size)? {
            Some(name) if name == FREEBSD_INTERPRETER => (
                "a FreeBSD kernel, which only FreeBSD's loader starts",
                "boot a FreeBSD disk image through a BIOS; or use a FreeBSD 12 or later kernel with a PVH note",
            ),
            _ => ("a dynamically linked program for an operating system", PASS_KERNEL),
        });
    }
    if has_limine_request(source)? {
        return Ok(("a kernel for the Limine boot protocol", ADD_ENTRY));
    }
    Ok(match (dynamic, class) {
        (true, _) => (
            "an ELF file but not a kernel: a shared object or position-independent program",
            PASS_KERNEL,
        ),
        (false, Class::Bits32) => ("an ELF file for 32-bit x86 without a known entry", ADD_ENTRY),
        (false, Class::Bits64) => ("a 64-bit ELF program without a known kernel entry", ADD_ENTRY),
    })
}

/// Whether the beginning of the file contains a Limine request. Requests are aligned to 8 bytes,
/// both in the file and in memory.
fn has_limine_request(source: &SourceFile) -> io::Result<bool> {
    let size = source.len().min(SEARCHED);
    let bytes = read(source, 0, size)?.unwrap_or_default();
    let mut at_magic = bytes.chunks_exact(8).map(|word| word == &LIMINE_MAGIC[..8]).enumerate();
    let follows = |index: usize| bytes[(index + 1) * 8..].starts_with(&LIMINE_MAGIC[8..]);
    Ok(at_magic.any(|(index, found)| found && follows(index)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempFile;

    #[test]
    fn limine_requests_are_found_if_aligned() {
        for (at, expected) in [(0, true), (4096, true), (0x1_0008, true), (4, false)] {
            let mut bytes = vec![0x5a; at];
            bytes.extend(LIMINE_MAGIC);
            let file = TempFile::new(&bytes);
            let source = SourceFile::open(&file.0, "kernel").unwrap();
            assert_eq!(has_limine_request(&source).unwrap(), expected, "{at}");
        }
        for half in [&LIMINE_MAGIC[..8], &LIMINE_MAGIC[8..]] {
            let file = TempFile::new(&[half, &[0x5a; 8]].concat());
            let source = SourceFile::open(&file.0, "kernel").unwrap();
            assert!(!has_limine_request(&source).unwrap(), "half an ID");
        }
    }
}
