//! Disks under Debian's kernels: they find them, and what they write is there.

use std::path::{Path, PathBuf};

use chukka_tests::guest::Initrd;
use chukka_tests::modules::Modules;
use chukka_tests::runner::{Guest, Runner};
use chukka_tests::{assets, binaries, pack};

use crate::kexec;

/// An initrd whose first process has disks, and e2fsprogs and sfdisk if it is for the `first` boot.
/// It runs [`SCRIPT`].
fn initrd(kernel: &assets::Kernel, first: bool) -> Initrd {
    let initrd = Initrd::new().expect("busybox is there");
    let mut modules = vec!["virtio_pci", "virtio_blk", "virtio-rng", "crc32c_generic", "ext4"];
    let known = Modules::find(&kernel.modules).expect("Debian has some");
    modules.extend(["virtio_console"].iter().filter(|name| known.closure(&[**name]).is_ok()));
    // The cloud kernel has no drivers for SATA.
    let sata = ["ahci", "sd_mod", "sr_mod"];
    modules.extend(sata.iter().filter(|_| known.closure(&sata).is_ok()));
    let (initrd, load) = initrd.modules(kernel, &modules).expect("Debian has them");
    let (mut initrd, load_by_alias) = with_virtio_mmio(initrd, kernel);
    let programs = if first { &["mkfs.ext4", "sfdisk"][..] } else { &[] };
    for program in programs {
        let path = program_path(program);
        for file in pack::closure(&path).expect("ldd lists its libraries") {
            let content = std::fs::read(&file).expect("it is installed");
            initrd = initrd.file(file.to_str().expect("text").trim_start_matches('/'), &content);
        }
    }
    initrd.script(&format!("{load}{load_by_alias}{SCRIPT}"))
}

/// Adds virtio_mmio, and the shell lines that load it as udev does: where a device that ACPI
/// announces matches one of the module's aliases.
fn with_virtio_mmio(initrd: Initrd, kernel: &assets::Kernel) -> (Initrd, String) {
    let modules = Modules::find(&kernel.modules).expect("Debian has some");
    let modules = modules.closure(&["virtio_mmio"]).expect("Debian has it");
    let module = modules.last().expect("it is not built in");
    let patterns = module.aliases().join("|");
    let lines = format!(
        "for device in $(cat /sys/bus/acpi/devices/*/modalias); do\n\
         case $device in {patterns}) [ -d /sys/module/virtio_mmio ] || insmod /virtio_mmio.ko ;; esac\n\
         done\n"
    );
    (initrd.file("virtio_mmio.ko", &module.content), lines)
}

/// The same for a guest that starts its kernel once more, by kexec.
fn initrd_with_kexec(kernel: &assets::Kernel) -> Initrd {
    let read = |path: &Path| std::fs::read(path).expect("it is there");
    let next = initrd(kernel, false).write().expect("there is room");
    let program = kexec::program().expect("cc is there");
    let initrd = initrd(kernel, true).file("kexec", &program);
    initrd.file("vmlinuz", &read(&kernel.vmlinuz)).file("next.cpio", &read(&next))
}

pub(crate) fn program_path(name: &str) -> PathBuf {
    let path = ["/usr/sbin", "/sbin"].iter().map(|folder| Path::new(folder).join(name));
    path.into_iter()
        .find(|path| path.exists())
        .or_else(|| pack::which(name))
        .expect("set-up brings it")
}

/// Partitions, formats and fills a raw and a qcow2 disk in the first boot, and reads them back in
/// those that follow: the second, and the third by kexec. With the word `sata`, also a SATA disk;
/// then there is a CD, too.
const SCRIPT: &str = r#"
export PATH=$PATH:/usr/bin:/usr/sbin
while [ ! -b /dev/vdc ]; do sleep 0.1; done
mkdir -p /mnt
echo "ro=$(cat /sys/block/vdb/ro) serial=$(cat /sys/block/vdb/serial) sectors=$(cat /sys/block/vdb/size)"
echo "random numbers: $(head -c 64 /dev/hwrng | wc -c)"
for port in /sys/class/virtio-ports/*; do
	case $(cat $port/name 2>/dev/null) in
	org.example.a) a=/dev/${port##*/} ;;
	org.example.b) b=/dev/${port##*/} ;;
	esac
done
echo 'from one port to the other' >$a &
echo '<0>heard on every console' >/dev/kmsg
echo "virtserialport: $(head -n 1 <$b)"
echo "cache=$(cat /sys/block/vda/queue/write_cache)"
echo "first=$(head -c 512 /dev/vdb | sha256sum | cut -c 1-8)"
if grep -q sata /proc/cmdline; then
	while [ ! -b /dev/sda ] || [ ! -b /dev/sr0 ]; do sleep 0.1; done
	sata=sda
	device=/sys/block/sda/device
	echo "sda: model=$(cat $device/model) depth=$(cat $device/queue_depth) cache=$(cat /sys/block/sda/queue/write_cache)"
	echo "messages for ahci: $(grep -c 'PCI-MSI.*ahci' /proc/interrupts)"
	echo "sr0: $(cat /sys/block/sr0/size) sectors, $(head -c 1000 /dev/sr0 | sha256sum | cut -c 1-8)"
fi
fill() {
	echo ',,L' | sfdisk -q /dev/$1 && mkfs.ext4 -q /dev/${1}1 && mount -t ext4 /dev/${1}1 /mnt || exit 1
	for n in 1 2 3 4 5; do head -c 1500000 /dev/urandom >/mnt/file$n; done
	(cd /mnt && sha256sum file* >sums && sync)
	echo 3 >/proc/sys/vm/drop_caches
	(cd /mnt && sha256sum -c sums) && umount /mnt && echo "$1: written and read back"
}
look() {
	mount -t ext4 /dev/${1}1 /mnt && (cd /mnt && sha256sum -c sums && echo $RANDOM >file3 && sha256sum file* >sums) &&
		umount /mnt && echo "$1: still there in $2"
}
if [ ! -b /dev/vda1 ]; then
	fill vda && fill vdc && { [ -z $sata ] || fill $sata; } && reboot -f
elif grep -q by-kexec /proc/cmdline; then
	look vda 'boot 3' && look vdc 'boot 3'
else
	look vda 'boot 2' && look vdc 'boot 2' && { [ -z $sata ] || look $sata 'boot 2'; }
	[ -x /kexec ] && /kexec /vmlinuz /next.cpio "$(cat /proc/cmdline) by-kexec"
fi
"#;

/// The arguments for a machine that boots through one of Debian's SeaBIOS images.
fn through_seabios(machine: &str, image: &str) -> Option<[String; 4]> {
    let bios = assets::or_skip(assets::firmware(image))?;
    let bios = bios.to_str().expect("text");
    Some(["-M", machine, "-bios", bios].map(String::from))
}

/// Three disks: a raw and a qcow2 one that are partitioned, formatted, filled, and read back after
/// a reboot, and after another one by kexec if `kexecs`; and one that is read only. `args` choose
/// the machine, `words` are for the kernel.
fn boots(kernel: Option<assets::Kernel>, args: &[impl AsRef<str>], words: &str, kexecs: bool) {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = kernel else { return };
    let initrd = if kexecs { initrd_with_kexec(&kernel) } else { initrd(&kernel, true) };
    let initrd = initrd.write().expect("there is room");
    let guest = Guest::new().reboots().initrd(&initrd).timeout_secs(900);
    let guest = guest
        .kernel(&kernel.vmlinuz)
        .append(&format!("console=hvc0 console=ttyS0 {words}"))
        .memory("512")
        .args(["-smp", "2"])
        .args(args.iter().map(AsRef::as_ref))
        .args([
            "-drive",
            "file=/tmp/chukka-disk.raw,format=raw,if=virtio",
            "-drive",
            "file=/tmp/chukka-ro.raw,format=raw,if=none,id=r,readonly=on",
            "-device",
            "virtio-blk,drive=r,serial=chukka-ro",
            "-drive",
            "file=/tmp/chukka-disk.qcow2,if=none,id=q,size=96M",
            "-device",
            "virtio-blk,drive=q",
            "-object",
            "rng-random,id=rng0,filename=/dev/urandom",
            "-device",
            "virtio-rng,rng=rng0",
            "-device",
            "virtio-serial",
            "-chardev",
            "file,id=hvc,path=/tmp/chukka-hvc.log",
            "-device",
            "virtconsole,chardev=hvc",
            // One port is connected to the other.
            "-chardev",
            "socket,id=a,path=/tmp/chukka-port,server=on,wait=off",
            "-device",
            "virtserialport,chardev=a,name=org.example.a",
            "-chardev",
            "socket,id=b,path=/tmp/chukka-port",
            "-device",
            "virtserialport,chardev=b,name=org.example.b",
        ]);
    let mut job = guest.job().expect("set-up is done");
    let (chukka, e2fsck, qemu_img) = (
        binaries::chukka().expect("it is built"),
        program_path("e2fsck"),
        program_path("qemu-img"),
    );
    job.command.splice(0..0, ["/bin/sh", "-c", ON_THE_HOST, "sh"].map(String::from));
    let programs = [&chukka, &e2fsck, &qemu_img].map(|path| path.to_string_lossy().into_owned());
    job.command.splice(4..4, programs);
    let run = runner.run(&job.need(&e2fsck).need(&qemu_img));
    run.assert_userspace().assert_exit(0);
    run.assert_stdout("ro=1 serial=chukka-ro sectors=2");
    run.assert_stdout("cache=write back");
    run.assert_stdout("random numbers: 64");
    run.assert_stdout("virtserialport: from one port to the other");
    run.assert_stdout("the virtual console is one of the kernel's");
    // 512 bytes of "x".
    run.assert_stdout("first=64164443");
    for disk in ["vda", "vdc"] {
        run.assert_stdout(&format!("{disk}: written and read back"));
        run.assert_stdout(&format!("{disk}: still there in boot 2"));
        run.assert(
            !kexecs || run.stdout.contains(&format!("{disk}: still there in boot 3")),
            "the kernel started by kexec has the disks",
        );
    }
    if words.contains("sata") {
        run.assert_stdout("sda: model=QEMU HARDDISK    depth=32 cache=write back");
        run.assert_stdout("messages for ahci: 1");
        // 1000 bytes of "x", and zeros to the end of the block.
        run.assert_stdout("sr0: 4 sectors, 44f83544");
        run.assert_stdout("sda: written and read back");
        run.assert_stdout("sda: still there in boot 2");
        run.assert_stdout("e2fsck of SATA ended with 0");
    }
    run.assert_stdout("e2fsck of raw ended with 0");
    run.assert_stdout("e2fsck of qcow2 ended with 0");
    run.assert_stdout("chukka disk check ended with 0");
    run.assert_stdout("qemu-img check ended with 0");
}

/// Runs the guest, and checks its disks: `$1` is chukka, `$2` e2fsck, `$3` qemu-img, and then comes
/// the command.
const ON_THE_HOST: &str = r#"
chukka=$1 e2fsck=$2 qemu_img=$3 raw=/tmp/chukka-disk.raw qcow2=/tmp/chukka-disk.qcow2 sata=/tmp/chukka-sata.raw
shift 3
rm -f $raw $qcow2 $sata /tmp/chukka-port
truncate -s 96M $raw $sata
head -c 1000 /dev/zero | tr '\0' 'x' >/tmp/chukka-ro.raw
"$@"
status=$?
grep -q 'heard on every console' /tmp/chukka-hvc.log && echo "the virtual console is one of the kernel's"
"$e2fsck" -fn "$raw?offset=1048576"; echo "e2fsck of raw ended with $?"
"$e2fsck" -fn "$sata?offset=1048576"; echo "e2fsck of SATA ended with $?"
"$chukka" disk check $qcow2; echo "chukka disk check ended with $?"
"$qemu_img" check $qcow2; echo "qemu-img check ended with $?"
"$qemu_img" convert -O raw $qcow2 $raw
"$e2fsck" -fn "$raw?offset=1048576"; echo "e2fsck of qcow2 ended with $?"
rm -f $raw $qcow2 $sata /tmp/chukka-ro.raw
exit $status
"#;

#[test]
fn disks_on_microvm_are_partitioned_formatted_and_still_right_after_a_reboot_and_kexec() {
    boots(assets::or_skip(assets::cloud()), &["-M", "microvm"], "", true);
}

#[test]
fn virtio_disks_with_msi_x_and_sata_disks_work_on_pc() {
    let sata = [
        "file=/tmp/chukka-sata.raw,format=raw,if=ide",
        "file=/tmp/chukka-ro.raw,media=cdrom,if=ide",
    ];
    let args = ["-M", "pc", "-drive", sata[0], "-drive", sata[1]];
    boots(assets::or_skip(assets::generic()), &args, "sata", false);
}

#[test]
fn so_are_disks_on_pc_where_seabios_places_the_registers() {
    let Some(args) = through_seabios("pc", "bios-256k.bin") else { return };
    boots(assets::or_skip(assets::cloud()), &args, "reboot=pci", true);
}

#[test]
fn so_are_disks_on_pc_by_interrupt_lines() {
    boots(assets::or_skip(assets::cloud()), &["-M", "pc"], "pci=nomsi noapic", false);
}

#[test]
#[ignore = "takes a minute: make soak"]
fn so_are_disks_on_microvm_with_the_generic_kernel_through_seabios() {
    let Some(args) = through_seabios("microvm", "bios-microvm.bin") else { return };
    boots(assets::or_skip(assets::generic()), &args, "reboot=pci", false);
}

/// What the tests above leave out of: each kernel, on each machine, directly and through SeaBIOS.
#[test]
#[ignore = "takes minutes: make soak"]
fn so_are_disks_with_every_other_kernel_machine_and_way_to_boot() {
    boots(assets::or_skip(assets::generic()), &["-M", "microvm"], "", false);
    let Some(args) = through_seabios("microvm", "bios-microvm.bin") else { return };
    boots(assets::or_skip(assets::cloud()), &args, "", true);
    let Some(args) = through_seabios("pc", "bios-256k.bin") else { return };
    boots(assets::or_skip(assets::generic()), &args, "", false);
    boots(assets::or_skip(assets::generic()), &["-M", "pc"], "reboot=pci", true);
}
