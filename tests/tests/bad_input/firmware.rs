//! Errors in the command line of a firmware boot that argv alone reveals.

use chukka_tests::native::{Refusal, start};

/// What chukka says of these words after a kernel that nobody looks for.
#[track_caller]
fn refused(words: &[&str]) -> Refusal {
    start([&["-kernel", "k"], words].concat()).refused()
}

#[test]
fn a_name_that_is_too_long_reports_both_lengths() {
    let name = format!("opt/{}", "x".repeat(52));
    refused(&["-fw_cfg", &format!("{name},string=a")])
        .says(&format!("-fw_cfg {name}: expected a name of at most 55 bytes, it has 56"))
        .hints("shorten it");
}

#[test]
fn an_item_given_twice_is_named() {
    refused(&["-fw_cfg", "opt/a,string=x", "-fw_cfg", "opt/a,string=y"])
        .says("-fw_cfg opt/a: expected each name once")
        .hints("leave one of the two out");
}

#[test]
fn an_item_has_one_content() {
    refused(&["-fw_cfg", "opt/a,string=x,file=y"])
        .says("-fw_cfg opt/a,string=x,file=y: expected either file= or string=")
        .hints("leave file= or string= out");
    refused(&["-fw_cfg", "opt/a"]).says("expected a name and either file= or string=");
}

#[test]
fn what_only_firmware_does_is_refused_without_it() {
    for words in [["-option-rom", "rom.bin"], ["-boot", "menu=on"], ["-boot", "strict=on"]] {
        refused(&words)
            .says(&format!("{} {}: chukka enters the kernel directly", words[0], words[1]))
            .hints("add -bios seabios");
    }
}

#[test]
fn booting_from_what_is_not_there_is_refused() {
    refused(&["-bios", "seabios", "-boot", "d"])
        .says("-boot order=d: the guest has no CD drive")
        .hints("use -boot order=c to boot from a disk");
}

#[test]
fn a_kernel_that_would_wait_for_another_disk_is_refused() {
    refused(&["-hda", "disk.raw", "-append", "root=/dev/sda1"])
        .says("-append root=/dev/sda1: the disks are virtio disks here")
        .hints("say root=/dev/vda1");
}

#[test]
fn files_for_a_kernel_that_is_not_there_are_refused() {
    start(["-bios", "seabios", "-initrd", "i"])
        .refused()
        .says("-initrd is only allowed with -kernel, which is missing");
}

#[test]
fn a_missing_character_device_is_named() {
    refused(&["-device", "isa-debugcon,iobase=0x402,chardev=log"])
        .says("-device isa-debugcon,chardev=log: expected the id of a -chardev")
        .hints("-chardev file,id=log,path=log");
}

#[test]
fn a_device_of_qemu_s_is_refused_by_name() {
    refused(&["-device", "virtio-gpu-pci,id=g0"])
        .says("-device virtio-gpu-pci: chukka does not have this device")
        .hints("isa-debugcon, isa-debug-exit, pc-testdev, pvpanic, i6300esb and vmcoreinfo");
}

#[test]
fn an_unknown_trace_is_refused_with_those_there_are() {
    refused(&["-trace", "virtio*"])
        .says("-trace virtio*: expected fw_cfg")
        .hints("events that can be traced: fw_cfg");
}

#[test]
fn an_smbios_structure_that_chukka_does_not_take_is_refused() {
    refused(&["-smbios", "type=4,manufacturer=x"])
        .says("-smbios type=4: chukka has no options for this SMBIOS structure")
        .hints("type=11,value=TEXT");
}

#[test]
fn a_credential_s_name_is_checked() {
    refused(&["-credential", "a/b=c"])
        .says("-credential a/b: expected a name of 1 to 255 printable ASCII characters");
    refused(&["--credential", "secret"]).says("-credential secret: expected NAME=VALUE");
}

#[test]
fn a_versioned_machine_is_refused_with_the_plain_one() {
    refused(&["-M", "pc-i440fx-7.2"])
        .says("-machine pc-i440fx-7.2: chukka's pc has no versions")
        .hints("use -machine pc");
}
