//! Disks under Debian's kernels: they find them, and what they write is there.

use std::path::{Path, PathBuf};

use chukka_tests::guest::Initrd;
use chukka_tests::job::quote;
use chukka_tests::runner::{Guest, Runner};
use chukka_tests::{assets, pack};

/// An initrd whose first process has disks, e2fsprogs and sfdisk, and runs `script`.
fn initrd(kernel: &assets::Kernel, script: &str) -> PathBuf {
    let initrd = Initrd::new().expect("busybox is there");
    let modules = ["virtio_mmio", "virtio_pci", "virtio_blk", "crc32c_generic", "ext4"];
    let (mut initrd, load) = initrd.modules(kernel, &modules).expect("Debian has them");
    for program in ["mkfs.ext4", "sfdisk", "blkdiscard"] {
        let path = program_path(program);
        for file in pack::closure(&path).expect("ldd lists its libraries") {
            let content = std::fs::read(&file).expect("it is installed");
            initrd = initrd.file(file.to_str().expect("text").trim_start_matches('/'), &content);
        }
    }
    let wait = "while [ ! -b /dev/vda ]; do sleep 0.1; done\nmkdir -p /mnt\nexport PATH=$PATH:/usr/bin:/usr/sbin\n";
    initrd.script(&format!("{load}{wait}{script}")).write().expect("there is room")
}

pub(crate) fn program_path(name: &str) -> PathBuf {
    let path = ["/usr/sbin", "/sbin"].iter().map(|folder| Path::new(folder).join(name));
    path.into_iter()
        .find(|path| path.exists())
        .or_else(|| pack::which(name))
        .expect("set-up brings it")
}

/// Partitions, formats and fills the disk in the first boot, and reads it back in the second.
const TWO_BOOTS: &str = r#"
echo "ro=$(cat /sys/block/vdb/ro) serial=$(cat /sys/block/vdb/serial) sectors=$(cat /sys/block/vdb/size)"
echo "cache=$(cat /sys/block/vda/queue/write_cache)"
echo "first=$(head -c 512 /dev/vdb | sha256sum | cut -c 1-8)"
if [ ! -b /dev/vda1 ]; then
	echo ',,L' | sfdisk -q /dev/vda && mkfs.ext4 -q /dev/vda1 && mount -t ext4 /dev/vda1 /mnt || exit 1
	for n in 1 2 3 4 5 6 7 8; do head -c 1500000 /dev/urandom >/mnt/file$n; done
	cd /mnt && sha256sum file* >sums && cd / && sync && echo 3 >/proc/sys/vm/drop_caches
	(cd /mnt && sha256sum -c sums) && umount /mnt && echo "boot 1: written and read back"
	reboot -f
fi
mount -t ext4 /dev/vda1 /mnt && (cd /mnt && sha256sum -c sums) && rm /mnt/file3 && umount /mnt &&
	echo "boot 2: still there"
"#;

/// Two disks: one that is partitioned, formatted, filled, and read back after a reboot, and one
/// that is read only. `args` choose the machine, `words` are for the kernel.
fn two_boots(kernel: Option<assets::Kernel>, args: &[&str], words: &str) {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = kernel else { return };
    let guest = Guest::new().reboots().initrd(&initrd(&kernel, TWO_BOOTS)).timeout_secs(400);
    let guest = guest
        .kernel(&kernel.vmlinuz)
        .append(words)
        .args(["-smp", "2"])
        .args(args.iter().copied())
        .args([
            "-drive",
            "file=/tmp/chukka-disk.raw,format=raw,if=virtio",
            "-drive",
            "file=/tmp/chukka-ro.raw,format=raw,if=none,id=r,readonly=on",
            "-device",
            "virtio-blk,drive=r,serial=chukka-ro",
        ]);
    let mut job = guest.job().expect("set-up is done");
    let e2fsck = program_path("e2fsck");
    let check = format!(
        "rm -f /tmp/chukka-disk.raw; truncate -s 96M /tmp/chukka-disk.raw; \
         head -c 1000 /dev/zero | tr '\\0' 'x' >/tmp/chukka-ro.raw; \"$@\"; status=$?; \
         {} -fn '/tmp/chukka-disk.raw?offset=1048576'; echo \"e2fsck ended with $?\"; \
         rm -f /tmp/chukka-disk.raw /tmp/chukka-ro.raw; exit $status",
        quote(&e2fsck.to_string_lossy())
    );
    job.command.splice(0..0, ["/bin/sh", "-c", &check, "sh"].map(String::from));
    let run = runner.run(&job.need(&e2fsck));
    run.assert_userspace().assert_exit(0);
    run.assert_stdout("ro=1 serial=chukka-ro sectors=2");
    run.assert_stdout("cache=write back");
    // 512 bytes of "x".
    run.assert_stdout("first=64164443");
    run.assert_stdout("boot 1: written and read back");
    run.assert_stdout("boot 2: still there");
    run.assert_stdout("e2fsck ended with 0");
}

#[test]
fn a_disk_on_microvm_is_partitioned_formatted_and_still_right_after_a_reboot() {
    two_boots(assets::or_skip(assets::cloud()), &["-M", "microvm"], "");
}

#[test]
fn so_is_a_disk_on_pc_by_msi() {
    two_boots(assets::or_skip(assets::generic()), &["-M", "pc"], "");
}

#[test]
fn so_is_a_disk_on_pc_where_seabios_places_the_registers() {
    let Some(bios) = assets::or_skip(assets::firmware("bios-256k.bin")) else { return };
    let args = ["-M", "pc", "-bios", bios.to_str().expect("text")];
    two_boots(assets::or_skip(assets::cloud()), &args, "reboot=pci");
}

#[test]
fn so_is_a_disk_on_pc_by_interrupt_lines() {
    two_boots(assets::or_skip(assets::cloud()), &["-M", "pc"], "pci=nomsi noapic");
}
