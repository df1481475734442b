//! Network cards in the boot order.

use super::{Boot, PC, bootable, boots, boots_by_default, drive, strs};

/// A boot ROM of a network card: `code` is its bootstrap entry vector, and prints the four letters
/// of its name. It stands in for iPXE's, which takes many seconds here, and interrupts that this
/// host's KVM may not emulate.
fn boot_rom(name: &str, code: &[u8]) -> Vec<u8> {
    let mut rom = vec![0; 512];
    rom[..4].copy_from_slice(&[0x55, 0xaa, 1, 0xcb]); // its initialization is a far return
    rom[0x1a] = 0x20;
    rom[0x20..0x26].copy_from_slice(b"$PnP\x01\x02");
    rom[0x35] = 0x04; // a device to boot from
    rom[0x3a] = 0x40; // the bootstrap entry vector
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    rom[0x29] = 0u8.wrapping_sub(sum(&rom[0x20..0x40]));
    rom[0x40..0x40 + code.len()].copy_from_slice(code);
    rom[0x80..0x84].copy_from_slice(name.as_bytes());
    rom[5] = 0u8.wrapping_sub(sum(&rom));
    rom
}

/// The code of such a ROM: prints its name on port 0x402, and ends with status 33 by port 0xf4.
const ROM_CODE: [u8; 20] = [
    0x0e, 0x1f, 0xbe, 0x80, 0x00, // push cs; pop ds; mov si, 0x80
    0xb9, 0x04, 0x00, 0xba, 0x02, 0x04, 0xfc, 0xf3, 0x6e, // to port 0x402: rep outsb
    0xb0, 0x10, // mov al, 0x10
    0xe6, 0xf4, // out 0xf4, al
    0xf4, 0x90, // hlt
];

/// The same, but it resets the machine by port 0xcf9 instead of ending it.
fn resetting_rom() -> Vec<u8> {
    let mut code = ROM_CODE.to_vec();
    code.splice(14.., [0xb0, 0x06, 0xba, 0xf9, 0x0c, 0xee, 0xf4]);
    code
}

/// A network card with the boot ROM `rom`, and more properties.
fn card(properties: &str) -> [String; 4] {
    let device = format!("virtio-net,netdev=n0,romfile=@rom{properties}");
    ["-netdev".into(), "user,id=n0".into(), "-device".into(), device]
}

impl Boot {
    /// The boot ROM of a network card was booted.
    #[track_caller]
    fn assert_booted_rom(&self, name: &str) -> &Self {
        assert!(self.log.ends_with(name.as_bytes()), "{name} was not booted: {}", self.text());
        assert_eq!(self.ended.code(), Some(33), "{}", self.text());
        self
    }
}

/// The machine is pc because a card's boot ROM needs PCI, and the firmware SeaBIOS.
#[test]
fn a_network_card_alone_is_booted_from() {
    let files = [("rom", boot_rom("rom.", &ROM_CODE))];
    let Some(boot) = boots_by_default(&files, &strs(&card(""))) else { return };
    boot.assert_booted_rom("rom.");
}

#[test]
fn the_order_puts_the_network_before_or_behind_the_disk() {
    let files = [("rom", boot_rom("rom.", &ROM_CODE)), ("disk", bootable("disk"))];
    let card = card("");
    let words =
        |order: &'static str| [&strs(&card), &["-hda", "@disk", "-boot", order][..]].concat();
    let Some(boot) = boots_by_default(&files, &words("n")) else { return };
    boot.assert_booted_rom("rom.");
    let Some(boot) = boots_by_default(&files, &words("cn")) else { return };
    boot.assert_booted("disk");
}

#[test]
fn once_boots_from_the_network_the_first_time_and_from_the_disk_from_then_on() {
    let files = [("rom", boot_rom("rom.", &resetting_rom())), ("disk", bootable("disk"))];
    let card = card("");
    let words = [&strs(&card), &["-hda", "@disk", "-boot", "order=c,once=n"][..]].concat();
    let Some(boot) = boots_by_default(&files, &words) else { return };
    let from_card = boot.log.windows(4).any(|printed| printed == b"rom.");
    assert!(from_card, "the card was not booted from: {}", boot.text());
    boot.assert_booted("disk");
}

/// A disk without a boot sector comes first, then the second of two cards.
#[test]
fn network_cards_have_boot_indices() {
    let files = [("rom", boot_rom("rom.", &ROM_CODE)), ("none", vec![0; 1 << 20])];
    let (card, none) = (card(",bootindex=2"), drive("none", 1));
    let words = [&strs(&card), &["-nic", "user"][..], &strs(&none)].concat();
    let Some(boot) = boots_by_default(&files, &words) else { return };
    boot.assert_booted_rom("rom.")
        .assert_logged("1: /pci@i0cf8/scsi@5/disk@0,0")
        .assert_logged("2: /pci@i0cf8/ethernet@4/ethernet-phy@0")
        .assert_logged("Boot failed: not a bootable disk");
}

/// It costs seconds at each boot.
#[test]
fn a_card_has_no_boot_rom_unless_one_is_asked_for() {
    let files = [("disk", bootable("disk"))];
    let words = ["-M", "pc", "-nic", "user", "-hda", "@disk"];
    let Some(boot) = boots_by_default(&files, &words) else { return };
    boot.assert_booted("disk");
    assert!(!boot.text().contains("Running option rom"), "{}", boot.text());
}

#[test]
fn an_option_rom_is_booted_by_its_own_name() {
    let files = [("rom.bin", boot_rom("rom.", &ROM_CODE)), ("disk", bootable("disk"))];
    let words = ["-M", "pc", "-hda", "@disk", "-option-rom", "@rom.bin,bootindex=0"];
    let Some(boot) = boots(PC, &files, &words) else { return };
    boot.assert_booted_rom("rom.").assert_logged("1: /rom@genroms/rom.bin");
}
