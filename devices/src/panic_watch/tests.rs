use super::*;

const PANIC_LINE: &str = "[    1.234567] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n";
const MESSAGE: &str =
    "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)";

/// All events except [`ConsoleEvent::PanicLine`].
fn events(chunks: &[&[u8]]) -> Vec<ConsoleEvent> {
    all_events(chunks).into_iter().filter(|event| *event != ConsoleEvent::PanicLine).collect()
}

fn all_events(chunks: &[&[u8]]) -> Vec<ConsoleEvent> {
    let mut watch = PanicWatch::new();
    let mut events = Vec::new();
    for chunk in chunks {
        watch.feed(chunk, |event| events.push(event));
    }
    events
}

#[test]
fn reports_each_line_that_follows_the_panic() {
    let long = "x".repeat(3 * LINE_LIMIT);
    let text = format!("before\r\n{PANIC_LINE}\r\nCall Trace:\r\n{long}\r\nlast");
    let found = all_events(&[text.as_bytes()]);
    assert_eq!(found, [panic(), ConsoleEvent::PanicLine, ConsoleEvent::PanicLine]);
}

fn panic() -> ConsoleEvent {
    ConsoleEvent::Panic(MESSAGE.to_owned())
}

#[test]
fn finds_panic_when_line_has_a_prefix() {
    let prefixes = [
        "",
        "[    1.234567] ",
        "[    1.234567][    T1] ",
        "<0>",
        "<0>[    1.2] ",
        "login: ",
        "/ # ",
    ];
    for prefix in prefixes {
        let line = format!("{prefix}{MESSAGE}\r\n");
        assert_eq!(events(&[line.as_bytes()]), [panic()], "{prefix:?}");
    }
}

#[test]
fn finds_panic_when_split_at_any_byte() {
    let text = format!("one\r\n{PANIC_LINE}two\r\n").into_bytes();
    for cut in 0..text.len() {
        let (first, second) = text.split_at(cut);
        assert_eq!(events(&[first, second]), [panic()], "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(events(&bytes), [panic()]);
}

#[test]
fn reports_panic_and_its_end_once_each_when_both_are_printed() {
    let text = format!(
        "{PANIC_LINE}[    1.3] CPU: 0 PID: 1\n[    1.4] ---[ end Kernel panic - not syncing: VFS: x ]---\n"
    );
    assert_eq!(events(&[text.as_bytes()]), [panic(), ConsoleEvent::PanicEnd]);
}

#[test]
fn reports_panic_too_when_only_its_end_was_seen() {
    let found = events(&[b"[    1.4] ---[ end Kernel panic - not syncing: oh ]---\n"]);
    let message = "Kernel panic - not syncing: oh ]---".to_owned();
    assert_eq!(found, [ConsoleEvent::Panic(message), ConsoleEvent::PanicEnd]);
}

#[test]
fn reports_restart_power_down_and_halt() {
    let cases = [
        ("[    2.5] reboot: Restarting system\r\n", ConsoleEvent::Restarting),
        ("[    2.5] reboot: Restarting system with command 'x'\r\n", ConsoleEvent::Restarting),
        ("[    2.5] reboot: Power down\r\n", ConsoleEvent::PowerDown),
        ("reboot: Power down\n", ConsoleEvent::PowerDown),
        ("[    2.5] reboot: System halted\r\n", ConsoleEvent::Halted),
    ];
    for (line, event) in cases {
        assert_eq!(events(&[line.as_bytes()]), [event], "{line:?}");
    }
}

#[test]
fn ignores_text_that_is_not_a_kernel_message() {
    let lines: [&[u8]; 6] = [
        b"xKernel panic - not syncing\n",
        b"kernel panic - not syncing\n",
        b"Kernel panic\n - not syncing\n",
        b"Kernel panic - not syncing: no end of line yet",
        b"\n\r\n\n",
        b"echo \"Kernel panic - not syncing\"\n",
    ];
    for line in lines {
        assert_eq!(events(&[line]), [], "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn bounds_message_when_line_is_long() {
    let mut text = PANIC.to_vec();
    text.resize(10_000, b'x');
    let found = events(&[&text]);
    assert!(matches!(&found[..], [ConsoleEvent::Panic(message)] if message.len() == 256));
}

#[test]
fn finds_panic_when_it_ends_a_long_line() {
    for length in (0..1200).step_by(7) {
        let mut text = vec![b'#'; length];
        text.extend_from_slice(format!(" {MESSAGE}\n").as_bytes());
        assert_eq!(events(&[&text]), [panic()], "after {length} bytes");
    }
}

#[test]
fn bounds_memory_when_line_never_ends() {
    let mut watch = PanicWatch::new();
    for _ in 0..100 {
        watch.feed(&[b'x'; 4096], |event| panic!("{event:?}"));
    }
    assert_eq!(watch.line.capacity(), LINE_LIMIT);
}

#[test]
fn survives_invalid_utf8() {
    let found = events(&[b"\xff\x00 Kernel panic - not syncing: \xff\xfe\n"]);
    assert_eq!(found, [ConsoleEvent::Panic("Kernel panic - not syncing: \u{fffd}\u{fffd}".into())]);
}

#[test]
fn the_first_process_is_reported_and_talk_about_it_is_not() {
    assert_eq!(events(&[b"[    1.1] Run /init as init process\r\n"]), [ConsoleEvent::Init]);
    assert_eq!(events(&[b"Run /sbin/init as init", b" process\n"]), [ConsoleEvent::Init]);
    for other in ["Run /init as init process: failed\n", "Re-Run /init as init process\n"] {
        assert_eq!(events(&[other.as_bytes()]), []);
    }
}

#[test]
fn problems_are_reported_by_a_watch_that_looks_for_them() {
    let mut problems = KernelProblems::default();
    problems.insert(KernelProblem::Oops);
    for (watch, count) in [(PanicWatch::new(), 0), (PanicWatch::new().with_problems(problems), 1)] {
        let (mut watch, mut found) = (watch, Vec::new());
        watch.feed(b"[ 1.5] Oops: 0002 [#1] PREEMPT SMP\n", |event| found.push(event));
        let is_oops =
            |event: &&ConsoleEvent| matches!(event, ConsoleEvent::Problem(KernelProblem::Oops, _));
        assert_eq!(found.iter().filter(is_oops).count(), count, "{found:?}");
    }
}
