//! What tmux, a real terminal, says of itself after a guest that has sent it every control sequence.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use chukka_tests::native::{self, Scratch, guest};
use chukka_tests::{binaries, pack, skip};

use crate::verdict::MODES;

/// The state of a pane: tmux's names (`FORMATS` in tmux(1)).
const STATE: &str = "wrap=#{wrap_flag} cursor=#{cursor_flag} alternate=#{alternate_on} \
    insert=#{insert_flag} keys=#{keypad_cursor_flag} keypad=#{keypad_flag} origin=#{origin_flag} \
    mouse=#{mouse_any_flag}#{mouse_all_flag}#{mouse_button_flag}#{mouse_standard_flag} \
    encoding=#{mouse_sgr_flag}#{mouse_utf8_flag} \
    margins=#{scroll_region_upper}-#{scroll_region_lower}";
/// What the shell prints when chukka has ended.
const ENDED: &str = "chukka has ended";

/// Every control function of ECMA-48 with usual parameters, every mode that xterm has, and some
/// strings. Without the quotation mark, which ends the guest's text.
fn every_sequence() -> String {
    let mut text = String::new();
    let finals = |from: u8, to: u8| (from..=to).map(char::from);
    for last in finals(b'0', b'~').filter(|last| !"PX]^_[k".contains(*last)) {
        text += &format!("\x1b{last}");
    }
    for between in " #%()*+-./".chars() {
        for last in finals(b'0', b'H') {
            text += &format!("\x1b{between}{last}");
        }
    }
    for last in finals(b'@', b'~') {
        for parameters in ["", "1", "2;5", "?1", ">1", "=1", "1 ", "1!", "1$", "1'", "1*"] {
            text += &format!("\x1b[{parameters}{last}");
        }
    }
    for number in 0..=107 {
        text += &format!("\x1b[{number}m");
    }
    text += "\x1b[38;2;1;2;3m\x1b[48;5;17m\x1b[4:3m";
    for mode in (1..=120).chain(1000..=1070).chain([2004, 2026, 2027, 2031]) {
        text += &format!("\x1b[?{mode}h");
    }
    for string in
        ["]0;title", "]2;title", "]4;1;red", "]8;;http://mirror.example", "Pq", "^x", "_x"]
    {
        text += &format!("\x1b{string}\x1b\\");
    }
    text + MODES
}

/// A tmux server of our own.
struct Tmux(Scratch);

impl Tmux {
    fn command(&self, words: &[&str]) -> Output {
        let mut tmux = Command::new("tmux");
        tmux.arg("-S").arg(self.0.path("socket")).args(["-f", "/dev/null"]).args(words);
        tmux.env_remove("TMUX").env("TERM", "xterm-256color").output().expect("tmux is there")
    }

    fn say(&self, words: &[&str]) -> String {
        let output = self.command(words);
        assert!(output.status.success(), "tmux {words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts a pane of its own that runs this piece of shell and stays.
    fn pane(&self, name: &str, shell: &str) {
        let shell = format!("{shell}; echo; echo {ENDED}; exec sleep 600");
        let size = ["-x", "160", "-y", "30"];
        let words = ["new-session", "-d", "-s", name, size[0], size[1], size[2], size[3]];
        self.say(&[&words[..], &["sh", "-c", &shell]].concat());
    }

    /// Waits until the pane shows this, and returns what it shows, with escape sequences for
    /// colours.
    fn wait_for(&self, name: &str, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let shown = self.say(&["capture-pane", "-e", "-p", "-t", name]);
            if shown.contains(text) {
                return shown;
            }
            assert!(begun.elapsed() < native::LIMIT, "{name}: no {text:?} in {shown:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn state(&self, name: &str) -> String {
        self.say(&["display-message", "-p", "-t", name, STATE])
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.command(&["kill-server"]);
    }
}

/// What a user does to end the run.
#[derive(Clone, Copy)]
enum By {
    Guest,
    Keys(&'static [&'static str]),
    Signal(i32),
}

#[rustfmt::skip]
const ENDINGS: [(&str, &str, &str, By, &str); 14] = [
    ("power-off", "P", "", By::Guest, "the guest powered off (after "),
    ("reset", "R", "-no-reboot", By::Guest, "the guest asked for a reset (-no-reboot) (after "),
    ("debug-exit", "N", "-device isa-debug-exit,iobase=0xf4", By::Guest, "the guest ended by isa-debug-exit"),
    ("panic", "\"\r\n\"K", "", By::Guest, "the guest's kernel panicked: Kernel panic - not syncing: test "),
    ("pvpanic", "^", "-device pvpanic", By::Guest, "the guest's kernel panicked: reported by pvpanic"),
    ("kdump", "\"\r\n\"LP", "-append crashkernel=64M", By::Guest, "the guest's kernel panicked: "),
    ("oops", "\"\r\nBUG: kernel NULL pointer dereference, address: 0\r\n\"P", "-fail-on oops", By::Guest,
        "the guest's kernel reported an oops: BUG: kernel NULL pointer dereference, address: 0; then the guest"),
    ("triple-fault", "T", "", By::Guest, "the guest triple-faulted: CPU 0 "),
    ("kvm-error", "E", "", By::Guest, "KVM could not go on: internal error 1 "),
    ("time-out", "~", "-timeout 1", By::Guest, "the guest did not end in 1 s (-timeout) (after "),
    ("silence", "~", "-silence 1", By::Guest, "the guest printed nothing for 1 s (-silence) (after "),
    ("quit", "", "", By::Keys(&["C-a", "x"]), "ended by Ctrl-A x (after "),
    ("sigterm", "", "", By::Signal(libc::SIGTERM), "ended by signal 15 (after "),
    ("sigquit", "", "", By::Signal(libc::SIGQUIT), "ended by signal 3 (after "),
];

#[test]
fn a_pane_is_as_it_was_after_every_control_sequence_and_every_ending() {
    if !native::kvm() {
        return;
    }
    if pack::which("tmux").is_none() {
        return skip("tmux is not installed (hint: sh tests/setup.sh test)");
    }
    let chukka = binaries::chukka().expect("it is built");
    let tmux = Tmux(Scratch::new());
    let files = Scratch::new();
    let quoted = |path: &Path| format!("'{}'", path.display());
    let text = every_sequence();
    assert!(!text.contains('"'));
    // All at once.
    for (name, script, words, ..) in ENDINGS {
        let kernel = files.file(name, guest::kernel(&format!("\"{text}\"{script}")).as_slice());
        let pid = files.path(&format!("{name}.pid"));
        let command = [quoted(&chukka), "-kernel".into(), quoted(&kernel), "-m 64M".into()];
        let shell = format!("{} -pidfile {} {words}", command.join(" "), quoted(&pid));
        tmux.pane(name, &shell);
    }
    tmux.pane("fresh", "true");
    tmux.wait_for("fresh", ENDED);
    let fresh = tmux.state("fresh");
    assert!(fresh.contains("wrap=1 cursor=1 alternate=0"), "{fresh}");
    for (name, _, _, by, verdict) in ENDINGS {
        if !matches!(by, By::Guest) {
            // The guest's "ready": its first letter ends the sequence before it.
            tmux.wait_for(name, "eady");
            assert_ne!(tmux.state(name), fresh, "{name}: the guest has set its modes");
        }
        match by {
            By::Guest => {}
            By::Keys(keys) => drop(tmux.say(&[&["send-keys", "-t", name], keys].concat())),
            By::Signal(signal) => {
                let pid = std::fs::read_to_string(files.path(&format!("{name}.pid")));
                let pid = pid.expect("chukka has written it");
                let signal = signal.to_string();
                let kill = Command::new("kill").args(["-s", &signal, pid.trim()]).status();
                assert!(kill.is_ok_and(|status| status.success()), "{name}");
            }
        }
        let shown = tmux.wait_for(name, ENDED);
        assert_eq!(tmux.state(name), fresh, "{name}: {shown}");
        // Plain colours and characters, at the start of a line.
        let line = |text: &str| shown.lines().any(|line| line.starts_with(text));
        assert!(line(&format!("chukka: {verdict}")) && line(ENDED), "{name}: {shown:?}");
    }
}
