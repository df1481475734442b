//! The order of versions in names: the version format specification (UAPI.10).

use std::cmp::Ordering;

/// Compares versions: 6.1.0-10 is above 6.1.0-9, `~` is below everything and `^` below a point.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        (a, b) = (without_others(a), without_others(b));
        if let Some(order) = separator(&mut a, &mut b, b'~') {
            return order;
        }
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        if let Some(order) = b"-^.".iter().find_map(|c| separator(&mut a, &mut b, *c)) {
            return order;
        }
        let is_number = [a, b].iter().any(|text| text.first().is_some_and(u8::is_ascii_digit));
        let is_part = if is_number { u8::is_ascii_digit } else { u8::is_ascii_alphabetic };
        let (x, y) = (take(&mut a, is_part), take(&mut b, is_part));
        let order = if is_number {
            let (x, y) = (without_zeros(x), without_zeros(y));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Drops characters that versions do not have.
fn without_others(text: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.~^".contains(byte);
    let start = text.iter().position(is_part).unwrap_or(text.len());
    &text[start..]
}

/// The one that begins with the separator is lower; where both do, it is skipped.
fn separator(a: &mut &[u8], b: &mut &[u8], separator: u8) -> Option<Ordering> {
    let (x, y) = (a.first() == Some(&separator), b.first() == Some(&separator));
    if x && y {
        (*a, *b) = (&a[1..], &b[1..]);
    }
    (x != y).then(|| y.cmp(&x))
}

fn take<'t>(text: &mut &'t [u8], is_part: fn(&u8) -> bool) -> &'t [u8] {
    let end = text.iter().position(|byte| !is_part(byte)).unwrap_or(text.len());
    let (part, rest) = text.split_at(end);
    *text = rest;
    part
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let start = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    &digits[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let mut versions = ["6.1.0-9", "6.1.0-10", "6.1", "6.1.0-9-rt", "5.10", "06.2", ""];
        versions.sort_by(|a, b| compare(a, b));
        assert_eq!(versions, ["", "5.10", "6.1", "6.1.0-9", "6.1.0-9-rt", "6.1.0-10", "06.2"]);
    }

    /// The specification's example.
    #[test]
    fn separators_are_ordered_as_specified() {
        let sorted = [
            "122.1",
            "123~rc1-1",
            "123",
            "123-a",
            "123-a.1",
            "123-1",
            "123-1.1",
            "123^post1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124-1",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        for (a, b) in [("0", "00"), ("~", "~"), ("1_", "1")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }
}
