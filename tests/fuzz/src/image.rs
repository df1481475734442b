//! Images: what is recognized in a file's bytes, and read of the partitions and file systems in it.
//!
//! An input is an image without most of its zeros: records of how many zeros come next, in units of
//! 64 bytes (u16, little-endian), how many other bytes (u16), and those.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::{Mutex, Once};

use location::{FileError, RandomAccess, TreePath};
use storage::{head, read_whole};

/// What is looked for in an image.
const NAMES: [&str; 6] =
    ["boot/vmlinuz", ".treeinfo", "isolinux/isolinux.cfg", "BOOT/GRUB.CFG", "a/../../x", "link"];

/// Bytes of an image at most: file systems of XFS begin at 16 MiB.
const MOST: u64 = 64 << 20;

/// An image in memory without most of its zeros: where bytes are, and those, in order.
#[derive(Debug, Default)]
struct Sparse {
    parts: Vec<(u64, Vec<u8>)>,
    len: u64,
}

impl RandomAccess for Sparse {
    fn name(&self) -> &str {
        "image"
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let count = self.len.saturating_sub(at).min(to.len() as u64) as usize;
        let to = &mut to[..count];
        to.fill(0);
        let first = self.parts.partition_point(|(start, bytes)| start + bytes.len() as u64 <= at);
        for (start, bytes) in &self.parts[first..] {
            let to_skip = start.saturating_sub(at) as usize;
            let Some(to) = to.get_mut(to_skip..).filter(|to| !to.is_empty()) else { break };
            let bytes = &bytes[at.saturating_sub(*start) as usize..];
            let count = bytes.len().min(to.len());
            to[..count].copy_from_slice(&bytes[..count]);
        }
        Ok(count)
    }
}

/// A file in memory.
#[derive(Debug)]
pub struct Bytes(pub Vec<u8>);

impl RandomAccess for Bytes {
    fn name(&self) -> &str {
        "image"
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let rest = self.0.get(at..).unwrap_or_default();
        let count = rest.len().min(to.len());
        to[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Looks into an image; whether there was something to look into.
///
/// # Panics
/// What is refused is not told.
pub fn run(bytes: &[u8]) -> bool {
    quietly(|| look(bytes))
}

/// Runs something that may panic and catch it, as what reads XFS does: the fuzzer's own hook
/// would abort there. A panic that nobody catches is reported and continues to unwind.
pub(crate) fn quietly<T>(run: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    static LAST: Mutex<String> = Mutex::new(String::new());
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            if let Ok(mut last) = LAST.lock() {
                *last = info.to_string();
            }
        }));
    });
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        eprintln!("{}", LAST.lock().map(|last| last.clone()).unwrap_or_default());
        resume_unwind(panic)
    })
}

fn look(bytes: &[u8]) -> bool {
    let source = match storage::image::open(Arc::new(unpacked(bytes))) {
        Ok(source) => source,
        Err(error) => {
            told(&error);
            return false;
        }
    };
    let root = source.list(&TreePath::root()).map_err(|error| told(&error)).unwrap_or_default();
    let found = root.iter().take(8).map(|entry| entry.name.as_str());
    for name in found.chain(NAMES) {
        let path = TreePath::new(name);
        match source.open(&path) {
            Ok(file) => {
                let _ = head(&*file, 64 << 10);
                let _ = read_whole(&*file, 1 << 10);
            }
            Err(error) => told(&error),
        }
        if let Err(error) = source.list(&path) {
            told(&error);
        }
    }
    true
}

/// The image of an input.
fn unpacked(mut packed: &[u8]) -> Sparse {
    let mut image = Sparse::default();
    while let [a, b, c, d, rest @ ..] = packed {
        let zeros = u64::from(u16::from_le_bytes([*a, *b])) * 64;
        let (bytes, after) =
            rest.split_at(usize::from(u16::from_le_bytes([*c, *d])).min(rest.len()));
        if image.len + zeros + bytes.len() as u64 > MOST {
            break;
        }
        image.len += zeros;
        if !bytes.is_empty() {
            image.parts.push((image.len, bytes.to_vec()));
        }
        image.len += bytes.len() as u64;
        packed = after;
    }
    image
}

/// All bytes of the image of an input; none if it has more than `most`.
pub(crate) fn whole(packed: &[u8], most: u64) -> Vec<u8> {
    let image = unpacked(packed);
    let mut bytes = vec![0; if image.len > most { 0 } else { image.len as usize }];
    // The whole of it is in memory: the read cannot fail, and is not cut short.
    let _ = image.read_at(&mut bytes, 0);
    bytes
}

/// An image as an input.
pub fn packed(image: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let (mut at, mut zeros) = (0, 0u16);
    while at < image.len() {
        let is_zero =
            |at: usize| image[at..(at + 64).min(image.len())].iter().all(|byte| *byte == 0);
        if is_zero(at) && at + 64 <= image.len() && zeros < u16::MAX {
            (at, zeros) = (at + 64, zeros + 1);
            continue;
        }
        let start = at;
        // The last piece may be zeros of less than a unit.
        while at < image.len() && (at == start || !is_zero(at)) && at - start < 0x8000 {
            at = (at + 64).min(image.len());
        }
        packed.extend(zeros.to_le_bytes());
        packed.extend(((at - start) as u16).to_le_bytes());
        packed.extend(&image[start..at]);
        zeros = 0;
    }
    if zeros > 0 {
        packed.extend(zeros.to_le_bytes());
        packed.extend([0; 2]);
    }
    packed
}

fn told(error: &FileError) {
    assert!(!error.to_string().is_empty(), "{error:?}");
    assert!(error.hint().is_none_or(|hint| !hint.is_empty()), "{error:?}");
}
