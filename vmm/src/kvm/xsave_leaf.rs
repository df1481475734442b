//! CPUID leaf 0xd, the processor's state that XSAVE saves: it follows the features.
//!
//! A guest must not find state whose feature is switched off (`-cpu host,-avx`): KVM takes leaf 0xd
//! for what XCR0 may have. Source: Intel SDM vol. 1, 13.2 and 13.3; `x86_ext_save_areas` and
//! `cpu_x86_cpuid` in QEMU's target/i386/cpu.c; `cpuid_get_supported_xcr0` in Linux'
//! arch/x86/kvm/cpuid.c.

use kvm_bindings::kvm_cpuid_entry2;

const LEAF: u32 = 0xd;
/// CPUID.1:ECX[26].
const XSAVE: u32 = 1 << 26;
/// Bytes of the state that every processor saves: x87, SSE and the header.
const LEGACY_SIZE: u32 = 512 + 64;

/// State components, as bits of XCR0, and whether the processor has their feature.
type Component = (u32, fn(&Features) -> bool);

const COMPONENTS: [Component; 5] = [
    (1 << 2, |features| features.leaf_1.ecx & 1 << 28 != 0), // avx
    (0b11 << 3, |features| features.leaf_7.ebx & 1 << 14 != 0), // mpx
    // avx512f, whose registers extend those of AVX: XCR0 takes it with AVX only.
    (0b111 << 5, |features| {
        features.leaf_7.ebx & 1 << 16 != 0 && features.leaf_1.ecx & 1 << 28 != 0
    }),
    (1 << 9, |features| features.leaf_7.ecx & 1 << 3 != 0), // pku
    (0b11 << 17, |features| features.leaf_7.edx & 1 << 24 != 0), // amx-tile
];

/// The leaves that have the features.
struct Features {
    leaf_1: kvm_cpuid_entry2,
    leaf_7: kvm_cpuid_entry2,
}

/// Removes the state whose feature `entries` do not have, and the whole leaf without XSAVE.
pub(super) fn follow_features(entries: &mut Vec<kvm_cpuid_entry2>) {
    let leaf = |function| {
        let found = entries.iter().find(|e| e.function == function && e.index == 0);
        found.copied().unwrap_or_default()
    };
    let features = Features { leaf_1: leaf(1), leaf_7: leaf(7) };
    if features.leaf_1.ecx & XSAVE == 0 {
        return entries.retain(|entry| entry.function != LEAF);
    }
    let absent = COMPONENTS.into_iter().filter(|(_, is_there)| !is_there(&features));
    let absent = absent.fold(0, |bits, (component, _)| bits | component);
    let main = entries.iter().position(|entry| entry.function == LEAF && entry.index == 0);
    let Some(main) = main.filter(|at| entries[*at].eax & absent != 0) else { return };
    entries[main].eax &= !absent;
    let is_component = |entry: &kvm_cpuid_entry2, bits: u32| {
        entry.function == LEAF
            && entry.index >= 2
            && 1u32.checked_shl(entry.index).is_some_and(|bit| bit & bits != 0)
    };
    let present = entries[main].eax;
    let ends = entries.iter().filter(|entry| is_component(entry, present));
    // EAX is the component's size, EBX its offset in the standard format.
    let size = ends.map(|entry| entry.ebx.saturating_add(entry.eax)).max();
    entries[main].ecx = size.unwrap_or(0).max(LEGACY_SIZE);
    entries.retain(|entry| !is_component(entry, absent));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(function: u32, index: u32, registers: [u32; 4]) -> kvm_cpuid_entry2 {
        let [eax, ebx, ecx, edx] = registers;
        kvm_cpuid_entry2 { function, index, eax, ebx, ecx, edx, ..Default::default() }
    }

    /// A processor with AVX-512 and protection keys.
    fn entries() -> Vec<kvm_cpuid_entry2> {
        vec![
            entry(1, 0, [0, 0, XSAVE | 1 << 28, 0]),
            entry(7, 0, [0, 1 << 16, 1 << 3, 0]),
            entry(LEAF, 0, [0x2e7, 2696, 2696, 0]),
            entry(LEAF, 1, [0xf, 2568, 0, 0]),
            entry(LEAF, 2, [256, 576, 0, 0]),
            entry(LEAF, 5, [64, 1088, 0, 0]),
            entry(LEAF, 6, [512, 1152, 0, 0]),
            entry(LEAF, 7, [1024, 1664, 0, 0]),
            entry(LEAF, 9, [8, 2688, 0, 0]),
        ]
    }

    /// Bits of XCR0, size and subleaves after `switch_off`.
    fn after(switch_off: impl FnOnce(&mut [kvm_cpuid_entry2])) -> (u32, u32, Vec<u32>) {
        let mut entries = entries();
        switch_off(&mut entries);
        follow_features(&mut entries);
        let leaf: Vec<_> = entries.iter().filter(|entry| entry.function == LEAF).collect();
        let main = leaf.first().map_or((0, 0), |entry| (entry.eax, entry.ecx));
        (main.0, main.1, leaf.iter().map(|entry| entry.index).collect())
    }

    #[test]
    fn the_state_of_a_disabled_feature_is_removed() {
        assert_eq!(after(|_| ()), (0x2e7, 2696, vec![0, 1, 2, 5, 6, 7, 9]));
        let no_pku = after(|entries| entries[1].ecx = 0);
        assert_eq!(no_pku, (0xe7, 2688, vec![0, 1, 2, 5, 6, 7]));
        let no_avx512 = after(|entries| entries[1].ebx = 0);
        assert_eq!(no_avx512, (0x207, 2696, vec![0, 1, 2, 9]));
        let no_avx = after(|entries| entries[0].ecx = XSAVE);
        assert_eq!(no_avx, (0x203, 2696, vec![0, 1, 9]), "AVX-512 needs AVX");
        let plain = after(|entries| {
            entries[0].ecx = XSAVE;
            (entries[1].ebx, entries[1].ecx) = (0, 0);
        });
        assert_eq!(plain, (3, 576, vec![0, 1]));
    }

    #[test]
    fn without_xsave_there_is_no_state_to_save() {
        assert_eq!(after(|entries| entries[0].ecx = 1 << 28), (0, 0, vec![]));
    }

    /// The host knows its size best.
    #[test]
    fn a_leaf_that_lacks_nothing_stays_as_it_is() {
        let (state, size, _) = after(|entries| entries[2].ecx = 4096);
        assert_eq!((state, size), (0x2e7, 4096));
    }
}
