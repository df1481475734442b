//! What CPUID says of the guest's CPU besides its features: vendor, family, model and stepping,
//! name, highest leaves and the width of physical addresses.
//!
//! Plain data and registers; nothing of KVM. The encodings are those of QEMU's
//! `x86_cpuid_version_set_family`, `x86_cpuid_set_model_id` and `cpu_x86_cpuid`
//! (target/i386/cpu.c).

/// Registers of a CPUID leaf: EAX, EBX, ECX, EDX.
pub type Registers = [u32; 4];

/// Leaf 0: highest basic leaf, vendor.
const BASIC: u32 = 0;
/// Leaf 0x80000000: highest extended leaf, and the vendor again if it is AMD or Hygon.
const EXTENDED: u32 = 0x8000_0000;
/// Leaf 0x80000008: EAX has the width of physical addresses in bits 7:0, and that of a guest's in
/// bits 23:16.
const ADDRESS_SIZES: u32 = 0x8000_0008;
/// The first of the three leaves with the CPU's name.
const NAME: u32 = 0x8000_0002;

/// Family, model and stepping in EAX of leaf 1, with their extensions.
const FAMILY: u32 = 0x0ff0_0f00;
const MODEL: u32 = 0x000f_00f0;
const STEPPING: u32 = 0xf;

/// Values that replace the host's. The default replaces none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The vendor: 12 ASCII characters.
    pub vendor: Option<[u8; 12]>,
    /// The family, with its extension: 0 to 0x10e.
    pub family: Option<u16>,
    /// The model, with its extension.
    pub model: Option<u8>,
    /// The stepping: 0 to 15.
    pub stepping: Option<u8>,
    /// The CPU's name, filled up with zeros.
    pub name: Option<[u8; 48]>,
    /// The highest basic leaf: 0 to 0x3fffffff. Leaves above it are removed.
    pub level: Option<u32>,
    /// The highest extended leaf: 0x80000000 to 0x8fffffff. Leaves above it are removed.
    pub xlevel: Option<u32>,
    /// The width of physical addresses.
    pub address_bits: AddressBits,
}

/// The width of the guest's physical addresses. It never exceeds the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressBits {
    /// The host's.
    #[default]
    Host,
    /// The host's, or this many bits if that is less.
    AtMost(u8),
    /// This many bits.
    Exactly(u8),
}

impl AddressBits {
    /// The width that the user requires of the host, if any.
    pub fn required(self) -> Option<u8> {
        match self {
            Self::Exactly(bits) => Some(bits),
            Self::Host | Self::AtMost(_) => None,
        }
    }

    fn limit(self, bits: u32) -> u32 {
        match self {
            Self::Host => bits,
            Self::AtMost(limit) | Self::Exactly(limit) => bits.min(limit.into()),
        }
    }
}

/// Whether CPUs of this vendor repeat the vendor in leaf 0x80000000 and most of leaf 1 EDX in leaf
/// 0x80000001 EDX.
fn like_amd(vendor: [u8; 12]) -> bool {
    [b"AuthenticAMD", b"HygonGenuine"].contains(&&vendor)
}

/// Four characters as a register has them.
fn register(text: &[u8], at: usize) -> u32 {
    text.iter().skip(at).take(4).rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

impl Identity {
    /// Whether the CPU has this leaf, as far as `level` and `xlevel` decide it.
    pub fn has_leaf(&self, leaf: u32) -> bool {
        match leaf {
            1..=0x3fff_ffff => self.level.is_none_or(|level| leaf <= level),
            0x8000_0001..=0x8fff_ffff => self.xlevel.is_none_or(|level| leaf <= level),
            _ => true,
        }
    }

    /// Whether leaf 0x80000001 EDX has the same features as leaf 1 EDX, because the vendor says so.
    pub fn repeats_leaf_1(&self) -> bool {
        self.vendor.is_some_and(like_amd)
    }

    /// The registers of `leaf`, which the host has as `host`.
    pub fn apply(&self, leaf: u32, host: Registers) -> Registers {
        let [mut eax, mut ebx, mut ecx, mut edx] = host;
        match leaf {
            BASIC => {
                eax = self.level.unwrap_or(eax);
                if let Some(vendor) = self.vendor {
                    [ebx, edx, ecx] = [0, 4, 8].map(|at| register(&vendor, at));
                }
            }
            1 => eax = self.version(eax),
            EXTENDED => {
                eax = self.xlevel.unwrap_or(eax);
                // Intel's CPUs have zeros here, and so has QEMU from 10.1 on.
                if let Some(vendor) = self.vendor {
                    let text = if like_amd(vendor) { vendor } else { [0; 12] };
                    [ebx, edx, ecx] = [0, 4, 8].map(|at| register(&text, at));
                }
            }
            // AMD's CPUs have the version here, too; Intel's have 0.
            0x8000_0001 if eax != 0 => eax = self.version(eax),
            NAME..=0x8000_0004 => {
                if let Some(name) = self.name {
                    let at = (leaf - NAME) as usize * 16;
                    [eax, ebx, ecx, edx] = [0, 4, 8, 12].map(|more| register(&name, at + more));
                }
            }
            ADDRESS_SIZES => {
                let [physical, guest] =
                    [eax & 0xff, eax >> 16 & 0xff].map(|bits| self.address_bits.limit(bits));
                eax = (eax & 0xff00_ff00) | guest << 16 | physical;
            }
            _ => {}
        }
        [eax, ebx, ecx, edx]
    }

    /// Family, model and stepping in place of the host's.
    fn version(&self, mut eax: u32) -> u32 {
        if let Some(family) = self.family {
            let base = u32::from(family.min(0xf));
            eax = (eax & !FAMILY) | base << 8 | (u32::from(family) - base) << 20;
        }
        if let Some(model) = self.model.map(u32::from) {
            eax = (eax & !MODEL) | (model & 0xf) << 4 | (model >> 4) << 16;
        }
        if let Some(stepping) = self.stepping {
            eax = (eax & !STEPPING) | u32::from(stepping);
        }
        eax
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vendor(text: &[u8; 12]) -> Identity {
        Identity { vendor: Some(*text), ..Identity::default() }
    }

    #[test]
    fn without_values_nothing_changes() {
        let same = Identity::default();
        for leaf in [0, 1, 0xd, 0x4000_0000, 0x8000_0000, 0x8000_0001, 0x8000_0002, 0x8000_0008] {
            assert_eq!(same.apply(leaf, [0x0a0b_3c2e, 2, 3, 4]), [0x0a0b_3c2e, 2, 3, 4]);
            assert!(same.has_leaf(leaf));
        }
    }

    #[test]
    fn the_vendor_is_in_ebx_edx_ecx() {
        // The registers of real CPUs: "Genu" "ineI" "ntel", and "Auth" "enti" "cAMD".
        let intel = [0x756e_6547, 0x6c65_746e, 0x4965_6e69];
        let amd = [0x6874_7541, 0x444d_4163, 0x6974_6e65];
        let applied = |identity: &Identity, leaf| {
            let [eax, rest @ ..] = identity.apply(leaf, [0xd, 1, 2, 3]);
            assert_eq!(eax, 0xd);
            rest
        };
        assert_eq!(applied(&vendor(b"GenuineIntel"), 0), intel);
        assert_eq!(applied(&vendor(b"AuthenticAMD"), 0), amd);
        assert_eq!(applied(&vendor(b"AuthenticAMD"), 0x8000_0000), amd);
        assert_eq!(applied(&vendor(b"GenuineIntel"), 0x8000_0000), [0; 3]);
        assert!(vendor(b"HygonGenuine").repeats_leaf_1());
        assert!(!vendor(b"GenuineIntel").repeats_leaf_1());
    }

    #[test]
    fn family_model_and_stepping_have_their_extensions() {
        let of =
            |family, model, stepping| Identity { family, model, stepping, ..Identity::default() };
        // Cascade Lake: family 6, model 0x55, stepping 7; Zen 2: family 0x17, model 0x31.
        assert_eq!(of(Some(6), Some(0x55), Some(7)).version(0), 0x0005_0657);
        assert_eq!(of(Some(0x17), Some(0x31), Some(0)).version(0x0005_0657), 0x0083_0f10);
        assert_eq!(of(Some(0x10e), None, None).version(0), 0x0ff0_0f00);
        assert_eq!(of(None, None, Some(2)).version(0xffff_ffff), 0xffff_fff2);
        // AMD's copy is changed, Intel's 0 is kept.
        let stepping = of(None, None, Some(2));
        assert_eq!(stepping.apply(0x8000_0001, [0x0083_0f10, 0, 0, 0])[0], 0x0083_0f12);
        assert_eq!(stepping.apply(0x8000_0001, [0; 4])[0], 0);
        assert_eq!(stepping.apply(1, [0x0005_0657, 1, 2, 3]), [0x0005_0652, 1, 2, 3]);
        // Only the bits of the field change, in whatever was there.
        assert_eq!(of(Some(6), None, None).version(0xffff_ffff), 0xf00f_f6ff);
        assert_eq!(of(None, Some(0), None).version(0xffff_ffff), 0xfff0_ff0f);
    }

    #[test]
    fn the_name_fills_three_leaves() {
        let mut name = [0; 48];
        name[..20].copy_from_slice(b"chukka CPU, a model!");
        let identity = Identity { name: Some(name), ..Identity::default() };
        let bytes: Vec<u8> = (0x8000_0002..=0x8000_0004)
            .flat_map(|leaf| identity.apply(leaf, [u32::MAX; 4]))
            .flat_map(u32::to_le_bytes)
            .collect();
        assert_eq!(bytes, name);
    }

    #[test]
    fn leaves_above_the_highest_are_removed() {
        let identity =
            Identity { level: Some(4), xlevel: Some(0x8000_0004), ..Identity::default() };
        assert_eq!(identity.apply(0, [0xd, 0, 0, 0])[0], 4);
        assert_eq!(identity.apply(0x8000_0000, [0x8000_001e, 0, 0, 0])[0], 0x8000_0004);
        let leaves =
            [0, 4, 5, 0xd, 0x4000_0000, 0x4000_0001, 0x8000_0000, 0x8000_0004, 0x8000_0008];
        let has = leaves.map(|leaf| identity.has_leaf(leaf));
        assert_eq!(has, [true, true, false, false, true, true, true, true, false]);
        let none = Identity { level: Some(0), ..Identity::default() };
        assert!(none.has_leaf(0) && !none.has_leaf(1));
    }

    #[test]
    fn physical_addresses_are_never_wider_than_the_hosts() {
        let width = |bits| {
            let identity = Identity { address_bits: bits, ..Identity::default() };
            identity.apply(0x8000_0008, [0x002e_302e, 0, 0, 0])[0]
        };
        assert_eq!(width(AddressBits::Host), 0x002e_302e);
        assert_eq!(width(AddressBits::Exactly(36)), 0x0024_3024);
        assert_eq!(width(AddressBits::AtMost(40)), 0x0028_3028);
        assert_eq!(width(AddressBits::Exactly(52)), 0x002e_302e);
    }
}
