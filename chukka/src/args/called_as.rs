//! The name that chukka was called by: its own, or QEMU's by a symbolic link.

use std::ffi::OsStr;
use std::path::Path;

/// Whose name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalledAs {
    /// chukka's own, or any other.
    Chukka,
    /// `qemu-system-x86_64`, or one of the names that distributions give it. Scripts that call QEMU
    /// read its version, and take anything on standard error for a failure.
    Qemu,
}

/// QEMU's names for a program that runs x86-64 guests: its own, Fedora's, and Debian's.
const QEMU: [&str; 3] = ["qemu-system-x86_64", "qemu-kvm", "kvm"];

impl CalledAs {
    /// By argv's first word, which may be a path.
    #[must_use]
    pub fn of(program: &OsStr) -> Self {
        let name = Path::new(program).file_name();
        let is_qemu = QEMU.into_iter().any(|known| name == Some(OsStr::new(known)));
        if is_qemu { Self::Qemu } else { Self::Chukka }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_recognised_with_and_without_a_path() {
        for (program, expected) in [
            ("qemu-system-x86_64", CalledAs::Qemu),
            ("/usr/libexec/qemu-kvm", CalledAs::Qemu),
            ("./kvm", CalledAs::Qemu),
            ("chukka", CalledAs::Chukka),
            ("qemu-system-x86_64.bak", CalledAs::Chukka),
            ("/usr/bin/qemu-system-x86_64/chukka", CalledAs::Chukka),
            ("", CalledAs::Chukka),
        ] {
            assert_eq!(CalledAs::of(OsStr::new(program)), expected, "{program}");
        }
    }
}
