//! `--disk`, as virt-install writes it.

use std::path::PathBuf;

use storage::disk::{CacheMode, DiskFormat};

use super::saved_guest::SavedDisk;
use crate::args::disk_bytes;

/// Why a `--disk` is refused, and what to do about it.
pub type Refusal = (String, &'static str);

/// What a SATA disk has among its properties of `-drive`.
pub const SATA: &str = "if=ide";

const KEYS: &str = "expected path=, size=, format=, bus=, cache=, discard=, serial=";

/// Reads the value of `--disk`. `default_size` is in bytes, `default_path` is relative to the
/// state's directory.
///
/// # Errors
/// A property is not known, or has a value that chukka cannot do.
pub fn disk(given: &str, default_path: &str, default_size: u64) -> Result<SavedDisk, Refusal> {
    let mut path = None;
    let mut format = None;
    let mut size = None;
    let mut options = Vec::new();
    for (at, word) in given.split(',').filter(|word| !word.is_empty()).enumerate() {
        let (key, value) = match word.split_once('=') {
            Some(pair) => pair,
            None if at == 0 => ("path", word),
            None => return Err((format!("--disk {word}: {KEYS}"), "")),
        };
        let refused = |expected: &str| (format!("--disk {word}: {expected}"), "");
        match (key, value) {
            ("path", "none") => {
                let hint = "leave --disk out: chukka creates one";
                return Err(("--disk none: an installation needs a disk".into(), hint));
            }
            ("path", value) => path = Some(PathBuf::from(value)),
            ("size", value) => {
                size = Some(
                    gibibytes(value)
                        .ok_or_else(|| refused("expected GiB, or a size with a unit"))?,
                );
            }
            ("format" | "driver.type", value) => {
                let known = DiskFormat::by_name(value);
                format = Some(known.ok_or_else(|| refused("expected raw or qcow2"))?);
            }
            ("bus" | "target.bus", "virtio") | ("device", "disk") => {}
            // For installers without drivers for virtio disks: AHCI, on pc.
            ("bus" | "target.bus", "sata") => options.push(SATA.into()),
            ("bus" | "target.bus", _) => return Err(refused("expected virtio or sata")),
            ("device", _) => return Err(refused("expected device=disk")),
            ("cache" | "driver.cache", value) if CacheMode::by_name(value).is_some() => {
                options.push(format!("cache={value}"));
            }
            ("cache" | "driver.cache", _) => {
                return Err(refused(
                    "expected writeback, none, writethrough, directsync or unsafe",
                ));
            }
            ("discard" | "driver.discard", "unmap" | "ignore") => {
                options.push(format!("discard={value}"));
            }
            ("discard" | "driver.discard", _) => return Err(refused("expected unmap or ignore")),
            ("serial", value) => options.push(format!("serial={value}")),
            _ => return Err(refused(KEYS)),
        }
    }
    let default_path = match format {
        Some(DiskFormat::Raw) => default_path.replace(".qcow2", ".raw"),
        _ => default_path.to_owned(),
    };
    // Of the user's own directory, not of the state's.
    let path = match path {
        Some(path) => std::path::absolute(&path)
            .map_err(|error| (format!("--disk {}: {error}", path.display()), ""))?,
        None => default_path.into(),
    };
    let created = path.is_relative() || !path.exists();
    let format = match format {
        Some(format) => Some(format),
        None if created => Some(DiskFormat::for_name(&path)),
        None => None,
    };
    options.extend(format.map(|format| format!("format={}", format.name())));
    let options = options.join(",");
    Ok(SavedDisk { path, options, size: size.unwrap_or(default_size), created })
}

/// A number of GiB, as virt-install has it, or a size with a unit.
fn gibibytes(text: &str) -> Option<u64> {
    if let Some(bytes) = disk_bytes(text) {
        return Some(bytes);
    }
    let number: f64 = text.parse().ok()?;
    let sectors = (number * f64::from(1u32 << 21)).round();
    let is_size = (1.0..f64::from(u32::MAX) * 4096.0).contains(&sectors);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked"
    )]
    is_size.then(|| (sectors as u64) * 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &str) -> Result<SavedDisk, Refusal> {
        disk(given, "disk.qcow2", 20 << 30)
    }

    #[test]
    fn a_disk_has_the_properties_of_virt_install() {
        for (given, path, size, options) in [
            ("", "disk.qcow2", 20 << 30, "format=qcow2"),
            ("size=8", "disk.qcow2", 8 << 30, "format=qcow2"),
            ("size=0.5,format=raw", "disk.raw", 512 << 20, "format=raw"),
            ("/no/d.img,size=100M,bus=virtio", "/no/d.img", 100 << 20, "format=raw"),
            ("size=8,bus=sata", "disk.qcow2", 8 << 30, "if=ide,format=qcow2"),
            ("path=/no/d.qcow2,cache=none", "/no/d.qcow2", 20 << 30, "cache=none,format=qcow2"),
        ] {
            let disk = read(given).unwrap();
            let of = (disk.path.to_str().unwrap(), disk.size, &*disk.options, disk.created);
            assert_eq!(of, (path, size, options, true), "{given}");
        }
        // One that exists is used as it is.
        let own = read("path=/dev/null").unwrap();
        assert_eq!((own.created, &*own.options), (false, ""));
    }

    #[test]
    fn what_a_disk_cannot_have_is_refused_by_name() {
        for (given, said) in [
            ("none", "an installation needs a disk"),
            ("size=x", "--disk size=x: expected GiB"),
            ("size=0", "--disk size=0: expected GiB"),
            ("size=-1", "--disk size=-1"),
            ("format=vmdk", "expected raw or qcow2"),
            ("bus=scsi", "--disk bus=scsi: expected virtio or sata"),
            ("device=cdrom", "expected device=disk"),
            ("pool=default", "--disk pool=default: expected path="),
            ("size=8,word", "--disk word: "),
        ] {
            assert!(read(given).unwrap_err().0.contains(said), "{given}: {:?}", read(given));
        }
    }
}
