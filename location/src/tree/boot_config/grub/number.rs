//! Numbers in scripts, as `grub_strtoull` with base 0 reads them (GRUB's grub-core/kern/misc.c).

/// The number at the beginning of a text, and what follows it: hexadecimal behind `0x`, octal
/// behind a `0` with an octal digit. `None` if there are no digits.
pub(super) fn leading(text: &str) -> Option<(u64, &str)> {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let is_octal = |rest: &str| rest.starts_with(|c: char| c.is_digit(8));
    let (radix, digits) = match text.strip_prefix("0x") {
        Some(rest) => (16, rest),
        None if text.strip_prefix('0').is_some_and(is_octal) => (8, text),
        None => (10, text),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end).filter(|(digits, _)| !digits.is_empty())?;
    Some((u64::from_str_radix(digits, radix).unwrap_or(u64::MAX), rest))
}

#[cfg(test)]
mod tests {
    use super::leading;

    #[test]
    fn numbers_have_the_base_that_grub_guesses() {
        for (text, expected) in [
            ("1", Some((1, ""))),
            (" 12 3", Some((12, " 3"))),
            ("0x1F", Some((31, ""))),
            ("0X1", Some((0, "X1"))),
            ("010", Some((8, ""))),
            ("08", Some((8, ""))),
            ("0", Some((0, ""))),
            ("2nd", Some((2, "nd"))),
            ("99999999999999999999", Some((u64::MAX, ""))),
            ("0x", None),
            ("-1", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(leading(text), expected, "{text:?}");
        }
    }
}
