//! `-fw_cfg`, `-credential`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::error::ArgsError;
use super::refusals::all;
use super::value::{raw, raw_pairs};
use vmm::config::credential::{FW_CFG_NAME_MAX, NAME_MAX, TOTAL_MAX, name_is_valid};
use vmm::config::{Credential, FwCfgItem, FwCfgSource};

/// What `-fw_cfg` takes.
const FORM: &str = "a name and either file= or string=: opt/NAME,file=PATH or opt/NAME,string=TEXT";

/// Every `-fw_cfg`, as QEMU's `parse_fw_cfg` (system/vl.c) takes them.
pub(super) fn items(
    given: &[OsString],
    warnings: &mut Vec<String>,
) -> Result<Vec<FwCfgItem>, ArgsError> {
    let mut items: Vec<FwCfgItem> = Vec::new();
    for item in all(raw(given).map(item))? {
        let name = &item.name;
        if items.iter().any(|earlier| earlier.name == *name) {
            return Err(twice(format!("-fw_cfg {name}")));
        }
        if !name.starts_with("opt/") {
            warnings.push(format!(
                "-fw_cfg {name}: a name that does not begin with opt/ is for firmware, and may \
                 change how the guest boots"
            ));
        }
        items.push(item);
    }
    Ok(items)
}

fn twice(given: String) -> ArgsError {
    ArgsError::bad(given, "each name once").with_hint("leave one of the two out, or rename it")
}

fn item(given: &[u8]) -> Result<FwCfgItem, ArgsError> {
    let option = "fw_cfg";
    let (mut name, mut file, mut text) = (String::new(), None, None);
    for pair in raw_pairs(given, "name") {
        match pair.key.as_str() {
            "name" => name = pair.text(option)?.value(option)?.to_owned(),
            // As in QEMU the last of a repeated key counts, and an empty value is none.
            "file" => file = Some(pair.bytes(option)?.to_vec()).filter(|file| !file.is_empty()),
            "string" => text = Some(pair.bytes(option)?.to_vec()).filter(|text| !text.is_empty()),
            "gen_id" => {
                let why = "chukka has no -object";
                let hint = "write it to a file: opt/NAME,file=PATH";
                return Err(ArgsError::unsupported(pair.shown(option), why, hint));
            }
            _ => {
                let hint = "a comma in a name, path or text is written twice: ,,";
                return Err(ArgsError::bad(pair.shown(option), FORM).with_hint(hint));
            }
        }
    }
    let shown = || format!("-fw_cfg {}", String::from_utf8_lossy(given));
    if name.len() > FW_CFG_NAME_MAX {
        let given = format!("-fw_cfg {name}");
        let expected = format!("a name of at most {FW_CFG_NAME_MAX} bytes, it has {}", name.len());
        return Err(ArgsError::bad(given, expected).with_hint("shorten it"));
    }
    let source = match (file, text) {
        _ if name.is_empty() => return Err(ArgsError::bad(shown(), FORM)),
        (Some(_), Some(_)) => {
            let hint = "an item has one content: leave file= or string= out";
            return Err(ArgsError::bad(shown(), "either file= or string=").with_hint(hint));
        }
        (Some(path), None) => FwCfgSource::File(OsString::from_vec(path).into()),
        (None, Some(text)) => FwCfgSource::Text(text),
        (None, None) => {
            let hint = "an item without content takes an empty file: file=PATH";
            return Err(ArgsError::bad(shown(), FORM).with_hint(hint));
        }
    };
    Ok(FwCfgItem { name, source })
}

/// Every `-credential`; `items` are those of `-fw_cfg`, whose names are taken.
pub(super) fn credentials(
    given: &[OsString],
    items: &[FwCfgItem],
) -> Result<Vec<Credential>, ArgsError> {
    let mut credentials: Vec<Credential> = Vec::new();
    for credential in all(raw(given).map(credential))? {
        let fw_cfg = credential.fw_cfg_name();
        if credentials.iter().any(|earlier| earlier.name == credential.name)
            || items.iter().any(|item| Some(&item.name) == fw_cfg.as_ref())
        {
            return Err(twice(format!("-credential {}", credential.name)));
        }
        credentials.push(credential);
    }
    let total: usize = credentials.iter().map(|credential| credential.value.len()).sum();
    if total > TOTAL_MAX {
        let given = format!("-credential, {total} bytes in all");
        let expected = format!("at most {TOTAL_MAX}, systemd's limit");
        return Err(ArgsError::bad(given, expected)
            .with_hint("put large data into the initrd or -fw_cfg opt/NAME,file=PATH"));
    }
    Ok(credentials)
}

fn credential(given: &[u8]) -> Result<Credential, ArgsError> {
    let Some(at) = given.iter().position(|byte| *byte == b'=') else {
        let given = format!("-credential {}", String::from_utf8_lossy(given));
        return Err(
            ArgsError::bad(given, "NAME=VALUE").with_hint("for an empty value, write NAME=")
        );
    };
    let (name, value) = (String::from_utf8_lossy(&given[..at]).into_owned(), &given[at + 1..]);
    if !name_is_valid(&name) {
        let expected = format!("a name of 1 to {NAME_MAX} printable ASCII characters but / and :");
        return Err(ArgsError::bad(format!("-credential {name}"), expected)
            .with_hint("for example: -credential passwd.hashed-password.root='$y$…'"));
    }
    Ok(Credential { name, value: value.to_vec() })
}
