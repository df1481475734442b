use super::*;

#[test]
fn survives_the_wire() {
    let job = Job::shell("cat")
        .file("/tmp/x", &[0, 0x80, 0xff, b'\n', b'"'])
        .mark("ready")
        .when("ready", Act::Send(b"\x01x".to_vec()))
        .timeout_secs(7);

    let wire = serde_json::to_string(&job).unwrap();

    assert!(!wire.contains('\n'), "one job is one line: {wire}");
    assert_eq!(serde_json::from_str::<Job>(&wire).unwrap(), job);
}

#[test]
fn sending_opens_an_input() {
    assert_eq!(Job::shell("cat").when("", Act::Send(b"a".to_vec())).input, Input::Open);
    assert_eq!(
        Job::shell("cat").terminal().when("", Act::Send(b"a".to_vec())).input,
        Input::Terminal
    );
    assert_eq!(Job::shell("cat").when("", Act::Signal(15)).input, Input::Null);
}

#[test]
fn a_line_is_quoted_as_a_shell_wants_it() {
    let job = Job::new(["chukka", "-append", "console=ttyS0 it's", "-m", "256", ""]);
    assert_eq!(job.line(), r"chukka -append 'console=ttyS0 it'\''s' -m 256 ''");
}
