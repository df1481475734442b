//! Assembles the guests of `bench-guest` and `bench-disk`: `src/guest/image.S` becomes
//! `$OUT_DIR/guest.rom`, `src/disk/image.S` becomes `$OUT_DIR/disk.rom`. Each has 64 KiB that begin
//! at 0xf0000.
//!
//! The GNU assembler and linker do it, as they do for our ROMs (firmware/build.rs); `AS` and `LD`
//! name others.

#[path = "../firmware/binutils.rs"]
mod binutils;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use binutils::run;

/// The guests: each has its source in `src/NAME`.
const NAMES: [&str; 2] = ["guest", "disk"];
/// Where an image's first byte is linked.
const ADDRESS: u32 = 0xf_0000;
/// An image's size in bytes.
const SIZE: u64 = 64 << 10;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    for name in NAMES {
        if let Err(message) = build(name) {
            println!("cargo::error=Cannot build the guest of bench-{name}: {message}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn build(name: &str) -> Result<(), String> {
    let source = format!("src/{name}/image.S");
    println!("cargo::rerun-if-changed={source}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let (object, image) = (out.join(format!("{name}.o")), out.join(format!("{name}.rom")));
    run("AS", "as", &["--64", "--fatal-warnings", "-o"], &[&object, Path::new(&source)])?;
    let text = format!("-Ttext={ADDRESS:#x}");
    let flat = ["-m", "elf_x86_64", "--oformat", "binary", &text, "-e", "0", "-o"];
    run("LD", "ld", &flat, &[&image, &object])?;
    match fs::metadata(&image).map(|about| about.len()) {
        Ok(SIZE) => Ok(()),
        other => Err(format!("{} has {other:?} bytes, not {SIZE}", image.display())),
    }
}
