use super::{config, refusal, request};
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
    for property in ["hv-relaxed", "hv_time", "enforce", "vmx-ept=off", "model-id=x", "rdctl-no=on"]
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
