//! The reference installation: `chukka install` with a tree on a server installs a system by real
//! tools (sfdisk, mkfs.ext4, cpio, grub-install), and then its disk boots by itself, through SeaBIOS, its MBR and its
//! GRUB, to userspace.
//!
//! What is installed here is small: GRUB of the Debian disk, the cloud kernel, and busybox in an
//! initrd.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use chukka_tests::cpio::Cpio;
use chukka_tests::guest::MARKER;
use chukka_tests::guest::{Initrd, busybox};
use chukka_tests::job::{Job, quote};
use chukka_tests::native::Scratch;
use chukka_tests::runner::{Run, Runner};
use chukka_tests::servers::{Server, http};
use chukka_tests::{assets, binaries, pack};
use storage::{FileTree, LocalFile, TreePath, image};

use crate::disks::program_path;

const TREE: &str = "current/images/netboot/debian-installer/amd64";
const MODULES: [&str; 6] =
    ["virtio_mmio", "virtio_pci", "virtio_blk", "virtio_net", "crc32c_generic", "ext4"];

/// What udhcpc does with a lease.
const LEASE: &str = "[ \"$1\" = bound ] || exit 0\nip addr add $ip/$mask dev $interface\n\
                     [ -z \"$router\" ] || ip route add default via $router\n\
                     echo \"nameserver $dns\" >/etc/resolv.conf\n";

/// What installs GRUB for a BIOS, with its libraries, on Debian 12.
const GRUB: [&str; 13] = [
    "usr/sbin/grub-install",
    "lib64/ld-linux-x86-64.so.2",
    "lib/x86_64-linux-gnu/libc.so.6",
    "lib/x86_64-linux-gnu/libm.so.6",
    "lib/x86_64-linux-gnu/libpthread.so.0",
    "lib/x86_64-linux-gnu/libdl.so.2",
    "lib/x86_64-linux-gnu/libselinux.so.1",
    "lib/x86_64-linux-gnu/libudev.so.1",
    "lib/x86_64-linux-gnu/libdevmapper.so.1.02.1",
    "usr/lib/x86_64-linux-gnu/libpcre2-8.so.0",
    "usr/lib/x86_64-linux-gnu/liblzma.so.5",
    "usr/lib/x86_64-linux-gnu/libefiboot.so.1",
    "usr/lib/x86_64-linux-gnu/libefivar.so.1",
];

/// A tree with the installer, and the server that has it and the base systems.
struct Mirror {
    runner: &'static Runner,
    server: Server,
    /// What the server has.
    _files: Scratch,
}

impl Mirror {
    /// With the small base system.
    fn start() -> Option<Self> {
        let runner = Runner::get()?;
        let kernel = assets::or_skip(assets::cloud())?;
        let disk = assets::or_skip(assets::disk())?;
        let scratch = Scratch::new();
        let tree = scratch.path("mirror").join(TREE);
        fs::create_dir_all(&tree).unwrap();
        fs::copy(&kernel.vmlinuz, tree.join("linux")).unwrap();
        fs::copy(installer(&kernel), tree.join("initrd.gz")).unwrap();
        fs::write(scratch.path("mirror/base.cpio"), base_system(&kernel, &disk)).unwrap();
        let server = http::start(&scratch.path("mirror"));
        Some(Self { runner, server, _files: scratch })
    }

    fn url(&self) -> String {
        self.server.url.replacen("127.0.0.1", self.runner.host(), 1)
    }

    /// The words of `chukka install` into `directory`, with words for the installer. The guest's network is
    /// not the lab's, where the server is.
    fn install(&self, directory: &str, words: &str, options: &[&str]) -> String {
        let extra = format!("mirror={} base=base.cpio quiet {words}", self.url());
        let mut all = vec!["install", "--cache", "off", "--memory", "512", "--noautoconsole"];
        all.extend(["--state", directory, "--extra-args", &extra]);
        all.extend(options.iter().copied());
        let url = self.url();
        all.push(&url);
        all.into_iter().map(quote).collect::<Vec<_>>().join(" ")
    }

    /// Runs a script in which `$chukka` is chukka.
    fn run(&self, script: &str, seconds: u64) -> Run {
        let chukka = binaries::chukka().unwrap();
        let e2fsck = program_path("e2fsck");
        let shell = format!(
            "chukka={} e2fsck={}\nrm -rf /tmp/guest*\n{script}",
            quote(chukka.to_str().unwrap()),
            quote(e2fsck.to_str().unwrap())
        );
        let mut job = Job::shell(&shell).timeout_secs(seconds).mark(MARKER);
        let bios = assets::firmware("bios-256k.bin").unwrap();
        for file in [&chukka, &e2fsck, &bios] {
            job = job.need(file);
        }
        self.runner.run(&job)
    }
}

const NETWORK: [&str; 2] = ["--network", "user,net=10.0.3.0/24"];

/// The installer's initrd.
fn installer(kernel: &assets::Kernel) -> PathBuf {
    let initrd = Initrd::new().unwrap().file("lease.sh", format!("#!/bin/sh\n{LEASE}").as_bytes());
    let (mut initrd, load) = initrd.modules(kernel, &MODULES).unwrap();
    for program in ["mkfs.ext4", "sfdisk", "blkid"] {
        for file in pack::closure(&program_path(program)).unwrap() {
            let name = file.to_str().unwrap().trim_start_matches('/').to_owned();
            initrd = initrd.file(&name, &fs::read(&file).unwrap());
        }
    }
    // Until the devices are there, unless one is missing.
    let wait = "for n in $(seq 50); do [ -b /dev/vda ] && [ -e /sys/class/net/eth0 ] && break; sleep 0.1; done\n";
    let script = include_str!("installation/installer.sh");
    initrd.script(&format!("mkdir -p /etc\n{load}{wait}{script}")).write().unwrap()
}

/// The system that is installed, as a cpio archive. Its last file says that it is complete.
fn base_system(kernel: &assets::Kernel, disk: &assets::Disk) -> Vec<u8> {
    let mut base = Cpio::new();
    let folders = "bin sbin dev proc sys tmp root etc boot boot/grub lib lib64 usr usr/bin usr/sbin usr/lib usr/lib/grub \
                   usr/lib/grub/i386-pc lib/x86_64-linux-gnu usr/lib/x86_64-linux-gnu usr/share usr/share/grub";
    folders.split_whitespace().for_each(|folder| base.folder(folder));
    base.file("bin/busybox", 0o755, &fs::read(busybox().unwrap()).unwrap());
    base.file("etc/os-release", 0o644, b"NAME=\"The installed system\"\nID=reference\n");
    let source = debian(disk);
    for path in GRUB {
        base.file(path, 0o755, &read(&*source, path));
    }
    let modules = TreePath::new("usr/lib/grub/i386-pc");
    for entry in source.list(&modules).unwrap() {
        let path = format!("usr/lib/grub/i386-pc/{}", entry.name);
        // The modules' debugging twins are not needed.
        if !path.ends_with(".module") && !entry.name.starts_with("grub-") && !entry.is_directory {
            base.file(&path, 0o644, &read(&*source, &path));
        }
    }
    base.file("boot/vmlinuz", 0o644, &fs::read(&kernel.vmlinuz).unwrap());
    base.file("boot/initrd.img", 0o644, &fs::read(boot_initrd(kernel)).unwrap());
    base.file("complete", 0o644, b"");
    base.finish()
}

/// The initrd of the installed system: says that it runs, and powers off.
fn boot_initrd(kernel: &assets::Kernel) -> PathBuf {
    Initrd::new().unwrap().modules(kernel, &MODULES).unwrap().0.write().unwrap()
}

/// The file system of the Debian disk.
fn debian(disk: &assets::Disk) -> Box<dyn FileTree> {
    let name = disk.image.display().to_string();
    let file = LocalFile::new(fs::File::open(&disk.image).unwrap(), name).unwrap();
    image::volumes(Arc::new(file)).unwrap().remove(0).source
}

fn read(tree: &dyn FileTree, path: &str) -> Vec<u8> {
    let file = tree.open(&TreePath::new(path)).unwrap();
    storage::read_whole(&*file, 64 << 20).unwrap().unwrap()
}

/// The disk of `directory`, raw or qcow2, is clean, and boots to its login prompt, twice over: by
/// SeaBIOS and GRUB, and directly by its boot menu.
fn boots(directory: &str) -> String {
    format!(
        "\"$chukka\" start {directory} && echo booted by grub &&\n\
         \"$chukka\" start {directory} --bootdisk && echo booted by its menu || exit\n"
    )
}

#[test]
fn the_reference_installation_runs_by_itself_and_its_disk_boots_to_userspace() {
    let Some(mirror) = Mirror::start() else { return };
    let options = ["--disk", "size=150M", NETWORK[0], NETWORK[1]];
    let install = mirror.install("/tmp/guest", "", &options);
    let script = format!("\"$chukka\" {install} || exit\n{}", boots("/tmp/guest"));
    let run = mirror.run(&script, 600);
    run.assert_exit(0)
        .assert_stderr("chukka: installed (after ")
        .assert_stdout("Booting from Hard Disk")
        .assert_stdout("GNU GRUB")
        .assert_userspace()
        .assert_stdout("booted by grub")
        .assert_stdout("booted by its menu");
}
