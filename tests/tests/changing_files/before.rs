//! An initrd that is changed after chukka has opened it and before the guest has it: never is the
//! new taken for the old.

use std::fs::File;

use chukka_tests::native::changing::{CHANGES, Change, Initrd, LONG, Way};
use chukka_tests::native::{self, Chukka, Scratch};

/// Starts the guest, and changes the initrd while chukka waits for a reader of an output: when it
/// has opened all of its inputs, and loaded none.
fn start_and_change(way: Way, scratch: &Scratch, initrd: &Initrd, how: Change) -> Option<Chukka> {
    let fifo = scratch.fifo("fifo");
    let output = format!("file:{}", fifo.display());
    let chukka = way.start("=P")?.args(initrd.words()).args(["-debugcon", &output]).start();
    chukka.wait_until_it_has_opened(&initrd.path);
    initrd.change(how);
    File::open(&fifo).unwrap();
    Some(chukka)
}

#[test]
fn a_direct_boot_is_refused_with_its_name() {
    if !native::kvm() {
        return;
    }
    for how in CHANGES {
        let scratch = Scratch::new();
        let initrd = Initrd::new(&scratch);
        let Some(chukka) = start_and_change(Way::Direct, &scratch, &initrd, how) else { return };
        let ended = chukka.wait();
        assert_eq!((ended.code(), &*ended.text()), (Some(125), ""), "{how:?}: {ended:?}");
        let said =
            format!("chukka: Cannot load '{}' into guest memory: it ", initrd.path.display());
        assert!(ended.stderr.starts_with(&said), "{how:?}: {ended:?}");
        assert!(ended.stderr.contains("\nhint: did the file change"), "{how:?}: {ended:?}");
    }
}

#[test]
fn the_built_in_firmware_says_so_and_chukka_names_it() {
    if !native::kvm() {
        return;
    }
    for how in CHANGES {
        let scratch = Scratch::new();
        let initrd = Initrd::new(&scratch);
        let Some(chukka) = start_and_change(Way::Builtin, &scratch, &initrd, how) else { return };
        let ended = chukka.wait();
        assert_eq!(ended.code(), Some(125), "{how:?}: {ended:?}");
        assert_eq!(ended.text(), "chukka builtin: initrd: fw_cfg DMA error\r\n", "{how:?}");
        let said = format!("through fw_cfg: '{}': it ", initrd.path.display());
        assert!(ended.stderr.contains(&said), "{how:?}: {ended:?}");
        assert!(
            ended.stderr.contains("the firmware could not boot: initrd: fw_cfg DMA error"),
            "{how:?}: {ended:?}"
        );
    }
}

#[test]
fn under_seabios_the_option_rom_says_so_and_chukka_names_it() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let initrd = Initrd::new(&scratch);
    let changed = start_and_change(Way::SeaBios, &scratch, &initrd, Change::Rewritten);
    let Some(chukka) = changed else { return };
    chukka.wait_for_within("chukka: cannot load the initrd: fw_cfg DMA error", LONG);
    chukka.wait_for_error(&format!("through fw_cfg: '{}': it was modified", initrd.path.display()));
    chukka.signal(libc::SIGTERM);
    assert_eq!(chukka.wait_within(LONG).signal(), Some(libc::SIGTERM));
}
