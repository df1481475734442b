//! The output of a Xen bootloader for Xen's toolstack: files, and a text that names them, which
//! libxl_bootloader.c reads.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use firmware::SourceFile;
use location::RandomAccess;
use storage::{LocalFile, each_piece};
use tempfile::NamedTempFile;

use crate::resolve::BOOT_LOADER_LIMIT;

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One s-expression.
    Sxp,
    /// A line each, and an empty one.
    Simple,
    /// The same with NUL in place of newlines.
    Simple0,
}

impl Format {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "sxp" => Some(Self::Sxp),
            "simple" => Some(Self::Simple),
            "simple0" => Some(Self::Simple0),
            _ => None,
        }
    }
}

/// What is named in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub kernel: &'a str,
    pub ramdisk: Option<&'a str>,
    pub args: &'a str,
}

impl Answer<'_> {
    /// The bytes. In an s-expression `quote` is put around files, `quote_args` around the
    /// arguments.
    ///
    /// # Errors
    /// What the values have that the format cannot carry.
    pub fn text(
        &self,
        format: Format,
        quote: fn(&str) -> String,
        quote_args: fn(&str) -> String,
    ) -> Result<String, &'static str> {
        let separator = match format {
            Format::Sxp => {
                let mut text = format!("linux (kernel {})", quote(self.kernel));
                text.extend(self.ramdisk.map(|path| format!("(ramdisk {})", quote(path))));
                if !self.args.is_empty() {
                    text += &format!("(args {})", quote_args(self.args));
                }
                return Ok(text);
            }
            Format::Simple => '\n',
            Format::Simple0 => '\0',
        };
        let values = [Some(self.kernel), self.ramdisk, Some(self.args)];
        if values.into_iter().flatten().any(|value| value.contains(separator)) {
            return Err("a file name or the arguments contain the output format's separator");
        }
        let mut text = format!("kernel {}{separator}", self.kernel);
        text.extend(self.ramdisk.map(|path| format!("ramdisk {path}{separator}")));
        if !self.args.is_empty() {
            text += &format!("args {}{separator}", self.args);
        }
        text.push(separator);
        Ok(text)
    }
}

/// As Python's `repr` writes a string, which is what pygrub does.
pub(super) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut written = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => written += "\\\\",
            '\n' => written += "\\n",
            '\r' => written += "\\r",
            '\t' => written += "\\t",
            c if c == quote => written.extend(['\\', c]),
            c if c.is_ascii_control() => written += &format!("\\x{:02x}", u32::from(c)),
            c => written.push(c),
        }
    }
    written.push(quote);
    written
}

/// A string of an s-expression, in double quotes as xenpvnetboot writes it. Quotes and backslashes
/// in it get a backslash, which Xen's reader (tools/python/xen/xend/sxp.py, until Xen 4.4) takes
/// away.
pub(super) fn quoted(text: &str) -> String {
    let mut written = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => written.extend(['\\', c]),
            '\n' => written += "\\n",
            '\r' => written += "\\r",
            '\t' => written += "\\t",
            c if c.is_ascii_control() => written += &format!("\\x{:02x}", u32::from(c)),
            c => written.push(c),
        }
    }
    written.push('"');
    written
}

/// A path in an s-expression: as it is if it is one word there, in quotes otherwise.
pub(super) fn atom(text: &str) -> String {
    let is_plain = |c: char| !c.is_ascii_control() && !c.is_whitespace() && !"()\"'\\".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { quoted(text) }
}

/// A new file that is removed unless it is kept.
#[derive(Debug)]
pub(super) struct Draft(NamedTempFile);

impl Draft {
    /// `PREFIX` and six random letters in `directory`, readable and writable by its owner only.
    ///
    /// # Errors
    /// As of open(2).
    fn new(directory: &Path, prefix: &str) -> io::Result<Self> {
        tempfile::Builder::new().prefix(prefix).rand_bytes(6).tempfile_in(directory).map(Self)
    }

    /// A new file with the bytes of `from`.
    ///
    /// # Errors
    /// As of [`Self::new`]; the source cannot be read or is too long, or the disk is full.
    pub fn filled(directory: &Path, prefix: &str, from: &SourceFile) -> io::Result<Self> {
        let mut draft = Self::new(directory, prefix)?;
        let name = from.path().display().to_string();
        let file = LocalFile::new(from.file().try_clone()?, name)?;
        // The process that has sent it has checked this, unless it has been taken over.
        if file.len() > BOOT_LOADER_LIMIT {
            let problem = format!("it has {} bytes; the limit is {BOOT_LOADER_LIMIT}", file.len());
            return Err(io::Error::other(problem));
        }
        each_piece(&file, |piece| draft.0.write_all(piece))?;
        Ok(draft)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// It stays.
    ///
    /// # Errors
    /// The system cannot keep it, as a message.
    pub fn keep(self) -> Result<(), String> {
        let path = self.path().display().to_string();
        self.0.keep().map(drop).map_err(|error| format!("Cannot keep {path}: {}", error.error))
    }
}

/// The user of `--runas`; `None` for 0, which Xen's programs take as no change.
///
/// # Errors
/// It is no user ID, as a message.
pub(super) fn runas(given: Option<&str>) -> Result<Option<u32>, String> {
    let Some(given) = given else { return Ok(None) };
    let uid: u64 = given.parse().map_err(|_| "runas value must be an integer")?;
    match u32::try_from(uid) {
        Ok(0) => Ok(None),
        // The last one means no change (setresuid(2)).
        Ok(uid) if uid != u32::MAX => Ok(Some(uid)),
        _ => Err(format!("Cannot become the user {uid}: the largest user ID is {}", u32::MAX - 1)),
    }
}

/// Where the text goes: standard output, or a file that is there already.
///
/// # Errors
/// As of open(2).
pub(super) fn output(path: Option<&str>) -> io::Result<Box<dyn Write>> {
    Ok(match path {
        None | Some("" | "-") => Box::new(io::stdout()),
        Some(path) => Box::new(File::options().write(true).open(path)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_s_strings() {
        for (text, expected) in [
            ("/a", "'/a'"),
            ("it's", "\"it's\""),
            ("a'b\"c\\", "'a\\'b\"c\\\\'"),
            ("a\tb\u{1}", "'a\\tb\\x01'"),
        ] {
            assert_eq!(repr(text), expected);
        }
    }

    #[test]
    fn an_s_expression_has_no_unquoted_parentheses_and_quotes() {
        for (text, as_atom, as_string) in [
            (
                "/tmp/out/boot_kernel.abc",
                "/tmp/out/boot_kernel.abc",
                "\"/tmp/out/boot_kernel.abc\"",
            ),
            ("a b", "\"a b\"", "\"a b\""),
            ("x)(y", "\"x)(y\"", "\"x)(y\""),
            ("a=\"b\" \\", "\"a=\\\"b\\\" \\\\\"", "\"a=\\\"b\\\" \\\\\""),
            ("a\nb\u{1}", "\"a\\nb\\x01\"", "\"a\\nb\\x01\""),
            ("", "\"\"", "\"\""),
        ] {
            assert_eq!((atom(text).as_str(), quoted(text).as_str()), (as_atom, as_string));
        }
    }

    #[test]
    fn what_a_format_cannot_carry_is_refused() {
        let answer = Answer { kernel: "/k", ramdisk: None, args: "a\nb" };
        let text = |format| answer.text(format, repr, repr);
        assert!(text(Format::Simple).is_err());
        assert_eq!(text(Format::Simple0).unwrap(), "kernel /k\0args a\nb\0\0");
        assert_eq!(text(Format::Sxp).unwrap(), "linux (kernel '/k')(args 'a\\nb')");
    }
}
