use std::borrow::Cow;
use std::io;

use guest_memory::hint::Hint;
use thiserror::Error;

/// The host refused a file descriptor, a thread, a timer or a signal handler.
#[derive(Debug, Error)]
#[error("Cannot set up {what}")]
pub struct HostError {
    /// What chukka wanted to set up.
    pub what: &'static str,
    /// The operating system's error.
    pub source: io::Error,
}

/// [`HostError::what`] of the sandbox.
const SANDBOX: &str = "the sandbox";
/// The same of [`HostError::user`].
const USER: &str = "the user given with -run-with";

impl HostError {
    /// The kernel refused a part of the sandbox.
    pub fn sandbox(source: io::Error) -> Self {
        Self { what: SANDBOX, source }
    }

    /// The kernel refused to run the process as another user.
    pub fn user(source: io::Error) -> Self {
        Self { what: USER, source }
    }

    /// An eventfd or a pipe could not be created, or a descriptor not be duplicated.
    pub fn descriptors(source: io::Error) -> Self {
        Self { what: "file descriptors", source }
    }
}

impl Hint for HostError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self.what {
            SANDBOX => {
                "use a host kernel with seccomp filters (CONFIG_SECCOMP_FILTER) and a container \
                 that permits them; a guest runs without a sandbox with -sandbox off"
                    .into()
            }
            USER => "start chukka as root, or leave out -run-with".into(),
            _ => "check the host's limits with ulimit -a".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hint_is_about_what_the_host_refused() {
        let refused = || io::Error::from(io::ErrorKind::PermissionDenied);
        for (error, hint) in [
            (HostError::sandbox(refused()), "a guest runs without a sandbox with -sandbox off"),
            (HostError::user(refused()), "start chukka as root, or leave out -run-with"),
            (HostError::descriptors(refused()), "check the host's limits with ulimit -a"),
        ] {
            assert!(error.hint().is_some_and(|text| text.ends_with(hint)), "{error}");
        }
    }
}
