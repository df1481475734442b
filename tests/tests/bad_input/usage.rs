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
