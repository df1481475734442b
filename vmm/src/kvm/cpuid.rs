//! The guest's CPUID: what KVM supports, adjusted for each vCPU, with the user's switches applied.

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::{Cap, Kvm};

use crate::config::cpu_model::identity::Identity;
use crate::config::cpu_model::{AMD_COPY_OF_LEAF_1, CpuModel, FeatureSwitch, Register};
use crate::kvm::{KvmError, xsave_leaf};

/// CPUID.1:ECX[24], the local APIC timer's TSC deadline mode. KVM implements it but leaves it to
/// the VMM to set the bit (Documentation/virt/kvm/api.rst, KVM_GET_SUPPORTED_CPUID).
const TSC_DEADLINE: u32 = 1 << 24;
/// CPUID.1:ECX[21]: x2APIC, which the in-kernel local APIC always has.
const X2APIC: u32 = 1 << 21;
/// CPUID.1:ECX[31]: running under a hypervisor.
const HYPERVISOR: u32 = 1 << 31;
/// CPUID.1:EDX[28]: EBX[23:16] is valid (HTT).
const HTT: u32 = 1 << 28;
/// The 256 leaves that identify KVM to the guest (Documentation/virt/kvm/x86/cpuid.rst).
const KVM_LEAVES: u32 = 0x4000_0000;

/// A machine's CPUID, complete except for per-CPU values.
#[derive(Debug)]
pub struct Cpuid {
    entries: Vec<kvm_cpuid_entry2>,
    cpus: u8,
    warnings: Vec<String>,
}

impl Cpuid {
    /// Builds the CPUID from what `kvm` supports, for a machine of `cpus` vCPUs (one socket, one
    /// core each), with the switches of `model`.
    ///
    /// # Errors
    /// KVM_GET_SUPPORTED_CPUID failed, or the host lacks something and `model` enforces it.
    pub fn new(kvm: &Kvm, model: &CpuModel, cpus: u8) -> Result<Self, KvmError> {
        let supported = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(KvmError::ioctl("KVM_GET_SUPPORTED_CPUID"))?;
        let mut entries = supported.as_slice().to_vec();
        for entry in &mut entries {
            if entry.function == 1 {
                entry.ecx |= HYPERVISOR | X2APIC;
                if kvm.check_extension(Cap::TscDeadlineTimer) {
                    entry.ecx |= TSC_DEADLINE;
                }
            }
        }
        let unsupported = model.switches.iter().filter(|switch| !apply(&mut entries, switch));
        let mut lacking: Vec<_> = unsupported.map(Lacking::feature).collect();
        lacking.extend(Lacking::address_bits(&entries, &model.identity));
        if model.enforce
            && let Some(first) = lacking.first()
        {
            let (given, found) = (first.given.clone(), first.found.clone());
            return Err(KvmError::Enforced { given, found });
        }
        let warnings = lacking.iter().map(Lacking::warning).collect();
        xsave_leaf::follow_features(&mut entries);
        identify(&mut entries, &model.identity);
        if !model.kvm {
            entries.retain(|entry| entry.function & 0xffff_ff00 != KVM_LEAVES);
        }
        Ok(Self { entries, cpus, warnings })
    }

    /// What was requested and the host does not support.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The entries for vCPU `cpu`, whose local APIC ID is the same number.
    ///
    /// # Errors
    /// Too many entries for KVM. Cannot happen, because they came from KVM.
    pub fn of_cpu(&self, cpu: u8) -> Result<CpuId, KvmError> {
        let mut entries = self.entries.clone();
        for entry in &mut entries {
            topology(entry, cpu, self.cpus);
        }
        CpuId::from_entries(&entries).map_err(|_| KvmError::Ioctl {
            ioctl: "KVM_SET_CPUID2",
            source: std::io::ErrorKind::ArgumentListTooLong.into(),
        })
    }
}

/// Something that the user requested and the host does not support.
#[derive(Debug)]
struct Lacking {
    given: String,
    found: String,
    instead: &'static str,
}

impl Lacking {
    fn feature(switch: &FeatureSwitch) -> Self {
        let given = format!("-cpu {}=on", switch.name);
        Self { given, found: "the host's KVM does not have it".to_owned(), instead: "it stays off" }
    }

    /// Physical addresses wider than the host's.
    fn address_bits(entries: &[kvm_cpuid_entry2], identity: &Identity) -> Option<Self> {
        let bits = identity.address_bits.required()?;
        let host = entries.iter().find(|entry| entry.function == 0x8000_0008)?.eax & 0xff;
        (u32::from(bits) > host).then(|| Self {
            given: format!("-cpu phys-bits={bits}"),
            found: format!("the host has {host} bits"),
            instead: "the guest gets as many",
        })
    }

    fn warning(&self) -> String {
        format!("{}: {}; {}", self.given, self.found, self.instead)
    }
}

/// Applies a `-cpu` switch to the entries. Returns false, without any effect, if it enables a
/// feature that the host does not support.
fn apply(entries: &mut [kvm_cpuid_entry2], switch: &FeatureSwitch) -> bool {
    let entry = entries.iter_mut().find(|e| e.function == switch.leaf && e.index == switch.subleaf);
    let Some(entry) = entry else { return !switch.on };
    let register = match switch.register {
        Register::Eax => &mut entry.eax,
        Register::Ebx => &mut entry.ebx,
        Register::Ecx => &mut entry.ecx,
        Register::Edx => &mut entry.edx,
    };
    if switch.on && *register & switch.mask != switch.mask {
        return false;
    }
    *register = switch.apply(*register);
    true
}

/// Replaces the host's vendor, family and so on, and removes the leaves above the highest.
fn identify(entries: &mut Vec<kvm_cpuid_entry2>, identity: &Identity) {
    entries.retain(|entry| identity.has_leaf(entry.function));
    // QEMU's `x86_cpu_realizefn` does so for AMD.
    let leaf_1 = entries.iter().find(|entry| entry.function == 1).map_or(0, |entry| entry.edx);
    for entry in entries {
        let host = [entry.eax, entry.ebx, entry.ecx, entry.edx];
        [entry.eax, entry.ebx, entry.ecx, entry.edx] = identity.apply(entry.function, host);
        if entry.function == 0x8000_0001 && identity.repeats_leaf_1() {
            entry.edx = entry.edx & !AMD_COPY_OF_LEAF_1 | leaf_1 & AMD_COPY_OF_LEAF_1;
        }
    }
}

/// Sets the per-CPU values: APIC IDs and the number of CPUs that share each resource.
///
/// Sources: Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E. The topology is one socket of
/// single-threaded cores.
fn topology(entry: &mut kvm_cpuid_entry2, cpu: u8, cpus: u8) {
    let apic_id = u32::from(cpu);
    let count = u32::from(cpus);
    // Number of APIC ID bits that identify a core within its socket.
    let core_bits = u32::from(cpus).next_power_of_two().trailing_zeros();
    match (entry.function, entry.index) {
        (1, _) => {
            entry.ebx = (entry.ebx & 0xff00) | apic_id << 24 | count << 16;
            entry.edx = if cpus > 1 { entry.edx | HTT } else { entry.edx & !HTT };
        }
        // Deterministic cache parameters: levels 1 and 2 are per core, level 3 is shared by all.
        (4, _) if entry.eax & 0x1f != 0 => {
            let level = entry.eax >> 5 & 7;
            let sharing = if level >= 3 { (1 << core_bits) - 1 } else { 0 };
            let cores = (1 << core_bits) - 1;
            entry.eax = (entry.eax & 0x3fff) | sharing << 14 | cores << 26;
        }
        // Extended topology: level 0 threads (one), level 1 cores.
        (0xb | 0x1f, 0) => (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 1, 1 << 8, apic_id),
        (0xb | 0x1f, 1) => {
            (entry.eax, entry.ebx, entry.ecx, entry.edx) = (core_bits, count, 1 | 2 << 8, apic_id);
        }
        (0xb | 0x1f, index) => {
            (entry.eax, entry.ebx, entry.ecx, entry.edx) = (0, 0, index & 0xff, apic_id);
        }
        // AMD: core count and bits; extended APIC ID, node and compute unit.
        (0x8000_0008, _) => entry.ecx = (entry.ecx & !0xf0ff) | core_bits << 12 | (count - 1),
        (0x8000_001e, _) => (entry.eax, entry.ebx, entry.ecx) = (apic_id, apic_id, 0),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(function: u32, index: u32, registers: [u32; 4]) -> kvm_cpuid_entry2 {
        let [eax, ebx, ecx, edx] = registers;
        kvm_cpuid_entry2 { function, index, eax, ebx, ecx, edx, ..Default::default() }
    }

    /// A leaf of CPU 2 of a machine with so many, on a host where it is all ones.
    fn on(cpus: u8, function: u32, index: u32, eax: u32) -> [u32; 4] {
        let mut entry = leaf(function, index, [eax, u32::MAX, u32::MAX, u32::MAX]);
        topology(&mut entry, 2, cpus);
        [entry.eax, entry.ebx, entry.ecx, entry.edx]
    }

    /// Intel SDM vol. 2, CPUID: leaf 1 EBX[31:24] APIC ID, EBX[23:16] number of logical CPUs,
    /// EDX[28] HTT.
    #[test]
    fn leaf_1_has_the_apic_id_and_the_number_of_cpus() {
        assert_eq!(on(4, 1, 0, 7), [7, 0x0204_ff00, u32::MAX, u32::MAX]);
        assert_eq!(on(1, 1, 0, 7), [7, 0x0201_ff00, u32::MAX, !(1 << 28)]);
        let mut entry = leaf(1, 0, [0; 4]);
        topology(&mut entry, 2, 3);
        assert_eq!((entry.ebx, entry.edx), (0x0203_0000, 1 << 28));
    }

    /// Leaf 4: EAX[25:14] CPUs that share the cache, less 1; EAX[31:26] cores, less 1. Both are
    /// rounded up to a power of two.
    #[test]
    fn caches_of_levels_1_and_2_are_of_one_cpu_and_level_3_is_of_all() {
        // Type 1 (data) of level 1, type 3 (unified) of levels 2 and 3, and type 0: no more.
        for (cpus, shared) in [(1, 0), (2, 1), (3, 3), (4, 3), (6, 7)] {
            let eax = |eax| on(cpus, 4, 0, eax)[0];
            let cores = shared << 26;
            assert_eq!(eax(0xffff_c021), 0x21 | cores, "{cpus} CPUs");
            assert_eq!(eax(0xffff_c043), 0x43 | cores);
            assert_eq!(eax(0xffff_c163), 0x163 | cores | shared << 14);
            assert_eq!(eax(0), 0);
        }
        assert_eq!(on(4, 4, 0, 0x21)[1..], [u32::MAX; 3]);
    }

    /// Leaves 0xb and 0x1f: EAX shift to the next level, EBX CPUs, ECX level and type (1 thread, 2
    /// core), EDX x2APIC ID.
    #[test]
    fn the_extended_topology_is_cores_of_one_thread_in_one_socket() {
        for function in [0xb, 0x1f] {
            assert_eq!(on(3, function, 0, 9), [0, 1, 0x100, 2]);
            assert_eq!(on(3, function, 1, 9), [2, 3, 0x201, 2]);
            assert_eq!(on(1, function, 1, 9), [0, 1, 0x201, 2]);
            assert_eq!(on(3, function, 2, 9), [0, 0, 2, 2]);
            assert_eq!(on(3, function, 0x105, 9), [0, 0, 5, 2]);
        }
    }

    /// AMD APM vol. 3, E.4.7 and E.4.15: leaf 0x80000008 ECX[7:0] cores less 1, ECX[15:12] bits of
    /// the APIC ID; leaf 0x8000001e EAX the APIC ID, EBX[7:0] the core.
    #[test]
    fn amds_leaves_have_the_same_topology() {
        assert_eq!(on(4, 0x8000_0008, 0, 9), [9, u32::MAX, 0xffff_2f03, u32::MAX]);
        assert_eq!(on(1, 0x8000_0008, 0, 9), [9, u32::MAX, 0xffff_0f00, u32::MAX]);
        assert_eq!(on(4, 0x8000_001e, 0, 9), [2, 2, 0, u32::MAX]);
        assert_eq!(on(4, 7, 0, 9), [9, u32::MAX, u32::MAX, u32::MAX]);
    }

    fn switch(leaf: u32, subleaf: u32, register: Register, on: bool) -> FeatureSwitch {
        FeatureSwitch { name: "feature", leaf, subleaf, register, mask: 0b110, on }
    }

    #[test]
    fn a_feature_that_the_host_lacks_stays_off_and_is_told() {
        let host = || vec![leaf(7, 0, [0b111; 4]), leaf(7, 1, [0b010; 4]), leaf(1, 0, [0; 4])];
        let registers = [Register::Eax, Register::Ebx, Register::Ecx, Register::Edx];
        for (n, register) in registers.into_iter().enumerate() {
            // Subleaf, switched on, whether the host has it, and what is left in the register.
            for (subleaf, on, is_there, left) in [
                (0, true, true, 0b111),
                (0, false, true, 0b001),
                (1, true, false, 0b010),
                (1, false, true, 0b000),
            ] {
                let mut entries = host();
                let applied = apply(&mut entries, &switch(7, subleaf, register, on));
                let changed = &entries[subleaf as usize];
                let values = [changed.eax, changed.ebx, changed.ecx, changed.edx];
                assert_eq!((applied, values[n]), (is_there, left), "{register:?} {subleaf} {on}");
                let rest = (0..4).filter(|other| *other != n);
                let host = [0b111, 0b010][subleaf as usize];
                assert!(rest.into_iter().all(|other| values[other] == host), "only one register");
            }
        }
        let mut entries = host();
        assert!(!apply(&mut entries, &switch(0xd, 1, Register::Eax, true)), "no such leaf");
        assert!(apply(&mut entries, &switch(0xd, 1, Register::Eax, false)));
        assert_eq!(entries, host());
    }

    #[test]
    fn addresses_wider_than_the_hosts_are_told() {
        use crate::config::cpu_model::identity::AddressBits;
        let host = [leaf(1, 0, [0; 4]), leaf(0x8000_0008, 0, [0x3027, 0, 0, 0])];
        let lacking = |bits| {
            let identity = Identity { address_bits: bits, ..Identity::default() };
            Lacking::address_bits(&host, &identity).map(|lacking| lacking.warning())
        };
        let told = "-cpu phys-bits=40: the host has 39 bits; the guest gets as many";
        assert_eq!(lacking(AddressBits::Exactly(40)).as_deref(), Some(told));
        assert_eq!(lacking(AddressBits::Exactly(39)), None);
        assert_eq!(lacking(AddressBits::AtMost(40)), None);
        assert_eq!(lacking(AddressBits::Host), None);
    }

    /// `kvm=off` removes KVM's 256 leaves, and enforce ends what cannot be as wanted.
    #[test]
    fn the_hosts_cpuid_is_changed_as_the_model_says() {
        let Ok(kvm) = Kvm::new() else { return };
        let has = |cpuid: &Cpuid, leaf| cpuid.entries.iter().any(|entry| entry.function == leaf);
        let model = CpuModel::default();
        let shown = Cpuid::new(&kvm, &model, 1).unwrap();
        assert!(has(&shown, 0x4000_0000) && has(&shown, 0x4000_0001) && has(&shown, 1));
        assert_eq!(shown.warnings(), [""; 0]);
        // Bits that KVM leaves to us are added to leaf 1, and nothing else is changed.
        let supported = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).unwrap();
        let ours = HYPERVISOR | X2APIC;
        let deadline = if kvm.check_extension(Cap::TscDeadlineTimer) { TSC_DEADLINE } else { 0 };
        let same = |a: &kvm_cpuid_entry2, b: &kvm_cpuid_entry2| {
            (a.function, a.index) == (b.function, b.index)
        };
        // Leaf 0xd follows the features.
        for guest in shown.entries.iter().filter(|entry| entry.function != 0xd) {
            let host = supported.as_slice().iter().find(|host| same(host, guest)).unwrap();
            let added = if host.function == 1 { ours | deadline } else { 0 };
            assert_eq!((guest.ecx, guest.edx), (host.ecx | added, host.edx), "{host:x?}");
        }
        let hidden = Cpuid::new(&kvm, &CpuModel { kvm: false, ..model.clone() }, 1).unwrap();
        assert!(!has(&hidden, 0x4000_0000) && !has(&hidden, 0x4000_0001) && has(&hidden, 1));
        let missing = vec![switch(0x0fff_ffff, 0, Register::Eax, true)];
        let wanted = CpuModel { switches: missing, ..model };
        let without = Cpuid::new(&kvm, &wanted, 1).unwrap();
        let told = "-cpu feature=on: the host's KVM does not have it; it stays off";
        assert_eq!(without.warnings(), [told]);
        let error = Cpuid::new(&kvm, &CpuModel { enforce: true, ..wanted }, 1).unwrap_err();
        assert!(matches!(error, KvmError::Enforced { .. }), "{error}");
    }

    /// AMD APM vol. 3, appendix E: in leaf 0x80000001, EDX[9:0], [17:12] and some more repeat leaf
    /// 1's; QEMU's `CPUID_EXT2_AMD_ALIASES`.
    #[test]
    fn amds_copy_of_leaf_1_has_its_features() {
        let host =
            [leaf(1, 0, [0, 0, 0, 0x0000_0011]), leaf(0x8000_0001, 0, [0, 0, 0, 0x2010_0102])];
        let identity = |vendor| Identity { vendor, ..Identity::default() };
        let edx = |identity: &Identity| {
            let mut entries = host.to_vec();
            identify(&mut entries, identity);
            entries[1].edx
        };
        assert_eq!(edx(&identity(Some(*b"AuthenticAMD"))), 0x2010_0011);
        assert_eq!(edx(&identity(Some(*b"GenuineIntel"))), 0x2010_0102);
    }
}
