//! The contents of fw_cfg: the machine's description, what to boot, and the user's files.

use std::fs;
use std::path::{Path, PathBuf};

use firmware::SourceFile;
use firmware::acpi::AcpiTables;
use firmware::builtin;
use firmware::smbios::{SmbiosConfig, SystemStrings};
use firmware::{BootOptions, PlatformConfig};
use fw_cfg::x86::{VMCOREINFO_FILE, VmCoreInfo};
use fw_cfg::{DEFAULT_FILE_SLOTS, Data, Items, MAX_FILE_SLOTS};
use guest_memory::Content;

use super::parts::Parts;
use crate::config::credential::CredentialPlace;
use crate::config::{FwCfgItem, FwCfgSource, OemString, VmConfig};
use crate::error::BootError;
use crate::outcome::Outcome;

/// Upper bound on the number of files chukka itself publishes.
const OWN_FILES: usize = 17;

/// Builds all fw_cfg items of the machine. `boot_paths` has the devices to boot from: boot index
/// and firmware path.
///
/// # Errors
/// A file cannot be read, something does not fit, or two items have the same name.
pub fn items(
    parts: &Parts<'_>,
    acpi: &AcpiTables,
    boot_paths: &[(u32, String)],
) -> Result<Items, BootError> {
    let &Parts { config, map, boot, notifier, .. } = parts;
    let theirs = config.fw_cfg.len() + config.credentials.len();
    let roms = config.firmware.as_ref().map_or(0, |firmware| firmware.option_roms.len());
    let slots = u16::try_from(OWN_FILES + theirs + roms).unwrap_or(MAX_FILE_SLOTS);
    let mut items = Items::with_file_slots(slots.max(DEFAULT_FILE_SLOTS));
    let boot_order = boot.publish(&mut items, map, config.machine, boot_paths)?;
    let options = &config.boot_options;
    let platform = PlatformConfig {
        cpus: config.cpus,
        map: map.clone(),
        uuid: config.uuid,
        nographic: options.menu || boot.firmware_talks(),
        boot: BootOptions {
            menu: options.menu,
            splash_time: options.splash_time,
            reboot_timeout: options.reboot_timeout.and_then(|ms| u16::try_from(ms).ok()),
            strict: options.strict,
        },
        boot_order,
    };
    platform.publish(&mut items)?;
    acpi.publish(&mut items)?;
    parts.smbios.publish(&mut items)?;
    if boot.is_builtin() {
        let notifier = notifier.clone();
        builtin::publish_error_file(&mut items, move |error| {
            notifier.end(Outcome::Firmware(error));
        })?;
    }
    for item in &config.fw_cfg {
        items.add_file(&item.name, data(item)?)?;
    }
    for credential in &config.credentials {
        if let CredentialPlace::FwCfg(name) = credential.place() {
            items.add_file(&name, credential.value.clone())?;
        }
    }
    if config.vmcoreinfo {
        let notifier = notifier.clone();
        let on_write = Box::new(move |bytes: &[u8], _, _| {
            let info = VmCoreInfo::parse(bytes).filter(|info| info.guest_format != 0);
            notifier.note(|n| n.vmcoreinfo = info.or(n.vmcoreinfo));
        });
        items.add_writable_file(VMCOREINFO_FILE, VmCoreInfo::offer().to_vec(), on_write)?;
    }
    Ok(items)
}

/// The contents of a user-defined file, read when the guest accesses them.
fn data(item: &FwCfgItem) -> Result<Data, BootError> {
    let path = match &item.source {
        FwCfgSource::Text(bytes) => return Ok(bytes.clone().into()),
        FwCfgSource::File(path) => path,
    };
    // Allow empty files: the guest may only check whether the file exists.
    if fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() == 0) {
        return Ok(Vec::new().into());
    }
    let file = SourceFile::open(path, "fw_cfg file")?;
    Ok(file.range(0..file.len(), Content::Data).into())
}

/// The contents of the SMBIOS tables.
///
/// # Errors
/// A file with an OEM string cannot be read.
pub fn smbios_config(config: &VmConfig) -> Result<SmbiosConfig, BootError> {
    let mut oem_strings = Vec::new();
    for string in &config.smbios.oem_strings {
        oem_strings.push(match string {
            OemString::Text(bytes) => bytes.clone(),
            OemString::File(path) => read(path)?,
        });
    }
    for credential in &config.credentials {
        if let CredentialPlace::Smbios(string) = credential.place() {
            oem_strings.push(string.into_bytes());
        }
    }
    let defaults = SystemStrings::default();
    let given = &config.smbios.system;
    let or = |given: &Option<String>, default: Vec<u8>| {
        given.as_ref().map_or(default, |text| text.clone().into_bytes())
    };
    let system = SystemStrings {
        manufacturer: or(&given.manufacturer, defaults.manufacturer),
        product: or(&given.product, defaults.product),
        version: or(&given.version, defaults.version),
        serial: or(&given.serial, defaults.serial),
        sku: or(&given.sku, defaults.sku),
        family: or(&given.family, defaults.family),
    };
    let (uuid, memory, cpus) = (config.uuid, config.memory, config.cpus);
    Ok(SmbiosConfig { uuid, memory, cpus, oem_strings, system })
}

fn read(path: &Path) -> Result<Vec<u8>, BootError> {
    fs::read(path).map_err(|source| BootError::OemString { path: PathBuf::from(path), source })
}
