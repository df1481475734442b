//! `-sandbox`, as QEMU spells it.

use super::error::ArgsError;
use super::options::Options;
use super::value::{pairs, texts};
use crate::request::Confinement;

/// What QEMU's `-sandbox on` can deny or allow beyond its default. chukka denies all of it.
const PARTS: [&str; 4] = ["obsolete", "elevateprivileges", "spawn", "resourcecontrol"];

/// What the process gives up. The last value counts.
pub(super) fn confinement(options: &Options) -> Result<Confinement, ArgsError> {
    let mut confinement = Confinement::default();
    for text in texts(&options.sandbox, "sandbox")? {
        for pair in pairs(text, "enable") {
            match (pair.key.as_str(), pair.value("sandbox")?) {
                ("enable", "on") => confinement = Confinement::Full,
                ("enable", "off") => confinement = Confinement::Off,
                (part, "deny") if PARTS.contains(&part) => {}
                (part, "allow" | "children") if PARTS.contains(&part) => {
                    let why = "chukka's sandbox denies it always";
                    let hint = "-sandbox off runs without a sandbox";
                    return Err(ArgsError::unsupported(pair.shown("sandbox"), why, hint));
                }
                _ => return Err(ArgsError::bad(pair.shown("sandbox"), "on or off")),
            }
        }
    }
    Ok(confinement)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::Confinement;
    use crate::args::Invocation;
    use crate::request::Request;

    fn request(words: &[&str]) -> Request {
        match parse(words.iter().map(Into::into)) {
            Ok(Invocation::Boot(request)) => *request,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn the_sandbox_is_on_unless_it_is_switched_off() {
        for (words, expected) in [
            (&[][..], Confinement::Full),
            (&["-sandbox", "on,spawn=deny"], Confinement::Full),
            (&["-sandbox", "off"], Confinement::Off),
            (&["-sandbox", "off", "-sandbox", "on"], Confinement::Full),
        ] {
            let words = [&["-kernel", "k"], words].concat();
            assert_eq!(request(&words).confinement, expected, "{words:?}");
        }
    }

    #[test]
    fn what_it_denies_cannot_be_allowed() {
        for (value, expected) in [
            ("on,spawn=allow", "-sandbox spawn=allow"),
            ("on,elevateprivileges=children", "-sandbox elevateprivileges=children"),
            ("maybe", "-sandbox enable=maybe"),
        ] {
            let words = ["-kernel", "k", "-sandbox", value];
            let error = parse(words.map(Into::into)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
