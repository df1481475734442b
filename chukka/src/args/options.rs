//! The options as values: what argv gives, option by option, before any of it is checked.

use std::ffi::OsString;

use super::value::RawPair;

/// What argv gives for each option. The table in `table` says which option fills which field.
///
/// An option of which only the last counts is an [`Option`], a list is a [`Vec`] in argv's order.
/// An option whose values are merged key by key, or of which even a value that does not count must
/// be text, is a list too.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What to boot.
    pub boot: BootArgs,
    /// `-dry-run`.
    pub dry_run: bool,
    /// `-bios`.
    pub bios: Option<OsString>,
    /// `-pflash`.
    pub pflash: Vec<OsString>,
    /// `-L`.
    pub firmware_dirs: Vec<OsString>,
    /// `-option-rom`.
    pub option_roms: Vec<OsString>,
    /// `-boot`.
    pub boot_options: Vec<OsString>,
    /// `-fw_cfg`.
    pub fw_cfg: Vec<OsString>,
    /// `-smbios` and `-uuid`, which sets a field of an SMBIOS structure.
    pub smbios: Vec<Smbios>,
    /// `-credential`.
    pub credentials: Vec<OsString>,
    /// `-m`.
    pub memory: Vec<OsString>,
    /// `-smp`.
    pub cpus: Vec<OsString>,
    /// `-cpu`.
    pub cpu: Vec<OsString>,
    /// `-machine`.
    pub machine: Vec<OsString>,
    /// `-accel`.
    pub accel: Vec<OsString>,
    /// `-enable-kvm`.
    pub enable_kvm: bool,
    /// `-drive`, `-hda` to `-hdd`, and `-cdrom`.
    pub drives: Vec<DriveArg>,
    /// `-nic`.
    pub nics: Vec<OsString>,
    /// `-netdev`.
    pub netdevs: Vec<OsString>,
    /// `-net`.
    pub nets: Vec<OsString>,
    /// `-object`.
    pub objects: Vec<OsString>,
    /// `-snapshot`.
    pub snapshot: bool,
    /// `-rtc`.
    pub rtc: Vec<OsString>,
    /// `-name`.
    pub name: Vec<OsString>,
    /// `-serial`.
    pub serial: Vec<OsString>,
    /// `-nodefaults`.
    pub no_defaults: bool,
    /// `-debugcon`.
    pub debugcon: Vec<OsString>,
    /// `-global`.
    pub global: Vec<OsString>,
    /// `-device`.
    pub devices: Vec<OsString>,
    /// `-watchdog`.
    pub watchdogs: Vec<OsString>,
    /// `-chardev`.
    pub chardevs: Vec<OsString>,
    /// `-msg`.
    pub msg: Vec<OsString>,
    /// `-trace`.
    pub trace: Vec<OsString>,
    /// `-gdb`, and `-s`: its short form.
    pub gdb: Vec<OsString>,
    /// `-S`.
    pub hold: bool,
    /// `-qmp`.
    pub qmp: Vec<OsString>,
    /// `-monitor`.
    pub monitor: Vec<OsString>,
    /// `-mon`.
    pub mon: Vec<OsString>,
    /// `-pidfile`.
    pub pid_file: Option<OsString>,
    /// `-daemonize`.
    pub daemonize: bool,
    /// `-nographic`.
    pub nographic: bool,
    /// `-no-reboot`.
    pub no_reboot: bool,
    /// `-action`.
    pub actions: Vec<OsString>,
    /// `-timeout`.
    pub timeout: Vec<OsString>,
    /// `-silence`.
    pub silence: Vec<OsString>,
    /// `-sandbox`.
    pub sandbox: Vec<OsString>,
    /// `-run-with`.
    pub run_with: Vec<OsString>,
    /// `-fail-on`.
    pub fail_on: Vec<OsString>,
    /// `-json`.
    pub json: Option<OsString>,
    /// `-vmcore`.
    pub core_file: Option<OsString>,
    /// `-timeline`.
    pub timeline: Option<OsString>,
    /// Options that name a QEMU device chukka does not have, such as `-vga`.
    pub absent: AbsentDevices,
}

impl Options {
    /// Whether something is written about the vCPUs' exits.
    pub(super) fn wants_exits(&self) -> bool {
        self.json.is_some() || self.core_file.is_some() || self.timeline.is_some()
    }
}

/// What to boot: the part of [`Options`] that `chukka fetch` has as well.
#[derive(Clone, Debug, Default)]
pub struct BootArgs {
    /// `-kernel`.
    pub kernel: Option<OsString>,
    /// `-initrd`.
    pub initrd: Option<OsString>,
    /// `-append`.
    pub append: Option<OsString>,
    /// `-location`.
    pub location: Option<OsString>,
    /// `-no-location-args`.
    pub no_location_args: bool,
    /// `-bootdisk`.
    pub bootdisk: Option<OsString>,
    /// `-entry`.
    pub entry: Vec<OsString>,
    /// `-state`.
    pub state: Option<OsString>,
    /// `-initrd-inject`.
    pub initrd_inject: Vec<OsString>,
    /// `-preseed`.
    pub preseed: Option<OsString>,
    /// `-kickstart`.
    pub kickstart: Option<OsString>,
    /// `-autoyast`.
    pub autoyast: Option<OsString>,
    /// `-autocf`.
    pub autocf: Option<OsString>,
    /// `-offline`.
    pub offline: bool,
    /// The keys and values of every `-fetch`.
    pub fetch: Vec<RawPair>,
    /// `-checksum`.
    pub checksum: Vec<OsString>,
}

/// A `-drive`, a `-hda` to `-hdd`, or a `-cdrom`.
#[derive(Clone, Debug)]
pub enum DriveArg {
    /// `-drive`: properties.
    Drive(OsString),
    /// `-hda` to `-hdd` and `-cdrom`: the option's name and a file.
    Hd(&'static str, OsString),
}

/// A `-smbios` or a `-uuid`.
#[derive(Clone, Debug)]
pub enum Smbios {
    /// `-smbios`: fields of a structure.
    Structure(OsString),
    /// `-uuid`: the same as `-smbios type=1,uuid=`.
    Uuid(OsString),
}

/// The values of options that can only say "none" here.
#[derive(Clone, Debug, Default)]
pub struct AbsentDevices {
    /// `-display`.
    pub display: Vec<OsString>,
    /// `-vnc`.
    pub vnc: Vec<OsString>,
    /// `-vga`.
    pub vga: Vec<OsString>,
    /// `-parallel`.
    pub parallel: Vec<OsString>,
    /// `-d`.
    pub log: Vec<OsString>,
}
