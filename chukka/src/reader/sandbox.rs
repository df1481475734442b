//! What the process that reads may do, by its job.

use std::env;
use std::path::{Path, PathBuf};

use location::Place;
use location::fetch::cache::{self, Cache};
use location::fetch::{Keep, Settings};
use vmm::error::HostError;
use vmm::sandbox::ReaderSandbox;

use crate::confinement::NAME_SERVICE;
use crate::resolve::Job;

/// Where certificates of authorities are, by distribution; the C library and TLS read them.
const CERTIFICATES: [&str; 6] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/var/lib/ca-certificates",
];
/// An image on a server without random access is fetched as a whole: the largest have 16 GB.
const LONGEST_FILE: u64 = 32 << 30;

/// Confines this process to what `job` needs. Returns a warning if the cache cannot be used: `job`
/// does without it then.
///
/// # Errors
/// The kernel refuses.
pub(super) fn enter(job: &mut Job) -> Result<Option<String>, HostError> {
    let places: Vec<_> = job.places().collect();
    let (sandbox, warning) = of(places, &mut job.fetch);
    sandbox.enter()?;
    Ok(warning)
}

/// Confines this program, which reads `places` and writes files or to directories, whether these
/// exist or not. Returns a warning if the cache cannot be used: `fetch` is without it then.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn enter_in_place(
    places: Vec<Place>,
    written: &[&Path],
    fetch: &mut Settings,
) -> Result<Option<String>, HostError> {
    let (mut sandbox, warning) = of(places, fetch);
    let exists = |path: &&Path| path.as_os_str().is_empty() || path.exists();
    let existing = written.iter().filter_map(|path| path.ancestors().find(exists));
    sandbox.write.extend(existing.map(|path| match path.as_os_str().is_empty() {
        true => ".".into(),
        false => path.into(),
    }));
    sandbox.enter_in_place()?;
    Ok(warning)
}

fn of(places: Vec<Place>, fetch: &mut Settings) -> (ReaderSandbox, Option<String>) {
    // Copies of the user's network settings and of the processor's use.
    let mut read: Vec<PathBuf> = vec!["/proc/self".into()];
    let mut write = Vec::new();
    let mut warning = None;
    let servers = places.iter().any(Place::is_remote);
    read.extend(places.into_iter().filter_map(|place| match place {
        Place::Local(path) => Some(path),
        _ => None,
    }));
    if servers {
        read.push("/proc/sys/kernel/random/boot_id".into());
        read.extend(NAME_SERVICE.iter().chain(&CERTIFICATES).map(PathBuf::from));
        read.extend(
            ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().filter_map(env::var_os).map(Into::into),
        );
        let directory = match &fetch.cache {
            Keep::No => None,
            Keep::In(directory) => Some(directory.clone()),
            Keep::Usual => cache::directory(),
        };
        if let Some(directory) = directory {
            // It may have to be made, which is not possible in the sandbox.
            match Cache::open(directory.clone()) {
                Ok(_) => write.push(directory),
                Err(error) => {
                    warning = Some(format!("warning: running without a cache: {error}"));
                    fetch.cache = Keep::No;
                }
            }
        }
    }
    let longest_file = fetch.limit.max(LONGEST_FILE);
    (ReaderSandbox { read, write, servers, longest_file }, warning)
}
