//! `-device virtio-rng` with `-object rng-random`: random numbers for the guest, in QEMU's
//! spelling.

use vmm::config::{EntropyFile, MachineKind};

use super::error::ArgsError;
use super::options::Options;
use super::value::{RawPair, driver, raw, raw_pairs};

/// The names of the device: on microvm, on pc, and the machine's own.
pub(super) const DEVICES: [&str; 3] = [ON_MICROVM, ON_PC, "virtio-rng"];
const ON_MICROVM: &str = "virtio-rng-device";
const ON_PC: &str = "virtio-rng-pci";

/// The objects that the device takes its numbers from.
const OBJECTS: [&str; 2] = ["rng-random", "rng-builtin"];

/// Whether a `-object` is for this device.
pub(super) fn is_object(given: &[u8]) -> bool {
    let pairs = raw_pairs(given, "qom-type");
    let kind = pairs.iter().find(|pair| pair.key == "qom-type");
    let kind = kind.and_then(|pair| pair.value.as_deref());
    OBJECTS.iter().any(|name| kind == Some(name.as_bytes()))
}

/// The device, if there is one. Without an object it takes the host's numbers, as in QEMU
/// (`virtio_rng_device_realize`, hw/virtio/virtio-rng.c).
pub(super) fn rng(
    options: &Options,
    machine: MachineKind,
    warnings: &mut Vec<String>,
) -> Result<Option<EntropyFile>, ArgsError> {
    let mut objects = Vec::new();
    for given in raw(&options.objects).filter(|given| is_object(given)) {
        objects.push(object(given)?);
    }
    let mut found = None;
    for given in raw(&options.devices) {
        let pairs = raw_pairs(given, "driver");
        let name = driver(&pairs).and_then(|name| std::str::from_utf8(name).ok());
        let Some(name) = name.filter(|name| DEVICES.contains(name)) else { continue };
        check_machine(name, [ON_MICROVM, ON_PC], "virtio-rng", machine)?;
        if found.replace(device(name, &pairs, &mut objects)?).is_some() {
            let why = "chukka has one source of random numbers";
            return Err(ArgsError::unsupported(
                format!("-device {name}, given twice"),
                why,
                "leave one out",
            ));
        }
    }
    for (id, _) in objects {
        warnings
            .push(format!("-object id={id}: no device uses it; -device virtio-rng,rng={id} does"));
    }
    Ok(found)
}

/// `rng-random,id=ID[,filename=FILE]` or `rng-builtin,id=ID`.
fn object(given: &[u8]) -> Result<(String, EntropyFile), ArgsError> {
    let option = "object";
    let (mut id, mut file) = (None, EntropyFile::default());
    for raw in raw_pairs(given, "qom-type") {
        let pair = raw.text(option)?;
        let value = pair.value(option)?;
        match pair.key.as_str() {
            "qom-type" => {}
            "id" => id = Some(value.to_owned()),
            "filename" => {
                let known = EntropyFile::ALL.into_iter().find(|file| file.path() == value);
                file = known.ok_or_else(|| {
                    let why = "chukka passes on the numbers of /dev/urandom and /dev/random only";
                    ArgsError::unsupported(pair.shown(option), why, "use filename=/dev/urandom")
                })?;
            }
            _ => {
                let expected = "rng-random,id=ID,filename=/dev/urandom";
                return Err(ArgsError::bad(pair.shown(option), expected));
            }
        }
    }
    let given = format!("-object {}", String::from_utf8_lossy(given));
    let id =
        id.ok_or_else(|| ArgsError::bad(given, "an id for the device to name it by: id=ID"))?;
    Ok((id, file))
}

fn device(
    name: &str,
    pairs: &[RawPair],
    objects: &mut Vec<(String, EntropyFile)>,
) -> Result<EntropyFile, ArgsError> {
    let option = "device";
    let mut source = EntropyFile::default();
    for raw in pairs {
        let pair = raw.text(option)?;
        match pair.key.as_str() {
            "driver" | "id" => {}
            "rng" => {
                let id = pair.value(option)?;
                let at = objects.iter().position(|(known, _)| known == id).ok_or_else(|| {
                    ArgsError::bad(pair.shown(option), "the id of a -object rng-random").with_hint(
                        "for example: -object rng-random,id=rng0 -device virtio-rng,rng=rng0",
                    )
                })?;
                source = objects.swap_remove(at).1;
            }
            _ => {
                let expected = format!("{name} with rng=ID, or alone");
                return Err(ArgsError::bad(pair.shown(option), expected));
            }
        }
    }
    Ok(source)
}

/// Refuses the name that belongs to the other machine: `own` is right on both.
pub(super) fn check_machine(
    name: &str,
    [on_microvm, on_pc]: [&str; 2],
    own: &str,
    machine: MachineKind,
) -> Result<(), ArgsError> {
    let (other, why) = match machine {
        MachineKind::Microvm => (on_pc, "microvm has no PCI"),
        MachineKind::Pc => (on_microvm, "on pc, virtio devices are PCI devices"),
    };
    if name == other {
        let hint = format!("use {own}, the name that works on both machines");
        return Err(ArgsError::unsupported(format!("-device {name}"), why, hint));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(
        objects: &[&str],
        devices: &[&str],
        machine: MachineKind,
    ) -> Result<(Option<EntropyFile>, usize), ArgsError> {
        let words = |values: &[&str]| values.iter().map(Into::into).collect();
        let options =
            Options { objects: words(objects), devices: words(devices), ..Options::default() };
        let mut warnings = Vec::new();
        rng(&options, machine, &mut warnings).map(|found| (found, warnings.len()))
    }

    #[test]
    fn a_device_takes_its_numbers_from_an_object_or_from_the_host() {
        let object = "rng-random,filename=/dev/random,id=rng0";
        for (objects, device, expected) in [
            (&[][..], "virtio-rng", EntropyFile::Urandom),
            (&["rng-random,id=r"], "virtio-rng-pci,rng=r", EntropyFile::Urandom),
            (&["rng-builtin,id=r"], "virtio-rng-pci,rng=r,id=d", EntropyFile::Urandom),
            (&[object], "virtio-rng-pci,rng=rng0", EntropyFile::Random),
        ] {
            let found = parse(objects, &[device], MachineKind::Pc);
            assert_eq!(found, Ok((Some(expected), 0)), "{device}");
        }
        assert_eq!(parse(&[object], &[], MachineKind::Pc), Ok((None, 1)), "nothing uses it");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (objects, devices) in [
            (&["rng-random,id=r,filename=/etc/passwd"][..], &[][..]),
            (&["rng-random"], &[]),
            (&["rng-random,id=r,size=1"], &[]),
            (&[], &["virtio-rng,rng=r"]),
            (&[], &["virtio-rng,max-bytes=1"]),
            (&[], &["virtio-rng", "virtio-rng"]),
            (&[], &["virtio-rng-pci"]),
        ] {
            assert!(
                parse(objects, devices, MachineKind::Microvm).is_err(),
                "{objects:?} {devices:?}"
            );
        }
        assert!(parse(&[], &["virtio-rng-device"], MachineKind::Pc).is_err());
    }
}
