//! A Debian disk, as an installer leaves it: it boots to its login prompt by SeaBIOS and its own
//! GRUB, and directly by its boot menu.

use std::path::PathBuf;
use std::process::Command;

use chukka_tests::job::{Act, Input, Job, quote};
use chukka_tests::native::Scratch;
use chukka_tests::runner::{Run, Runner};
use chukka_tests::{assets, binaries, lab, pack};

/// Before the boots: `$1` is the disk, `$2` chukka, `$3` e2fsck.
const START: &str = r#"
fsck() { "$3" -fn "$1?offset=1048576" && echo "clean after $4"; }
"#;

/// The disk's boot loader by SeaBIOS, until the guest powers off.
const GRUB: &str = r#"
"$2" -hda "$1" -M @MACHINE -m 512 -nographic -no-reboot || exit
fsck "$@" grub
"#;

/// The kernel of the disk's boot menu.
const BOOT_MENU: &str = r#"
"$2" -bootdisk "$1" -append chukka.test -m 512 -nographic -no-reboot || exit
fsck "$@" bootdisk
"#;

/// Runs `script` with the Debian disk, and answers its prompts as `steps` says.
fn run(script: &str, steps: impl FnOnce(Job) -> Job) -> Option<Run> {
    let runner = Runner::get()?;
    let disk = assets::or_skip(assets::disk())?;
    let scratch = Scratch::new();
    let path = if runner.is_lab() {
        lab::DISK.into()
    } else {
        let raw = scratch.path("disk.raw");
        let mut convert = Command::new("qemu-img");
        let done = convert.args(["convert", "-O", "raw"]).args([&disk.image, &raw]).status();
        assert!(done.expect("it is there").success());
        raw
    };
    let (chukka, e2fsck) = (
        binaries::chukka().expect("it is built"),
        pack::which("e2fsck").expect("set-up brings it"),
    );
    let words = [&path, &chukka, &e2fsck].map(|path| quote(&path.to_string_lossy()));
    let mut job = Job::shell(&format!("set -- {}\n{START}{script}", words.join(" ")));
    for file in [chukka, e2fsck].into_iter().chain(seabios()) {
        job = job.need(&file);
    }
    let run = runner.run(&steps(job.timeout_secs(900).input(Input::Open)));
    // With -n, e2fsck reports a journal that would have to be replayed, and does not replay it.
    run.assert(!run.stdout.contains("skipping journal recovery"), "expected an empty journal");
    Some(run)
}

/// Both machines' images, where chukka looks for them.
fn seabios() -> [PathBuf; 2] {
    ["bios-microvm.bin", "bios-256k.bin"]
        .map(|image| assets::firmware(image).expect("set-up brings it"))
}

fn log_in(job: Job) -> Job {
    job.when(" login: ", Act::Send(b"root\n".into()))
}

fn power_off(job: Job) -> Job {
    job.when("~# ", Act::Send(b"poweroff\n".into()))
}

#[track_caller]
fn assert_booted_by_grub(run: &Run) {
    run.assert_exit(0)
        .assert_stdout("Booting from Hard Disk")
        .assert_stdout("GNU GRUB")
        .assert_stdout("clean after grub");
}

#[test]
fn a_debian_disk_on_microvm_boots_to_its_login_by_grub_and_by_its_menu_and_stays_clean() {
    let script = [&GRUB.replace("@MACHINE", "microvm"), BOOT_MENU].concat();
    let run = run(&script, |job| {
        let job = log_in(power_off(log_in(job)));
        job.when("~# ", Act::Send(b"cat /proc/cmdline; poweroff\n".into()))
    });
    let Some(run) = run else { return };
    assert_booted_by_grub(&run);
    run.assert_stdout("root=UUID=c4a44a00-0000-4000-8000-000000000001")
        .assert_stdout("clean after bootdisk");
}

#[test]
fn a_debian_disk_on_pc_boots_to_its_login_by_grub_and_stays_clean() {
    let script = GRUB.replace("@MACHINE", "pc");
    let Some(run) = run(&script, |job| power_off(log_in(job))) else { return };
    assert_booted_by_grub(&run);
}
