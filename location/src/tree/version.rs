//! The order of versions in names.

use std::cmp::Ordering;

/// Compares texts with the numbers in them as numbers: 6.1.0-10 is above 6.1.0-9.
pub(super) fn by_version(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (in_a, in_b) = (digits(a), digits(b));
        let order = if in_a > 0 && in_b > 0 {
            let strip = |text: &'_ [u8]| text.iter().take_while(|byte| **byte == b'0').count();
            let (x, y) = (&a[strip(&a[..in_a])..in_a], &b[strip(&b[..in_b])..in_b]);
            (a, b) = (&a[in_a..], &b[in_b..]);
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            match (a.split_first(), b.split_first()) {
                (None, None) => return Ordering::Equal,
                (x, y) => {
                    let order = x.map(|(first, _)| first).cmp(&y.map(|(first, _)| first));
                    (a, b) = (x.map_or(a, |x| x.1), y.map_or(b, |y| y.1));
                    order
                }
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let mut versions = ["6.1.0-9", "6.1.0-10", "6.1", "6.1.0-9-rt", "5.10", "06.2", ""];
        versions.sort_by(|a, b| by_version(a, b));
        assert_eq!(versions, ["", "5.10", "6.1", "6.1.0-9", "6.1.0-9-rt", "6.1.0-10", "06.2"]);
    }
}
