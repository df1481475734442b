//! `-cpu host|max[,feature=on|off][,+feature][,-feature][,vendor=TEXT]…`

mod identity;

use super::error::ArgsError;
use super::nearest::nearest;
use super::value::switch;
use identity::Value;
use vmm::config::cpu_model::{CpuModel, Feature, without_pmu};

/// Properties of QEMU's x86 CPUs (target/i386/cpu.c) that chukka's CPU does not have. All `hv-…`,
/// `vmx-…` and `x-…` belong here as well.
#[rustfmt::skip]
const QEMU_S: [&str; 42] = [
    "xlevel2", "level-func7", "min-level", "min-xlevel", "min-xlevel2", "full-cpuid-auto-level",
    "guest-phys-bits", "host-cache-info", "l3-cache", "legacy-cache", "cpuid-0xb", "tsc-frequency", "tsc-freq", "lmce", "lbr-fmt", "ucode-rev",
    "fill-mtrr-mask", "kvm-no-smi-migration", "kvm-pv-enforce-cpuid", "vmware-cpuid-freq",
    "tcg-cpuid", "rdctl-no", "ibrs-all", "rsba", "skip-l1dfl-vmentry", "ssb-no", "mds-no",
    "pschange-mc-no", "tsx-ctrl", "taa-no", "sbdr-ssdp-no", "fbsdp-no", "psdp-no", "fb-clear",
    "bhi-no", "pbrsb-no", "gds-no", "rfds-no", "rfds-clear", "split-lock-detect",
    "full-width-write", "xen-vapic",
];

/// QEMU's CPU models for x86 (`qemu-system-x86_64 -cpu help` of 7.2 to 10), without variants.
#[rustfmt::skip]
const QEMU_MODELS: [&str; 47] = [
    "486", "athlon", "Broadwell", "Cascadelake-Server", "ClearwaterForest", "Conroe", "Cooperlake",
    "core2duo", "coreduo", "Denverton", "Dhyana", "EPYC", "EPYC-Genoa", "EPYC-Milan", "EPYC-Rome",
    "EPYC-Turin", "GraniteRapids", "Haswell", "Icelake-Client", "Icelake-Server", "IvyBridge",
    "KnightsMill", "kvm32", "kvm64", "n270", "Nehalem", "Opteron_G1", "Opteron_G2", "Opteron_G3",
    "Opteron_G4", "Opteron_G5", "Penryn", "pentium", "pentium2", "pentium3", "phenom", "qemu32",
    "qemu64", "SandyBridge", "SapphireRapids", "SierraForest", "Skylake-Client", "Skylake-Server",
    "Snowridge", "Westmere", "YongFeng", "base",
];

/// Switches that are not CPUID bits.
const OURS: [&str; 8] =
    ["kvm", "pmu", "migratable", "check", "enforce", "host-phys-bits", "host", "max"];

/// One word after the model.
#[derive(Clone, Copy, Debug)]
enum Property {
    Feature(Feature),
    /// `kvm=`: whether the guest may know of KVM.
    Kvm,
    /// `pmu=`: whether it has performance counters.
    Pmu,
    /// `enforce=`: whether the guest must not start without what the host lacks.
    Enforce,
    /// `host-phys-bits=`: whether physical addresses have the host's width.
    HostPhysBits,
    /// Taken without effect: `migratable=` (chukka does not migrate guests, so the guest may have
    /// what ties it to this host) and `check` (chukka always says what KVM lacks).
    NoEffect,
}

/// The last `-cpu`, or the host's CPU without one.
///
/// QEMU's order (`x86_cpu_parse_featurestr` and `x86_cpu_expand_features`, target/i386/cpu.c):
/// first every `feature=on|off` as they stand, then every `+feature`, then every `-feature`.
///
/// Another model of QEMU's is taken as `host`, with a warning: scripts name one that every host
/// has.
pub(super) fn model(
    value: Option<&str>,
    warnings: &mut Vec<String>,
) -> Result<CpuModel, ArgsError> {
    let Some(value) = value else { return Ok(CpuModel::default()) };
    let mut words = value.split(',');
    check_model(words.next().unwrap_or_default(), warnings)?;
    let (mut plain, mut plus, mut minus) = (Vec::new(), Vec::new(), Vec::new());
    let mut values = identity::Values::default();
    for word in words.filter(|word| !word.is_empty()) {
        if let Some(name) = word.strip_prefix('+') {
            plus.push((property(name, word)?, true));
        } else if let Some(name) = word.strip_prefix('-') {
            minus.push((property(name, word)?, false));
        } else if let Some(value) = Value::named(word) {
            values.set(value, word)?;
        } else {
            // `feature` alone is `feature=on`.
            let (name, on) = word.split_once('=').unwrap_or((word, "on"));
            let property = property(name, word)?;
            let on =
                switch(on).ok_or_else(|| ArgsError::bad(format!("-cpu …,{word}"), "on or off"))?;
            plain.push((property, on));
        }
    }
    Ok(resolve(plain.into_iter().chain(plus).chain(minus), values))
}

fn check_model(name: &str, warnings: &mut Vec<String>) -> Result<(), ArgsError> {
    if ["host", "max"].contains(&name) {
        return Ok(());
    }
    if is_qemu_model(name) {
        let what = "chukka has no CPU models; the guest gets the host's CPU";
        warnings.push(format!("-cpu {name}: {what}"));
        return Ok(());
    }
    let hint =
        "use -cpu host, and disable features that the guest must not see: -cpu host,-avx512f";
    let expected = "host or max, with or without feature switches, or a CPU model of QEMU's";
    Err(ArgsError::bad(format!("-cpu {name}"), expected).with_hint(hint))
}

/// Whether QEMU has this model, in any variant: `-v3`, `-IBRS`, `-IBPB` or `-noTSX`.
fn is_qemu_model(name: &str) -> bool {
    let is_version =
        |text: &str| text.strip_prefix('v').is_some_and(|version| version.parse::<u8>().is_ok());
    let mut name = name;
    while let Some((base, last)) = name.rsplit_once('-') {
        if !["IBRS", "IBPB", "noTSX"].contains(&last) && !is_version(last) {
            break;
        }
        name = base;
    }
    QEMU_MODELS.contains(&name)
}

fn property(name: &str, word: &str) -> Result<Property, ArgsError> {
    let dashed = name.replace('_', "-");
    match dashed.as_str() {
        "kvm" => return Ok(Property::Kvm),
        "pmu" => return Ok(Property::Pmu),
        "enforce" => return Ok(Property::Enforce),
        "host-phys-bits" => return Ok(Property::HostPhysBits),
        "migratable" | "check" => return Ok(Property::NoEffect),
        _ => {}
    }
    if let Some(feature) = Feature::find(&dashed) {
        return Ok(Property::Feature(feature));
    }
    let given = format!("-cpu …,{word}");
    if let Some(value) = Value::named(&dashed) {
        return Err(ArgsError::bad(given, format!("{dashed}={}", value.metavar())));
    }
    let family = ["hv-", "vmx-", "x-"].iter().any(|prefix| dashed.starts_with(prefix));
    if family || QEMU_S.contains(&dashed.as_str()) {
        let why = "a QEMU CPU property that chukka does not have";
        return Err(ArgsError::unsupported(
            given,
            why,
            "chukka switches CPUID features and sets a few values: -cpu help lists them",
        ));
    }
    let names = Feature::names().chain(OURS).chain(Value::ALL.map(Value::name));
    let hint = match nearest(&dashed, names) {
        Some(name) => format!("did you mean {name}?"),
        None => "-cpu help lists the names".to_owned(),
    };
    Err(ArgsError::bad(given, "the name of a CPU feature").with_hint(hint))
}

/// The last word on each property counts.
fn resolve(settings: impl Iterator<Item = (Property, bool)>, values: identity::Values) -> CpuModel {
    let mut model = CpuModel::default();
    let mut host_phys_bits = None;
    let mut pmu = true;
    let mut features: Vec<(Feature, bool)> = Vec::new();
    for (property, on) in settings {
        match property {
            Property::Kvm => model.kvm = on,
            Property::Pmu => pmu = on,
            Property::Enforce => model.enforce = on,
            Property::HostPhysBits => host_phys_bits = Some(on),
            Property::NoEffect => {}
            Property::Feature(feature) => {
                features.retain(|(known, _)| *known != feature);
                features.push((feature, on));
            }
        }
    }
    model.switches.extend(features.into_iter().flat_map(|(feature, on)| feature.switch(on)));
    if !pmu {
        model.switches.extend(without_pmu());
    }
    model.identity = values.identity(host_phys_bits);
    model
}
