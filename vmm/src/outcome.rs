//! How a run ended: the outcome, its message and its exit status.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use devices::kernel_problem::KernelProblem;
use guest_memory::{Engine, Memory};

/// How the guest or the run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest powered off through ACPI.
    PowerOff,
    /// The guest requested a reset, which ends the run because of `-no-reboot`.
    Reset,
    /// The guest's watchdog expired, which ends the run because of `-no-reboot` or `-action
    /// watchdog=poweroff`.
    Watchdog,
    /// The guest ended the run through `-device isa-debug-exit`. Holds the exit status it chose.
    DebugExit(u8),
    /// The guest's kernel printed a panic message on a serial port. Holds that line.
    Panic(String),
    /// The guest's kernel reported a problem that the user asked to fail on, and survived it.
    Problem {
        /// Its kind.
        kind: KernelProblem,
        /// The first line of the report.
        line: String,
        /// How the run ended then.
        then: Box<Outcome>,
    },
    /// The guest ended this way, powered off or reset, and never printed anything on its consoles.
    Mute(Box<Outcome>),
    /// A CPU triple-faulted, an unintended reset.
    TripleFault(Box<CpuSnapshot>),
    /// KVM could not continue.
    Kvm {
        /// What happened.
        what: String,
        /// The state of the CPU.
        cpu: Box<CpuSnapshot>,
    },
    /// The built-in firmware could not boot the kernel. Holds its error message.
    Firmware(String),
    /// A file mapped into guest memory was truncated while the guest ran.
    FileCut {
        /// Its name.
        path: PathBuf,
        /// Minimum length in bytes that the mapping requires.
        expected: u64,
        /// Actual length in bytes.
        found: u64,
    },
    /// A file was written to before its pages that are mapped into guest memory could be copied.
    /// Holds its path.
    FileChanged(PathBuf),
    /// The guest had not ended after this time (`-timeout`).
    TimeOut(Duration),
    /// The guest printed nothing for this time (`-silence`).
    Silence(Duration),
    /// The user typed Ctrl-A x.
    Quit,
    /// A client of a monitor ended the run.
    MonitorQuit,
    /// The debugger killed the guest.
    Killed,
    /// A signal that terminates the process: chukka cleans up, then dies of it.
    Signal(i32),
    /// chukka itself failed in the named part; the panic message has already been printed.
    Defect(&'static str),
}

/// The state of a CPU that could not continue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSnapshot {
    /// Its number, from 0.
    pub cpu: u8,
    /// Instruction pointer.
    pub rip: u64,
    /// Linear address of the instruction: RIP plus the CS base in modes that use it.
    pub linear: u64,
    /// The CPU mode in bits: 16, 32 or 64, or 0 if the registers could not be read.
    pub mode: u8,
    /// Whether protected mode was enabled.
    pub protected: bool,
    /// The bytes at RIP that could be read.
    pub bytes: Vec<u8>,
}

impl fmt::Display for CpuSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match (self.mode, self.protected) {
            (0, _) => return write!(f, "CPU {} (its registers are lost)", self.cpu),
            (64, _) => "64-bit mode".into(),
            (bits, true) => format!("{bits}-bit protected mode"),
            (_, false) => "real mode".to_owned(),
        };
        write!(f, "CPU {} at RIP {:#x} in {mode}, ", self.cpu, self.rip)?;
        match self.bytes.as_slice() {
            [] => write!(f, "where the instruction cannot be read"),
            bytes => {
                write!(f, "instruction bytes")?;
                bytes.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
            }
        }
    }
}

impl Outcome {
    /// Returns the outcome if a file mapped into guest memory was truncated or changed.
    pub fn file_lost<M: Memory>(engine: &Engine<M>) -> Option<Self> {
        Self::file_cut(engine).or_else(|| engine.changed_file().map(Self::FileChanged))
    }

    /// Returns the outcome if a file mapped into guest memory was truncated.
    pub fn file_cut<M: Memory>(engine: &Engine<M>) -> Option<Self> {
        let (path, expected, found) = engine.cut_file()?;
        Some(Self::FileCut { path, expected, found })
    }

    /// The name of the outcome for programs (docs/exit-codes.md).
    pub fn name(&self) -> &'static str {
        match self {
            Self::PowerOff => "power-off",
            Self::Reset => "reset",
            Self::Watchdog => "watchdog",
            Self::DebugExit(_) => "debug-exit",
            Self::Panic(_) => "panic",
            Self::Problem { kind, .. } => kind.name(),
            Self::Mute(_) => "mute",
            Self::TripleFault(_) => "triple-fault",
            Self::Kvm { .. } => "kvm-error",
            Self::Firmware(_) => "firmware-error",
            Self::FileCut { .. } | Self::FileChanged(_) => "file-changed",
            Self::TimeOut(_) => "timeout",
            Self::Silence(_) => "silence",
            Self::Quit | Self::MonitorQuit => "quit",
            Self::Killed => "killed",
            Self::Signal(_) => "signal",
            Self::Defect(_) => "defect",
        }
    }

    /// The line of the guest that is the evidence, if one is.
    pub fn line(&self) -> Option<&str> {
        match self {
            Self::Panic(line) | Self::Problem { line, .. } | Self::Firmware(line) => Some(line),
            _ => None,
        }
    }

    /// The outcome of a guest that never printed anything on a console that somebody reads.
    #[must_use]
    pub fn mute(self) -> Self {
        match self {
            Self::PowerOff | Self::Reset => Self::Mute(Box::new(self)),
            other => other,
        }
    }

    /// The exit status of the process (docs/exit-codes.md). `None` if the process dies of the
    /// signal instead.
    pub fn status(&self) -> Option<u8> {
        match self {
            Self::PowerOff | Self::Reset | Self::Quit | Self::MonitorQuit | Self::Killed => Some(0),
            Self::DebugExit(status) => Some(*status),
            Self::Panic(_) => Some(120),
            Self::Problem { kind, .. } => Some(match kind {
                KernelProblem::Oops => 119,
                KernelProblem::Kasan => 118,
                KernelProblem::Lockdep => 117,
                KernelProblem::Warning => 116,
            }),
            Self::Mute(_) => Some(123),
            Self::TripleFault(_) => Some(121),
            Self::Kvm { .. } => Some(122),
            Self::TimeOut(_) | Self::Silence(_) | Self::Watchdog => Some(124),
            Self::Firmware(_) | Self::FileCut { .. } | Self::FileChanged(_) | Self::Defect(_) => {
                Some(125)
            }
            Self::Signal(_) => None,
        }
    }

    /// Whether the guest or the user ended the run on purpose.
    pub fn is_orderly(&self) -> bool {
        matches!(
            self,
            Self::PowerOff
                | Self::Reset
                | Self::DebugExit(_)
                | Self::Quit
                | Self::MonitorQuit
                | Self::Killed
        )
    }

    /// Whether the guest's memory may say why: it ended badly or hung, or the user sent SIGQUIT, as
    /// to any program whose core is wanted.
    pub fn leaves_core(&self) -> bool {
        match self {
            Self::Panic(_)
            | Self::TripleFault(_)
            | Self::Kvm { .. }
            | Self::TimeOut(_)
            | Self::Silence(_)
            | Self::Watchdog => true,
            Self::Signal(number) => *number == libc::SIGQUIT,
            _ => false,
        }
    }

    /// What the user can do about it, if anything.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Kvm { .. } => {
                Some("the host's KVM cannot run this instruction; check dmesg on the host")
            }
            Self::Firmware(_) => Some(
                "it boots the kernel of -kernel; -trace fw_cfg shows which items the firmware read",
            ),
            Self::FileCut { .. } | Self::FileChanged(_) => Some(
                "do not write to a file while a guest uses it: write a new one and rename it over the old",
            ),
            Self::Defect(_) => {
                Some("this is a bug in chukka; please report it with the command line")
            }
            Self::Mute(_) => Some(
                "if a kernel should have printed something, add console=ttyS0 earlyprintk=ttyS0 to \
                 -append; if the guest is meant to be silent, use -serial null",
            ),
            Self::TripleFault(_) => {
                Some("add earlyprintk=ttyS0 to -append to see how far the kernel got")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => write!(f, "the guest powered off"),
            Self::Reset => write!(f, "the guest asked for a reset (-no-reboot)"),
            Self::Watchdog => write!(f, "the guest's watchdog expired"),
            Self::DebugExit(status) => {
                write!(f, "the guest ended by isa-debug-exit with status {status}")
            }
            Self::Panic(line) => write!(f, "the guest's kernel panicked: {line}"),
            Self::Problem { kind, line, then } => {
                let what = match kind {
                    KernelProblem::Oops => "an oops",
                    KernelProblem::Kasan => "a KASAN error",
                    KernelProblem::Lockdep => "a locking error",
                    KernelProblem::Warning => "a warning",
                };
                write!(f, "the guest's kernel reported {what}: {line}; then {then}")
            }
            Self::Mute(then) => write!(f, "{then}, and had printed nothing"),
            Self::TripleFault(cpu) => write!(f, "the guest triple-faulted: {cpu}"),
            Self::Kvm { what, cpu } => write!(f, "KVM could not go on: {what}: {cpu}"),
            Self::Firmware(error) => write!(f, "the firmware could not boot: {error}"),
            Self::FileCut { path, expected, found } => write!(
                f,
                "'{}' was truncated while the guest ran: the guest was given {expected} bytes of it, and it now has {found}",
                path.display()
            ),
            Self::FileChanged(path) => write!(
                f,
                "'{}' was written to while the guest ran, before chukka could copy the part that the guest uses",
                path.display()
            ),
            Self::TimeOut(time) => {
                write!(f, "the guest did not end in {} s (-timeout)", time.as_secs_f64())
            }
            Self::Silence(time) => {
                write!(f, "the guest printed nothing for {} s (-silence)", time.as_secs_f64())
            }
            Self::Quit => write!(f, "ended by Ctrl-A x"),
            Self::MonitorQuit => write!(f, "ended by the monitor's command quit"),
            Self::Killed => write!(f, "ended by the debugger"),
            Self::Defect(part) => write!(f, "internal error in {part}"),
            Self::Signal(number) => write!(f, "ended by signal {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/exit-codes.md: -vmcore writes the memory of guests that ended badly.
    #[test]
    fn guests_that_ended_badly_leave_a_core_and_so_does_sigquit() {
        let cpu = Box::<CpuSnapshot>::default;
        let second = Duration::from_secs(1);
        for (outcome, leaves) in [
            (Outcome::Panic("panic".into()), true),
            (Outcome::TripleFault(cpu()), true),
            (Outcome::Kvm { what: String::new(), cpu: cpu() }, true),
            (Outcome::TimeOut(second), true),
            (Outcome::Silence(second), true),
            (Outcome::Watchdog, true),
            (Outcome::Signal(libc::SIGQUIT), true),
            (Outcome::Signal(libc::SIGTERM), false),
            (Outcome::PowerOff, false),
            (Outcome::Reset, false),
            (Outcome::DebugExit(1), false),
            (Outcome::Quit, false),
        ] {
            assert_eq!(outcome.leaves_core(), leaves, "{outcome}");
        }
    }

    #[test]
    fn a_hint_is_given_where_the_user_can_do_something() {
        let mute = Outcome::Mute(Box::new(Outcome::PowerOff));
        for (outcome, words) in [
            (Outcome::Defect("the event loop"), Some("please report it")),
            (Outcome::Firmware(String::new()), Some("-trace fw_cfg")),
            (Outcome::FileChanged("x".into()), Some("rename it over the old")),
            (Outcome::TripleFault(Box::default()), Some("earlyprintk=ttyS0")),
            (Outcome::Kvm { what: String::new(), cpu: Box::default() }, Some("dmesg")),
            (mute, Some("console=ttyS0")),
            (Outcome::PowerOff, None),
            (Outcome::Panic("panic".into()), None),
        ] {
            let hint = outcome.hint();
            assert_eq!(hint.is_some(), words.is_some(), "{outcome}");
            assert!(hint.unwrap_or_default().contains(words.unwrap_or_default()), "{hint:?}");
        }
    }
}
