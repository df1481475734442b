//! `-device ahci`, `-device ide-hd` and `-device ide-cd`, and `-drive if=ide` on pc: drives of a
//! SATA controller, in QEMU's spelling.
//!
//! There is one controller, and any of its drives brings it along. In QEMU `if=ide` on pc is an IDE
//! drive instead, and on q35 one of a controller like this: guests call both `/dev/sda`.

use devices::ahci::PORTS;
use vmm::config::MachineKind;

use super::drive::{Drive, Named, pair_text};
use super::drive_device::DriveDevice;
use super::error::ArgsError;
use super::value::{RawPair, driver, raw_pairs};

/// The names of the controller.
const CONTROLLERS: [&str; 2] = ["ahci", "ich9-ahci"];
const DISK: &str = "ide-hd";
const CD: &str = "ide-cd";
const EXAMPLE: &str = "for example: -machine pc -drive file=disk.raw,format=raw,if=none,id=d0 \
                       -device ahci,id=sata -device ide-hd,drive=d0,bus=sata.0";

/// Whether `-device NAME` is read here.
pub(super) fn is_device(name: &str) -> bool {
    [DISK, CD].contains(&name) || CONTROLLERS.contains(&name)
}

/// The controller, and which of its ports are taken.
#[derive(Debug, Default)]
pub(super) struct Sata {
    /// A `-device` names it.
    is_given: bool,
    id: Option<String>,
    taken: [bool; PORTS],
}

impl Sata {
    /// Whether the machine has one.
    pub fn is_there(&self) -> bool {
        self.is_given || self.taken.contains(&true)
    }

    /// Reads a `-device`, if it is the controller.
    pub fn read(&mut self, given: &[u8], machine: MachineKind) -> Result<(), ArgsError> {
        let pairs = raw_pairs(given, "driver");
        let driver = driver(&pairs);
        let Some(name) = CONTROLLERS.into_iter().find(|name| driver == Some(name.as_bytes()))
        else {
            return Ok(());
        };
        check_machine(name, machine)?;
        if std::mem::replace(&mut self.is_given, true) {
            let why = "chukka has one SATA controller";
            let hint = "leave out the second one: the controller has six ports";
            return Err(ArgsError::unsupported(format!("-device {name}"), why, hint));
        }
        for pair in &pairs {
            match pair.key.as_str() {
                "driver" => {}
                "id" => self.id = Some(pair_text(pair, "device")?),
                _ => return Err(ArgsError::bad(pair.shown("device"), format!("{name},id=ID"))),
            }
        }
        Ok(())
    }

    /// Gives drives with `if=ide` their ports: those with `index=N` port N, and each of the others
    /// the first that is free.
    pub fn attach_all(&mut self, drives: &mut [Drive]) -> Result<(), ArgsError> {
        for drive in drives.iter_mut() {
            if let Some(index) = drive.index() {
                let port = u8::try_from(index).ok();
                self.attach(drive, port.or(Some(u8::MAX)))?;
            }
        }
        for drive in drives.iter_mut().filter(|drive| drive.index().is_none()) {
            self.attach(drive, None)?;
        }
        Ok(())
    }

    /// Reads a `-device`, if it is a drive: the `-drive` that it names. Whether that is a CD is said
    /// by the drive.
    pub fn drive(
        &mut self,
        given: &[u8],
        machine: MachineKind,
        named: &mut Named,
    ) -> Result<Option<Drive>, ArgsError> {
        let option = "device";
        let pairs = raw_pairs(given, "driver");
        let driver = driver(&pairs);
        let Some(name) = [DISK, CD].into_iter().find(|name| driver == Some(name.as_bytes())) else {
            return Ok(None);
        };
        check_machine(name, machine)?;
        let (mut device, mut port) = (DriveDevice::default(), None);
        for pair in &pairs {
            let is_read = if name == DISK { device.read_disk(pair) } else { device.read(pair) };
            if is_read? {
                continue;
            }
            match pair.key.as_str() {
                "bus" => port = Some(self.port(pair)?),
                "unit" if pair_text(pair, option)? == "0" => {}
                "unit" => {
                    let expected =
                        "unit=0, because a SATA port has one drive; select the port with bus=ID.N";
                    return Err(ArgsError::bad(pair.shown(option), expected));
                }
                _ => {
                    let expected = format!("{name},drive=ID,bus=ID.PORT,serial=TEXT,bootindex=N");
                    return Err(ArgsError::bad(pair.shown(option), expected));
                }
            }
        }
        let mut drive = device.take(name, named, EXAMPLE)?;
        if name == CD {
            drive = drive.into_cd()?;
        }
        self.attach(&mut drive, port)?;
        Ok(Some(drive))
    }

    /// The port that `bus=` names: by the controller's id, or as q35's own, `ide.N`.
    fn port(&self, pair: &RawPair) -> Result<u8, ArgsError> {
        let bus = pair_text(pair, "device")?;
        let id = self.id.as_deref().unwrap_or("ide");
        let port = bus.strip_prefix(id).and_then(|rest| rest.strip_prefix('.'));
        let port =
            port.and_then(|port| port.parse().ok()).filter(|port: &u8| usize::from(*port) < PORTS);
        port.ok_or_else(|| {
            let expected = format!("one of the controller's ports, {id}.0 to {id}.{}", PORTS - 1);
            ArgsError::bad(pair.shown("device"), expected)
        })
    }

    /// Attaches a drive to a port, or to the first that is free.
    fn attach(&mut self, drive: &mut Drive, wanted: Option<u8>) -> Result<(), ArgsError> {
        drive.check_sata()?;
        let free = |sata: &Self| sata.taken.iter().position(|taken| !taken);
        let port = wanted.or_else(|| u8::try_from(free(self)?).ok()).unwrap_or(u8::MAX);
        let Some(taken) = self.taken.get_mut(usize::from(port)) else {
            let why = format!("the SATA controller has only ports 0 to {}", PORTS - 1);
            let hint = "use -device virtio-blk or if=virtio for more disks";
            return Err(ArgsError::unsupported(drive.shown(), why, hint));
        };
        if std::mem::replace(taken, true) {
            let expected = format!("a free port; port {port} already has a drive");
            return Err(ArgsError::bad(drive.shown(), expected));
        }
        drive.disk.sata_port = Some(port);
        Ok(())
    }
}

fn check_machine(name: &str, machine: MachineKind) -> Result<(), ArgsError> {
    if machine == MachineKind::Pc {
        return Ok(());
    }
    let hint = if name == CD {
        "use -machine pc, or -cdrom, which works on both machines"
    } else {
        "use -machine pc, or -device virtio-blk,drive=ID, which works on both machines"
    };
    Err(ArgsError::unsupported(format!("-device {name}"), "microvm has no PCI", hint))
}
