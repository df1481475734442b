//! `-location`: the guest gets the files found in a tree, with the user's files in its initrd; the
//! plan; refusals. Debian's installer boots from its tree if KVM can run a stock kernel.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};

use chukka_tests::assets;
use chukka_tests::cpio::Cpio;
use chukka_tests::native::guest::{bzimage, sum_of_pages};
use chukka_tests::native::{self, Scratch, Start, start};
use chukka_tests::runner::{Guest, Runner};

const TREE: &str = "current/images/netboot/debian-installer/amd64";

/// A tree of Debian's shape with these two files.
fn tree(scratch: &Scratch, kernel: &[u8], initrd: &[u8]) -> PathBuf {
    let root = scratch.path("tree");
    fs::create_dir_all(root.join(TREE)).unwrap();
    fs::write(root.join(TREE).join("linux"), kernel).unwrap();
    fs::write(root.join(TREE).join("initrd.gz"), initrd).unwrap();
    root
}

fn at(place: &Path) -> Start {
    start(["-location"]).args([place])
}

fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = Cpio::new();
    archive.file(name, 0o644, content);
    archive.finish()
}

#[test]
fn a_guest_gets_the_tree_s_kernel_and_its_initrd_with_the_user_s_file() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    // Three bytes of padding, and whole pages in all, for the guest's sum.
    let initrd: Vec<u8> = (0..4093).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut content = b"d-i debconf/priority string critical\n".to_vec();
    while !archive("preseed.cfg", &content).len().is_multiple_of(4096) {
        content.push(b'\n');
    }
    let expected = [&initrd[..], &[0; 3], &archive("preseed.cfg", &content)].concat();
    let sum = sum_of_pages(&expected);
    assert_ne!(sum, sum_of_pages(&[&initrd[..], &[0; 3]].concat()));
    let preseed = scratch.file("preseed.cfg", &content);
    let root = tree(&scratch, &bzimage("=P"), &initrd);
    let path = format!("/{TREE}/linux");
    let ways = [&[][..], &["-bios", "builtin"], &["-bios", "seabios"], &["-kernel", &path]];
    // The last one names its kernel; SeaBIOS may not be installed.
    let has_seabios = assets::or_skip(assets::firmware("bios.bin")).is_some();
    for words in ways.into_iter().filter(|words| has_seabios || !words.contains(&"seabios")) {
        let start = at(&root).args(words).args(["-m", "64M"]);
        let ended = start.args(["-preseed".as_ref(), preseed.as_path()]).run();
        assert_eq!(ended.code(), Some(0), "{words:?}: {}", ended.stderr);
        assert!(ended.text().contains(&sum), "{words:?}: {} has no {sum}", ended.text());
    }
}

#[test]
fn files_can_be_put_into_the_initrd_of_any_kernel_and_make_one_where_there_is_none() {
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let kernel = scratch.file("kernel", &bzimage("=P"));
    let mut content = b"x".to_vec();
    while !archive("file", &content).len().is_multiple_of(4096) {
        content.push(b'x');
    }
    let sum = sum_of_pages(&archive("file", &content));
    let file = scratch.file("file", &content);
    let start = Start::kernel(&kernel).args(["-m", "64M"]);
    let ended = start.args(["-initrd-inject".as_ref(), file.as_path()]).run();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert!(ended.text().contains(&sum), "{} has no {sum}", ended.text());
}

#[test]
fn the_plan_says_where_everything_was_found_and_needs_no_kvm() {
    let scratch = Scratch::new();
    let root = tree(&scratch, &bzimage("P"), b"initrd");
    let preseed = scratch.file("my.cfg", b"d-i x");
    let ended = at(&root)
        .args(["-append", "console=ttyS0 --- quiet", "-dry-run", "-bios", "builtin", "-preseed"])
        .args([&preseed])
        .run();
    let shown = root.display();
    let plan = format!(
        "\
location      '{shown}'
  looked for  .treeinfo: not there
  looked for  treeinfo: not there
  looked for  Debian: {TREE}/linux, {TREE}/initrd.gz: both there
found         the layout of Debian (as in osinfo, virt-install)
starts        Debian's installer
kernel        '{shown}/{TREE}/linux' (66.5K), bzImage
initrd        '{shown}/{TREE}/initrd.gz + /my.cfg' (260B)
  with        /my.cfg, from '{}' (5 bytes)
command line  console=ttyS0 preseed/file=/my.cfg --- quiet
boots         by the firmware builtin
machine       microvm, 512M of memory, 1 CPU
network       none
",
        preseed.display()
    );
    assert_eq!((ended.code(), ended.text(), ended.stderr.as_str()), (Some(0), plan, ""));
}

#[test]
fn the_plan_of_the_real_installer_s_tree() {
    let Some(installer) = assets::or_skip(assets::installer()) else { return };
    let folder = installer.linux.parent().unwrap();
    let ended = at(folder).args(["-dry-run", "-m", "1G"]).run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    for line in [
        "found         the layout of Debian's netboot files (as in package)\n",
        &format!("kernel        '{}' (", installer.linux.display()),
        &format!("initrd        '{}' (", installer.initrd.display()),
        "command line  (empty)\n",
    ] {
        assert!(ended.text().contains(line), "{line}: {}", ended.text());
    }
}

#[test]
fn missing_command_line_options_are_reported() {
    let scratch = Scratch::new();
    let root = scratch.path("tree");
    fs::create_dir_all(root.join("images/pxeboot")).unwrap();
    fs::write(root.join("images/pxeboot/vmlinuz"), bzimage("P")).unwrap();
    fs::write(root.join("images/pxeboot/initrd.img"), b"initrd").unwrap();
    let plan = |append: &str| at(&root).args(["-dry-run", "-append", append]).run().text();
    let warning =
        "warning       anaconda does not know where its packages are: add -append 'inst.repo=URL'";
    assert!(plan("quiet").contains(warning), "{}", plan("quiet"));
    assert!(!plan("console=ttyS0 inst.repo=http://mirror/").contains("warning"));
}

#[test]
fn what_gives_no_kernel_is_refused_with_what_was_there() {
    let scratch = Scratch::new();
    at(&scratch.path("absent")).refused().says("is not there").hints("check the path");
    let image = scratch.file("debian.iso", b"CD001");
    at(&image).refused().says("is a file without a known file system").hints("an image");
    start(["-location", "gopher://host/x"])
        .refused()
        .says("gopher: is not supported")
        .hints("copy the tree or image to this host");

    let _ = scratch.file("README", b"text");
    let empty = at(scratch.as_ref());
    empty.refused().says("tried .treeinfo: not there;").hints("-kernel PATH -initrd PATH");
    at(scratch.as_ref()).refused().says("it contains: README, debian.iso");
    let named = at(scratch.as_ref()).args(["-kernel", "/etc/passwd"]);
    named.refused().says("/etc/passwd' is not there; '").hints("file:///PATH");

    let root = tree(&scratch, b"<!DOCTYPE html><title>404</title>", b"initrd");
    at(&root)
        .refused()
        .says("linux' is an HTML or XML page, expected a kernel")
        .hints("with curl, use --fail");
    let root = tree(&scratch, b"no kernel at all", b"initrd");
    at(&root).refused().says("linux' is neither ELF nor bzImage").hints("bzImage");

    let root = tree(&scratch, &bzimage("P"), b"initrd");
    let sums = format!("[checksums]\n{TREE}/initrd.gz = sha256:{}\n", "0".repeat(64));
    fs::write(root.join(".treeinfo"), sums).unwrap();
    at(&root).refused().says("initrd.gz' has the sha256 ").hints("download it again");
}

#[test]
fn what_cannot_go_into_the_initrd_is_refused() {
    let scratch = Scratch::new();
    let root = tree(&scratch, &bzimage("P"), b"initrd");
    let inject = |path: &Path| at(&root).args(["-initrd-inject".as_ref(), path]);
    inject(&scratch.path("absent")).refused().says("absent' for the initrd");
    inject(&scratch.fifo("pipe")).refused().says("is not a regular file");
    let (one, two) = (scratch.file("ks", b"1"), root.join("ks"));
    fs::write(&two, b"2").unwrap();
    let both = inject(&one).args(["-kickstart".as_ref(), two.as_path()]);
    both.refused().says("would both be /ks in the initrd").hints("another name");
}

/// The installer runs a preseed file's early_command before anything else; this one's switches the
/// machine off.
#[test]
fn debian_s_installer_comes_out_of_its_tree_and_runs_the_preseed_file() {
    let Some(runner) = Runner::get() else { return };
    let Some(installer) = assets::or_skip(assets::installer()) else { return };
    let scratch = Scratch::new();
    let [kernel, initrd] =
        [&installer.linux, &installer.initrd].map(|path| fs::read(path).unwrap());
    let root = tree(&scratch, &kernel, &initrd);
    let files = [root.join(TREE).join("linux"), root.join(TREE).join("initrd.gz")];
    let command = "d-i preseed/early_command string echo the-preseed-file-was-run >/dev/console; poweroff -f\n";
    let preseed = scratch.file("preseed.cfg", command.as_bytes());
    let word = |path: &Path| path.to_str().unwrap().to_owned();
    let words = [
        "-location",
        &word(&root),
        "-preseed",
        &word(&preseed),
        "-m",
        "512",
        "-nographic",
        "-no-reboot",
    ];
    let guest =
        Guest::argv(words).args(["-append", "console=ttyS0 priority=low DEBIAN_FRONTEND=text"]);
    let guest = guest.with(|job| files.iter().fold(job.terminal(), |job, file| job.need(file)));
    guest.timeout_secs(400).run(runner).assert_stdout("the-preseed-file-was-run").assert_exit(0);
}
