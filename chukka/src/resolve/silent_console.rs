//! A Linux kernel that says nothing on the serial console, which is the only one there is.

use firmware::image::KernelKind;
use firmware::payload::Payload;
use vmm::config::{SerialBackend, VmConfig};

/// A warning if the terminal is going to stay empty: the first serial port is on the terminal, and
/// `payload` is a Linux kernel whose command line names no serial console. Only a bzImage is surely
/// Linux.
pub(super) fn warning(payload: &Payload, config: &VmConfig) -> Option<String> {
    let port = config.serial.iter().position(|port| *port == SerialBackend::Stdio)?;
    if !matches!(payload.kernel.kind, KernelKind::BzImage(_)) || has_console(&payload.cmdline) {
        return None;
    }
    Some(format!(
        "the guest has no serial console and this terminal will stay empty: add \
         console=ttyS{port} to -append (Ctrl-A x ends chukka)"
    ))
}

/// Whether a word of the command line puts the kernel's messages on a serial port
/// (Documentation/admin-guide/kernel-parameters.txt).
fn has_console(cmdline: &[u8]) -> bool {
    let prefixes: [&[u8]; 4] = [b"console=ttyS", b"console=uart", b"earlyprintk", b"earlycon"];
    cmdline
        .split(u8::is_ascii_whitespace)
        .any(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::has_console;

    #[test]
    fn serial_consoles_are_recognised() {
        for (line, expected) in [
            ("console=ttyS0", true),
            ("quiet console=tty0 console=ttyS1,115200", true),
            ("earlyprintk=serial,ttyS0", true),
            ("earlycon=uart8250,io,0x3f8", true),
            ("", false),
            ("quiet", false),
            ("console=tty0", false),
            ("noconsole=ttyS0", false),
        ] {
            assert_eq!(has_console(line.as_bytes()), expected, "{line}");
        }
    }
}
