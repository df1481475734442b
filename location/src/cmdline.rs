//! The words of a kernel's command line.

/// Splits a command line as the kernel does: a space inside double quotes does not separate words
/// (`next_arg`, lib/cmdline.c in Linux).
pub(crate) fn words(cmdline: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    let parts = cmdline.split(move |byte| {
        is_quoted ^= *byte == b'"';
        !is_quoted && byte.is_ascii_whitespace()
    });
    parts.filter(|word| !word.is_empty())
}
