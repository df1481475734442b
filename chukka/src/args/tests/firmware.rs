use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::{config, parse, refusal, request, whole};
use crate::args::Invocation;
use crate::request::Request;
use vmm::config::{
    BootOptions, BootOrder, Credential, FirmwareConfig, FwCfgItem, FwCfgSource, OptionRomConfig,
    Trace,
};

fn text(name: &str, text: &str) -> FwCfgItem {
    FwCfgItem { name: name.into(), source: FwCfgSource::Text(text.into()) }
}

#[test]
fn firmware_and_its_roms_are_read() {
    let words = [
        "-bios",
        "qboot",
        "-bios",
        "seabios",
        "-L",
        "/a",
        "-L",
        "b",
        "-option-rom",
        "x.bin",
        "-option-rom",
        "romfile=y,,z.bin,bootindex=3",
        "-option-rom",
        "file=z,bootindex=-1",
    ];
    let rom = |path: &str, bootindex| OptionRomConfig { path: path.into(), bootindex };
    let firmware = FirmwareConfig {
        bios: Some("seabios".into()),
        search: vec!["/a".into(), "b".into()],
        own_option_rom: true,
        option_roms: vec![rom("x.bin", None), rom("y,z.bin", Some(3)), rom("z", None)],
        network_rom: None,
        for_disk: false,
    };
    assert_eq!(config(&words).firmware.as_ref(), Some(&firmware));
    let without_kernel = whole(&words);
    assert_eq!((without_kernel.boot, without_kernel.vm.firmware), (None, Some(firmware)));
    assert_eq!(config(&["-L", "/a"]).firmware, None, "-L alone harms nobody");
}

#[test]
fn firmware_s_paths_may_be_any_bytes() {
    let raw = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let words = [
        "-bios".into(),
        raw(b"b\xff"),
        "-option-rom".into(),
        raw(b"o\xff,bootindex=0"),
        "-fw_cfg".into(),
        raw(b"opt/s,string=\xfe,,\xff"),
        "-fw_cfg".into(),
        raw(b"opt/f,file=\xff"),
        "-credential".into(),
        raw(b"n=\xff=,"),
    ];
    let Ok(Invocation::Boot(config)) = parse(words) else { panic!("refused") };
    let config = config.vm;
    let firmware = config.firmware.unwrap();
    assert_eq!(firmware.bios, Some(raw(b"b\xff")));
    assert_eq!(firmware.option_roms[0].path.as_os_str(), raw(b"o\xff"));
    assert_eq!(config.fw_cfg[0].source, FwCfgSource::Text(b"\xfe,\xff".to_vec()));
    assert_eq!(config.fw_cfg[1].source, FwCfgSource::File(raw(b"\xff").into()));
    assert_eq!(config.credentials[0].value, b"\xff=,", "commas are only commas here");
}

#[test]
fn roms_that_cannot_be_are_refused() {
    let (message, hint) = refusal(&["-option-rom", "x"]);
    let why = "chukka enters the kernel directly, without firmware that could do this";
    assert_eq!(message, format!("-option-rom x: {why}"));
    assert_eq!(hint, "add -bios seabios");
    let with_bios = |value: &str| refusal(&["-bios", "seabios", "-option-rom", value]).0;
    assert_eq!(with_bios(""), "-option-rom was given an empty path");
    assert_eq!(with_bios("bootindex=1"), "-option-rom was given an empty path");
    for index in ["-2", "x", "2147483648", ""] {
        assert_eq!(
            with_bios(&format!("x,bootindex={index}")),
            format!("-option-rom bootindex={index}: expected a number from 0 to 2147483647")
        );
    }
    assert_eq!(with_bios("x,y=1"), "-option-rom y=1: expected FILE or FILE,bootindex=N");
    let many = [["-option-rom", "x"]; 17].concat();
    let words = [&["-bios", "seabios"][..], &many].concat();
    assert_eq!(refusal(&words).0, "-option-rom, given 17 times: expected at most 16 of them");
    assert_eq!(refusal(&["-bios", ""]).0, "-bios was given an empty path");
    assert_eq!(refusal(&["-L", ""]).0, "-L was given an empty path");
}

#[test]
fn boot_is_merged_key_by_key() {
    let words = [
        "-bios",
        "seabios",
        "-boot",
        "menu=on,splash-time=0x10,strict=on",
        "-boot",
        "reboot-timeout=65535,strict=off",
    ];
    assert_eq!(
        config(&words).boot_options,
        BootOptions {
            menu: true,
            splash_time: Some(16),
            reboot_timeout: Some(65535),
            ..BootOptions::default()
        }
    );
    // Without firmware, what changes nothing is taken.
    let harmless = config(&["-boot", "menu=off,strict=off,reboot-timeout=-1"]).boot_options;
    assert_eq!(harmless, BootOptions { reboot_timeout: Some(-1), ..BootOptions::default() });
}

#[test]
fn boot_refuses_what_is_not_there() {
    for value in ["menu=on", "strict=on", "splash-time=0", "reboot-timeout=0"] {
        let (message, hint) = refusal(&["-boot", value]);
        assert!(message.starts_with(&format!("-boot {value}: chukka enters the kernel directly")));
        assert_eq!(hint, "add -bios seabios");
    }
    let with_bios = |value: &str| refusal(&["-bios", "seabios", "-boot", value]);
    assert_eq!(
        with_bios("splash=x.bmp").0,
        "-boot splash=x.bmp: chukka has no screen to show a picture on"
    );
    for value in ["-1", "65536", "soon", ""] {
        assert_eq!(
            with_bios(&format!("splash-time={value}")).0,
            format!("-boot splash-time={value}: expected milliseconds, 0 to 65535")
        );
    }
    for value in ["-2", "65536", "soon"] {
        let expected = "expected milliseconds, 0 to 65535, or -1 for never";
        assert_eq!(
            with_bios(&format!("reboot-timeout={value}")).0,
            format!("-boot reboot-timeout={value}: {expected}")
        );
    }
    assert_eq!(with_bios("menu=maybe").0, "-boot menu=maybe: expected on or off");
    assert_eq!(with_bios("menu=on,strict").0, "-boot strict: expected a value: strict=…");
    assert_eq!(
        with_bios("foo=1").0,
        "-boot foo=1: expected order=, once=, menu=, splash-time=, reboot-timeout= or strict="
    );
}

#[test]
fn boot_orders_are_read_as_qemu_reads_them() {
    let order = |letters| BootOrder::from_letters(letters).unwrap();
    let of = |words: &[&str]| {
        let request = request(&[&["-bios", "seabios"], words].concat());
        (request.vm.boot_options, request.warnings)
    };
    let (options, warnings) = of(&["-boot", "c"]);
    assert_eq!((options.order, options.once, warnings), (order("c"), None, vec![]));
    let (options, warnings) = of(&["-boot", "order=c,once=c,menu=off"]);
    assert_eq!((options.order, options.once, warnings), (order("c"), Some(order("c")), vec![]));
    assert_eq!(of(&[]).0.order, order("cad"));
    // What is not there is tried in vain, as in QEMU.
    let (options, warnings) = of(&["-boot", "dcn"]);
    assert_eq!(options.order, order("dcn"));
    let absent = "the guest has no CD drive and no network; only 'c', the disk, has an effect";
    assert_eq!(warnings, [format!("-boot order=dcn: {absent}")]);
    let unused = "has no effect: chukka enters the kernel itself, without firmware";
    assert_eq!(request(&["-boot", "once=c"]).warnings, [format!("-boot once=c {unused}")]);
}

#[test]
fn boot_orders_that_boot_nothing_are_refused() {
    for (value, text) in [
        ("d", "-boot order=d: the guest has no CD drive"),
        ("once=n", "-boot once=n: the guest has no network"),
        ("order=a", "-boot order=a: the guest has no floppy drive"),
        ("order=", "-boot order=: no device is named"),
        ("order=x", "-boot order=x ('x'): expected the letters a, b, c, d or n"),
        ("order=cc", "-boot order=cc ('c'): expected each letter once"),
        ("order=cadn", "-boot order=cadn: expected at most three letters"),
    ] {
        assert_eq!(refusal(&["-bios", "seabios", "-boot", value]).0, text);
    }
    let (_, hint) = refusal(&["-bios", "seabios", "-boot", "d"]);
    assert!(hint.starts_with("use -boot order=c"), "{hint}");
}

#[test]
fn fw_cfg_items_are_read() {
    let longest = format!("opt/{}", "x".repeat(51));
    let words = [
        "-fw_cfg",
        "opt/a,string=x,,y=z",
        "-fw_cfg",
        "name=opt/b,file=/p,string=",
        "-fw_cfg",
        &format!("{longest},string=x,string=last"),
    ];
    let file = FwCfgItem { name: "opt/b".into(), source: FwCfgSource::File("/p".into()) };
    let Request { vm: config, warnings, .. } = request(&words);
    assert_eq!(config.fw_cfg, [text("opt/a", "x,y=z"), file, text(&longest, "last")]);
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn a_fw_cfg_name_outside_opt_is_warned_of() {
    let Request { vm: config, warnings, .. } = request(&["-fw_cfg", "etc/x,string=y"]);
    assert_eq!(config.fw_cfg, [text("etc/x", "y")]);
    let [warning] = &warnings[..] else { panic!("{:?}", warnings) };
    assert!(
        warning.starts_with("-fw_cfg etc/x: a name that does not begin with opt/"),
        "{warning}"
    );
}

#[test]
fn fw_cfg_items_that_cannot_be_are_refused() {
    let of = |value: &str| refusal(&["-fw_cfg", value]);
    let long = format!("opt/{}", "x".repeat(52));
    assert_eq!(
        of(&format!("{long},string=a")),
        (
            format!("-fw_cfg {long}: expected a name of at most 55 bytes, it has 56"),
            "shorten it".into()
        )
    );
    assert_eq!(
        of("opt/a,string=a,file=b"),
        (
            "-fw_cfg opt/a,string=a,file=b: expected either file= or string=".into(),
            "an item has one content: leave file= or string= out".into()
        )
    );
    for value in ["opt/a", "opt/a,string=", "opt/a,file=", "string=a", "name=,string=a", ""] {
        let (message, _) = of(value);
        let start = format!("-fw_cfg {value}: expected a name and either file= or string=: ");
        assert!(message.starts_with(&start), "{message}");
    }
    assert_eq!(of("opt/a,gen_id=x").0, "-fw_cfg gen_id=x: chukka has no -object");
    let (message, hint) = of("opt/a,string=x,y");
    assert!(message.starts_with("-fw_cfg y: expected a name and either"), "{message}");
    assert_eq!(hint, "a comma in a name, path or text is written twice: ,,");
    assert_eq!(
        refusal(&["-fw_cfg", "opt/a,string=x", "-fw_cfg", "opt/a,file=y"]),
        (
            "-fw_cfg opt/a: expected each name once".into(),
            "leave one of the two out, or rename it".into()
        )
    );
}

#[test]
fn credentials_are_read() {
    let config = config(&["-credential", "a.b=x=y, z", "--credential=empty="]);
    let credential =
        |name: &str, value: &[u8]| Credential { name: name.into(), value: value.into() };
    assert_eq!(config.credentials, [credential("a.b", b"x=y, z"), credential("empty", b"")]);
}

#[test]
fn credentials_that_cannot_be_are_refused() {
    let (message, hint) = refusal(&["-credential", "name"]);
    assert_eq!(message, "-credential name: expected NAME=VALUE");
    assert_eq!(hint, "for an empty value, write NAME=");
    for name in ["", "..", "a/b", "a:b", &"x".repeat(256)] {
        let expected = "expected a name of 1 to 255 printable ASCII characters but / and :";
        assert_eq!(
            refusal(&["-credential", &format!("{name}=v")]).0,
            format!("-credential {name}: {expected}")
        );
    }
    let twice = "-credential a: expected each name once";
    assert_eq!(refusal(&["-credential", "a=1", "-credential", "a=2"]).0, twice);
    let item = "opt/io.systemd.credentials/a,string=x";
    assert_eq!(refusal(&["-fw_cfg", item, "-credential", "a=2"]).0, twice);
    let big = format!("a={}", "x".repeat((1 << 20) + 1));
    assert_eq!(
        refusal(&["-credential", &big]).0,
        "-credential, 1048577 bytes in all: expected at most 1048576, systemd's limit"
    );
}

#[test]
fn what_is_told_is_chosen() {
    for pattern in ["fw_cfg", "fw_cfg*", "fw_cfg_*", "enable=fw_cfg*"] {
        assert_eq!(config(&["-trace", pattern]).trace, Trace { fw_cfg: true }, "{pattern}");
    }
    for (value, on) in [
        ("timestamp", true),
        ("timestamp=on", true),
        ("timestamp=off", false),
        ("guest-name=off,timestamp", true),
    ] {
        assert_eq!(config(&["-msg", value]).timestamps, on, "{value}");
    }
    assert!(!config(&["-msg", "timestamp", "-msg", "timestamp=off"]).timestamps);
    assert_eq!(
        refusal(&["-trace", "virtio*"]),
        ("-trace virtio*: expected fw_cfg".into(), "events that can be traced: fw_cfg".into())
    );
    assert_eq!(
        refusal(&["-trace", "fw_cfg,file=log"]).0,
        "-trace file=log: chukka neither reads nor writes trace files"
    );
    assert_eq!(refusal(&["-trace", "fw_cfg,x=1"]).0, "-trace x=1: expected fw_cfg");
    assert_eq!(refusal(&["-msg", "timestamp=maybe"]).0, "-msg timestamp=maybe: expected on or off");
    assert_eq!(refusal(&["-msg", "x"]).0, "-msg x: expected timestamp=on or timestamp=off");
    assert_eq!(
        refusal(&["-msg", "guest-name=on"]).0,
        "-msg guest-name=on: chukka's messages always have the name that -name gives"
    );
}
