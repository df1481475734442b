//! The kernel's command line, as GRUB writes it (`grub_create_loader_cmdline` in its
//! grub-core/lib/cmdline.c).

/// Joins arguments: one with a space is put in double quotes, a backslash or quote gets a
/// backslash, and `\xHH` stays as it is.
pub(super) fn join(arguments: &[String]) -> String {
    arguments.iter().map(|argument| quoted(argument)).collect::<Vec<_>>().join(" ")
}

fn quoted(argument: &str) -> String {
    let mut text = String::with_capacity(argument.len());
    for (at, c) in argument.char_indices() {
        if matches!(c, '\'' | '"') || (c == '\\' && !is_hexadecimal(&argument[at..])) {
            text.push('\\');
        }
        text.push(c);
    }
    if argument.contains(' ') { format!("\"{text}\"") } else { text }
}

/// Whether a text begins with `\xHH`.
fn is_hexadecimal(text: &str) -> bool {
    let digits = text.strip_prefix("\\x").and_then(|rest| rest.as_bytes().get(..2));
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_as_grub_does() {
        for (arguments, line) in [
            (&["ro", "quiet"][..], "ro quiet"),
            (&["a=1 2"], "\"a=1 2\""),
            (&[r"LABEL=Some\x20Disk"], r"LABEL=Some\x20Disk"),
            (&[r"a\b", r"\x2"], r"a\\b \\x2"),
            (&[r#"a="b""#, "it's"], r#"a=\"b\" it\'s"#),
            (&["", "x"], " x"),
            (&[], ""),
        ] {
            let arguments: Vec<_> = arguments.iter().copied().map(str::to_owned).collect();
            assert_eq!(join(&arguments), line);
        }
    }
}
