//! What the user types: bytes for the guest, and the commands behind Ctrl-A, as in QEMU's
//! `-nographic`.

/// Ctrl-A.
const ESCAPE: u8 = 1;

/// What Ctrl-A h prints.
pub const HELP: &str = "\r\n\
    Ctrl-A h       this help\r\n\
    Ctrl-A x       end chukka and the guest at once\r\n\
    Ctrl-A p       press the guest's power button\r\n\
    Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n";

/// A command behind Ctrl-A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// End at once.
    Quit,
    /// Print the help.
    Help,
    /// Press the power button.
    PowerButton,
}

/// Tells commands from bytes for the guest, over as many reads as they come in.
#[derive(Debug, Default)]
pub struct Keys {
    escaped: bool,
}

impl Keys {
    /// Takes what was typed; bytes for the guest are appended to `guest`, commands are returned in
    /// order.
    pub fn feed(&mut self, typed: &[u8], guest: &mut Vec<u8>) -> Vec<Command> {
        let mut commands = Vec::new();
        for &byte in typed {
            match (std::mem::take(&mut self.escaped), byte) {
                (false, ESCAPE) => self.escaped = true,
                (false, byte) | (true, byte @ ESCAPE) => guest.push(byte),
                (true, b'x' | b'X') => commands.push(Command::Quit),
                (true, b'h' | b'H' | b'?') => commands.push(Command::Help),
                (true, b'p' | b'P') => commands.push(Command::PowerButton),
                // As in QEMU's mux_proc_byte (chardev/char-mux.c), an unknown command is dropped.
                (true, _) => {}
            }
        }
        commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_bytes_are_told_apart_across_reads() {
        let (mut keys, mut guest) = (Keys::default(), Vec::new());
        assert_eq!(keys.feed(b"ab\x01", &mut guest), []);
        assert_eq!(
            keys.feed(b"xc\x01\x01\x01q\x01h\x01p", &mut guest),
            [Command::Quit, Command::Help, Command::PowerButton]
        );
        assert_eq!(guest, b"abc\x01");
    }
}
