//! `chukka install`: an unattended installation, from a tree's URL to a disk that boots.

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use location::Place;
use vmm::config::Size;
use vmm::host::signals;

use super::source::{self, switch, value};
use super::{answer, fail, failed};
use crate::args::{self, memory_bytes};
use crate::disks;
use crate::error::RunError;
use crate::install::saved_guest::{SavedDisk, SavedGuest};
use crate::install::template::{Given, Template};
use crate::install::{self, Course, LOG, media, needs};
use crate::install_state::{self, InstallState, StateError};
use crate::location_server;
use crate::plan;
use crate::report;
use crate::request::{BootFiles, BootSource, Confinement};
use crate::resolve::{Purpose, Resolved};

const AFTER: &str = "\
LOCATION is a directory, an image or a URL, as for -location. DIR gets the installer, its log and, unless
--disk names another file, the disk. Once the installer has finished, chukka start DIR boots the disk.

The status is 0 if the guest is installed, 123 if it ended without being installed, 124 after --wait, and
otherwise that of the guest: 120 after a panic of its kernel.

Examples:
  chukka install --preseed preseed.cfg http://mirror.example/debian/dists/stable/main/installer-amd64/
  chukka install --name web --memory 4096 --vcpus 2 --disk size=40 --kickstart ks.cfg --noautoconsole LOCATION
  chukka install --template web.toml
  chukka install --restart-install --name web";

/// What virt-install has and chukka does not, and what to do instead.
const REFUSED: [(&str, &str); 20] = [
    ("os-variant", "leave it out: the tree says what it is"),
    ("osinfo", "leave it out: the tree says what it is"),
    ("connect", "leave it out: chukka needs no daemon"),
    ("virt-type", "leave it out: chukka always uses KVM"),
    ("hvm", "leave it out: every guest is fully virtualized"),
    ("paravirt", "leave it out: every guest is fully virtualized"),
    ("cdrom", "run chukka -cdrom FILE -hda DISK to install from a CD"),
    ("pxe", "use the tree's URL as LOCATION"),
    ("import", "run chukka -hda DISK"),
    ("boot", "leave it out: the installer boots first, then the disk"),
    ("unattended", "use --preseed, --kickstart or --autoyast"),
    ("cloud-init", "use --initrd-inject or --append"),
    ("autostart", "start the guest by chukka start DIR"),
    ("transient", "remove DIR afterwards"),
    ("print-xml", "use --dry-run"),
    ("console", "leave it out: the console is the first serial port"),
    ("serial", "leave it out: the console is the first serial port"),
    ("filesystem", "chukka has no shared directories"),
    ("cpu", "the guest has the host's CPU"),
    ("check", "leave it out"),
];

/// The options that --restart-install can be combined with.
const WITH_RESTART: [&str; 8] = [
    "restart-install",
    "name",
    "state",
    "wait",
    "noreboot",
    "noautoconsole",
    "graphics",
    "dry-run",
];

/// Its options.
pub(super) fn command() -> Command {
    let text = |name: &'static str, of: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(of).help(help)
    };
    let refused = REFUSED.map(|(name, _)| {
        Arg::new(name).long(name).num_args(0..=1).action(ArgAction::Append).hide(true)
    });
    Command::new("chukka install")
        .about("Install a guest from an install tree onto a disk")
        .after_help(AFTER)
        // As in QEMU, the last one counts.
        .args_override_self(true)
        .arg(
            Arg::new("location")
                .value_name("LOCATION")
                .value_parser(ValueParser::os_string())
                .help("The install tree"),
        )
        .arg(
            value("tree", "LOCATION", "The same as an option")
                .long("location")
                .short('l')
                .conflicts_with("location"),
        )
        .args([
            value(
                "template",
                "FILE",
                "A file with these options, or a name of chukka template list",
            )
            .value_parser(ValueParser::path_buf()),
            text("name", "NAME", "The guest's name, and its directory without --state")
                .default_value("guest"),
            value("state", "DIR", "The directory of the guest [default: NAME]")
                .value_parser(ValueParser::path_buf()),
            text("memory", "MIB", "Memory in MiB, or with a unit [default: by installer]")
                .alias("ram"),
            text("vcpus", "N", "CPUs [default: by installer]"),
            text(
                "disk",
                "DISK",
                "path=FILE,size=GIB,format=raw|qcow2,bus=virtio|sata,cache=,discard=,serial=; \
                 repeatable [default: DIR/disk.qcow2, size by installer]",
            )
            .action(ArgAction::Append),
            text("network", "NIC", "A network card, as for -nic, or none; repeatable")
                .default_value("user")
                .action(ArgAction::Append),
            text("machine", "TYPE", "pc or microvm").default_value("pc"),
            text("graphics", "none", "The console is the first serial port").value_parser(["none"]),
            switch(
                "noautoconsole",
                "Write the console only to DIR/console.log; show one line of progress",
            ),
            text("wait", "SECONDS", "Time limit for everything, reboots included; -1: none")
                .allow_hyphen_values(true),
            switch("noreboot", "The installer's reset is the end; do not boot the disk"),
            switch("restart-install", "Start over in DIR: its own disks become empty")
                .conflicts_with_all(["location", "tree", "template"]),
            switch("dry-run", "Only show what would be done"),
        ])
        .args(source::options())
        .args(refused)
}

/// Runs it.
pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    match installed(matches) {
        Ok(status) => status,
        Err(Problem::Refused(message, hint)) => fail(&message, &hint),
        Err(Problem::Failed(error)) => failed(&error),
    }
}

/// The options that the template has, which come before the user's own.
pub(super) fn template(matches: &ArgMatches) -> Result<Vec<OsString>, ExitCode> {
    let Some(name) = matches.get_one::<PathBuf>("template") else { return Ok(Vec::new()) };
    let by_user = |names: &[&str]| {
        names.iter().any(|name| matches.value_source(name) == Some(ValueSource::CommandLine))
    };
    let given = Given {
        location: by_user(&["location", "tree", "kernel"]),
        disks: by_user(&["disk"]),
        networks: by_user(&["network"]),
        injected: by_user(&["initrd-inject"]),
    };
    let words = Template::open(name).and_then(|template| template.words(given));
    words.map_err(|error| fail(&error.to_string(), error.hint()))
}

/// Why there is no installation.
enum Problem {
    /// A message and a hint.
    Refused(String, String),
    Failed(RunError),
}

impl<E: Into<RunError>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn refused<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Refused(message.into(), hint.into()))
}

fn installed(matches: &ArgMatches) -> Result<ExitCode, Problem> {
    if let Some((name, hint)) = REFUSED.iter().find(|(name, _)| matches.contains_id(name)) {
        return refused(
            format!("--{name} is an option of virt-install; chukka does not have it"),
            *hint,
        );
    }
    let course = course(matches)?;
    let directory = directory(matches)?;
    if matches.get_flag("restart-install") {
        return restarted(matches, &directory, course);
    }
    if let Err(error) = install_state::check_vacant(&directory) {
        let StateError::Taken { .. } = &error else { return Err(error.into()) };
        let shown = directory.display();
        let hint = format!(
            "chukka install --restart-install --state {shown} starts over; --state or --name names another directory"
        );
        return refused(error.to_string(), hint);
    }
    let mut source = source::boot_args(matches);
    source.location = source.location.or_else(|| matches.get_one::<OsString>("tree").cloned());
    if source.location.is_none() && source.kernel.is_none() {
        return refused("There is no LOCATION", "chukka install --help has examples");
    }
    let mut boot = args::boot_source(&source)?;
    boot.cmdline = with_console(boot.cmdline);
    let mut resolved = Resolved::open(&boot, Purpose::Copies, Confinement::Full)?;
    let mut guest = guest(matches, &resolved)?;
    // What is wrong with the machine is said before anything is made.
    let request = location_server::attach(guest.request(&directory, &[], Some(boot))?);
    for (disk, _) in request.disks.iter().zip(&guest.disks).filter(|(_, disk)| !disk.created) {
        disks::examine(disk)?;
    }
    if let Some(boot) = request.boot.filter(|boot| boot.served_at.is_some()) {
        // The guest reads the tree by its network: the command line says where.
        guest.served = served(&boot)?;
        resolved = Resolved::open(&boot, Purpose::Copies, Confinement::Full)?;
    }
    let text = plan(&resolved, &guest, &directory, course);
    if matches.get_flag("dry-run") {
        return Ok(answer(&text));
    }
    report::plain(&text);
    let mut state = prepared(&directory, &resolved, &guest)?;
    drop(resolved);
    Ok(ended(&install::run(&mut state, &guest, course)?))
}

/// The exit status of an installation that has ended.
fn ended(result: &install::Result) -> ExitCode {
    match install::report(result) {
        Ok(status) => ExitCode::from(status),
        Err(signal) => signals::die_of(signal),
    }
}

/// The tree on this host that is served to the guest.
fn served(boot: &BootSource) -> Result<Option<PathBuf>, Problem> {
    let BootFiles::Location { place: Place::Local(path), .. } = &boot.files else {
        return Ok(None);
    };
    match fs::canonicalize(path) {
        Ok(path) => Ok(Some(path)),
        Err(error) => refused(format!("{}: {error}", path.display()), ""),
    }
}

fn course(matches: &ArgMatches) -> Result<Course, Problem> {
    let limit = match matches.get_one::<String>("wait").map(String::as_str) {
        None | Some("-1") => None,
        Some(text) => match text.parse() {
            Ok(seconds @ 1..) => Some(Duration::from_secs(seconds)),
            _ => {
                let message = format!("--wait {text}: expected a number of seconds from 1, or -1");
                return refused(message, "chukka always waits for the end");
            }
        },
    };
    let (no_reboot, only_log) = (matches.get_flag("noreboot"), matches.get_flag("noautoconsole"));
    Ok(Course { limit, no_reboot, only_log })
}

fn directory(matches: &ArgMatches) -> Result<PathBuf, Problem> {
    let given = matches.get_one::<PathBuf>("state").cloned();
    let name = matches.get_one::<String>("name").map(String::as_str).unwrap_or_default();
    if given.is_none() && (name.is_empty() || name.contains('/') || name == "." || name == "..") {
        return refused(
            format!("--name {name}: no directory can have this name"),
            "add --state DIR",
        );
    }
    Ok(given.unwrap_or_else(|| name.into()))
}

/// Starts over with what is in `directory`, so that options that say otherwise are refused.
fn restarted(matches: &ArgMatches, directory: &Path, course: Course) -> Result<ExitCode, Problem> {
    let given = |name: &&str| matches.value_source(name) == Some(ValueSource::CommandLine);
    let mut names = matches.ids().map(clap::Id::as_str);
    if let Some(name) = names.find(|name| given(name) && !WITH_RESTART.contains(name)) {
        return refused(
            format!(
                "--{name} cannot be changed by --restart-install, which uses the files and the \
                 options of '{}'",
                directory.display()
            ),
            format!("leave --{name} out, or install again with another --name or --state"),
        );
    }
    let mut state = InstallState::open(directory)?;
    let Some(guest) = state.guest().cloned() else { return without_guest(directory) };
    if matches.get_flag("dry-run") {
        return Ok(answer(&machine_plan(&guest, directory, course, "emptied")));
    }
    install::restart(&mut state, &guest)?;
    Ok(ended(&install::run(&mut state, &guest, course)?))
}

fn without_guest<T>(directory: &Path) -> Result<T, Problem> {
    let shown = directory.display();
    let message =
        format!("'{shown}' was made by chukka fetch --state: it has an installer, but no guest");
    refused(message, format!("chukka -state {shown} -bootdisk DISK boots it"))
}

/// `console=ttyS0`, unless the user has chosen a console.
fn with_console(mut cmdline: Vec<u8>) -> Vec<u8> {
    let mut words = cmdline.split(u8::is_ascii_whitespace);
    if !words.any(|word| word.starts_with(b"console=")) {
        let text: &[u8] =
            if cmdline.trim_ascii().is_empty() { b"console=ttyS0" } else { b"console=ttyS0 " };
        cmdline.splice(0..0, text.iter().copied());
    }
    cmdline
}

/// The guest that the options describe, with what its installer needs.
fn guest(matches: &ArgMatches, resolved: &Resolved) -> Result<SavedGuest, Problem> {
    let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
    let installer = resolved.found.as_ref().map(|found| found.installer).unwrap_or_default();
    let (needs, _) = needs::of(installer);
    let memory = match text("memory") {
        None => needs.memory,
        // virt-install's other properties, such as maxmemory=, are not for chukka.
        Some(given) => match memory_bytes(given) {
            Some(bytes) => bytes,
            None => {
                let message = format!("--memory {given}: expected MiB, or a size such as 2G");
                return refused(message, "--memory 2048 and --memory 2G are the same");
            }
        },
    };
    let cpus = text("vcpus").map_or_else(|| needs.cpus.to_string(), str::to_owned);
    let machine = text("machine").unwrap_or_default();
    let mut arguments = vec!["-machine".to_owned(), machine.to_owned()];
    arguments.extend(["-m".to_owned(), Size(memory).to_string()]);
    arguments.extend(["-smp".to_owned(), cpus]);
    if let Some(name) = text("name").filter(|name| *name != "guest") {
        arguments.extend(["-name".to_owned(), name.to_owned()]);
    }
    for nic in matches.get_many::<String>("network").into_iter().flatten() {
        if ["bridge=", "network="].iter().any(|kind| nic.starts_with(kind)) {
            let hint =
                "use --network user, or a tap interface on the bridge: --network tap,ifname=NAME";
            return refused(format!("--network {nic}: chukka makes no bridges"), hint);
        }
        arguments.extend(["-nic".to_owned(), nic.clone()]);
    }
    let given: Vec<_> = matches.get_many::<String>("disk").into_iter().flatten().collect();
    let mut disks = Vec::new();
    for (number, text) in given.iter().map(|text| text.as_str()).enumerate() {
        let name =
            if number == 0 { "disk.qcow2".into() } else { format!("disk{}.qcow2", number + 1) };
        let disk = media::disk(text, &name, needs.disk);
        disks.push(disk.map_err(|(message, hint)| Problem::Refused(message, hint.into()))?);
    }
    if disks.is_empty() {
        let disk = media::disk("", "disk.qcow2", needs.disk);
        disks.push(disk.map_err(|(message, hint)| Problem::Refused(message, hint.into()))?);
    }
    if machine != "pc" && disks.iter().any(SavedDisk::is_sata) {
        let message = format!("--disk bus=sata: {machine} has no SATA controller");
        return refused(message, "leave out --machine or bus=sata");
    }
    Ok(SavedGuest { arguments, disks, served: None })
}

/// What is going to happen.
fn plan(resolved: &Resolved, guest: &SavedGuest, directory: &Path, course: Course) -> String {
    plan::of(resolved) + &machine_plan(guest, directory, course, "created")
}

/// The part of it that is the machine's. `becomes` says what happens to disks of chukka's own.
fn machine_plan(guest: &SavedGuest, directory: &Path, course: Course, becomes: &str) -> String {
    let mut text = String::new();
    let mut line = |heading, what: &str| plan::line(&mut text, heading, what);
    let of = |option: &str| {
        let at = guest.arguments.iter().position(|word| word == option);
        at.and_then(|at| guest.arguments.get(at + 1)).map(String::as_str).unwrap_or_default()
    };
    let cpus = if of("-smp") == "1" { "CPU" } else { "CPUs" };
    line("machine", &format!("{}, {} of memory, {} {cpus}", of("-machine"), of("-m"), of("-smp")));
    for disk in &guest.disks {
        let path = disk.path_in(directory);
        line(
            "disk",
            &match disk.created {
                true => format!(
                    "'{}' ({}, {}), {becomes}",
                    path.display(),
                    Size(disk.size),
                    disk.format().name()
                ),
                false => format!("'{}', which exists", path.display()),
            },
        );
    }
    let nics = guest.arguments.iter().zip(guest.arguments.iter().skip(1));
    for (_, nic) in nics.filter(|(option, _)| *option == "-nic") {
        line("network", nic);
    }
    let log = directory.join(LOG);
    line(
        "console",
        &match course.only_log {
            true => format!("'{}'", log.display()),
            false if io::stdin().is_terminal() => {
                format!(
                    "here (Ctrl-A x ends the guest, Ctrl-A h lists the keys), and in '{}'",
                    log.display()
                )
            }
            false => format!("here, and in '{}'", log.display()),
        },
    );
    if let Some(limit) = course.limit {
        line("ends", &format!("after {} s at the latest", limit.as_secs()));
    }
    text
}

/// The state with its disks.
fn prepared(
    directory: &Path,
    resolved: &Resolved,
    guest: &SavedGuest,
) -> Result<InstallState, Problem> {
    let write = |source| StateError::Write { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(write)?;
    // The directory is removed only if it is empty.
    let made =
        install::create_disks(directory, guest).inspect_err(|_| drop(fs::remove_dir(directory)))?;
    let kept = install_state::keep(directory, resolved, Some(guest.clone()));
    Ok(kept.inspect_err(|_| install::remove(&made))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(words: &[&str]) -> ArgMatches {
        command().no_binary_name(true).try_get_matches_from(words).unwrap()
    }

    #[test]
    fn the_console_is_the_serial_port_unless_the_user_says_otherwise() {
        for (given, whole) in [
            ("", "console=ttyS0"),
            ("quiet", "console=ttyS0 quiet"),
            ("console=tty0 quiet", "console=tty0 quiet"),
            ("x --- console=hvc0", "x --- console=hvc0"),
        ] {
            assert_eq!(with_console(given.into()), whole.as_bytes(), "{given}");
        }
    }

    #[test]
    fn what_only_virt_install_has_is_refused_by_name() {
        for words in
            [&["--os-variant", "debian12", "x"][..], &["--connect=qemu:///system"], &["--hvm", "x"]]
        {
            let Err(Problem::Refused(message, hint)) = installed(&matches(words)) else {
                panic!("{words:?}");
            };
            assert!(message.contains(" is an option of virt-install"), "{message}");
            assert!(hint.starts_with("leave it out"), "{hint}");
        }
    }

    #[test]
    fn the_time_limit_is_in_seconds() {
        let limit = |text: &str| course(&matches(&["--wait", text])).map(|course| course.limit);
        assert!(matches!(limit("90"), Ok(Some(limit)) if limit == Duration::from_secs(90)));
        assert!(matches!(limit("-1"), Ok(None)));
        for wrong in ["0", "x", "-2", "1.5"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_a_directory_s() {
        assert_eq!(directory(&matches(&["--name", "web"])).ok(), Some("web".into()));
        assert_eq!(directory(&matches(&["--name", "a/b", "--state", "d"])).ok(), Some("d".into()));
        for wrong in ["", "a/b", ".", ".."] {
            assert!(directory(&matches(&["--name", wrong])).is_err(), "{wrong}");
        }
    }
}
