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
