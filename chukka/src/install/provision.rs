//! The disks of an XCP template: `<provision><disk device="0" size="8589934592" sr=""
//! bootable="true" type="system"/></provision>`, the value of `other_config:disks`.
//!
//! XCP's own programs write nothing but this element, so it is read without a general XML parser.

use thiserror::Error;

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its number. The guest sees the disks in this order.
    pub device: u32,
    /// Bytes, a multiple of 1024.
    pub size: u64,
    /// Whether the guest boots from it.
    pub bootable: bool,
}

/// Reads the element.
///
/// # Errors
/// It is something else, or a disk has a property that chukka cannot do.
pub fn disks(text: &str) -> Result<Vec<Disk>, ProvisionError> {
    let text = text.trim();
    if text == "<provision/>" {
        return Ok(Vec::new());
    }
    let inner = text.strip_prefix("<provision>").and_then(|rest| rest.strip_suffix("</provision>"));
    let mut rest = inner.ok_or_else(|| ProvisionError::Element(shown(text)))?.trim_start();
    let mut disks = Vec::new();
    while !rest.is_empty() {
        let end = rest.find('>').ok_or_else(|| ProvisionError::Element(shown(rest)))?;
        let (element, after) = rest.split_at(end);
        let attributes = element.strip_prefix("<disk ").and_then(|text| text.strip_suffix('/'));
        let attributes = attributes.ok_or_else(|| ProvisionError::Element(shown(rest)))?;
        disks.push(disk(attributes)?);
        rest = after.get(1..).unwrap_or_default();
        rest = rest.trim_start();
    }
    Ok(disks)
}

fn disk(text: &str) -> Result<Disk, ProvisionError> {
    let (mut device, mut size, mut bootable) = (None, None, false);
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let malformed = || ProvisionError::Element(shown(rest));
        let (key, after) = rest.split_once('=').ok_or_else(malformed)?;
        let quote = after.chars().next().filter(|c| ['"', '\''].contains(c));
        let quote = quote.ok_or_else(malformed)?;
        let (value, after) = after[1..].split_once(quote).ok_or_else(malformed)?;
        let refused = |expected| {
            let found = format!("{}=\"{}\"", key.trim_end(), shown(value));
            ProvisionError::Attribute { found, expected }
        };
        match (key.trim_end(), value) {
            ("device", number) => {
                let number = number.parse().map_err(|_| refused("a number from 0"))?;
                device = Some(number);
            }
            ("size", bytes) => {
                let bytes = bytes.parse().ok();
                let bytes = bytes.filter(|bytes: &u64| *bytes > 0 && bytes.is_multiple_of(1024));
                size = Some(bytes.ok_or_else(|| refused("a number of bytes, a multiple of 1024"))?);
            }
            ("bootable", "true") => bootable = true,
            ("bootable", "false") | ("type", "system" | "user" | "ephemeral") => {}
            ("bootable", _) => return Err(refused("true or false")),
            ("type", _) => return Err(refused("system, user or ephemeral")),
            ("sr", "") => {}
            ("sr", _) => return Err(refused("sr=\"\": chukka has no storage repositories")),
            _ => return Err(refused("device, size, sr, bootable or type")),
        }
        rest = after.trim_start();
    }
    let missing = |what| ProvisionError::Missing { disk: shown(text), what };
    Ok(Disk {
        device: device.ok_or_else(|| missing("device"))?,
        size: size.ok_or_else(|| missing("size"))?,
        bootable,
    })
}

/// Enough of a text for a message.
fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Why the element is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProvisionError {
    /// It is not one.
    #[error("'{0}': expected <provision><disk device=\"0\" size=\"BYTES\" …/></provision>")]
    Element(String),
    /// An attribute has a value that chukka cannot do.
    #[error("{found}: expected {expected}")]
    Attribute {
        /// The attribute.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A disk lacks an attribute.
    #[error("<disk {disk}>: expected {what}=")]
    Missing {
        /// Its other attributes.
        disk: String,
        /// The attribute.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disks_of_xcp_s_templates_are_read() {
        // As create_templates.ml writes them.
        let text = "<provision><disk device=\"0\" size=\"8589934592\" sr=\"\" bootable=\"true\" \
                    type=\"system\"/></provision>";
        let system = Disk { device: 0, size: 8 << 30, bootable: true };
        assert_eq!(disks(text), Ok(vec![system.clone()]));
        let two = "<provision>\n <disk device='0' size='8589934592' bootable='true'></disk>\n \
                   <disk device='1' size='1024' type='user' bootable='false' /> </provision>\n";
        let data = Disk { device: 1, size: 1024, bootable: false };
        // The closing tag of an element that is not empty is not XCP's.
        assert!(disks(two).is_err());
        assert_eq!(disks(&two.replace("></disk>", "/>")), Ok(vec![system, data]));
        assert_eq!(disks("<provision></provision>"), Ok(vec![]));
        assert_eq!(disks("<provision/>"), Ok(vec![]));
    }

    #[test]
    fn what_is_no_provision_element_is_refused_with_a_reason() {
        for (text, said) in [
            ("", "'': expected <provision>"),
            ("<disk/>", "'<disk/>': expected <provision>"),
            ("<provision><disk device=\"0\"", "expected <provision>"),
            ("<provision><cd device=\"0\"/></provision>", "'<cd device"),
            ("<provision><disk device=\"0\"/></provision>", "expected size="),
            ("<provision><disk size=\"1024\"/></provision>", "expected device="),
            (
                "<provision><disk device=\"0\" size=\"8G\"/></provision>",
                "size=\"8G\": expected a number of bytes",
            ),
            (
                "<provision><disk device=\"0\" size=\"0\"/></provision>",
                "size=\"0\": expected a number of bytes",
            ),
            (
                "<provision><disk device=\"x\" size=\"1\"/></provision>",
                "device=\"x\": expected a number",
            ),
            (
                "<provision><disk device=\"0\" size=\"1024\" sr=\"local\"/></provision>",
                "no storage repositories",
            ),
            (
                "<provision><disk device=\"0\" size=\"1024\" colour=\"red\"/></provision>",
                "colour=\"red\": expected device",
            ),
            ("<provision><disk device=0/></provision>", "expected <provision>"),
            ("<provision><disk é/></provision>", "expected <provision>"),
        ] {
            let error = disks(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
