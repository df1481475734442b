//! The lab itself: what it promises to the tests that stand on it.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is how a test fails, in its helpers too"
)]

use std::sync::OnceLock;
use std::time::Duration;

use chukka_tests::guest::{self, MARKER};
use chukka_tests::job::{Act, Input, Job, Report, Status};
use chukka_tests::lab::{self, Lab};
use chukka_tests::{Result, assets, pack};

/// The lab of these tests, even where the host could do without.
fn lab() -> Option<&'static Lab> {
    static LAB: OnceLock<Result<Lab>> = OnceLock::new();
    assets::or_skip(assets::cloud())?;
    match LAB.get_or_init(|| Lab::start(lab::usual_memory_mib())) {
        Ok(lab) => Some(lab),
        Err(error) => panic!("{error}"),
    }
}

fn run(lab: &Lab, job: &Job) -> Report {
    lab.run(job, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"))
}

/// QEMU as the inner machine, with the usual initrd.
fn qemu(append: &str) -> Job {
    let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let kernel = assets::cloud().unwrap().vmlinuz;
    let initrd = guest::initrd().unwrap();
    let qemu = pack::which("qemu-system-x86_64").expect("set-up brings QEMU");
    let job = Job::new([
        path(qemu.clone()).as_str(),
        "-M",
        "pc",
        "-accel",
        "kvm",
        "-m",
        "256",
        "-nographic",
    ])
    .mark(MARKER)
    .need(&qemu)
    .need(&kernel)
    .need(&initrd);
    let mut command = job.command.clone();
    command.extend(["-no-reboot", "-nodefaults", "-serial", "stdio", "-kernel"].map(String::from));
    command.extend([path(kernel), "-initrd".into(), path(initrd), "-append".into()]);
    command.push(format!("console=ttyS0 quiet panic=-1 {append}"));
    Job { command, ..job }
}

#[test]
fn a_job_gives_its_output_and_its_status() {
    let Some(lab) = lab() else { return };
    let report = run(lab, &Job::shell("echo out; echo err >&2; exit 42"));
    assert_eq!(report.status, Status::Exit(42));
    assert_eq!((report.stdout().as_str(), report.stderr().as_str()), ("out\n", "err\n"));
}

#[test]
fn a_job_ended_by_a_signal_says_which() {
    let Some(lab) = lab() else { return };
    assert_eq!(run(lab, &Job::shell("kill -SEGV $$")).status, Status::Signal(libc::SIGSEGV));
}

#[test]
fn a_job_without_end_is_killed_in_time_and_the_lab_goes_on() {
    let Some(lab) = lab() else { return };
    let report = run(lab, &Job::shell("echo begun; sleep 1000").timeout_secs(1));
    assert_eq!(report.status, Status::Timeout);
    assert_eq!(report.stdout(), "begun\n");
    assert_eq!(run(lab, &Job::shell("true")).status, Status::Exit(0));
}

#[test]
fn a_job_that_cannot_start_says_why() {
    let Some(lab) = lab() else { return };
    let Status::NotStarted(why) = run(lab, &Job::new(["/no/such/program"])).status else {
        panic!()
    };
    assert!(why.contains("No such file"), "{why}");
}

#[test]
fn input_can_be_given_at_once_or_as_an_answer() {
    let Some(lab) = lab() else { return };
    let report = run(lab, &Job::shell("cat").input(Input::Bytes(b"\x00\xff given".to_vec())));
    assert_eq!(report.bytes(chukka_tests::job::Stream::Out), b"\x00\xff given");

    let job = Job::shell("echo 'name?'; read n; echo \"hello $n\"; read n; echo \"bye $n\"")
        .when("name?", Act::Send(b"you\n".to_vec()))
        .when("hello you", Act::Send(b"me\n".to_vec()));
    assert_eq!(run(lab, &job).stdout(), "name?\nhello you\nbye me\n");
}

#[test]
fn a_signal_can_be_sent_when_something_is_seen() {
    let Some(lab) = lab() else { return };
    let job =
        Job::shell("trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.1; done")
            .when("ready", Act::Signal(libc::SIGTERM));
    let report = run(lab, &job);
    assert_eq!(report.status, Status::Exit(5));
    assert_eq!(report.stdout(), "ready\ncaught\n");
}

#[test]
fn a_terminal_is_inspected_before_and_after() {
    let Some(lab) = lab() else { return };
    let job = Job::shell("stty raw -echo; echo ready; head -c 2; stty sane")
        .terminal()
        .mark("ready")
        .when("ready", Act::Send(b"\x01x".to_vec()));
    let report = run(lab, &job);
    assert_eq!(report.status, Status::Exit(0));
    assert!(report.stdout().contains("\x01x"), "{:?}", report.stdout());
    let raw = report.mark("ready").and_then(|mark| mark.terminal.clone()).unwrap();
    let flags = report.terminal.unwrap();
    assert!(raw.contains("-icanon -echo"), "{raw}");
    assert!(
        flags.before.contains(" icanon echo") && flags.after.contains(" icanon echo"),
        "{flags:?}"
    );
}

#[test]
fn files_limits_and_users_are_as_asked_for() {
    let Some(lab) = lab() else { return };
    let mut job =
        Job::shell("cat /tmp/new/file; ulimit -n; id -u; pwd").file("/tmp/new/file", b"text\n");
    job.limits = vec![("nofile".into(), 55)];
    job.user = Some(65534);
    job.folder = Some("/tmp/elsewhere".into());
    assert_eq!(run(lab, &job).stdout(), "text\n55\n65534\n/tmp/elsewhere\n");
}

#[test]
fn a_file_of_the_host_is_there_under_its_name_and_as_it_is_now() {
    let Some(lab) = lab() else { return };
    let path = std::env::temp_dir().join(format!("chukka-lab-{}", std::process::id()));
    let job = Job::shell(&format!("cat {}", path.display())).need(&path);
    for text in ["first", "second and longer"] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(run(lab, &job).stdout(), text);
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn kvm_in_the_lab_boots_a_kernel_and_its_exits_are_counted() {
    let Some(lab) = lab() else { return };
    let mut job = qemu("guest.run=poweroff");
    job.proc_files = vec!["smaps_rollup".into()];
    let report = run(lab, &job);
    let mark =
        report.mark(MARKER).unwrap_or_else(|| panic!("{:?}\n{}", report.status, report.merged()));
    assert_eq!(report.status, Status::Exit(0));
    let (then, whole) = (mark.counters["exits"], report.counters["exits"]);
    assert!(then > 1000 && whole >= then, "{then} of {whole}");
    assert!(mark.proc_files["smaps_rollup"].contains("Rss:"));
    assert!(report.elapsed >= Duration::from_nanos(mark.ns));
}

#[test]
fn counted_time_is_the_same_on_every_run() {
    if assets::or_skip(assets::cloud()).is_none() {
        return;
    }
    // As far as the firmware gets: real mode, option ROMs, a first message. That is enough to tell.
    let seen = "Booting from ROM";
    let job = qemu("").mark(seen).when(seen, Act::Signal(libc::SIGKILL));
    let jobs = [job, Job::shell("echo done")];
    let count = || lab::icount(&jobs, 1024).unwrap_or_else(|error| panic!("{error}"));

    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(count);
        let second = count();
        (first.join().unwrap(), second)
    });

    assert!(first[0].mark(seen).is_some_and(|mark| mark.counters["exits"] > 1000), "{first:?}");
    assert_eq!(first[1].stdout(), "done\n");
    assert_eq!(first, second);
}
