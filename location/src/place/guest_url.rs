//! What a guest can be told of a place.

use super::Place;
use storage::TreePath;

impl Place {
    /// The URL at which a guest finds what is at `path` in this place, without a slash at its end:
    /// of http, https or ftp as it was given, and `nfs:HOST:/PATH` as anaconda writes it. A user's
    /// name and password are not in it: a guest's command line is no secret. `None`: no guest can
    /// get at it, or its installer speaks no such protocol, which is so for TFTP.
    #[must_use]
    pub fn guest_url(&self, path: &TreePath) -> Option<String> {
        let below = match path.as_path().to_str()? {
            "" => String::new(),
            below => format!("/{below}"),
        };
        match self {
            Self::Local(_) | Self::Tftp(_) => None,
            Self::Http(url) | Self::Ftp(url) => {
                let is_tree = !url.contains(['?', '#']);
                let url = without_user(url);
                match (is_tree, below.is_empty()) {
                    (true, _) => {
                        let url = url.trim_end_matches('/');
                        Some(format!("{url}{}", escaped(&below)))
                    }
                    (false, true) => Some(url),
                    (false, false) => None,
                }
            }
            Self::Nfs { host, path } => {
                // A port has no place in this form.
                let is_plain = host.starts_with('[') || !host.contains(':');
                let has_space = path.contains(char::is_whitespace);
                let path = path.trim_end_matches('/');
                (is_plain && !has_space).then(|| format!("nfs:{host}:{path}{below}"))
            }
        }
    }
}

/// A URL without what stands before `@` in its host.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// A path as a URL has it (RFC 3986, 3.3); what a word of a command line cannot have is not in it
/// either.
fn escaped(path: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' | b'+' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    path.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_told_what_it_can_reach() {
        for (given, path, url) in [
            ("/srv/tree", "", None),
            ("file:///srv/tree", "", None),
            ("tftp://h/x", "", None),
            ("http://h:8/os/", "", Some("http://h:8/os")),
            ("http://h", "a b/c", Some("http://h/a%20b/c")),
            ("https://me:secret@h/os", "", Some("https://h/os")),
            ("https://h/os?x=a@b", "", Some("https://h/os?x=a@b")),
            ("https://h/os?x", "a", None),
            ("ftp://me@h/os", "x", Some("ftp://h/os/x")),
            ("nfs:h:/os/", "", Some("nfs:h:/os")),
            ("nfs://h/os", "a", Some("nfs:h:/os/a")),
            ("nfs:[::1]:/os", "", Some("nfs:[::1]:/os")),
            ("nfs://h:2049/os", "", None),
            ("nfs:h:/my os", "", None),
        ] {
            let place = Place::parse(given.as_ref()).unwrap();
            assert_eq!(place.guest_url(&TreePath::new(path)).as_deref(), url, "{given} {path}");
        }
    }
}
