//! The properties of `-netdev user`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use network::{Config, Forward, Ipv4Config, Ipv6Config, Protocol};

use super::error::ArgsError;
use super::value::{Pair, RawPair};
use crate::request::NetworkConfig;

const FORWARD: &str =
    "[tcp|udp]:[HOSTADDRESS]:HOSTPORT-[GUESTADDRESS]:GUESTPORT, such as tcp:127.0.0.1:2222-:22";

/// What the properties say about the addresses.
#[derive(Default)]
struct Addresses {
    net: Option<(Ipv4Addr, u8)>,
    host: Option<Ipv4Addr>,
    dns: Option<Ipv4Addr>,
    first_lease: Option<Ipv4Addr>,
    ipv6_prefix: Option<Ipv6Addr>,
    has_ipv4: Option<bool>,
    has_ipv6: Option<bool>,
}

/// Reads the properties of a user network.
///
/// # Errors
/// A value that is wrong or that chukka cannot do.
pub(super) fn config(
    properties: &[&RawPair],
    option: &'static str,
) -> Result<NetworkConfig, ArgsError> {
    let mut addresses = Addresses::default();
    let mut config = Config::default();
    let mut forwards = Vec::new();
    for raw in properties {
        if raw.key == "tftp" {
            config.tftp = Some(raw.path(option)?);
            continue;
        }
        let pair = raw.text(option)?;
        if !addresses.take(&pair, option)? {
            match pair.key.as_str() {
                "hostfwd" => forwards.push(pair),
                _ => property(&pair, option, &mut config)?,
            }
        }
    }
    let refused = |error: network::ConfigError| {
        ArgsError::unsupported(format!("-{option} user"), error.to_string(), "")
    };
    config.ipv4 = addresses.ipv4().map_err(refused)?;
    config.ipv6 = addresses.ipv6().map_err(refused)?;
    config.forwards =
        forwards.iter().map(|pair| forward(pair, option, &config)).collect::<Result<_, _>>()?;
    config.check().map_err(refused)?;
    Ok(NetworkConfig::User(Box::new(config)))
}

impl Addresses {
    /// Takes a property that is about addresses. Returns whether it was one.
    fn take(&mut self, pair: &Pair, option: &'static str) -> Result<bool, ArgsError> {
        match pair.key.as_str() {
            "ipv4" => self.has_ipv4 = Some(pair.switch(option)?),
            "ipv6" => self.has_ipv6 = Some(pair.switch(option)?),
            "net" => self.net = Some(net(pair, option)?),
            "host" => self.host = Some(address(pair, option)?),
            "dns" => self.dns = Some(address(pair, option)?),
            "dhcpstart" => self.first_lease = Some(address(pair, option)?),
            "ipv6-prefix" => self.ipv6_prefix = Some(ipv6(pair, pair.value(option)?, option)?),
            "ipv6-net" => {
                let value = pair.value(option)?;
                let (prefix, length) = value.split_once('/').unwrap_or((value, "64"));
                if length != "64" {
                    return Err(ArgsError::bad(pair.shown(option), "a prefix of 64 bits"));
                }
                self.ipv6_prefix = Some(ipv6(pair, prefix, option)?);
            }
            "ipv6-prefixlen" if pair.value(option)? == "64" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// As in QEMU, `ipv4=on` alone switches IPv6 off, and the other way round (`net_slirp_init`).
    fn has(own: Option<bool>, other: Option<bool>) -> bool {
        own.unwrap_or(other != Some(true))
    }

    fn ipv4(&self) -> Result<Option<Ipv4Config>, network::ConfigError> {
        if !Self::has(self.has_ipv4, self.has_ipv6) {
            return Ok(None);
        }
        let (net, prefix) = self.net.unwrap_or((Ipv4Addr::new(10, 0, 2, 0), 24));
        Ipv4Config::new(net, prefix, self.host, self.dns, self.first_lease).map(Some)
    }

    fn ipv6(&self) -> Result<Option<Ipv6Config>, network::ConfigError> {
        if !Self::has(self.has_ipv6, self.has_ipv4) {
            return Ok(None);
        }
        self.ipv6_prefix.map_or(Ok(Ipv6Config::default()), Ipv6Config::new).map(Some)
    }
}

/// A property that is not about addresses.
fn property(pair: &Pair, option: &'static str, config: &mut Config) -> Result<(), ArgsError> {
    let value = || pair.value(option).map(str::to_owned);
    match pair.key.as_str() {
        "restrict" => config.restrict = pair.switch(option)?,
        "hostname" => config.boot.hostname = Some(value()?),
        "domainname" => config.boot.domain_name = Some(value()?),
        "dnssearch" => config.boot.search.push(value()?),
        "bootfile" => config.boot.boot_file = Some(value()?),
        "tftp-server-name" => config.boot.tftp_server_name = Some(value()?),
        "guestfwd" => {
            let hint = "the guest reaches servers of this host at 10.0.2.2";
            let why = "chukka does not forward the guest's connections to programs";
            return Err(ArgsError::unsupported(pair.shown(option), why, hint));
        }
        "smb" | "smbserver" => {
            let why = "chukka does not share directories";
            let hint = "serve it by HTTP: python3 -m http.server --bind 127.0.0.1";
            return Err(ArgsError::unsupported(pair.shown(option), why, hint));
        }
        "ipv6-host" | "ipv6-dns" | "ipv6-prefixlen" => {
            let why = "this address is part of the prefix";
            let hint = "set ipv6-prefix; the host is PREFIX::2, its DNS server PREFIX::3";
            return Err(ArgsError::unsupported(pair.shown(option), why, hint));
        }
        _ => {
            let expected = "hostfwd, restrict, net, host, dns, dhcpstart, hostname, domainname, \
                dnssearch, tftp, bootfile, tftp-server-name, ipv4, ipv6, ipv6-prefix";
            return Err(ArgsError::bad(pair.shown(option), expected));
        }
    }
    Ok(())
}

/// `net=ADDRESS/PREFIX`, or `ADDRESS/MASK`.
fn net(pair: &Pair, option: &'static str) -> Result<(Ipv4Addr, u8), ArgsError> {
    let text = pair.value(option)?;
    let net = text.split_once('/').and_then(|(address, prefix)| {
        let prefix = prefix.parse().ok().or_else(|| {
            let mask = prefix.parse::<Ipv4Addr>().ok()?.to_bits();
            let length = mask.leading_ones();
            (mask.count_ones() == length).then(|| u8::try_from(length).ok()).flatten()
        })?;
        Some((address.parse().ok()?, prefix))
    });
    net.ok_or_else(|| ArgsError::bad(pair.shown(option), "ADDRESS/PREFIX, such as 192.168.76.0/24"))
}

fn address(pair: &Pair, option: &'static str) -> Result<Ipv4Addr, ArgsError> {
    let address = pair.value(option)?.parse();
    address.map_err(|_| ArgsError::bad(pair.shown(option), "an IPv4 address"))
}

fn ipv6(pair: &Pair, text: &str, option: &'static str) -> Result<Ipv6Addr, ArgsError> {
    text.parse().map_err(|_| ArgsError::bad(pair.shown(option), "an IPv6 address, such as fec0::"))
}

/// `hostfwd=[tcp|udp]:[ADDRESS]:PORT-[ADDRESS]:PORT`. The host listens on all its IPv4 addresses
/// where none is given, as in QEMU; IPv6 addresses are in brackets.
fn forward(pair: &Pair, option: &'static str, config: &Config) -> Result<Forward, ArgsError> {
    let error = || ArgsError::bad(pair.shown(option), FORWARD);
    let text = pair.value(option)?;
    let (protocol, rest) = text.split_once(':').ok_or_else(error)?;
    let protocol = match protocol {
        "tcp" | "" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return Err(error()),
    };
    // A dash may be part of neither end.
    let (host, guest) = rest.split_once('-').ok_or_else(error)?;
    let lease = config.ipv4.map(|net| IpAddr::V4(net.first_lease()));
    let host = end(host, Some(Ipv4Addr::UNSPECIFIED.into())).ok_or_else(error)?;
    let guest = end(guest, lease).ok_or_else(error)?;
    Ok(Forward { protocol, host, guest })
}

/// `[ADDRESS]:PORT`, with the address `default` where there is none.
fn end(text: &str, default: Option<IpAddr>) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let address = match address {
        "" => default?,
        _ => match address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => IpAddr::V6(inner.parse().ok()?),
            None => IpAddr::V4(address.parse().ok()?),
        },
    };
    let is_digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    Some(SocketAddr::new(address, port.parse().ok().filter(|_| is_digits)?))
}
