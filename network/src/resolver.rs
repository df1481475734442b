//! This host's DNS servers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::config::Resolver;

/// How often the file is looked at for a change.
const INTERVAL: Duration = Duration::from_secs(1);
/// As many name servers as resolv.conf(5) takes.
const SERVERS: usize = 3;
/// Bytes of the file that are read.
const LONGEST: usize = 64 << 10;

/// Where DNS queries go.
#[derive(Debug)]
pub(crate) struct Servers {
    source: Resolver,
    found: Vec<SocketAddr>,
    modified: Option<SystemTime>,
    read: Option<Instant>,
    /// Number of times that a server has not answered: it is the next one's turn.
    failures: usize,
}

impl Servers {
    pub fn new(source: Resolver) -> Self {
        Self { source, found: Vec::new(), modified: None, read: None, failures: 0 }
    }

    /// The server has not answered: the next one is asked from now on.
    pub fn failed(&mut self) {
        self.failures = self.failures.wrapping_add(1);
    }

    /// The server to ask: the first one, and the others in turn after [`Self::failed`].
    pub fn server(&mut self, now: Instant) -> SocketAddr {
        let path = match &self.source {
            Resolver::Server(server) => return *server,
            Resolver::File(path) => path,
        };
        if self.read.is_none_or(|read| now.saturating_duration_since(read) >= INTERVAL) {
            let modified = std::fs::metadata(path).and_then(|about| about.modified()).ok();
            if self.read.is_none() || modified != self.modified {
                self.found = read(path);
                self.modified = modified;
            }
            self.read = Some(now);
        }
        // Without a server, resolv.conf(5) says, it is the one on this host.
        let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53);
        self.found.get(self.failures % self.found.len().max(1)).copied().unwrap_or(local)
    }
}

fn read(path: &Path) -> Vec<SocketAddr> {
    use std::io::Read;
    let mut text = Vec::new();
    let limit = u64::try_from(LONGEST).unwrap_or(0);
    if let Ok(file) = std::fs::File::open(path) {
        // What cannot be read counts as empty.
        drop(file.take(limit).read_to_end(&mut text));
    }
    parse(&String::from_utf8_lossy(&text))
}

/// The name servers of a resolv.conf(5).
fn parse(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            if words.next() != Some("nameserver") {
                return None;
            }
            let address = words.next()?;
            // A link-local address has its interface behind a %, as a number or a name; std knows
            // the number.
            let address: SocketAddr = match address.parse::<IpAddr>() {
                Ok(address) => SocketAddr::new(address, 53),
                Err(_) => format!("[{address}]:53").parse().ok()?,
            };
            Some(address)
        })
        .take(SERVERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_of_both_families_are_found() {
        let text = "# nameserver 192.0.2.9\nsearch a.example\nnameserver 192.0.2.1\n\
                    nameserver\t2001:db8::1 # second\nnameserver nonsense\nnameserver fe80::1%2\nnameserver 192.0.2.4\n";
        let found: Vec<String> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%2]:53"]);
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        let mut servers = Servers::new(Resolver::File(path.clone()));
        let now = Instant::now();
        assert_eq!(servers.server(now).to_string(), "127.0.0.1:53");
        std::fs::write(&path, "nameserver 192.0.2.1\nnameserver 192.0.2.2\n").unwrap();
        assert_eq!(servers.server(now).to_string(), "127.0.0.1:53");
        let later = now + INTERVAL;
        assert_eq!(servers.server(later).to_string(), "192.0.2.1:53");
        servers.failed();
        assert_eq!(servers.server(later).to_string(), "192.0.2.2:53");
        servers.failed();
        assert_eq!(servers.server(later).to_string(), "192.0.2.1:53");
    }
}
