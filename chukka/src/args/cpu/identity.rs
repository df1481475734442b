//! The words of `-cpu` that have a value: `vendor=`, `family=`, `phys-bits=` and so on.
//!
//! Names, ranges and meaning are QEMU's (`x86_cpu_properties` and the setters in
//! target/i386/cpu.c). One difference: in QEMU, `-cpu host` ignores `phys-bits=` unless
//! `host-phys-bits=off` is given too.

use vmm::config::cpu_model::identity::{AddressBits, Identity};

use crate::args::error::ArgsError;

/// The width of physical addresses with `host-phys-bits=off` alone: QEMU's `TCG_PHYS_ADDR_BITS`.
const QEMU_PHYS_BITS: u8 = 40;

/// A word that has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Vendor,
    Family,
    Model,
    Stepping,
    ModelId,
    Level,
    Xlevel,
    PhysBits,
    HostPhysBitsLimit,
}

impl Value {
    pub const ALL: [Self; 9] = [
        Self::Vendor,
        Self::Family,
        Self::Model,
        Self::Stepping,
        Self::ModelId,
        Self::Level,
        Self::Xlevel,
        Self::PhysBits,
        Self::HostPhysBitsLimit,
    ];

    /// The value that `word`, `name` or `name=value`, is about.
    pub fn named(word: &str) -> Option<Self> {
        let name = word.split('=').next().unwrap_or_default().replace('_', "-");
        Self::ALL.into_iter().find(|value| value.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Vendor => "vendor",
            Self::Family => "family",
            Self::Model => "model",
            Self::Stepping => "stepping",
            Self::ModelId => "model-id",
            Self::Level => "level",
            Self::Xlevel => "xlevel",
            Self::PhysBits => "phys-bits",
            Self::HostPhysBitsLimit => "host-phys-bits-limit",
        }
    }

    pub fn metavar(self) -> &'static str {
        match self {
            Self::Vendor | Self::ModelId => "TEXT",
            _ => "N",
        }
    }
}

/// The values that were given.
#[derive(Debug, Default)]
pub(super) struct Values {
    identity: Identity,
    phys_bits: Option<u8>,
    limit: Option<u8>,
}

impl Values {
    /// Sets `value` to what follows the `=` in `word`.
    pub fn set(&mut self, value: Value, word: &str) -> Result<(), ArgsError> {
        let bad = |expected: String| ArgsError::bad(format!("-cpu …,{word}"), expected);
        let Some((_, text)) = word.split_once('=') else {
            return Err(bad(format!("a value: {}={}", value.name(), value.metavar())));
        };
        let number = |from: u32, to: u32| {
            let shown = |n: u32| if to > 0xffff { format!("{n:#x}") } else { n.to_string() };
            parse(text)
                .filter(|number| (from..=to).contains(number))
                .ok_or_else(|| bad(format!("a number from {} to {}", shown(from), shown(to))))
        };
        let identity = &mut self.identity;
        match value {
            Value::Vendor => {
                identity.vendor = Some(vendor(text).ok_or_else(|| bad(VENDOR.into()))?);
            }
            Value::ModelId => identity.name = Some(name(text).ok_or_else(|| bad(NAME.into()))?),
            // 0xf, and 0xff in the extended family.
            Value::Family => identity.family = u16::try_from(number(0, 0x10e)?).ok(),
            Value::Model => identity.model = u8::try_from(number(0, 0xff)?).ok(),
            Value::Stepping => identity.stepping = u8::try_from(number(0, 0xf)?).ok(),
            Value::Level => identity.level = Some(number(0, 0x3fff_ffff)?),
            Value::Xlevel => identity.xlevel = Some(number(0x8000_0000, 0x8fff_ffff)?),
            Value::PhysBits => self.phys_bits = bits(text).ok_or_else(|| bad(BITS.into()))?,
            Value::HostPhysBitsLimit => {
                self.limit = bits(text).ok_or_else(|| bad(BITS.into()))?;
            }
        }
        Ok(())
    }

    /// All of them. `host_phys_bits` is the switch of that name.
    pub fn identity(self, host_phys_bits: Option<bool>) -> Identity {
        let address_bits = match (host_phys_bits, self.phys_bits, self.limit) {
            (Some(true) | None, None, limit) | (Some(true), Some(_), limit) => {
                limit.map_or(AddressBits::Host, AddressBits::AtMost)
            }
            (Some(false) | None, Some(bits), _) => AddressBits::Exactly(bits),
            (Some(false), None, _) => AddressBits::AtMost(QEMU_PHYS_BITS),
        };
        Identity { address_bits, ..self.identity }
    }
}

const VENDOR: &str = "12 printable characters, such as GenuineIntel or AuthenticAMD";
const NAME: &str = "at most 48 bytes";
const BITS: &str = "a number from 32 to 52, or 0 for the default";

/// A width of physical addresses; `Some(None)` for 0, which stands for the default.
fn bits(text: &str) -> Option<Option<u8>> {
    match parse(text)? {
        0 => Some(None),
        number @ 32..=52 => Some(u8::try_from(number).ok()),
        _ => None,
    }
}

/// A number in decimal, or in hexadecimal after `0x`.
fn parse(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => text.parse().ok().filter(|_| !text.starts_with('+')),
    }
}

fn vendor(text: &str) -> Option<[u8; 12]> {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    text.as_bytes().try_into().ok().filter(|_| printable)
}

fn name(text: &str) -> Option<[u8; 48]> {
    let mut name = [0; 48];
    name.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(name)
}
