//! Images of QEMU's, and what a guest does to them.

use std::fs;
use std::io;

use chukka_fuzz::qcow2::{Step, input};

use crate::Seeds;
use crate::images::made;

/// As in [`crate::images`].
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
        seeds.push((name, input(&steps, &made?)));
    }
    Ok(seeds)
}
