//! Modules of multiboot kernels, as given by `-initrd`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::source_file::{SourceError, SourceFile};

/// A module of a multiboot kernel.
#[derive(Debug)]
pub struct Module {
    /// The file.
    pub file: SourceFile,
    /// The full text from the list: its path, and any arguments after the first space.
    pub text: Vec<u8>,
}

impl Module {
    /// Opens the modules in a list such as `a args,b`. As in QEMU, modules are separated by commas,
    /// `,,` is a literal comma, and a path ends at the first space.
    ///
    /// # Errors
    /// [`SourceError`] for the first file that cannot be used.
    pub fn open_all(list: &OsStr) -> Result<Vec<Self>, SourceError> {
        let open = |text: Vec<u8>| {
            let path = text.split(|byte| *byte == b' ').next().unwrap_or_default();
            let file = SourceFile::open(Path::new(&OsString::from_vec(path.to_vec())), "initrd")?;
            Ok(Self { file, text })
        };
        texts(list.as_bytes()).into_iter().map(open).collect()
    }

    /// Turns an initrd into a module whose text is only its name.
    pub fn of_initrd(file: SourceFile) -> Self {
        let text = file.path().as_os_str().as_bytes().to_vec();
        Self { file, text }
    }

    /// The module's arguments: the text after the path.
    pub fn arguments(&self) -> &[u8] {
        let space = self.text.iter().position(|byte| *byte == b' ');
        space.map_or(&[], |space| &self.text[space + 1..])
    }
}

/// Splits the list at single commas.
fn texts(list: &[u8]) -> Vec<Vec<u8>> {
    let mut texts = vec![Vec::new()];
    let mut rest = list;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after.first()) {
            (b',', Some(b',')) => rest = &after[1..],
            (b',', _) => {
                texts.push(Vec::new());
                continue;
            }
            _ => {}
        }
        if let Some(text) = texts.last_mut() {
            text.push(*first);
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_modules_and_double_commas_are_literal() {
        for (list, expected) in [
            ("a", &["a"][..]),
            ("a args,b c d", &["a args", "b c d"]),
            ("a x=1,,2,b", &["a x=1,2", "b"]),
            ("a,", &["a", ""]),
            (",,,b", &[",", "b"]),
        ] {
            let found = texts(list.as_bytes());
            assert_eq!(found, expected.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn arguments_follow_the_first_space() {
        let file = crate::testing::TempFile::new(b"x");
        let path = file.0.display().to_string();
        for (arguments, expected) in [("", ""), (" a b", "a b"), (" ", "")] {
            let list = format!("{path}{arguments}");
            let modules = Module::open_all(list.as_ref()).unwrap();
            assert_eq!(modules[0].file.path(), file.0);
            assert_eq!(modules[0].text, list.as_bytes());
            assert_eq!(modules[0].arguments(), expected.as_bytes());
        }
    }
}
