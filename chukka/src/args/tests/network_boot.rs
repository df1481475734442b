use super::{message, refusal, request, whole};
use vmm::config::{BootOrder, MachineKind};

/// The machine, its firmware, and the boot ROM of its cards.
fn boots(words: &[&str]) -> (MachineKind, Option<String>, Option<String>) {
    let text = |name: std::ffi::OsString| name.into_string().unwrap();
    let vm = whole(words).vm;
    let firmware = vm.firmware.unwrap();
    (vm.machine, firmware.bios.map(text), firmware.network_rom.map(text))
}

const N0: [&str; 2] = ["-netdev", "user,id=n0"];

#[test]
fn a_card_that_is_all_there_is_to_boot_from_chooses_pc_and_seabios() {
    let usual = (MachineKind::Pc, Some("seabios".into()), Some("pxe-virtio.rom".into()));
    for words in [
        &["-nic", "user,tftp=/srv/tftp,bootfile=pxelinux.0"][..],
        &["-M", "pc", "-nic", "user"],
        &["-net", "nic", "-net", "user"],
        &["-netdev", "user,id=n0", "-device", "virtio-net,netdev=n0"],
        &["-hda", "d", "-nic", "user", "-boot", "n"],
        &["-hda", "d", "-nic", "user", "-boot", "order=cdn"],
        &["-hda", "d", "-nic", "user", "-boot", "once=n"],
        &["-hda", "d", "-netdev", "user,id=n0", "-device", "virtio-net,netdev=n0,bootindex=0"],
    ] {
        assert_eq!(boots(words), usual, "{words:?}");
    }
}

#[test]
fn a_card_has_no_boot_rom_where_something_else_is_booted() {
    let none = |words| boots(words).2;
    assert_eq!(none(&["-hda", "d", "-nic", "user"]), None);
    assert_eq!(none(&["-M", "pc", "-cdrom", "d", "-nic", "user"]), None);
    assert_eq!(none(&["-M", "pc", "-bios", "seabios", "-nic", "user"]), None);
    let without = ["-device", "virtio-net,netdev=n0,romfile="];
    assert_eq!(none(&[&["-hda", "d"], &N0[..], &without].concat()), None);
    let request = request(&["-nic", "user", "-boot", "n"]);
    assert_eq!((request.vm.machine, request.vm.firmware), (MachineKind::Microvm, None));
    let unused = "has no effect: chukka enters the kernel itself, without firmware";
    assert_eq!(request.warnings, [format!("-boot order=n {unused}")]);
}

#[test]
fn a_card_s_boot_rom_and_boot_index_are_read() {
    let device = "virtio-net,netdev=n0,romfile=/a,,b.rom,bootindex=3";
    let words = [&["-hda", "d"], &N0[..], &["-device", device]].concat();
    assert_eq!(boots(&words).2, Some("/a,b.rom".into()));
    assert_eq!(whole(&words).vm.card_boot_indices, [Some(3)]);
    let device = "virtio-net,netdev=n0,bootindex=-1";
    let words = [&["-hda", "d"], &N0[..], &["-device", device]].concat();
    assert_eq!((boots(&words).0, boots(&words).2), (MachineKind::Microvm, None));
    let order = whole(&["-hda", "d", "-nic", "user", "-boot", "nc"]).vm.boot_options.order;
    assert_eq!(order, BootOrder::from_letters("nc").unwrap());
}

#[test]
fn what_cannot_be_booted_from_the_network_is_refused() {
    let no_pci = "the guest has no PCI, which booting from the network needs";
    let (text, hint) = message(&["-M", "microvm", "-hda", "d", "-nic", "user", "-boot", "n"]);
    assert_eq!(text, format!("-boot order=n: {no_pci}"));
    assert_eq!(hint, "use -machine pc, or leave out -machine");
    let device = ["-device", "virtio-net,netdev=n0,bootindex=1"];
    let (text, _) = message(&[&["-M", "microvm", "-hda", "d"], &N0[..], &device].concat());
    assert_eq!(text, format!("-device bootindex=1: {no_pci}"));
    let device = ["-boot", "n", "-device", "virtio-net,netdev=n0,romfile="];
    let (text, hint) = message(&[&["-hda", "d"], &N0[..], &device].concat());
    assert_eq!(text, "-boot order=n: the guest has no network card with a boot ROM");
    assert_eq!(hint, "leave out romfile= to use iPXE's ROM");
    let (text, hint) = message(&["-hda", "d", "-boot", "n"]);
    assert_eq!(text, "-boot order=n: the guest has no network");
    assert!(hint.starts_with("add -nic user,tftp=DIR,bootfile=FILE"), "{hint}");
    let two = ["-device", "virtio-net,netdev=n0,romfile=a", "-netdev", "user,id=n1"];
    let other = ["-device", "virtio-net,netdev=n1,romfile=b"];
    let (text, _) = message(&[&["-hda", "d"], &N0[..], &two, &other].concat());
    let why = "all cards of a guest have the same boot ROM";
    assert_eq!(text, format!("-device romfile=a and romfile=b: {why}"));
    let (text, _) = refusal(&[&N0[..], &["-device", "virtio-net,netdev=n0,bootindex=x"]].concat());
    assert_eq!(text, "-device bootindex=x: expected a number from 0 to 2147483647");
}

#[test]
fn a_boot_index_counts_once_among_disks_and_cards() {
    let device = ["-device", "virtio-net,netdev=n0,bootindex=1"];
    let disk = ["-drive", "file=d,if=none,id=d", "-device", "virtio-blk,drive=d,bootindex=1"];
    let (text, _) = message(&[&N0[..], &device, &disk].concat());
    assert_eq!(text, "bootindex=1: expected each bootindex once");
    let warnings = request(&[&N0[..], &device].concat()).warnings;
    let unused = "bootindex= has no effect: chukka enters the kernel itself, without firmware";
    assert_eq!(warnings, [unused]);
}
