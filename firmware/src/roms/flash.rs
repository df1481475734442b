//! Flash images: UEFI firmware in two files, its code and its variables (`-drive if=pflash`).
//!
//! The first chip ends at 4 GiB and has the code with the reset vector; the second one is right
//! below it. EDK2 is built for the address of its variables, so code and variables must be from the
//! same build.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::files::{BIOS_MAX, BiosImage, RomError};

/// Size of a flash image in bytes must be a multiple of this: QEMU's `FLASH_SECTOR_SIZE`
/// (hw/i386/pc_sysfw.c).
pub const FLASH_UNIT: u64 = 4096;
/// Maximum size of all flash images in bytes.
pub const MAX_SIZE: u64 = BIOS_MAX;
/// Number of flash images a machine can have, as in QEMU (`pc_system_flash_create`).
pub const MAX_FLASH_IMAGES: usize = 2;

/// The size of an EDK2 build for a PC, code and variables together, is a multiple of 1 MiB
/// (`OvmfPkg/Include/Fdf/OvmfPkgDefines.fdf.inc`).
const EDK2_UNIT: u64 = 1 << 20;

/// A firmware volume's header (UEFI Platform Initialization Specification, volume 3, 3.2.1): GUID
/// of its file system at offset 16, length at offset 32, signature at offset 40.
const VOLUME_GUID: usize = 0x10;
const VOLUME_LENGTH: usize = 0x20;
const VOLUME_SIGNATURE: usize = 0x28;
/// `EFI_SYSTEM_NV_DATA_FV_GUID`, fff12b8d-7696-4c8b-a985-2747075b4f50: a variable store.
const VARIABLES: [u8; 16] = [
    0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c, 0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50,
];
/// The GUID 48 bytes before the end of EDK2's code for a virtual PC,
/// 96b582de-1fb2-45f7-baea-a366c55a082d (`OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm`).
const EDK2_FOOTER: [u8; 16] = [
    0xde, 0x82, 0xb5, 0x96, 0xb2, 0x1f, 0xf7, 0x45, 0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d,
];
const EDK2_FOOTER_FROM_END: usize = 0x30;

/// The contents of a flash chip.
#[derive(Clone, Copy, Debug)]
pub struct FlashImage<'a> {
    /// The path of its file.
    pub path: &'a Path,
    /// Its contents.
    pub bytes: &'a [u8],
    /// Whether the guest cannot write to it.
    pub is_read_only: bool,
}

/// Why flash images cannot be used. Sizes are in bytes.
#[derive(Debug, Error)]
pub enum FlashError {
    /// Not a valid size.
    #[error("The flash image '{}' has {found} bytes, expected a multiple of 4096 (4 KiB)", path.display())]
    Size {
        /// Its name.
        path: PathBuf,
        /// Its size.
        found: u64,
    },
    /// The images do not fit below 4 GiB.
    #[error("The flash images have {found} bytes, expected 16777216 (16 MiB) at most")]
    TooBig {
        /// The size of all of them.
        found: u64,
    },
    /// The first image is a variable store.
    #[error("The flash image '{}', unit 0, is a variable store, expected the firmware's code", path.display())]
    NoCode {
        /// Its name.
        path: PathBuf,
    },
    /// The first image has no reset vector.
    #[error(transparent)]
    Code(#[from] RomError),
    /// The variable store was truncated or extended.
    #[error("The flash image '{}' has {found} bytes, but its variable store has {expected}", path.display())]
    StoreSize {
        /// Its name.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// The size in its header.
        expected: u64,
    },
    /// Code and variables are from different builds.
    #[error(
        "The flash images '{}' ({code_size} bytes) and '{}' ({variables_size} bytes) do not belong together: \
         expected a multiple of 1048576 (1 MiB) in total", code.display(), variables.display()
    )]
    Mismatch {
        /// The name of the first image.
        code: PathBuf,
        /// Its size.
        code_size: u64,
        /// The name of the second image.
        variables: PathBuf,
        /// Its size.
        variables_size: u64,
    },
}

impl FlashError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Size { .. } | Self::TooBig { .. } => {
                "use an unmodified firmware image, such as OVMF_CODE.fd or OVMF_VARS.fd".into()
            }
            Self::NoCode { .. } => {
                "use unit=0 for the code and unit=1 for the variables: OVMF_CODE.fd, then a copy of OVMF_VARS.fd".into()
            }
            Self::Code(error) => error.hint(),
            Self::StoreSize { .. } => "copy the firmware's template, such as OVMF_VARS.fd, again".into(),
            Self::Mismatch { .. } => {
                "use a copy of the template of the same build: OVMF_VARS.fd for OVMF_CODE.fd, OVMF_VARS_4M.fd for \
                 OVMF_CODE_4M.fd"
                    .into()
            }
        }
    }
}

/// Checks that one or two images can be used together, the first with the code. Returns the first
/// one, and warnings.
///
/// # Errors
/// [`FlashError`]: a size is invalid, there is no code, or the images do not belong together.
pub fn check(
    code: &FlashImage<'_>,
    variables: Option<&FlashImage<'_>>,
) -> Result<(BiosImage, Vec<String>), FlashError> {
    let images = [Some(code), variables];
    for image in images.into_iter().flatten() {
        let found = image.bytes.len() as u64;
        if found == 0 || !found.is_multiple_of(FLASH_UNIT) {
            return Err(FlashError::Size { path: image.path.into(), found });
        }
    }
    let found = images.into_iter().flatten().map(|image| image.bytes.len() as u64).sum();
    if found > BIOS_MAX {
        return Err(FlashError::TooBig { found });
    }
    if store_size(code.bytes).is_some_and(|size| size >= code.bytes.len() as u64) {
        return Err(FlashError::NoCode { path: code.path.into() });
    }
    let mut warnings = Vec::new();
    match variables {
        Some(variables) => warnings.extend(check_variables(code, variables)?),
        None => warnings.extend(lacks_variables(code.path, code.bytes)),
    }
    let bios = BiosImage::from_bytes(code.path.into(), code.bytes.to_vec())?;
    Ok((bios, warnings))
}

/// Checks the second image. Returns a warning.
fn check_variables(
    code: &FlashImage<'_>,
    variables: &FlashImage<'_>,
) -> Result<Option<String>, FlashError> {
    let Some(expected) = store_size(variables.bytes) else { return Ok(None) };
    let found = variables.bytes.len() as u64;
    if found != expected {
        return Err(FlashError::StoreSize { path: variables.path.into(), found, expected });
    }
    let code_size = code.bytes.len() as u64;
    if is_edk2(code.bytes) && !(code_size + found).is_multiple_of(EDK2_UNIT) {
        return Err(FlashError::Mismatch {
            code: code.path.into(),
            code_size,
            variables: variables.path.into(),
            variables_size: found,
        });
    }
    let path = variables.path.display();
    Ok(variables.is_read_only.then(|| {
        format!(
            "the firmware cannot store variables, because '{path}' is read-only; to let it write to \
             them for one run, use snapshot=on"
        )
    }))
}

/// A warning if the image is EDK2's code without a variable store.
pub(super) fn lacks_variables(path: &Path, bytes: &[u8]) -> Option<String> {
    let lacks = is_edk2(bytes) && !(bytes.len() as u64).is_multiple_of(EDK2_UNIT);
    lacks.then(|| {
        format!(
            "'{}' has no variable store, so changes to variables are lost; add a copy of the \
             firmware's template with -drive if=pflash,unit=1,format=raw,file=…",
            path.display()
        )
    })
}

/// Whether this is EDK2's firmware for a virtual PC.
pub(super) fn is_edk2(bytes: &[u8]) -> bool {
    let at = bytes.len().checked_sub(EDK2_FOOTER_FROM_END);
    at.and_then(|at| bytes.get(at..at + EDK2_FOOTER.len())) == Some(&EDK2_FOOTER)
}

/// The size in bytes of the variable store with which an image begins.
fn store_size(bytes: &[u8]) -> Option<u64> {
    let field = |at: usize, len: usize| bytes.get(at..at + len);
    let is_store = field(VOLUME_GUID, 16)? == VARIABLES && field(VOLUME_SIGNATURE, 4)? == b"_FVH";
    let length = field(VOLUME_LENGTH, 8)?.try_into().map(u64::from_le_bytes).ok()?;
    is_store.then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    /// Code with EDK2's footer and a reset vector.
    fn code(size: usize) -> Vec<u8> {
        let mut bytes = vec![0x90; size];
        bytes[size - EDK2_FOOTER_FROM_END..][..16].copy_from_slice(&EDK2_FOOTER);
        bytes[size - 1] = 0;
        bytes
    }

    /// A file of `size` bytes that begins with an empty store of `length` bytes.
    fn store(size: usize, length: u64) -> Vec<u8> {
        let mut bytes = vec![0xff; size];
        bytes[..16].fill(0);
        bytes[VOLUME_GUID..][..16].copy_from_slice(&VARIABLES);
        bytes[VOLUME_LENGTH..][..8].copy_from_slice(&length.to_le_bytes());
        bytes[VOLUME_SIGNATURE..][..4].copy_from_slice(b"_FVH");
        bytes
    }

    fn checked(code: &[u8], variables: Option<&[u8]>) -> Result<Vec<String>, String> {
        let image = |name, bytes| FlashImage { path: Path::new(name), bytes, is_read_only: false };
        let variables = variables.map(|bytes| image("vars.fd", bytes));
        let result = check(&image("code.fd", code), variables.as_ref());
        result.map(|(_, warnings)| warnings).map_err(|error| {
            assert!(!error.hint().is_empty());
            error.to_string()
        })
    }

    #[test]
    fn code_and_variables_of_one_build_are_a_pair() {
        for (code_kib, store_kib) in [(1920, 128), (3568, 528)] {
            let variables = store(store_kib * KIB, (store_kib * KIB) as u64);
            assert_eq!(checked(&code(code_kib * KIB), Some(&variables)), Ok(Vec::new()));
        }
    }

    #[test]
    fn other_firmware_and_other_data_may_have_any_size() {
        let mut plain = code(12 * KIB);
        plain[12 * KIB - EDK2_FOOTER_FROM_END] = 0;
        let variables = store(8 * KIB, 8 << 10);
        assert_eq!(checked(&plain, Some(&variables)), Ok(Vec::new()));
        assert_eq!(checked(&code(1920 * KIB), Some(&vec![0; 4 * KIB])), Ok(Vec::new()));
    }

    #[test]
    fn images_that_cannot_work_are_refused_by_name() {
        let small = store(128 * KIB, 128 << 10);
        let code_4m = code(3568 * KIB);
        let sizes = "'code.fd' (3653632 bytes) and 'vars.fd' (131072 bytes) do not belong together";
        for (code, variables, expected) in [
            (&code_4m, Some(&small), sizes),
            (&small, Some(&code_4m), "'code.fd', unit 0, is a variable store"),
            (&small, None, "'code.fd', unit 0, is a variable store"),
            (&code(5000), None, "'code.fd' has 5000 bytes, expected a multiple of 4096"),
            (&code_4m, Some(&Vec::new()), "'vars.fd' has 0 bytes, expected a multiple of 4096"),
            (&code_4m, Some(&vec![0; 13 << 20]), "have 17285120 bytes, expected 16777216 (16 MiB)"),
            (
                &code_4m,
                Some(&store(64 * KIB, 128 << 10)),
                "65536 bytes, but its variable store has 131072",
            ),
            (&vec![0xff; 8 * KIB], None, "'code.fd' has no reset vector"),
        ] {
            let message = checked(code, variables.map(Vec::as_slice)).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn variables_that_cannot_be_stored_are_worth_a_warning() {
        let warnings = checked(&code(1920 * KIB), None).unwrap();
        assert!(warnings[0].starts_with("'code.fd' has no variable store"), "{warnings:?}");
        let (code, variables) = (code(1920 * KIB), store(128 * KIB, 128 << 10));
        let image =
            |name, bytes, is_read_only| FlashImage { path: Path::new(name), bytes, is_read_only };
        let (_, warnings) =
            check(&image("code.fd", &code, true), Some(&image("vars.fd", &variables, true)))
                .unwrap();
        assert!(warnings[0].contains("because 'vars.fd' is read-only"), "{warnings:?}");
    }

    #[test]
    fn edk2_is_known_by_its_footer_and_its_variables_by_its_size() {
        let image = |bytes| BiosImage::from_bytes("code.fd".into(), bytes).unwrap();
        let code_only = image(code(1920 * KIB));
        assert!(code_only.is_edk2());
        let warning = code_only.lacks_variables().unwrap();
        assert!(warning.starts_with("'code.fd' has no variable store"), "{warning}");
        let whole = image(code(2048 * KIB));
        assert_eq!((whole.is_edk2(), whole.lacks_variables()), (true, None));
        let other = image(vec![0x90; 1920 * KIB]);
        assert_eq!((other.is_edk2(), other.lacks_variables()), (false, None));
    }

    #[test]
    fn code_may_begin_with_a_firmware_volume_of_another_kind() {
        let mut bytes = code(1920 * KIB);
        bytes[VOLUME_LENGTH..][..8].copy_from_slice(&((1920 * KIB) as u64).to_le_bytes());
        bytes[VOLUME_SIGNATURE..][..4].copy_from_slice(b"_FVH");
        assert_eq!(checked(&bytes, None).map(|warnings| warnings.len()), Ok(1));
    }

    #[test]
    fn both_images_may_have_16_mib() {
        assert_eq!(checked(&code(12 << 20), Some(&vec![0; 4 << 20])), Ok(Vec::new()));
    }
}
