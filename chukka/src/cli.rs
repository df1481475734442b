//! argv: QEMU's command line, made into a [`Request`].
//!
//! chukka takes the options that a direct kernel boot needs, in QEMU's spelling with one dash or
//! two, and refuses the rest of QEMU's by name. The way of an argv:
//!
//! 1. `options` has the one table of options. It walks argv as QEMU's `lookup_opt` (system/vl.c)
//!    does, so that a value may begin with a dash, and hands clap an argv it cannot misread;
//! 2. clap collects the values of each option;
//! 3. `kernel`, `state`, `machine`, `console`, `cpu`, `clock`, `firmware`, `fw_cfg`, `smbios`, `debugcon`, `drive` and `watch`
//!    read the values.
//!
//! Repeated options follow QEMU: the last `-kernel`, `-initrd`, `-append`, `-cpu`, `-uuid` or `-bios`
//! counts, and so do chukka's own `-location`, `-state`, `-preseed`, `-kickstart` and `-autoyast`; `-serial`, `-accel`, `-L`,
//! `-drive`, `-option-rom`, `-fw_cfg`, `-credential`, `-chardev`, `-device`, `-global`, `-initrd-inject` and
//! `-smbios type=11` are lists; `-m`, `-smp`, `-machine`, `-rtc`, `-name`, `-boot`,
//! `-msg`, `-trace` and `-smbios type=1` are merged key by key.

mod clock;
mod console;
mod cpu;
mod debug_exit;
mod debugcon;
mod drive;
mod error;
mod fetching;
mod firmware;
mod fw_cfg;
mod help;
mod kernel;
mod machine;
mod nearest;
mod options;
mod qemu;
mod smbios;
mod state;
mod value;
mod watch;

use std::ffi::OsString;

use clap::ArgMatches;

pub use error::CliError;

use crate::request::Request;
use debugcon::Devices;
use options::Argv;
use value::texts;
use vmm::config::{OnReset, VmConfig};

/// What argv asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Boot a guest.
    Run(Box<Request>),
    /// Only say what would be booted, and how (`-dry-run`).
    Plan(Box<Request>),
    /// Print this text, which ends with a newline, on standard output and end with status 0.
    Help(String),
    /// Print this text, which ends with a newline, on standard output and end with status 0.
    Version(String),
}

/// Reads argv; `args` begins after the program's name.
///
/// `-help` and `-version` count as soon as they are met: what follows them is not looked at.
///
/// # Errors
/// [`CliError`] for the first thing in argv that chukka cannot do; the process then ends with 125.
pub fn parse<I: IntoIterator<Item = OsString>>(args: I) -> Result<Command, CliError> {
    let matches = match options::read(args)? {
        Argv::Help => return Ok(Command::Help(help::text())),
        Argv::Version => return Ok(Command::Version(help::version())),
        Argv::Options(matches) => matches,
    };
    if let Some(list) = help::list_asked_for(&matches) {
        return Ok(Command::Help(list));
    }
    let request = Box::new(request(&matches)?);
    Ok(if matches.get_count("dry-run") > 0 {
        Command::Plan(request)
    } else {
        Command::Run(request)
    })
}

fn request(matches: &ArgMatches) -> Result<Request, CliError> {
    console::check_absent(matches)?;
    let machine::Machine { kind: machine, own_option_rom, map_initrd } = machine::machine(matches)?;
    let memory = machine::memory(&texts(matches, "m")?)?;
    let cpus = machine::cpus(&texts(matches, "smp")?)?;
    let cpu = cpu::model(texts(matches, "cpu")?.last().copied())?;
    let rtc = clock::rtc(&texts(matches, "rtc")?)?;
    let (smbios, uuid) = smbios::smbios(matches)?;
    let name = machine::name(&texts(matches, "name")?)?;
    let (serial, terminal) = console::serial(matches)?;
    let on_reset = if matches.get_count("no-reboot") > 0 { OnReset::Exit } else { OnReset::Reboot };
    let firmware = firmware::firmware(matches, own_option_rom)?;
    let boot_options = firmware::boot_options(matches, firmware.is_some())?;
    let mut warnings = Vec::new();
    let fw_cfg = fw_cfg::items(matches, &mut warnings)?;
    let credentials = fw_cfg::credentials(matches, &fw_cfg)?;
    smbios::check_strings(&smbios, &credentials)?;
    let Devices { debugcon, debug_exit, vmcoreinfo } = debugcon::devices(matches, &mut warnings)?;
    let disks = drive::disks(matches, machine)?;
    let trace = watch::trace(matches)?;
    let timestamps = watch::timestamps(matches)?;
    // Last, so that an argv with something wrong and no kernel hears of what is wrong.
    let state = state::state(matches)?;
    let boot = match &state {
        Some(_) if !state::has_disk(matches) => None,
        _ => kernel::boot(matches, firmware.is_some())?,
    };
    let vm = VmConfig {
        name,
        uuid,
        firmware,
        boot_options,
        fw_cfg,
        smbios,
        credentials,
        debugcon,
        debug_exit,
        vmcoreinfo,
        trace,
        timestamps,
        machine,
        map_initrd,
        memory,
        cpus,
        cpu,
        serial,
        terminal,
        on_reset,
        rtc,
    };
    Ok(Request { vm, boot, state, disks, warnings })
}

#[cfg(test)]
mod tests;
