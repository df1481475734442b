//! What Linux calls disks: virtio disks `/dev/vda` and so on, others `/dev/sda` or, long ago,
//! `/dev/hda`.

/// A word of a kernel's command line that names a disk that is not a virtio disk, such as
/// `root=/dev/sda1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldName {
    /// The whole word.
    pub word: String,
    /// The disk: 0 for `sda` and `hda`.
    pub index: u32,
    /// Whether it is an `hdX`, whose letter is the disk's place on the IDE bus. The letter of an
    /// `sdX` only counts the disks that are there.
    pub is_ide: bool,
    /// What is before and after the disk's name.
    around: (String, String),
}

impl OldName {
    /// The first such word of a command line.
    #[must_use]
    pub fn find(cmdline: &[u8]) -> Option<Self> {
        let mut words = cmdline.split(u8::is_ascii_whitespace);
        words.find_map(|word| Self::of(&String::from_utf8_lossy(word)))
    }

    fn of(word: &str) -> Option<Self> {
        let (at, is_ide) = [("=/dev/sd", false), ("=/dev/hd", true)]
            .into_iter()
            .find_map(|(name, is_ide)| Some((word.find(name)? + name.len(), is_ide)))?;
        let letter = *word.as_bytes().get(at)?;
        // After the letter come a partition's number, or something that is no part of the name.
        let rest = word.get(at + 1..)?;
        if !letter.is_ascii_lowercase() || rest.starts_with(|c: char| c.is_ascii_lowercase()) {
            return None;
        }
        let before = word.get(..at - "sd".len())?;
        let around = (before.to_owned(), rest.to_owned());
        Some(Self { word: word.to_owned(), index: u32::from(letter - b'a'), is_ide, around })
    }

    /// The same word for the virtio disk at this place, from 0.
    #[must_use]
    pub fn renamed(&self, place: usize) -> String {
        let (before, after) = &self.around;
        format!("{}{}{after}", before.trim_end_matches("/dev/"), disk_name(place))
    }
}

/// What Linux calls a virtio disk by its place, from 0. There are never more than 26.
#[must_use]
pub fn disk_name(place: usize) -> String {
    let letter = u8::try_from(place)
        .ok()
        .filter(|place| *place < 26)
        .map_or('?', |place| char::from(b'a' + place));
    format!("/dev/vd{letter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_name_other_disks_are_found() {
        for (cmdline, word, renamed) in [
            ("quiet root=/dev/sda1 ro", "root=/dev/sda1", "root=/dev/vda1"),
            ("root=/dev/sda", "root=/dev/sda", "root=/dev/vda"),
            ("root=/dev/hdc3", "root=/dev/hdc3", "root=/dev/vdc3"),
            ("resume=/dev/sdb2", "resume=/dev/sdb2", "resume=/dev/vdb2"),
            (
                "cryptdevice=/dev/sda2:root",
                "cryptdevice=/dev/sda2:root",
                "cryptdevice=/dev/vda2:root",
            ),
        ] {
            let old = OldName::find(cmdline.as_bytes()).unwrap();
            let place = usize::try_from(old.index).unwrap();
            assert_eq!((&*old.word, old.renamed(place)), (word, renamed.to_owned()));
        }
        for cmdline in [
            "",
            "root=/dev/vda1",
            "root=UUID=c4a44a00 console=ttyS0",
            "root=/dev/sdaa",
            "root=/dev/sd",
            "root=/dev/SDA",
            "sda=1",
            "root=/dev/nvme0n1p1",
        ] {
            assert_eq!(OldName::find(cmdline.as_bytes()), None, "{cmdline}");
        }
    }
}
