//! What a Xen bootloader hands to the toolstack: files, and a text that names them (libxl_bootloader.c reads it).

use std::collections::hash_map::RandomState;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use location::RandomAccess;
use storage::each_piece;

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
pub(super) struct Handed<'a> {
    pub kernel: &'a str,
    pub ramdisk: Option<&'a str>,
    pub args: &'a str,
}

impl Handed<'_> {
    /// The bytes. In an s-expression `quote` is put around files, `quote_args` around the arguments.
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
            return Err("a file's name or the arguments contain the character that ends them");
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

/// A new file of our own that is gone again unless it is kept.
#[derive(Debug)]
pub(super) struct Draft {
    pub path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Draft {
    /// `PREFIX` and six letters in `directory`, for its owner only.
    ///
    /// # Errors
    /// As of open(2).
    pub fn new(directory: &Path, prefix: &str) -> io::Result<Self> {
        loop {
            let path = directory.join(format!("{prefix}{}", letters()));
            match File::options().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => return Ok(Self { path, file: file?, is_kept: false }),
            }
        }
    }

    /// Fills it.
    ///
    /// # Errors
    /// What the file is filled from cannot be read, or there is no space.
    pub fn fill(&mut self, from: &dyn RandomAccess) -> io::Result<()> {
        each_piece(from, |piece| self.file.write_all(piece)).map(drop)
    }

    /// Its path, and it stays.
    pub fn keep(mut self) -> PathBuf {
        self.is_kept = true;
        self.path.clone()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn letters() -> String {
    // Keys of a hash map are the standard library's only randomness.
    let mut number = RandomState::new().build_hasher().finish();
    let mut letter = || {
        let all = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let count = all.len() as u64;
        let index = usize::try_from(number % count).unwrap_or_default();
        number /= count;
        char::from(all[index])
    };
    (0..6).map(|_| letter()).collect()
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
    fn what_a_format_cannot_carry_is_refused() {
        let handed = Handed { kernel: "/k", ramdisk: None, args: "a\nb" };
        let text = |format| handed.text(format, repr, repr);
        assert!(text(Format::Simple).is_err());
        assert_eq!(text(Format::Simple0).unwrap(), "kernel /k\0args a\nb\0\0");
        assert_eq!(text(Format::Sxp).unwrap(), "linux (kernel '/k')(args 'a\\nb')");
    }
}
