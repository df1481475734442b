//! What the guest leaves on the terminal: an unfinished line, and modes such as the alternate
//! screen, no cursor or the mouse. chukka's messages begin on a line of their own, and the terminal
//! gets its usual modes back at the end.
//!
//! The state is static, because a signal handler and a panic of any thread reset the terminal too.
#![expect(unsafe_code, reason = "write(2) in a signal handler has no safe form")]

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU8, Ordering};

/// The last character that the guest wrote to standard output did not end a line.
const UNFINISHED_LINE: u8 = 1;
/// The guest sent an escape sequence or changed the character set.
const MODES: u8 = 1 << 1;
/// The guest switched to the alternate screen by mode 1049, which saves the cursor.
const ALTERNATE: u8 = 1 << 2;
/// The guest switched to the alternate screen by mode 47 or 1047, which do not.
const OLD_ALTERNATE: u8 = 1 << 3;
/// The guest set margins, so that only a part of the screen scrolls.
const MARGINS: u8 = 1 << 4;
/// Standard output is a terminal.
const TERMINAL: u8 = 1 << 5;
/// Standard error is the same file as standard output.
const SAME_AS_ERRORS: u8 = 1 << 6;

static STATE: AtomicU8 = AtomicU8::new(0);

/// Ends a sequence that the guest did not finish; then the usual modes, by their numbers in xterm's
/// ctlseqs: character set, colours, no insertion, cursor keys and keypad, light background, wrap,
/// cursor with its shape, no mouse and no focus events, no bracketed paste, no synchronized output.
const USUAL_MODES: &str = "\x1b\\\x1b(B\x0f\x1b[0m\x1b[4l\x1b[20l\x1b[?1l\x1b>\x1b[?5l\x1b[?7h\
    \x1b[?25h\x1b[0 q\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\
    \x1b[?1015l\x1b[?2004l\x1b[?2026l";
/// The whole screen scrolls again. That moves the cursor, so it goes to the last line.
const NO_MARGINS: &str = "\x1b[?6l\x1b[?69l\x1b[r\x1b[999;1H";

/// Standard output as the guest's: everything written to it is followed.
#[derive(Debug)]
pub struct GuestOutput {
    /// A descriptor of its own: std's standard output buffers lines and holds a lock, which a
    /// blocked write would never release.
    out: File,
    follower: Follower,
}

impl GuestOutput {
    /// Opens standard output.
    ///
    /// # Errors
    /// See dup(2).
    pub fn open() -> io::Result<Self> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let out = File::from(stdout.as_fd().try_clone_to_owned()?);
        let errors = File::from(stderr.as_fd().try_clone_to_owned()?);
        let file = |file: &File| file.metadata().map(|found| (found.dev(), found.ino())).ok();
        let mut known = if stdout.is_terminal() { TERMINAL } else { 0 };
        if file(&out) == file(&errors) {
            known |= SAME_AS_ERRORS;
        }
        STATE.fetch_or(known, Ordering::SeqCst);
        Ok(Self { out, follower: Follower::default() })
    }
}

impl Write for GuestOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        let (set, cleared) = self.follower.follow(&bytes[..count]);
        STATE.fetch_and(!cleared, Ordering::SeqCst);
        STATE.fetch_or(set, Ordering::SeqCst);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a message has to end the guest's line first, because both are on the same terminal or in
/// the same file. The line counts as ended from now on.
#[must_use]
pub fn take_unfinished_line() -> bool {
    let state = STATE.fetch_and(!UNFINISHED_LINE, Ordering::SeqCst);
    state & UNFINISHED_LINE != 0 && state & SAME_AS_ERRORS != 0
}

/// Gives the terminal its usual modes back, if the guest may have changed any. Async-signal-safe.
pub fn reset_modes() {
    let state = STATE.fetch_and(!(MODES | ALTERNATE | OLD_ALTERNATE | MARGINS), Ordering::SeqCst);
    if state & TERMINAL == 0 || state & MODES == 0 {
        return;
    }
    let has = |bit| state & bit != 0;
    let parts = [
        (MODES, USUAL_MODES),
        (MARGINS, NO_MARGINS),
        // Only if the guest is there: leaving restores the cursor that entering saved.
        (OLD_ALTERNATE, "\x1b[?1047l"),
        (ALTERNATE, "\x1b[?1049l"),
    ];
    for (_, sequence) in parts.into_iter().filter(|(bit, _)| has(*bit)) {
        let mut rest = sequence.as_bytes();
        while !rest.is_empty() {
            // SAFETY: write(2) only reads the bytes of `rest`.
            let count = unsafe { libc::write(1, rest.as_ptr().cast(), rest.len()) };
            let Ok(count @ 1..) = usize::try_from(count) else { return };
            rest = rest.get(count..).unwrap_or_default();
        }
    }
    if has(MARGINS | OLD_ALTERNATE) {
        STATE.fetch_or(UNFINISHED_LINE, Ordering::SeqCst);
    }
}

/// Follows escape sequences (ECMA-48, section 5.4) closely enough to know what [`reset_modes`] has
/// to undo.
#[derive(Debug, Default)]
struct Follower {
    place: Place,
    /// The parameters of the current sequence. Longer ones change nothing that matters here.
    parameters: Vec<u8>,
}

/// Where in a sequence the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and an intermediate byte, such as that of a character set.
    Intermediate,
    /// After ESC `[`.
    Parameters,
    /// In a string such as a window's title, which ends at BEL or at ESC `\`.
    String,
}

/// Most bytes of parameters that are kept.
const PARAMETERS: usize = 64;
const ESC: u8 = 0x1b;

impl Follower {
    /// Returns the bits of [`STATE`] that these bytes set and clear.
    fn follow(&mut self, bytes: &[u8]) -> (u8, u8) {
        let (mut set, mut cleared) = (0, 0);
        let mut change = |on: bool, bits: u8| {
            let (to, from) = if on { (&mut set, &mut cleared) } else { (&mut cleared, &mut set) };
            *to |= bits;
            *from &= !bits;
        };
        for byte in bytes {
            match (self.place, byte) {
                (_, &ESC) => {
                    self.place = Place::Escape;
                    change(true, MODES);
                }
                // CAN and SUB end every sequence.
                (_, 0x18 | 0x1a) => self.place = Place::Text,
                (Place::Text, b'\n') => change(false, UNFINISHED_LINE),
                // Shift out: another character set.
                (Place::Text, 0x0e) => change(true, MODES),
                (Place::Text, 0x20..) => change(true, UNFINISHED_LINE),
                (Place::Escape, b'[') => {
                    self.parameters.clear();
                    self.place = Place::Parameters;
                }
                (Place::Escape, b']' | b'P' | b'X' | b'^' | b'_') => self.place = Place::String,
                (Place::Escape, 0x20..=0x2f) => self.place = Place::Intermediate,
                (Place::Escape, byte) => {
                    if *byte == b'c' {
                        change(false, ALTERNATE | OLD_ALTERNATE | MARGINS);
                    }
                    self.place = Place::Text;
                }
                (Place::Intermediate, 0x30..) => self.place = Place::Text,
                (Place::Parameters, 0x20..=0x3f) if self.parameters.len() < PARAMETERS => {
                    self.parameters.push(*byte);
                }
                (Place::Parameters, 0x40..) => {
                    let (on, bits) = control(&self.parameters, *byte);
                    change(on, bits);
                    self.place = Place::Text;
                }
                (Place::String, 0x07) => self.place = Place::Text,
                _ => {}
            }
        }
        (set, cleared)
    }
}

/// What the control function with this last byte sets or clears.
fn control(parameters: &[u8], last: u8) -> (bool, u8) {
    match (parameters, last) {
        ([b'?', modes @ ..], b'h' | b'l') => {
            let bits = modes.split(|byte| *byte == b';').map(|mode| match mode {
                b"1049" => ALTERNATE,
                b"47" | b"1047" => OLD_ALTERNATE,
                b"6" | b"69" => MARGINS,
                _ => 0,
            });
            (last == b'h', bits.fold(0, |all, bit| all | bit))
        }
        ([b'0'..=b'9' | b';', ..], b'r') => (true, MARGINS),
        _ => (false, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The state after these bytes, whatever pieces they come in.
    fn after(bytes: &[u8]) -> u8 {
        let one_by_one = bytes.chunks(1);
        let states = [one_by_one.clone().collect::<Vec<_>>(), vec![bytes]].map(|pieces| {
            let mut follower = Follower::default();
            pieces.iter().fold(0, |state, piece| {
                let (set, cleared) = follower.follow(piece);
                (state & !cleared) | set
            })
        });
        assert_eq!(states[0], states[1], "{bytes:?}");
        states[0]
    }

    #[test]
    fn a_line_is_unfinished_after_text_but_not_after_escape_sequences() {
        for (text, expected) in [
            (&b"login: "[..], UNFINISHED_LINE),
            (b"done\r\n", 0),
            (b"done\n\r", 0),
            (b"50 %\r", UNFINISHED_LINE),
            (b"done\n\x1b[0m\x1b[?25h\x1b]0;title\x07\x1b(B", MODES),
            (b"\x1b[1;31mred", MODES | UNFINISHED_LINE),
            ("ä".as_bytes(), UNFINISHED_LINE),
        ] {
            assert_eq!(after(text), expected, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn the_alternate_screen_is_known_whatever_is_around_it() {
        for (text, expected) in [
            (&b"\x1b[?1049h"[..], MODES | ALTERNATE),
            (b"\x1b[?25;1049h", MODES | ALTERNATE),
            (b"\x1b[?1049h\x1b[?1049l", MODES),
            (b"\x1b[?47h", MODES | OLD_ALTERNATE),
            (b"\x1b[?47h\x1b[?1047l", MODES),
            (b"\x1b[?1049h\x1bc", MODES),
            (b"\x1b]0;\x1b[?1049h", MODES | ALTERNATE),
            (b"\x1b[1049h", MODES),
            (b"\x1b[?10\x1849h", MODES | UNFINISHED_LINE),
            (b"?1049h", UNFINISHED_LINE),
        ] {
            assert_eq!(after(text), expected, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn margins_and_character_sets_are_known() {
        assert_eq!(after(b"\x1b[5;10r"), MODES | MARGINS);
        assert_eq!(after(b"\x1b[?6h"), MODES | MARGINS);
        assert_eq!(after(b"\x0e"), MODES);
        let endless = [&b"\x1b["[..], &[b'1'; 4096], b"r"].concat();
        assert_eq!(after(&endless), MODES | MARGINS);
    }

    #[test]
    fn strings_and_character_sets_end() {
        assert_eq!(after(b"\x1b]0;title\x07text"), MODES | UNFINISHED_LINE);
        assert_eq!(after(b"\x1b(Btext"), MODES | UNFINISHED_LINE);
        assert_eq!(after(b"\x1b(\x1b[?47h"), MODES | OLD_ALTERNATE);
    }

    #[test]
    fn a_sequence_without_an_end_takes_no_memory() {
        let mut follower = Follower::default();
        follower.follow(&[&b"\x1b["[..], &[b'1'; 4096]].concat());
        assert_eq!(follower.parameters.len(), PARAMETERS);
    }

    /// Set in the child process whose output is another one.
    const CHILD: &str = "CHUKKA_TEST_SCREEN";

    /// Writes as a guest does and says what [`take_unfinished_line`] returned.
    fn child() {
        let mut out = GuestOutput::open().unwrap();
        let say = |out: &mut GuestOutput, taken| writeln!(out, "<{taken}>").unwrap();
        for text in ["login: ", "done\n", "\x1b[?1049h\x1b[?25l", "\x1b[?47h\x1b[5;10r"] {
            write!(out, "{text}").unwrap();
            let line = [take_unfinished_line(), take_unfinished_line()];
            write!(out, "[").unwrap();
            let _ = take_unfinished_line();
            reset_modes();
            let after = take_unfinished_line();
            write!(out, "]").unwrap();
            reset_modes();
            say(&mut out, format!("{line:?} {after}"));
        }
        reset_modes();
    }

    /// What the child writes to standard output, which is a terminal or not, as is standard error.
    fn output(on_terminal: bool, same: bool) -> String {
        use std::io::Read;
        let pty = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR).unwrap();
        rustix::pty::grantpt(&pty).unwrap();
        rustix::pty::unlockpt(&pty).unwrap();
        let name = rustix::pty::ptsname(&pty, Vec::new()).unwrap();
        let name = std::ffi::OsString::from(name.into_string().unwrap());
        let slave = File::options().read(true).write(true).open(name).unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let test = "host::screen::tests::the_terminal_gets_its_modes_back_and_messages_their_lines";
        command.args(["--exact", test]).env(CHILD, "1").stdin(std::process::Stdio::null());
        let file = |is_terminal: bool| match is_terminal {
            true => std::os::fd::OwnedFd::from(slave.try_clone().unwrap()),
            false => writer.try_clone().unwrap().into(),
        };
        command.stdout(file(on_terminal)).stderr(file(on_terminal == same));
        let status = command.status().unwrap();
        drop((command, slave, writer));
        let mut bytes = Vec::new();
        // Without a slave, it fails once all is read.
        let _ = if on_terminal {
            File::from(pty).read_to_end(&mut bytes)
        } else {
            reader.read_to_end(&mut bytes)
        };
        let text = String::from_utf8(bytes).unwrap().replace("\r\n", "\n");
        assert!(status.success(), "{text}");
        text
    }

    #[test]
    fn the_terminal_gets_its_modes_back_and_messages_their_lines() {
        if std::env::var_os(CHILD).is_some() {
            return child();
        }
        // A message begins on a line of its own if both are at the same place.
        let usual = format!("\x1b[?1049h\x1b[?25l[{USUAL_MODES}\x1b[?1049l]");
        let margins = format!("\x1b[?47h\x1b[5;10r[{USUAL_MODES}{NO_MARGINS}\x1b[?1047l]");
        let text = output(true, true);
        let has = |text: &str, part: &str| assert!(text.contains(part), "{part:?} in {text:?}");
        has(&text, "login: []<[true, false] false>\n");
        has(&text, "done\n[]<[false, false] false>\n");
        has(&text, &format!("{usual}<[false, false] false>\n"));
        has(&text, &format!("{margins}<[false, false] true>\n"));
        let text = output(true, false);
        has(&text, "login: []<[false, false] false>\n");
        has(&text, &usual);
        let text = output(false, true);
        has(&text, "login: []<[true, false] false>\n");
        has(&text, "\x1b[?1049h\x1b[?25l[]<");
    }
}
