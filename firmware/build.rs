//! Assembles our ROMs: each option ROM, such as `src/roms/option_rom/linux.S`, becomes
//! `$OUT_DIR/linux.bin`, padded and checksummed; the built-in firmware, `src/roms/builtin/rom.S`,
//! becomes `$OUT_DIR/builtin.bin` unchanged.
//!
//! Uses the GNU assembler and linker, like a kernel build; `AS` and `LD` select others (such as
//! x86_64-linux-gnu-as on another architecture).

mod binutils;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use binutils::run;

/// The option ROMs' sources without their extension, and their folder, relative to the crate. Their
/// code is position-independent.
const OPTION_ROMS: [&str; 3] = ["linux", "multiboot", "pvh"];
const OPTION_ROM_FOLDER: &str = "src/roms/option_rom";
/// The built-in firmware's source, the directory of its include files, and its start address: it is
/// one page, which ends at 4 GiB.
const BUILTIN: &str = "src/roms/builtin/rom.S";
const BUILTIN_FOLDER: &str = "src/roms/builtin";
const BUILTIN_ADDRESS: u32 = 0xffff_f000;
/// Unit of an option ROM's length, in bytes.
const BLOCK: usize = 512;
/// Offsets of the fields filled in here: the length in blocks, the checksum of the image.
const LENGTH: usize = 0x02;
const CHECKSUM: usize = 0x06;
/// The Plug and Play header: its byte range, and the offset of its checksum within.
const PNP: std::ops::Range<usize> = 0x1c..0x3c;
const PNP_CHECKSUM: usize = 0x1c + 0x09;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={OPTION_ROM_FOLDER}");
    println!("cargo::rerun-if-changed={BUILTIN_FOLDER}");
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error=Cannot build the ROMs: {message}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for name in OPTION_ROMS {
        let source = format!("{OPTION_ROM_FOLDER}/{name}.S");
        let image = assemble(&out, &source, OPTION_ROM_FOLDER, 0)?;
        let image = finish(image).map_err(|error| format!("{source}: {error}"))?;
        write(&out.join(format!("{name}.bin")), &image)?;
    }
    let image = assemble(&out, BUILTIN, BUILTIN_FOLDER, BUILTIN_ADDRESS)?;
    write(&out.join("builtin.bin"), &image)
}

/// Assembles a source file, with its include files in `folder`, and links it for `address`.
fn assemble(out: &Path, source: &str, folder: &str, address: u32) -> Result<Vec<u8>, String> {
    let name = Path::new(source).file_stem().unwrap_or_default();
    let (object, raw) = (out.join(name).with_extension("o"), out.join(name).with_extension("raw"));
    run("AS", "as", &["--32", "-I", folder, "-o"], &[&object, Path::new(source)])?;
    let text = format!("-Ttext={address:#x}");
    let flat = ["-m", "elf_i386", "--oformat", "binary", &text, "-e", "0", "-o"];
    run("LD", "ld", &flat, &[&raw, &object])?;
    fs::read(&raw).map_err(|error| format!("{}: {error}", raw.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Pads the option ROM to whole blocks, and fills in its length and checksums.
fn finish(mut image: Vec<u8>) -> Result<Vec<u8>, String> {
    if !image.starts_with(&[0x55, 0xaa]) || image.len() < PNP.end {
        return Err("it does not begin with its headers".into());
    }
    image.resize(image.len().next_multiple_of(BLOCK), 0);
    image[LENGTH] = u8::try_from(image.len() / BLOCK).map_err(|_| "it is longer than 127.5 KiB")?;
    image[PNP_CHECKSUM] = complement(&image[PNP]);
    image[CHECKSUM] = complement(&image);
    Ok(image)
}

/// The byte that makes the sum of `bytes` 0.
fn complement(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}
