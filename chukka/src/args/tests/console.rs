use super::{config, refusal, stdio_only};
use vmm::config::{CharBackend, CharFile, Chardev, InterruptKey, MonitorLanguage};

#[test]
fn serial_ports_come_in_turn() {
    use CharBackend::{File, Null, Stdio};
    let some = |backend: CharBackend| Some(Chardev::from(backend));
    let file = |path: &str| some(File(CharFile { path: path.into(), append: false }));
    let ports = |words: &[&str]| config(words).serial;
    assert_eq!(ports(&["-serial", "null"]), [some(Null), None, None, None]);
    assert_eq!(ports(&["-serial", "none", "-serial", "stdio"]), [None, some(Stdio), None, None]);
    assert_eq!(
        ports(&[
            "-serial",
            "mon:stdio",
            "-serial",
            "file:/tmp/a,b",
            "-serial",
            "null",
            "-serial",
            "file:x"
        ]),
        [some(Stdio), file("/tmp/a,b"), some(Null), file("x")]
    );
    assert_eq!(ports(&["-nographic"]), stdio_only());
    assert_eq!(ports(&["-display", "none"]), stdio_only());
    assert_eq!(ports(&["-nodefaults"]), [None, None, None, None]);
    assert_eq!(ports(&["-nodefaults", "-nographic"]), [None, None, None, None]);
}

/// As observed on the terminal settings (ISIG) of QEMU 7.2.
#[test]
fn ctrl_c_goes_where_qemu_sends_it() {
    use InterruptKey::{EndsChukka, GoesToGuest};
    for (words, expected) in [
        (&["-nographic"][..], GoesToGuest),
        (&["-serial", "mon:stdio"], GoesToGuest),
        (&["-nographic", "-serial", "mon:stdio"], GoesToGuest),
        (&["-serial", "stdio"], EndsChukka),
        (&["-nographic", "-serial", "stdio"], EndsChukka),
        (&["-nographic", "-monitor", "none"], EndsChukka),
        (&["-nodefaults"], EndsChukka),
        (&["-serial", "file:x"], EndsChukka),
        (&["-serial", "mon:stdio", "-debugcon", "stdio"], GoesToGuest),
        (&["-chardev", "stdio,id=c", "-serial", "chardev:c"], EndsChukka),
        (&["-chardev", "stdio,id=c,signal=off", "-serial", "chardev:c"], GoesToGuest),
    ] {
        assert_eq!(config(words).terminal.interrupt, expected, "{words:?}");
    }
}

#[test]
fn serial_ports_that_cannot_be_are_refused() {
    for value in ["", "foo", "file:", "vc", "udp::9", "tcp:4444", "mon:null", "unix:"] {
        let (text, _) = refusal(&["-serial", value]);
        let expected =
            "stdio, mon:stdio, file:PATH, pty, unix:PATH, tcp:HOST:PORT, chardev:ID, null or none";
        assert_eq!(text, format!("-serial {value}: expected {expected}"));
    }
    assert_eq!(refusal(&["-serial", "vc"]).1, "QEMU has this backend; chukka does not");
    assert_eq!(
        refusal(&["-serial", "chardev:c"]).0,
        "-serial chardev:c: expected the id of a -chardev that no other device has"
    );
    assert_eq!(
        refusal(&["-serial", "stdio", "-serial", "mon:stdio"]).0,
        "-serial stdio, given more than once: expected at most one port on the terminal"
    );
    assert_eq!(
        refusal(&["-serial", "null"].repeat(5)).0,
        "-serial, given 5 times: expected at most 4 times, for COM1 to COM4"
    );
}

/// libvirt's spelling, and the one of scripts that share the terminal with the monitor.
#[test]
fn monitors_and_ports_name_character_devices() {
    let socket = "socket,id=charmonitor,path=/run/mon,server=on,wait=off";
    let words = ["-chardev", socket, "-mon", "chardev=charmonitor,id=monitor,mode=control"];
    let [monitor] = &config(&words).monitors[..] else { panic!() };
    assert_eq!(monitor.language, MonitorLanguage::Qmp);
    assert_eq!(monitor.chardev.socket_path(), Some("/run/mon".as_ref()));
    let port = ["-chardev", "null,id=s", "-device", "isa-serial,chardev=s,id=serial0,index=1"];
    let null = || Some(CharBackend::Null.into());
    let named =
        |id: &str, backend: CharBackend| Some(Chardev { id: Some(id.into()), ..backend.into() });
    let s = || named("s", CharBackend::Null);
    assert_eq!(config(&port).serial, [None, s(), None, None]);
    let found = config(&[&port[..], &["-serial", "stdio", "-device", "isa-serial"]].concat());
    let stdio = Some(CharBackend::Stdio.into());
    assert_eq!(found.serial, [stdio, s(), null(), None]);
    let both = [&port[..], &["-device", "isa-serial,index=1"]].concat();
    let (text, _) = refusal(&both);
    assert_eq!(text, "-device isa-serial: another device has that serial port");
    let shared = ["-chardev", "stdio,id=c,mux=on,signal=off", "-mon", "chardev=c,mode=readline"];
    let found = config(&[&shared[..], &["-serial", "chardev:c"]].concat());
    let terminal = named("c", CharBackend::Stdio);
    assert_eq!((found.monitors, found.serial), (Vec::new(), [terminal, None, None, None]));
    let debugcon = ["-serial", "none", "-device", "isa-debugcon,chardev=c"];
    assert_eq!(
        refusal(&[&shared[..], &debugcon].concat()).0,
        "-mon chardev=c,mode=readline: the device that has this -chardev gets no input"
    );
    assert_eq!(refusal(&["-mon", "mode=control"]).0, "-mon mode=control: expected chardev=ID");
    assert_eq!(
        refusal(&["-chardev", "pty,id=c", "-mon", "c"]).0,
        "-mon c: expected unix:PATH, tcp:HOST:PORT, stdio, chardev:ID or none"
    );
    assert_eq!(
        refusal(&["-chardev", "socket,id=c,path=p,server=on,logfile=l", "-monitor", "chardev:c"]).0,
        "-monitor chardev:c: a monitor has no log"
    );
}

#[test]
fn devices_that_are_not_there_can_only_be_none() {
    config(&[
        "-display", "none", "-vga", "none", "-monitor", "null", "-net", "none", "-nic", "none",
        "-net", "none",
    ]);
    assert_eq!(refusal(&["-display", "gtk"]).0, "-display gtk: chukka has no screen");
    assert_eq!(refusal(&["-vga", "std"]).0, "-vga std: chukka has no graphics card");
    assert_eq!(
        refusal(&["-monitor", "stdio"]).0,
        "-qmp or -monitor stdio: COM1 has standard input"
    );
    assert_eq!(refusal(&["-parallel", "stdio"]).0, "-parallel stdio: chukka has no parallel port");
    assert_eq!(refusal(&["-d", "unimp,in_asm"]).0, "-d in_asm: chukka does not have this log");
}
