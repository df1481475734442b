//! Assembles the guest of `bench-guest`: `src/guest/image.S` becomes `$OUT_DIR/guest.rom`, 64 KiB
//! that begin at 0xf0000.
//!
//! The GNU assembler and linker do it, as they do for our ROMs (firmware/build.rs); `AS` and `LD`
//! name others.

#[path = "../firmware/binutils.rs"]
mod binutils;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use binutils::run;

/// The source, relative to the crate, and where its first byte is linked.
const SOURCE: &str = "src/guest/image.S";
const ADDRESS: u32 = 0xf_0000;
/// The image's size in bytes.
const SIZE: u64 = 64 << 10;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCE}");
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error=Cannot build the guest of bench-guest: {message}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let (object, image) = (out.join("guest.o"), out.join("guest.rom"));
    run("AS", "as", &["--64", "--fatal-warnings", "-o"], &[&object, Path::new(SOURCE)])?;
    let text = format!("-Ttext={ADDRESS:#x}");
    let flat = ["-m", "elf_x86_64", "--oformat", "binary", &text, "-e", "0", "-o"];
    run("LD", "ld", &flat, &[&image, &object])?;
    match fs::metadata(&image).map(|about| about.len()) {
        Ok(SIZE) => Ok(()),
        other => Err(format!("{} has {other:?} bytes, not {SIZE}", image.display())),
    }
}
