//! Flash chips (`-drive if=pflash`): what firmware programs is in the file, and programs keep each
//! other away from it.

use std::path::Path;

use chukka_tests::native::flash_guest::{Op, erase, image, program};
use chukka_tests::native::{self, Scratch, Start, start};

/// Bytes of the chip that the firmware of these tests writes to.
const SIZE: u32 = 16 << 10;

/// A file for that chip, all erased.
fn chip(scratch: &Scratch) -> std::path::PathBuf {
    scratch.file("vars.fd", &vec![0xff; 16 << 10])
}

/// chukka with firmware that executes `ops` on `chip`, which is opened with more `options`.
fn firmware(scratch: &Scratch, ops: &[Op], chip: &Path, options: &str) -> Start {
    let code = scratch.file("code.fd", &image(ops, SIZE));
    let unit = |number: u8, path: &Path, options: &str| {
        format!("if=pflash,unit={number},format=raw,file={}{options}", path.display())
    };
    start(["-machine", "pc", "-m", "16M", "-drive"])
        .args([unit(1, chip, options)])
        .args(["-drive"])
        .args([unit(0, &code, ",readonly=on")])
}

/// Runs it to its power-off, and returns what it printed.
fn output(start: &Start) -> String {
    let ended = start.run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("chukka: the guest powered off"), "{ended:?}");
    ended.text()
}

#[test]
fn firmware_programs_and_erases_the_chip_and_its_file() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let path = chip(&scratch);
    let mut ops = program(0x1ffe, b"four");
    ops.extend([0x1ffd, 0x1ffe, 0x2001].map(Op::Read));
    // The CFI signature, the status register; a buffer of two bytes.
    ops.extend([Op::Write(0, 0x98), Op::Read(0x10), Op::Write(0, 0x70), Op::Read(0)]);
    let buffer = [0xe8, 1, b'o', b'k', 0xd0, 0xff];
    ops.extend((0..).zip(buffer).map(|(at, byte)| Op::Write(0x3000 + at % 256, byte)));
    ops.extend([Op::Read(0x3002), Op::Read(0x3003)]);
    assert_eq!(output(&firmware(&scratch, &ops, &path, "")), "ff 66 72 51 80 6f 6b ");
    let file = std::fs::read(&path).unwrap();
    assert_eq!((&file[0x1ffe..0x2002], &file[0x3002..0x3004]), (&b"four"[..], &b"ok"[..]));
    assert_eq!(file.iter().filter(|byte| **byte != 0xff).count(), 6);

    let mut ops = vec![Op::Read(0x2000)];
    ops.extend(erase(0x2abc));
    ops.extend([Op::Read(0x2000), Op::Read(0x1fff)]);
    assert_eq!(output(&firmware(&scratch, &ops, &path, "")), "75 ff 6f ");
    let file = std::fs::read(&path).unwrap();
    assert_eq!((&file[0x1ffe..0x2002], &file[0x3002..0x3004]), (&b"fo\xff\xff"[..], &b"ok"[..]));
}

#[test]
fn a_reset_of_the_machine_keeps_what_was_programmed_and_returns_to_array_mode() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let path = chip(&scratch);
    let mut ops = vec![Op::Read(0), Op::PowerOffIf(0, 0x42)];
    ops.extend([Op::Write(0, 0x10), Op::Write(0, 0x42), Op::Reset]);
    assert_eq!(output(&firmware(&scratch, &ops, &path, "")), "ff 42 ");
}

#[test]
fn the_file_is_not_written_to_when_it_is_read_only_or_for_a_snapshot() {
    if !native::kvm() {
        return;
    }
    for (options, expected) in [(",readonly=on", "90 ff "), (",snapshot=on", "80 01 ")] {
        let scratch = Scratch::new();
        let path = scratch.file_with_mode("vars.fd", &[0xff; 16 << 10], 0o444);
        let mut ops = program(5, &[1]);
        ops.extend([Op::Write(5, 0x70), Op::Read(5), Op::Write(5, 0xff), Op::Read(5)]);
        assert_eq!(output(&firmware(&scratch, &ops, &path, options)), expected, "{options}");
        assert_eq!(std::fs::read(&path).unwrap(), [0xff; 16 << 10], "{options}");
    }
}

/// What firmware has programmed is in the file even if chukka is killed: each dot stands for 16
/// bytes, and the bytes after the last ones that were written are still erased.
#[test]
fn a_killed_process_loses_nothing_that_the_firmware_has_programmed() {
    if !native::kvm() {
        return;
    }
    for dots in [1, 40, 170] {
        let scratch = Scratch::new();
        let path = chip(&scratch);
        let mut ops = Vec::new();
        for group in 0u8..255 {
            ops.extend(program(16 * u16::from(group), &[group; 16]));
            ops.push(Op::Print(b'.'));
        }
        ops.push(Op::Reset);
        let chukka = firmware(&scratch, &ops, &path, "").args(["-no-reboot"]).start();
        chukka.wait_for(&".".repeat(dots));
        chukka.signal(libc::SIGKILL);
        let ended = chukka.wait();
        let told = ended.text().matches('.').count();
        let file = std::fs::read(&path).unwrap();
        let written = file.iter().position(|byte| *byte == 0xff).unwrap();
        assert!(told >= dots && written >= 16 * told, "{told} dots, {written} bytes");
        assert!((0..written).all(|at| usize::from(file[at]) == at / 16), "in order");
        assert!(file[written..].iter().all(|byte| *byte == 0xff), "nothing later is there");
    }
}

#[test]
fn a_chip_that_another_guest_uses_is_refused() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let path = chip(&scratch);
    let ops = [vec![Op::Print(b'.'), Op::Write(0, 0x70)], vec![Op::Read(0); 200_000]].concat();
    let running = firmware(&scratch, &ops, &path, "").start();
    running.wait_for(".");
    let other = Scratch::new();
    firmware(&other, &[], &path, "")
        .refused()
        .says(&format!("The flash chip of unit 1: The disk {} is in use by chukka", path.display()))
        .hints("give each guest its own copy of the firmware's variables");
    running.signal(libc::SIGTERM);
    assert_eq!(running.wait().signal(), Some(libc::SIGTERM));
}

#[test]
fn images_that_cannot_be_used_are_refused_by_name() {
    let scratch = Scratch::new();
    let code = scratch.file("code.fd", &image(&[], SIZE));
    let good = chip(&scratch);
    let odd = scratch.file("odd.fd", &[0xff; 5120]);
    let empty = scratch.file("empty.fd", b"");
    let pair = |first: &Path, second: &Path| {
        start(["-machine", "pc", "-pflash"]).args([first]).args(["-pflash"]).args([second])
    };
    let missing = scratch.path("missing.fd");
    let template = "make a copy of the firmware's template";
    for (first, second, message, hint) in [
        (&code, &missing, "The flash chip of unit 1: Cannot open the disk", template),
        (&missing, &good, "The flash chip of unit 0: Cannot open the disk", "apt install ovmf"),
        (
            &code,
            &odd,
            "odd.fd' has 5120 bytes, expected a multiple of 4096",
            "unmodified firmware image",
        ),
        (&code, &empty, "empty.fd is empty", template),
        (&good, &code, "vars.fd' has no reset vector", "the first is the one with the code"),
    ] {
        pair(first, second).refused().says(message).hints(hint);
    }
    start(["-machine", "microvm", "-pflash"])
        .args([&code])
        .refused()
        .says("-drive if=pflash: the machine microvm has no flash chips")
        .hints("add -machine pc");
}
