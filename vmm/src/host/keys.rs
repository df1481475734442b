//! Parses keyboard input: bytes for the guest and Ctrl-A commands, as in QEMU's `-nographic`.

/// Ctrl-A.
const ESCAPE: u8 = 1;

/// What Ctrl-A h prints.
pub const HELP: &str = "\r\n\
    Ctrl-A h       this help\r\n\
    Ctrl-A x       end chukka and the guest at once\r\n\
    Ctrl-A i       show what each CPU of the guest is doing\r\n\
    Ctrl-A p       press the guest's power button\r\n\
    Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n";

/// A Ctrl-A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Quit immediately.
    Quit,
    /// Print the help.
    Help,
    /// Show what each CPU of the guest is doing.
    Inspect,
    /// Press the power button.
    PowerButton,
}

/// Separates commands from bytes for the guest, across any number of reads.
#[derive(Debug, Default)]
pub struct Keys {
    escaped: bool,
}

impl Keys {
    /// Processes typed bytes: appends those for the guest to `guest` and returns commands in order.
    pub fn feed(&mut self, typed: &[u8], guest: &mut Vec<u8>) -> Vec<Command> {
        let mut commands = Vec::new();
        for &byte in typed {
            match (std::mem::take(&mut self.escaped), byte) {
                (false, ESCAPE) => self.escaped = true,
                (false, byte) | (true, byte @ ESCAPE) => guest.push(byte),
                (true, b'x' | b'X') => commands.push(Command::Quit),
                (true, b'h' | b'H' | b'?') => commands.push(Command::Help),
                (true, b'i' | b'I') => commands.push(Command::Inspect),
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
    fn commands_and_bytes_are_distinguished_across_reads() {
        let (mut keys, mut guest) = (Keys::default(), Vec::new());
        assert_eq!(keys.feed(b"ab\x01", &mut guest), []);
        assert_eq!(
            keys.feed(b"xc\x01\x01\x01q\x01h\x01i\x01p", &mut guest),
            [Command::Quit, Command::Help, Command::Inspect, Command::PowerButton]
        );
        assert_eq!(guest, b"abc\x01");
    }
}
