//! An initrd that is changed once the guest has it.

use chukka_tests::native::changing::{CHANGES, Change, Initrd, LONG, Way};
use chukka_tests::native::{self, Chukka, Input, Scratch};

/// Starts the guest, waits until it has the initrd, and checks that this is mapped.
fn running(way: Way, initrd: &Initrd, words: &[&str]) -> Option<Chukka> {
    let start = way.start("")?.args(initrd.words()).args(words);
    let mut chukka = start.input(Input::Pipe).start();
    chukka.wait_for_within("ready", LONG);
    assert!(chukka.maps(&initrd.path), "it is mapped, or this tests nothing");
    chukka.send(b"=");
    chukka.wait_for(&initrd.sum);
    Some(chukka)
}

/// Changes the initrd under the guest, which goes on with what it had.
fn change(chukka: &mut Chukka, initrd: &Initrd, how: Change) {
    initrd.change(how);
    assert!(!chukka.maps(&initrd.path), "it is copied");
    chukka.send(b"=");
    chukka.wait_for(&initrd.sum.repeat(2));
}

fn power_off(mut chukka: Chukka) {
    chukka.send(b"P");
    let ended = chukka.wait_within(LONG);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.starts_with("chukka: the guest powered off"), "not a word: {ended:?}");
}

#[test]
fn a_guest_booted_directly_never_sees_it() {
    if !native::kvm() {
        return;
    }
    for (how, cpus) in CHANGES.into_iter().zip(["1", "4", "4"]) {
        let scratch = Scratch::new();
        let initrd = Initrd::new(&scratch);
        let Some(mut chukka) = running(Way::Direct, &initrd, &["-smp", cpus]) else { return };
        change(&mut chukka, &initrd, how);
        power_off(chukka);
    }
}

#[test]
fn a_guest_booted_by_the_built_in_firmware_never_sees_it_and_gets_an_error_when_it_asks_again() {
    if !native::kvm() {
        return;
    }
    for (how, cpus) in CHANGES.into_iter().zip(["4", "1", "4"]) {
        let scratch = Scratch::new();
        let initrd = Initrd::new(&scratch);
        let Some(mut chukka) = running(Way::Builtin, &initrd, &["-smp", cpus]) else { return };
        change(&mut chukka, &initrd, how);
        asks_again(&mut chukka, &initrd);
        power_off_after_a_word(chukka, &initrd);
    }
}

/// Has the guest transfer the initrd once more: it gets ERROR.
fn asks_again(chukka: &mut Chukka, initrd: &Initrd) {
    chukka.send(b"@");
    chukka.wait_for(&format!("{}1", initrd.sum.repeat(2)));
}

fn power_off_after_a_word(mut chukka: Chukka, initrd: &Initrd) {
    chukka.send(b"P");
    let ended = chukka.wait_within(LONG);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let warning = format!(
        "the guest cannot read INITRD_DATA through fw_cfg: '{}': it ",
        initrd.path.display()
    );
    assert!(ended.stderr.contains(&warning), "{ended:?}");
}

#[test]
fn a_guest_booted_by_seabios_never_sees_that_it_is_cut_and_gets_an_error_when_it_asks_again() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let initrd = Initrd::new(&scratch);
    let Some(mut chukka) = running(Way::SeaBios, &initrd, &[]) else { return };
    change(&mut chukka, &initrd, Change::Cut);
    asks_again(&mut chukka, &initrd);
    power_off_after_a_word(chukka, &initrd);
}

#[test]
fn a_guest_booted_by_seabios_never_sees_that_it_is_rewritten_and_cannot_have_it_after_a_reboot() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let initrd = Initrd::new(&scratch);
    let words = ["-machine", "pc", "-smp", "4"];
    let Some(mut chukka) = running(Way::SeaBios, &initrd, &words) else { return };
    change(&mut chukka, &initrd, Change::Rewritten);
    chukka.send(b"R");
    chukka.wait_for_within("chukka: cannot load the initrd: fw_cfg DMA error", LONG);
    let named =
        format!("through fw_cfg: '{}': it was modified after it was opened", initrd.path.display());
    chukka.wait_for_error(&named);
    chukka.signal(libc::SIGTERM);
    assert!(chukka.wait_within(LONG).code().is_none(), "SeaBIOS goes on with its next device");
}

#[test]
fn it_cannot_be_had_after_a_reboot_and_is_named() {
    if !native::kvm() {
        return;
    }
    for (way, how) in
        [Way::Direct, Way::Builtin].into_iter().flat_map(|way| CHANGES.map(|how| (way, how)))
    {
        let scratch = Scratch::new();
        let initrd = Initrd::new(&scratch);
        let Some(mut chukka) = running(way, &initrd, &[]) else { return };
        change(&mut chukka, &initrd, how);
        chukka.send(b"R");
        let ended = chukka.wait();
        assert_eq!(ended.code(), Some(125), "{way:?}, {how:?}: {ended:?}");
        let why = match how {
            Change::Cut => "it now ends at byte 1048576, before byte 20971520",
            Change::Emptied => "it now ends at byte 3, before byte 20971520",
            Change::Rewritten => "it was modified after it was opened",
        };
        let path = initrd.path.display();
        let (first, last) = match way {
            Way::Direct => (format!("Cannot load '{path}' into guest memory: {why}"), "hint: "),
            _ => (
                format!("the guest cannot read INITRD_DATA through fw_cfg: '{path}': {why}"),
                "the firmware could not boot: initrd: fw_cfg DMA error",
            ),
        };
        assert!(ended.stderr.contains(&first), "{way:?}, {how:?}: {ended:?}");
        assert!(ended.stderr.contains(last), "{way:?}, {how:?}: {ended:?}");
    }
}

#[test]
fn one_written_anew_under_its_name_does_not_matter_to_the_guest_or_its_reboot() {
    if !native::kvm() {
        return;
    }
    for way in [Way::Direct, Way::Builtin] {
        let scratch = Scratch::new();
        let initrd = Initrd::new(&scratch);
        let Some(mut chukka) = running(way, &initrd, &[]) else { return };
        std::fs::rename(scratch.file("new", b"new"), &initrd.path).unwrap();
        chukka.send(b"=R");
        let sum = &initrd.sum;
        chukka.wait_for(&format!("{sum}{sum}ready"));
        chukka.send(b"=P");
        let ended = chukka.wait();
        assert_eq!(ended.code(), Some(0), "{way:?}: {ended:?}");
        assert!(ended.text().ends_with(&format!("ready\r\n{sum}")), "{way:?}: {ended:?}");
    }
}

#[test]
fn a_kernel_that_the_built_in_firmware_has_booted_may_change() {
    if !native::kvm() {
        return;
    }
    // It is read, not mapped: nobody has to wait at all.
    let scratch = Scratch::new();
    let kernel = scratch.file("kernel", &native::guest::bzimage(""));
    let start = native::Start::kernel(&kernel).args(["-bios", "builtin", "-m", "64M"]);
    let mut chukka = start.input(Input::Pipe).start();
    chukka.wait_for("ready");
    std::fs::write(&kernel, b"").unwrap();
    chukka.send(b"DP");
    let ended = chukka.wait();
    assert_eq!((ended.code(), &*ended.text()), (Some(0), "ready\r\ndone\r\n"), "{ended:?}");
}
