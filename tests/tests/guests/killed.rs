//! kill -9 while a Linux guest writes to its disk: its journal replays, all that it has synced is
//! there, and a qcow2 image has lost space at worst.

use std::path::Path;

use chukka_tests::guest::Initrd;
use chukka_tests::job::Job;
use chukka_tests::runner::Runner;
use chukka_tests::{assets, binaries, pack};

/// Checks the files of the boots before, of which `flushed=` in the command line is the last that
/// was reported, and writes more. Each replaces one of 20, whole or not at all.
const GUEST: &str = r#"
while [ ! -b /dev/vda ]; do sleep 0.1; done
flushed=$(sed 's/.*flushed=\([0-9]*\).*/\1/' /proc/cmdline)
mkdir /mnt && mount -t ext4 /dev/vda /mnt || exit 1
for slot in $(seq 0 19); do
	least=$((flushed - (flushed - slot + 20) % 20))
	[ $least -gt 0 ] || continue
	numbers=$(sort -u /mnt/f$slot)
	[ "$numbers" -ge $least ] && [ $((numbers % 20)) = $slot ] && [ $(wc -l </mnt/f$slot) = 20000 ] && continue
	echo "WRONG: slot $slot has $numbers, expected $least or more"
	exit 1
done
echo "all $flushed are there"
number=$flushed
while :; do
	number=$((number + 1))
	yes $number | head -n 20000 >/mnt/new && sync
	mv /mnt/new /mnt/f$((number % 20)) && sync && echo "flushed $number."
done
"#;

/// `$1` is chukka, `$2` qemu-img, `$3` the disk, `$4` its format, `$5` how many rounds; the rest is
/// chukka's command but for the command line of the kernel.
const HOST: &str = r#"
chukka=$1 qemu_img=$2 disk=$3 format=$4 rounds=$5
shift 5
image=/tmp/chukka-killed.$format
rm -f $image
"$qemu_img" convert -O $format "$disk" $image || exit 1
flushed=0
for round in $(seq $rounds); do
	"$@" -drive file=$image,format=$format,if=virtio -append "console=ttyS0 quiet panic=-1 flushed=$flushed" </dev/null >/tmp/killed.out 2>&1 &
	pid=$!
	for try in $(seq 600); do
		grep -q 'flushed [0-9]*\.' /tmp/killed.out && break
		sleep 0.2
	done
	sleep $((round % 4)).$((round * 37 % 10))
	kill -9 $pid
	wait $pid
	grep -q "all $flushed are there" /tmp/killed.out || { cat /tmp/killed.out; exit 1; }
	now=$(sed -n 's/.*flushed \([0-9]*\)\..*/\1/p' /tmp/killed.out | tail -n 1)
	[ "${now:-0}" -gt $flushed ] || { cat /tmp/killed.out; exit 1; }
	flushed=$now
	if [ $format = qcow2 ]; then
		"$chukka" disk check $image >/tmp/check; mine=$?
		"$qemu_img" check -f $format $image >/tmp/check-qemu 2>&1; theirs=$?
		case $mine.$theirs in 0.0 | 3.3) ;; *) cat /tmp/check /tmp/check-qemu; exit 1 ;; esac
		echo "round $round: killed after $flushed, check $mine"
	else
		echo "round $round: killed after $flushed"
	fi
done
rm -f $image
echo "all $rounds rounds of $format are right"
"#;

fn rounds(format: &str, machine: &str) {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let initrd = Initrd::new().expect("busybox is there");
    let modules = ["virtio_mmio", "virtio_pci", "virtio_blk", "crc32c_generic", "ext4"];
    let (initrd, load) = initrd.modules(&kernel, &modules).expect("Debian has them");
    let initrd = initrd.script(&format!("{load}{GUEST}")).write().expect("there is room");
    let disk = assets::work_folder().expect("there is room").join(format!("killed-{format}.raw"));
    let file = std::fs::File::create(&disk).expect("there is room");
    file.set_len(64 << 20).expect("there is room");
    let made = std::process::Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&disk).status();
    assert!(made.expect("set-up brings it").success());
    let (chukka, qemu_img) = (
        binaries::chukka().expect("it is built"),
        pack::which("qemu-img").expect("set-up brings it"),
    );
    let rounds = std::env::var("CHUKKA_ROUNDS").unwrap_or_else(|_| "50".into());
    let word = |path: &Path| path.to_string_lossy().into_owned();
    let command = [
        ["/bin/sh", "-c", HOST, "sh"].map(String::from).to_vec(),
        vec![word(&chukka), word(&qemu_img), word(&disk), format.into(), rounds.clone()],
        vec![word(&chukka), "-M".into(), machine.into(), "-m".into(), "256".into()],
        vec!["-nographic".into(), "-kernel".into(), word(&kernel.vmlinuz)],
        vec!["-initrd".into(), word(&initrd)],
    ];
    let needs = [&chukka, &qemu_img, &disk, &kernel.vmlinuz, &initrd];
    let job = Job::new(command.concat()).timeout_secs(7200);
    let job = needs.into_iter().fold(job, |job, file| job.need(file));
    let run = runner.run(&job);
    run.assert_exit(0).assert_stdout(&format!("all {rounds} rounds of {format} are right"));
    println!("{}", run.stdout);
}

#[test]
#[ignore = "takes an hour: make soak"]
fn a_linux_guest_killed_while_it_writes_to_a_raw_disk_loses_nothing_it_has_synced() {
    rounds("raw", "microvm");
}

#[test]
#[ignore = "takes an hour: make soak"]
fn a_linux_guest_killed_while_it_writes_to_a_qcow2_disk_loses_nothing_it_has_synced() {
    rounds("qcow2", "pc");
}
