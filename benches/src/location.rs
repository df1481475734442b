//! Fetching an installer: chukka against wget, and how little of an ISO it takes.

pub mod iso;
pub mod requests;
pub mod server;
pub mod tree;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;
use tree::Tree;

/// Who fetches, and what of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `wget -q` of the two files.
    Wget,
    /// The same, and their sums checked by `sha256sum -c`, as chukka does.
    WgetAndCheck,
    /// The same, and all of it written to the disk by sync(1): what chukka's cache promises.
    WgetCheckAndSync,
    /// `chukka fetch` of the tree, with an empty cache.
    Cold,
    /// The same once more.
    Warm,
}

impl Way {
    /// All of them, in an order in which the warm one follows the cold one.
    pub const ALL: [Self; 5] =
        [Self::Wget, Self::WgetAndCheck, Self::WgetCheckAndSync, Self::Cold, Self::Warm];

    /// What tables call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wget => "wget",
            Self::WgetAndCheck => "wget, sha256sum -c",
            Self::WgetCheckAndSync => "wget, sha256sum -c, sync",
            Self::Cold => "chukka, cold",
            Self::Warm => "chukka, warm",
        }
    }

    /// Runs it, in a new folder unless it is the warm one; how long it took from exec to exit.
    ///
    /// # Errors
    /// It fails, or the files are wrong.
    pub fn run(
        self,
        chukka: &Path,
        url: &str,
        tree: &Tree,
        folder: &Path,
    ) -> Result<Duration, Error> {
        let to = folder.join(if self == Self::Warm { Self::Cold.name() } else { self.name() });
        if self != Self::Warm {
            empty(&to)?;
        }
        settle(folder)?;
        let mut command = match self {
            Self::Cold | Self::Warm => fetch(chukka, &format!("{url}/"), &to),
            _ => self.wget(url, tree, &to),
        };
        let begun = Instant::now();
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        let took = begun.elapsed();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{command:?}: {}\n{said}", output.status).into());
        }
        let files = match self {
            Self::Cold | Self::Warm => fetched(&String::from_utf8_lossy(&output.stdout))?,
            _ => Tree::FILES.map(|path| to.join(Path::new(path).file_name().unwrap_or_default())),
        };
        tree.check(&files)?;
        Ok(took)
    }

    fn wget(self, url: &str, tree: &Tree, to: &Path) -> Command {
        let script = match self {
            Self::WgetCheckAndSync => {
                r#"wget -q --no-proxy "$1" "$2" && sha256sum -c --status "$3" && sync linux initrd.gz ."#
            }
            Self::WgetAndCheck => r#"wget -q --no-proxy "$1" "$2" && sha256sum -c --status "$3""#,
            _ => r#"exec wget -q --no-proxy "$1" "$2""#,
        };
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(Tree::FILES.map(|path| format!("{url}/{path}")));
        command.arg(&tree.sums).current_dir(to).stdin(Stdio::null());
        command
    }
}

/// `chukka fetch` with a cache of its own.
#[must_use]
pub fn fetch(chukka: &Path, url: &str, cache: &Path) -> Command {
    let mut command = Command::new(chukka);
    command.args(["fetch", url]).env("XDG_CACHE_HOME", cache).stdin(Stdio::null());
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    command
}

/// The kernel and the initrd that `chukka fetch` prints.
///
/// # Errors
/// It printed something else.
pub fn fetched(output: &str) -> Result<[PathBuf; 2], Error> {
    let path = |name: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(PathBuf::from).ok_or_else(|| format!("chukka fetch printed no {name}: {output}"))
    };
    Ok([path("kernel")?, path("initrd")?])
}

/// An empty folder by this name.
///
/// # Errors
/// It cannot be made.
pub fn empty(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(folder),
    }
}

/// Has the file system write what it still has to: nobody waits for what another one wrote.
fn settle(folder: &Path) -> Result<(), Error> {
    let done = Command::new("sync").arg("-f").arg(folder).status()?;
    if done.success() { Ok(()) } else { Err(format!("sync: {done}").into()) }
}

/// How many times as long one took as another, of pairs that were measured one after the other: the
/// quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratios {
    /// A quarter was less.
    pub lower: f64,
    /// Half were less.
    pub median: f64,
    /// A quarter was more.
    pub upper: f64,
}

impl Ratios {
    /// Of rounds; nothing if there are none.
    #[must_use]
    pub fn of(ours: &[Duration], theirs: &[Duration]) -> Option<Self> {
        let pairs = ours.iter().zip(theirs);
        let mut all: Vec<_> = pairs.map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
        all.sort_unstable_by(f64::total_cmp);
        let at = |quarter: usize| all.get((all.len().checked_sub(1)? * quarter + 2) / 4).copied();
        Some(Self { lower: at(1)?, median: at(2)?, upper: at(3)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_the_rounds() {
        let times =
            |all: &[u64]| all.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
        let ratios = Ratios::of(&times(&[10, 40, 30, 90, 50]), &times(&[10, 20, 10, 10, 10]));
        assert_eq!(ratios, Some(Ratios { lower: 2.0, median: 3.0, upper: 5.0 }));
        assert_eq!(Ratios::of(&[], &[]), None);
    }

    #[test]
    fn what_chukka_fetch_prints_has_two_paths() {
        let found = fetched("kernel /a b\ninitrd /c\nargs kernel x\n").unwrap();
        assert_eq!(found, [PathBuf::from("/a b"), PathBuf::from("/c")]);
        assert!(fetched("kernel /a\nargs\n").is_err());
    }
}
