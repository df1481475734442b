use super::*;
use crate::job::Input;

fn quiet(job: &Job) -> Report {
    run(job, &mut |_| {})
}

#[test]
fn keeps_the_streams_apart_and_the_status() {
    let report = quiet(&Job::shell("echo out; echo err >&2; exit 7"));
    assert_eq!(report.status, Status::Exit(7));
    assert_eq!((report.stdout().as_str(), report.stderr().as_str()), ("out\n", "err\n"));
    assert!(report.max_rss_kib > 0);
}

#[test]
fn kills_the_whole_group_when_time_is_over() {
    let mut job = Job::shell("echo begun; sleep 60 & sleep 60");
    job.timeout = Duration::from_millis(200);
    let report = quiet(&job);
    assert_eq!(report.status, Status::Timeout);
    assert_eq!(report.stdout(), "begun\n");
    assert!(report.elapsed < Duration::from_secs(10), "{:?}", report.elapsed);
}

#[test]
fn answers_what_it_sees() {
    let job = Job::shell("echo name?; read n; echo hello $n; read n; echo bye $n")
        .when("name?", Act::Send(b"you\n".to_vec()))
        .when("hello you", Act::Send(b"me\n".to_vec()));
    let report = quiet(&job);
    assert_eq!(report.stdout(), "name?\nhello you\nbye me\n");
    assert_eq!((report.status, report.steps_left), (Status::Exit(0), 0));
}

#[test]
fn sends_signals_and_takes_marks() {
    let job =
        Job::shell("trap 'echo caught; exit 4' TERM; echo ready; while :; do sleep 0.01; done")
            .mark("ready")
            .when("ready", Act::Signal(libc::SIGTERM));
    let report = quiet(&job);
    assert_eq!(report.status, Status::Exit(4));
    assert!(report.stdout().ends_with("caught\n"));
    assert!(report.mark("ready").is_some_and(|mark| mark.ns > 0));
}

#[test]
fn a_terminal_has_flags_and_an_input() {
    let job = Job::shell("stty raw -echo; echo ready; head -c 1 >/dev/null; echo done")
        .terminal()
        .mark("ready")
        .when("ready", Act::Send(b"\x03".to_vec()));
    let report = quiet(&job);
    assert_eq!(report.status, Status::Exit(0), "{}", report.merged());
    let flags = report.terminal.as_ref().unwrap();
    assert!(flags.before.contains("isig icanon echo"), "{}", flags.before);
    assert!(flags.after.contains("-isig -icanon -echo"), "{}", flags.after);
    assert_eq!(report.mark("ready").unwrap().terminal.as_ref(), Some(&flags.after));
}

#[test]
fn takes_bytes_files_and_limits() {
    let folder = std::env::temp_dir().join(format!("chukka-exec-{}", std::process::id()));
    let path = folder.join("a/b").to_string_lossy().into_owned();
    let mut job = Job::shell(&format!("cat - {path}; ulimit -n"))
        .input(Input::Bytes(b"in ".to_vec()))
        .file(&path, b"file\n");
    job.limits = vec![("nofile".into(), 77)];
    assert_eq!(quiet(&job).stdout(), "in file\n77\n");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn says_why_a_job_did_not_start() {
    let report = quiet(&Job::new(["/nonexistent/program"]));
    let Status::NotStarted(why) = &report.status else { panic!("{:?}", report.status) };
    assert!(why.contains("/nonexistent/program") && why.contains("No such file"), "{why}");
}

#[test]
fn lines_have_times() {
    let report = quiet(&Job::shell("echo a; sleep 0.1; printf 'b\\nc'"));
    let lines = report.lines();
    let texts: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    // The first line may have been read late.
    assert!(lines[0].0 <= lines[1].0, "{lines:?}");
    assert!(lines[1].0 >= Duration::from_millis(90), "{lines:?}");
}
