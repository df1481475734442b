use super::{config, refusal, stdio_only};
use vmm::config::{InterruptKey, SerialBackend};

#[test]
fn serial_ports_come_in_turn() {
    use SerialBackend::{File, None, Null, Stdio};
    let ports = |words: &[&str]| config(words).serial;
    assert_eq!(ports(&["-serial", "null"]), [Null, None, None, None]);
    assert_eq!(ports(&["-serial", "none", "-serial", "stdio"]), [None, Stdio, None, None]);
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
        [Stdio, File("/tmp/a,b".into()), Null, File("x".into())]
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
    ] {
        assert_eq!(config(words).terminal.interrupt, expected, "{words:?}");
    }
}

#[test]
fn serial_ports_that_cannot_be_are_refused() {
    for value in ["", "foo", "file:", "vc", "pty", "chardev:c", "tcp::4444", "mon:null"] {
        let (text, _) = refusal(&["-serial", value]);
        assert_eq!(
            text,
            format!("-serial {value}: expected stdio, mon:stdio, file:PATH, null or none")
        );
    }
    assert_eq!(refusal(&["-serial", "pty"]).1, "QEMU has this backend, chukka does not");
    assert_eq!(
        refusal(&["-serial", "stdio", "-serial", "mon:stdio"]).0,
        "-serial stdio, given more than once: expected at most one port on the terminal"
    );
    assert_eq!(
        refusal(&["-serial", "null"].repeat(5)).0,
        "-serial, given 5 times: expected at most 4 times, for COM1 to COM4"
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
