//! What a PC has at its ports, for messages.

/// First port, number of ports, and what is there.
const NAMES: [(u16, u16, &str); 21] = [
    (0x20, 2, "interrupt controller"),
    (0xa0, 2, "interrupt controller"),
    (0x40, 4, "PIT"),
    (0x60, 1, "keyboard controller"),
    (0x64, 1, "keyboard controller"),
    (0x61, 1, "PIT gate"),
    (0x70, 2, "RTC and CMOS"),
    (0x80, 1, "POST code"),
    (0x92, 1, "A20 gate and reset"),
    (0xb2, 2, "APM"),
    (0x1f0, 8, "IDE"),
    (0x170, 8, "IDE"),
    (0x2f8, 8, "COM2"),
    (0x3f8, 8, "COM1"),
    (0x3e8, 8, "COM3"),
    (0x2e8, 8, "COM4"),
    (0x402, 1, "debug console"),
    (0x510, 12, "fw_cfg"),
    (0x600, 8, "ACPI power management"),
    (0x608, 4, "PM timer"),
    (0xcf8, 8, "PCI configuration"),
];

/// What is at `port` of a PC that has it.
#[must_use]
pub fn port_name(port: u16) -> Option<&'static str> {
    let found = NAMES.iter().find(|(first, count, _)| (*first..first + count).contains(&port));
    found.map(|(.., name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_one_name_each() {
        assert_eq!(port_name(0x608), Some("PM timer"));
        assert_eq!(port_name(0x3fd), Some("COM1"));
        assert_eq!(port_name(0x607), Some("ACPI power management"));
        assert_eq!(port_name(0xf4), None);
        for port in 0..=u16::MAX {
            let names =
                NAMES.iter().filter(|(first, count, _)| (*first..first + count).contains(&port));
            assert!(names.count() <= 1, "{port:#x}");
        }
    }
}
