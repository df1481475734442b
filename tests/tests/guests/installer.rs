//! Debian's installer out of every kind of location, from real servers and media, to its first
//! screen; a preseed file that was put into its initrd runs on the way.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use chukka_tests::job::{Act, Job, Status};
use chukka_tests::native::Scratch;
use chukka_tests::runner::{Guest, Runner};
use chukka_tests::servers::{Server, ftp, http, nfs, tftp};
use chukka_tests::{assets, skip};

const FILES: &str = "current/images/netboot/debian-installer/amd64";
/// What the preseed file's early_command prints, and what is on the first screen behind it.
const RAN: &str = "the-preseed-file-was-run";
const FIRST_SCREEN: &str = "Select a language";

/// The installer laid out as on Debian's servers, and where it runs.
struct Tree {
    runner: &'static Runner,
    scratch: Scratch,
}

impl Tree {
    fn make() -> Option<Self> {
        let runner = Runner::get()?;
        let installer = assets::or_skip(assets::installer())?;
        let scratch = Scratch::new();
        let files = scratch.path("tree").join(FILES);
        fs::create_dir_all(&files).unwrap();
        for (from, name) in [(&installer.linux, "linux"), (&installer.initrd, "initrd.gz")] {
            fs::copy(from, files.join(name)).unwrap();
        }
        Some(Self { runner, scratch })
    }

    fn root(&self) -> PathBuf {
        self.scratch.path("tree")
    }

    /// An ISO 9660 image of it, alone in a folder.
    fn iso(&self) -> PathBuf {
        fs::create_dir_all(self.scratch.path("media")).unwrap();
        let image = self.scratch.path("media/debian");
        let mut tool = Command::new("xorriso");
        tool.args(["-as", "mkisofs", "-quiet", "-R", "-J", "-V", "chukka", "-o"]);
        made(tool.arg(&image).arg(self.root()));
        image
    }

    /// An ext4 image of it, alone in a folder.
    fn ext4(&self) -> PathBuf {
        fs::create_dir_all(self.scratch.path("images")).unwrap();
        let image = self.scratch.path("images/debian");
        let mut tool = Command::new("/usr/sbin/mke2fs");
        tool.args(["-q", "-F", "-t", "ext4", "-d"]).arg(self.root()).arg(&image).arg("96M");
        made(&mut tool);
        image
    }

    /// What a server's URL is where chukka runs.
    fn url(&self, server: &Server) -> String {
        server.url.replacen("localhost", self.runner.host(), 1).replacen(
            "127.0.0.1",
            self.runner.host(),
            1,
        )
    }

    /// The job that boots it from there.
    fn job(&self, location: &str, words: &[&str], needs: &[PathBuf]) -> Job {
        let command = format!("d-i preseed/early_command string echo {RAN} >/dev/console\n");
        let preseed = self.scratch.file("preseed.cfg", command.as_bytes());
        let guest = Guest::argv(["-location", location, "-preseed", preseed.to_str().unwrap()])
            .args(["-m", "1G", "-nographic", "-no-reboot"])
            .args(["-append", "console=ttyS0 TERM=linux DEBIAN_FRONTEND=newt quiet"])
            .args(words.iter().copied());
        let guest = guest.with(|job| needs.iter().fold(job.terminal(), |job, file| job.need(file)));
        let guest = guest.when(RAN, Act::Mark("ran".into())).timeout_secs(500);
        let mut job = guest.when(FIRST_SCREEN, Act::Signal(libc::SIGTERM)).job().unwrap();
        let cache = self.scratch.path("cache").display().to_string();
        job.env.insert("XDG_CACHE_HOME".into(), cache);
        job
    }

    fn run(&self, job: &Job) {
        let run = self.runner.run(job);
        run.assert_stdout(RAN).assert_stdout(FIRST_SCREEN);
        run.assert(run.status == Status::Signal(libc::SIGTERM), "expected it to end by SIGTERM");
    }

    /// From a server; the location is `path` on it.
    fn from(&self, server: &Server, path: &str) {
        self.run(&self.job(&format!("{}{path}", self.url(server)), &[], &[]));
    }

    /// From a file of the host where chukka runs.
    fn out_of(&self, file: &Path) {
        self.run(&self.job(file.to_str().unwrap(), &[], &[file.to_owned()]));
    }
}

fn made(tool: &mut Command) {
    let done = tool.output().unwrap();
    assert!(done.status.success(), "{tool:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn by_http() {
    let Some(tree) = Tree::make() else { return };
    tree.from(&http::start(&tree.root()), "/");
}

#[test]
fn by_https() {
    let Some(tree) = Tree::make() else { return };
    let (server, authority) = http::start_tls(&tree.root());
    let mut job = tree.job(&tree.url(&server), &[], std::slice::from_ref(&authority));
    job.env.insert("SSL_CERT_FILE".into(), authority.display().to_string());
    if tree.runner.is_lab() {
        // The emulated machine's clock falls behind, and the certificate is a second old.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 1;
        let line = format!("date -s @{now} && exec {}", job.line());
        job.command = Job::shell(&line).command;
    }
    tree.run(&job);
}

#[test]
fn by_ftp() {
    let Some(tree) = Tree::make() else { return };
    tree.from(&ftp::start(&tree.root()), "/");
}

#[test]
fn by_tftp() {
    let Some(tree) = Tree::make() else { return };
    tree.from(&tftp::start(&tree.root()), "/");
}

#[test]
fn by_nfs() {
    let Some(tree) = Tree::make() else { return };
    if is_not_root("nfs-ganesha") {
        return;
    }
    tree.from(&nfs::start(&tree.root()), "");
}

#[test]
fn out_of_a_directory_and_by_its_file_url() {
    let Some(tree) = Tree::make() else { return };
    let needs = ["linux", "initrd.gz"].map(|name| tree.root().join(FILES).join(name));
    let root = tree.root().display().to_string();
    for location in [format!("file://{root}"), root] {
        tree.run(&tree.job(&location, &[], &needs));
    }
}

#[test]
fn out_of_an_iso_image() {
    let Some(tree) = Tree::make() else { return };
    tree.out_of(&tree.iso());
}

#[test]
fn out_of_a_file_system_s_image() {
    let Some(tree) = Tree::make() else { return };
    tree.out_of(&tree.ext4());
}

#[test]
fn out_of_a_block_device() {
    let Some(tree) = Tree::make() else { return };
    if !tree.runner.is_lab() && is_not_root("a loop device") {
        return;
    }
    let image = tree.ext4();
    let free = tree.runner.run(&Job::shell("losetup -f"));
    let device = free.stdout.trim().to_owned();
    let mut job = tree.job(&device, &[], std::slice::from_ref(&image));
    let line = format!("losetup {device} {} && exec {}", image.display(), job.line());
    job.command = Job::shell(&line).command;
    tree.run(&job);
    tree.runner.run(&Job::shell(&format!("losetup -d {device}"))).assert_exit(0);
}

#[test]
fn out_of_an_iso_image_on_nfs() {
    let Some(tree) = Tree::make() else { return };
    if is_not_root("nfs-ganesha") {
        return;
    }
    let image = tree.iso();
    let server = nfs::start(image.parent().unwrap());
    let location = tree.url(&server).replacen("nfs:", "nfs+iso:", 1) + "/debian";
    tree.run(&tree.job(&location, &[], &[]));
}

#[test]
fn out_of_a_file_system_s_image_on_nfs() {
    let Some(tree) = Tree::make() else { return };
    if is_not_root("nfs-ganesha") {
        return;
    }
    let image = tree.ext4();
    let server = nfs::start(image.parent().unwrap());
    let location = tree.url(&server).replacen("nfs:", "nfs+iso:", 1) + "/debian";
    tree.run(&tree.job(&location, &[], &[]));
}

#[test]
fn out_of_an_iso_image_by_http() {
    let Some(tree) = Tree::make() else { return };
    let image = tree.iso();
    tree.from(&http::start(image.parent().unwrap()), "/debian");
}

#[test]
fn by_http_and_seabios() {
    let Some(tree) = Tree::make() else { return };
    let Some(bios) = assets::or_skip(assets::firmware("bios-256k.bin")) else { return };
    let server = http::start(&tree.root());
    let words = ["-bios", bios.to_str().unwrap()];
    tree.run(&tree.job(&tree.url(&server), &words, std::slice::from_ref(&bios)));
}

/// The servers and devices of some kinds are root's.
fn is_not_root(what: &str) -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root {
        skip(&format!("{what} takes root"));
    }
    !is_root
}
