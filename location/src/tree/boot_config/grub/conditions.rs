//! The `test` and `[` commands (GRUB's grub-core/commands/test.c).

use super::number;

/// How deep parentheses can be nested, as in GRUB.
const DEPTH: usize = 100;

/// Answers questions about files.
pub(super) trait FileTests {
    /// Whether there is a file or directory of this name.
    fn exists(&mut self, name: &str) -> bool;
    /// Whether it is a directory.
    fn is_directory(&mut self, name: &str) -> bool;
    /// Whether it is a file with at least one byte.
    fn has_content(&mut self, name: &str) -> bool;
}

/// Whether an expression is true.
pub(super) fn is_true(arguments: &[String], files: &mut dyn FileTests) -> bool {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    Expression { rest: &arguments, files }.evaluate(0)
}

struct Expression<'a> {
    rest: &'a [&'a str],
    files: &'a mut dyn FileTests,
}

impl Expression<'_> {
    /// Evaluates up to the end or a closing parenthesis. `-a` is implied between two terms.
    fn evaluate(&mut self, depth: usize) -> bool {
        let (mut any, mut all, mut is_negated) = (false, true, false);
        while let [first, ..] = self.rest {
            let value = if let Some(value) = self.comparison() {
                value
            } else {
                let first = *first;
                self.rest = &self.rest[1..];
                match first {
                    ")" => break,
                    "(" if depth < DEPTH => self.evaluate(depth + 1),
                    "!" => {
                        is_negated = !is_negated;
                        continue;
                    }
                    "-a" => continue,
                    "-o" => {
                        any |= all;
                        all = true;
                        continue;
                    }
                    text => !text.is_empty(),
                }
            };
            all &= value != is_negated;
            is_negated = false;
        }
        any || all
    }

    /// Takes a comparison of two or three words.
    fn comparison(&mut self) -> Option<bool> {
        if let [a, operator, b, rest @ ..] = self.rest
            && let Some(value) = self.binary(a, operator, b)
        {
            self.rest = rest;
            return Some(value);
        }
        let [operator, name, rest @ ..] = self.rest else { return None };
        let value = match *operator {
            "-d" => self.files.is_directory(name),
            "-e" => self.files.exists(name),
            "-f" => self.files.exists(name) && !self.files.is_directory(name),
            "-s" => self.files.has_content(name),
            "-n" => !name.is_empty(),
            "-z" => name.is_empty(),
            _ => return None,
        };
        self.rest = rest;
        Some(value)
    }

    fn binary(&mut self, a: &str, operator: &str, b: &str) -> Option<bool> {
        Some(match operator {
            "=" | "==" => a == b,
            "!=" => a != b,
            "<" => a < b,
            "<=" => a <= b,
            ">" => a > b,
            ">=" => a >= b,
            "-eq" => number(a) == number(b),
            "-ne" => number(a) != number(b),
            "-lt" => number(a) < number(b),
            "-le" => number(a) <= number(b),
            "-gt" => number(a) > number(b),
            "-ge" => number(a) >= number(b),
            "-pgt" | "-plt" => {
                let (a, b) = without_common_prefix(a, b);
                if operator == "-pgt" { number(a) > number(b) } else { number(a) < number(b) }
            }
            // No source of files has their times: only a missing file is older.
            _ if operator.starts_with("-nt") => self.files.exists(a) && !self.files.exists(b),
            _ if operator.starts_with("-ot") => !self.files.exists(a) && self.files.exists(b),
            _ => return None,
        })
    }
}

/// The number at the beginning of a text; 0 if there is none.
fn number(text: &str) -> i128 {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let value = number::leading(text).map_or(0, |(value, _)| i128::from(value));
    if is_negative { -value } else { value }
}

/// Both texts from the first number in which they differ.
fn without_common_prefix<'t>(a: &'t str, b: &'t str) -> (&'t str, &'t str) {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let digits = a.as_bytes()[..same].iter().rev().take_while(|byte| byte.is_ascii_digit());
    let at = same - digits.count();
    (a.get(at..).unwrap_or_default(), b.get(at..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct FakeFiles;

    impl FileTests for FakeFiles {
        fn exists(&mut self, name: &str) -> bool {
            matches!(name, "/file" | "/empty" | "/dir")
        }

        fn is_directory(&mut self, name: &str) -> bool {
            name == "/dir"
        }

        fn has_content(&mut self, name: &str) -> bool {
            name == "/file"
        }
    }

    #[test]
    fn every_operator_works_as_in_grub() {
        let check = |text: &str| {
            let arguments: Vec<_> = text.split(' ').map(|word| word.replace("EMPTY", "")).collect();
            is_true(&arguments, &mut FakeFiles)
        };
        for text in [
            "a",
            "a = a",
            "a == a",
            "a != b",
            "a < b",
            "b >= b",
            "-z EMPTY",
            "-n a",
            "10 -gt 9",
            "0x10 -eq 16",
            "-1 -lt 0",
            "vmlinuz-11 -pgt vmlinuz-2",
            "vmlinuz-2 -plt vmlinuz-11",
            "-d /dir",
            "-e /dir",
            "-e /file",
            "-f /file",
            "-s /file",
            "! -f /dir",
            "! -s /empty",
            "/file -nt /none",
            "/none -ot /file",
            "EMPTY -o a",
            "a -a b",
            "a b",
            "! ( a -a EMPTY )",
            "( EMPTY -o a ) -a b",
            "! ! a",
            "x = x -a ! -z y",
        ] {
            assert!(check(text), "{text}");
        }
        for text in [
            "EMPTY",
            "a = b",
            "b < a",
            "9 -gt 10",
            "-f /dir",
            "-d /file",
            "-s /empty",
            "-e /none",
            "a -a EMPTY",
            "a EMPTY",
            "EMPTY -o EMPTY",
            "/none -nt /none",
            "! a",
        ] {
            assert!(!check(text), "{text}");
        }
        assert!(is_true(&vec!["(".to_owned(); 100_000], &mut FakeFiles));
        assert!(is_true(&[], &mut FakeFiles), "an empty expression has no false term, as in GRUB");
    }

    /// grub-core/commands/test.c: texts are compared byte by byte, numbers as strtoul reads them.
    #[test]
    fn comparisons_of_texts_and_numbers() {
        let orders =
            [("<", "-lt"), ("<=", "-le"), (">", "-gt"), (">=", "-ge"), ("=", "-eq"), ("!=", "-ne")];
        for (a, b, text, value) in [
            ("1", "1", "<= >= =", "-le -ge -eq"),
            ("1", "2", "< <= !=", "-lt -le -ne"),
            ("2", "1", "> >= !=", "-gt -ge -ne"),
            ("9", "10", "> >= !=", "-lt -le -ne"),
            ("0x10", "16", "< <= !=", "-le -ge -eq"),
            ("0x1F", "31", "< <= !=", "-le -ge -eq"),
            ("0X1f", "31", "< <= !=", "-lt -le -ne"),
            ("08", "8", "< <= !=", "-le -ge -eq"),
            ("010", "8", "< <= !=", "-le -ge -eq"),
            ("-2", "-1", "> >= !=", "-lt -le -ne"),
            ("5x", "5", "> >= !=", "-le -ge -eq"),
            ("x", "0", "> >= !=", "-le -ge -eq"),
        ] {
            for (by_text, by_value) in orders {
                for (operator, expected) in [(by_text, text), (by_value, value)] {
                    let arguments = [a, operator, b].map(str::to_owned);
                    let expected = expected.split(' ').any(|known| known == operator);
                    assert_eq!(is_true(&arguments, &mut FakeFiles), expected, "{arguments:?}");
                }
            }
        }
    }

    /// `-pgt` and `-plt` compare the numbers behind what both texts begin with.
    #[test]
    fn versions_are_compared_by_their_first_different_number() {
        for (a, b, greater, less) in [
            ("vmlinuz-6.10", "vmlinuz-6.9", true, false),
            ("vmlinuz-6.9", "vmlinuz-6.10", false, true),
            ("vmlinuz-6.19", "vmlinuz-6.110", false, true),
            ("vmlinuz-6.9", "vmlinuz-6.9", false, false),
            ("a", "b", false, false),
        ] {
            for (operator, expected) in [("-pgt", greater), ("-plt", less)] {
                let arguments = [a, operator, b].map(str::to_owned);
                assert_eq!(is_true(&arguments, &mut FakeFiles), expected, "{arguments:?}");
            }
        }
    }

    #[test]
    fn terms_are_joined_by_and_before_or_and_parentheses_before_both() {
        for (text, expected) in [
            ("a -o EMPTY -a EMPTY", true),
            ("EMPTY -a EMPTY -o a", true),
            ("( a -o EMPTY ) -a EMPTY", false),
            ("a -o a", true),
            ("a -o EMPTY -o EMPTY", true),
            ("EMPTY -o a -o EMPTY", true),
            ("a -a a -o a -a a", true),
            ("-n EMPTY", false),
            ("-n a", true),
            ("-z a", false),
            ("-z EMPTY", true),
            ("/file -ot /none", false),
            ("/none -ot /none", false),
            ("/file -ot /file", false),
            ("/none -nt /file", false),
            ("/file -nt /file", false),
            ("! ( EMPTY -o a )", false),
        ] {
            let arguments: Vec<_> = text.split(' ').map(|word| word.replace("EMPTY", "")).collect();
            assert_eq!(is_true(&arguments, &mut FakeFiles), expected, "{text}");
        }
    }
}
