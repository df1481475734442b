//! The forms values come in: text, `key=value` lists, switches, sizes, numbers.

use std::ffi::OsString;

use clap::ArgMatches;

use super::error::CliError;

/// The last value of an option, as it was given.
pub(super) fn last<'a>(matches: &'a ArgMatches, id: &str) -> Option<&'a OsString> {
    matches.get_many::<OsString>(id)?.next_back()
}

/// Every value of an option, which has to be text.
pub(super) fn texts<'a>(
    matches: &'a ArgMatches,
    id: &'static str,
) -> Result<Vec<&'a str>, CliError> {
    let values = matches.get_many::<OsString>(id).into_iter().flatten();
    values
        .map(|value| {
            let given = || value.to_string_lossy().into_owned();
            value.to_str().ok_or_else(|| CliError::NotUtf8 { option: id, given: given() })
        })
        .collect()
}

/// One `key=value` of a list; `value` is missing where there was no `=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub key: String,
    pub value: Option<String>,
}

impl Pair {
    /// The value, which has to be there. `option` is shown in the error.
    pub fn value(&self, option: &str) -> Result<&str, CliError> {
        self.value.as_deref().ok_or_else(|| {
            let expected = format!("a value: {0}=…", self.key);
            CliError::bad(format!("-{option} {}", self.key), expected)
        })
    }

    /// How an error shows it.
    pub fn shown(&self, option: &str) -> String {
        match &self.value {
            Some(value) => format!("-{option} {}={value}", self.key),
            None => format!("-{option} {}", self.key),
        }
    }

    /// Its value as a switch: QEMU's `qapi_bool_parse` (qapi/qapi-util.c).
    pub fn switch(&self, option: &str) -> Result<bool, CliError> {
        switch(self.value(option)?).ok_or_else(|| CliError::bad(self.shown(option), "on or off"))
    }
}

/// `on`, `yes`, `true` and `y`, or their opposites.
pub(super) fn switch(text: &str) -> Option<bool> {
    match text {
        "on" | "yes" | "true" | "y" => Some(true),
        "off" | "no" | "false" | "n" => Some(false),
        _ => None,
    }
}

/// Splits `value,key=value,…`: what comes first may leave its key out and then has key `first`. Two
/// commas are one comma of the value (QEMU's `keyval_parse`, util/keyval.c, and `opts_parse`,
/// util/qemu-option.c).
pub(super) fn pairs(text: &str, first: &str) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut item = String::new();
    let mut letters = text.chars().peekable();
    let mut end = |item: &mut String| {
        let (key, value) = match item.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None if pairs.is_empty() => (first.to_owned(), Some(item.clone())),
            None => (item.clone(), None),
        };
        pairs.push(Pair { key, value });
        item.clear();
    };
    while let Some(letter) = letters.next() {
        match letter {
            ',' if letters.next_if_eq(&',').is_some() => item.push(','),
            ',' => end(&mut item),
            _ => item.push(letter),
        }
    }
    // `a,` is `a`; an empty text is one empty value.
    if !item.is_empty() || text.is_empty() {
        end(&mut item);
    }
    pairs
}

/// A whole number, in decimal.
pub(super) fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// A size in bytes, in QEMU's forms (`do_strtosz`, util/cutils.c): a number with one of the
/// suffixes B, K, M, G, T, P, E in either case, powers of 1024; a whole number without one is in
/// MiB. A fraction needs a suffix above B, and what it leaves below a byte is dropped.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, shift) = match text.char_indices().next_back()? {
        (at, letter) if letter.is_ascii_alphabetic() => {
            let power = "bkmgtpe".find(letter.to_ascii_lowercase())?;
            (&text[..at], 10 * u32::try_from(power).ok()?)
        }
        _ if text.contains('.') => return None,
        _ => (text, 20),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| {
        !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !digits(whole) || !digits(fraction) || (shift == 0 && number.contains('.')) {
        return None;
    }
    // 20 digits are below 2^67; only a whole part below 2^64 can be shifted by 60 bits in a u128.
    let whole = u128::from(whole.parse::<u64>().ok()?) << shift;
    let scale = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction = (u128::from(fraction.parse::<u64>().ok()?) << shift) / u128::from(scale);
    u64::try_from(whole + fraction).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_qemu_reads_them() {
        for (text, bytes) in [
            ("512", Some(512 << 20)),
            ("0", Some(0)),
            ("1", Some(1 << 20)),
            ("2G", Some(2 << 30)),
            ("2g", Some(2 << 30)),
            ("512m", Some(512 << 20)),
            ("512k", Some(512 << 10)),
            ("4096B", Some(4096)),
            ("1.5G", Some(3 << 29)),
            ("0.5g", Some(1 << 29)),
            ("1T", Some(1 << 40)),
            ("15E", Some(15 << 60)),
            ("16E", None),
            ("17592186044415", Some(17_592_186_044_415 << 20)),
            ("17592186044416", None),
            ("", None),
            ("G", None),
            (".5G", None),
            ("1.G", None),
            ("512.5", None),
            ("1.5B", None),
            ("512MM", None),
            ("2GiB", None),
            ("-5", None),
            ("0x10", None),
            ("1e3", None),
            ("1,5G", None),
            ("½G", None),
            ("512 ", None),
            ("99999999999999999999999G", None),
            ("1.00000000000000000000000001G", None),
        ] {
            assert_eq!(size(text), bytes, "{text:?}");
        }
    }

    fn split(text: &str) -> Vec<(String, Option<String>)> {
        pairs(text, "first").into_iter().map(|pair| (pair.key, pair.value)).collect()
    }

    #[test]
    fn lists_are_split_at_single_commas() {
        let pair = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
        assert_eq!(split("a"), [pair("first", Some("a"))]);
        assert_eq!(split(""), [pair("first", Some(""))]);
        assert_eq!(
            split("a,b=c,d"),
            [pair("first", Some("a")), pair("b", Some("c")), pair("d", None)]
        );
        assert_eq!(split("b=c=d,"), [pair("b", Some("c=d"))]);
        assert_eq!(split("a,,b,c=d,,"), [pair("first", Some("a,b")), pair("c", Some("d,"))]);
    }
}
