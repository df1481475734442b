//! Checking a file against the sum that its tree gives for it.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;

use ring::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY as SHA1, SHA256, SHA512, digest};
use serde::{Deserialize, Serialize};

use storage::{RandomAccess, each_piece};

/// What a check said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checked {
    /// The file has that sum; the name of the sum: "sha256".
    Right(Cow<'static, str>),
    /// It has another one.
    Wrong {
        /// The sum's name.
        algorithm: Cow<'static, str>,
        /// What it has.
        found: String,
        /// What it was to have.
        expected: String,
    },
    /// chukka does not know that sum; as it was given.
    Unknown(String),
}

/// Checks a file against `sha256:HEX`, `sha512:HEX` or `sha1:HEX`, or HEX alone, which tells by its
/// length what it is.
///
/// # Errors
/// The file cannot be read.
pub fn check(file: &dyn RandomAccess, given: &str) -> io::Result<Checked> {
    let (algorithm, hex) = match given.split_once(':') {
        Some((algorithm, hex)) => (algorithm.trim().to_ascii_lowercase(), hex.trim()),
        None => (String::new(), given.trim()),
    };
    let expected = hex.to_ascii_lowercase();
    let is_hex = expected.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (algorithm, found) = match (algorithm.as_str(), expected.len()) {
        ("sha256" | "", 64) if is_hex => ("sha256", sha256(file)?),
        ("sha512" | "", 128) if is_hex => ("sha512", sum(&SHA512, file)?),
        ("sha1" | "sha" | "", 40) if is_hex => ("sha1", sum(&SHA1, file)?),
        _ => return Ok(Checked::Unknown(given.to_owned())),
    };
    if found == expected {
        return Ok(Checked::Right(algorithm.into()));
    }
    Ok(Checked::Wrong { algorithm: algorithm.into(), found, expected })
}

/// A file's sha256, in lower-case hexadecimal digits: as it is known, or computed.
///
/// # Errors
/// The file cannot be read.
pub fn sha256(file: &dyn RandomAccess) -> io::Result<String> {
    match file.sha256()? {
        Some(known) => Ok(known),
        None => sum(&SHA256, file),
    }
}

fn sum(algorithm: &'static Algorithm, file: &dyn RandomAccess) -> io::Result<String> {
    let mut context = Context::new(algorithm);
    each_piece(file, |piece| {
        context.update(piece);
        Ok(())
    })?;
    Ok(hex(context.finish().as_ref()))
}

/// The sha256 of a few bytes, in hexadecimal digits.
pub(crate) fn sha256_of(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Temp;
    use crate::{FileTree, TreePath};
    use storage::LocalFile;

    /// Of the three bytes "abc": FIPS 180-2, appendix B.1, and FIPS 180-1, appendix A.
    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

    #[test]
    fn what_was_counted_is_not_counted_again() {
        let temp = Temp::of(&["abc"]);
        let open = || std::fs::File::open(temp.path().join("abc")).unwrap();
        let zero = "0".repeat(64);
        let file = LocalFile::new(open(), "abc").unwrap().with_sha256(Some(zero.clone()));
        assert_eq!(check(&file, &zero).unwrap(), Checked::Right("sha256".into()), "it is believed");
        assert!(matches!(check(&file, SHA256).unwrap(), Checked::Wrong { .. }));
        assert_eq!(
            check(&file, SHA1).unwrap(),
            Checked::Right("sha1".into()),
            "another sum is counted"
        );
    }

    #[test]
    fn the_standards_own_examples() {
        let temp = Temp::of(&["abc"]);
        let file = temp.source().open(&TreePath::new("abc")).unwrap();
        let check = |given: &str| check(&*file, given).unwrap();
        let upper = SHA256.to_ascii_uppercase();
        for given in [SHA256, &format!("sha256:{SHA256}"), &format!("SHA256: {upper}")] {
            assert_eq!(check(given), Checked::Right("sha256".into()), "{given}");
        }
        assert_eq!(check(SHA1), Checked::Right("sha1".into()));
        assert_eq!(check(&format!("sha1:{SHA1}")), Checked::Right("sha1".into()));
        let zero = "0".repeat(64);
        let expected = zero.clone();
        let found = SHA256.to_owned();
        assert_eq!(check(&zero), Checked::Wrong { algorithm: "sha256".into(), found, expected });
        let md5 = "md5:900150983cd24fb0d6963f7d28e17f72";
        for given in [md5, "sha256:12", "sha256", "", &format!("sha1:{SHA256}"), &"g".repeat(64)] {
            assert_eq!(check(given), Checked::Unknown(given.into()), "{given}");
        }
    }

    /// Of "abc": FIPS 180-2, appendix C.1.
    const SHA512: &str = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn a_checksum_is_hexadecimal_and_its_length_selects_the_algorithm() {
        let temp = Temp::of(&["abc"]);
        let file = temp.source().open(&TreePath::new("abc")).unwrap();
        let check = |given: &str| check(&*file, given).unwrap();
        for given in [SHA512, &format!("sha512:{SHA512}")] {
            assert_eq!(check(given), Checked::Right("sha512".into()), "{given}");
        }
        for len in [40, 64, 128] {
            let given = "g".repeat(len);
            assert_eq!(check(&given), Checked::Unknown(given));
        }
    }
}
