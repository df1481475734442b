//! EFI programs: extracts unified kernel images, and identifies all others.
//!
//! Sources: the UAPI Group's "Unified Kernel Image" specification (UAPI.5); `struct
//! linux_efi_zboot_header` in Linux's drivers/firmware/efi/libstub/zboot-header.S.

use std::io;
use std::slice;

use super::container::{Container, ContainerKind, copy};
use super::pe::{Pe, Section};
use crate::source_file::SourceFile;

/// "zimg" at offset 4 identifies an EFI zboot image; the name of its compression is at offset 24.
const ZBOOT_MAGIC: &[u8] = b"zimg";
const ZBOOT_COMPRESSION: usize = 24;
/// Maximum command line length read from a unified kernel image, in bytes.
const CMDLINE_MAX: u64 = 64 << 10;
/// Number of bytes of a program searched for its name.
const SEARCHED: u64 = 2 << 20;

/// An EFI program.
#[derive(Debug)]
pub(super) enum Efi {
    /// A unified kernel image: its kernel and its other contents.
    Unified { kernel: SourceFile, container: Container },
    /// Another program: its description, and a hint.
    Foreign { found: String, hint: &'static str },
}

impl Efi {
    /// Identifies a file that begins with "MZ" and is not a bzImage. Returns `None` if it is not an
    /// EFI program either.
    pub fn read(source: &SourceFile, head: &[u8]) -> io::Result<Option<Self>> {
        let pe = Pe::read(source, head)?;
        if head.get(4..).is_some_and(|rest| rest.starts_with(ZBOOT_MAGIC)) {
            return Ok(Some(zboot(pe.as_ref(), head)));
        }
        let Some(pe) = pe else { return Ok(None) };
        let machine = machine_name(pe.machine);
        let sections = first_profile(&pe.sections);
        let section = |name: &[u8]| sections.iter().rev().find(|section| section.name() == name);
        let Some(linux) = section(b".linux") else {
            return Ok(Some(other(source, &machine)?));
        };
        let parts = [Some(linux), section(b".ucode"), section(b".initrd"), section(b".cmdline")];
        let mut parts = parts.into_iter().flatten();
        if let Some(part) = parts.find(|part| part.file.end > source.len()) {
            let (name, has) = (String::from_utf8_lossy(part.name()), source.len());
            let found = format!(
                "a truncated unified kernel image: it has {has} bytes, its section {name} needs {}",
                part.file.end
            );
            let hint = "copy or download it again, and compare its size and checksum";
            return Ok(Some(Self::Foreign { found, hint }));
        }
        let kernel = copy(source, slice::from_ref(&linux.file), ".linux", "kernel")?;
        // The stub passes microcode updates as the first initrd.
        let initrds = [section(b".ucode"), section(b".initrd")].into_iter().flatten();
        let initrds: Vec<_> =
            initrds.map(|part| part.file.clone()).filter(|part| !part.is_empty()).collect();
        let initrd = match initrds.as_slice() {
            [] => None,
            parts => copy(source, parts, ".initrd", "initrd")?,
        };
        let cmdline = section(b".cmdline").map(|part| text(source, part)).transpose()?;
        let Some(kernel) = kernel else {
            let found = "a unified kernel image whose section .linux is empty".into();
            return Ok(Some(Self::Foreign { found, hint: "build it again" }));
        };
        let container = Container {
            file: source.clone(),
            kind: ContainerKind::UnifiedKernelImage,
            sections: sections.iter().map(Section::described).collect(),
            initrd,
            cmdline: cmdline.unwrap_or_default(),
        };
        Ok(Some(Self::Unified { kernel, container }))
    }
}

/// The sections of the first profile: those before the first `.profile`, and then the profile's
/// own, which take precedence.
fn first_profile(sections: &[Section]) -> &[Section] {
    let mut profiles = sections.iter().enumerate().filter(|(_, part)| part.name() == b".profile");
    let end = profiles.nth(1).map_or(sections.len(), |(index, _)| index);
    &sections[..end]
}

/// A section's text, without trailing NULs and newlines.
fn text(source: &SourceFile, section: &Section) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let size = (section.file.end - section.file.start).min(CMDLINE_MAX);
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    source.file().read_exact_at(&mut bytes, section.file.start)?;
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(text.trim_ascii().to_vec())
}

fn zboot(pe: Option<&Pe>, head: &[u8]) -> Efi {
    let name = head.get(ZBOOT_COMPRESSION..).unwrap_or_default().iter();
    let name = name.take_while(|byte| byte.is_ascii_alphanumeric()).take(8);
    let compression: String = name.map(|byte| char::from(*byte)).collect();
    let packed =
        if compression.is_empty() { compression } else { format!(", packed by {compression}") };
    let machine = pe.map_or(String::new(), |pe| format!(" for {}", machine_name(pe.machine)));
    let found = format!("an EFI zboot image{machine}{packed}");
    let hint = match pe.map(|pe| pe.machine) {
        Some(0x8664 | 0x14c) => "unpack the kernel in it, or use arch/x86/boot/bzImage",
        _ => "Linux for arm64, RISC-V and LoongArch uses this format; use the x86-64 kernel",
    };
    Efi::Foreign { found, hint }
}

fn other(source: &SourceFile, machine: &str) -> io::Result<Efi> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; usize::try_from(source.len().min(SEARCHED)).unwrap_or_default()];
    source.file().read_exact_at(&mut bytes, 0)?;
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    let (name, hint) = if has(b"iPXE") || has(b"ipxe.org") {
        ("iPXE, ", "use ipxe.lkrn, and boot it through a BIOS: -bios seabios")
    } else if has(b"Xen-") || has(b"xen.efi") || has(b"Xen Hypervisor") {
        ("Xen, ", "use Xen's multiboot file: xen-*.gz")
    } else if has(b"Memtest86+") {
        ("Memtest86+, ", "use memtest86+x64.bin, a bzImage")
    } else {
        (
            "",
            "chukka cannot run EFI programs: use the bzImage or vmlinux, or the program's BIOS version",
        )
    };
    Ok(Efi::Foreign { found: format!("{name}an EFI program for {machine}"), hint })
}

fn machine_name(machine: u16) -> String {
    match machine {
        0x8664 => "x86-64".into(),
        0x14c => "32-bit x86".into(),
        0xaa64 => "arm64".into(),
        0x1c0 | 0x1c2 | 0x1c4 => "32-bit ARM".into(),
        0x5032 => "32-bit RISC-V".into(),
        0x5064 => "RISC-V".into(),
        0x6232 | 0x6264 => "LoongArch".into(),
        0xebc => "EFI byte code".into(),
        other => format!("machine {other:#x}"),
    }
}

#[cfg(test)]
mod tests;
