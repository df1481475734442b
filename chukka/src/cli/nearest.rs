//! Which of the known names a misspelt one resembles.

/// The candidate nearest to `given`, if one is near enough to be what was meant: as many edits as a
/// third of its length, or it begins with `given`. Case does not count. Only called on the way to
/// an error.
pub(super) fn nearest(
    given: &str,
    candidates: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    let given: Vec<char> = given.to_lowercase().chars().collect();
    if given.len() < 2 || given.len() > 40 {
        return None;
    }
    let allowed = (given.len() / 3).max(1);
    candidates
        .filter(|candidate| candidate.len() > 1)
        .filter_map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().collect();
            let begun = given.len() > 2 && letters.starts_with(&given);
            let edits = if begun { 1 } else { distance(&given, &letters) };
            (edits <= allowed).then_some((edits, candidate))
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// How many letters to insert, leave out, replace or swap with their neighbour to get from one word
/// to the other (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            let mut edits = (last[j - 1] + usize::from(!same)).min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                edits = edits.min(before[j - 2] + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in
            [("", "", 0), ("", "abc", 3), ("kernel", "kernel", 0), ("kernal", "kernel", 1)]
        {
            assert_eq!(distance(&chars(a), &chars(b)), edits, "{a} {b}");
            assert_eq!(distance(&chars(b), &chars(a)), edits, "{b} {a}");
        }
        assert_eq!(distance(&chars("kernle"), &chars("kernel")), 1, "a swap is one edit");
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = || ["kernel", "initrd", "append", "m", "smp"].into_iter();
        for (given, expected) in [
            ("kernal", Some("kernel")),
            ("Kernel", Some("kernel")),
            ("kern", Some("kernel")),
            ("inird", Some("initrd")),
            ("smpp", Some("smp")),
            ("sm", Some("smp")),
            ("x", None),
            ("", None),
            ("banana", None),
        ] {
            assert_eq!(nearest(given, names()), expected, "{given}");
        }
    }
}
