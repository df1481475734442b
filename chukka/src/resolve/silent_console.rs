//! A Linux kernel that says nothing on the serial console, which is the only one there is.

use firmware::image::KernelKind;
use firmware::payload::Payload;
use vmm::config::{SerialBackend, VmConfig};

/// A warning if a Linux kernel is going to print nothing where the user sees it: a serial port's
/// output goes somewhere, and the command line of `payload` names no serial console. Only a bzImage
/// is surely Linux.
pub(super) fn warning(payload: &Payload, config: &VmConfig) -> Option<String> {
    let is_seen = |port: &SerialBackend| !matches!(port, SerialBackend::None | SerialBackend::Null);
    let port = config.serial.iter().position(is_seen)?;
    if !matches!(payload.kernel.kind, KernelKind::BzImage(_)) || has_console(&payload.cmdline) {
        return None;
    }
    Some(format!(
        "the kernel's command line names no serial console, so chukka may see no output and no \
         panic: add console=ttyS{port} to -append"
    ))
}

/// What the user should know if the guest has printed nothing for some seconds.
pub(super) fn advice(payload: Option<&Payload>, config: &VmConfig) -> String {
    const KEYS: &str = "Ctrl-A x ends it, Ctrl-A i shows what it does";
    let missing = match payload {
        Some(payload) if !has_console(&payload.cmdline) => {
            "-append may need console=ttyS0 earlyprintk=ttyS0"
        }
        Some(_) => "earlyprintk=ttyS0 in -append shows what comes before the console",
        None if config.debugcon.is_none() => {
            "-debugcon stdio -global isa-debugcon.iobase=0x402 shows SeaBIOS's log"
        }
        None => "the system on the disk may not use the serial port",
    };
    format!("{missing}; {KEYS}")
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
