//! A Debian disk, as an installer leaves it: it boots to its login prompt by SeaBIOS and its own GRUB,
//! and directly by its boot menu.

use std::process::Command;

use chukka_tests::job::{Act, Input, Job, quote};
use chukka_tests::native::Scratch;
use chukka_tests::runner::Runner;
use chukka_tests::{assets, binaries, lab, pack};

/// Two boots of the disk `$1` by chukka, `$2`, and what e2fsck, `$3`, says of it after each. SIGTERM,
/// which presses the power button, is passed on to the second.
const TWO_BOOTS: &str = r#"
fsck() { "$1" -fn "$2?offset=1048576" && echo "clean after $3"; }
"$2" -hda "$1" -m 512 -nographic -no-reboot || exit
fsck "$3" "$1" grub
trap 'kill -TERM $chukka' TERM
"$2" -bootdisk "$1" -append chukka.test -m 512 -nographic -no-reboot <&0 &
chukka=$!
wait $chukka
wait $chukka
echo "ended with $?"
fsck "$3" "$1" bootdisk
"#;

#[test]
fn a_debian_disk_boots_to_its_login_by_grub_and_by_its_menu_and_stays_clean() {
    let Some(runner) = Runner::get() else { return };
    let Some(disk) = assets::or_skip(assets::disk()) else { return };
    let scratch = Scratch::new();
    let path = if runner.is_lab() {
        lab::DISK.into()
    } else {
        let raw = scratch.path("disk.raw");
        let mut convert = Command::new("qemu-img");
        let done = convert.args(["convert", "-O", "raw"]).args([&disk.image, &raw]).status();
        assert!(done.unwrap().success());
        raw
    };
    let (chukka, e2fsck) = (binaries::chukka().unwrap(), pack::which("e2fsck").unwrap());
    let seabios = assets::firmware("bios-microvm.bin").unwrap();
    let words = [&path, &chukka, &e2fsck].map(|path| quote(&path.to_string_lossy()));
    let job = Job::shell(&format!("set -- {}\n{TWO_BOOTS}", words.join(" ")));
    let job = job.need(&chukka).need(&e2fsck).need(&seabios).timeout_secs(900).input(Input::Open);
    let log_in = |job: Job| {
        let job = job.when(" login: ", Act::Send(b"root\n".into()));
        job.mark(" login: ")
    };
    let job = log_in(job).when("~# ", Act::Send(b"poweroff\n".into()));
    let job = log_in(job).when("~# ", Act::Send(b"cat /proc/cmdline\n".into()));
    let run = runner.run(&job.when("chukka.test", Act::Signal(libc::SIGTERM)));
    run.assert_exit(0)
        .assert_stdout("Booting from Hard Disk")
        .assert_stdout("GNU GRUB")
        .assert_stdout("clean after grub")
        .assert_stdout("root=UUID=c4a44a00-0000-4000-8000-000000000001")
        .assert_stdout("ended with 0")
        .assert_stdout("clean after bootdisk");
    run.assert(!run.stdout.contains("recovering journal"), "expected a clean file system");
}
