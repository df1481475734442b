//! argv: QEMU's command line, made into a [`Request`].
//!
//! chukka takes the options that a direct kernel boot needs, in QEMU's spelling with one dash or
//! two, and refuses QEMU's other options by name:
//!
//! 1. `table` is the one table of options;
//! 2. `read` walks argv as QEMU's `lookup_opt` (system/vl.c) does, so that a value may begin with a
//!    dash, and fills [`Options`];
//! 3. `boot`, `fetching`, `state`, `machine`, `console`, `chardev`, `cpu`, `clock`, `firmware`,
//!    `fw_cfg`, `smbios`, `debugcon`, `daemonize`, `drive`, `cdrom`, `pflash`, `network`,
//!    `network_boot` and `trace` check the values.
//!
//! Repeated options follow QEMU: the last `-kernel`, `-initrd`, `-append`, `-cpu`, `-uuid` or
//! `-bios` counts, and so do chukka's own `-location`, `-state`, `-preseed`, `-kickstart` and
//! `-autoyast`; `-serial`, `-accel`, `-L`, `-option-rom`, `-fw_cfg`, `-credential`, `-chardev`,
//! `-device`, `-nic`, `-netdev`, `-net`, `-global`, `-initrd-inject` and `-smbios type=11` are
//! lists; `-m`, `-smp`, `-machine`, `-rtc`, `-name`, `-boot`, `-msg`, `-trace` and `-smbios type=1`
//! are merged key by key.

mod ahci;
mod boot;
mod called_as;
mod cdrom;
mod chardev;
mod clock;
mod console;
mod cpu;
mod daemonize;
mod debug_exit;
mod debugcon;
mod disk_errors;
mod drive;
mod drive_device;
mod drive_interface;
mod ending;
mod error;
mod fetching;
mod firmware;
mod fw_cfg;
mod gdb;
mod help;
mod listen;
mod machine;
mod monitor;
mod nearest;
mod network;
mod network_boot;
mod options;
mod pflash;
mod qemu;
mod read;
mod refusals;
mod rng;
mod run_with;
mod sandbox;
mod smbios;
mod state;
mod table;
mod timeline;
mod trace;
mod user_network;
mod value;
mod virtio_serial;
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;

pub use called_as::CalledAs;
pub(crate) use drive::disk_bytes;
pub use error::ArgsError;
pub use help::{qemu_version, text as help_text, version};
pub(crate) use network::shown_mac;
pub use options::{AbsentDevices, BootArgs, Options, Smbios};
pub use table::{COMMANDS, Group, OPTIONS, Opt, Takes};
pub use value::RawPair;
pub(crate) use value::size as memory_bytes;

use crate::request::{BootSource, CardConfig, DiskConfig, Request, StateConfig};
use chardev::Chardevs;
use drive::Drives;
use machine::Machine;
use read::{Argv, Given};
use refusals::{Refusals, in_every_case};
use value::texts;
use vmm::config::cpu_model::CpuModel;
use vmm::config::{
    BootOptions, Chardev, Credential, EntropyFile, FirmwareConfig, FwCfgItem, MachineKind,
    MonitorConfig, SERIAL_PORTS, SmbiosOptions, Terminal, VirtioSerial, VmConfig,
};

/// What argv asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Boot a guest.
    Boot(Box<Request>),
    /// Show what would be booted and how it was found (`-dry-run`).
    DryRun(Box<Request>),
    /// Print this text, which ends with a newline, on standard output and end with status 0.
    Print(String),
}

/// Reads argv; `args` begins after the program's name.
///
/// `-help` and `-version` take effect as soon as they are met: what follows is not read.
///
/// # Errors
/// [`ArgsError`] for all that chukka cannot do, in argv's order; the process then ends with 125.
/// What only follows from another error is not reported.
pub fn parse<I: IntoIterator<Item = OsString>>(args: I) -> Result<Invocation, ArgsError> {
    parse_as(CalledAs::Chukka, args)
}

/// The same, by the name that chukka was called by: under QEMU's, what scripts look for in the help
/// and the version is in their first line.
///
/// # Errors
/// As [`parse`].
pub fn parse_as<I: IntoIterator<Item = OsString>>(
    name: CalledAs,
    args: I,
) -> Result<Invocation, ArgsError> {
    let given = match read::read(args)? {
        Argv::Help if name == CalledAs::Qemu => {
            return Ok(Invocation::Print(qemu_version() + &help_text()));
        }
        Argv::Version if name == CalledAs::Qemu => return Ok(Invocation::Print(qemu_version())),
        Argv::Help => return Ok(Invocation::Print(help_text())),
        Argv::Version => return Ok(Invocation::Print(version())),
        Argv::Options(given) => given,
    };
    let Given { options, errors, places } = *given;
    if errors.is_empty()
        && let Some(list) = help::list_asked_for(&options)
    {
        return Ok(Invocation::Print(list));
    }
    let request = Box::new(in_order(errors, request(&options), &places)?);
    Ok(if options.dry_run { Invocation::DryRun(request) } else { Invocation::Boot(request) })
}

/// The request, or all errors in argv's order: those of the options' names, and those of their
/// values.
fn in_order(
    mut errors: Vec<(usize, ArgsError)>,
    request: Result<Request, ArgsError>,
    places: &[read::Place],
) -> Result<Request, ArgsError> {
    let request = match request {
        Ok(request) if errors.is_empty() => return Ok(request),
        Ok(request) => Some(request),
        Err(error) => {
            let of_values = error.into_parts().into_iter();
            // What is not understood may have been the kernel.
            let is_known = errors.is_empty();
            let of_values = of_values.filter(|error| is_known || !error.is_about_no_kernel());
            let at = |error: &ArgsError| read::position(&error.given(), places);
            errors.extend(of_values.map(|error| (at(&error), error)).collect::<Vec<_>>());
            None
        }
    };
    errors.sort_by_key(|(position, _)| *position);
    let mut refusals = Refusals::default();
    for error in with_qemu_options_together(errors.into_iter().map(|(_, error)| error)) {
        refusals.add(error);
    }
    refusals.finish(()).and(request.ok_or(ArgsError::NoKernel))
}

/// Replaces the errors about QEMU options that chukka does not have by one, in the first one's
/// place.
fn with_qemu_options_together(errors: impl Iterator<Item = ArgsError>) -> Vec<ArgsError> {
    let mut together = Vec::new();
    let (mut at, mut missing) = (0, Vec::new());
    for error in errors {
        match error {
            ArgsError::QemuOption { option, instead } => {
                if missing.is_empty() {
                    at = together.len();
                }
                if !missing.contains(&(option, instead)) {
                    missing.push((option, instead));
                }
            }
            other => together.push(other),
        }
    }
    match missing.as_slice() {
        [] => {}
        [(option, instead)] => together.insert(at, ArgsError::QemuOption { option, instead }),
        _ => together.insert(at, ArgsError::QemuOptions { missing }),
    }
    together
}

/// Checks the boot options alone, for `chukka fetch`.
///
/// # Errors
/// [`ArgsError`] for the first value that is wrong, or if there is nothing to boot.
pub fn boot_source(args: &BootArgs) -> Result<BootSource, ArgsError> {
    boot::boot(args, false)?.ok_or(ArgsError::NoKernel)
}

/// What firmware can boot.
#[derive(Clone, Copy)]
struct Media<'a> {
    flash: bool,
    disks: &'a [DiskConfig],
    /// Those of the SCSI controller, and those of the SATA controller.
    cds: [&'a [DiskConfig]; 2],
    cards: &'a [CardConfig],
}

/// The firmware, if there is any, and how it boots.
fn firmware_for(
    options: &Options,
    machine: MachineKind,
    own_option_rom: bool,
    media: Media<'_>,
    warnings: &mut Vec<String>,
) -> Result<(Option<FirmwareConfig>, BootOptions), ArgsError> {
    let Media { flash: in_flash, disks, cds, cards } = media;
    let has_cds = cds.iter().any(|cds| !cds.is_empty());
    let has_media = !disks.is_empty() || has_cds;
    let network = network_boot::check(machine, cards);
    let for_disk = (has_media || network.is_ok()) && !boot::has_kernel(&options.boot);
    let wanted = firmware::Wanted { in_flash, for_disk };
    let firmware = firmware::firmware(options, machine, own_option_rom, wanted, warnings);
    // Firmware whose options are wrong is firmware, too.
    let has_firmware = !matches!(firmware, Ok(None));
    let bootable = firmware::Bootable { cd: has_cds, network, firmware: has_firmware };
    let boot_options = firmware::boot_options(options, bootable, warnings);
    let mut refusals = Refusals::default();
    let (mut firmware, boot_options) = (refusals.value(firmware), refusals.value(boot_options));
    if !refusals.is_empty() {
        return refusals.finish((firmware, boot_options));
    }
    if let Some(firmware) = &mut firmware {
        let nothing_else = !has_media && firmware.for_disk;
        firmware.network_rom =
            network_boot::rom(cards, network, &boot_options, nothing_else, warnings)?;
    }
    let media = disks.iter().chain(cds.into_iter().flatten()).map(|disk| disk.boot_index);
    let cards = cards.iter().map(|card| card.boot_index);
    firmware::check_boot_indices(firmware.as_ref(), media, cards, warnings)?;
    Ok((firmware, boot_options))
}

/// The items of `-fw_cfg`, and the credentials for systemd, which SMBIOS has as strings.
fn guest_strings(
    options: &Options,
    smbios: &SmbiosOptions,
    warnings: &mut Vec<String>,
) -> Result<(Vec<FwCfgItem>, Vec<Credential>), ArgsError> {
    let mut refusals = Refusals::default();
    let items = refusals.value(fw_cfg::items(&options.fw_cfg, warnings));
    let credentials = refusals.value(fw_cfg::credentials(&options.credentials, &items));
    refusals.value(smbios::check_strings(smbios, &credentials));
    refusals.finish((items, credentials))
}

/// Where argv wants the report on the run (`-json`), also if the rest of argv is refused.
#[must_use]
pub fn json_asked_for(args: &[OsString]) -> Option<OsString> {
    read::last_value(args, "json")
}

/// The installation that the run belongs to, if any, and the kernel, which firmware can do without.
fn what_to_boot(
    args: &BootArgs,
    has_firmware: bool,
) -> Result<(Option<StateConfig>, Option<BootSource>), ArgsError> {
    let state = state::state(args)?;
    let boot = match &state {
        Some(_) if !state::has_disk(args) => None,
        _ => boot::boot(args, has_firmware)?,
    };
    Ok((state, boot))
}

/// The serial ports, virtio ports and monitors, and what becomes of the terminal.
struct Consoles {
    serial: [Option<Chardev>; SERIAL_PORTS],
    virtio_serial: Vec<VirtioSerial>,
    monitors: Vec<MonitorConfig>,
    terminal: Terminal,
}

impl Consoles {
    fn has_terminal(&self) -> bool {
        let ports = self.virtio_serial.iter().flat_map(|device| &device.ports);
        let mut all = self.serial.iter().flatten().chain(ports.map(|port| &port.chardev));
        all.any(Chardev::is_stdio)
    }
}

fn consoles(
    options: &Options,
    kinds: &[MachineKind],
    mut chardevs: Chardevs,
    warnings: &mut Vec<String>,
    refusals: &mut Refusals,
) -> Consoles {
    let mut serial = refusals.value(console::serial(options, &mut chardevs));
    let before = chardevs.clone();
    let virtio_serial = refusals.value(in_every_case(kinds, |kind| {
        chardevs = before.clone();
        virtio_serial::devices(options, *kind, &mut chardevs)
    }));
    let settled = console::settle_terminal(options, &mut serial, &virtio_serial, &mut chardevs);
    refusals.value(settled);
    let ports = virtio_serial.iter().flat_map(|device| &device.ports).map(|port| &port.chardev);
    let ports = serial.iter().flatten().chain(ports);
    let monitors = refusals.value(monitor::monitors(options, &mut chardevs, ports));
    let terminal = Terminal { interrupt: chardevs.interrupt };
    chardevs.finish(warnings);
    Consoles { serial, virtio_serial, monitors, terminal }
}

/// What has to be attached before it is known how the guest boots.
#[derive(Debug, Default)]
struct Attached {
    flash: Vec<DiskConfig>,
    drives: Drives,
    cards: Vec<CardConfig>,
    rng: Option<EntropyFile>,
}

/// Reads flash chips, drives and network cards, and returns whether all of them are valid.
fn attached(
    options: &Options,
    kinds: &[MachineKind],
    warnings: &mut Vec<String>,
    refusals: &mut Refusals,
) -> (Attached, bool) {
    let mut own = Refusals::default();
    let attached = Attached {
        flash: own.value(in_every_case(kinds, |kind| pflash::chips(options, *kind))),
        drives: own.value(in_every_case(kinds, |kind| drive::disks(options, *kind, warnings))),
        cards: own.value(in_every_case(kinds, |kind| network::cards(options, *kind))),
        rng: own.value(in_every_case(kinds, |kind| rng::rng(options, *kind, warnings))),
    };
    let are_right = own.is_empty();
    refusals.value(own.finish(()));
    (attached, are_right)
}

/// What is booted, and how.
#[derive(Debug, Default)]
struct Booting {
    firmware: Option<FirmwareConfig>,
    boot_options: BootOptions,
    state: Option<StateConfig>,
    boot: Option<BootSource>,
}

/// Reads how the guest boots. If it is not known what the guest has (`attached` is `None`), only
/// errors that occur in every case count.
fn booting(
    options: &Options,
    hardware: &Hardware,
    attached: Option<&Attached>,
    warnings: &mut Vec<String>,
    refusals: &mut Refusals,
) -> Booting {
    let (disks, cards) = ([DiskConfig::default()], [CardConfig::stand_in()]);
    let all = Media { flash: true, disks: &disks, cds: [&disks, &[]], cards: &cards };
    let none = Media { flash: false, disks: &[], cds: [&[]; 2], cards: &[] };
    let media = match attached {
        Some(Attached { flash, drives, cards, .. }) => vec![Media {
            flash: !flash.is_empty(),
            disks: &drives.disks,
            cds: [&drives.cds, &drives.sata_cds].map(|cds| cds.as_deref().unwrap_or_default()),
            cards,
        }],
        None => vec![none, all],
    };
    let kinds = hardware.kinds.iter();
    let cases: Vec<_> =
        kinds.flat_map(|kind| media.iter().map(move |media| (*kind, *media))).collect();
    let own_option_rom = hardware.machine.own_option_rom;
    let firmware = in_every_case(&cases, |(kind, media)| {
        firmware_for(options, *kind, own_option_rom, *media, warnings)
    });
    let may_have_firmware = match &firmware {
        Ok((firmware, _)) if attached.is_some() => vec![firmware.is_some()],
        _ => vec![true, false],
    };
    let (firmware, boot_options) = refusals.value(firmware);
    // Last: what is wrong is reported before what is missing.
    let (state, boot) = refusals.value(in_every_case(&may_have_firmware, |has_firmware| {
        what_to_boot(&options.boot, *has_firmware)
    }));
    Booting { firmware, boot_options, state, boot }
}

/// The machine without what is attached to it.
#[derive(Debug)]
struct Hardware {
    machine: Machine,
    /// What the machine is, or all that it may be.
    kinds: Vec<MachineKind>,
    memory: u64,
    cpus: u8,
    cpu: CpuModel,
}

fn hardware(options: &Options, warnings: &mut Vec<String>, refusals: &mut Refusals) -> Hardware {
    refusals.value(console::check_absent(&options.absent));
    let machine = machine::machine(options, warnings);
    let kinds = match &machine {
        Ok(machine) => vec![machine.kind],
        Err(_) => vec![MachineKind::Microvm, MachineKind::Pc],
    };
    let memory = texts(&options.memory, "m").and_then(|values| machine::memory(&values));
    let cpus = texts(&options.cpus, "smp").and_then(|values| machine::cpus(&values));
    let cpu = texts(&options.cpu, "cpu");
    let cpu = cpu.and_then(|values| cpu::model(values.last().copied(), warnings));
    Hardware {
        machine: refusals.value(machine),
        kinds,
        memory: refusals.value(memory),
        cpus: refusals.value(cpus),
        cpu: refusals.value(cpu),
    }
}

fn request(options: &Options) -> Result<Request, ArgsError> {
    let mut warnings = Vec::new();
    let mut refusals = Refusals::default();
    let hardware = hardware(options, &mut warnings, &mut refusals);
    let (smbios, uuid) = refusals.value(smbios::smbios(&options.smbios));
    let ending = refusals.value(ending::ending(options));
    let gdb = refusals.value(gdb::gdb(options));
    let (attached, are_right) = attached(options, &hardware.kinds, &mut warnings, &mut refusals);
    let mut chardevs = Chardevs::read(options, &mut refusals);
    let devices = debugcon::devices(options, &hardware.kinds, &mut chardevs, &mut warnings);
    let devices = refusals.value(devices);
    let consoles = consoles(options, &hardware.kinds, chardevs, &mut warnings, &mut refusals);
    let daemonize = daemonize::daemonize(options, &consoles, devices.debugcon.as_ref());
    let Consoles { serial, virtio_serial, monitors, terminal } = consoles;
    let Booting { firmware, boot_options, state, boot } =
        booting(options, &hardware, are_right.then_some(&attached), &mut warnings, &mut refusals);
    let (fw_cfg, credentials) = refusals.value(guest_strings(options, &smbios, &mut warnings));
    let Hardware { machine, memory, cpus, cpu, .. } = hardware;
    let Attached { flash, drives: Drives { disks, cds, sata_cds }, cards, rng } = attached;
    let vm = VmConfig {
        name: refusals.value(texts(&options.name, "name").and_then(|it| machine::name(&it))),
        uuid,
        firmware,
        boot_options,
        disk_boot_indices: drive::virtio_boot_indices(&disks),
        cd_boot_indices: drive::virtio_boot_indices(cds.as_deref().unwrap_or_default()),
        card_boot_indices: cards.iter().map(|card| card.boot_index).collect(),
        fw_cfg,
        smbios,
        credentials,
        debugcon: devices.debugcon,
        debug_exit: devices.debug_exit,
        vmcoreinfo: devices.vmcoreinfo,
        pc_testdev: devices.pc_testdev,
        lost_ticks: devices.lost_ticks,
        trace: refusals.value(trace::trace(&options.trace)),
        timestamps: refusals.value(trace::timestamps(&options.msg)),
        machine: machine.kind,
        map_initrd: machine.map_initrd,
        coalesced_console: machine.coalesced_console,
        memory,
        cpus,
        cpu,
        serial,
        terminal,
        on_reset: ending.on_reset,
        on_panic: ending.on_panic,
        on_watchdog: ending.on_watchdog,
        rtc: refusals.value(texts(&options.rtc, "rtc").and_then(|it| clock::rtc(&it))),
        limits: ending.limits,
        starts_paused: options.hold && gdb.is_none(),
        gdb,
        virtio_serial,
        monitors,
        rng,
        fail_on: ending.fail_on,
        pvpanic: devices.pvpanic,
        watchdog: devices.watchdog,
        record_exits: options.wants_exits(),
    };
    let request = Request {
        user: refusals.value(run_with::user(options, state.is_some(), &mut warnings)),
        vm,
        boot_disk: boot.as_ref().and_then(|boot| drive::boot_disk(boot, options.snapshot)),
        boot,
        state,
        disks,
        cds,
        sata_cds,
        cd_net: refusals.value(fetching::for_cds(&options.boot)),
        cards,
        flash,
        confinement: refusals.value(sandbox::confinement(options)),
        daemonize: refusals.value(daemonize),
        pid_file: refusals.value(path("pidfile", options.pid_file.as_ref())),
        core_file: refusals.value(path("vmcore", options.core_file.as_ref())),
        installs_in: None,
        timeline: refusals.value(timeline::timeline(options)),
        warnings,
    };
    refusals.finish(request)
}

/// The path that an option names.
fn path(option: &'static str, path: Option<&OsString>) -> Result<Option<PathBuf>, ArgsError> {
    match path {
        Some(path) if path.is_empty() => Err(ArgsError::EmptyPath { option }),
        path => Ok(path.map(PathBuf::from)),
    }
}

#[cfg(test)]
mod tests;
