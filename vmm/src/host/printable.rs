//! Text from outside, made safe to print: the one filter for everything that comes from a guest, a
//! server, a tree or an image and ends up in a message.
//!
//! A terminal obeys control characters in what it shows. A kernel's panic message, a file name in
//! an ISO or a server's answer could move the cursor, change colours, set the window's title, or
//! make the terminal type. So they are shown as escapes, and never sent.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with each character that [`is_unsafe`] as an escape: `\n`, `\r`, `\t`, `\x1b`, or
/// `\u{202e}`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '\n' => escaped.write_str("\\n"),
            '\r' => escaped.write_str("\\r"),
            '\t' => escaped.write_str("\\t"),
            c if c.is_ascii_control() => write!(escaped, "\\x{:02x}", u32::from(c)),
            c if is_unsafe(c) => write!(escaped, "\\u{{{:x}}}", u32::from(c)),
            c => escaped.write_char(c),
        };
    }
    Cow::Owned(escaped)
}

/// Whether a terminal may act on `c` instead of showing it: the control characters of ASCII and of
/// ISO 8859-1 (a terminal may take U+009B for ESC `[`), line separators, and what changes the order
/// of the characters around it (Unicode Standard Annex #9, section 2).
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_as_escapes() {
        for (text, expected) in [
            ("plain, äöü 漢 \u{1f980} C:\\n", "plain, äöü 漢 \u{1f980} C:\\n"),
            ("a\x1b[2Jb", "a\\x1b[2Jb"),
            ("a\u{9b}2Jb", "a\\u{9b}2Jb"),
            ("\r\n\t\x07\x7f\0", "\\r\\n\\t\\x07\\x7f\\x00"),
            ("txt.\u{202e}exe", "txt.\\u{202e}exe"),
            ("\u{2066}\u{2028}", "\\u{2066}\\u{2028}"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn nothing_unsafe_remains() {
        for c in (0..0x3000).filter_map(char::from_u32) {
            let text = c.to_string();
            assert!(!printable(&text).contains(is_unsafe), "{c:?}");
            assert_eq!(printable(&text) == text, !is_unsafe(c), "{c:?}");
        }
    }
}
