//! Proxies, as the environment names them (curl(1), ENVIRONMENT; wget(1), PROXIES).
//!
//! For `https:` URLs a proxy makes a tunnel (`CONNECT`), which ureq does. For `http:` URLs ureq
//! would want a tunnel too, which usual proxies refuse: they expect the whole URL in the request
//! (RFC 9112, 3.2.2). So the connection goes to the proxy, and the URL is completed here.

use std::env;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Agent, Error, Proxy};

use super::connection::connector;
use super::url::{Login, Url};
use crate::remote::Net;
use storage::Failure;

/// The ways to hosts.
#[derive(Debug)]
pub(super) struct ProxySettings {
    direct: Agent,
    plain: Option<Result<Proxied, Failure>>,
    tunnel: Option<Result<Proxied, Failure>>,
    exceptions: Exceptions,
}

/// The way through a proxy.
#[derive(Debug)]
struct Proxied {
    agent: Agent,
    /// `None`: the agent knows them.
    login: Option<Login>,
    /// What messages call the proxy.
    name: String,
}

impl Proxied {
    fn new(variable: &str, url: &Url, agent: Agent, login: Option<Login>) -> Self {
        Self { agent, login, name: format!("the proxy {} ({variable})", url.authority) }
    }

    fn route(&self) -> Route<'_> {
        Route { agent: &self.agent, login: self.login.as_ref(), proxy: Some(&self.name) }
    }
}

/// The way to one host.
#[derive(Debug)]
pub(super) struct Route<'a> {
    /// What connects and asks.
    pub agent: &'a Agent,
    /// The credentials for the proxy.
    pub login: Option<&'a Login>,
    /// The proxy's name for messages, with the variable that names it; `None`: there is no proxy.
    pub proxy: Option<&'a str>,
}

impl ProxySettings {
    /// Those of the environment.
    pub fn new(net: &Net) -> Self {
        // A web server hands the header `Proxy:` to its programs as HTTP_PROXY (httpoxy.org).
        let is_cgi = env::var_os("REQUEST_METHOD").is_some();
        let capital = if is_cgi { "http_proxy" } else { "HTTP_PROXY" };
        let plain = variable(&["http_proxy", capital, "all_proxy", "ALL_PROXY"]);
        let tunnel = variable(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]);
        let exceptions = variable(&["no_proxy", "NO_PROXY"]).map(|(_, value)| value);
        Self {
            direct: agent(net, None),
            plain: plain.map(|(name, value)| plain_agent(net, name, &value)),
            tunnel: tunnel.map(|(name, value)| tunnel_agent(net, name, &value)),
            exceptions: Exceptions(exceptions.unwrap_or_default()),
        }
    }

    /// The one to a URL's host.
    ///
    /// # Errors
    /// A proxy is named that is none.
    pub fn to(&self, url: &Url) -> Result<Route<'_>, Failure> {
        let direct = Route { agent: &self.direct, login: None, proxy: None };
        if self.exceptions.has(url) {
            return Ok(direct);
        }
        match (url.tls, &self.plain, &self.tunnel) {
            (false, Some(Ok(proxied)), _) | (true, _, Some(Ok(proxied))) => Ok(proxied.route()),
            (false, Some(Err(failure)), _) | (true, _, Some(Err(failure))) => Err(failure.clone()),
            (false, None, _) | (true, _, None) => Ok(direct),
        }
    }
}

/// The first of these that says something.
fn variable(names: &[&'static str]) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| {
        let value = env::var(name).ok()?;
        (!value.trim().is_empty()).then(|| (*name, value.trim().to_owned()))
    })
}

fn no_proxy_url(name: &str, why: &str) -> Failure {
    // The value may have a password in it.
    let problem = format!("{name} in the environment is not the URL of a proxy: {why}");
    Failure::new(problem, "use http://HOST:PORT; list hosts that need no proxy in no_proxy")
}

/// `HOST:PORT` is meant as an `http:` URL.
fn proxy_url(name: &str, value: &str) -> Result<Url, Failure> {
    let text = if value.contains("://") { value.into() } else { format!("http://{value}") };
    Url::parse(&text).map_err(|why| no_proxy_url(name, why))
}

/// An agent that sends what is asked of `http:` URLs to a proxy.
fn plain_agent(net: &Net, name: &str, value: &str) -> Result<Proxied, Failure> {
    let proxy = proxy_url(name, value)?;
    if proxy.tls {
        return Err(no_proxy_url(name, "a proxy for http: locations needs an http: URL"));
    }
    let uri = proxy.to_string().parse();
    let at_proxy = AtProxy(uri.map_err(|_| no_proxy_url(name, "it is not a URL"))?);
    let connector = connector().chain(WholeUrls);
    let agent = Agent::with_parts(config(net, None), connector, at_proxy);
    Ok(Proxied::new(name, &proxy, agent, proxy.login.clone()))
}

/// An agent that has a proxy connect it with the hosts of `https:` URLs.
fn tunnel_agent(net: &Net, name: &str, value: &str) -> Result<Proxied, Failure> {
    let url = proxy_url(name, value)?;
    let proxy = Proxy::new(value).map_err(|_| no_proxy_url(name, "it is not a URL"))?;
    Ok(Proxied::new(name, &url, agent(net, Some(proxy)), None))
}

fn agent(net: &Net, proxy: Option<Proxy>) -> Agent {
    Agent::with_parts(config(net, proxy), connector(), DefaultResolver::default())
}

/// Redirections are followed by [`super::client`], which has rules for them. There is no limit for
/// all of a transfer.
fn config(net: &Net, proxy: Option<Proxy>) -> Config {
    let config = Agent::config_builder()
        .proxy(proxy)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("chukka/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(net.idle))
        .timeout_connect(Some(net.idle))
        .timeout_send_request(Some(net.idle))
        .timeout_recv_response(Some(net.idle))
        .timeout_per_read(Some(net.idle))
        .timeout_per_write(Some(net.idle));
    #[cfg(feature = "tls")]
    let config = config.tls_config(
        ureq::tls::TlsConfig::builder()
            .provider(ureq::tls::TlsProvider::Rustls)
            .root_certs(ureq::tls::RootCerts::PlatformVerifier)
            .build(),
    );
    config.build()
}

/// Hosts that are asked directly.
#[derive(Debug)]
struct Exceptions(String);

impl Exceptions {
    /// A name is meant with all below it, with or without a dot in front; `*` is every host.
    fn has(&self, url: &Url) -> bool {
        let (host, port) = url.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.unwrap_or(if url.tls { 443 } else { 80 });
        self.0.split([',', ' ']).filter(|entry| !entry.is_empty()).any(|entry| {
            let entry = entry.to_ascii_lowercase();
            let entry = match entry.rsplit_once(':') {
                // More colons are an address's.
                Some((name, of)) if !name.contains(':') || name.ends_with(']') => {
                    if of.parse() != Ok(port) {
                        return false;
                    }
                    name.to_owned()
                }
                _ => entry,
            };
            let name = entry.trim_start_matches(['*', '.', '[']).trim_end_matches(']');
            entry == "*"
                || bare == name
                || bare
                    .strip_suffix(name)
                    .is_some_and(|rest| !name.is_empty() && rest.ends_with('.'))
        })
    }
}

/// Every host is where the proxy is.
#[derive(Debug)]
struct AtProxy(Uri);

impl Resolver for AtProxy {
    fn resolve(
        &self,
        _: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        DefaultResolver::default().resolve(&self.0, config, timeout)
    }
}

/// Puts scheme and host into the first lines of requests.
#[derive(Debug)]
struct WholeUrls;

impl<In: Transport> Connector<In> for WholeUrls {
    type Out = WholeUrl<In>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let host = details.uri.authority().map_or("", |authority| authority.as_str());
        let host = format!("http://{host}");
        Ok(chained.map(|connection| WholeUrl { connection, host }))
    }
}

#[derive(Debug)]
struct WholeUrl<T> {
    connection: T,
    host: String,
}

impl<T: Transport> Transport for WholeUrl<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.connection.buffers()
    }

    fn transmit_output(&mut self, mut amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        const METHOD: &[u8] = b"GET ";
        let output = self.connection.buffers().output();
        let (at, more) = (METHOD.len(), self.host.len());
        // Requests have no bodies here: what begins so is a request, headers and all.
        if output[..amount].starts_with(b"GET /") && amount + more <= output.len() {
            output.copy_within(at..amount, at + more);
            output[at..at + more].copy_from_slice(self.host.as_bytes());
            amount += more;
        }
        self.connection.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.connection.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.connection.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::http::{Reply, Server};

    #[test]
    fn no_proxy_names_hosts_domains_addresses_and_ports() {
        for (list, url, expected) in [
            ("", "http://h/", false),
            ("h", "http://h/", true),
            ("H", "http://h/", true),
            ("a, h b", "http://h:8/", true),
            ("*", "https://h/", true),
            ("example.org", "http://example.org/", true),
            ("example.org", "http://www.example.org/", true),
            (".example.org", "http://www.example.org/", true),
            ("*.example.org", "http://www.example.org/", true),
            ("example.org", "http://myexample.org/", false),
            ("example.org", "http://example.org.net/", false),
            (".", "http://h/", false),
            ("h:8", "http://h:8/", true),
            ("h:8", "http://h/", false),
            ("h:80", "http://h/", true),
            ("h:443", "https://h/", true),
            ("h:443", "http://h/", false),
            ("::1", "http://[::1]:8/", true),
            ("[::1]", "http://[::1]:8/", true),
            ("[::1]:8", "http://[::1]:8/", true),
            ("[::1]:8", "http://[::1]/", false),
            ("fe80::1", "http://[::1]/", false),
        ] {
            let exceptions = Exceptions(list.into());
            assert_eq!(exceptions.has(&Url::parse(url).unwrap()), expected, "'{list}', {url}");
        }
    }

    /// RFC 9112, 3.2.2; the connection to the proxy is for all hosts.
    #[test]
    fn a_proxy_is_asked_for_whole_urls_over_one_connection() {
        let proxy = Server::new(|_, _| Reply::new(200, "yes"));
        let net = Net::default();
        let Proxied { agent, login, .. } = plain_agent(&net, "http_proxy", &proxy.url("")).unwrap();
        assert!(login.is_none());
        for path in ["/a%20file?x", "/b"] {
            let mut answer = agent.get(format!("http://far.invalid:81{path}")).call().unwrap();
            assert_eq!(answer.body_mut().read_to_string().unwrap(), "yes");
        }
        let lines: Vec<_> = proxy.requests().iter().map(|request| request.line.clone()).collect();
        assert_eq!(lines, ["GET http://far.invalid:81/a%20file?x", "GET http://far.invalid:81/b"]);
        assert_eq!(proxy.requests()[0].header("host"), "far.invalid:81");
        assert_eq!(proxy.connections(), 1);
    }

    #[test]
    fn the_port_of_a_proxy_is_a_number_up_to_65535() {
        for agent in [plain_agent, tunnel_agent] {
            let failure = agent(&Net::default(), "all_proxy", "http://u:secret@h:99999");
            assert_eq!(
                failure.unwrap_err().to_string(),
                "all_proxy in the environment is not the URL of a proxy: its port is not a number from 1 to 65535"
            );
        }
    }

    #[test]
    fn messages_name_the_proxy_and_its_variable_without_a_password() {
        for agent in [plain_agent, tunnel_agent] {
            let proxied = agent(&Net::default(), "all_proxy", "http://u:secret@h:8").unwrap();
            assert_eq!(proxied.route().proxy, Some("the proxy h:8 (all_proxy)"));
        }
    }

    #[test]
    fn a_url_that_is_too_long_for_the_buffer_is_an_error_and_no_other_request() {
        let proxy = Server::new(|_, _| Reply::new(200, "yes"));
        let agent = plain_agent(&Net::default(), "http_proxy", &proxy.url("")).unwrap().agent;
        let path = "x".repeat(1 << 20);
        assert!(agent.get(format!("http://far.invalid/{path}")).call().is_err());
    }
}
