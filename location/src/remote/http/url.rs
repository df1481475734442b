//! URLs of `http:` and `https:`, as RFC 3986 has them.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::remote::address::Host;

/// What may stand in a path as it is: RFC 3986, 3.3. A plus sign is left out, which some servers
/// take for a space.
const IN_PATH: &[u8] = b"-._~!$&'()*,;=:@";

/// The location of a file, and the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Whether it is an `https:` URL.
    pub tls: bool,
    /// `HOST` or `HOST:PORT`.
    pub authority: String,
    /// With a slash in front; percent-encoded.
    pub path: String,
    /// With the question mark; empty: there is none.
    query: String,
    /// The credentials.
    pub login: Option<Login>,
}

/// What an `Authorization:` header says (RFC 7617). Nobody sees it in messages.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login(String);

impl Login {
    /// Of the part of a URL before the `@`.
    pub fn new(user_information: &str) -> Self {
        let bytes = decoded(user_information);
        let colon = if bytes.contains(&b':') { "" } else { ":" };
        let both = [bytes.as_slice(), colon.as_bytes()].concat();
        Self(format!("Basic {}", BASE64_STANDARD.encode(both)))
    }

    /// The header's value.
    pub fn header(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

impl Url {
    /// Parses a URL, without its fragment (`#`).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("it is not a URL with a host")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err("it is not an http: or https: URL"),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(Login::new(user)), authority),
            None => (None, authority),
        };
        let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/".into() } else { legal(path) };
        let url = Self { tls, authority: authority.into(), path, query: legal(query), login };
        Host::parse(authority)?;
        let host = url.to_string().parse::<ureq::http::Uri>().ok();
        match host.as_ref().and_then(|uri| uri.host()) {
            Some(host) if !host.is_empty() => Ok(url),
            _ => Err("its host is not a name or address"),
        }
    }

    /// What a `Location:` header or a link at this URL names: RFC 3986, 5.2. The login goes along
    /// to the same host and port only.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn resolve(&self, link: &str) -> Result<Self, &'static str> {
        let link = link.split('#').next().unwrap_or_default();
        let scheme = if self.tls { "https" } else { "http" };
        let has_scheme =
            link.split(['/', '?']).next().is_some_and(|beginning| beginning.contains(':'));
        let mut url = if has_scheme {
            Self::parse(link)?
        } else if link.starts_with("//") {
            Self::parse(&format!("{scheme}:{link}"))?
        } else {
            let (path, query) = link.split_at(link.find('?').unwrap_or(link.len()));
            let directory = &self.path[..=self.path.rfind('/').unwrap_or(0)];
            let path = match path {
                "" => self.path.clone(),
                path if path.starts_with('/') => without_dots(path),
                path => without_dots(&format!("{directory}{path}")),
            };
            let query = legal(query);
            Self { tls: self.tls, authority: self.authority.clone(), path, query, login: None }
        };
        if (url.tls, &url.authority) == (self.tls, &self.authority) && url.login.is_none() {
            url.login.clone_from(&self.login);
        }
        Ok(url)
    }

    /// What is below it; `names` are bytes with slashes between them, as they are. The root's query
    /// is left behind.
    pub fn below(&self, names: &[u8]) -> Self {
        let mut path = self.path.trim_end_matches('/').to_owned();
        path.push('/');
        for byte in names {
            match byte {
                b'/' => path.push('/'),
                byte if byte.is_ascii_alphanumeric() || IN_PATH.contains(byte) => {
                    path.push(char::from(*byte));
                }
                byte => path.push_str(&format!("%{byte:02X}")),
            }
        }
        Self { path, query: String::new(), ..self.clone() }
    }

    /// For messages: without a password, without a query (which may be a key), without a slash at
    /// the end.
    pub fn shown(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.path.trim_end_matches('/'))
    }

    /// The host without its port, in small letters, and the port if one is named.
    pub fn host(&self) -> (String, Option<u16>) {
        let authority = self.authority.to_ascii_lowercase();
        match authority.rsplit_once(':') {
            // The colons within brackets are an address's.
            Some((host, port)) if !port.ends_with(']') => (host.into(), port.parse().ok()),
            _ => (authority, None),
        }
    }
}

/// Without the login: as it is asked for.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}{}", self.authority, self.path, self.query)
    }
}

/// What has no place in a URL, percent-encoded.
fn legal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A path without `.` and `..`: RFC 3986, 5.2.4.
fn without_dots(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/').skip(1) {
        match name {
            "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        names.push("");
    }
    legal(&format!("/{}", names.join("/")))
}

/// Decodes each `%xx` into its byte; invalid sequences stay unchanged.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digit = |at: usize| char::from(*behind.get(at)?).to_digit(16);
        let value = digit(0).zip(digit(1)).map(|(high, low)| high << 4 | low);
        match value.and_then(|value| u8::try_from(value).ok()) {
            Some(value) if *first == b'%' => {
                bytes.push(value);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_where_rfc_3986_says() {
        // 5.4, without those of other schemes.
        let base = Url::parse("http://a/b/c/d;p?q").unwrap();
        for (link, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("g?y#s", "http://a/b/c/g?y"),
            (";x", "http://a/b/c/;x"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("g?y=http://b", "http://a/b/c/g?y=http://b"),
            ("https://b:1", "https://b:1/"),
            ("a b\u{e9}", "http://a/b/c/a%20b%C3%A9"),
        ] {
            assert_eq!(base.resolve(link).unwrap().to_string(), expected, "{link}");
        }
    }

    #[test]
    fn displayed_urls_have_no_secrets() {
        let url = Url::parse("HTTPS://me:secret@Host:8/x/?key=secret#there").unwrap();
        assert_eq!(url.shown(), "https://Host:8/x");
        assert_eq!(url.to_string(), "https://Host:8/x/?key=secret");
        assert!(!format!("{:?}", url.login).contains("secret"));
        assert_eq!(url.below(b"a/b c").to_string(), "https://Host:8/x/a/b%20c");
    }

    #[test]
    fn hosts_and_ports_are_separated() {
        for (authority, host, port) in [
            ("H", "h", None),
            ("h:8", "h", Some(8)),
            ("[::1]", "[::1]", None),
            ("[::1]:8", "[::1]", Some(8)),
        ] {
            let url = Url::parse(&format!("http://{authority}/")).unwrap();
            assert_eq!(url.host(), (host.into(), port), "{authority}");
        }
    }

    #[test]
    fn percent_signs_that_encode_nothing_stay() {
        assert_eq!(decoded("a%20%2fb%zz%4"), b"a /b%zz%4");
        assert_eq!(decoded("%%41%"), b"%A%");
    }

    #[test]
    fn a_url_without_a_host_is_none() {
        for text in ["http://", "http:///x", "http://:80/", "http://me@/x", "http://?x"] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        let port = "its port is not a number from 1 to 65535";
        assert_eq!(Url::parse("http://h:65536/").unwrap_err(), port);
    }
}
