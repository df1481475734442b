//! The networks that the guest's cards are connected to.

mod user;

use std::sync::Arc;

use thiserror::Error;
use vmm::machine::cards::{self, CardBackend};

use crate::request::{CardConfig, NetworkConfig};

/// Why a network cannot be set up.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The user network.
    #[error(transparent)]
    User(#[from] network::NetworkError),
}

impl NetworkError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let Self::User(error) = self;
        let hint = match error {
            network::NetworkError::Listen(_, source) => match source.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "another program has this port: use another HOSTPORT in hostfwd"
                }
                std::io::ErrorKind::PermissionDenied => {
                    "ports below 1024 need privileges: use a HOSTPORT from 1024 on in hostfwd"
                }
                _ => "use an address of this host in hostfwd, such as 127.0.0.1",
            },
            network::NetworkError::Tftp(..) => "give tftp= a directory that you may read",
            network::NetworkError::Config(_) | network::NetworkError::Sockets(_) => return None,
        };
        Some(hint.into())
    }
}

/// Sets the networks up.
///
/// # Errors
/// One cannot be set up.
pub fn open(configs: &[CardConfig]) -> Result<Vec<cards::CardConfig>, NetworkError> {
    configs.iter().map(card).collect()
}

fn card(config: &CardConfig) -> Result<cards::CardConfig, NetworkError> {
    let backend: Arc<dyn CardBackend> = match &config.network {
        NetworkConfig::User(user) => Arc::new(user::User::new(user)?),
    };
    Ok(cards::CardConfig { backend, mac: config.mac, mtu: None })
}
