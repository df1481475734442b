//! Patterns with `*`, `?` and `[…]`, as glob(7) and fnmatch(3) have them.

/// Bytes that a pattern can have; names of files have at most 255.
pub(super) const LENGTH: usize = 1 << 10;

/// A pattern that was taken apart.
pub(super) struct Pattern(Vec<Part>);

enum Part {
    /// `*`
    Any,
    /// `?`
    One,
    Char(char),
    /// `[…]`
    Class {
        is_negated: bool,
        members: Vec<Range>,
    },
}

/// The first and the last character of a range.
type Range = (char, char);

impl Pattern {
    /// Takes a pattern apart. `None` if it has more than [`LENGTH`] bytes.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= LENGTH).then_some(())?;
        let text: Vec<char> = text.chars().collect();
        let (mut parts, mut rest) = (Vec::new(), &text[..]);
        while !rest.is_empty() {
            let (part, length) = match rest {
                ['*', ..] => (Part::Any, 1),
                ['?', ..] => (Part::One, 1),
                ['\\', escaped, ..] => (Part::Char(*escaped), 2),
                ['[', behind @ ..] => match class(behind) {
                    Some((is_negated, members, length)) => {
                        (Part::Class { is_negated, members }, length + 1)
                    }
                    None => (Part::Char('['), 1),
                },
                [first, ..] => (Part::Char(*first), 1),
                [] => break,
            };
            parts.push(part);
            rest = &rest[length..];
        }
        Some(Self(parts))
    }

    /// Takes a pattern apart in which only `*` and `?` have a meaning, as in GRUB's
    /// grub-core/commands/wildcard.c. `None` if it has more than [`LENGTH`] bytes.
    pub fn of_stars(text: &str) -> Option<Self> {
        let part = |c| match c {
            '*' => Part::Any,
            '?' => Part::One,
            c => Part::Char(c),
        };
        (text.len() <= LENGTH).then(|| Self(text.chars().map(part).collect()))
    }

    /// Whether a name fits. Takes time proportional to the product of the lengths at most.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut p, mut n) = (0, 0);
        // Where to try again after a mismatch: behind the last star, one character further.
        let mut retry = None;
        while n < name.len() {
            let part = self.0.get(p);
            if matches!(part, Some(Part::Any)) {
                retry = Some((p + 1, n));
                p += 1;
            } else if part.is_some_and(|part| part.fits(name[n])) {
                (p, n) = (p + 1, n + 1);
            } else if let Some((star, at)) = retry {
                retry = Some((star, at + 1));
                (p, n) = (star, at + 1);
            } else {
                return false;
            }
        }
        self.0[p..].iter().all(|part| matches!(part, Part::Any))
    }
}

impl Part {
    /// Whether it stands for this character.
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Char(own) => *own == c,
            Self::Class { is_negated, members } => {
                members.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *is_negated
            }
        }
    }
}

/// Whether a class is negated, its members, and its length up to and with the `]`. A backslash
/// takes the meaning of what follows it, as in fnmatch(3) and systemd's `efi_fnmatch`.
fn class(pattern: &[char]) -> Option<(bool, Vec<Range>, usize)> {
    let is_negated = matches!(pattern.first(), Some('!' | '^'));
    let start = usize::from(is_negated);
    let mut rest = pattern.get(start..)?;
    let mut members: Vec<Range> = Vec::new();
    loop {
        let from;
        (from, rest) = match rest {
            // A `]` that comes first is a member.
            [']', behind @ ..] if !members.is_empty() => {
                return Some((is_negated, members, pattern.len() - behind.len()));
            }
            ['\\', escaped, behind @ ..] => (*escaped, behind),
            [first, behind @ ..] => (*first, behind),
            [] => return None,
        };
        let to;
        (to, rest) = match rest {
            ['-', '\\', to, behind @ ..] => (*to, behind),
            ['-', to, behind @ ..] if *to != ']' => (*to, behind),
            _ => (from, rest),
        };
        members.push((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(name)
    }

    /// As `[` without a `]` is searched to the end, a pattern without a limit would be slow.
    #[test]
    fn a_pattern_much_longer_than_any_name_is_refused() {
        for unit in ["[", "a", "*"] {
            assert!(Pattern::new(&unit.repeat(LENGTH)).is_some(), "{unit}");
            assert!(Pattern::new(&unit.repeat(LENGTH + 1)).is_none(), "{unit}");
        }
    }

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
            ("[[[", "[[["),
            ("[a\\-z]", "-"),
            ("[1\\]]", "]"),
            ("[\\!a]", "!"),
            ("[a-\\c]", "b"),
            ("[a-]", "-"),
            ("[-a]", "-"),
            ("*[[", "a[["),
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
            ("[a\\-z]", "b"),
            ("[1\\]]", "\\"),
            ("[!\\]]", "]"),
            ("a\\*", "ab"),
            ("*.conf", "a.con"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(300), &"a".repeat(299)));
    }
}
