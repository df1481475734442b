//! The table of endings: for each one the exit status, the line and the report of `-json`.

use chukka_tests::native::{self, Ended, Input, Scratch, Start, start};
use serde_json::Value;

/// A guest's script, words for chukka; then the status, the outcome's name in JSON, the beginning
/// of the line, and the evidence.
type Row =
    (&'static str, &'static [&'static str], u8, &'static str, &'static str, Option<&'static str>);

const OOPS: &str =
    "\"[    1.0] BUG: kernel NULL pointer dereference, address: 0000000000000000\r\n\"";
const OOPS_LINE: &str = "BUG: kernel NULL pointer dereference, address: 0000000000000000";
const WARNING: &str = "\"[    1.0] WARNING: CPU: 0 PID: 1 at kernel/fork.c:1 f+0x1/0x2\r\n\"";
const EXIT: &[&str] = &["-device", "isa-debug-exit,iobase=0xf4,pass=0x34"];
const PANIC_LINE: Option<&str> = Some("Kernel panic - not syncing: test");

#[rustfmt::skip]
const ENDINGS: [Row; 15] = [
    ("DP", &[], 0, "power-off", "the guest powered off (after ", None),
    ("DR", &["-no-reboot"], 0, "reset", "the guest asked for a reset (-no-reboot) (after ", None),
    ("DN", EXIT, 0, "debug-exit", "the guest ended by isa-debug-exit with status 0 (after ", None),
    ("DY", EXIT, 0x45, "debug-exit", "the guest ended by isa-debug-exit with status 69 ", None),
    ("L", &[], 120, "panic", "the guest's kernel panicked: Kernel panic - not syncing: test", PANIC_LINE),
    ("^", &["-device", "pvpanic"], 120, "panic", "the guest's kernel panicked: reported by pvpanic",
        Some("reported by pvpanic, without a message on a console")),
    ("T", &[], 121, "triple-fault", "the guest triple-faulted: CPU 0 ", None),
    ("E", &[], 122, "kvm-error", "KVM could not go on: internal error 1 ", None),
    ("P", &[], 123, "mute", "the guest powered off, and had printed nothing (after ", None),
    ("R", &["-no-reboot"], 123, "mute", "the guest asked for a reset (-no-reboot), and had printed nothing", None),
    ("P", &["-serial", "null"], 0, "power-off", "the guest powered off (after ", None),
    ("D~", &["-timeout", "1"], 124, "timeout", "the guest did not end in 1 s (-timeout)", None),
    ("D~", &["-silence", "1"], 124, "silence", "the guest printed nothing for 1 s (-silence)", None),
    ("LH", &["-action", "panic=none", "-timeout", "1"], 120, "panic", "the guest's kernel panicked: ", PANIC_LINE),
    ("DP", &["-fail-on", "oops,kasan,lockdep,warn"], 0, "power-off", "the guest powered off (after ", None),
];

/// Runs this, and returns the report that it wrote to a file, too.
fn reported(start: &Start) -> (Ended, Value) {
    let scratch = Scratch::new();
    let path = scratch.path("report.json");
    let ended = start.clone().args(["-json"]).args([&path]).run();
    let text = std::fs::read_to_string(&path).expect("chukka has created it");
    (ended, serde_json::from_str(&text).expect("it is JSON"))
}

/// Checks how a run ended, by its status, its line and its report.
fn check(start: &Start, status: u8, outcome: &str, line: &str) -> Value {
    let (ended, report) = reported(start);
    assert_eq!(ended.code(), Some(status.into()), "{ended:?}");
    let verdict = format!("chukka: {line}");
    let found = ended.stderr.lines().find(|said| said.starts_with(&verdict));
    let said = found.unwrap_or_else(|| panic!("{verdict}: {ended:?}"));
    assert_eq!(report["status"], status, "{report}");
    assert_eq!(report["outcome"], outcome, "{report}");
    assert_eq!(report["message"], said["chukka: ".len()..], "{report}");
    report
}

#[test]
fn each_ending_has_its_status_its_line_and_its_report() {
    if !native::kvm() {
        return;
    }
    for (script, words, status, outcome, line, evidence) in ENDINGS {
        let report = check(&Start::guest(script).args(words), status, outcome, line);
        assert_eq!(report["evidence"]["line"].as_str(), evidence, "{report}");
        assert_eq!(report["evidence"]["cpus"][0]["cpu"], 0, "{report}");
        assert_eq!(report["boots"], 1, "{report}");
        assert_eq!(report["printed"], script.contains(['D', 'L']), "{report}");
        assert!(report["guest_seconds"].as_f64() <= report["seconds"].as_f64(), "{report}");
        assert_eq!(report["ran"]["machine"], "microvm", "{report}");
        assert_eq!(report["ran"]["memory"], 64 << 20, "{report}");
    }
}

#[test]
fn a_problem_of_the_kernel_fails_the_run_only_if_that_was_asked_for() {
    if !native::kvm() {
        return;
    }
    let script = &format!("{WARNING}{OOPS}DP");
    check(&Start::guest(script), 0, "power-off", "the guest powered off (after ");
    let other = Start::guest(script).args(["-fail-on", "kasan"]);
    check(&other, 0, "power-off", "the guest powered off (after ");
    let line = format!("the guest's kernel reported an oops: {OOPS_LINE}; then the guest powered");
    let oops = check(&Start::guest(script).args(["-fail-on", "oops"]), 119, "oops", &line);
    assert_eq!(oops["evidence"]["line"], OOPS_LINE, "{oops}");
    assert_eq!(oops["then"], "power-off", "{oops}");
    // The first one counts.
    let both = Start::guest(script).args(["-fail-on", "oops,warn"]);
    check(&both, 116, "warn", "the guest's kernel reported a warning: WARNING: CPU: 0 PID: 1 ");
    // A panic overrules it, and it overrules a pass.
    let panicked = Start::guest(&format!("{OOPS}LP")).args(["-fail-on", "oops"]);
    check(&panicked, 120, "panic", "the guest's kernel panicked: ");
    let passed = Start::guest(&format!("{OOPS}N")).args(["-fail-on", "oops"]).args(EXIT);
    check(&passed, 119, "oops", "the guest's kernel reported an oops: ");
}

#[test]
fn a_hang_s_report_says_what_each_cpu_did() {
    if !native::kvm() {
        return;
    }
    let words = ["-machine", "pc", "-timeout", "2"];
    let line = "the guest did not end in 2 s (-timeout)";
    let report = check(&Start::guest("D:").args(words), 124, "timeout", line);
    let cpu = &report["evidence"]["cpus"][0];
    let activity = cpu["activity"].as_str().unwrap_or_default();
    assert!(activity.starts_with("CPU 0 has polled port 0x608 (PM timer) for "), "{report}");
    assert_eq!(cpu["mode"], 64, "{report}");
    assert_eq!(cpu["last_exits"][7], "port 0x608 (PM timer)", "{report}");
    assert!(report["exits"]["port_reads"].as_u64() > Some(32), "{report}");
    // "done" and its line end are six bytes; two more writes set up the port.
    let exits = &report["exits"];
    let writes = ["port_writes", "coalesced_writes"].map(|writes| exits[writes].as_u64());
    assert_eq!(writes.into_iter().flatten().sum::<u64>(), 8, "{report}");
}

#[test]
fn reboots_are_counted() {
    if !native::kvm() {
        return;
    }
    let report = check(&Start::guest("CR"), 0, "power-off", "the guest powered off (after ");
    assert_eq!(report["boots"], 3, "{report}");
}

#[test]
fn what_the_guest_did_with_disks_and_network_cards_is_counted() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let disk = scratch.file("disk", &[0; 1 << 20]);
    let drive = format!("file={},format=raw,if=virtio", disk.display());
    let words = ["-drive", &drive, "-nic", "user", "-nic", "user"];
    let start = Start::guest("D{a sector\"}another\"&P").args(words);
    let report = check(&start, 0, "power-off", "the guest powered off (after ");
    let counted = &report["disks"][0];
    assert_eq!(counted["file"], disk.display().to_string(), "{report}");
    assert_eq!((&counted["wr_operations"], &counted["wr_bytes"]), (&2.into(), &1024.into()));
    let others =
        ["rd", "flush", "unmap"].map(|name| counted[format!("{name}_operations")].as_u64());
    assert_eq!(others, [Some(0); 3], "{report}");
    let failed = ["rd", "wr", "flush", "unmap"]
        .map(|name| counted[format!("failed_{name}_operations")].as_u64());
    assert_eq!(failed, [Some(0); 4], "{report}");
    let [card, other] = [0, 1].map(|index| &report["cards"][index]);
    assert_eq!(card["mac"], report["ran"]["cards"][0], "{report}");
    assert_eq!((&card["tx_packets"], &card["tx_bytes"]), (&1.into(), &42.into()), "{report}");
    assert!(card["rx_packets"].as_u64() > Some(0), "{report}");
    assert!(card["rx_bytes"].as_u64() >= Some(42), "{report}");
    for name in ["rx_dropped", "tx_dropped"] {
        assert_eq!(card[name], 0, "{report}");
    }
    assert_eq!(other["tx_packets"], 0, "{report}");
}

#[test]
fn what_is_refused_is_reported_too() {
    let scratch = Scratch::new();
    let text = scratch.file("text", b"this is not a kernel");
    for (start, line) in [
        (Start::kernel(&text), "The kernel '"),
        (start(["-kernel", "/nonexistent"]), "Cannot open the kernel '/nonexistent': No such file"),
        (start(["-nosuch", "-kernel", "x"]), "-nosuch is not an option of chukka"),
        (start(["-kernel", "x", "-m", "7X"]), "-m 7X: expected "),
    ] {
        let report = check(&start, 125, "refused", line);
        assert!(report["hint"].is_string(), "{report}");
        for key in ["ran", "exits", "disks", "cards"] {
            assert_eq!(report[key], Value::Null, "{report}");
        }
    }
}

#[test]
fn signals_are_reported_before_chukka_dies_of_them() {
    if !native::kvm() {
        return;
    }
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT] {
        let scratch = Scratch::new();
        let path = scratch.path("report.json");
        let chukka = Start::guest("").args(["-json"]).args([&path]).input(Input::Pipe).start();
        chukka.wait_for("ready");
        chukka.signal(signal);
        assert_eq!(chukka.wait().signal(), Some(signal));
        let text = std::fs::read_to_string(&path).expect("chukka has created it");
        let report: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(report["outcome"], "signal", "{report}");
        assert_eq!((&report["status"], &report["signal"]), (&Value::Null, &signal.into()));
    }
}

#[test]
fn ctrl_a_x_is_reported_on_standard_error() {
    if !native::kvm() {
        return;
    }
    let mut session = Start::guest("").args(["-json", "-"]).on_terminal();
    session.wait_for("ready");
    session.type_in(b"\x01x");
    assert_eq!(session.wait().code(), Some(0));
    session.wait_for("\"outcome\": \"quit\"");
    session.wait_for("\"status\": 0");
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_guest_starts() {
    Start::guest("DP")
        .args(["-json", "/nonexistent/report.json"])
        .refused()
        .says("Cannot create '/nonexistent/report.json' for -json: No such file or directory")
        .hints("check that its directory exists");
}

#[test]
fn on_a_terminal_three_seconds_without_a_byte_are_explained() {
    if !native::kvm() {
        return;
    }
    let mut session = Start::guest("~").on_terminal();
    session
        .wait_for("chukka: the guest has printed nothing for 3 s: -append may need console=ttyS0");
    session.wait_for("Ctrl-A x ends it");
    session.type_in(b"\x01x");
    assert_eq!(session.wait().code(), Some(0));
}

#[test]
fn a_linux_command_line_without_a_serial_console_is_warned_of() {
    if !native::kvm() {
        return;
    }
    let warning = "warning: the kernel's command line names none of the guest's consoles, so \
                   chukka may see no output and no panic: add console=ttyS0 to -append";
    for (words, warns) in [
        (&["-append", "quiet"][..], true),
        (&["-append", "quiet console=ttyS0"], false),
        (&["-append", "quiet", "-serial", "null"], false),
    ] {
        let start = Start::bzimage("DP").args(words);
        let ended = start.run();
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert_eq!(ended.stderr.contains(warning), warns, "{ended:?}");
        let plan = start.args(["-dry-run"]).run();
        let warning = warning.replacen("warning: ", "", 1);
        assert_eq!(plan.text().contains(&warning), warns, "{plan:?}");
    }
}
