//! The networks that the guest's cards are connected to.

mod dump;
mod stream;
mod tap;
mod user;
mod wire;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use network::Service;
use thiserror::Error;
use vmm::host::listener::SocketChecks;
use vmm::machine::cards::{self, CardBackend};

use crate::request::{CardConfig, NetworkConfig, StreamAddress, StreamConfig, TapConfig};

/// Why a network cannot be set up.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The user network.
    #[error(transparent)]
    User(#[from] network::NetworkError),
    /// A tap interface.
    #[error("Cannot use the {tap}")]
    Tap {
        /// Which one.
        tap: TapConfig,
        /// The cause.
        source: io::Error,
    },
    /// A connection to another program.
    #[error("Cannot {} {}", if stream.is_server { "listen on" } else { "connect to" }, stream.address)]
    Stream {
        /// Which one.
        stream: StreamConfig,
        /// The cause.
        source: io::Error,
    },
    /// The recording of a card's frames.
    #[error("Cannot create '{}' for the recording of frames", path.display())]
    Dump {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl fmt::Display for TapConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "tap interface {name}"),
            Self::Descriptor(fd) => write!(f, "tap interface of descriptor {fd}"),
        }
    }
}

impl fmt::Display for StreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "'{}'", path.display()),
            Self::Inet(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

impl NetworkError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::User(error) => user_hint(error).map(str::to_owned),
            Self::Tap { tap, source } => Some(tap_hint(tap, source)),
            Self::Stream { stream, .. } if stream.is_server => {
                Some("check the address: another program may have it".into())
            }
            Self::Stream { .. } => Some(
                "start the other program first (passt says which socket it has), or use server=on"
                    .into(),
            ),
            Self::Dump { .. } => Some("check that its directory exists and is writable".into()),
        }
    }
}

fn user_hint(error: &network::NetworkError) -> Option<&'static str> {
    Some(match error {
        network::NetworkError::Listen(_, source) => match source.kind() {
            io::ErrorKind::AddrInUse => {
                "another program has this port: use another HOSTPORT in hostfwd"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need privileges: use a HOSTPORT from 1024 on in hostfwd"
            }
            _ => "use an address of this host in hostfwd, such as 127.0.0.1",
        },
        network::NetworkError::Tftp(..) => "give tftp= a directory that you may read",
        network::NetworkError::Config(_) | network::NetworkError::Sockets(_) => return None,
    })
}

fn tap_hint(tap: &TapConfig, source: &io::Error) -> String {
    match (tap, source.kind()) {
        (TapConfig::Descriptor(_), _) => {
            "the parent process must open it as a tap interface with IFF_VNET_HDR and IFF_NO_PI"
                .into()
        }
        (_, io::ErrorKind::NotFound) => "load the host's module: modprobe tun".into(),
        (TapConfig::Name(_), io::ErrorKind::ResourceBusy) => {
            "another program has it open: give each guest an interface of its own".into()
        }
        (TapConfig::Name(name), _) => format!(
            "make one that is yours: sudo ip tuntap add dev {name} mode tap user $USER && \
             sudo ip link set {name} up"
        ),
    }
}

/// Sets the networks up. `service` answers on the user network that has an address for it.
///
/// # Errors
/// One cannot be set up.
pub fn open(
    configs: &[CardConfig],
    service: Option<&Arc<dyn Service>>,
) -> Result<Vec<cards::CardConfig>, NetworkError> {
    configs.iter().map(|config| card(config, service)).collect()
}

/// Checks that the sockets and recordings of networks can be opened. Creates nothing and connects to
/// nobody.
///
/// # Errors
/// As of [`open`].
pub fn check_outputs(
    configs: &[CardConfig],
    sockets: &mut SocketChecks,
) -> Result<(), NetworkError> {
    for config in configs {
        if let NetworkConfig::Stream(stream) = &config.network {
            stream::check(stream, sockets)?;
        }
        if let Some(dump) = &config.dump {
            dump::check(dump)?;
        }
    }
    Ok(())
}

/// Checks that the networks can be set up: [`check_outputs`], and what leaves no trace is set up.
///
/// # Errors
/// As of [`open`].
pub fn check(
    configs: &[CardConfig],
    service: Option<&Arc<dyn Service>>,
) -> Result<(), NetworkError> {
    check_outputs(configs, &mut SocketChecks::default())?;
    let networks = configs.iter().map(|config| &config.network);
    let traceless = networks.filter(|network| !matches!(network, NetworkConfig::Stream(_)));
    // All of them are open at once, as in a run.
    traceless.map(|network| backend(network, service)).collect::<Result<Vec<_>, _>>().map(drop)
}

fn backend(
    config: &NetworkConfig,
    service: Option<&Arc<dyn Service>>,
) -> Result<Arc<dyn CardBackend>, NetworkError> {
    Ok(match config {
        NetworkConfig::User(user) => Arc::new(user::User::new(user, service)?),
        NetworkConfig::Tap(tap) => Arc::new(tap::Tap::new(tap)?),
        NetworkConfig::Stream(stream) => Arc::new(stream::Stream::new(stream)?),
    })
}

fn card(
    config: &CardConfig,
    service: Option<&Arc<dyn Service>>,
) -> Result<cards::CardConfig, NetworkError> {
    let mut backend = backend(&config.network, service)?;
    if let Some(dump) = &config.dump {
        backend = Arc::new(dump::Dump::new(backend, dump)?);
    }
    Ok(cards::CardConfig { backend, mac: config.mac, mtu: None, withheld: config.withheld })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::BootRom;
    use guest_memory::hint::Hint;

    /// Message, with causes, and hint of a network that cannot be set up.
    fn refusal(network: NetworkConfig) -> (String, Option<String>) {
        let error = card(
            &CardConfig {
                mac: [2; 6],
                network,
                withheld: 0,
                dump: None,
                boot_index: None,
                boot_rom: BootRom::None,
            },
            None,
        )
        .unwrap_err();
        let error = crate::error::RunError::from(error);
        (crate::report::with_sources(&error), error.hint().map(Into::into))
    }

    #[test]
    fn what_is_not_there_is_named() {
        let (text, hint) = refusal(NetworkConfig::Tap(TapConfig::Name("chukka-no-tap".into())));
        assert!(
            text.starts_with("Cannot use the tap interface chukka-no-tap: No such device"),
            "{text}"
        );
        assert!(hint.unwrap().contains("ip tuntap add dev chukka-no-tap mode tap user $USER"));
        let (text, hint) = refusal(NetworkConfig::Tap(TapConfig::Descriptor(9999)));
        assert!(
            text.starts_with("Cannot use the tap interface of descriptor 9999: Bad file"),
            "{text}"
        );
        assert!(hint.unwrap().contains("IFF_VNET_HDR"));
        let address = StreamAddress::Unix("/nonexistent/socket".into());
        let stream = StreamConfig { is_server: false, address };
        let (text, hint) = refusal(NetworkConfig::Stream(stream));
        assert!(
            text.starts_with("Cannot connect to '/nonexistent/socket': No such file"),
            "{text}"
        );
        assert!(hint.unwrap().starts_with("start the other program first"));
    }

    #[test]
    fn a_forwarded_port_that_is_taken_is_refused() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = taken.local_addr().unwrap();
        let guest = "10.0.2.15:80".parse().unwrap();
        let forward = network::Forward { protocol: network::Protocol::Tcp, host, guest };
        let config = network::Config { forwards: vec![forward], ..network::Config::default() };
        let (text, hint) = refusal(NetworkConfig::User(Box::new(config)));
        assert!(text.starts_with(&format!("Cannot listen on {host} to forward it")), "{text}");
        assert!(hint.unwrap().starts_with("another program has this port"));
    }
}
