use super::{config, refusal, request};
use crate::request::Request;
use vmm::config::DebugExit;

#[test]
fn the_debug_exit_device_is_where_qemu_has_it() {
    for (device, port, size) in [
        ("isa-debug-exit", 0x501, 2),
        ("isa-debug-exit,iobase=0xf4,iosize=0x4", 0xf4, 4),
        ("isa-debug-exit,iosize=4,iobase=244", 0xf4, 4),
        ("driver=isa-debug-exit,iobase=0xf4,id=e", 0xf4, 2),
        ("isa-debug-exit,iobase=0xffff,iosize=1", 0xffff, 1),
    ] {
        let Request { vm: config, warnings, .. } = request(&["-device", device]);
        assert_eq!(config.debug_exit, Some(DebugExit { port, size, pass: None }), "{device}");
        assert_eq!(warnings, [""; 0]);
    }
    assert_eq!(config(&[]).debug_exit, None);
    let passes = config(&["-device", "isa-debug-exit,iobase=0xf4,pass=0x10"]);
    assert_eq!(passes.debug_exit, Some(DebugExit { port: 0xf4, size: 2, pass: Some(0x10) }));
}

#[test]
fn debug_exit_devices_that_cannot_be_are_refused() {
    let of = |properties: &str| refusal(&["-device", &format!("isa-debug-exit,{properties}")]);
    for (given, expected) in [
        ("iobase=0x10000", "an I/O port, 0 to 0xffff"),
        ("iobase=x", "an I/O port, 0 to 0xffff"),
        ("iobase=-1", "an I/O port, 0 to 0xffff"),
        ("iosize=0", "how many I/O ports, 1 to 0xffff"),
        ("iosize=0x10000", "how many I/O ports, 1 to 0xffff"),
        ("iosize=", "how many I/O ports, 1 to 0xffff"),
        ("pass=0x80", "the value of a pass, 0 to 0x7f"),
        ("pass=", "the value of a pass, 0 to 0x7f"),
        ("foo=1", "isa-debug-exit,iobase=PORT,iosize=PORTS,pass=VALUE"),
    ] {
        let (message, hint) = of(given);
        assert_eq!(message, format!("-device {given}: expected {expected}"));
        assert_eq!(hint, "for example: -device isa-debug-exit,iobase=0xf4,iosize=0x4");
    }
    assert_eq!(of("iobase").0, "-device iobase: expected a value: iobase=…");
    assert_eq!(
        of("iobase=0xffff").0,
        "-device isa-debug-exit,iobase=0xffff,iosize=0x2: expected ports up to 0xffff"
    );
    assert_eq!(
        refusal(&["-device", "isa-debug-exit", "-device", "isa-debug-exit,iobase=0xf4"]).0,
        "-device isa-debug-exit, given twice: expected one of them"
    );
}
