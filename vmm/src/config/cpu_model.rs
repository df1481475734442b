//! What the guest's CPUs look like: the host's CPU, with single CPUID features switched on or off.
//!
//! Plain data that knows nothing of KVM: a [`FeatureSwitch`] says which bits of which CPUID
//! register to set or clear, and [`Cpuid`](crate::kvm::cpuid::Cpuid) applies the switches, in their
//! order, to what KVM supports. A feature that KVM does not support stays off whatever a switch
//! says; saying so to the user is that caller's business, hence the name in each switch.
//!
//! Features that hang together are not switched together (`avx=off` leaves `avx2` on): Linux drops
//! what depends on a missing feature by itself (its kernel/cpu/cpuid-deps.c).

mod table;

use table::{ALIASES, AMD_COPY_OF_LEAF_1, WORDS, Word};

/// The guest's CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuModel {
    /// Changes to the CPUID bits the guest would see otherwise, to be applied in this order.
    pub switches: Vec<FeatureSwitch>,
    /// Whether the guest can detect KVM (CPUID leaves 0x40000000 and above); `-cpu host,kvm=off`
    /// hides them. The `hypervisor` bit is a feature of its own.
    pub kvm: bool,
}

impl Default for CpuModel {
    /// The host's CPU as KVM offers it.
    fn default() -> Self {
        Self { switches: Vec::new(), kvm: true }
    }
}

/// One of the four registers CPUID answers in.
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

/// Bits of one CPUID register, switched on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureSwitch {
    /// The feature, in QEMU's spelling.
    pub name: &'static str,
    /// The CPUID leaf (EAX on entry).
    pub leaf: u32,
    /// The CPUID subleaf (ECX on entry); 0 where the leaf has none.
    pub subleaf: u32,
    /// The register that answers.
    pub register: Register,
    /// The bits of the feature in it.
    pub mask: u32,
    /// Whether they are set (true) or cleared (false).
    pub on: bool,
}

impl FeatureSwitch {
    /// What `value`, the register's content, becomes.
    #[must_use]
    pub fn apply(&self, value: u32) -> u32 {
        if self.on { value | self.mask } else { value & !self.mask }
    }

    fn of_word(word: &Word, name: &'static str, mask: u32, on: bool) -> Self {
        Self { name, leaf: word.leaf, subleaf: word.subleaf, register: word.register, mask, on }
    }
}

/// A feature known by name. It may have more than one bit (`kvmclock` has two).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature(FeatureSwitch);

impl Feature {
    /// Looks a feature up. Underscore and dash are the same, as in QEMU's `feat2prop`; QEMU's
    /// aliases count, and so do the names in Linux's /proc/cpuinfo where they are others.
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

    /// What switching it takes. AMD's CPUs repeat most of leaf 1 EDX in leaf 0x80000001, so that
    /// clearing one of those bits clears its copy too (Intel's have zeros there). A copy is never
    /// set: where it belongs, the host has it.
    pub fn switch(self, on: bool) -> impl Iterator<Item = FeatureSwitch> {
        let main = FeatureSwitch { on, ..self.0 };
        let repeated = main.leaf == 1 && main.register == Register::Edx;
        let mask = if repeated && !on { main.mask & AMD_COPY_OF_LEAF_1 } else { 0 };
        let copy = FeatureSwitch { leaf: 0x8000_0001, mask, ..main };
        std::iter::once(main).chain((mask != 0).then_some(copy))
    }

    /// Every name there is, once, in QEMU's spelling, leaf by leaf.
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

/// What takes the performance counters away (`pmu=off`): the whole of leaf 0xa and the features
/// that promise counters, as QEMU's `x86_cpu_expand_features` and `cpu_x86_cpuid` do.
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
