//! A network for a guest, made of this host's ordinary sockets: what QEMU calls `-netdev user`. No
//! root, no daemon, no interface of the host.
//!
//! | what | module |
//! |---|---|
//! | the network: frames in, frames out, events, time | [`UserNetwork`] |
//! | what it is like | [`Config`] |
//! | frames and offloads | [`Frame`], [`Offloads`] |
//! | frames and IP packets for the guest; their bounded queue | `link`, `outbox` |
//! | IP packets of the guest, and their fragments | `packet`, `fragments` |
//! | which address of the world a guest's address is | `addresses`, `resolver` |
//! | ARP; ICMP; DHCP; the same for IPv6 | `arp`; `icmp`; `dhcp`; `ndp` |
//! | TFTP | `tftp` |
//! | echo requests to the outside | `echo` |
//! | ports of this host that lead to the guest | `forward` |
//! | UDP; TCP | `udp`; `tcp` |
//! | a server of this process, at an address of the network | [`Service`] |
//! | this host's sockets and their events | `sockets` |
//!
//! Nothing that a guest sends panics, waits, or makes anything grow without a limit;
//! docs/decisions/ says why TCP is our own.
#![forbid(unsafe_code)]

mod addresses;
mod arp;
mod checksum;
mod config;
mod dhcp;
mod echo;
mod error_queue;
mod forward;
mod fragments;
mod frame;
mod icmp;
mod link;
mod ndp;
mod network;
mod outbox;
mod packet;
mod resolver;
mod service;
mod sockets;
mod tcp;
mod tftp;
mod udp;

pub use config::{
    BootConfig, Config, ConfigError, Forward, Ipv4Config, Ipv6Config, Protocol, Resolver,
};
pub use error_queue::{ErrorQueue, TakeError};
pub use frame::{Checksum, Frame, MAX_FRAME, Offload, Offloads};
pub use network::{Counters, NetworkError, UserNetwork};
pub use service::Service;
