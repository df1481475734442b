//! The patterns of `regexp`: POSIX extended regular expressions (GRUB's grub-core/commands/regexp.c
//! compiles them with `REG_EXTENDED` of gnulib's regcomp.c).

use std::iter::Peekable;
use std::str::Chars;

use regex_automata::nfa::thompson::{self, pikevm};
use regex_automata::util::{captures::Captures, syntax};
use regex_automata::{Anchored, Input, MatchKind};

/// Bytes that a compiled pattern can have.
const LIMIT: usize = 1 << 18;
/// Steps for each state of a compiled pattern that the compilation counts as.
const COMPILATION: usize = 64;
/// Groups that a pattern can have, with the whole.
const GROUPS: usize = 32;
/// Steps that all patterns of a configuration can take: states times groups times bytes of the
/// text.
pub(super) const STEPS: usize = 1 << 26;

/// What a pattern's groups match in a text, the whole first; `None` if it does not match. `Err`:
/// the pattern is wrong or too long, has too many groups or a reference to one, or takes more than
/// what is left of `steps`.
pub(super) fn groups(
    pattern: &str,
    text: &str,
    steps: &mut usize,
) -> Result<Option<Vec<Option<String>>>, ()> {
    let pattern = translated(pattern).ok_or(())?;
    let compiled = |kind: MatchKind| {
        let syntax = syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true);
        let mut builder = pikevm::PikeVM::builder();
        builder.syntax(syntax).configure(pikevm::Config::new().match_kind(kind));
        builder.thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(LIMIT)));
        builder.build(&pattern).map_err(drop)
    };
    // POSIX takes the match that begins first, and of those the longest.
    let first = compiled(MatchKind::LeftmostFirst)?;
    // The matcher has a table of all groups for each state.
    let count = first.get_nfa().group_info().all_group_len();
    if count > GROUPS {
        return Err(());
    }
    let states = first.get_nfa().states().len();
    let needed = states.saturating_mul(count).saturating_mul(text.len() + COMPILATION);
    *steps = steps.checked_sub(needed).ok_or(())?;
    let Some(found) = first.find_iter(&mut first.create_cache(), text).next() else {
        return Ok(None);
    };
    let longest = compiled(MatchKind::All)?;
    let mut captures: Captures = longest.create_captures();
    let input = Input::new(text).span(found.start()..text.len()).anchored(Anchored::Yes);
    longest.search(&mut longest.create_cache(), &input, &mut captures);
    let group = |span: regex_automata::Span| {
        String::from_utf8_lossy(&text.as_bytes()[span.range()]).into_owned()
    };
    Ok(Some(captures.iter().map(|span| span.map(group)).collect()))
}

/// The same pattern in the syntax of the regex crate. `None`: it is wrong.
fn translated(pattern: &str) -> Option<String> {
    let mut whole = String::new();
    let mut chars = pattern.chars().peekable();
    let mut depth = 0_usize;
    let mut is_repetition = false;
    while let Some(c) = chars.next() {
        let is_repeated = std::mem::replace(&mut is_repetition, "*+?}".contains(c));
        match c {
            // After a repetition, the crate takes it as "as few as possible".
            '?' if is_repeated => match whole.pop()? {
                '+' => whole.push('*'),
                '}' => return None,
                c => whole.push(c),
            },
            '\\' => match chars.next()? {
                '`' => whole += "\\A",
                '\'' => whole += "\\z",
                c @ ('w' | 'W' | 's' | 'S' | 'b' | 'B' | '<' | '>' | '1'..='9') => {
                    whole.extend(['\\', c]);
                }
                c => push_literal(c, &mut whole),
            },
            '[' => bracket(&mut chars, &mut whole)?,
            // These are the crate's own groups.
            '(' if chars.peek() == Some(&'?') => return None,
            '(' => {
                depth += 1;
                whole.push(c);
            }
            ')' if depth == 0 => whole += "\\)",
            ')' => {
                depth -= 1;
                whole.push(c);
            }
            c => whole.push(c),
        }
    }
    Some(whole)
}

/// A bracket expression, in which a backslash is a character like others.
fn bracket(chars: &mut Peekable<Chars<'_>>, whole: &mut String) -> Option<()> {
    whole.push('[');
    if chars.next_if_eq(&'^').is_some() {
        whole.push('^');
    }
    let mut is_first = true;
    loop {
        let c = chars.next()?;
        if c == ']' && !is_first {
            whole.push(']');
            return Some(());
        }
        is_first = false;
        match chars.next_if(|next| c == '[' && matches!(next, ':' | '.' | '=')) {
            Some(kind) => {
                let name: String = chars.by_ref().take_while(|c| *c != kind).collect();
                chars.next_if_eq(&']')?;
                match (kind, name.chars().next()) {
                    (':', _) => whole.extend(["[:", &name, ":]"]),
                    (_, Some(c)) if name.chars().count() == 1 => push_literal(c, whole),
                    _ => return None,
                }
            }
            None => push_literal(c, whole),
        }
        let mut ahead = chars.clone();
        let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|end| end != ']');
        if is_range {
            chars.next();
            whole.push('-');
            push_literal(chars.next()?, whole);
        }
    }
}

fn push_literal(c: char, whole: &mut String) {
    if r"\.+*?()|[]{}^$#&-~".contains(c) {
        whole.push('\\');
    }
    whole.push(c);
}

#[cfg(test)]
mod tests {
    use super::groups as limited;

    fn groups(pattern: &str, text: &str) -> Result<Option<Vec<Option<String>>>, ()> {
        limited(pattern, text, &mut super::STEPS.clone())
    }

    /// POSIX.1, chapter 9; gnulib's regcomp.c adds `\w` and the like.
    #[test]
    fn patterns_are_those_of_posix() {
        for (pattern, text, expected) in [
            // The longest of those that begin first.
            ("a|ab", "xabc", "ab"),
            ("(a|ab)(c|bcd)", "abcd", "abcd"),
            ("a|b|abc", "babc", "b"),
            ("a*?", "aaa", "aaa"),
            ("xa+?y", "xy", "xy"),
            ("xa+?y", "xaay", "xaay"),
            ("a???", "aa", "a"),
            (r"a\+?", "a+", "a+"),
            ("[+]?", "+", "+"),
            ("x*", "axx", ""),
            ("(^a|b)c", "xacbc", "bc"),
            ("ab$|a", "abab", "a"),
            // Brackets.
            (r"[^\]+", r"x\y", "x"),
            (r"[\]+", r"x\\y", r"\\"),
            ("[]x]+", "a]x", "]x"),
            ("[^]x]+", "]ax", "a"),
            ("[a-]+", "b-a", "-a"),
            ("[+--]+", "x,-", ",-"),
            ("[[:digit:]x]+", "a1x", "1x"),
            ("[[.-.]a]+", "b-a", "-a"),
            ("[[=a=]]+", "baa", "aa"),
            ("[a&&b]+", "c&b", "&b"),
            ("[[a]+", "x[a", "[a"),
            // Outside.
            (r"\.x\-", "a.x-", ".x-"),
            (r"\d+", "1dd", "dd"),
            (r"\w+", "-a1", "a1"),
            (r"\<b", "ab b", "b"),
            ("a.b", "a\nb", "a\nb"),
            ("a)", "a)", "a)"),
            ("a{2}", "aaa", "aa"),
            ("(ab|c){1,2}", "cabc", "cab"),
        ] {
            let found = groups(pattern, text).unwrap().unwrap();
            assert_eq!(found[0].as_deref(), Some(expected), "{pattern}");
        }
        for (pattern, text) in [("a", "b"), ("^b", "ab"), ("a$", "ab"), ("[^a]", "a")] {
            assert_eq!(groups(pattern, text), Ok(None), "{pattern}");
        }
        for pattern in
            ["(", "[a", "[", "(?:a)", "(?i)a", "*a", "a|*", "\\", r"(a)\1", "[[.ab.]]", "a{2}?"]
        {
            assert_eq!(groups(pattern, "a"), Err(()), "{pattern}");
        }
    }

    #[test]
    fn groups_without_a_part_in_the_match_are_none() {
        let found = groups("(a)|(b)(c*)", "xb").unwrap().unwrap();
        assert_eq!(found, [Some("b"), None, Some("b"), Some("")].map(|it| it.map(str::to_owned)));
    }

    #[test]
    fn a_pattern_that_is_too_long_is_refused() {
        assert_eq!(groups("((a{99}){99}){99}", "a"), Err(()));
        assert!(groups(&"(a?)".repeat(31), "a").unwrap().is_some());
        assert_eq!(groups(&"(a?)".repeat(32), "a"), Err(()));
        // Each takes steps of all.
        let mut steps = 1 << 20;
        let text = "a".repeat(1 << 12);
        let rounds = (0..1000).take_while(|_| limited("(a|b)*c", &text, &mut steps).is_ok());
        assert!((2..100).contains(&rounds.count()), "{steps} left");
    }
}
