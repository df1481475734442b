//! Our own programs, fresh from cargo: a test never runs a stale one.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{Doing, Error, Result, assets};

/// The `chukka` to test: `CHUKKA_BIN`, or else the release build of this workspace.
///
/// # Errors
/// It does not build, or `CHUKKA_BIN` is not a file.
pub fn chukka() -> Result<PathBuf> {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    named("CHUKKA_BIN").unwrap_or_else(|| once(&PATH, "chukka", "chukka"))
}

/// The first process of the outer machine: `CHUKKA_LAB_AGENT`, or else the release build of this
/// workspace.
///
/// # Errors
/// It does not build, or `CHUKKA_LAB_AGENT` is not a file.
pub fn lab_agent() -> Result<PathBuf> {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    named("CHUKKA_LAB_AGENT").unwrap_or_else(|| once(&PATH, env!("CARGO_PKG_NAME"), "lab-agent"))
}

/// The program that an environment variable names.
fn named(variable: &str) -> Option<Result<PathBuf>> {
    let path = PathBuf::from(env::var_os(variable)?);
    let absolute = std::path::absolute(&path).ok().filter(|path| path.is_file());
    let none = || Error::Other(format!("{variable}={}: no such file", path.display()));
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
    let mut command = Command::new(cargo);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_cargos_own)) {
        command.env_remove(name);
    }
    let output = command
        .args(["build", "--release", "--message-format=json-render-diagnostics"])
        // All of these each time, as in the Makefile: cargo then resolves the same features, and
        // finds everything built.
        .args(["--package", "chukka", "--package", env!("CARGO_PKG_NAME")])
        .args(["--bin", "chukka", "--bin", "lab-agent"])
        .current_dir(assets::workspace())
        .stdin(Stdio::null())
        // A build takes minutes: cargo shows its progress.
        .stderr(Stdio::inherit())
        .output()
        .doing("Starting cargo")?;
    if !output.status.success() {
        return Err(Error::Tool {
            tool: format!("cargo build --release --package {package} --bin {program}"),
            status: output.status.to_string(),
            tail: "see cargo's messages above".into(),
        });
    }
    executable(&String::from_utf8_lossy(&output.stdout), program)
        .ok_or_else(|| Error::Message(format!("cargo named no executable for {program}")))
}

/// Whether cargo sets this variable for the programs it runs. Build scripts such as ring's depend
/// on some of them: inherited by a cargo inside cargo, they would make it build everything again.
fn is_cargos_own(name: &str) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    let names = ["CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR", "LD_LIBRARY_PATH"];
    // For the test programs alone, see tests/timed.sh.
    let ours = ["RUSTC_BOOTSTRAP"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
        || names.contains(&name)
        || ours.contains(&name)
}

/// The executable of this name in cargo's messages, one JSON object a line.
fn executable(messages: &str, program: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let path = PathBuf::from(message.get("executable")?.as_str()?);
        (path.file_name()? == program).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_executable_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/x/target/release/lab-agent"}
{"reason":"compiler-artifact","executable":"/x/target/release/chukka"}
{"reason":"build-finished","success":true}"#;
        let path = PathBuf::from("/x/target/release/chukka");
        assert_eq!(executable(messages, "chukka"), Some(path));
        assert_eq!(executable(messages, "demo"), None);
        assert_eq!(executable("no json", "chukka"), None);
    }

    #[test]
    fn what_the_user_sets_for_cargo_stays() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "OUT_DIR", "RUSTC_BOOTSTRAP"] {
            assert!(is_cargos_own(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "PATH"] {
            assert!(!is_cargos_own(name), "{name}");
        }
    }
}
