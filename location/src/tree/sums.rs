//! Reads a tree's checksum lists.

use super::Installer;
use storage::TreePath;

/// Maximum size of a list in bytes; Debian's has 80 KiB.
pub(super) const LIMIT: usize = 1 << 20;

/// The lists that a tree may have, in search order, in each directory from the file's own up to the
/// root. Checksums weaker than SHA-1 are ignored: Debian has a `SHA256SUMS` next to its `MD5SUMS`.
pub(super) fn lists(installer: Installer) -> &'static [&'static str] {
    match installer {
        // Their checksums are in .treeinfo.
        Installer::Anaconda | Installer::Nevada | Installer::OpenSolaris => &[],
        Installer::Debian | Installer::DebianMedium | Installer::DebianLive => &["SHA256SUMS"],
        Installer::Casper => &["SHA256SUMS"],
        Installer::Yast => &["CHECKSUMS", "content"],
        Installer::Arch => &["sha256sums.txt"],
        Installer::Alpine | Installer::Mageia => &[],
        Installer::Other | Installer::CoreOs => &["SHA256SUMS", "CHECKSUMS", "sha256sums.txt"],
    }
}

/// Finds a file's checksum, as `ALGORITHM:HEX` or HEX, in a list whose paths are relative to its
/// own directory.
pub(super) fn find(list: &str, path: &TreePath) -> Option<String> {
    list.lines().find_map(|line| {
        let (sum, name) = entry(line)?;
        (TreePath::new(name) == *path).then_some(sum)
    })
}

/// Parses a line into the checksum and the file's path. Formats: coreutils (`HEX  path`,
/// `HEX *path`), coreutils with `--tag` (`SHA256 (path) = HEX`), and SUSE's `content`
/// (`HASH SHA256 HEX  path`; its `META` and `KEY` lines are for other files).
fn entry(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if let Some((algorithm, rest)) = line.split_once(" (") {
        let (name, hex) = rest.rsplit_once(") = ")?;
        return Some((format!("{algorithm}:{hex}"), name));
    }
    if let Some(rest) = line.strip_prefix("HASH ") {
        let (algorithm, rest) = rest.trim_start().split_once(' ')?;
        let (hex, name) = rest.trim_start().split_once(' ')?;
        return Some((format!("{algorithm}:{hex}"), name.trim_start()));
    }
    let (hex, name) = line.split_once([' ', '\t'])?;
    let name = name.trim_start();
    let is_sum = hex.len() >= 40 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_sum.then(|| (hex.to_owned(), name.strip_prefix('*').unwrap_or(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_format_is_parsed() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let tagged = format!("SHA256:{hex}");
        for (line, sum) in [
            (format!("{hex}  ./netboot/a b"), hex),
            (format!("{hex} *netboot/a b\r"), hex),
            (format!("{hex}  netboot//./a b"), hex),
            (format!("SHA256 (netboot/a b) = {hex}"), &tagged),
            (format!("HASH SHA256 {hex}  netboot/a b"), &tagged),
        ] {
            let list = format!("# a list\n\nnot a line\n{line}\n{hex}  other\n");
            let found = find(&list, &TreePath::new("netboot/a b"));
            assert_eq!(found.as_deref(), Some(sum), "{line}");
            assert_eq!(find(&list, &TreePath::new("netboot")), None);
        }
        for line in [
            format!("META SHA256 {hex}  a"),
            format!("KEY SHA256 {hex}  a"),
            "12  a".into(),
            "HASH".into(),
            "HASH x".into(),
            "x (a".into(),
            hex.to_owned(),
        ] {
            assert_eq!(find(&line, &TreePath::new("a")), None, "{line}");
        }
    }
}
