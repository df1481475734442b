//! Unified kernel images (UAPI.5): an EFI program with kernel, initrd and command line as sections
//! of it.
//!
//! The layout of the file is that of Microsoft's PE format: a DOS header with the offset of the PE
//! header at byte 60, then a header of 24 bytes, an optional header, and a section header of 40
//! bytes for each section. Numbers are little-endian.

use std::io;
use std::sync::Arc;

use storage::{FileTree, RandomAccess, Slice, TreePath, head, read_whole};

/// Bytes in which all headers must be.
const HEADERS: usize = 1 << 16;
/// Bytes that a section with text can have.
pub(super) const TEXT: usize = 1 << 16;
/// Profiles that an image can have, as in systemd (`UNIFIED_PROFILES_MAX`).
pub(super) const PROFILES: usize = 256;

/// The sections of a unified kernel image.
#[derive(Debug)]
pub(crate) struct UnifiedImage {
    file: Arc<dyn RandomAccess>,
    sections: Vec<Section>,
    /// Which of its profiles is booted. A profile's sections come before those of all profiles.
    profile: usize,
}

#[derive(Clone, Debug)]
struct Section {
    name: String,
    offset: u64,
    len: u64,
}

impl UnifiedImage {
    /// Reads the headers. `None`: it is not a PE file, or has no `.linux` section.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(file: Box<dyn RandomAccess>) -> io::Result<Option<Self>> {
        Ok(Self::split(file)?.ok())
    }

    /// The same; a file that is none is given back.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn split(file: Box<dyn RandomAccess>) -> io::Result<Result<Self, Box<dyn RandomAccess>>> {
        let sections = sections(&head(&*file, HEADERS)?).unwrap_or_default();
        Ok(match sections.iter().any(|section| section.name == ".linux") {
            true => Ok(Self { file: file.into(), sections, profile: 0 }),
            false => Err(file),
        })
    }

    /// Reads the headers of an EFI program that need not have a kernel.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn any(file: Box<dyn RandomAccess>) -> io::Result<Self> {
        let sections = sections(&head(&*file, HEADERS)?).unwrap_or_default();
        Ok(Self { file: file.into(), sections, profile: 0 })
    }

    /// How many profiles it has: each begins with a section `.profile`. Without any, it is one.
    pub fn profiles(&self) -> usize {
        let begin = self.sections.iter().filter(|section| section.name == ".profile");
        begin.count().clamp(1, PROFILES)
    }

    /// The same image for another of its profiles.
    pub fn with_profile(&self, profile: usize) -> Self {
        Self { file: Arc::clone(&self.file), sections: self.sections.clone(), profile }
    }

    /// The kernel.
    pub fn kernel(&self) -> Option<Box<dyn RandomAccess>> {
        self.section(".linux")
    }

    /// The file as a whole.
    pub fn whole(&self) -> Box<dyn RandomAccess> {
        let name = self.file.name().to_owned();
        Box::new(Slice::new(Arc::clone(&self.file), 0, self.file.len(), name))
    }

    /// What it boots for a loader that has initrds and arguments for it, by the rules of
    /// systemd's src/boot/stub.c: the initrds are microcode, the loader's and its own
    /// (`INITRD_UCODE` and the next); its own command line counts if the loader has none
    /// (`settle_command_line`, without Secure Boot). `Err`: what is wrong with it.
    pub fn unpacked(
        &self,
        initrds: Vec<Box<dyn RandomAccess>>,
        arguments: &str,
    ) -> Result<Unpacked, String> {
        let name = self.file.name();
        let kernel = self.kernel().ok_or_else(|| format!("{name} has no section .linux"))?;
        let arguments = match (arguments, self.section(".cmdline")) {
            ("", Some(section)) => {
                let text = read_whole(&*section, TEXT).map_err(|error| error.to_string())?;
                let text =
                    text.ok_or_else(|| format!("{} has more than {TEXT} bytes", section.name()))?;
                command_line(&String::from_utf8_lossy(&text))
            }
            _ => arguments.to_owned(),
        };
        let (ucode, own) = (self.section(".ucode"), self.section(".initrd"));
        let initrds = ucode.into_iter().chain(initrds).chain(own).collect();
        Ok(Unpacked { kernel, initrds, arguments })
    }

    /// A section of its profile, or else of all profiles.
    pub fn section(&self, name: &str) -> Option<Box<dyn RandomAccess>> {
        // Those of all profiles, then a group for each profile.
        let begins = |section: &Section| section.name == ".profile";
        let starts = self.sections.iter().enumerate().filter(|(_, section)| begins(section));
        let starts: Vec<_> = starts.map(|(at, _)| at).collect();
        let end = starts.get(self.profile + 1).copied().unwrap_or(self.sections.len());
        let own = starts.get(self.profile).map_or(&[][..], |start| &self.sections[*start..end]);
        let common = &self.sections[..starts.first().copied().unwrap_or(self.sections.len())];
        let found = own.iter().chain(common).find(|section| section.name == name)?;
        let name = format!("{}:{name}", self.file.name());
        Some(Box::new(Slice::new(Arc::clone(&self.file), found.offset, found.len, name)))
    }
}

/// What a unified kernel image boots.
pub(crate) struct Unpacked {
    /// The kernel.
    pub kernel: Box<dyn RandomAccess>,
    /// Its initrds, in their order.
    pub initrds: Vec<Box<dyn RandomAccess>>,
    /// Its command line.
    pub arguments: String,
}

/// A warning about the files for an image that systemd-stub would put into the initrd, if there are
/// any: credentials and extensions, beside the image or for all images of its partition
/// (`generate_sidecar_initrds` in systemd's src/boot/stub.c).
pub(crate) fn left_out(tree: &dyn FileTree, image: &TreePath) -> Option<String> {
    const NAMED: usize = 4;
    let name = image.as_path().file_name()?.to_string_lossy().into_owned();
    // A boot counter is no part of the directory's name (`get_extra_dir`).
    let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, ""));
    let counted = stem.rsplit_once('+').filter(|(_, counter)| {
        counter.starts_with(|c: char| c.is_ascii_digit())
            && counter.chars().all(|c| c.is_ascii_digit() || c == '-')
    });
    let own = counted.map_or(name.clone(), |(stem, _)| format!("{stem}.{ending}"));
    let is_efi = |path: &&std::path::Path| {
        path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("EFI"))
    };
    let efi = image.as_path().ancestors().find(is_efi);
    let root = efi.map(|efi| TreePath::new(efi).parent()).unwrap_or_default();
    let directories = [
        image.parent().join(&format!("{own}.extra.d")),
        root.join("loader/credentials"),
        root.join("loader/extensions"),
    ];
    let mut found = Vec::new();
    for directory in directories {
        let files = tree.list(&directory).unwrap_or_default().into_iter();
        let names = files.filter(|file| !file.is_directory).map(|file| file.name);
        let is_taken = |name: &String| {
            let name = name.to_ascii_lowercase();
            !name.starts_with('.') && (name.ends_with(".cred") || name.ends_with(".raw"))
        };
        found.extend(names.filter(is_taken).map(|name| directory.join(&name).to_string()));
    }
    found.sort();
    let more = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    found.truncate(NAMED);
    (!found.is_empty()).then(|| {
        let found = found.join(", ");
        format!("the guest does not get {found}{more}, which systemd-stub would add to the initrd")
    })
}

/// The command line in a section's text.
pub(super) fn command_line(text: &str) -> String {
    let text = text.trim_end_matches('\0');
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The value of a key in lines like `KEY="value"`, without quotes.
pub(super) fn value(text: &str, key: &str) -> String {
    let mut values = text.lines().filter_map(|line| line.trim().split_once('='));
    let value = values.find(|(name, _)| *name == key).unwrap_or_default().1;
    value.trim_matches(['"', '\'']).to_owned()
}

fn sections(bytes: &[u8]) -> Option<Vec<Section>> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    bytes.starts_with(b"MZ").then_some(())?;
    let header = usize::try_from(u32_at(60)?).ok().filter(|at| *at < HEADERS)?;
    (bytes.get(header..header + 4)? == b"PE\0\0").then_some(())?;
    let count = u16_at(header + 6)?;
    let first = header + 24 + usize::from(u16_at(header + 20)?);
    let section = |index: u16| {
        let at = first + 40 * usize::from(index);
        let name = bytes.get(at..at + 8)?;
        let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
        // The size in memory can be smaller than the padded size in the file.
        let len = u32_at(at + 8)?.min(u32_at(at + 16)?);
        Some(Section { name, offset: u32_at(at + 20)?.into(), len: len.into() })
    };
    (0..count).map(section).collect()
}

/// The bytes of an image with these sections, for tests.
#[cfg(test)]
pub(crate) fn image(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut headers = vec![0; 64];
    headers[..2].copy_from_slice(b"MZ");
    headers[60] = 64;
    headers.extend(b"PE\0\0\x64\x86");
    headers.extend(u16::try_from(sections.len()).unwrap_or(0).to_le_bytes());
    headers.extend([0; 16]);
    let mut offset = headers.len() + 40 * sections.len();
    let mut contents = Vec::new();
    for (name, content) in sections {
        let mut header = [0; 40];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let number = |value: usize| u32::try_from(value).unwrap_or(0).to_le_bytes();
        header[8..12].copy_from_slice(&number(content.len()));
        header[16..20].copy_from_slice(&number(content.len() + 3));
        header[20..24].copy_from_slice(&number(offset));
        headers.extend(header);
        contents.extend_from_slice(content);
        contents.extend([0; 3]);
        offset += content.len() + 3;
    }
    headers.extend(contents);
    headers
}
