use super::{config, refusal, request};
use vmm::config::cpu_model::identity::{AddressBits, Identity};
use vmm::config::cpu_model::{CpuModel, Register};

/// Name and state of each switch that a `-cpu` gives.
fn switches(value: &str) -> Vec<(&'static str, bool)> {
    config(&["-cpu", value]).cpu.switches.iter().map(|switch| (switch.name, switch.on)).collect()
}

#[test]
fn cpu_features_are_switched() {
    assert_eq!(config(&["-cpu", "host"]).cpu, CpuModel::default());
    assert_eq!(switches("max,-cx16,+x2apic"), [("x2apic", true), ("cx16", false)]);
    assert_eq!(
        switches("host,cx16=off,aes,avx=yes"),
        [("cx16", false), ("aes", true), ("avx", true)]
    );
    assert_eq!(
        switches("host,sse4_1=off,-sse4-2,-sse3"),
        [("sse4.1", false), ("sse4.2", false), ("pni", false)]
    );
    let cx16 = config(&["-cpu", "host,-cx16"]).cpu.switches[0];
    assert_eq!((cx16.leaf, cx16.subleaf, cx16.register, cx16.mask), (1, 0, Register::Ecx, 1 << 13));
    assert_eq!(switches("host,"), []);
}

#[test]
fn the_last_word_on_a_cpu_feature_counts_and_minus_beats_plus_beats_equals() {
    assert_eq!(switches("host,cx16=off,cx16=on"), [("cx16", true)]);
    assert_eq!(switches("host,-cx16,+cx16"), [("cx16", false)]);
    assert_eq!(switches("host,+cx16,cx16=off"), [("cx16", true)]);
    assert_eq!(switches("host,mmx=off,mmx=on"), [("mmx", true)], "AMD's copy is left alone again");
}

#[test]
fn cpu_properties_that_are_no_features_are_read() {
    assert!(!config(&["-cpu", "host,kvm=off"]).cpu.kvm);
    assert!(!config(&["-cpu", "host,-kvm"]).cpu.kvm);
    assert!(config(&["-cpu", "host,kvm=off,+kvm"]).cpu.kvm);
    assert_eq!(switches("host,-hypervisor"), [("hypervisor", false)]);
    assert_eq!(switches("host,migratable=no,check,pmu=on"), []);
    assert!(
        switches("host,pmu=off").iter().filter(|switch| **switch == ("pmu", false)).count() == 4
    );
}

#[test]
fn cpus_and_features_that_are_not_there_are_refused() {
    for model in ["hots", "", "nehalem", "EPYC-v", "EPYC-v999", "-v1", "IBRS", "host-v1"] {
        let (text, hint) = refusal(&["-cpu", model]);
        let expected = "host or max, with or without feature switches, or a CPU model of QEMU's";
        assert_eq!(text, format!("-cpu {model}: expected {expected}"));
        assert_eq!(
            hint,
            "use -cpu host, and disable features that the guest must not see: -cpu host,-avx512f"
        );
    }
    assert_eq!(
        refusal(&["-cpu", "host,-cx61"]),
        ("-cpu …,-cx61: expected the name of a CPU feature".into(), "did you mean cx16?".into())
    );
    assert_eq!(refusal(&["-cpu", "host,+foobarbaz"]).1, "-cpu help lists the names");
    assert_eq!(refusal(&["-cpu", "host,cx16=maybe"]).0, "-cpu …,cx16=maybe: expected on or off");
    for property in
        ["hv-relaxed", "hv_time", "tsc-frequency=1", "vmx-ept=off", "xlevel2=1", "rdctl-no=on"]
    {
        let (text, _) = refusal(&["-cpu", &format!("host,{property}")]);
        assert_eq!(
            text,
            format!("-cpu …,{property}: a QEMU CPU property that chukka does not have")
        );
    }
}

#[test]
fn a_cpu_model_of_qemu_is_taken_as_host_with_one_warning() {
    for model in ["qemu64", "Nehalem", "kvm64", "Skylake-Client-noTSX-IBRS", "EPYC-Rome-v2"] {
        let request = request(&["-cpu", &format!("{model},-avx512f")]);
        assert_eq!(request.vm.cpu.switches.len(), 1, "{model}");
        let what = "chukka has no CPU models; the guest gets the host's CPU";
        assert_eq!(request.warnings, [format!("-cpu {model}: {what}")]);
    }
}

/// The identity that a `-cpu` gives.
fn identity(value: &str) -> Identity {
    config(&["-cpu", value]).cpu.identity
}

#[test]
fn a_cpu_has_another_identity_if_requested() {
    let given = identity(
        "max,vendor=GenuineIntel,family=0x17,model=49,stepping=0xf,model_id=A CPU,level=13,\
         xlevel=0x80000008",
    );
    let name = given.name.unwrap();
    assert_eq!((&name[..6], name[6..].iter().max()), (&b"A CPU\0"[..], Some(&0)));
    let expected = Identity {
        vendor: Some(*b"GenuineIntel"),
        family: Some(0x17),
        model: Some(49),
        stepping: Some(15),
        name: Some(name),
        level: Some(13),
        xlevel: Some(0x8000_0008),
        address_bits: AddressBits::Host,
    };
    assert_eq!(given, expected);
    assert_eq!(identity("Opteron_G1,vendor=AuthenticAMD").vendor, Some(*b"AuthenticAMD"));
    assert_eq!(
        identity("host,vendor=GenuineIntel,vendor=Hi There!!!!").vendor,
        Some(*b"Hi There!!!!")
    );
    assert!(config(&["-cpu", "host,enforce"]).cpu.enforce);
    assert!(!config(&["-cpu", "host,check"]).cpu.enforce);
}

#[test]
fn the_width_of_physical_addresses_is_the_hosts_unless_given() {
    for (value, expected) in [
        ("max,host-phys-bits", AddressBits::Host),
        ("host,phys-bits=0", AddressBits::Host),
        ("IvyBridge,phys-bits=36,host-phys-bits=off", AddressBits::Exactly(36)),
        ("host,phys-bits=36", AddressBits::Exactly(36)),
        ("host,phys-bits=36,host-phys-bits=on", AddressBits::Host),
        ("host,host-phys-bits=off", AddressBits::AtMost(40)),
        ("host,host-phys-bits-limit=0x27", AddressBits::AtMost(39)),
    ] {
        assert_eq!(identity(value).address_bits, expected, "{value}");
    }
}

#[test]
fn values_of_a_cpu_that_it_cannot_have_are_refused() {
    for (word, expected) in [
        ("vendor=Intel", "12 printable characters, such as GenuineIntel or AuthenticAMD"),
        ("vendor=", "12 printable characters, such as GenuineIntel or AuthenticAMD"),
        ("vendor=GenuineIntél", "12 printable characters, such as GenuineIntel or AuthenticAMD"),
        ("vendor", "a value: vendor=TEXT"),
        ("+vendor", "vendor=TEXT"),
        ("-family", "family=N"),
        ("family=271", "a number from 0 to 270"),
        ("model=-1", "a number from 0 to 255"),
        ("stepping=0x10", "a number from 0 to 15"),
        ("stepping=+1", "a number from 0 to 15"),
        ("level=0x40000000", "a number from 0x0 to 0x3fffffff"),
        ("xlevel=8", "a number from 0x80000000 to 0x8fffffff"),
        ("phys-bits=31", "a number from 32 to 52, or 0 for the default"),
        ("host-phys-bits-limit=53", "a number from 32 to 52, or 0 for the default"),
        (&format!("model-id={}", "x".repeat(49)), "at most 48 bytes"),
    ] {
        let (text, _) = refusal(&["-cpu", &format!("host,{word}")]);
        assert_eq!(text, format!("-cpu …,{word}: expected {expected}"));
    }
    assert_eq!(refusal(&["-cpu", "host,vendr=GenuineIntel"]).1, "did you mean vendor?");
}
