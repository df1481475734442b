//! A Linux kernel that says nothing on the consoles that there are.

use firmware::image::KernelKind;
use firmware::payload::Payload;
use vmm::config::{Chardev, VmConfig};

/// A warning if a Linux kernel is going to print nothing where the user sees it: the output of a
/// serial port or a virtio console goes somewhere, and the command line of `payload` names none of
/// these. Only a bzImage is surely Linux.
pub(super) fn warning(payload: &Payload, config: &VmConfig) -> Option<String> {
    let console = first_console(config)?;
    if !matches!(payload.kernel.kind, KernelKind::BzImage(_))
        || has_console(&payload.cmdline, config)
    {
        return None;
    }
    Some(format!(
        "the kernel's command line names none of the guest's consoles, so chukka may see no \
         output and no panic: add console={console} to -append"
    ))
}

/// Linux's name of the first console whose output goes somewhere.
fn first_console(config: &VmConfig) -> Option<String> {
    let is_seen = |port: &Option<Chardev>| port.as_ref().is_some_and(Chardev::is_seen);
    let serial = config.serial.iter().position(is_seen).map(|port| format!("ttyS{port}"));
    let virtio = || config.virtio_consoles().position(Chardev::is_seen);
    serial.or_else(|| virtio().map(|console| format!("hvc{console}")))
}

/// What the user should know if the guest has printed nothing for some seconds.
pub(super) fn advice(payload: Option<&Payload>, config: &VmConfig) -> String {
    const KEYS: &str = "Ctrl-A x ends it, Ctrl-A i shows what it does";
    let missing = match payload {
        Some(payload) if !has_console(&payload.cmdline, config) => {
            if config.serial.iter().flatten().any(Chardev::is_seen) {
                "-append may need console=ttyS0 earlyprintk=ttyS0"
            } else {
                "-append may need console=hvc0"
            }
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
/// (Documentation/admin-guide/kernel-parameters.txt), or on a virtio console that is there.
fn has_console(cmdline: &[u8], config: &VmConfig) -> bool {
    let prefixes: [&[u8]; 4] = [b"console=ttyS", b"console=uart", b"earlyprintk", b"earlycon"];
    let virtio = |word: &[u8]| {
        let number = word.strip_prefix(b"console=hvc").and_then(|rest| rest.utf8_chunks().next());
        let number = number.and_then(|chunk| chunk.valid().parse::<usize>().ok());
        number.is_some_and(|number| number < config.virtio_consoles().count())
    };
    cmdline
        .split(u8::is_ascii_whitespace)
        .any(|word| prefixes.iter().any(|prefix| word.starts_with(prefix)) || virtio(word))
}

#[cfg(test)]
mod tests {
    use vmm::config::VmConfig;

    use super::has_console;
    use crate::args::{Invocation, parse};

    fn config(words: &[&str]) -> VmConfig {
        let words = [&["-kernel", "vmlinuz"], words].concat();
        match parse(words.into_iter().map(Into::into)) {
            Ok(Invocation::Boot(request)) => request.vm,
            other => panic!("{other:?}"),
        }
    }

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
            ("console=hvc0", false),
        ] {
            assert_eq!(has_console(line.as_bytes(), &config(&[])), expected, "{line}");
        }
    }

    #[test]
    fn a_virtio_console_counts_only_if_it_exists() {
        let config = config(&["-device", "virtio-serial", "-device", "virtconsole"]);
        for (line, expected) in
            [("console=hvc0", true), ("console=hvc1", false), ("console=hvc", false)]
        {
            assert_eq!(has_console(line.as_bytes(), &config), expected, "{line}");
        }
    }
}
