//! A kernel or initrd that is cut short while the guest runs: none of the guest's business, until
//! it boots again.

use std::fs::File;
use std::path::Path;

use chukka_tests::native::{self, Ended, Input, Scratch, Start, guest};

/// Big enough to be mapped and not read.
const BIG: u64 = 20 << 20;

fn cut(path: &Path, length: u64) {
    let file = File::options().write(true).open(path).expect("it is there");
    file.set_len(length).expect("it can be cut");
}

/// Starts it, cuts `path` short once the guest runs, and tells the guest to go on with `letter`.
fn run_and_cut(start: Start, path: &Path, letter: &[u8]) -> Ended {
    let mut chukka = start.input(Input::Pipe).start();
    chukka.wait_for("ready");
    cut(path, 1 << 20);
    chukka.send(letter);
    chukka.wait()
}

#[test]
fn an_initrd_cut_short_while_the_guest_runs_is_whole_for_the_guest_and_its_devices() {
    if !native::kvm() {
        return;
    }
    // `I`: the guest reads every page. `U`: a device writes to every page. More: `changing_files`.
    for letter in ["I", "U"] {
        let scratch = Scratch::new();
        let initrd = scratch.file("initrd", b"");
        cut(&initrd, BIG);
        let start = Start::guest("").args(["-initrd".as_ref(), initrd.as_path()]);
        let ended = run_and_cut(start, &initrd, format!("{letter}P").as_bytes());
        assert_eq!(ended.code(), Some(0), "{letter}: {ended:?}");
        assert_eq!(ended.text(), "ready\r\ndone\r\n", "{letter}: {ended:?}");
        assert!(ended.stderr.starts_with("chukka: the guest powered off"), "{letter}: {ended:?}");
    }
}

#[test]
fn a_kernel_cut_short_while_the_guest_runs_is_none_of_its_business() {
    if !native::kvm() {
        return;
    }
    // Kernels are read, not mapped, whatever their size.
    let scratch = Scratch::new();
    let kernel = scratch.file("kernel", &guest::kernel_of("", BIG));
    let ended = run_and_cut(Start::kernel(&kernel), &kernel, b"MP");
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stdout).contains("done"), "{ended:?}");
}

#[test]
fn a_kernel_cut_short_before_a_reboot_is_named() {
    if !native::kvm() {
        return;
    }
    for size in [BIG, 2 << 20] {
        let scratch = Scratch::new();
        let kernel = scratch.file("kernel", &guest::kernel_of("", size));
        let ended = run_and_cut(Start::kernel(&kernel), &kernel, b"R");
        assert_eq!(ended.code(), Some(125), "{ended:?}");
        let expected =
            format!("Cannot load '{}' into guest memory: it now ends at", kernel.display());
        assert!(ended.stderr.contains(&expected), "{ended:?}");
        assert!(ended.stderr.contains("\nhint: "), "{ended:?}");
    }
}

#[test]
fn a_kernel_written_anew_under_its_name_does_not_matter_to_the_guest() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let kernel = scratch.file("kernel", &guest::kernel_of("", BIG));
    let mut chukka = Start::kernel(&kernel).input(Input::Pipe).start();
    chukka.wait_for("ready");
    std::fs::rename(scratch.file("new", b"new"), &kernel).unwrap();
    chukka.send(b"MP");
    let ended = chukka.wait();
    assert_eq!((ended.code(), ended.text().as_str()), (Some(0), "ready\r\ndone\r\n"), "{ended:?}");
}

#[test]
fn what_a_guest_writes_into_a_mapped_file_s_pages_stays_out_of_the_file() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let content = guest::kernel_of("ZDP", BIG);
    let kernel = scratch.file("kernel", &content);
    let ended = Start::kernel(&kernel).run();
    assert_eq!((ended.code(), ended.text().as_str()), (Some(0), "done\r\n"), "{ended:?}");
    assert!(std::fs::read(&kernel).unwrap() == content, "the file has changed");
}
