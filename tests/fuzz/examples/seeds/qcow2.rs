//! Images of QEMU's, and what a guest does to them.

use std::fs;
use std::io;

use chukka_fuzz::qcow2::{Step, input};

use super::Seeds;
use super::images::made;

/// As in [`super::images`].
const MADE: [(&str, &str); 5] = [
    ("empty", "qemu-img create -q -f qcow2 -o cluster_size=512 image 128k"),
    ("old", "qemu-img create -q -f qcow2 -o cluster_size=1k,compat=0.10 image 128k"),
    (
        "filled",
        "seq 700 >disk; truncate -s 128k disk
        qemu-img convert -f raw -O qcow2 -o cluster_size=512,refcount_bits=1 disk image",
    ),
    (
        "compressed",
        "seq 3000 >disk; truncate -s 128k disk
        qemu-img convert -c -f raw -O qcow2 -o cluster_size=2k disk image",
    ),
    (
        "snapshot",
        "seq 900 >disk; truncate -s 64k disk
        qemu-img convert -f raw -O qcow2 -o cluster_size=512,refcount_bits=8 disk image
        qemu-img snapshot -c before image",
    ),
];

pub fn seeds() -> io::Result<Seeds> {
    let folder = std::env::temp_dir().join(format!("chukka-seeds-qcow2-{}", std::process::id()));
    let steps: Vec<_> = (0..24u8)
        .map(|number| Step { kind: number, sector: u16::from(number) * 37, count: number % 5 * 3 })
        .collect();
    let mut seeds = Seeds::new();
    for (name, lines) in MADE {
        fs::create_dir_all(&folder)?;
        let made = made(&folder, lines);
        fs::remove_dir_all(&folder)?;
        let mut image = made?;
        set_time_of_snapshot(&mut image);
        seeds.push((name, input(&steps, &image)));
    }
    Ok(seeds)
}

/// The time that qemu-img takes from the clock: that of the first snapshot (docs/interop/qcow2.rst
/// in QEMU), seconds and nanoseconds.
fn set_time_of_snapshot(image: &mut [u8]) {
    let field =
        |at: usize| image.get(at..at + 4).map(|bytes| [bytes[0], bytes[1], bytes[2], bytes[3]]);
    let [count, at] = [60, 68].map(|at| field(at).map_or(0, u32::from_be_bytes));
    if count > 0
        && let Ok(at) = usize::try_from(at)
        && let Some(time) = image.get_mut(at + 16..at + 24)
    {
        time.fill(0);
    }
}
