//! The GNU assembler and linker, for the build scripts of this crate and of `benches`.

use std::env;
use std::path::Path;
use std::process::Command;

/// Runs a binutils program: the one given by the environment variable `variable`, or `default`.
/// `files` come after `flags`.
pub fn run(variable: &str, default: &str, flags: &[&str], files: &[&Path]) -> Result<(), String> {
    println!("cargo::rerun-if-env-changed={variable}");
    let tool = env::var(variable).unwrap_or_else(|_| default.into());
    let output = Command::new(&tool).args(flags).args(files).output().map_err(|error| {
        format!(
            "'{tool}': {error}. hint: install GNU binutils (Debian: apt install binutils), or name its tool in {variable}"
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(format!(
        "'{tool}' ended with {}: {said}. hint: use GNU binutils for x86; set {variable} to another tool",
        output.status
    ))
}
