//! The command line itself. (Every option's values are tested where they are read, in `vmm::cli`.)

use chukka_tests::native::{Scratch, Start, start};

#[test]
fn an_option_of_qemu_s_is_refused_by_name() {
    start(["-kernel", "k", "-fda", "disk.img"])
        .refused()
        .says("-fda is a QEMU option that chukka does not have")
        .hints("chukka has no floppy drive");
    start(["-kernel", "k", "-usb"]).refused().says("-usb is a QEMU option");
}

#[test]
fn a_misspelt_option_is_refused_with_the_nearest() {
    start(["-kernal", "k"])
        .refused()
        .says("-kernal is not an option of chukka")
        .hints("did you mean -kernel?");
    start(["--no-rebot"]).refused().hints("did you mean -no-reboot?");
}

#[test]
fn no_kernel_is_refused_with_an_example() {
    start([""; 0])
        .refused()
        .says("There is no kernel to boot: -kernel is missing")
        .hints("for example: chukka -kernel ");
    start(["-m", "512", "-nographic"]).refused().says("-kernel is missing");
}

#[test]
fn an_invalid_value_is_refused_with_the_expected_form() {
    start(["-kernel", "k", "-m", "lots"]).refused().says("-m lots: expected a size such as");
    start(["-kernel", "k", "-serial", "tty"]).refused().says("expected stdio, mon:stdio, file:");
    start(["-kernel", "k", "-append"]).refused().says("-append needs a value: -append");
}

/// Each with its hint; the report has them as well.
#[test]
fn all_errors_of_a_command_line_are_reported_at_once() {
    let scratch = Scratch::new();
    let report = scratch.path("r.json");
    let words = ["-m", "5x", "-kernel", "k", "-smp", "0", "-vga", "std", "-foo"];
    let ended = start(words).args([std::ffi::OsStr::new("-json"), report.as_os_str()]).run();
    assert_eq!(ended.code(), Some(125), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    let expected = [
        "chukka: -m 5x: expected a size",
        "hint: chukka -help shows",
        "chukka: -smp 0: expected a number",
        "hint: a guest has one CPU",
        "chukka: -vga std: chukka has no graphics card",
        "hint: use -vga none",
        "chukka: -foo is not an option of chukka",
        "hint: ",
    ];
    assert_eq!(lines.len(), expected.len(), "{ended:?}");
    assert!(lines.iter().zip(expected).all(|(line, start)| line.starts_with(start)), "{lines:#?}");
    let report = std::fs::read_to_string(report).unwrap_or_default();
    assert!(report.contains("below 2^64 bytes; -smp 0: "), "{report}");
}

#[test]
fn an_output_file_that_cannot_be_created_is_refused() {
    let scratch = Scratch::new();
    if !chukka_tests::native::kvm() {
        return;
    }
    Start::guest("P")
        .args(["-serial", "file:/nonexistent/log"])
        .refused()
        .says("Cannot create '/nonexistent/log' for the output of -serial: No such file")
        .hints("directory exists");
    let folder = format!("file:{}", scratch.as_ref().display());
    Start::guest("P").args(["-serial", &folder]).refused().says("Is a directory");
}
