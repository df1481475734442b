//! Our own programs, fresh from cargo: a test never runs a stale one.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{Doing, Error, Result, assets};

/// The `chukka` to test: `CHUKKA_BIN`, or else the release build of this workspace.
///
/// # Errors
/// Where it does not build, or `CHUKKA_BIN` names no file.
pub fn chukka() -> Result<PathBuf> {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    named("CHUKKA_BIN").unwrap_or_else(|| once(&PATH, "chukka", "chukka"))
}

/// The first process of the outer machine: `CHUKKA_LAB_AGENT`, or else the release build of this workspace.
///
/// # Errors
/// Where it does not build, or `CHUKKA_LAB_AGENT` names no file.
pub fn lab_agent() -> Result<PathBuf> {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    named("CHUKKA_LAB_AGENT").unwrap_or_else(|| once(&PATH, env!("CARGO_PKG_NAME"), "lab-agent"))
}

/// The program that an environment variable names.
fn named(variable: &str) -> Option<Result<PathBuf>> {
    let path = PathBuf::from(env::var_os(variable)?);
    let absolute = std::path::absolute(&path).ok().filter(|path| path.is_file());
    let none = || Error::Other(format!("{variable}={}: there is no such file", path.display()));
    Some(absolute.ok_or_else(none))
}

fn once(path: &OnceLock<PathBuf>, package: &str, program: &str) -> Result<PathBuf> {
    if let Some(path) = path.get() {
        return Ok(path.clone());
    }
    let built = build(package, program)?;
    Ok(path.get_or_init(|| built).clone())
}

/// Builds a program as released and asks cargo where it is.
fn build(package: &str, program: &str) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--message-format=json-render-diagnostics"])
        .args(["--package", package, "--bin", program])
        .current_dir(assets::workspace())
        .stdin(Stdio::null())
        .output()
        .doing("Starting cargo")?;
    if !output.status.success() {
        return Err(Error::Tool {
            tool: format!("cargo build --release --package {package} --bin {program}"),
            status: output.status.to_string(),
            tail: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    executable(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| Error::Message(format!("cargo named no executable for {program}")))
}

/// The executable in cargo's messages, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_executable_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/x/target/release/chukka"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/x/target/release/chukka")));
        assert_eq!(executable("no json"), None);
    }
}
