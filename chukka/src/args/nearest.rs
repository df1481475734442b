//! Which of the known names a misspelt one resembles.

/// The candidate nearest to `given`, if it is near enough: one that begins with `given`, or one
/// that takes no more edits than a third of its length. Case does not count.
pub(super) fn nearest(
    given: &str,
    candidates: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    let given = given.to_lowercase();
    let length = given.chars().count();
    // Longer words are no typing errors, and would take long.
    if !(2..=40).contains(&length) {
        return None;
    }
    let allowed = (length / 3).max(1);
    candidates
        .filter(|candidate| candidate.len() > 1)
        .filter_map(|candidate| {
            let name = candidate.to_lowercase();
            let begun = length > 2 && name.starts_with(&given);
            let edits = if begun { 1 } else { strsim::osa_distance(&given, &name) };
            (edits <= allowed).then_some((edits, candidate))
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = || ["kernel", "initrd", "append", "m", "smp"].into_iter();
        for (given, expected) in [
            ("kernal", Some("kernel")),
            ("Kernel", Some("kernel")),
            ("kern", Some("kernel")),
            ("kernle", Some("kernel")),
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
