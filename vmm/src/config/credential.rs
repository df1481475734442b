//! A systemd credential, and the two ways by which one reaches a guest
//! (systemd.system-credentials(7)).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What the fw_cfg names that systemd reads credentials from begin with.
pub const FW_CFG_PREFIX: &str = "opt/io.systemd.credentials/";

/// The longest name of a fw_cfg item, in bytes: its field of 56 less the NUL at the end.
pub const FW_CFG_NAME_MAX: usize = 55;

/// The longest name of a credential, in bytes: that of a file, and of a systemd descriptor.
pub const NAME_MAX: usize = 255;

/// systemd takes no more than this of all credentials together, in bytes; what comes after is
/// dropped.
pub const TOTAL_MAX: usize = 1 << 20;

/// A credential (`-credential NAME=VALUE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its name, which [`name_is_valid`].
    pub name: String,
    /// What it says.
    pub value: Vec<u8>,
}

/// Where a credential goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialPlace {
    /// The value is a fw_cfg file of this name.
    FwCfg(String),
    /// This is one string of SMBIOS type 11.
    Smbios(String),
}

impl Credential {
    /// fw_cfg where the name fits, SMBIOS where it does not.
    #[must_use]
    pub fn place(&self) -> CredentialPlace {
        self.fw_cfg_name()
            .map_or_else(|| CredentialPlace::Smbios(self.smbios_string()), CredentialPlace::FwCfg)
    }

    /// The name of its fw_cfg item, if it is not too long for one.
    #[must_use]
    pub fn fw_cfg_name(&self) -> Option<String> {
        let fits = FW_CFG_PREFIX.len() + self.name.len() <= FW_CFG_NAME_MAX;
        fits.then(|| format!("{FW_CFG_PREFIX}{}", self.name))
    }

    /// Its string of SMBIOS type 11 (smbios-type-11(7)): as text, or in base64 where the value is
    /// none or has characters that an SMBIOS string cannot carry.
    #[must_use]
    pub fn smbios_string(&self) -> String {
        match std::str::from_utf8(&self.value) {
            Ok(text) if !text.chars().any(char::is_control) => {
                format!("io.systemd.credential:{}={text}", self.name)
            }
            _ => {
                format!(
                    "io.systemd.credential.binary:{}={}",
                    self.name,
                    STANDARD.encode(&self.value)
                )
            }
        }
    }
}

/// Whether systemd takes this as a credential's name (its `credential_name_valid`): the name of a
/// file in printable ASCII, without a colon.
#[must_use]
pub fn name_is_valid(name: &str) -> bool {
    let letter = |byte: u8| (b' '..127).contains(&byte) && byte != b':' && byte != b'/';
    (1..=NAME_MAX).contains(&name.len()) && !matches!(name, "." | "..") && name.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(name: &str, value: &[u8]) -> Credential {
        Credential { name: name.into(), value: value.into() }
    }

    #[test]
    fn a_short_name_goes_by_fw_cfg_and_a_long_one_by_smbios() {
        let short = "n".repeat(28);
        let name = format!("opt/io.systemd.credentials/{short}");
        assert_eq!(name.len(), 55);
        assert_eq!(credential(&short, b"v").place(), CredentialPlace::FwCfg(name));
        let long = "n".repeat(29);
        let string = format!("io.systemd.credential:{long}=v w");
        assert_eq!(credential(&long, b"v w").place(), CredentialPlace::Smbios(string));
    }

    #[test]
    fn what_is_no_plain_text_is_base64_in_smbios() {
        for (value, string) in [
            (&b"plain text, a=b"[..], "io.systemd.credential:n=plain text, a=b"),
            (b"", "io.systemd.credential:n="),
            ("gr\u{fc}n".as_bytes(), "io.systemd.credential:n=gr\u{fc}n"),
            (b"two\nlines\n", "io.systemd.credential.binary:n=dHdvCmxpbmVzCg=="),
            (b"\0\xff", "io.systemd.credential.binary:n=AP8="),
        ] {
            assert_eq!(credential("n", value).smbios_string(), string);
        }
    }

    #[test]
    fn names_are_those_that_systemd_takes() {
        for name in ["n", "ssh.authorized_keys.root", "a b", "...", &"n".repeat(255)] {
            assert!(name_is_valid(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a:b", "a\tb", "gr\u{fc}n", &"n".repeat(256)] {
            assert!(!name_is_valid(name), "{name}");
        }
    }
}
