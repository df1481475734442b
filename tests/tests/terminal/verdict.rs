//! The last line on the terminal is chukka's own, and the guest leaves none of its modes behind.

use std::collections::BTreeMap;

use chukka_tests::native::{self, Session, Start};

use crate::assert_restored;

/// Everything that a full-screen program does to a terminal, and half a sequence.
pub(crate) const MODES: &str = "\x1b[?1049h\x1b[?7l\x1b[?25l\x1b[?1l\x1b=\x1b[?5h\x1b[?9h\x1b[?1000h\x1b[?1002h\
    \x1b[?1003h\x1b[?1004h\x1b[?1005h\x1b[?1006h\x1b[?1015h\x1b[?2004h\x1b[?2026h\x1b[?6h\x1b[4h\
    \x1b[20h\x1b[2;5r\x1b[3;1H\x1b[1;31;44m\x1b(0\x0e\x1b]0;title\x07at the prompt> \x1b[38;5";

/// Modes that a terminal has without being asked: wrap and the cursor.
const USUALLY_ON: [&str; 2] = ["?7", "?25"];

/// What chukka's bytes leave behind: modes by number, whether colours and margins are usual, and
/// the lines without escape sequences.
struct Screen {
    modes: BTreeMap<String, bool>,
    colours: bool,
    margins: bool,
    lines: Vec<String>,
}

impl Screen {
    fn of(session: &Session) -> Self {
        let shown = session.shown();
        let mut screen =
            Self { modes: BTreeMap::new(), colours: false, margins: false, lines: Vec::new() };
        let mut pieces = shown.split('\x1b');
        let mut text = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let Some(sequence) = piece.strip_prefix('[') else {
                // A title ends at BEL, a character set and ST after one or two bytes.
                let skipped = piece
                    .find('\x07')
                    .map_or(if piece.starts_with('(') { 2 } else { 1 }, |at| at + 1);
                text += piece.get(skipped..).unwrap_or_default();
                continue;
            };
            let Some(end) = sequence.find(|c: char| ('@'..='~').contains(&c)) else { continue };
            let (parameters, rest) = sequence.split_at(end);
            match rest.as_bytes().first() {
                Some(last @ (b'h' | b'l')) => {
                    screen.modes.insert(parameters.to_owned(), *last == b'h');
                }
                Some(b'm') => screen.colours = parameters != "0",
                Some(b'r') => screen.margins = !parameters.is_empty(),
                _ => {}
            }
            text += &rest[1..];
        }
        screen.lines = text.lines().map(|line| line.trim_end().to_owned()).collect();
        screen
    }

    #[track_caller]
    fn assert_usual(&self, session: &Session) {
        for (mode, on) in &self.modes {
            assert_eq!(*on, USUALLY_ON.contains(&mode.as_str()), "{mode}: {}", session.shown());
        }
        assert!(!self.colours && !self.margins, "{}", session.shown());
    }
}

/// Waits for the end of a guest that has set every mode, and checks what is left.
#[track_caller]
fn leaves_nothing(mut session: Session, verdict: &str) {
    session.wait();
    session.wait_for(" s)\r\n");
    assert_restored(&session);
    let screen = Screen::of(&session);
    assert!(session.shown().contains("\x1b[?2026h"), "the guest set them: {}", session.shown());
    screen.assert_usual(&session);
    let begins = format!("chukka: {verdict}");
    let own_line = screen.lines.iter().any(|line| line.starts_with(&begins));
    assert!(own_line, "{:?}", screen.lines);
}

#[test]
fn the_terminal_has_its_usual_modes_after_every_end_of_the_guest() {
    if !native::kvm() {
        return;
    }
    for (letter, words, verdict) in [
        ("P", &[][..], "the guest powered off (after "),
        ("R", &["-no-reboot"], "the guest asked for a reset (-no-reboot) (after "),
        // The kernel's message is at the start of a line.
        ("\"\r\n\"K", &[], "the guest's kernel panicked: Kernel panic - not syncing: test (after "),
        ("T", &[], "the guest triple-faulted: CPU 0 "),
        ("E", &[], "KVM could not go on: internal error 1 "),
    ] {
        let start = Start::guest(&format!("\"{MODES}\"{letter}")).args(words);
        leaves_nothing(start.on_terminal(), verdict);
    }
}

#[test]
fn the_terminal_has_its_usual_modes_after_every_end_by_the_user() {
    if !native::kvm() {
        return;
    }
    let start = Start::guest(&format!("\"{MODES}\""));
    let running = || {
        let session = start.on_terminal();
        session.wait_for("ready");
        session
    };
    let mut session = running();
    session.type_in(b"\x01x");
    leaves_nothing(session, "ended by Ctrl-A x (after ");
    let session = running();
    session.signal(libc::SIGTERM);
    leaves_nothing(session, "ended by signal 15 (after ");
}

#[test]
fn a_guest_that_sends_no_escape_sequence_gets_none_added() {
    if !native::kvm() {
        return;
    }
    let mut session = Start::guest("\"login: \"P").on_terminal();
    assert_eq!(session.wait().code(), Some(0));
    session.wait_for(" s)\r\n");
    let shown = session.shown();
    assert!(shown.starts_with("login: \r\nchukka: the guest powered off (after "), "{shown:?}");
    assert!(!shown.contains('\x1b'), "{shown:?}");
}

#[test]
fn a_line_that_the_guest_has_ended_gets_no_empty_line_after_it() {
    if !native::kvm() {
        return;
    }
    let mut session = Start::guest("DP").on_terminal();
    assert_eq!(session.wait().code(), Some(0));
    session.wait_for("done\r\r\nchukka: the guest powered off (after ");
}

#[test]
fn the_escape_sequences_of_a_panic_are_shown_and_not_sent() {
    if !native::kvm() {
        return;
    }
    let panic = "Kernel panic - not syncing: \x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}txt\x7f";
    let mut session = Start::guest(&format!("\"{panic}\n\"H")).on_terminal();
    assert_eq!(session.wait().code(), Some(120));
    session.wait_for(" s)\r\n");
    let shown = session.shown();
    let verdict = "chukka: the guest's kernel panicked: Kernel panic - not syncing: \
        \\x1b[2J\\x1b]0;owned\\x07\\u{9b}31m\\u{202e}txt\\x7f (after ";
    assert!(shown.contains(verdict), "{shown:?}");
}
