//! argv: QEMU's command line, made into a [`Request`].
//!
//! chukka takes the options that a direct kernel boot needs, in QEMU's spelling with one dash or
//! two, and refuses QEMU's other options by name:
//!
//! 1. `table` is the one table of options;
//! 2. `read` walks argv as QEMU's `lookup_opt` (system/vl.c) does, so that a value may begin with a
//!    dash, and fills [`Options`];
//! 3. `boot`, `fetching`, `state`, `machine`, `console`, `cpu`, `clock`, `firmware`, `fw_cfg`,
//!    `smbios`, `debugcon`, `drive`, `cdrom`, `pflash`, `network`, `network_boot` and `trace` check
//!    the values.
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
mod clock;
mod console;
mod cpu;
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
use debugcon::Devices;
use drive::Drives;
use ending::Ending;
use read::Argv;
use value::texts;
use vmm::config::{
    BootOptions, Credential, FirmwareConfig, FwCfgItem, MachineKind, SmbiosOptions, VmConfig,
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
/// [`ArgsError`] for the first thing in argv that chukka cannot do; the process then ends with 125.
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
    let options = match read::read(args)? {
        Argv::Help if name == CalledAs::Qemu => {
            return Ok(Invocation::Print(qemu_version() + &help_text()));
        }
        Argv::Version if name == CalledAs::Qemu => return Ok(Invocation::Print(qemu_version())),
        Argv::Help => return Ok(Invocation::Print(help_text())),
        Argv::Version => return Ok(Invocation::Print(version())),
        Argv::Options(options) => options,
    };
    if let Some(list) = help::list_asked_for(&options) {
        return Ok(Invocation::Print(list));
    }
    let request = Box::new(request(&options)?);
    Ok(if options.dry_run { Invocation::DryRun(request) } else { Invocation::Boot(request) })
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
    cds: &'a [DiskConfig],
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
    let has_media = !disks.is_empty() || !cds.is_empty();
    let network = network_boot::check(machine, cards);
    let for_disk = (has_media || network.is_ok()) && !boot::has_kernel(&options.boot);
    let wanted = firmware::Wanted { in_flash, for_disk };
    let mut firmware = firmware::firmware(options, machine, own_option_rom, wanted, warnings)?;
    let bootable =
        firmware::Bootable { cd: !cds.is_empty(), network, firmware: firmware.is_some() };
    let boot_options = firmware::boot_options(options, bootable, warnings)?;
    if let Some(firmware) = &mut firmware {
        let nothing_else = !has_media && firmware.for_disk;
        firmware.network_rom =
            network_boot::rom(cards, network, &boot_options, nothing_else, warnings)?;
    }
    let media = disks.iter().chain(cds).map(|disk| disk.boot_index);
    let cards = cards.iter().map(|card| card.boot_index);
    firmware::check_boot_indices(firmware.as_ref(), media, cards, warnings)?;
    Ok((firmware, boot_options))
}

/// The items of `-fw_cfg`, and the credentials for systemd, which SMBIOS has as strings.
fn strings_for_guest(
    options: &Options,
    smbios: &SmbiosOptions,
    warnings: &mut Vec<String>,
) -> Result<(Vec<FwCfgItem>, Vec<Credential>), ArgsError> {
    let items = fw_cfg::items(&options.fw_cfg, warnings)?;
    let credentials = fw_cfg::credentials(&options.credentials, &items)?;
    smbios::check_strings(smbios, &credentials)?;
    Ok((items, credentials))
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

fn request(options: &Options) -> Result<Request, ArgsError> {
    console::check_absent(&options.absent)?;
    let mut warnings = Vec::new();
    let machine::Machine { kind: machine, own_option_rom, map_initrd, coalesced_console } =
        machine::machine(options, &mut warnings)?;
    let memory = machine::memory(&texts(&options.memory, "m")?)?;
    let cpus = machine::cpus(&texts(&options.cpus, "smp")?)?;
    let cpu = cpu::model(texts(&options.cpu, "cpu")?.last().copied(), &mut warnings)?;
    let (smbios, uuid) = smbios::smbios(&options.smbios)?;
    let (serial, terminal) = console::serial(options)?;
    let Ending { on_reset, on_panic, limits, fail_on } = ending::ending(options)?;
    let gdb = gdb::gdb(options)?;
    let monitors = monitor::monitors(options, &serial)?;
    let flash = pflash::chips(options, machine)?;
    let Drives { disks, cds, sata_cds, all_cds } = drive::disks(options, machine, &mut warnings)?;
    // A device that is not here is reported before the network that would be for it.
    let Devices { debugcon, debug_exit, vmcoreinfo, pc_testdev, pvpanic, lost_ticks } =
        debugcon::devices(options, &mut warnings)?;
    let cards = network::cards(options, machine)?;
    let media = Media { flash: !flash.is_empty(), disks: &disks, cds: &all_cds, cards: &cards };
    let (firmware, boot_options) =
        firmware_for(options, machine, own_option_rom, media, &mut warnings)?;
    let (fw_cfg, credentials) = strings_for_guest(options, &smbios, &mut warnings)?;
    // Last: what is wrong is reported before what is missing.
    let (state, boot) = what_to_boot(&options.boot, firmware.is_some())?;
    let vm = VmConfig {
        name: machine::name(&texts(&options.name, "name")?)?,
        uuid,
        firmware,
        boot_options,
        disk_boot_indices: drive::virtio_boot_indices(&disks),
        cd_boot_indices: drive::virtio_boot_indices(cds.as_deref().unwrap_or_default()),
        card_boot_indices: cards.iter().map(|card| card.boot_index).collect(),
        fw_cfg,
        smbios,
        credentials,
        debugcon,
        debug_exit,
        vmcoreinfo,
        pc_testdev,
        lost_ticks,
        trace: trace::trace(&options.trace)?,
        timestamps: trace::timestamps(&options.msg)?,
        machine,
        map_initrd,
        coalesced_console,
        memory,
        cpus,
        cpu,
        serial,
        serial_log: None,
        terminal,
        on_reset,
        on_panic,
        rtc: clock::rtc(&texts(&options.rtc, "rtc")?)?,
        limits,
        starts_paused: options.hold && gdb.is_none(),
        gdb,
        monitors,
        rng: rng::rng(options, machine, &mut warnings)?,
        fail_on,
        pvpanic,
        record_exits: options.wants_exits(),
    };
    let user = run_with::user(options, state.is_some(), &mut warnings)?;
    Ok(Request {
        vm,
        boot_disk: boot.as_ref().and_then(|boot| drive::boot_disk(boot, options.snapshot)),
        boot,
        state,
        disks,
        cds,
        sata_cds,
        cd_net: fetching::for_cds(&options.boot)?,
        cards,
        flash,
        confinement: sandbox::confinement(options)?,
        user,
        pid_file: path("pidfile", options.pid_file.as_ref())?,
        core_file: path("vmcore", options.core_file.as_ref())?,
        timeline: timeline::timeline(options)?,
        warnings,
    })
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
