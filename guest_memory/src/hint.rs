//! What a user can do about an error.

use std::borrow::Cow;

/// An error with advice for the user. The error message itself states what failed, what was found
/// and what was expected.
pub trait Hint: std::error::Error {
    /// One line of advice, in the imperative, without a period. `None` if there is nothing to do.
    fn hint(&self) -> Option<Cow<'_, str>>;
}
