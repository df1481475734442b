//! Words of a Linux command line that ask for hardware which a machine does not have.

use crate::config::MachineKind;

/// Words that make Linux do without the I/O APIC or the local APIC, so that its interrupts need the
/// 8259s (arch/x86/kernel/apic in Linux; `nosmp` and `maxcpus=0`: arch_disable_smp_support).
const NO_APIC: [&[u8]; 8] = [
    b"noapic",
    b"nolapic",
    b"disableapic",
    b"nosmp",
    b"maxcpus=0",
    b"acpi=noirq",
    b"pci=noacpi",
    b"noacpi",
];
/// Words that make Linux do without kvmclock (arch/x86/kernel/kvmclock.c, kvm.c).
const NO_KVMCLOCK: [&[u8]; 2] = [b"no-kvmclock", b"nopv"];

/// A warning if `cmdline` takes away what Linux needs on this machine. `kvm`: the guest can detect
/// KVM; otherwise every machine has a PC's ACPI. On hardware-reduced ACPI,
/// Linux uses neither the 8259s nor the PIT; without ACPI it uses both.
pub(super) fn warning(machine: MachineKind, kvm: bool, cmdline: &[u8]) -> Option<String> {
    let is_reduced = machine == MachineKind::Microvm && kvm;
    let words = || cmdline.split(u8::is_ascii_whitespace);
    if !is_reduced || words().any(|word| word == b"acpi=off") {
        return None;
    }
    let interrupts = "the machine microvm has no interrupts for a Linux without APICs: \
         the guest will hang or lose its console";
    let clock =
        "the machine microvm has no clock for a Linux without kvmclock: the guest will hang";
    let (word, what) = words().find_map(|word| match word {
        _ if NO_APIC.contains(&word) => Some((word, interrupts)),
        _ if NO_KVMCLOCK.contains(&word) => Some((word, clock)),
        _ => None,
    })?;
    Some(format!(
        "'{}' is on the kernel's command line, and {what} (use -machine pc)",
        String::from_utf8_lossy(word)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(machine: MachineKind, kvm: bool, cmdline: &str) -> Option<String> {
        warning(machine, kvm, cmdline.as_bytes())
    }

    #[test]
    fn words_that_need_a_pc_are_named_on_microvm() {
        for word in ["noapic", "nolapic", "nosmp", "acpi=noirq", "no-kvmclock"] {
            let cmdline = format!("console=ttyS0 {word} quiet");
            let text = on(MachineKind::Microvm, true, &cmdline).unwrap();
            assert!(
                text.starts_with(&format!("'{word}' is on the kernel's command line")),
                "{text}"
            );
            assert!(text.contains("-machine pc"), "{text}");
            assert_eq!(on(MachineKind::Pc, true, &cmdline), None, "{word}");
            assert_eq!(on(MachineKind::Microvm, false, &cmdline), None, "{word}");
            let without_acpi = format!("{cmdline} acpi=off");
            assert_eq!(on(MachineKind::Microvm, true, &without_acpi), None, "{word}");
        }
    }

    #[test]
    fn other_words_cause_no_warning() {
        for cmdline in ["", "quiet", "noapictimer", "x=noapic", "maxcpus=1"] {
            assert_eq!(on(MachineKind::Microvm, true, cmdline), None, "{cmdline}");
        }
    }
}
