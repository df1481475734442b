//! `-daemonize`: nothing may need the standard streams, which the guest's process does not have.

use vmm::config::Debugcon;

use super::Consoles;
use super::error::ArgsError;
use super::options::Options;

/// Whether the run goes on in the background.
///
/// # Errors
/// Something would read from a standard stream or write to one. QEMU refuses that as well
/// (`qemu_validate_options` in its system/vl.c, and chardev/char-stdio.c).
pub(super) fn daemonize(
    options: &Options,
    consoles: &Consoles,
    debugcon: Option<&Debugcon>,
) -> Result<bool, ArgsError> {
    if !options.daemonize {
        return Ok(false);
    }
    let is_dash = |value: &Option<_>| value.as_ref().is_some_and(|value| value == "-");
    let file = "use a file: file:PATH";
    let conflicts = [
        (options.nographic, "-nographic", "use -display none and -serial file:PATH"),
        (consoles.has_terminal(), "-serial stdio", file),
        (debugcon.is_some_and(|it| it.out.is_stdio()), "-debugcon stdio", file),
        (
            consoles.monitors.iter().any(|monitor| monitor.chardev.is_stdio()),
            "-qmp or -monitor stdio",
            "use a socket: unix:PATH,server=on,wait=off",
        ),
        (is_dash(&options.json), "-json -", "use -json FILE"),
        (is_dash(&options.timeline), "-timeline -", "use -timeline FILE.json or FILE.svg"),
        (!options.trace.is_empty(), "-trace", "leave it out: it writes to standard error"),
    ];
    match conflicts.into_iter().find(|(is_given, ..)| *is_given) {
        Some((_, given, hint)) => {
            let why = "a process in the background has no standard input or output";
            Err(ArgsError::unsupported(format!("{given} with -daemonize"), why, hint))
        }
        None => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Invocation, parse};
    use vmm::config::{CharBackend, CharFile};

    #[test]
    fn what_needs_a_standard_stream_is_refused_by_name() {
        let request = |words: &str| {
            let words = format!("-kernel K -daemonize {words}");
            parse(words.split_whitespace().map(Into::into))
        };
        for (words, given) in [
            ("-nographic", "-nographic with -daemonize"),
            ("-serial mon:stdio", "-serial stdio with -daemonize"),
            ("-debugcon stdio", "-debugcon stdio with"),
            ("-chardev stdio,id=c -device isa-debugcon,chardev=c", "-debugcon stdio with"),
            ("-qmp stdio", "-qmp or -monitor stdio with"),
            ("-serial none -json -", "-json - with"),
            ("-timeline -", "-timeline - with"),
            ("-trace fw_cfg", "-trace with"),
        ] {
            let error = request(words).unwrap_err().to_string();
            assert!(error.starts_with(given), "{words}: {error}");
        }
        for (words, serial) in [
            ("", Some(CharBackend::Null)),
            ("-display none -json r -timeline t.svg", Some(CharBackend::Null)),
            (
                "-serial file:log",
                Some(CharBackend::File(CharFile { path: "log".into(), append: false })),
            ),
            ("-serial none", None),
            ("-nodefaults", None),
        ] {
            let Ok(Invocation::Boot(request)) = request(words) else { panic!("{words}") };
            assert!(request.daemonize);
            assert_eq!(request.vm.serial[0], serial.map(Into::into), "{words}");
        }
    }
}
