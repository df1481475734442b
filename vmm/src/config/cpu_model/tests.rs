use super::*;

/// CPUID of an Intel Cascade Lake server under a hypervisor, as returned by the CPUID instruction:
/// (leaf, subleaf, [EAX, EBX, ECX, EDX]).
const CASCADE_LAKE: [(u32, u32, [u32; 4]); 8] = [
    (0x1, 0, [0x0005_0657, 0x0102_0800, 0xfffa_3203, 0x1f8b_fbff]),
    (0x6, 0, [0x0000_0004, 0, 0, 0]),
    (0x7, 0, [0, 0xd19f_67eb, 0x0000_081c, 0xbc00_0400]),
    (0x7, 1, [0, 0, 0, 0]),
    (0xd, 1, [0x0000_000f, 0x0000_0a08, 0, 0]),
    (0x8000_0001, 0, [0, 0, 0x0000_0121, 0x2c10_0800]),
    (0x8000_0007, 0, [0, 0, 0, 0x0000_0100]),
    (0x8000_0008, 0, [0x002e_302e, 0x0100_d000, 0, 0]),
];

/// The flags in its /proc/cpuinfo, without the synthetic ones that Linux adds (`constant_tsc`,
/// `rep_good`, `nopl`, `cpuid`, `ibrs_enhanced`, …).
const CASCADE_LAKE_FLAGS: &str = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov \
    pat pse36 clflush mmx fxsr sse sse2 ss ht syscall nx pdpe1gb rdtscp lm nonstop_tsc pni \
    pclmulqdq ssse3 fma cx16 pcid sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave \
    avx f16c rdrand hypervisor lahf_lm abm 3dnowprefetch ssbd ibrs ibpb stibp fsgsbase tsc_adjust \
    bmi1 avx2 smep bmi2 erms invpcid mpx avx512f avx512dq rdseed adx smap clflushopt clwb \
    avx512cd avx512bw avx512vl xsaveopt xsavec xgetbv1 xsaves arat umip pku avx512_vnni md_clear \
    flush_l1d arch_capabilities";

fn switches(name: &str, on: bool) -> Vec<FeatureSwitch> {
    Feature::find(name).unwrap().switch(on).collect()
}

fn place(name: &str) -> (u32, u32, Register, u32) {
    let switch = switches(name, true)[0];
    (switch.leaf, switch.subleaf, switch.register, switch.mask)
}

fn register_of(leaf: u32, subleaf: u32, register: Register) -> Option<u32> {
    let (_, _, values) = CASCADE_LAKE.iter().find(|(l, s, _)| (*l, *s) == (leaf, subleaf))?;
    Some(values[register as usize])
}

#[test]
fn every_flag_linux_shows_for_a_real_cpu_is_set_in_its_cpuid() {
    for flag in CASCADE_LAKE_FLAGS.split_whitespace() {
        let (leaf, subleaf, register, mask) = place(flag);
        let value = register_of(leaf, subleaf, register).unwrap();
        assert_eq!(value & mask, mask, "{flag}: {leaf:#x}.{subleaf} {register:?} = {value:#x}");
    }
}

#[test]
fn every_bit_set_in_the_cpuid_of_a_real_cpu_is_shown_by_linux() {
    let shown: Vec<_> = CASCADE_LAKE_FLAGS
        .split_whitespace()
        .map(|flag| Feature::find(flag).unwrap().name())
        .collect();
    for name in Feature::names() {
        let (leaf, subleaf, register, mask) = place(name);
        let set = register_of(leaf, subleaf, register).is_some_and(|value| value & mask == mask);
        // Linux sets ibrs, ibpb, stibp and ssbd for either vendor's bit, and does not show two FPU
        // changes.
        let not_shown = ["spec-ctrl", "amd-stibp", "amd-ssbd", "fdp-excptn-only", "zero-fcs-fds"];
        let expected = shown.contains(&name) || not_shown.contains(&name);
        assert_eq!(set, expected, "{name}");
    }
}

#[test]
fn features_have_the_bit_positions_of_the_manuals() {
    use Register::{Eax, Ebx, Ecx, Edx};
    for (name, expected) in [
        ("cx16", (1, 0, Ecx, 1 << 13)),
        ("x2apic", (1, 0, Ecx, 1 << 21)),
        ("hypervisor", (1, 0, Ecx, 1 << 31)),
        ("smap", (7, 0, Ebx, 1 << 20)),
        ("la57", (7, 0, Ecx, 1 << 16)),
        ("arch-capabilities", (7, 0, Edx, 1 << 29)),
        ("avx512-bf16", (7, 1, Eax, 1 << 5)),
        ("xsaves", (0xd, 1, Eax, 1 << 3)),
        ("svm", (0x8000_0001, 0, Ecx, 1 << 2)),
        ("nx", (0x8000_0001, 0, Edx, 1 << 20)),
        ("invtsc", (0x8000_0007, 0, Edx, 1 << 8)),
        ("ibpb", (0x8000_0008, 0, Ebx, 1 << 12)),
        ("arat", (6, 0, Eax, 1 << 2)),
        ("kvm-steal-time", (0x4000_0001, 0, Eax, 1 << 5)),
        ("kvmclock", (0x4000_0001, 0, Eax, 1 | 1 << 3)),
    ] {
        assert_eq!(place(name), expected, "{name}");
    }
}

#[test]
fn every_bit_has_one_name_and_every_name_one_register() {
    for (index, word) in WORDS.iter().enumerate() {
        let mut seen = 0u32;
        for (bit, name) in word.bits {
            assert_eq!(seen & (1 << bit), 0, "{name}");
            seen |= 1 << bit;
            let elsewhere = WORDS.iter().skip(index + 1).flat_map(|other| other.bits);
            assert!(elsewhere.clone().all(|(_, other)| other != name), "{name}");
        }
    }
}

#[test]
fn aliases_resolve_to_features() {
    for (alias, name) in ALIASES {
        assert_eq!(Feature::find(alias).unwrap().name(), name);
    }
    for spelling in ["sse4.1", "sse4_1", "sse4-1"] {
        assert_eq!(Feature::find(spelling).unwrap().name(), "sse4.1");
    }
    assert_eq!(Feature::find("osxsave"), None);
    assert_eq!(Feature::find(""), None);
}

#[test]
fn a_switch_sets_or_clears_only_its_bits() {
    assert_eq!(switches("cx16", true)[0].apply(1), 1 | 1 << 13);
    assert_eq!(switches("cx16", false)[0].apply(u32::MAX), !(1 << 13));
}

#[test]
fn clearing_a_leaf_1_feature_clears_the_amd_copy_but_setting_it_does_not_set_the_copy() {
    let off = switches("mmx", false);
    assert_eq!(off.len(), 2);
    assert_eq!(
        (off[1].leaf, off[1].register, off[1].mask, off[1].on),
        (0x8000_0001, Register::Edx, 1 << 23, false)
    );
    assert_eq!(switches("mmx", true).len(), 1);
    assert_eq!(switches("sep", false).len(), 1, "bit 11 is syscall over there");
    assert_eq!(switches("cx16", false).len(), 1);
}

#[test]
fn without_pmu_empties_leaf_a() {
    let all: Vec<_> = without_pmu().collect();
    assert_eq!(
        all.iter().filter(|switch| switch.leaf == 0xa && switch.mask == u32::MAX).count(),
        4
    );
    assert!(all.iter().all(|switch| !switch.on));
    assert!(all.iter().any(|switch| switch.name == "pdcm"));
}
