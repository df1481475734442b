//! Puts what was measured into a page, between the two marks that are made for it.

use std::fs;
use std::path::Path;

use chukka_tests::assets;

use crate::Error;

/// Replaces what is between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` in
/// docs/performance.md.
///
/// # Errors
/// The page cannot be read or written, or the marks are not in it.
pub fn write(name: &str, text: &str) -> Result<(), Error> {
    let page = assets::workspace().join("docs/performance.md");
    let old = fs::read_to_string(&page)?;
    let new = between(&old, name, text)
        .ok_or_else(|| format!("no marks for {name} in {}", page.display()))?;
    replace(&page, &new)
}

/// What is between the marks of this name in docs/performance.md.
///
/// # Errors
/// The page cannot be read, or has no such marks.
pub fn read(name: &str) -> Result<String, Error> {
    let page = fs::read_to_string(assets::workspace().join("docs/performance.md"))?;
    let text = page.split_once(&format!("<!-- bench:{name} -->\n"));
    let text = text.and_then(|(_, rest)| rest.split_once(&format!("<!-- /bench:{name} -->")));
    Ok(text.ok_or_else(|| format!("no marks for {name} in docs/performance.md"))?.0.into())
}

/// Writes a file of docs/ whole.
///
/// # Errors
/// It cannot be written.
pub fn write_file(name: &str, text: &str) -> Result<(), Error> {
    replace(&assets::workspace().join("docs").join(name), text)
}

fn replace(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn between(page: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- bench:{name} -->\n"), format!("<!-- /bench:{name} -->"));
    let start = page.find(&begin)? + begin.len();
    let stop = start + page.get(start..)?.find(&end)?;
    Some(format!("{}{}\n{}", &page[..start], text.trim_end(), &page[stop..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page =
            "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n<!-- bench:y -->\n<!-- /bench:y -->\n";
        let new = between(page, "x", "new\n\n").unwrap();
        assert_eq!(new, page.replace("old", "new"));
        assert_eq!(between(&new, "x", "new"), Some(new.clone()));
        assert!(between(page, "y", "z").unwrap().ends_with("-->\nz\n<!-- /bench:y -->\n"));
        assert_eq!(between(page, "z", "new"), None);
        assert_eq!(between("<!-- bench:x -->\n", "x", "new"), None);
    }

    #[test]
    fn the_page_has_a_place_for_each_bench() {
        let page = include_str!("../../docs/performance.md");
        let disk = ["disk-requests", "disk-grub", "disk-boots", "disk-native"];
        let network = ["network-wire"];
        let others = ["costs", "transfer", "operations", "location"];
        for name in others.into_iter().chain(disk).chain(network) {
            assert!(between(page, name, "").is_some(), "{name}");
        }
    }
}
