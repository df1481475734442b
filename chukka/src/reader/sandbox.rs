//! What the process that reads may do, by its job.

use std::env;
use std::path::PathBuf;

use location::Place;
use location::fetch::Keep;
use location::fetch::cache::{self, Cache};
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
        let directory = match &job.fetch.cache {
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
                    job.fetch.cache = Keep::No;
                }
            }
        }
    }
    let longest_file = job.fetch.limit.max(LONGEST_FILE);
    ReaderSandbox { read, write, servers, longest_file, user: job.user() }.enter()?;
    Ok(warning)
}
