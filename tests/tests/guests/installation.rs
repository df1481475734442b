//! The reference installation: `chukka install` with a tree on a server installs a system by real
//! tools (sfdisk, mkfs.ext4, cpio, grub-install), and then its disk boots by itself, through
//! SeaBIOS, its MBR and its GRUB, to a login prompt.
//!
//! What is installed here is small: GRUB of the Debian disk, the cloud kernel and busybox. `make
//! test-install` installs Debian by debootstrap.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use chukka_tests::cpio::Cpio;
use chukka_tests::guest::{Initrd, busybox};
use chukka_tests::job::{Act, Input, Job, quote};
use chukka_tests::native::Scratch;
use chukka_tests::runner::{Run, Runner};
use chukka_tests::servers::{Server, http};
use chukka_tests::{assets, binaries, pack};
use storage::{FileTree, LocalFile, TreePath, image};

use crate::disks::program_path;

mod debian;
mod debootstrap;

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
        let initrd = installer(Initrd::new().unwrap(), &kernel);
        fs::create_dir_all(scratch.path("mirror")).unwrap();
        fs::write(scratch.path("mirror/base.cpio"), base_system(&kernel, &disk)).unwrap();
        Some(Self::with(runner, scratch, &kernel, &initrd))
    }

    /// Serves what is in `mirror` of `scratch`, and this installer.
    fn with(
        runner: &'static Runner,
        scratch: Scratch,
        kernel: &assets::Kernel,
        initrd: &Path,
    ) -> Self {
        let tree = scratch.path("mirror").join(TREE);
        fs::create_dir_all(&tree).unwrap();
        fs::copy(&kernel.vmlinuz, tree.join("linux")).unwrap();
        fs::copy(initrd, tree.join("initrd.gz")).unwrap();
        let server = http::start(&scratch.path("mirror"));
        Self { runner, server, _files: scratch }
    }

    fn url(&self) -> String {
        self.server.url.replacen("127.0.0.1", self.runner.host(), 1)
    }

    /// The words of `chukka install` into `directory`, with words for the installer.
    fn install(&self, directory: &str, words: &str, options: &[&str]) -> String {
        let extra =
            format!("mirror={} quiet {words}", for_the_guest(self.runner, &self.server.url));
        let mut all = vec!["install", "--cache", "off", "--memory", "512", "--noautoconsole"];
        all.extend(["--state", directory, "--extra-args", &extra]);
        all.extend(options.iter().copied());
        let url = self.url();
        all.push(&url);
        all.into_iter().map(quote).collect::<Vec<_>>().join(" ")
    }

    /// Runs a script in which `$chukka` is chukka.
    fn run(&self, script: &str, steps: impl FnOnce(Job) -> Job, seconds: u64) -> Run {
        self.runner.run(&Self::job(script, steps, seconds))
    }

    /// What runs it.
    fn job(script: &str, steps: impl FnOnce(Job) -> Job, seconds: u64) -> Job {
        let chukka = binaries::chukka().unwrap();
        let e2fsck = program_path("e2fsck");
        let shell = format!(
            "chukka={} e2fsck={}\nrm -rf /tmp/guest*\n{script}",
            quote(chukka.to_str().unwrap()),
            quote(e2fsck.to_str().unwrap())
        );
        let mut job = Job::shell(&shell).timeout_secs(seconds).input(Input::Open);
        let bios = assets::firmware("bios-256k.bin").unwrap();
        for file in [&chukka, &e2fsck, &bios] {
            job = job.need(file);
        }
        steps(job)
    }
}

/// A network that is not the lab's, where the servers are.
const NETWORK: [&str; 2] = ["--network", "user,net=10.0.3.0/24"];

/// The URL of a server on this host's loopback for a guest with that network.
fn for_the_guest(runner: &Runner, url: &str) -> String {
    let host = if runner.is_lab() { runner.host() } else { "10.0.3.2" };
    url.replacen("127.0.0.1", host, 1)
}

/// The installer's initrd, made of one that may have more files.
fn installer(initrd: Initrd, kernel: &assets::Kernel) -> PathBuf {
    let initrd = initrd.file("lease.sh", format!("#!/bin/sh\n{LEASE}").as_bytes());
    let (mut initrd, load) = initrd.modules(kernel, &MODULES).unwrap();
    for program in ["mkfs.ext4", "sfdisk", "blkid"] {
        initrd = with_program(initrd, program);
    }
    // Until the devices are there, unless one is missing.
    let wait = "for n in $(seq 50); do [ -b /dev/vda ] && [ -e /sys/class/net/eth0 ] && break; sleep 0.1; done\n";
    let script = include_str!("installation/installer.sh");
    initrd.script(&format!("mkdir -p /etc\n{load}{wait}{script}")).write().unwrap()
}

/// Adds a program of this host, with its libraries.
fn with_program(mut initrd: Initrd, program: &str) -> Initrd {
    for file in pack::closure(&program_path(program)).unwrap() {
        let name = file.to_str().unwrap().trim_start_matches('/').to_owned();
        initrd = initrd.file(&name, &fs::read(&file).unwrap());
    }
    initrd
}

/// The system that is installed, as a cpio archive. Its last file says that it is complete.
fn base_system(kernel: &assets::Kernel, disk: &assets::Disk) -> Vec<u8> {
    let mut base = Cpio::new();
    let folders = "bin sbin dev proc sys tmp root etc boot boot/grub lib lib64 usr usr/bin usr/sbin usr/lib usr/lib/grub \
                   usr/lib/grub/i386-pc lib/x86_64-linux-gnu usr/lib/x86_64-linux-gnu usr/share usr/share/grub";
    folders.split_whitespace().for_each(|folder| base.folder(folder));
    base.file("bin/busybox", 0o755, &fs::read(busybox().unwrap()).unwrap());
    for link in ["bin/sh", "bin/login", "sbin/init", "sbin/getty", "sbin/poweroff", "bin/cat"] {
        base.link(link, "/bin/busybox");
    }
    base.file("etc/passwd", 0o644, b"root::0:0:root:/root:/bin/sh\n");
    base.file("etc/group", 0o644, b"root:x:0:\n");
    base.file("etc/hostname", 0o644, b"installed\n");
    base.file("etc/os-release", 0o644, b"NAME=\"The installed system\"\nID=reference\n");
    base.file("etc/issue", 0o644, b"The installed system, \\l\n");
    let inittab = "::sysinit:/bin/busybox mount -t proc proc /proc\n\
                   ::sysinit:/bin/busybox mount -o remount,rw /\n\
                   ::sysinit:/bin/busybox hostname -F /etc/hostname\n\
                   ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n\
                   ::shutdown:/bin/busybox umount -a -r\n";
    base.file("etc/inittab", 0o644, inittab.as_bytes());
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

/// The initrd of the installed system: its `boot.sh` mounts the root file system, and goes there.
fn boot_initrd(kernel: &assets::Kernel) -> PathBuf {
    let (initrd, load) = Initrd::new().unwrap().modules(kernel, &MODULES).unwrap();
    let script = format!(
        "#!/bin/busybox sh\nexport PATH=/bin:/sbin\n/bin/busybox mount -t proc proc /proc\n\
         mount -t sysfs sysfs /sys\nmount -t devtmpfs devtmpfs /dev\n{load}\
         while [ ! -b /dev/vda1 ]; do sleep 0.1; done\nmkdir -p /root\n\
         mount -t ext4 -o ro /dev/vda1 /root\nmount --move /dev /root/dev\n\
         umount /proc /sys\nexec /bin/busybox switch_root /root /sbin/init\n"
    );
    initrd.file("boot.sh", script.as_bytes()).write().unwrap()
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

/// The URL of a server that sends the beginning of an archive, and then nothing, as if the network
/// were gone; each time it has done so, a message comes.
fn server_that_falls_silent() -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (silent, is_silent) = channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let answer = b"HTTP/1.0 200 OK\r\nContent-Length: 1000000\r\n\r\n070701";
            if connection.write_all(answer).is_ok() {
                let _ = silent.send(());
            }
            open.push(connection);
        }
    });
    (url, is_silent)
}

/// The disk of `directory`, raw or qcow2, is clean, and boots to its login prompt, twice over: by
/// SeaBIOS and GRUB, and directly by its boot menu.
fn boots(directory: &str) -> String {
    format!(
        "\"$chukka\" start {directory} && echo booted by grub &&\n\
         \"$chukka\" start {directory} --bootdisk && echo booted by its menu || exit\n"
    )
}

fn log_in_and_power_off(job: Job) -> Job {
    job.when(" login: ", Act::Send(b"root\n".into())).when("# ", Act::Send(b"poweroff\n".into()))
}

#[test]
fn the_reference_installation_runs_by_itself_and_its_disk_boots_to_the_login_prompt() {
    let Some(mirror) = Mirror::start() else { return };
    let options = ["--disk", "size=150M", NETWORK[0], NETWORK[1]];
    let install = mirror.install("/tmp/guest", "base=base.cpio", &options);
    let typed = "echo '$ chukka start guest'";
    let script = format!(
        "echo {}\n\"$chukka\" {install} || exit\n{typed}\n{}",
        quote(&format!("$ chukka {install}")),
        boots("/tmp/guest")
    );
    // In a terminal, as a user sees it: `--nocapture` shows the whole session.
    let steps = |job: Job| log_in_and_power_off(log_in_and_power_off(job.terminal()));
    let run = mirror.run(&script, steps, 600);
    println!("{}", run.stdout);
    run.assert_exit(0)
        .assert_stdout("network       user,net=10.0.3.0/24\r\n")
        .assert_stdout("installing 0:")
        .assert_stdout("chukka: installed (after ")
        .assert_stdout("Booting from Hard Disk")
        .assert_stdout("installed login: root")
        .assert_stdout("booted by grub")
        .assert_stdout("booted by its menu");
}

#[test]
fn what_an_installer_cannot_do_is_told_and_leaves_nothing_installed() {
    let Some(mirror) = Mirror::start() else { return };
    let (silent, is_silent) = server_that_falls_silent();
    let silent = for_the_guest(mirror.runner, &silent);
    let gone = format!("mirror={silent} base=base.cpio limit=5");
    let disk = ["--disk", "size=150M"];
    let cases = [
        // The installer has drivers for virtio disks only.
        ("no-disk", "base=base.cpio", &["--disk", "size=24M,bus=sata", NETWORK[0], NETWORK[1]][..]),
        ("no-card", "base=base.cpio", &["--disk", "size=150M", "--network", "none"]),
        ("small", "base=base.cpio", &["--disk", "size=24M", NETWORK[0], NETWORK[1]]),
        ("missing", "base=other.cpio", &[disk[0], disk[1], NETWORK[0], NETWORK[1]]),
        ("gone", &gone, &[disk[0], disk[1], NETWORK[0], NETWORK[1]]),
        ("panic", "base=base.cpio panic=middle", &[disk[0], disk[1], NETWORK[0], NETWORK[1]]),
    ];
    let mut script = String::new();
    for (name, words, options) in cases {
        let install = mirror.install(&format!("/tmp/guest-{name}"), words, options);
        script += &format!("\"$chukka\" {install}; echo \"{name} ended with $?\"\n");
        script += &format!("\"$chukka\" start /tmp/guest-{name}; echo \"start of {name}: $?\"\n");
    }
    let run = mirror.run(&script, |job| job, 600);
    for (name, status, why) in [
        ("no-disk", 123, "said \"An installation step failed: there is no disk\""),
        (
            "no-disk",
            123,
            "hint: nothing was written to the disk: an installer without a driver for SATA",
        ),
        ("no-card", 123, "said \"An installation step failed: there is no network card\""),
        ("small", 123, "said \"An installation step failed: the base system: "),
        ("missing", 123, "said \"An installation step failed: the mirror has no other.cpio\""),
        (
            "gone",
            123,
            "said \"An installation step failed: the mirror has fallen silent: base.cpio had not arrived",
        ),
        ("panic", 120, "the guest's kernel panicked: Kernel panic - not syncing"),
    ] {
        run.assert_stdout(&format!("{name} ended with {status}"))
            .assert_stdout(&format!("start of {name}: 125"))
            .assert_stderr(why);
    }
    is_silent.try_recv().unwrap();
}
