//! What a user network is like: QEMU's `-netdev user` options, checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use thiserror::Error;

/// What a user network is like. The default is QEMU's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `ipv4=off` is `None`.
    pub ipv4: Option<Ipv4Config>,
    /// `ipv6=off` is `None`.
    pub ipv6: Option<Ipv6Config>,
    /// `restrict=on`: the guest reaches neither this host nor anything beyond; what is forwarded to
    /// it still is.
    pub restrict: bool,
    /// What DHCP tells the guest.
    pub boot: BootConfig,
    /// `tftp=DIR`: the directory that the guest reads by TFTP.
    pub tftp: Option<PathBuf>,
    /// Ports of this host that lead to the guest.
    pub forwards: Vec<Forward>,
    /// Where the guest's DNS queries go.
    pub resolver: Resolver,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ipv4: Some(Ipv4Config::default()),
            ipv6: Some(Ipv6Config::default()),
            restrict: false,
            boot: BootConfig::default(),
            tftp: None,
            forwards: Vec::new(),
            resolver: Resolver::File(PathBuf::from("/etc/resolv.conf")),
        }
    }
}

/// What DHCP tells the guest besides addresses. Each field is absent from its answers if it is
/// empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootConfig {
    /// `hostname=`: the guest's name.
    pub hostname: Option<String>,
    /// `domainname=`: the guest's domain.
    pub domain_name: Option<String>,
    /// `dnssearch=`, once for each domain.
    pub search: Vec<String>,
    /// `bootfile=`: a path in the TFTP directory, or an URL.
    pub boot_file: Option<String>,
    /// `tftp-server-name=`: option 66. Without it, boot loaders use the gateway.
    pub tftp_server_name: Option<String>,
}

/// Where the guest's DNS queries go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// To the name servers of a file such as /etc/resolv.conf, read again whenever it changes.
    File(PathBuf),
    /// To this server.
    Server(SocketAddr),
}

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// `hostfwd=PROTOCOL:HOST-GUEST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where this host listens. Port 0: a free one ([`crate::UserNetwork::forwarded`] says which).
    pub host: SocketAddr,
    /// Where it leads to.
    pub guest: SocketAddr,
}

/// The IPv4 side of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Config {
    network: Ipv4Addr,
    prefix: u8,
    host: Ipv4Addr,
    dns: Ipv4Addr,
    first_lease: Ipv4Addr,
    /// The address of [`crate::Service`].
    service: Option<Ipv4Addr>,
}

impl Default for Ipv4Config {
    /// QEMU's: 10.0.2.0/24, host .2, DNS .3, guests from .15 on.
    fn default() -> Self {
        let at = |last| Ipv4Addr::new(10, 0, 2, last);
        let (host, dns, first_lease) = (at(2), at(3), at(15));
        Self { network: at(0), prefix: 24, host, dns, first_lease, service: None }
    }
}

/// Why a configuration is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The network is too small for gateway, DNS server and guest, or no network for guests at all.
    #[error(
        "The network {0}/{1} is not usable, expected a prefix length of 4 to 28 and no loopback or multicast address"
    )]
    Network(Ipv4Addr, u8),
    /// An address that must be in the network is not.
    #[error("{option}={address} is not an address of a host in {network}/{prefix}")]
    Outside {
        /// The option that gave it.
        option: &'static str,
        /// The address.
        address: Ipv4Addr,
        /// The network's address.
        network: Ipv4Addr,
        /// The network's prefix length in bits.
        prefix: u8,
    },
    /// Two of the addresses are the same.
    #[error("{first} and {second} are both {address}, expected different addresses")]
    Same {
        /// An option.
        first: &'static str,
        /// Another one.
        second: &'static str,
        /// Their address.
        address: Ipv4Addr,
    },
    /// The IPv6 prefix is not one for guests.
    #[error("{0}/64 is not usable, expected a unicast prefix such as fec0::")]
    Prefix(Ipv6Addr),
    /// A text does not fit into a DHCP option.
    #[error("{option}= has {length} bytes, expected 1 to {most}")]
    Length {
        /// The option that gave it.
        option: &'static str,
        /// Its length in bytes.
        length: usize,
        /// How long it may be.
        most: usize,
    },
    /// A domain of the search list is malformed.
    #[error("dnssearch={0:?} is not a domain: expected labels of 1 to 63 bytes, 255 in all")]
    Domain(String),
    /// A port is forwarded to an address that no guest has.
    #[error("A port is forwarded to {0}, which is not an address for a guest in this network")]
    ForwardTarget(SocketAddr),
}

impl Ipv4Config {
    /// A network with QEMU's defaults for what is `None`: host 2, DNS 3 and first guest 15 behind
    /// the network's address.
    ///
    /// # Errors
    /// The network is too small, or an address is outside of it or used twice.
    pub fn new(
        network: Ipv4Addr,
        prefix: u8,
        host: Option<Ipv4Addr>,
        dns: Option<Ipv4Addr>,
        first_lease: Option<Ipv4Addr>,
    ) -> Result<Self, ConfigError> {
        let unusable = network.is_loopback() || network.is_multicast() || network.octets()[0] == 0;
        if unusable || !(4..=28).contains(&prefix) {
            return Err(ConfigError::Network(network, prefix));
        }
        let network = Ipv4Addr::from_bits(network.to_bits() & mask(prefix));
        // With a /28, 15 would be the broadcast address.
        let lease = if prefix == 28 { 4 } else { 15 };
        let at = |last: u32| Ipv4Addr::from_bits(network.to_bits() | last);
        let this = Self {
            network,
            prefix,
            host: host.unwrap_or(at(2)),
            dns: dns.unwrap_or(at(3)),
            first_lease: first_lease.unwrap_or(at(lease)),
            service: None,
        };
        let named = [("host", this.host), ("dns", this.dns), ("dhcpstart", this.first_lease)];
        for (option, address) in named {
            if !this.contains(address) || address == network || address == this.broadcast() {
                return Err(ConfigError::Outside { option, address, network, prefix });
            }
        }
        for (first, second) in [(0, 1), (0, 2), (1, 2)] {
            let ((first, address), (second, other)) = (named[first], named[second]);
            if address == other {
                return Err(ConfigError::Same { first, second, address });
            }
        }
        Ok(this)
    }

    /// Whether `address` is in the network.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.network.to_bits()
    }

    /// The gateway, which is this host.
    #[must_use]
    pub fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// The DNS server.
    #[must_use]
    pub fn dns(&self) -> Ipv4Addr {
        self.dns
    }

    /// The address that DHCP gives to the first card.
    #[must_use]
    pub fn first_lease(&self) -> Ipv4Addr {
        self.first_lease
    }

    /// The address of the service, if one has been reserved.
    #[must_use]
    pub fn service(&self) -> Option<Ipv4Addr> {
        self.service
    }

    /// The first address from 4 on that nobody has: where QEMU has its SMB server.
    fn free_for_service(&self, taken: &[IpAddr]) -> Option<Ipv4Addr> {
        let last = self.broadcast().to_bits();
        // One of so many is free: 256 forwarded addresses are more than a guest has.
        let mut candidates =
            (4..260).map_while(|number| self.network.to_bits().checked_add(number));
        let is_free = |address: Ipv4Addr| {
            self.is_for_guests(address)
                && address != self.first_lease
                && !taken.contains(&address.into())
        };
        candidates.find(|bits| *bits < last && is_free(Ipv4Addr::from_bits(*bits))).map(Into::into)
    }

    pub(crate) fn mask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.prefix))
    }

    pub(crate) fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | !mask(self.prefix))
    }

    /// Whether a guest may have `address`.
    pub(crate) fn is_for_guests(&self, address: Ipv4Addr) -> bool {
        let ours = [self.network, self.broadcast(), self.host, self.dns];
        self.contains(address) && !ours.contains(&address) && self.service != Some(address)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

/// The IPv6 side of a network, a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Config {
    prefix: Ipv6Addr,
    has_service: bool,
}

impl Default for Ipv6Config {
    /// QEMU's: fec0::/64, host fec0::2, DNS fec0::3.
    fn default() -> Self {
        Self { prefix: Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), has_service: false }
    }
}

impl Ipv6Config {
    /// The link-local address of the gateway.
    pub(crate) const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

    /// The network with the first 64 bits of `prefix`.
    ///
    /// # Errors
    /// It is no prefix for guests.
    pub fn new(prefix: Ipv6Addr) -> Result<Self, ConfigError> {
        let prefix = Ipv6Addr::from_bits(prefix.to_bits() & !u128::from(u64::MAX));
        let special =
            prefix.is_multicast() || prefix.is_unicast_link_local() || prefix.to_bits() == 0;
        if special {
            Err(ConfigError::Prefix(prefix))
        } else {
            Ok(Self { prefix, has_service: false })
        }
    }

    /// The network's address.
    #[must_use]
    pub fn prefix(&self) -> Ipv6Addr {
        self.prefix
    }

    /// Whether `address` is in the network.
    #[must_use]
    pub fn contains(&self, address: Ipv6Addr) -> bool {
        address.to_bits() >> 64 == self.prefix.to_bits() >> 64
    }

    /// The gateway, which is this host.
    #[must_use]
    pub fn host(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.prefix.to_bits() | 2)
    }

    /// The DNS server.
    #[must_use]
    pub fn dns(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.prefix.to_bits() | 3)
    }

    /// The address of the service, if one has been reserved.
    #[must_use]
    pub fn service(&self) -> Option<Ipv6Addr> {
        self.has_service.then(|| Ipv6Addr::from_bits(self.prefix.to_bits() | 4))
    }

    pub(crate) fn is_for_guests(&self, address: Ipv6Addr) -> bool {
        self.contains(address)
            && address != self.prefix
            && address != self.host()
            && address != self.dns()
            && self.service() != Some(address)
    }
}

impl Config {
    /// Reserves an address for [`crate::UserNetwork::serve`], which no guest can have then: the
    /// first free one from 4 on (10.0.2.4), in IPv6 4 (fec0::4). Returns the IPv4 address if there
    /// is one. `None`: the network has no address left.
    pub fn reserve_service(&mut self) -> Option<IpAddr> {
        let taken: Vec<IpAddr> = self.forwards.iter().map(|forward| forward.guest.ip()).collect();
        if let Some(net) = &mut self.ipv4 {
            net.service = net.service.or_else(|| net.free_for_service(&taken));
        }
        if let Some(net) = &mut self.ipv6 {
            let address = Ipv6Addr::from_bits(net.prefix.to_bits() | 4);
            net.has_service = !taken.contains(&address.into());
        }
        let ipv4 = self.ipv4.and_then(|net| net.service()).map(IpAddr::from);
        ipv4.or_else(|| self.ipv6?.service().map(IpAddr::from))
    }

    /// Checks what the parts do not check themselves.
    ///
    /// # Errors
    /// A text is too long for DHCP, or a port is forwarded to an address that no guest has.
    pub fn check(&self) -> Result<(), ConfigError> {
        let texts = [
            ("hostname", &self.boot.hostname, 255),
            ("domainname", &self.boot.domain_name, 255),
            ("bootfile", &self.boot.boot_file, 127),
            ("tftp-server-name", &self.boot.tftp_server_name, 63),
        ];
        for (option, text, most) in texts {
            let Some(length) = text.as_ref().map(String::len) else { continue };
            if length == 0 || length > most {
                return Err(ConfigError::Length { option, length, most });
            }
        }
        for domain in &self.boot.search {
            let labels = domain.trim_end_matches('.').split('.');
            if domain.len() > 254
                || labels.into_iter().any(|label| label.is_empty() || label.len() > 63)
            {
                return Err(ConfigError::Domain(domain.clone()));
            }
        }
        for Forward { guest, .. } in &self.forwards {
            let possible = match guest.ip() {
                IpAddr::V4(address) => self.ipv4.is_some_and(|net| net.is_for_guests(address)),
                IpAddr::V6(address) => self.ipv6.is_some_and(|net| net.is_for_guests(address)),
            };
            if !possible || guest.port() == 0 {
                return Err(ConfigError::ForwardTarget(*guest));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn the_default_is_what_qemu_has() {
        let made = Ipv4Config::new(address("10.0.2.0"), 24, None, None, None).unwrap();
        assert_eq!(made, Ipv4Config::default());
        assert_eq!(made.mask(), address("255.255.255.0"));
        assert_eq!(made.broadcast(), address("10.0.2.255"));
        let v6 = Ipv6Config::default();
        assert_eq!(v6.host(), "fec0::2".parse::<Ipv6Addr>().unwrap());
        assert_eq!(v6.dns(), "fec0::3".parse::<Ipv6Addr>().unwrap());
    }

    #[test]
    fn addresses_outside_of_the_network_are_refused() {
        let net = address("192.168.7.1");
        let error = Ipv4Config::new(net, 24, Some(address("10.0.2.2")), None, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "host=10.0.2.2 is not an address of a host in 192.168.7.0/24"
        );
        let dns = Some(address("192.168.7.255"));
        assert!(matches!(
            Ipv4Config::new(net, 24, None, dns, None),
            Err(ConfigError::Outside { option: "dns", .. })
        ));
        let same = Some(address("192.168.7.2"));
        assert!(matches!(
            Ipv4Config::new(net, 24, None, same, None),
            Err(ConfigError::Same { first: "host", second: "dns", .. })
        ));
    }

    #[test]
    fn networks_that_are_none_for_guests_are_refused() {
        for (network, prefix) in
            [("127.0.0.0", 8), ("224.0.0.0", 8), ("0.0.0.0", 8), ("10.0.0.0", 31)]
        {
            let made = Ipv4Config::new(address(network), prefix, None, None, None);
            assert!(matches!(made, Err(ConfigError::Network(..))), "{network}/{prefix}");
        }
        assert!(Ipv4Config::new(address("10.1.1.0"), 28, None, None, None).is_ok());
        for prefix in ["ff02::1", "fe80::", "::1"] {
            assert!(Ipv6Config::new(prefix.parse().unwrap()).is_err(), "{prefix}");
        }
    }

    #[test]
    fn ports_are_forwarded_to_guests_only() {
        for (guest, good) in [
            ("10.0.2.15:80", true),
            ("10.0.2.99:80", true),
            ("[fec0::15]:80", true),
            ("10.0.2.2:80", false),
            ("10.0.3.15:80", false),
            ("10.0.2.15:0", false),
            ("[2001:db8::1]:80", false),
        ] {
            let forward = Forward {
                protocol: Protocol::Tcp,
                host: "127.0.0.1:0".parse().unwrap(),
                guest: guest.parse().unwrap(),
            };
            let config = Config { forwards: vec![forward], ..Config::default() };
            assert_eq!(config.check().is_ok(), good, "{guest}");
        }
    }

    #[test]
    fn the_service_has_an_address_that_nobody_else_has() {
        let reserved = |mut config: Config| config.reserve_service().map(|it| it.to_string());
        assert_eq!(reserved(Config::default()).as_deref(), Some("10.0.2.4"));
        let config = Config { ipv4: None, ..Config::default() };
        assert_eq!(reserved(config).as_deref(), Some("fec0::4"));
        let config = Config { ipv4: None, ipv6: None, ..Config::default() };
        assert_eq!(reserved(config), None);
        let net = address("192.168.7.0");
        let ipv4 = Ipv4Config::new(net, 28, Some(address("192.168.7.5")), None, None).unwrap();
        let forward = |guest: &str| Forward {
            protocol: Protocol::Tcp,
            host: "127.0.0.1:0".parse().unwrap(),
            guest: guest.parse().unwrap(),
        };
        let forwards = vec![forward("192.168.7.6:80"), forward("[fec0::4]:80")];
        let mut config = Config { ipv4: Some(ipv4), forwards, ..Config::default() };
        // 4 is the first lease, 5 the gateway, 6 has a port forwarded to it.
        assert_eq!(config.reserve_service(), Some(address("192.168.7.7").into()));
        assert_eq!(config.ipv6.unwrap().service(), None);
        assert!(!config.ipv4.unwrap().is_for_guests(address("192.168.7.7")));
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn texts_that_dhcp_cannot_carry_are_refused() {
        let with = |boot: BootConfig| Config { boot, ..Config::default() }.check();
        let long = Some("x".repeat(128));
        assert!(with(BootConfig { boot_file: long, ..BootConfig::default() }).is_err());
        let empty = Some(String::new());
        assert!(with(BootConfig { hostname: empty, ..BootConfig::default() }).is_err());
        for (domain, good) in [("example.org", true), ("a..b", false), ("", false)] {
            let search = vec![domain.to_owned()];
            assert_eq!(with(BootConfig { search, ..BootConfig::default() }).is_ok(), good);
        }
    }
}
