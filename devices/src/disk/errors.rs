//! What follows when the backend fails, as QEMU's `werror=` and `rerror=` have it
//! (`blk_get_error_action`, block/block-backend.c).

use std::fmt;
use std::io;

/// The operation that a request needed from the backend, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Making durable.
    Flush,
    /// Discarding.
    Discard,
    /// Writing zeros.
    WriteZeroes,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Discard => "discard",
            Self::WriteZeroes => "write of zeros",
        })
    }
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The guest gets an I/O error.
    Report,
    /// The guest is told that all is well.
    Ignore,
    /// [`Self::Stop`] if the host has no space left, otherwise [`Self::Report`].
    Enospc,
    /// The request is held, and tried again whenever its queue is served.
    Stop,
}

/// What to do about the errors of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorPolicy {
    /// About those of reads (`rerror=`).
    pub read: OnError,
    /// About those of everything else (`werror=`), flushes among them.
    pub write: OnError,
}

/// QEMU's defaults.
impl Default for ErrorPolicy {
    fn default() -> Self {
        Self { read: OnError::Report, write: OnError::Enospc }
    }
}

impl ErrorPolicy {
    pub(super) fn action(self, operation: Operation, error: &io::Error) -> Action {
        let policy = if operation == Operation::Read { self.read } else { self.write };
        match policy {
            OnError::Enospc if is_full(error) => Action::Hold,
            OnError::Report | OnError::Enospc => Action::Report,
            OnError::Ignore => Action::Ignore,
            OnError::Stop => Action::Hold,
        }
    }
}

/// No space is left: in the file system, or of the user's quota.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What a disk does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The guest gets an I/O error.
    Report,
    /// The guest is told that all is well.
    Ignore,
    /// The request waits and is tried again.
    Hold,
}

/// What a disk tells its owner.
#[derive(Debug)]
pub enum BlockEvent<'a> {
    /// The backend has failed. Of a held request, only the first failure.
    Failed {
        /// What it was to do.
        operation: Operation,
        /// Why it has not.
        error: &'a io::Error,
        /// What follows.
        action: Action,
    },
    /// A request that was held has been answered, and none is held any more.
    Resumed,
}

/// Receives the events of a disk, in the threads that serve its queues.
pub type BlockObserver = Box<dyn Fn(&BlockEvent<'_>) + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_system_is_waited_for_and_other_errors_are_reported_by_default() {
        let policy = ErrorPolicy::default();
        let action = |operation, kind: io::ErrorKind| policy.action(operation, &kind.into());
        for full in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            for operation in
                [Operation::Write, Operation::Flush, Operation::Discard, Operation::WriteZeroes]
            {
                assert_eq!(action(operation, full), Action::Hold);
            }
            assert_eq!(action(Operation::Read, full), Action::Report);
        }
        assert_eq!(action(Operation::Write, io::ErrorKind::UnexpectedEof), Action::Report);
    }

    #[test]
    fn each_policy_holds_for_its_operations() {
        let policy = ErrorPolicy { read: OnError::Stop, write: OnError::Ignore };
        let action = |operation, kind: io::ErrorKind| policy.action(operation, &kind.into());
        assert_eq!(action(Operation::Read, io::ErrorKind::Other), Action::Hold);
        assert_eq!(action(Operation::Flush, io::ErrorKind::StorageFull), Action::Ignore);
        let policy = ErrorPolicy { read: OnError::Ignore, write: OnError::Stop };
        let action = |operation, kind: io::ErrorKind| policy.action(operation, &kind.into());
        assert_eq!(action(Operation::Read, io::ErrorKind::Other), Action::Ignore);
        assert_eq!(action(Operation::Write, io::ErrorKind::Other), Action::Hold);
    }
}
