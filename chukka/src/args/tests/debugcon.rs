use super::{config, refusal, request, stdio_only};
use crate::request::Request;
use vmm::config::{CharBackend, CharFile, Chardev, Debugcon};

/// The debug console that these words give, without a warning.
#[track_caller]
fn debugcon(words: &[&str]) -> Option<Debugcon> {
    let Request { vm: config, warnings, .. } = request(words);
    assert_eq!(warnings, [""; 0]);
    config.debugcon.map(|debugcon| {
        let ids = words.iter().any(|word| word.contains("chardev=X")).then(|| "X".to_owned());
        assert_eq!(debugcon.out.id, ids);
        Debugcon { out: Chardev { id: None, ..debugcon.out }, ..debugcon }
    })
}

#[test]
fn the_debug_console_has_three_spellings() {
    let at = |port, out: CharBackend| Some(Debugcon { port, out: out.into() });
    let file = || CharBackend::File(CharFile { path: "log".into(), append: false });
    assert_eq!(debugcon(&["-debugcon", "stdio"]), at(0xe9, CharBackend::Stdio));
    assert_eq!(debugcon(&["-debugcon", "file:log"]), at(0xe9, file()));
    assert_eq!(debugcon(&["-debugcon", "null"]), at(0xe9, CharBackend::Null));
    assert_eq!(debugcon(&["-debugcon", "none"]), None);
    for global in [
        "isa-debugcon.iobase=0x402",
        "isa-debugcon.iobase=1026",
        "driver=isa-debugcon,property=iobase,value=0x402",
    ] {
        assert_eq!(debugcon(&["-debugcon", "file:log", "-global", global]), at(0x402, file()));
    }
    let chardev = ["-chardev", "file,id=X,path=log"];
    for (device, port) in [
        ("isa-debugcon,iobase=0x402,chardev=X", 0x402),
        ("driver=isa-debugcon,iobase=1026,chardev=X,id=d,readback=0xe9", 0x402),
        ("isa-debugcon,chardev=X", 0xe9),
    ] {
        let device = ["-device", device];
        assert_eq!(debugcon(&[chardev, device].concat()), at(port, file()));
        assert_eq!(debugcon(&[device, chardev].concat()), at(port, file()), "in either order");
    }
    let global = ["-global", "isa-debugcon.iobase=0x402"];
    let device = ["-device", "isa-debugcon,chardev=X"];
    assert_eq!(debugcon(&[chardev, device, global].concat()), at(0x402, file()));
    let device = ["-device", "isa-debugcon,iobase=0x500,chardev=X"];
    assert_eq!(debugcon(&[chardev, device, global].concat()), at(0x500, file()), "its own first");
}

#[test]
fn character_devices_are_read() {
    for (chardev, out) in [
        ("stdio,id=X", CharBackend::Stdio),
        ("stdio,id=X,mux=off,signal=off", CharBackend::Stdio),
        ("null,id=X", CharBackend::Null),
        (
            "backend=file,path=a,,b,id=X,append=off",
            CharBackend::File(CharFile { path: "a,b".into(), append: false }),
        ),
    ] {
        let words = ["-chardev", chardev, "-device", "isa-debugcon,chardev=X"];
        assert_eq!(debugcon(&words), Some(Debugcon { port: 0xe9, out: out.into() }), "{chardev}");
    }
}

#[test]
fn the_console_and_the_log_may_share_the_terminal() {
    let config = config(&["-debugcon", "stdio", "-serial", "stdio"]);
    assert_eq!(config.serial, stdio_only());
    assert_eq!(config.debugcon.map(|debugcon| debugcon.out), Some(CharBackend::Stdio.into()));
}

#[test]
fn what_nothing_uses_is_warned_of() {
    assert_eq!(request(&["-chardev", "null,id=X"]).warnings, ["-chardev id=X: no device uses it"]);
    let [warning] = &request(&["-global", "isa-debugcon.iobase=0x402"]).warnings[..] else {
        panic!()
    };
    assert!(warning.starts_with("-global isa-debugcon has no effect: "), "{warning}");
}

#[test]
fn debug_consoles_that_cannot_be_are_refused() {
    assert_eq!(
        refusal(&["-debugcon", "mon:stdio"]).0,
        "-debugcon mon:stdio: expected stdio, file:PATH, pty, unix:PATH, tcp:HOST:PORT, chardev:ID, null or none"
    );
    let second = "-debugcon or -device isa-debugcon, more than once: chukka has one debug console";
    assert_eq!(refusal(&["-debugcon", "null", "-debugcon", "stdio"]).0, second);
    let device = ["-chardev", "null,id=X", "-device", "isa-debugcon,chardev=X"];
    assert_eq!(refusal(&[&device[..], &["-debugcon", "null"]].concat()).0, second);
    for port in ["65536", "-1", "x", "0402", ""] {
        let (message, hint) = refusal(&["-global", &format!("isa-debugcon.iobase={port}")]);
        assert!(message.ends_with(&format!("={port}: expected an I/O port, 0 to 0xffff")));
        assert_eq!(hint, "SeaBIOS's log goes to 0x402");
    }
    let why = "chukka does not have this property";
    let global = "kvm-pit.iobase=0x40";
    assert_eq!(refusal(&["-global", global]).0, format!("-global {global}: {why}"));
    assert_eq!(
        refusal(&["-global", "isa-debugcon"]).0,
        "-global isa-debugcon: expected DRIVER.PROPERTY=VALUE"
    );
    assert_eq!(refusal(&["-global", "isa-debugcon.readback=0"]).1, "leave readback out");
}

#[test]
fn character_devices_that_cannot_be_are_refused() {
    let of = |value| refusal(&["-chardev", value]).0;
    assert_eq!(of("null"), "-chardev null: expected an id, which devices refer to: id=ID");
    assert_eq!(
        of("file,id=X"),
        "-chardev file,id=X: expected the file's name: file,id=ID,path=PATH"
    );
    assert_eq!(of("udp,id=X"), "-chardev udp,id=X: expected stdio, file, socket, pty or null");
    assert_eq!(
        of("null,id=1a"),
        "-chardev id=1a: expected a letter, followed by letters, digits, '-', '.' or '_'"
    );
    assert_eq!(of("pty,id=X,mux=on"), "-chardev mux=on: only stdio can be shared with a monitor");
    assert!(of("null,id=X,foo=1").starts_with("-chardev foo=1: expected id=ID,logfile=PATH,"));
    assert_eq!(of("file,id=X,path="), "-chardev was given an empty path");
    assert_eq!(
        refusal(&["-chardev", "null,id=X", "-chardev", "stdio,id=X"]).0,
        "-chardev id=X: expected each id once"
    );
}

#[test]
fn devices_that_are_not_there_are_refused_by_name() {
    assert!(config(&["-device", "vmcoreinfo,id=v"]).vmcoreinfo);
    assert_eq!(
        refusal(&["-device", "virtio-balloon-pci,id=r"]),
        (
            "-device virtio-balloon-pci: chukka does not have this device".into(),
            "chukka's devices are virtio-blk, virtio-scsi, scsi-cd, ahci, ide-hd, ide-cd, \
             virtio-net, virtio-rng, virtio-serial, virtconsole, virtserialport, isa-serial, \
             isa-debugcon, isa-debug-exit, pc-testdev, pvpanic, i6300esb and vmcoreinfo"
                .into()
        )
    );
    assert_eq!(
        refusal(&["-device", "vmcoreinfo", "-device", "vmcoreinfo"]).0,
        "-device vmcoreinfo, given twice: expected one of them"
    );
    assert_eq!(refusal(&["-device", "vmcoreinfo,x=1"]).0, "-device x=1: expected vmcoreinfo alone");
    let missing = "expected the id of a -chardev that no other device has";
    assert_eq!(
        refusal(&["-device", "isa-debugcon,chardev=X"]).0,
        format!("-device isa-debugcon,chardev=X: {missing}")
    );
    assert_eq!(
        refusal(&["-device", "isa-debugcon"]).0,
        "-device isa-debugcon: expected chardev=ID, where its output goes"
    );
    assert_eq!(
        refusal(&["-device", "isa-debugcon,foo=1"]).0,
        "-device foo=1: expected isa-debugcon,iobase=PORT,chardev=ID"
    );
}
