//! `-pflash` and `-drive if=pflash`.

use super::{refusal, request};
use crate::request::DiskConfig;

fn flash(words: &[&str]) -> Vec<(String, bool, bool)> {
    let words = ["-machine", "pc"].iter().chain(words).copied().collect::<Vec<_>>();
    let request = request(&words);
    assert_eq!(request.disks, []);
    let firmware = request.vm.firmware.expect("the flash chips have it");
    assert_eq!(firmware.bios, None);
    let of = |chip: DiskConfig| {
        (chip.path.display().to_string(), chip.options.read_only, chip.options.snapshot)
    };
    request.flash.into_iter().map(of).collect()
}

fn chip(path: &str, read_only: bool, snapshot: bool) -> (String, bool, bool) {
    (path.to_owned(), read_only, snapshot)
}

#[test]
fn chips_are_in_the_order_of_their_units() {
    let code = "if=pflash,format=raw,readonly=on,file=code";
    let vars = "if=pflash,format=raw,file=vars";
    let pair = [chip("code", true, false), chip("vars", false, false)];
    assert_eq!(flash(&["-drive", code, "-drive", vars]), pair);
    let (unit_0, unit_1) = (format!("{code},unit=0"), format!("{vars},unit=1"));
    assert_eq!(flash(&["-drive", &unit_1, "-drive", &unit_0]), pair);
    assert_eq!(flash(&["-drive", &unit_1, "-drive", code]), pair, "the free one");
    let plain = [chip("a", false, false), chip("b", false, false)];
    assert_eq!(flash(&["-pflash", "a", "-pflash", "b"]), plain);
    assert_eq!(flash(&["-snapshot", "-pflash", "a"]), [chip("a", false, true)]);
    assert_eq!(flash(&["-drive", "if=pflash,snapshot=on,file=a"]), [chip("a", false, true)]);
}

#[test]
fn what_cannot_be_a_chip_is_refused() {
    let on_pc = |words: &[&str]| {
        let words = ["-machine", "pc"].iter().chain(words).copied().collect::<Vec<_>>();
        refusal(&words)
    };
    for (words, expected, expected_hint) in [
        (&["-drive", "if=pflash"][..], "expected a file", "OVMF_CODE.fd"),
        (&["-pflash", "a", "-pflash", "b", "-pflash", "c"], "at most 2 flash chips", "OVMF_VARS"),
        (&["-drive", "if=pflash,unit=1,file=a"], "expected a unit 0", "OVMF_CODE.fd"),
        (&["-drive", "if=pflash,unit=2,file=a"], "unit=2: expected 0, the code", ""),
        (&["-drive", "if=pflash,format=vmdk,file=a"], "raw and qcow2 disks", "qemu-img convert"),
        (&["-pflash", "a", "-bios", "seabios"], "-bios seabios: the flash chips", "leave one"),
    ] {
        let (text, hint) = on_pc(words);
        assert!(text.contains(expected) && hint.contains(expected_hint), "{text}\n{hint}");
    }
    assert_eq!(
        request(&["-pflash", "a"]).vm.machine,
        vmm::config::MachineKind::Pc,
        "only pc has flash chips"
    );
    let (text, hint) = refusal(&["-machine", "microvm", "-pflash", "a"]);
    assert_eq!(text, "-drive if=pflash: the machine microvm has no flash chips");
    assert_eq!(hint, "add -machine pc");
}
