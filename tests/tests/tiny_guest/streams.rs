//! Standard input and output that are not a terminal.

use chukka_tests::native::{self, Input, Output, Scratch, Start};

#[test]
fn a_file_on_standard_input_is_typed_to_the_guest() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    // Longer than any buffer on the way, and with Ctrl-A x in it, which means nothing here.
    let text = format!("{}\x01xP", "typed by a file. ".repeat(300));
    let input = Input::File(scratch.file("typed", text.as_bytes()));
    let ended = Start::guest("").input(input).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let expected = format!("ready\r\n{}", text.trim_end_matches('P'));
    assert!(ended.text() == expected, "{ended:?}");
}

#[test]
fn the_end_of_standard_input_is_not_the_end_of_the_guest() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let file = Input::File(scratch.file("typed", b"typed"));
    let folder = Input::File(scratch.as_ref().into());
    let runs = [file, folder, Input::Null, Input::Closed]
        .map(|input| (input.clone(), Start::guest("K").input(input).start()));
    for (input, chukka) in runs {
        let ended = chukka.wait();
        assert_eq!(ended.code(), Some(120), "{input:?}: {ended:?}");
    }
}

#[test]
fn a_closed_standard_output_is_not_an_error() {
    if !native::kvm() {
        return;
    }
    let ended = Start::guest("DDP").output(Output::Closed).run();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("the guest powered off"), "{ended:?}");
}

#[test]
fn output_goes_where_serial_says() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let log = scratch.path("log");
    let ended = Start::guest("DP").args(["-serial", &format!("file:{}", log.display())]).run();
    assert_eq!((ended.code(), ended.text().as_str()), (Some(0), ""), "{ended:?}");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "done\r\n");
    for nothing in ["null", "none"] {
        let ended = Start::guest("DP").args(["-serial", nothing]).run();
        assert_eq!((ended.code(), ended.text().as_str()), (Some(0), ""), "{ended:?}");
    }
}
