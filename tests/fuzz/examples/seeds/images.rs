//! Small images, as the tools make them that make real ones (tests/setup.sh brings them), and files
//! that are none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use chukka_fuzz::image::packed;

use super::Seeds;

/// What the lines of [`MADE`] use. Nothing in an image depends on the clock or is random: files are
/// of [`TIME`], and identifiers are [`ID`].
const FUNCTIONS: &str = r#"
iso() { genisoimage -quiet -input-charset utf-8 "$@" -o image tree; }
# extfs FILE SIZE OPTION...: a copied file has the time of the change of its inode, which nobody can set.
extfs() {
    file=$1 size=$2
    shift 2
    mke2fs -q -F -b 1024 -N 32 -U "$ID" -E hash_seed="$ID" "$@" -d tree "$file" "$size"
    (cd tree && find . -mindepth 1) | sed "s/.*/sif & atime @$TIME\nsif & ctime @$TIME/" |
        debugfs -w -f - "$file" >log 2>&1
}
fat() { mkfs.fat -i 1234 "$@" >log && mcopy -s -i "$1" tree/* ::; }
# xfs SIZE OPTION...: mkfs.xfs takes all times from the clock.
xfs() {
    truncate -s "$1" image
    shift
    mkfs.xfs --unsupported -q -m uuid="$ID" "$@" -p proto image
    # The inodes with a name, and those of the realtime section, behind the root directory.
    root=$(xfs_db -r -c sb -c 'print rootino' image)
    root=${root##* }
    named=$(xfs_db -r -c 'blockget -n' -c ncheck image | sed 's/^ *//; s/ .*//')
    for inode in "$root" $((root + 1)) $((root + 2)) $named; do
        echo "inode $inode"
        for field in core.atime core.mtime core.ctime v3.crtime; do
            echo "write $field.sec 0"
            echo "write $field.nsec 0"
        done
    done | xfs_db -x image >log 2>&1
}
"#;
/// Seconds since 1970, for [`FUNCTIONS`] and the tools themselves.
const TIME: &str = "1700000000";
/// For [`FUNCTIONS`].
const ID: &str = "00000000-0000-4000-8000-000000000000";

/// What makes an image of the folder `tree`: a name, and lines for a shell in the folder beside it,
/// which leave it in `image`.
const MADE: [(&str, &str); 16] = [
    ("plain", "iso"),
    ("rock", "iso -R"),
    ("joliet", "iso -J"),
    ("ext2", "extfs image 256k -t ext2 -I 128"),
    ("ext4", "extfs image 512k -t ext4 -O ^has_journal,^metadata_csum,^resize_inode"),
    ("ext4-checksums", "extfs image 512k -t ext4 -O ^has_journal,metadata_csum,^resize_inode"),
    (
        "ext4-journal",
        "extfs image 8m -t ext4 -J size=1 -O ^metadata_csum,^resize_inode
        head -c 1024 /dev/zero >block
        printf 'jo\njw -b 1500 block\njc\n' | debugfs -w -f - image >log 2>&1",
    ),
    ("fat12", "truncate -s 256k image && fat image -F 12"),
    ("fat16", "truncate -s 3m image && fat image -F 16 -s 1"),
    ("fat32", "truncate -s 34m image && fat image -F 32 -s 1"),
    ("squashfs", "mksquashfs tree image -quiet -no-progress -noI -noD -noF -noX"),
    ("squashfs-zstd", "mksquashfs tree image -quiet -no-progress -comp zstd"),
    ("xfs-4", "xfs 24m -m crc=0 -l size=4m"),
    ("xfs-5", "xfs 32m"),
    (
        "gpt",
        "truncate -s 256k part && fat part -F 12
        truncate -s 400k image && sgdisk -a 1 -n 1:64:+256K -U $ID -u 1:$ID image >log
        dd if=part of=image bs=512 seek=64 conv=notrunc status=none",
    ),
    (
        "qcow2",
        "extfs part 512k -t ext4 -O ^has_journal,^metadata_csum,^resize_inode
        truncate -s 1m disk
        printf 'label-id: 0x1234\nstart=64, size=1024, type=83, bootable\nstart=1100, type=82\n' | sfdisk -q disk
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
pub(super) fn made(folder: &Path, lines: &str) -> io::Result<Vec<u8>> {
    tree(&folder.join("tree"))?;
    let old = format!("find tree -exec touch -d @{TIME} {{}} +");
    let mut shell = Command::new("sh");
    shell.args(["-euc", &[FUNCTIONS, &old, lines].join("\n")]).current_dir(folder);
    shell.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("TIME", TIME).env("ID", ID);
    shell.env("TZ", "UTC").env("SOURCE_DATE_EPOCH", TIME).env("E2FSPROGS_FAKE_TIME", TIME);
    if !shell.status()?.success() {
        return Err(io::Error::other(format!("it has failed: {lines}")));
    }
    let mut image = fs::read(folder.join("image"))?;
    set_times_of_iso(&mut image);
    set_time_of_commit(&mut image);
    Ok(image)
}

/// The times that genisoimage takes from the clock: those of its volume descriptors (ECMA-119,
/// 8.4.26 to 8.4.29), and the last access and the change of files (Rock Ridge, 4.1.6), which a
/// program cannot set, or not before genisoimage reads the file.
fn set_times_of_iso(image: &mut [u8]) {
    const SECTOR: usize = 2048;
    for descriptor in image.chunks_mut(SECTOR).skip(16).take(4) {
        if descriptor.len() == SECTOR && matches!(&descriptor[..6], b"\x01CD001" | b"\x02CD001") {
            for at in [813, 830, 864] {
                descriptor[at..at + 16].copy_from_slice(b"2023111422132000");
            }
        }
    }
    // Modification, access and change, in this order: 7 bytes each.
    let entry = b"TF\x1a\x01\x0e";
    let entries = image.windows(entry.len()).enumerate().filter(|(_, bytes)| bytes == entry);
    let entries: Vec<_> = entries.map(|(at, _)| at + entry.len()).collect();
    for at in entries {
        image.copy_within(at..at + 7, at + 7);
        image.copy_within(at..at + 7, at + 14);
    }
}

/// The time that debugfs takes from the clock: that of the journal's commit block (`struct
/// commit_header`, include/linux/jbd2.h), in blocks of 1 KiB.
fn set_time_of_commit(image: &mut [u8]) {
    for block in image.chunks_mut(1024) {
        if block.starts_with(b"\xc0\x3b\x39\x98\0\0\0\x02") {
            block[48..60].fill(0);
        }
    }
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
