//! The guest's CPU model: the host's CPU, with individual CPUID features enabled or disabled, and
//! with another identity if the user wants one.
//!
//! Plain data, independent of KVM: a [`FeatureSwitch`] names the bits of a CPUID register to set or
//! clear. The code that builds the guest's CPUID applies the switches, in order, to the features
//! KVM supports. A feature that KVM does not support stays off regardless of the switches; the
//! caller uses the name in the switch to warn the user.
//!
//! Dependent features are not switched together: `avx=off` leaves `avx2` on. Only what XSAVE saves
//! follows the features: KVM lets the guest use no other state.

pub mod identity;
mod table;

use identity::Identity;
pub(crate) use table::AMD_COPY_OF_LEAF_1;
use table::{ALIASES, WORDS, Word};

/// The guest's CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuModel {
    /// Changes to the CPUID bits, applied in this order.
    pub switches: Vec<FeatureSwitch>,
    /// Whether the guest can detect KVM (CPUID leaves 0x40000000 and above); `-cpu host,kvm=off`
    /// hides these leaves. The `hypervisor` bit is a separate feature.
    pub kvm: bool,
    /// What else differs from the host's CPU: vendor, family and so on.
    pub identity: Identity,
    /// Whether the guest must not start without what the host does not support (`enforce`).
    pub enforce: bool,
}

impl Default for CpuModel {
    /// The host's CPU as supported by KVM.
    fn default() -> Self {
        Self { switches: Vec::new(), kvm: true, identity: Identity::default(), enforce: false }
    }
}

/// A CPUID output register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// EAX.
    Eax,
    /// EBX.
    Ebx,
    /// ECX.
    Ecx,
    /// EDX.
    Edx,
}

/// Bits of one CPUID register to set or clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureSwitch {
    /// The feature, in QEMU's spelling.
    pub name: &'static str,
    /// The CPUID leaf (EAX on entry).
    pub leaf: u32,
    /// The CPUID subleaf (ECX on entry); 0 if the leaf has none.
    pub subleaf: u32,
    /// The output register.
    pub register: Register,
    /// The feature's bits in that register.
    pub mask: u32,
    /// Whether to set (true) or clear (false) the bits.
    pub on: bool,
}

impl FeatureSwitch {
    /// Applies the switch to the register's `value`.
    #[must_use]
    pub fn apply(&self, value: u32) -> u32 {
        if self.on { value | self.mask } else { value & !self.mask }
    }

    fn of_word(word: &Word, name: &'static str, mask: u32, on: bool) -> Self {
        Self { name, leaf: word.leaf, subleaf: word.subleaf, register: word.register, mask, on }
    }
}

/// A named feature. It may have more than one bit (`kvmclock` has two).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature(FeatureSwitch);

impl Feature {
    /// Looks a feature up. Underscores and dashes are equivalent, as in QEMU's `feat2prop`. QEMU's
    /// aliases are accepted, and so are differing names from Linux's /proc/cpuinfo.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let dashed = name.replace('_', "-");
        let name =
            ALIASES.iter().find(|(alias, _)| *alias == dashed).map_or(&*dashed, |(_, name)| name);
        WORDS.iter().find_map(|word| {
            let mut mask = 0;
            let mut known = "";
            for (bit, candidate) in word.bits.iter().filter(|(_, candidate)| *candidate == name) {
                mask |= 1 << bit;
                known = candidate;
            }
            (mask != 0).then(|| Self(FeatureSwitch::of_word(word, known, mask, true)))
        })
    }

    /// The feature's name in QEMU's spelling.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// The switches that enable or disable the feature. AMD CPUs duplicate most of leaf 1 EDX in
    /// leaf 0x80000001, so clearing one of those bits also clears its copy (zero on Intel). A copy
    /// is never set: if the CPU has it, the host's CPUID already includes it.
    pub fn switch(self, on: bool) -> impl Iterator<Item = FeatureSwitch> {
        let main = FeatureSwitch { on, ..self.0 };
        let repeated = main.leaf == 1 && main.register == Register::Edx;
        let mask = if repeated && !on { main.mask & AMD_COPY_OF_LEAF_1 } else { 0 };
        let copy = FeatureSwitch { leaf: 0x8000_0001, mask, ..main };
        std::iter::once(main).chain((mask != 0).then_some(copy))
    }

    /// All feature names, without duplicates, in QEMU's spelling, leaf by leaf.
    pub fn names() -> impl Iterator<Item = &'static str> {
        WORDS.iter().flat_map(|word| {
            let first = |at: usize, name| {
                word.bits.iter().position(|(_, other)| *other == name) == Some(at)
            };
            word.bits
                .iter()
                .enumerate()
                .filter_map(move |(at, (_, name))| first(at, *name).then_some(*name))
        })
    }
}

/// The switches that remove the performance counters (`pmu=off`): all of leaf 0xa and the features
/// that depend on counters, as in QEMU's `x86_cpu_expand_features` and `cpu_x86_cpuid`.
pub fn without_pmu() -> impl Iterator<Item = FeatureSwitch> {
    let leaf_a =
        [Register::Eax, Register::Ebx, Register::Ecx, Register::Edx].into_iter().map(|register| {
            FeatureSwitch {
                name: "pmu",
                leaf: 0xa,
                subleaf: 0,
                register,
                mask: u32::MAX,
                on: false,
            }
        });
    let promises = ["pdcm", "perfctr-core", "perfctr-nb", "perfmon-v2"];
    leaf_a.chain(
        promises.into_iter().filter_map(Feature::find).flat_map(|feature| feature.switch(false)),
    )
}

#[cfg(test)]
mod tests;
