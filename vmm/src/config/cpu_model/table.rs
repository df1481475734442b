//! The named CPUID features and the positions of their bits.
//!
//! The names are QEMU's (`qemu-system-x86_64 -cpu help`). The bits follow the Intel SDM (volume 2,
//! CPUID), the AMD APM (volume 3, appendix E) and Linux's asm/cpufeatures.h; the KVM leaf follows
//! Linux's virt/kvm/x86/cpuid.rst.

use super::Register;
use super::Register::{Eax, Ebx, Ecx, Edx};

/// A CPUID register that holds feature bits.
#[derive(Debug)]
pub(super) struct Word {
    /// EAX on entry.
    pub leaf: u32,
    /// ECX on entry.
    pub subleaf: u32,
    /// The output register.
    pub register: Register,
    /// Bit number and name.
    pub bits: &'static [(u8, &'static str)],
}

const fn word(
    leaf: u32,
    subleaf: u32,
    register: Register,
    bits: &'static [(u8, &'static str)],
) -> Word {
    Word { leaf, subleaf, register, bits }
}

/// The bits of leaf 1 EDX that AMD duplicates in leaf 0x80000001 EDX: 0 to 9, 12 to 17, 23 and 24.
pub(crate) const AMD_COPY_OF_LEAF_1: u32 = 0x0183_f3ff;

/// Aliases, with dashes for underscores: first those that QEMU accepts, then those from
/// /proc/cpuinfo.
pub(super) static ALIASES: [(&str, &str); 18] = [
    ("sse3", "pni"),
    ("pclmuldq", "pclmulqdq"),
    ("sse4-1", "sse4.1"),
    ("sse4-2", "sse4.2"),
    ("xd", "nx"),
    ("ffxsr", "fxsr-opt"),
    ("i64", "lm"),
    ("htt", "ht"),
    ("dts", "ds"),
    ("tsc-deadline-timer", "tsc-deadline"),
    ("cr8-legacy", "cr8legacy"),
    ("avx512-vnni", "avx512vnni"),
    ("avx512-vbmi2", "avx512vbmi2"),
    ("avx512-bitalg", "avx512bitalg"),
    ("nonstop-tsc", "invtsc"),
    ("constant-tsc", "invtsc"),
    ("kvm-clock", "kvmclock"),
    ("lzcnt", "abm"),
];

/// All feature registers.
pub(super) static WORDS: [Word; 18] = [
    word(1, 0, Edx, LEAF_1_EDX),
    word(1, 0, Ecx, LEAF_1_ECX),
    word(6, 0, Eax, &[(2, "arat")]),
    word(7, 0, Ebx, LEAF_7_EBX),
    word(7, 0, Ecx, LEAF_7_ECX),
    word(7, 0, Edx, LEAF_7_EDX),
    word(7, 1, Eax, LEAF_7_1_EAX),
    word(7, 1, Edx, LEAF_7_1_EDX),
    word(7, 2, Edx, LEAF_7_2_EDX),
    word(0xd, 1, Eax, &[(0, "xsaveopt"), (1, "xsavec"), (2, "xgetbv1"), (3, "xsaves"), (4, "xfd")]),
    word(0x4000_0001, 0, Eax, KVM_FEATURES),
    word(0x8000_0001, 0, Ecx, LEAF_80000001_ECX),
    word(0x8000_0001, 0, Edx, LEAF_80000001_EDX),
    word(0x8000_0007, 0, Edx, &[(8, "invtsc")]),
    word(0x8000_0008, 0, Ebx, LEAF_80000008_EBX),
    word(0x8000_000a, 0, Edx, SVM_EDX),
    word(0x8000_0021, 0, Eax, LEAF_80000021_EAX),
    word(0x8000_0022, 0, Eax, &[(0, "perfmon-v2")]),
];

#[rustfmt::skip]
const LEAF_1_EDX: &[(u8, &str)] = &[
    (0, "fpu"), (1, "vme"), (2, "de"), (3, "pse"), (4, "tsc"), (5, "msr"), (6, "pae"), (7, "mce"),
    (8, "cx8"), (9, "apic"), (11, "sep"), (12, "mtrr"), (13, "pge"), (14, "mca"), (15, "cmov"),
    (16, "pat"), (17, "pse36"), (18, "pn"), (19, "clflush"), (21, "ds"), (22, "acpi"), (23, "mmx"),
    (24, "fxsr"), (25, "sse"), (26, "sse2"), (27, "ss"), (28, "ht"), (29, "tm"), (30, "ia64"),
    (31, "pbe"),
];

// Bit 27 (osxsave) follows CR4 and cannot be switched.
#[rustfmt::skip]
const LEAF_1_ECX: &[(u8, &str)] = &[
    (0, "pni"), (1, "pclmulqdq"), (2, "dtes64"), (3, "monitor"), (4, "ds-cpl"), (5, "vmx"),
    (6, "smx"), (7, "est"), (8, "tm2"), (9, "ssse3"), (10, "cid"), (12, "fma"), (13, "cx16"),
    (14, "xtpr"), (15, "pdcm"), (17, "pcid"), (18, "dca"), (19, "sse4.1"), (20, "sse4.2"),
    (21, "x2apic"), (22, "movbe"), (23, "popcnt"), (24, "tsc-deadline"), (25, "aes"), (26, "xsave"),
    (28, "avx"), (29, "f16c"), (30, "rdrand"), (31, "hypervisor"),
];

#[rustfmt::skip]
const LEAF_7_EBX: &[(u8, &str)] = &[
    (0, "fsgsbase"), (1, "tsc-adjust"), (2, "sgx"), (3, "bmi1"), (4, "hle"), (5, "avx2"),
    (6, "fdp-excptn-only"), (7, "smep"), (8, "bmi2"), (9, "erms"), (10, "invpcid"), (11, "rtm"),
    (13, "zero-fcs-fds"), (14, "mpx"), (16, "avx512f"), (17, "avx512dq"), (18, "rdseed"),
    (19, "adx"), (20, "smap"), (21, "avx512ifma"), (22, "pcommit"), (23, "clflushopt"),
    (24, "clwb"), (25, "intel-pt"), (26, "avx512pf"), (27, "avx512er"), (28, "avx512cd"),
    (29, "sha-ni"), (30, "avx512bw"), (31, "avx512vl"),
];

// Bit 4 (ospke) follows CR4.
#[rustfmt::skip]
const LEAF_7_ECX: &[(u8, &str)] = &[
    (1, "avx512vbmi"), (2, "umip"), (3, "pku"), (5, "waitpkg"), (6, "avx512vbmi2"), (8, "gfni"),
    (9, "vaes"), (10, "vpclmulqdq"), (11, "avx512vnni"), (12, "avx512bitalg"),
    (14, "avx512-vpopcntdq"), (16, "la57"), (22, "rdpid"), (24, "bus-lock-detect"),
    (25, "cldemote"), (27, "movdiri"), (28, "movdir64b"), (30, "sgxlc"), (31, "pks"),
];

#[rustfmt::skip]
const LEAF_7_EDX: &[(u8, &str)] = &[
    (2, "avx512-4vnniw"), (3, "avx512-4fmaps"), (4, "fsrm"), (8, "avx512-vp2intersect"),
    (10, "md-clear"), (14, "serialize"), (16, "tsx-ldtrk"), (19, "arch-lbr"), (22, "amx-bf16"),
    (23, "avx512-fp16"), (24, "amx-tile"), (25, "amx-int8"), (26, "spec-ctrl"), (27, "stibp"),
    (28, "flush-l1d"), (29, "arch-capabilities"), (30, "core-capability"), (31, "ssbd"),
];

#[rustfmt::skip]
const LEAF_7_1_EAX: &[(u8, &str)] = &[
    (0, "sha512"), (1, "sm3"), (2, "sm4"), (4, "avx-vnni"), (5, "avx512-bf16"), (7, "cmpccxadd"),
    (10, "fzrm"), (11, "fsrs"), (12, "fsrc"), (17, "fred"), (18, "lkgs"), (19, "wrmsrns"),
    (21, "amx-fp16"), (23, "avx-ifma"), (26, "lam"),
];

#[rustfmt::skip]
const LEAF_7_1_EDX: &[(u8, &str)] = &[
    (4, "avx-vnni-int8"), (5, "avx-ne-convert"), (8, "amx-complex"), (10, "avx-vnni-int16"),
    (14, "prefetchiti"), (19, "avx10"),
];

#[rustfmt::skip]
const LEAF_7_2_EDX: &[(u8, &str)] = &[
    (0, "intel-psfd"), (1, "ipred-ctrl"), (2, "rrsba-ctrl"), (3, "ddpd-u"), (4, "bhi-ctrl"),
    (5, "mcdt-no"),
];

// kvmclock has an old pair of MSRs (bit 0) and a new one (bit 3): as in QEMU, one name covers both.
#[rustfmt::skip]
const KVM_FEATURES: &[(u8, &str)] = &[
    (0, "kvmclock"), (1, "kvm-nopiodelay"), (2, "kvm-mmu"), (3, "kvmclock"), (4, "kvm-asyncpf"),
    (5, "kvm-steal-time"), (6, "kvm-pv-eoi"), (7, "kvm-pv-unhalt"), (9, "kvm-pv-tlb-flush"),
    (10, "kvm-asyncpf-vmexit"), (11, "kvm-pv-ipi"), (12, "kvm-poll-control"),
    (13, "kvm-pv-sched-yield"), (14, "kvm-asyncpf-int"), (15, "kvm-msi-ext-dest-id"),
    (24, "kvmclock-stable-bit"),
];

#[rustfmt::skip]
const LEAF_80000001_ECX: &[(u8, &str)] = &[
    (0, "lahf-lm"), (1, "cmp-legacy"), (2, "svm"), (3, "extapic"), (4, "cr8legacy"), (5, "abm"),
    (6, "sse4a"), (7, "misalignsse"), (8, "3dnowprefetch"), (9, "osvw"), (10, "ibs"), (11, "xop"),
    (12, "skinit"), (13, "wdt"), (15, "lwp"), (16, "fma4"), (17, "tce"), (19, "nodeid-msr"),
    (21, "tbm"), (22, "topoext"), (23, "perfctr-core"), (24, "perfctr-nb"),
];

// The other bits duplicate leaf 1 EDX on AMD.
#[rustfmt::skip]
const LEAF_80000001_EDX: &[(u8, &str)] = &[
    (11, "syscall"), (20, "nx"), (22, "mmxext"), (25, "fxsr-opt"), (26, "pdpe1gb"), (27, "rdtscp"),
    (29, "lm"), (30, "3dnowext"), (31, "3dnow"),
];

#[rustfmt::skip]
const LEAF_80000008_EBX: &[(u8, &str)] = &[
    (0, "clzero"), (2, "xsaveerptr"), (9, "wbnoinvd"), (12, "ibpb"), (14, "ibrs"),
    (15, "amd-stibp"), (17, "stibp-always-on"), (24, "amd-ssbd"), (25, "virt-ssbd"),
    (26, "amd-no-ssb"), (28, "amd-psfd"),
];

#[rustfmt::skip]
const SVM_EDX: &[(u8, &str)] = &[
    (0, "npt"), (1, "lbrv"), (2, "svm-lock"), (3, "nrip-save"), (4, "tsc-scale"), (5, "vmcb-clean"),
    (6, "flushbyasid"), (7, "decodeassists"), (10, "pause-filter"), (12, "pfthreshold"),
    (13, "avic"), (15, "v-vmsave-vmload"), (16, "vgif"), (25, "vnmi"), (28, "svme-addr-chk"),
];

#[rustfmt::skip]
const LEAF_80000021_EAX: &[(u8, &str)] = &[
    (0, "no-nested-data-bp"), (2, "lfence-always-serializing"), (6, "null-sel-clr-base"),
    (8, "auto-ibrs"), (24, "eraps"), (27, "sbpb"), (28, "ibpb-brtype"), (29, "srso-no"),
    (30, "srso-user-kernel-no"),
];
