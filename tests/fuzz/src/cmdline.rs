//! chukka's command line: words as no user would write them. Nothing is opened or created by
//! reading a command line (`chukka::args` makes plain data), so every path in it is harmless.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use chukka::args::{self, Invocation};
use guest_memory::hint::Hint;

/// Reads a command line of one word a line. A word has no zero byte, as execve(2) passes none; it
/// may end in one here.
///
/// # Panics
/// An error without a message, or an accepted command line without a machine.
pub fn run(bytes: &[u8]) {
    let words: Vec<OsString> = bytes
        .split(|byte| matches!(byte, b'\n' | 0))
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    match args::parse(words) {
        Ok(Invocation::Print(text)) => assert!(text.ends_with('\n')),
        Ok(Invocation::Boot(request) | Invocation::DryRun(request)) => {
            let config = &request.vm;
            assert!(request.boot.is_some() || config.firmware.is_some(), "nothing to run");
            assert!((1..=64).contains(&config.cpus), "{} CPUs", config.cpus);
            assert!(config.memory >= 1 << 20, "{} bytes of memory", config.memory);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "{error:?}");
            assert!(error.hint().is_none_or(|hint| !hint.is_empty()), "{error:?}");
        }
    }
}
