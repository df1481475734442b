//! systemd credentials and the two ways of passing one to a guest (systemd.system-credentials(7)).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Prefix of the fw_cfg file names from which systemd reads credentials.
pub const FW_CFG_PREFIX: &str = "opt/io.systemd.credentials/";

/// Maximum length of a fw_cfg file name in bytes: 56, minus the terminating NUL.
pub const FW_CFG_NAME_MAX: usize = 55;

/// Maximum length of a credential's name in bytes: that of a file name and of a systemd descriptor
/// name.
pub const NAME_MAX: usize = 255;

/// systemd's limit on the total size of all credentials, in bytes; it drops those that exceed it.
pub const TOTAL_MAX: usize = 1 << 20;

/// A credential (`-credential NAME=VALUE`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its name, which satisfies [`name_is_valid`].
    pub name: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// How a credential is passed to the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialPlace {
    /// As a fw_cfg file of this name.
    FwCfg(String),
    /// As this SMBIOS type 11 string.
    Smbios(String),
}

impl Credential {
    /// fw_cfg if the name fits, SMBIOS otherwise.
    #[must_use]
    pub fn place(&self) -> CredentialPlace {
        self.fw_cfg_name()
            .map_or_else(|| CredentialPlace::Smbios(self.smbios_string()), CredentialPlace::FwCfg)
    }

    /// The name of its fw_cfg file, or `None` if that would be too long.
    #[must_use]
    pub fn fw_cfg_name(&self) -> Option<String> {
        let fits = FW_CFG_PREFIX.len() + self.name.len() <= FW_CFG_NAME_MAX;
        fits.then(|| format!("{FW_CFG_PREFIX}{}", self.name))
    }

    /// Its SMBIOS type 11 string (smbios-type-11(7)): plain text, or base64 if the value is empty
    /// or contains characters that an SMBIOS string cannot hold.
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

/// Whether systemd accepts `name` for a credential (its `credential_name_valid`): a file name in
/// printable ASCII, without a colon.
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
    fn a_short_name_uses_fw_cfg_and_a_long_one_smbios() {
        let short = "n".repeat(28);
        let name = format!("opt/io.systemd.credentials/{short}");
        assert_eq!(name.len(), 55);
        assert_eq!(credential(&short, b"v").place(), CredentialPlace::FwCfg(name));
        let long = "n".repeat(29);
        let string = format!("io.systemd.credential:{long}=v w");
        assert_eq!(credential(&long, b"v w").place(), CredentialPlace::Smbios(string));
    }

    #[test]
    fn binary_values_are_base64_in_smbios() {
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
    fn accepts_the_names_that_systemd_accepts() {
        for name in ["n", "ssh.authorized_keys.root", "a b", "...", &"n".repeat(255)] {
            assert!(name_is_valid(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a:b", "a\tb", "gr\u{fc}n", &"n".repeat(256)] {
            assert!(!name_is_valid(name), "{name}");
        }
    }
}
