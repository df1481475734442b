//! What chukka makes of a guest: how runs end, what a guest cannot do to it, and where its console goes. The guests are tiny
//! (`chukka_tests::native::guest`): they run on this machine, whatever its KVM.

mod ends;
#[expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]
mod entries;
mod files;
mod hostile;
mod streams;
