//! A Debian disk, as an installer leaves it, by its own boot menu: to the point where the initrd looks for its root device.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs;

use chukka_tests::assets;
use chukka_tests::job::Act;
use chukka_tests::runner::{Guest, Runner};

/// What Debian's initrd says of the root device when it has not found it (initramfs-tools, scripts/functions).
const GIVES_UP: &str = "does not exist.  Dropping to a shell!";

/// The first word that begins with this in a text.
fn word<'a>(text: &'a str, begins: &str) -> &'a str {
    text.split_ascii_whitespace().find(|word| word.starts_with(begins)).unwrap()
}

#[test]
fn a_debian_disk_boots_its_default_entry_with_the_entry_s_words_and_ours() {
    let Some(runner) = Runner::get() else { return };
    let Some(disk) = assets::or_skip(assets::disk()) else { return };
    let root = fs::read_to_string(&disk.grub_cfg).unwrap();
    let root = word(&root, "root=UUID=");
    let words =
        ["-bootdisk", disk.image.to_str().unwrap(), "-m", "512", "-nographic", "-no-reboot"];
    let guest = Guest::argv(words).args(["-append", "console=ttyS0 rootdelay=2"]);
    let guest = guest.with(|job| job.terminal().need(&disk.image)).timeout_secs(400);
    let run = guest.when(GIVES_UP, Act::Signal(libc::SIGTERM)).run(runner);
    // The kernel tells its command line; the initrd which device it waited for.
    run.assert_stdout(GIVES_UP)
        .assert_stdout(&format!("ALERT!  {} {GIVES_UP}", &root["root=".len()..]));
    let line = run.stdout.lines().find(|line| line.contains("Command line: ")).unwrap_or_default();
    run.assert(line.contains(root) && line.contains("rootdelay=2"), "expected the entry's words");
}
