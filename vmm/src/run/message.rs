//! What the user should know while the guest runs.

use std::fmt;

use fw_cfg::x86::VmCoreInfo;

/// A message to the user, for standard error. [`fmt::Display`] gives the text without chukka's
/// name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The guest's output failed. Holds the system's error.
    OutputLost(String),
    /// The host can no longer read an item of fw_cfg. Holds which, and why.
    ItemLost(String),
    /// The guest left its vmcoreinfo note.
    VmCoreInfo(VmCoreInfo),
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutputLost(error) => {
                write!(f, "warning: the guest's output cannot be written any more: {error}")
            }
            Self::ItemLost(lost) => write!(f, "warning: {lost}"),
            Self::VmCoreInfo(info) => {
                write!(f, "the guest's vmcoreinfo: {} bytes at {:#x}", info.size, info.paddr)
            }
        }
    }
}
