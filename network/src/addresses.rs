//! Which socket address of the world a guest's packets go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Config, Ipv4Config, Ipv6Config};

/// Where a guest's packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To this host itself, by its loopback interface.
    Loopback(SocketAddr),
    /// To the resolver.
    Dns,
    /// To the service.
    Service,
    /// Out.
    Outside(SocketAddr),
    /// Nowhere, by `restrict=on`.
    Prohibited,
    /// To an address that is none beyond this link.
    Nowhere,
}

/// The addresses of a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub ipv4: Option<Ipv4Config>,
    pub ipv6: Option<Ipv6Config>,
    restrict: bool,
}

impl Addresses {
    pub fn new(config: &Config) -> Self {
        Self { ipv4: config.ipv4, ipv6: config.ipv6, restrict: config.restrict }
    }

    /// Whether packets from `address` may come from a guest.
    pub fn is_guest(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.ipv4.is_some_and(|net| net.is_for_guests(address)),
            IpAddr::V6(address) => self.ipv6.is_some_and(|net| {
                let local = address.is_unicast_link_local() && address != Ipv6Config::LINK_LOCAL;
                local || net.is_for_guests(address)
            }),
        }
    }

    /// Whether `address` is the gateway's.
    pub fn is_host(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.ipv4.is_some_and(|net| net.host() == address),
            IpAddr::V6(address) => self
                .ipv6
                .is_some_and(|net| net.host() == address || address == Ipv6Config::LINK_LOCAL),
        }
    }

    /// Whether `address` is the DNS server's.
    pub fn is_dns(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.ipv4.is_some_and(|net| net.dns() == address),
            IpAddr::V6(address) => self.ipv6.is_some_and(|net| net.dns() == address),
        }
    }

    /// Whether `address` is the service's.
    pub fn is_service(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.ipv4.is_some_and(|net| net.service() == Some(address)),
            IpAddr::V6(address) => self.ipv6.is_some_and(|net| net.service() == Some(address)),
        }
    }

    /// Where a packet of a guest to `to` goes. The service is in the network, so that
    /// `restrict=on` leaves it in reach.
    ///
    /// The host's loopback addresses are reached by the gateway's address alone: 127.0.0.1 in a
    /// packet on a wire, however it is spelled, is an attack or an error (RFC 1122 section
    /// 3.2.1.3).
    pub fn route(&self, to: SocketAddr) -> Route {
        if self.is_service(to.ip()) {
            return Route::Service;
        }
        if self.restrict {
            return Route::Prohibited;
        }
        if self.is_host(to.ip()) {
            return Route::Loopback(SocketAddr::new(loopback(to.ip()), to.port()));
        }
        if self.is_dns(to.ip()) {
            return Route::Dns;
        }
        let beyond = match to.ip() {
            IpAddr::V4(address) => {
                let here = self.ipv4.is_some_and(|net| net.contains(address));
                !here && !is_special_v4(address)
            }
            IpAddr::V6(address) => {
                let here = self.ipv6.is_some_and(|net| net.contains(address));
                !here && !is_special_v6(address)
            }
        };
        if beyond { Route::Outside(to) } else { Route::Nowhere }
    }

    /// How the guest sees a host's address: loopback addresses are the gateway, and so are those
    /// that clash with the guest's own network.
    pub fn seen_by_guest(&self, address: IpAddr) -> IpAddr {
        match (address, self.ipv4, self.ipv6) {
            (IpAddr::V4(address), Some(net), _)
                if address.is_loopback() || address.is_unspecified() || net.contains(address) =>
            {
                net.host().into()
            }
            (IpAddr::V6(address), _, Some(net))
                if address.is_loopback()
                    || address.is_unspecified()
                    || address.is_unicast_link_local()
                    || net.contains(address) =>
            {
                net.host().into()
            }
            _ => address,
        }
    }
}

/// The loopback address of the same family.
fn loopback(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Addresses that no router forwards, and that this host would take for itself.
fn is_special_v4(address: Ipv4Addr) -> bool {
    address.octets()[0] == 0
        || address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast()
}

/// The same for IPv6, and whatever has an IPv4 address of that kind in it.
fn is_special_v6(address: Ipv6Addr) -> bool {
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unicast_link_local()
        || address.to_ipv4().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: &str) -> Route {
        Addresses::new(&Config::default()).route(to.parse().unwrap())
    }

    #[test]
    fn the_gateway_is_the_hosts_loopback() {
        assert_eq!(route("10.0.2.2:80"), Route::Loopback("127.0.0.1:80".parse().unwrap()));
        assert_eq!(route("[fec0::2]:80"), Route::Loopback("[::1]:80".parse().unwrap()));
        assert_eq!(route("10.0.2.3:53"), Route::Dns);
        assert_eq!(route("[fec0::3]:53"), Route::Dns);
    }

    #[test]
    fn the_hosts_loopback_has_no_other_name() {
        for to in [
            "127.0.0.1:80",
            "127.1.2.3:80",
            "0.0.0.0:80",
            "0.1.2.3:80",
            "255.255.255.255:80",
            "224.0.0.1:80",
            "10.0.2.4:80",
            "10.0.2.255:80",
            "[::1]:80",
            "[::]:80",
            "[::ffff:127.0.0.1]:80",
            "[::127.0.0.1]:80",
            "[fe80::1]:80",
            "[ff02::1]:80",
            "[fec0::99]:80",
        ] {
            assert_eq!(route(to), Route::Nowhere, "{to}");
        }
        for to in ["192.0.2.1:80", "10.0.3.2:80", "[2001:db8::1]:80"] {
            assert_eq!(route(to), Route::Outside(to.parse().unwrap()), "{to}");
        }
    }

    #[test]
    fn restrict_closes_every_way_out() {
        let config = Config { restrict: true, ..Config::default() };
        for to in ["10.0.2.2:80", "10.0.2.3:53", "192.0.2.1:80", "[fec0::2]:1"] {
            assert_eq!(Addresses::new(&config).route(to.parse().unwrap()), Route::Prohibited);
        }
    }

    #[test]
    fn the_service_is_in_reach_even_if_restricted_and_no_guest_has_its_address() {
        for restrict in [false, true] {
            let mut config = Config { restrict, ..Config::default() };
            config.reserve_service().unwrap();
            let addresses = Addresses::new(&config);
            for to in ["10.0.2.4:80", "[fec0::4]:80"] {
                let to: SocketAddr = to.parse().unwrap();
                assert_eq!(addresses.route(to), Route::Service);
                assert!(!addresses.is_guest(to.ip()));
            }
        }
    }

    #[test]
    fn a_guest_has_an_address_of_its_network() {
        let addresses = Addresses::new(&Config::default());
        for (address, good) in [
            ("10.0.2.15", true),
            ("10.0.2.200", true),
            ("10.0.2.2", false),
            ("10.0.2.3", false),
            ("10.0.2.255", false),
            ("10.0.3.15", false),
            ("0.0.0.0", false),
            ("fec0::15", true),
            ("fe80::1", true),
            ("fe80::2", false),
            ("fec0::2", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(addresses.is_guest(address.parse().unwrap()), good, "{address}");
        }
    }
}
