use super::{config, refusal};
use vmm::config::{MachineKind, MapInitrd, RtcBase};

#[test]
fn memory_takes_qemu_s_sizes() {
    for (value, bytes) in [
        ("512", 512 << 20),
        ("2G", 2 << 30),
        ("2g", 2 << 30),
        ("1.5G", 3 << 29),
        ("1", 1 << 20),
        ("size=1G", 1 << 30),
        ("size=1G,slots=0", 1 << 30),
        ("1G,maxmem=1024M", 1 << 30),
        ("1048577B", (1 << 20) + 4096),
        ("1T", 1 << 40),
    ] {
        assert_eq!(config(&["-m", value]).memory, bytes, "{value}");
    }
}

#[test]
fn memory_that_cannot_be_is_refused() {
    let size = "expected a size such as 512 (MiB), 512M, 2G or 1.5G, below 2^64 bytes";
    for value in [
        "",
        "abc",
        "-5",
        "512mm",
        "2GiB",
        "512.5",
        "0x10",
        "16E",
        "18446744073709551615B",
        "size=",
        "1 G",
    ] {
        assert_eq!(refusal(&["-m", value]).0, format!("-m {value}: {size}"));
    }
    let (text, hint) = refusal(&["-m", "0"]);
    assert_eq!(text, "-m 0: expected at least 1M");
    assert_eq!(hint, "a Debian kernel wants 128M and more, its installer 512M");
    assert_eq!(refusal(&["-m", "512k"]).0, "-m 512k: expected at least 1M");
    assert_eq!(refusal(&["-m", "1G,slots=2"]).0, "-m slots=2: chukka cannot plug memory in later");
    assert_eq!(
        refusal(&["-m", "1G,maxmem=4G"]).0,
        "-m maxmem=4G: chukka cannot plug memory in later"
    );
    assert_eq!(refusal(&["-m", "1G,maxmem"]).0, "-m maxmem: expected a value: maxmem=…");
    assert_eq!(refusal(&["-m", "1G,foo=1"]).0, "-m foo=1: expected size=SIZE");
}

#[test]
fn cpus_are_counted_as_qemu_counts_them() {
    for (value, cpus) in [
        ("4", 4),
        ("64", 64),
        ("cpus=4", 4),
        ("cpus=4,sockets=1,cores=4,threads=1,maxcpus=4", 4),
        ("4,sockets=2", 4),
        ("4,cores=2", 4),
        ("4,threads=2", 4),
        ("4,sockets=1,cores=2", 4),
        ("4,dies=1,clusters=1", 4),
        ("8,dies=2,cores=2,threads=2,sockets=1", 8),
        ("cores=4", 4),
        ("sockets=2,cores=2", 4),
        ("maxcpus=2", 2),
    ] {
        assert_eq!(config(&["-smp", value]).cpus, cpus, "{value}");
    }
}

#[test]
fn cpus_that_cannot_be_are_refused() {
    assert_eq!(refusal(&["-smp", "0"]).1, "a guest has one CPU at least: -smp 1");
    assert_eq!(refusal(&["-smp", "65"]).1, "the machine has room for 64 CPUs: -smp 64");
    assert_eq!(refusal(&["-smp", "0"]).0, "-smp 0: expected a number, 1 to 64 CPUs in all");
    assert_eq!(refusal(&["-smp", "abc"]).0, "-smp abc: expected a number, 1 to 64 CPUs in all");
    assert_eq!(refusal(&["-smp", ""]).0, "-smp : expected a number, 1 to 64 CPUs in all");
    assert_eq!(refusal(&["-smp", "99999999999999999999"]).0[..5], *"-smp ");
    assert_eq!(refusal(&["-smp", "65"]).0, "-smp 65: expected 1 to 64 CPUs");
    assert_eq!(
        refusal(&["-smp", "sockets=16,cores=16"]).0,
        "-smp sockets=16,cores=16: expected 1 to 64 CPUs"
    );
    assert_eq!(
        refusal(&["-smp", "4,sockets=3,cores=1,threads=1"]),
        (
            "-smp 4,sockets=3,cores=1,threads=1: expected sockets × cores × threads to be 4, \
             they are 3 × 1 × 1 = 3"
                .into(),
            "-smp N alone is enough".into()
        )
    );
    assert_eq!(
        refusal(&["-smp", "2,maxcpus=4"]),
        (
            "-smp 2,maxcpus=4: chukka cannot plug CPUs in later".into(),
            "leave out maxcpus, or use maxcpus=2".into()
        )
    );
    assert_eq!(
        refusal(&["-smp", "4,foo=1"]).0,
        "-smp foo=1: expected cpus=, sockets=, dies=, cores=, threads= or maxcpus="
    );
    for huge in [
        "1024,sockets=1024,cores=1024,threads=1024,dies=1024",
        "dies=1024,clusters=1024",
        "1,sockets=1024",
    ] {
        assert!(refusal(&["-smp", huge]).0.starts_with("-smp "), "{huge}");
    }
}

#[test]
fn accelerators_count_when_kvm_is_among_them() {
    for words in [
        &["-accel", "kvm"][..],
        &["-accel", "tcg", "-accel", "kvm"],
        &["-accel", "tcg,thread=multi", "-accel", "kvm,kernel-irqchip=on"],
        &["-enable-kvm"],
        &["-enable-kvm", "-accel", "tcg"],
        &["-machine", "accel=kvm"],
        &["-M", "microvm,accel=kvm:tcg"],
        &["-machine", "accel=tcg", "-accel", "kvm"],
        &["-machine", "type=microvm,kernel_irqchip=on"],
    ] {
        config(words);
    }
    let (text, hint) = refusal(&["-accel", "hvf", "-machine", "accel=tcg"]);
    assert_eq!(text, "-accel tcg, hvf: chukka cannot run a guest that way, it runs on KVM only");
    assert_eq!(hint, "use -accel kvm, or leave out -accel and accel=");
    assert_eq!(
        refusal(&["-accel", "kvm,dirty-ring-size=4096"]).0,
        "-accel dirty-ring-size=4096: chukka does not have this property of -accel kvm"
    );
}

#[test]
fn machines_other_than_microvm_and_pc_are_refused() {
    assert_eq!(config(&["-M", "pc"]).machine, MachineKind::Pc);
    assert_eq!(config(&["-M", "pc", "-machine", "accel=kvm"]).machine, MachineKind::Pc);
    assert_eq!(config(&["-M", "pc", "-M", "type=microvm"]).machine, MachineKind::Microvm);
    assert_eq!(
        refusal(&["-M", "pc,foo=1"]).0,
        "-machine foo=1: chukka's pc has no property \"foo\""
    );
    assert_eq!(refusal(&["-M", "pc,firmware=x"]).1, "use -bios");
    assert_eq!(
        config(&["-M", "microvm,acpi=on,pic=off,pit=off,rtc=on,x-option-roms=off"]).machine,
        MachineKind::Microvm
    );
    for (words, ours) in
        [("pc", true), ("pc,x-option-roms=off", false), ("pc,x-option-roms=on", true)]
    {
        let firmware = config(&["-bios", "seabios", "-M", words]).firmware.unwrap();
        assert_eq!(firmware.own_option_rom, ours, "{words}");
    }
    for (words, map) in [
        ("pc", MapInitrd::Auto),
        ("pc,x-map-initrd=on", MapInitrd::On),
        ("microvm,x-map-initrd=off", MapInitrd::Off),
    ] {
        assert_eq!(config(&["-M", words]).map_initrd, map, "{words}");
    }
    assert_eq!(
        refusal(&["-M", "pc,x-map-initrd=yes"]).0,
        "-machine x-map-initrd=yes: expected auto, on or off"
    );
    assert!(!config(&["-M", "x-coalesced-console=off"]).coalesced_console);
    for machine in ["isapc", "pc-q35-7.2"] {
        let (text, hint) = refusal(&["-M", machine]);
        let why = "chukka does not have this machine, only microvm and pc";
        assert_eq!(text, format!("-machine {machine}: {why}"));
        assert_eq!(hint, "leave out -machine, or use -machine pc for a guest that needs PCI");
    }
    assert_eq!(
        refusal(&["-M", "pc-i440fx-7.2"]),
        ("-machine pc-i440fx-7.2: chukka's pc has no versions".into(), "use -machine pc".into())
    );
    assert_eq!(
        refusal(&["-machine", "micorvm"]),
        (
            "-machine micorvm: expected the name of a machine: microvm or pc".into(),
            "did you mean microvm?".into()
        )
    );
    assert_eq!(
        refusal(&["-M", "microvm,acpi=off"]),
        (
            "-machine acpi=off: chukka's microvm can only have acpi=on|auto".into(),
            "to have Linux not use it: -append acpi=off".into()
        )
    );
    assert_eq!(
        refusal(&["-M", "microvm,foo=1"]).0,
        "-machine foo=1: chukka's microvm has no property \"foo\""
    );
    assert_eq!(refusal(&["-M", "microvm,kernel=x"]).1, "use -kernel");
    assert_eq!(refusal(&["-M", "microvm,pit"]).0, "-machine pit: expected a value: pit=…");
}

#[test]
fn name_and_uuid_are_read() {
    let name = |value| config(&["-name", value]).name;
    assert_eq!(name("foo").as_deref(), Some("foo"));
    assert_eq!(name("guest=foo,debug-threads=on").as_deref(), Some("foo"));
    assert_eq!(name("a,,b").as_deref(), Some("a,b"));
    assert_eq!(name(""), None);
    assert_eq!(
        refusal(&["-name", "x,process=y"]).0,
        "-name process=y: chukka does not rename its process"
    );
    assert_eq!(
        refusal(&["-name", "x,debug-threads=1"]).0,
        "-name debug-threads=1: expected on or off"
    );
    let bytes =
        [0x55, 0x0e, 0x84, 0, 0xe2, 0x9b, 0x41, 0xd4, 0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0, 0];
    for text in ["550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000"] {
        assert_eq!(config(&["-uuid", text]).uuid, Some(bytes));
    }
    for text in [
        "",
        "foo",
        "550e8400e29b41d4a716446655440000",
        "{550e8400-e29b-41d4-a716-446655440000}",
        "550e8400-e29b-41d4-a716-44665544000g",
        "550e8400-e29b-41d4-a716-4466554400é",
    ] {
        let expected = "expected a UUID such as 550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(refusal(&["-uuid", text]).0, format!("-uuid {text}: {expected}"));
    }
}

#[test]
fn rtc_is_read() {
    let base = |value| config(&["-rtc", value]).rtc.base;
    assert_eq!(base("base=utc"), RtcBase::Utc);
    assert_eq!(base("base=localtime,clock=host,driftfix=slew"), RtcBase::Localtime);
    assert_eq!(base("base=2006-06-17T16:01:21"), RtcBase::Fixed(1_150_560_081));
    assert_eq!(base("clock=rt"), RtcBase::Utc);
    assert_eq!(
        refusal(&["-rtc", "clock=vm"]).0,
        "-rtc clock=vm: chukka's clock does not stop with the guest"
    );
    assert_eq!(
        refusal(&["-rtc", "base=2006-13-17"]).0,
        "-rtc base=2006-13-17: expected utc, localtime, 2006-06-17 or 2006-06-17T16:01:21"
    );
    assert_eq!(refusal(&["-rtc", "utc"]).1, "did you mean -rtc base=utc?");
    assert_eq!(
        refusal(&["-rtc", "clock=foo"]).0,
        "-rtc clock=foo: expected clock=host or clock=rt"
    );
    assert_eq!(
        refusal(&["-rtc", "driftfix=x"]).0,
        "-rtc driftfix=x: expected driftfix=none or driftfix=slew"
    );
    assert_eq!(refusal(&["-rtc", "foo=1"]).0, "-rtc foo=1: expected base=, clock= or driftfix=");
}

#[test]
fn q35_is_taken_as_pc_with_one_warning() {
    let q35 = super::request(&["-M", "q35,accel=kvm", "-machine", "type=q35,smm=off"]);
    assert_eq!(q35.vm.machine, MachineKind::Pc);
    let warning = "-machine q35: chukka does not have it; the guest gets the machine pc";
    assert_eq!(q35.warnings, [warning]);
}
