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

#[cfg(test)]
mod tests {
    use super::*;

    /// As `next_arg` of lib/cmdline.c in Linux: each quote begins or ends a part in which a space
    /// does not separate.
    #[test]
    fn a_space_inside_quotes_does_not_separate_words() {
        for (cmdline, expected) in [
            ("  a  b=1\tc ", &["a", "b=1", "c"][..]),
            ("a=\"b c\" d", &["a=\"b c\"", "d"]),
            ("\"a b\" \"c d\" e", &["\"a b\"", "\"c d\"", "e"]),
            ("a \"b c", &["a", "\"b c"]),
        ] {
            let words: Vec<_> = words(cmdline.as_bytes()).map(<[u8]>::to_vec).collect();
            let expected: Vec<_> = expected.iter().map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(words, expected, "{cmdline}");
        }
    }
}
