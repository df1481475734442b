//! Why something cannot be published in fw_cfg.

use fw_cfg::ItemError;
use fw_cfg::loader::ScriptError;
use thiserror::Error;

/// Why something cannot be published in fw_cfg.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PublishError {
    /// A fw_cfg item.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// A command of the linker-loader script.
    #[error(transparent)]
    Script(#[from] ScriptError),
}
