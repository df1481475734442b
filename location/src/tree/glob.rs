//! Patterns with `*`, `?` and `[…]`, as glob(7) and fnmatch(3) have them.

/// Whether a name fits a pattern. Takes time proportional to the product of their lengths at most.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to try again after a mismatch: behind the last star, one character further.
    let mut retry = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p + 1, n));
            p += 1;
        } else if let Some(length) = one(&pattern[p..], name[n]) {
            (p, n) = (p + length, n + 1);
        } else if let Some((star, at)) = retry {
            retry = Some((star, at + 1));
            (p, n) = (star, at + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The length of what stands for one character, if `c` fits it.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', escaped, ..] => (*escaped == c).then_some(2),
        ['[', rest @ ..] => match class(rest) {
            Some((is_negated, members, length)) => {
                (contains(members, c) != is_negated).then_some(length + 1)
            }
            None => (c == '[').then_some(1),
        },
        [first, ..] => (*first == c).then_some(1),
        [] => None,
    }
}

/// Whether a class is negated, its members, and its length up to and with the `]`.
fn class(pattern: &[char]) -> Option<(bool, &[char], usize)> {
    let is_negated = matches!(pattern.first(), Some('!' | '^'));
    let start = usize::from(is_negated);
    // A `]` that comes first is a member.
    let end = pattern.iter().skip(start + 1).position(|c| *c == ']')? + start + 1;
    Some((is_negated, &pattern[start..end], end + 1))
}

fn contains(members: &[char], c: char) -> bool {
    let mut rest = members;
    loop {
        rest = match rest {
            [from, '-', to, tail @ ..] => {
                if (*from..=*to).contains(&c) {
                    return true;
                }
                tail
            }
            [one, tail @ ..] => {
                if *one == c {
                    return true;
                }
                tail
            }
            [] => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, name) in [
            ("", ""),
            ("*", ""),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]]", "]"),
            ("a\\*", "a*"),
            ("[", "["),
            ("*.conf", "a.b.conf"),
            ("a*b*c", "axxbyyc"),
            ("é?", "éé"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("a", ""),
            ("a*", "b"),
            ("a?c", "ac"),
            ("[a-c]x", "dx"),
            ("[!a-c]x", "ax"),
            ("a\\*", "ab"),
            ("*.conf", "a.con"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(300), &"a".repeat(299)));
    }
}
