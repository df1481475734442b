use super::*;
use crate::making::{Bytes, abuse, assert_tree, blank, kernel, local, run, text, tree, walk};
use crate::testing::Temp;

/// The lines that tell mkfs.xfs of a directory: mkfs.xfs(8), -p.
fn told(directory: &std::path::Path, lines: &mut String) {
    let mut entries: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_str().unwrap();
        let about = path.symlink_metadata().unwrap();
        if about.is_dir() {
            lines.push_str(&format!("{name} d--755 0 0\n"));
            told(&path, lines);
            lines.push_str("$\n");
        } else if about.is_symlink() {
            let to = std::fs::read_link(&path).unwrap();
            lines.push_str(&format!("{name} l--777 0 0 {}\n", to.display()));
        } else {
            lines.push_str(&format!("{name} ---644 0 0 {}\n", path.display()));
        }
    }
}

fn made(temp: &Temp, names: usize, options: &str) -> std::path::PathBuf {
    let from = tree(names);
    let mut lines = String::from("/\n0 0\nd--755 0 0\n");
    told(from.path(), &mut lines);
    lines.push_str("$\n");
    temp.file("proto", lines.as_bytes());
    let image = blank(temp, "image", 320 << 20);
    let proto = temp.path().join("proto");
    let mut arguments: Vec<&str> = options.split_whitespace().collect();
    arguments.extend(["-q", "-p", text(&proto), text(&image)]);
    run("mkfs.xfs", &arguments);
    image
}

/// Short, block, leaf and node directories come with their lengths.
#[test]
fn each_version_and_directory_is_read() {
    for (names, options) in [
        (3, ""),
        (60, "-m crc=0"),
        (400, "-b size=1024"),
        (3000, "-i size=1024"),
        (3000, "-b size=1024 -n size=4096"),
        (
            100,
            "-m crc=1,finobt=0,rmapbt=0,reflink=0,uuid=0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9 -L twelve-chars",
        ),
    ] {
        let temp = Temp::new();
        let image = made(&temp, names, options);
        let source = open(local(&image)).unwrap();
        assert_tree(&*source, names);
        let label = options.split_once("-L ").map(|(_, label)| label);
        assert_eq!(source.volume_label(), label);
        let uuid = label.map(|_| "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9");
        assert!(uuid.is_none() || source.volume_uuid() == uuid, "{:?}", source.volume_uuid());
    }
}

#[test]
fn a_damaged_image_is_an_error_and_no_more() {
    let temp = Temp::new();
    let image = made(&temp, 10, "--unsupported -m crc=0 -l size=4m -d size=24m");
    let mut bytes = std::fs::read(&image).unwrap();
    // The kernel is among the first blocks, and so is all that leads to it.
    let kernel = kernel();
    let at = bytes.windows(64).position(|window| *window == kernel[..64]).unwrap();
    bytes.truncate((at + (1 << 20)).min(8 << 20));
    let len = bytes.len();
    abuse(&bytes, &[0..512, 0..65_536, 65_536..len.min(200_000)], 25, |image| {
        if let Ok(source) = open(Arc::new(Sparse(image, 24 << 20))) {
            walk(&*source);
        }
    });
    drop(Bytes(bytes));
}

/// An image with nothing behind what it has.
#[derive(Debug)]
struct Sparse(Arc<dyn RandomAccess>, u64);

impl RandomAccess for Sparse {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn len(&self) -> u64 {
        self.1
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let count = usize::try_from((self.1.saturating_sub(at)).min(to.len() as u64)).unwrap();
        to[..count].fill(0);
        self.0.read_at(to, at)?;
        Ok(count)
    }
}
