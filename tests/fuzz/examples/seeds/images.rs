//! Small images, as the tools make them that make real ones (tests/setup.sh brings them), and files
//! that are none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use chukka_fuzz::image::packed;

use crate::Seeds;

/// What makes an image of the folder `tree`: a name, and lines for a shell in the folder beside it,
/// which leave it in `image`.
const MADE: [(&str, &str); 16] = [
    ("plain", "genisoimage -quiet -input-charset utf-8 -o image tree"),
    ("rock", "genisoimage -quiet -input-charset utf-8 -R -o image tree"),
    ("joliet", "genisoimage -quiet -input-charset utf-8 -J -o image tree"),
    ("ext2", "mke2fs -q -F -t ext2 -b 1024 -I 128 -N 32 -d tree image 256k"),
    ("ext4", "mke2fs -q -F -t ext4 -b 1024 -N 32 -O ^has_journal,^metadata_csum,^resize_inode -d tree image 512k"),
    ("ext4-checksums", "mke2fs -q -F -t ext4 -b 1024 -N 32 -O ^has_journal,metadata_csum,^resize_inode -d tree image 512k"),
    (
        "ext4-journal",
        "mke2fs -q -F -t ext4 -b 1024 -N 32 -J size=1 -O ^metadata_csum,^resize_inode -d tree image 8m
        head -c 1024 /dev/zero >block
        printf 'jo\njw -b 1500 block\njc\n' | debugfs -w -f - image >log 2>&1",
    ),
    ("fat12", "truncate -s 256k image && mkfs.fat -F 12 -i 1234 image >log && mcopy -s -i image tree/* ::"),
    ("fat16", "truncate -s 3m image && mkfs.fat -F 16 -s 1 -i 1234 image >log && mcopy -s -i image tree/* ::"),
    ("fat32", "truncate -s 34m image && mkfs.fat -F 32 -s 1 -i 1234 image >log && mcopy -s -i image tree/* ::"),
    ("squashfs", "mksquashfs tree image -quiet -no-progress -noI -noD -noF -noX"),
    ("squashfs-zstd", "mksquashfs tree image -quiet -no-progress -comp zstd"),
    ("xfs-4", "truncate -s 24m image && mkfs.xfs --unsupported -q -m crc=0 -l size=4m -p proto image"),
    ("xfs-5", "truncate -s 32m image && mkfs.xfs --unsupported -q -p proto image"),
    (
        "gpt",
        "truncate -s 256k part && mkfs.fat -F 12 part >log && mcopy -s -i part tree/* ::
        truncate -s 400k image && sgdisk -a 1 -n 1:64:+256K image >log
        dd if=part of=image bs=512 seek=64 conv=notrunc status=none",
    ),
    (
        "qcow2",
        "mke2fs -q -F -t ext4 -b 1024 -N 32 -O ^has_journal,^metadata_csum,^resize_inode -d tree part 512k
        truncate -s 1m disk && printf 'start=64, size=1024, type=83, bootable\nstart=1100, type=82\n' | sfdisk -q disk
        dd if=part of=disk bs=512 seek=64 conv=notrunc status=none
        qemu-img convert -c -f raw -O qcow2 -o cluster_size=4k disk image",
    ),
];

pub fn seeds() -> io::Result<Seeds> {
    let folder = std::env::temp_dir().join(format!("chukka-seeds-{}", std::process::id()));
    let mut seeds = Seeds::new();
    for (name, lines) in MADE {
        fs::create_dir_all(&folder)?;
        let made = made(&folder, lines);
        fs::remove_dir_all(&folder)?;
        seeds.push((name, packed(&made?)));
    }
    let mut text = vec![0; 4096];
    text[..20].copy_from_slice(b"nothing to look into");
    seeds.push(("no-system", packed(&text)));
    Ok(seeds)
}

/// Runs `lines` in a folder with a small tree; the bytes of `image`.
pub(crate) fn made(folder: &Path, lines: &str) -> io::Result<Vec<u8>> {
    tree(&folder.join("tree"))?;
    let mut shell = Command::new("sh");
    shell.args(["-euc", lines]).current_dir(folder);
    shell.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("SOURCE_DATE_EPOCH", "1700000000");
    if !shell.status()?.success() {
        return Err(io::Error::other(format!("it has failed: {lines}")));
    }
    fs::read(folder.join("image"))
}

/// A small tree to boot from.
fn tree(root: &Path) -> io::Result<()> {
    let file = |path: &str, bytes: &[u8]| {
        let path: PathBuf = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, bytes)
    };
    file("boot/vmlinuz", &b"a kernel. ".repeat(150))?;
    file("boot/grub.cfg", b"linux /boot/vmlinuz\n")?;
    file("isolinux/isolinux.cfg", b"label linux\nkernel /boot/vmlinuz\n")?;
    file("treeinfo", b"[general]\narch = x86_64\n")?;
    // The same for mkfs.xfs: mkfs.xfs(8), -p.
    let proto = "/\n0 0\nd--755 0 0\nboot d--755 0 0\nvmlinuz ---644 0 0 tree/boot/vmlinuz\n\
        grub.cfg ---644 0 0 tree/boot/grub.cfg\n$\nlink l--777 0 0 boot/vmlinuz\n\
        treeinfo ---644 0 0 tree/treeinfo\n$\n";
    fs::write(root.with_file_name("proto"), proto)
}
