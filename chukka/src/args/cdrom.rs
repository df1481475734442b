//! `-device scsi-cd` and `-device virtio-scsi`: CD drives and their controller, in QEMU's spelling.
//!
//! There is one controller. A drive without a `-device`, such as a `-cdrom`, is on it too, where
//! QEMU's is an IDE drive: guests call both `/dev/sr0`.

use vmm::config::MachineKind;

use super::drive::{Drive, Named, pair_text};
use super::drive_device::DriveDevice;
use super::error::ArgsError;
use super::value::{RawPair, driver, raw_pairs};

/// The names of the controller: on microvm, on pc, and the machine's own.
const CONTROLLERS: [&str; 3] = [ON_MICROVM, ON_PC, "virtio-scsi"];
const ON_MICROVM: &str = "virtio-scsi-device";
const ON_PC: &str = "virtio-scsi-pci";
const DRIVE: &str = "scsi-cd";
const EXAMPLE: &str = "for example: -drive file=debian.iso,media=cdrom,if=none,id=cd -device \
                       virtio-scsi -device scsi-cd,drive=cd";

/// Whether `-device NAME` is read here.
pub(super) fn is_device(name: &str) -> bool {
    name == DRIVE || CONTROLLERS.contains(&name)
}

/// The controller, as far as `-device` has it.
#[derive(Debug, Default)]
pub(super) struct Controller {
    pub is_given: bool,
    id: Option<String>,
}

impl Controller {
    /// Reads a `-device`, if it is a controller. Whether it is.
    pub fn read(&mut self, given: &[u8], machine: MachineKind) -> Result<bool, ArgsError> {
        let pairs = raw_pairs(given, "driver");
        let driver = driver(&pairs);
        let Some(name) = CONTROLLERS.into_iter().find(|name| driver == Some(name.as_bytes()))
        else {
            return Ok(false);
        };
        let shown = format!("-device {name}");
        let (other, why) = match machine {
            MachineKind::Microvm => (ON_PC, "microvm has no PCI"),
            MachineKind::Pc => (ON_MICROVM, "on pc, controllers are PCI devices"),
        };
        if name == other {
            let hint = "use -device virtio-scsi, the name that works on both machines";
            return Err(ArgsError::unsupported(shown, why, hint));
        }
        if std::mem::replace(&mut self.is_given, true) {
            let why = "chukka has one SCSI controller";
            return Err(ArgsError::unsupported(shown, why, "attach all CD drives to one"));
        }
        for pair in &pairs {
            match pair.key.as_str() {
                "driver" => {}
                "id" => self.id = Some(pair_text(pair, "device")?),
                _ => return Err(ArgsError::bad(pair.shown("device"), format!("{name},id=ID"))),
            }
        }
        Ok(true)
    }

    /// Checks `bus=`: the controller's id, and the number of its only bus.
    fn check_bus(&self, pair: &RawPair) -> Result<(), ArgsError> {
        let bus = pair_text(pair, "device")?;
        let id = self.id.as_deref();
        if id.is_some_and(|id| bus == id || bus.strip_suffix(".0") == Some(id)) {
            return Ok(());
        }
        let expected = match id {
            Some(id) => format!("the controller's bus, {id}.0"),
            None => "the bus of a -device virtio-scsi,id=ID: ID.0".into(),
        };
        Err(ArgsError::bad(pair.shown("device"), expected))
    }

    /// Reads a `-device`, if it is a CD drive: the `-drive` that it names, as target number
    /// `target`.
    pub fn drive(
        &self,
        given: &[u8],
        target: usize,
        named: &mut Named,
    ) -> Result<Option<Drive>, ArgsError> {
        let option = "device";
        let pairs = raw_pairs(given, "driver");
        if driver(&pairs) != Some(DRIVE.as_bytes()) {
            return Ok(None);
        }
        let mut device = DriveDevice::default();
        for pair in &pairs {
            if device.read(pair)? {
                continue;
            }
            let value = || pair_text(pair, option);
            match pair.key.as_str() {
                "bus" => self.check_bus(pair)?,
                "channel" | "lun" if value()? == "0" => {}
                "channel" | "lun" => return Err(ArgsError::bad(pair.shown(option), "0")),
                "scsi-id" if value()? == target.to_string() => {}
                "scsi-id" => {
                    let expected = format!("{target}: CD drives are numbered in their order");
                    return Err(ArgsError::bad(pair.shown(option), expected));
                }
                _ => {
                    let expected = "scsi-cd,drive=ID,bus=ID.0,serial=TEXT,bootindex=N";
                    return Err(ArgsError::bad(pair.shown(option), expected));
                }
            }
        }
        device.take(DRIVE, named, EXAMPLE)?.into_cd().map(Some)
    }
}
