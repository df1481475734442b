//! `-smbios`, and `-uuid`, which is a part of it.

use std::os::unix::ffi::OsStrExt;

use super::error::ArgsError;
use super::machine;
use super::options::Smbios;
use super::refusals::Refusals;
use super::value::{RawPair, integer, raw_pairs, text};
use vmm::config::{Credential, OEM_STRINGS, OemString, SmbiosOptions, SystemInformation};

/// What the SMBIOS tables say, and the machine's UUID: of `-uuid` and `-smbios type=1,uuid=` the
/// one that comes last counts, as both set the same thing in QEMU.
pub(super) fn smbios(given: &[Smbios]) -> Result<(SmbiosOptions, Option<[u8; 16]>), ArgsError> {
    let mut smbios = SmbiosOptions::default();
    let mut uuid = None;
    let mut refusals = Refusals::default();
    for option in given {
        let read = match option {
            Smbios::Uuid(given) => text(given, "uuid")
                .and_then(|text| machine::uuid(&format!("-uuid {text}"), text).map(Some)),
            Smbios::Structure(given) => structure(&mut smbios, given.as_bytes()),
        };
        uuid = refusals.value(read).or(uuid);
    }
    refusals.finish((smbios, uuid))
}

/// Type 11 has to carry its own strings and those credentials that do not fit into fw_cfg.
pub(super) fn check_strings(
    smbios: &SmbiosOptions,
    credentials: &[Credential],
) -> Result<(), ArgsError> {
    let long = credentials.iter().filter(|credential| credential.fw_cfg_name().is_none()).count();
    let count = smbios.oem_strings.len() + long;
    if count <= OEM_STRINGS {
        return Ok(());
    }
    let given = format!("-smbios type=11 and -credential, {count} strings");
    let expected = format!("at most {OEM_STRINGS}, the most that one SMBIOS structure has");
    Err(ArgsError::bad(given, expected)
        .with_hint("credentials with names up to 28 bytes need none"))
}

/// Takes one `-smbios` in; gives its UUID if it has one.
fn structure(smbios: &mut SmbiosOptions, given: &[u8]) -> Result<Option<[u8; 16]>, ArgsError> {
    let shown = || format!("-smbios {}", String::from_utf8_lossy(given));
    let hint = "chukka has type=11,value=TEXT and type=1,product=TEXT";
    // QEMU has no key for the first value.
    let pairs = raw_pairs(given, "");
    if pairs.iter().any(|pair| pair.key == "file") {
        let why = "chukka makes its own structures and takes none from a file";
        return Err(ArgsError::unsupported(shown(), why, hint));
    }
    let mut number = None;
    for pair in pairs.iter().filter(|pair| pair.key == "type") {
        let text = pair.text("smbios")?;
        let value = integer(text.value("smbios")?).and_then(|value| u8::try_from(value).ok());
        let value = value.filter(|value| *value < 128);
        let expected = "a structure's type: type=1 or type=11";
        number = Some(value.ok_or_else(|| ArgsError::bad(pair.shown("smbios"), expected))?);
    }
    let fields = || pairs.iter().filter(|pair| pair.key != "type");
    match number {
        Some(1) => system(&mut smbios.system, fields()),
        Some(11) => {
            for pair in fields() {
                smbios.oem_strings.push(oem_string(pair)?);
            }
            Ok(None)
        }
        Some(number) => {
            let why = "chukka has no options for this SMBIOS structure";
            Err(ArgsError::unsupported(format!("-smbios type={number}"), why, hint))
        }
        None => Err(ArgsError::bad(shown(), "type=1,… or type=11,…").with_hint(hint)),
    }
}

fn system<'a>(
    system: &mut SystemInformation,
    pairs: impl Iterator<Item = &'a RawPair>,
) -> Result<Option<[u8; 16]>, ArgsError> {
    let mut uuid = None;
    for pair in pairs {
        let text = pair.text("smbios")?;
        let field = match pair.key.as_str() {
            "manufacturer" => &mut system.manufacturer,
            "product" => &mut system.product,
            "version" => &mut system.version,
            "serial" => &mut system.serial,
            "sku" => &mut system.sku,
            "family" => &mut system.family,
            "uuid" => {
                uuid = Some(machine::uuid(&pair.shown("smbios"), text.value("smbios")?)?);
                continue;
            }
            _ => {
                let expected = "manufacturer=, product=, version=, serial=, uuid=, sku= or family=";
                return Err(ArgsError::bad(pair.shown("smbios"), expected).with_hint(COMMA));
            }
        };
        *field = Some(text.value("smbios")?.to_owned());
    }
    Ok(uuid)
}

/// The likely cause of an unknown key.
const COMMA: &str = "a comma in a text is written twice: ,,";

fn oem_string(pair: &RawPair) -> Result<OemString, ArgsError> {
    match pair.key.as_str() {
        "path" => Ok(OemString::File(pair.path("smbios")?)),
        "value" => match pair.bytes("smbios")? {
            [] => {
                let expected = "a text of at least one character";
                Err(ArgsError::bad("-smbios type=11,value=", expected)
                    .with_hint("SMBIOS has no empty strings: leave it out"))
            }
            bytes => Ok(OemString::Text(bytes.to_vec())),
        },
        _ => {
            let expected = "value=TEXT or path=FILE";
            Err(ArgsError::bad(pair.shown("smbios"), expected).with_hint(COMMA))
        }
    }
}
