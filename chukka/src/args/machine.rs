//! `-machine`, `-accel`, `-m`, `-smp`, `-name`, and the form of `-uuid`.

use super::error::ArgsError;
use super::nearest::nearest;
use super::network_boot;
use super::options::Options;
use super::value::{Pair, number, pairs, size, texts};
use vmm::config::{
    DEFAULT_MEMORY, MAX_CPUS, MEMORY_GRAIN, MIN_MEMORY, MachineKind, MapInitrd, Size,
};

/// Properties of QEMU's microvm and pc that have no effect here, with the values they accept.
/// Devices that QEMU's microvm can drop to be faster (`pic=off`) are accepted and stay: they cost
/// nothing here. Names: `qemu-system-x86_64 -machine microvm,help`.
const HARMLESS: [(&str, &[&str]); 18] = [
    ("acpi", &["on", "auto"]),
    ("pic", &["on", "off", "auto"]),
    ("pit", &["on", "off", "auto"]),
    ("rtc", &["on", "off", "auto"]),
    ("isa-serial", &["on"]),
    ("auto-kernel-cmdline", &["on", "off"]),
    ("pcie", &["off", "auto"]),
    ("ioapic2", &["off", "auto"]),
    ("kernel-irqchip", &["on"]),
    ("smm", &["off", "auto"]),
    ("hpet", &["off"]),
    ("usb", &["off"]),
    ("graphics", &["off"]),
    ("vmport", &["off", "auto"]),
    ("nvdimm", &["off"]),
    ("dump-guest-core", &["on", "off"]),
    ("mem-merge", &["on", "off"]),
    ("suppress-vmdesc", &["on", "off"]),
];

/// Properties that chukka has an option for or that need a word.
const ELSEWHERE: [(&str, &str); 7] = [
    ("kernel", "use -kernel"),
    ("initrd", "use -initrd"),
    ("append", "use -append"),
    ("acpi", "to have Linux not use it: -append acpi=off"),
    ("isa-serial", "to have no serial port: -serial none"),
    ("memory-backend", "-m SIZE is the only option about memory"),
    ("firmware", "use -bios"),
];

/// `-machine` with all its properties, `-accel` and `-enable-kvm`.
///
/// QEMU's property x-option-roms=off leaves out its option ROMs but those of -option-rom; here that
/// is ours. x-map-initrd and x-coalesced-console are our own.
pub(super) fn machine(options: &Options, warnings: &mut Vec<String>) -> Result<Machine, ArgsError> {
    let mut kind = None;
    let mut own_option_rom = true;
    let mut map_initrd = MapInitrd::default();
    let mut coalesced_console = true;
    let mut accels = Vec::new();
    for text in texts(&options.machine, "machine")? {
        for pair in pairs(text, "type") {
            match pair.key.as_str() {
                "type" => kind = Some(machine_type(pair.value("machine")?, warnings)?),
                "accel" => accels.extend(pair.value("machine")?.split(':').map(str::to_owned)),
                "x-map-initrd" => map_initrd = map_initrd_of(pair.value("machine")?)?,
                "x-coalesced-console" => coalesced_console = pair.switch("machine")?,
                "x-option-roms" => own_option_rom = pair.switch("machine")?,
                _ => harmless_property(&pair, kind.unwrap_or_default())?,
            }
        }
    }
    for text in texts(&options.accel, "accel")? {
        accels.push(accelerator(text)?);
    }
    if options.enable_kvm {
        accels.push("kvm".to_owned());
    }
    if !accels.is_empty() && !accels.iter().any(|name| name == "kvm") {
        let why = "chukka cannot run a guest that way, it runs on KVM only";
        let hint = "use -accel kvm, or leave out -accel and accel=";
        return Err(ArgsError::unsupported(format!("-accel {}", accels.join(", ")), why, hint));
    }
    let kind = kind.unwrap_or_else(|| network_boot::machine(options));
    Ok(Machine { kind, own_option_rom, map_initrd, coalesced_console })
}

fn map_initrd_of(value: &str) -> Result<MapInitrd, ArgsError> {
    match value {
        "auto" => Ok(MapInitrd::Auto),
        "on" => Ok(MapInitrd::On),
        "off" => Ok(MapInitrd::Off),
        _ => Err(ArgsError::bad(format!("-machine x-map-initrd={value}"), "auto, on or off")),
    }
}

/// What `-machine` says.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub kind: MachineKind,
    /// Whether our option ROM is there for firmware that wants it.
    pub own_option_rom: bool,
    /// Whether the pages of a large initrd are mapped.
    pub map_initrd: MapInitrd,
    /// Whether KVM collects the bytes that the guest writes to consoles.
    pub coalesced_console: bool,
}

/// QEMU's versioned names promise a guest that nothing changes from release to release: chukka's pc
/// cannot promise that, so it does not take them. `q35` is taken as `pc`: what scripts ask it for
/// is a machine with PCI.
fn machine_type(name: &str, warnings: &mut Vec<String>) -> Result<MachineKind, ArgsError> {
    let given = || format!("-machine {name}");
    let kinds = [MachineKind::Microvm, MachineKind::Pc];
    if let Some(kind) = kinds.into_iter().find(|kind| kind.name() == name) {
        return Ok(kind);
    }
    if name == "q35" {
        let warning = "-machine q35: chukka does not have it; the guest gets the machine pc";
        if !warnings.iter().any(|known| known == warning) {
            warnings.push(warning.to_owned());
        }
        return Ok(MachineKind::Pc);
    }
    if name.starts_with("pc-i440fx-") {
        let why = "chukka's pc has no versions";
        return Err(ArgsError::unsupported(given(), why, "use -machine pc"));
    }
    if ["isapc", "none", "x-remote"].contains(&name) || name.starts_with("pc-") {
        let why = "chukka does not have this machine, only microvm and pc";
        let hint = "leave out -machine, or use -machine pc for a guest that needs PCI";
        return Err(ArgsError::unsupported(given(), why, hint));
    }
    let hint = match nearest(name, kinds.into_iter().map(MachineKind::name)) {
        Some(name) => format!("did you mean {name}?"),
        None => "leave -machine out: microvm is the default".into(),
    };
    Err(ArgsError::bad(given(), "the name of a machine: microvm or pc").with_hint(hint))
}

fn harmless_property(pair: &Pair, kind: MachineKind) -> Result<(), ArgsError> {
    // QEMU takes either spelling of this one (its hw/core/machine.c).
    let key = pair.key.replace('_', "-");
    let value = pair.value("machine")?;
    let values = HARMLESS.iter().find(|(name, _)| *name == key).map(|(_, values)| *values);
    if values.is_some_and(|values| values.contains(&value)) {
        return Ok(());
    }
    let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == key).map(|(_, hint)| *hint);
    let (why, hint) = match (values, elsewhere) {
        (Some(values), hint) => {
            (format!("chukka's {} can only have {key}={}", kind.name(), values.join("|")), hint)
        }
        (None, hint) => (format!("chukka's {} has no property {key:?}", kind.name()), hint),
    };
    Err(ArgsError::unsupported(pair.shown("machine"), why, hint.unwrap_or("leave it out")))
}

/// The accelerator's name. Properties matter only where it is the one chukka has.
fn accelerator(text: &str) -> Result<String, ArgsError> {
    let mut name = String::new();
    for pair in pairs(text, "accel") {
        let value = pair.value("accel")?;
        match pair.key.replace('_', "-").as_str() {
            "accel" => value.clone_into(&mut name),
            _ if name != "kvm" => {}
            "kernel-irqchip" if value == "on" => {}
            _ => {
                let why = "chukka does not have this property of -accel kvm";
                return Err(ArgsError::unsupported(pair.shown("accel"), why, "leave it out"));
            }
        }
    }
    Ok(name)
}

/// `-m`: bytes of guest memory, rounded up to [`MEMORY_GRAIN`].
pub(super) fn memory(values: &[&str]) -> Result<u64, ArgsError> {
    let expected = "a size such as 512 (MiB), 512M, 2G or 1.5G, below 2^64 bytes";
    let mut bytes = DEFAULT_MEMORY;
    let mut maxmem = None;
    for text in values {
        for pair in pairs(text, "size") {
            let given = if pair.key == "size" { format!("-m {text}") } else { pair.shown("m") };
            let value = pair.value("m")?;
            let read = || size(value).ok_or_else(|| ArgsError::bad(given.clone(), expected));
            match pair.key.as_str() {
                "size" => {
                    bytes = read()?;
                    if bytes < MIN_MEMORY {
                        let hint = "a Debian kernel wants 128M and more, its installer 512M";
                        return Err(ArgsError::bad(
                            given,
                            format!("at least {}", Size(MIN_MEMORY)),
                        )
                        .with_hint(hint));
                    }
                }
                "maxmem" => maxmem = Some((read()?, given)),
                "slots" if number(value) == Some(0) => {}
                "slots" => return Err(no_memory_hotplug(given)),
                _ => return Err(ArgsError::bad(given, "size=SIZE")),
            }
        }
    }
    match maxmem {
        Some((maxmem, given)) if maxmem != bytes => Err(no_memory_hotplug(given)),
        _ => bytes
            .checked_next_multiple_of(MEMORY_GRAIN)
            .ok_or_else(|| ArgsError::bad(format!("-m {}", values.join(" -m ")), expected)),
    }
}

fn no_memory_hotplug(given: String) -> ArgsError {
    ArgsError::unsupported(given, "chukka cannot plug memory in later", "use -m SIZE")
}

/// The numbers of `-smp`, in the order QEMU multiplies them in; 0 is "not given".
#[derive(Clone, Copy, Debug, Default)]
struct Smp {
    cpus: u64,
    maxcpus: u64,
    sockets: u64,
    /// Everything between a socket and a core (dies, clusters, modules), multiplied.
    between: u64,
    cores: u64,
    threads: u64,
}

/// `-smp`: the number of vCPUs, 1 to [`MAX_CPUS`]. Sockets, cores and threads have to give that
/// number, what is left out is filled in as QEMU does (`machine_parse_smp_config`,
/// hw/core/machine-smp.c, since 6.2: cores first, then sockets, then threads).
pub(super) fn cpus(values: &[&str]) -> Result<u8, ArgsError> {
    let mut smp = Smp { between: 1, ..Smp::default() };
    for pair in values.iter().flat_map(|text| pairs(text, "cpus")) {
        read_smp(&mut smp, &pair)?;
    }
    let given = || format!("-smp {}", values.join(" -smp "));
    let total = if smp.maxcpus > 0 { smp.maxcpus } else { smp.cpus };
    let known = topology(&smp, total);
    let product = known.iter().product::<u64>() * smp.between;
    let total = if total == 0 { product } else { total };
    let cpus = if smp.cpus == 0 { total } else { smp.cpus };
    let [sockets, cores, threads] = known;
    if product != total {
        let between =
            if smp.between > 1 { format!(" × {} between", smp.between) } else { String::new() };
        let expected = format!(
            "sockets × cores × threads to be {total}, \
             they are {sockets}{between} × {cores} × {threads} = {product}"
        );
        return Err(ArgsError::bad(given(), expected).with_hint("-smp N alone is enough"));
    }
    if cpus != total {
        let why = "chukka cannot plug CPUs in later";
        return Err(ArgsError::unsupported(
            given(),
            why,
            format!("leave out maxcpus, or use maxcpus={cpus}"),
        ));
    }
    let fits = u8::try_from(cpus).ok().filter(|cpus| (1..=MAX_CPUS).contains(cpus));
    fits.ok_or_else(|| {
        ArgsError::bad(given(), format!("1 to {MAX_CPUS} CPUs"))
            .with_hint(format!("the machine has room for {MAX_CPUS} CPUs: -smp {MAX_CPUS}"))
    })
}

/// Sockets, cores and threads, those not given filled in so that they make `total` CPUs if that can
/// be; a total of 0 is "not given".
fn topology(smp: &Smp, total: u64) -> [u64; 3] {
    let Smp { between, cores, .. } = *smp;
    let (sockets, threads) = (smp.sockets.max(1), smp.threads.max(1));
    match (smp.sockets, smp.cores, smp.threads) {
        _ if total == 0 => [sockets, cores.max(1), threads],
        (_, 0, _) => [sockets, total / (sockets * between * threads), threads],
        (0, ..) => [total / (between * cores * threads), cores, threads],
        (_, _, 0) => [sockets, cores, total / (sockets * between * cores)],
        _ => [sockets, cores, threads],
    }
}

fn read_smp(smp: &mut Smp, pair: &Pair) -> Result<(), ArgsError> {
    let value = pair.value("smp")?;
    let given = || if pair.key == "cpus" { format!("-smp {value}") } else { pair.shown("smp") };
    // Above 1024 nothing could match, and up to there no product of these leaves 64 bits.
    let number = number(value).filter(|number| (1..=1024).contains(number));
    let number = number.ok_or_else(|| {
        ArgsError::bad(given(), format!("a number, 1 to {MAX_CPUS} CPUs in all"))
            .with_hint("a guest has one CPU at least: -smp 1")
    })?;
    match pair.key.as_str() {
        "cpus" => smp.cpus = number,
        "maxcpus" => smp.maxcpus = number,
        "sockets" => smp.sockets = number,
        "cores" => smp.cores = number,
        "threads" => smp.threads = number,
        "drawers" | "books" | "dies" | "clusters" | "modules" if number == 1 => {}
        "dies" | "clusters" | "modules" if smp.between * number <= 1024 => smp.between *= number,
        _ => {
            return Err(ArgsError::bad(
                given(),
                "cpus=, sockets=, dies=, cores=, threads= or maxcpus=",
            ));
        }
    }
    Ok(())
}

/// A UUID: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12 (`qemu_uuid_parse`, util/uuid.c).
/// `given` is the option with its value, for the error.
pub(super) fn uuid(given: &str, text: &str) -> Result<[u8; 16], ArgsError> {
    let bad = || {
        let expected = "a UUID such as 550e8400-e29b-41d4-a716-446655440000";
        ArgsError::bad(given, expected)
    };
    let groups: Vec<_> = text.split('-').map(str::len).collect();
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    if groups != [8, 4, 4, 4, 12] || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(bad());
    }
    let mut uuid = [0; 16];
    for (byte, digits) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
    }
    Ok(uuid)
}

/// `-name [guest=]NAME[,debug-threads=on|off]`; chukka's threads always have names.
pub(super) fn name(values: &[&str]) -> Result<Option<String>, ArgsError> {
    let mut name = None;
    for pair in values.iter().flat_map(|text| pairs(text, "guest")) {
        match pair.key.as_str() {
            "guest" => name = Some(pair.value("name")?.to_owned()),
            "debug-threads" => drop(pair.switch("name")?),
            "process" => {
                let why = "chukka does not rename its process";
                return Err(ArgsError::unsupported(pair.shown("name"), why, "leave process= out"));
            }
            _ => {
                return Err(ArgsError::bad(
                    pair.shown("name"),
                    "NAME, guest=NAME or debug-threads=on|off",
                ));
            }
        }
    }
    Ok(name.filter(|name| !name.is_empty()))
}
