//! QEMU's human monitor: a command line with a prompt (hmp-commands.hx in QEMU's source).

use super::{Command, Status};
use crate::config::QEMU_VERSION;

const PROMPT: &str = "(qemu) ";

const HELP: &str = "\
cont|c  -- resume the guest
help|?  -- show the commands
info kvm|name|status|version  -- show facts about the run
quit|q  -- end the run
stop|s  -- pause the guest
system_powerdown  -- press the power button
system_reset  -- reset the machine
";

/// What a client gets when it connects.
pub(super) fn greeting() -> String {
    let [major, minor, micro] = QEMU_VERSION;
    let text = format!("QEMU {major}.{minor}.{micro} monitor - type 'help' for more information\n");
    lines(&text)
}

/// Takes the complete lines out of what was received.
pub(super) fn take_lines(received: &mut Vec<u8>) -> Vec<String> {
    let Some(end) = received.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
    let text: Vec<_> = received.drain(..=end).collect();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

/// What a line asks for, and the answer.
pub(super) fn answer(line: &str, status: &Status) -> (Option<Command>, String) {
    let words: Vec<_> = line.split_whitespace().collect();
    let (command, text) = match words.as_slice() {
        [] => (None, String::new()),
        ["quit" | "q"] => (Some(Command::Quit), String::new()),
        ["stop" | "s"] => (Some(Command::Stop), String::new()),
        ["cont" | "c"] => (Some(Command::Continue), String::new()),
        ["system_powerdown"] => (Some(Command::PowerDown), String::new()),
        ["system_reset"] => (Some(Command::Reset), String::new()),
        ["help" | "?"] => (None, HELP.to_owned()),
        ["info", "kvm"] => (None, "kvm support: enabled\n".to_owned()),
        ["info", "name"] => {
            (None, status.name.as_ref().map_or_else(String::new, |name| format!("{name}\n")))
        }
        ["info", "status"] => (None, format!("VM status: {}\n", status.word())),
        ["info", "version"] => {
            let [major, minor, micro] = QEMU_VERSION;
            let chukka = env!("CARGO_PKG_VERSION");
            (None, format!("{major}.{minor}.{micro} (chukka {chukka})\n"))
        }
        [name, ..] => {
            (None, format!("unknown command: '{}'\n", crate::host::printable::printable(name)))
        }
    };
    (command, lines(&text))
}

/// `text` as a terminal wants it, and the prompt.
fn lines(text: &str) -> String {
    text.replace('\n', "\r\n") + PROMPT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_short_names() {
        for (line, expected) in [
            ("q", Some(Command::Quit)),
            (" quit ", Some(Command::Quit)),
            ("s", Some(Command::Stop)),
            ("c", Some(Command::Continue)),
            ("system_powerdown", Some(Command::PowerDown)),
            ("system_reset", Some(Command::Reset)),
            ("", None),
        ] {
            assert_eq!(answer(line, &Status::default()), (expected, PROMPT.to_owned()), "{line}");
        }
    }

    #[test]
    fn questions_are_answered() {
        let mut status = Status { name: Some("web".into()), ..Status::default() };
        assert_eq!(answer("info status", &status).1, "VM status: running\r\n(qemu) ");
        assert_eq!(answer("info name", &status).1, "web\r\n(qemu) ");
        status.paused = true;
        assert_eq!(answer("info status", &status).1, "VM status: paused\r\n(qemu) ");
        assert_eq!(answer("\x1bfoo", &status).1, "unknown command: '\\x1bfoo'\r\n(qemu) ");
        assert!(answer("help", &status).1.contains("quit|q"));
    }

    #[test]
    fn lines_come_in_any_pieces() {
        let mut received = b"sto".to_vec();
        assert!(take_lines(&mut received).is_empty());
        received.extend(b"p\r\ncont\nq");
        assert_eq!(take_lines(&mut received), ["stop", "cont"]);
        assert_eq!(received, b"q");
    }
}
