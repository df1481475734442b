//! What installers and installed systems print on a serial console.

/// Most bytes of a line that are kept.
const LINE_LIMIT: usize = 1024;

/// What an installer prints when it has failed. Some then wait for an answer that nobody gives.
const FAILURES: [&str; 5] = [
    // Debian's and Ubuntu's: the template of its main menu.
    "Installation step failed",
    "installation step failed",
    // Anaconda's.
    "The installation was stopped due to",
    "Non interactive installation failed",
    "There was an error running the kickstart script",
];

/// Reads a console's output as lines of text.
#[derive(Debug, Default)]
pub struct Listener {
    line: Vec<u8>,
    escape: Escape,
    /// The last line that is not empty.
    pub last_line: String,
    /// The last line in which an installer said that it failed.
    pub failure: Option<String>,
}

/// Where in an escape sequence the output is (ECMA-48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Began,
    /// In a control sequence, up to its final byte.
    Sequence,
    /// In a string, up to BEL or ESC.
    Text,
}

impl Listener {
    /// Reads further output.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.is_escape(byte) {
                continue;
            }
            match byte {
                b'\n' | b'\r' => self.end_line(),
                b'\t' | 0x20.. if self.line.len() < LINE_LIMIT => self.line.push(byte),
                _ => {}
            }
        }
        let line = String::from_utf8_lossy(&self.line);
        if self.failure.is_none() {
            self.failure = failure(&line);
        }
    }

    /// Whether the output ends with a login prompt. For when nothing has come for a while: a
    /// program may print the same words and go on.
    #[must_use]
    pub fn is_at_login(&self) -> bool {
        self.line.ends_with(b"login: ")
    }

    fn is_escape(&mut self, byte: u8) -> bool {
        let next = match (self.escape, byte) {
            (Escape::None | Escape::Text, 0x1b) => Escape::Began,
            (Escape::None, _) => return false,
            (Escape::Began, b'[') => Escape::Sequence,
            (Escape::Began, b']' | b'P' | b'_' | b'^' | b'X') => Escape::Text,
            (Escape::Began, 0x20..=0x2f) => Escape::Began,
            (Escape::Sequence, 0x40..=0x7e) | (Escape::Text, 0x07) | (Escape::Began, _) => {
                // A program that moves the cursor writes elsewhere.
                if self.escape == Escape::Sequence && matches!(byte, b'H' | b'f' | b'd') {
                    self.end_line();
                }
                Escape::None
            }
            (state, _) => state,
        };
        self.escape = next;
        true
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line).trim().to_owned();
        self.line.clear();
        if !line.is_empty() {
            self.failure = failure(&line).or(self.failure.take());
            self.last_line = line;
        }
    }
}

fn failure(line: &str) -> Option<String> {
    FAILURES.iter().any(|words| line.contains(words)).then(|| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(pieces: &[&str]) -> Listener {
        let mut listener = Listener::default();
        pieces.iter().for_each(|piece| listener.feed(piece.as_bytes()));
        listener
    }

    #[test]
    fn the_last_line_has_no_escape_sequences() {
        for (pieces, last) in [
            (&["one\r\ntwo\r\n"][..], "two"),
            (&["one\r\nhal"], "one"),
            (&["\x1b[1;31mred\x1b[0m\n"], "red"),
            (&["\x1b", "[1", "mred\n"], "red"),
            (&["\x1b]0;title\x07text\n"], "text"),
            (&["\x1b(Btext\n\n  \n"], "text"),
            (&["a\x1b[5;1Hb\n"], "b"),
        ] {
            assert_eq!(heard(pieces).last_line, last, "{pieces:?}");
        }
        assert_eq!(heard(&[&"x".repeat(5000), "\n"]).last_line.len(), LINE_LIMIT);
    }

    #[test]
    fn installers_say_that_they_fail() {
        let menu = ["┌──┤ [!!] Configure ├\x1b[3;4HAn installation ", "step failed. You can try"];
        let failure = heard(&menu).failure.unwrap();
        assert_eq!(failure, "An installation step failed. You can try");
        assert!(heard(&["The installation was stopped due to an error\n"]).failure.is_some());
        assert_eq!(heard(&["Installing the base system\n"]).failure, None);
    }

    #[test]
    fn a_login_prompt_is_an_unfinished_line() {
        assert!(heard(&["Debian GNU/Linux 12 guest ttyS0\n\nguest lo", "gin: "]).is_at_login());
        assert!(!heard(&["the login: ", "\n"]).is_at_login());
    }
}
