//! The forms values come in: text, `key=value` lists, switches, sizes, numbers.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::error::ArgsError;

/// Every value of `option`, which must be text.
pub(super) fn texts<'a>(
    values: &'a [OsString],
    option: &'static str,
) -> Result<Vec<&'a str>, ArgsError> {
    values.iter().map(|value| text(value, option)).collect()
}

/// A value of `option`, which must be text.
pub(super) fn text<'a>(value: &'a OsStr, option: &'static str) -> Result<&'a str, ArgsError> {
    let given = || value.to_string_lossy().into_owned();
    value.to_str().ok_or_else(|| ArgsError::NotUtf8 { option, given: given() })
}

/// One `key=value` of a list; `value` is missing where there was no `=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub key: String,
    pub value: Option<String>,
}

impl Pair {
    /// The value, which has to be there. `option` is shown in the error.
    pub fn value(&self, option: &str) -> Result<&str, ArgsError> {
        self.value.as_deref().ok_or_else(|| {
            let expected = format!("a value: {0}=…", self.key);
            ArgsError::bad(format!("-{option} {}", self.key), expected)
        })
    }

    /// How an error shows it.
    pub fn shown(&self, option: &str) -> String {
        match &self.value {
            Some(value) if self.key.is_empty() => format!("-{option} {value}"),
            Some(value) => format!("-{option} {}={value}", self.key),
            None => format!("-{option} {}", self.key),
        }
    }

    /// Its value as a switch: QEMU's `qapi_bool_parse` (qapi/qapi-util.c).
    pub fn switch(&self, option: &str) -> Result<bool, ArgsError> {
        switch(self.value(option)?).ok_or_else(|| ArgsError::bad(self.shown(option), "on or off"))
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
    let text_of = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned(); // cut at ASCII only
    raw_pairs(text.as_bytes(), first)
        .into_iter()
        .map(|pair| Pair { key: pair.key, value: pair.value.map(text_of) })
        .collect()
}

/// A `Pair` whose value may be any bytes: a path, or a text for the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPair {
    /// The key, with U+FFFD for bytes that are not UTF-8.
    pub key: String,
    /// The value; `None` without a `=`.
    pub value: Option<Vec<u8>>,
}

impl RawPair {
    /// `key=value`.
    #[must_use]
    pub fn new(key: &str, value: Vec<u8>) -> Self {
        Self { key: key.to_owned(), value: Some(value) }
    }

    /// The same with a value that has to be text.
    pub(super) fn text(&self, option: &'static str) -> Result<Pair, ArgsError> {
        let value = self.value.clone().map(String::from_utf8).transpose();
        let value = value.map_err(|error| ArgsError::NotUtf8 {
            option,
            given: String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })?;
        Ok(Pair { key: self.key.clone(), value })
    }

    /// The value, which has to be there.
    pub(super) fn bytes(&self, option: &str) -> Result<&[u8], ArgsError> {
        self.value.as_deref().ok_or_else(|| {
            let expected = format!("a value: {0}=…", self.key);
            ArgsError::bad(format!("-{option} {}", self.key), expected)
        })
    }

    /// The value as a path, which has to be there and not to be empty.
    pub(super) fn path(&self, option: &'static str) -> Result<PathBuf, ArgsError> {
        match self.bytes(option)? {
            [] => Err(ArgsError::EmptyPath { option }),
            bytes => Ok(OsStr::from_bytes(bytes).into()),
        }
    }

    /// How an error shows it.
    pub(super) fn shown(&self, option: &str) -> String {
        let value = self.value.as_deref().map(|value| String::from_utf8_lossy(value).into_owned());
        Pair { key: self.key.clone(), value }.shown(option)
    }
}

/// The pairs of [`pairs`], of any bytes.
pub(super) fn raw_pairs(bytes: &[u8], first: &str) -> Vec<RawPair> {
    let mut pairs = Vec::new();
    let mut item = Vec::new();
    let mut rest = bytes.iter().copied().peekable();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut end = |item: &mut Vec<u8>| {
        let (key, value) = match item.iter().position(|byte| *byte == b'=') {
            Some(at) => (text(&item[..at]), Some(item[at + 1..].to_vec())),
            None if pairs.is_empty() => (first.to_owned(), Some(item.clone())),
            None => (text(item), None),
        };
        pairs.push(RawPair { key, value });
        item.clear();
    };
    while let Some(byte) = rest.next() {
        match byte {
            b',' if rest.next_if_eq(&b',').is_some() => item.push(b','),
            b',' => end(&mut item),
            _ => item.push(byte),
        }
    }
    // `a,` is `a`; an empty text is one empty value.
    if !item.is_empty() || bytes.is_empty() {
        end(&mut item);
    }
    pairs
}

/// The name of the device that the pairs of a `-device` describe: as in QEMU, the last one counts.
pub(super) fn driver(pairs: &[RawPair]) -> Option<&[u8]> {
    let driver = pairs.iter().rev().find(|pair| pair.key == "driver")?;
    driver.value.as_deref()
}

/// The id that the pairs give to what they describe.
pub(super) fn id(pairs: &[RawPair]) -> Option<String> {
    let id = pairs.iter().rev().find(|pair| pair.key == "id")?;
    id.value.as_deref().map(|id| String::from_utf8_lossy(id).into_owned())
}

/// Values as bytes.
pub(super) fn raw(values: &[OsString]) -> impl Iterator<Item = &[u8]> {
    values.iter().map(|value| value.as_bytes())
}

/// A whole number as C's `strtol` reads it with base 0, except that octal numbers are refused.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let all = |digits: &str, right: fn(&u8) -> bool| {
        !digits.is_empty() && digits.as_bytes().iter().all(right)
    };
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if all(hex, u8::is_ascii_hexdigit) => i64::from_str_radix(hex, 16).ok()?,
        None if digits == "0" => 0,
        None if !digits.starts_with('0') && all(digits, u8::is_ascii_digit) => {
            digits.parse().ok()?
        }
        _ => return None,
    };
    Some(if negative { -number } else { number })
}

/// A whole number, in decimal.
pub(super) fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// A size in bytes, in QEMU's forms (`do_strtosz`, util/cutils.c): a number with one of the
/// suffixes B, K, M, G, T, P, E in either case, powers of 1024; a whole number without one is in
/// MiB. A fraction needs a suffix above B, and what it leaves below a byte is dropped.
pub(crate) fn size(text: &str) -> Option<u64> {
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

    #[test]
    fn integers_are_decimal_or_hexadecimal() {
        for (text, number) in [
            ("0", Some(0)),
            ("1026", Some(1026)),
            ("0x402", Some(0x402)),
            ("0Xe9", Some(0xe9)),
            ("-1", Some(-1)),
            ("", None),
            ("-", None),
            ("0x", None),
            ("0402", None),
            ("402h", None),
            ("+1", None),
            ("0x-1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(integer(text), number, "{text:?}");
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
