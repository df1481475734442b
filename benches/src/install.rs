//! A small installation over the guest's own network, in the lab on a clock that counts
//! instructions: what the reference installation does (`tests/tests/guests/installation.rs`), but
//! for GRUB.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chukka_tests::assets::Kernel;
use chukka_tests::cpio::Cpio;
use chukka_tests::guest::{Initrd, busybox};
use chukka_tests::job::{Job, Report, Status};
use chukka_tests::native::Scratch;
use chukka_tests::{lab, pack};

use crate::Error;
use crate::boot::OUTER_MEMORY;

/// What the installer prints before its first and after its last access to the disk.
const MARKS: [&str; 2] = ["install-begin", "install-done"];
/// In virtual time.
const ENOUGH_SECS: u64 = 120;
/// The disk, in the lab.
const DISK: &str = "/tmp/disk.qcow2";

/// What udhcpc does with a lease.
const LEASE: &str = "#!/bin/sh
[ \"$1\" = bound ] && ip addr add \"$ip/$mask\" dev \"$interface\"
exit 0
";

/// What the installer does.
const INSTALLER: &str = "
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -n -q -t 10 -T 1 -s /lease.sh >/lease 2>&1
while [ ! -b /dev/vda ]; do sleep 0.1; done
mkdir -p /target /etc
echo install-begin
echo 'start=2048, type=83, bootable' | sfdisk -q /dev/vda &&
mkfs.ext4 -q /dev/vda1 &&
mount -t ext4 /dev/vda1 /target &&
wget -q -O - http://10.0.2.2:8000/base.cpio | (cd /target && cpio -idm 2>/dev/null) &&
umount /target &&
echo install-done
poweroff -f
";

/// A VMM with a guest that has a card on a user network and a qcow2 disk.
#[derive(Debug, Clone)]
pub struct Vmm {
    /// Its name.
    pub name: String,
    /// Its command, without the disk, kernel and initrd.
    pub words: Vec<String>,
}

/// What an installation costs.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Instructions of the whole machine, from exec to exit: VMM, its kernel, the guest and the
    /// server.
    pub whole: f64,
    /// Those from the first access to the disk to the last.
    pub installing: f64,
    /// VM exits, from exec to exit.
    pub exits: f64,
}

/// What is installed, and by what.
#[derive(Debug)]
pub struct Installation {
    kernel: PathBuf,
    initrd: PathBuf,
    base: PathBuf,
    /// Bytes that are installed.
    pub size: usize,
    _files: Scratch,
}

impl Installation {
    /// Makes the installer, and a base system of kernel, installer and busybox.
    ///
    /// # Errors
    /// A program or a module of the installer is missing.
    pub fn make(kernel: &Kernel) -> Result<Self, Error> {
        let mut initrd = Initrd::new()?.file("lease.sh", LEASE.as_bytes());
        for program in ["mkfs.ext4", "sfdisk"] {
            let path = pack::which(program).ok_or_else(|| format!("{program} is not installed"))?;
            for file in pack::closure(&path)? {
                let name = file.to_string_lossy().trim_start_matches('/').to_owned();
                initrd = initrd.file(&name, &std::fs::read(&file)?);
            }
        }
        let modules =
            ["virtio_pci", "virtio_blk", "virtio_net", "af_packet", "crc32c_generic", "ext4"];
        let (initrd, load) = initrd.modules(kernel, &modules)?;
        let initrd = initrd.script(&format!("{load}{INSTALLER}")).write()?;
        let mut base = Cpio::new();
        base.folder("boot");
        base.folder("bin");
        base.file("boot/vmlinuz", 0o644, &std::fs::read(&kernel.vmlinuz)?);
        base.file("boot/initrd.img", 0o644, &std::fs::read(&initrd)?);
        let busybox = std::fs::read(busybox().ok_or("busybox is not installed")?)?;
        for applet in ["busybox", "sh", "login", "init", "getty", "cat"] {
            base.file(&format!("bin/{applet}"), 0o755, &busybox);
        }
        let (files, base) = (Scratch::new(), base.finish());
        let size = base.len();
        let base = files.file("base.cpio", &base);
        Ok(Self { kernel: kernel.vmlinuz.clone(), initrd, base, size, _files: files })
    }

    /// Counts what it costs with one VMM. `creator` is a chukka, which creates the disk.
    ///
    /// # Errors
    /// The installer does not come to its end, or the lab fails.
    pub fn count(&self, vmm: &Vmm, creator: &Path) -> Result<Cost, Error> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let folder = self.base.parent().unwrap_or(Path::new("/"));
        let host = format!(
            "ifconfig lo 127.0.0.1 up; /bin/busybox httpd -p 127.0.0.1:8000 -h {}\n\
             {} disk create {DISK} 150M || exit; exec \"$@\"",
            text(folder),
            text(creator),
        );
        let mut command = ["/bin/sh", "-c", &host, "sh"].map(String::from).to_vec();
        command.extend(vmm.words.iter().cloned());
        command.extend(["-drive".into(), format!("file={DISK},format=qcow2,if=virtio")]);
        command.extend(["-kernel".into(), text(&self.kernel), "-initrd".into()]);
        command.extend([text(&self.initrd), "-append".into()]);
        command.push("console=ttyS0 quiet panic=-1".into());
        let mut job = Job::new(command).timeout_secs(ENOUGH_SECS);
        for file in [Path::new(&vmm.words[0]), creator, &self.kernel, &self.initrd, &self.base] {
            job = job.need(file);
        }
        let job = MARKS.into_iter().fold(job, Job::mark);
        let reports = lab::icount(&[job], OUTER_MEMORY)?;
        cost(&reports[0]).map_err(|error| format!("{}: {error}", vmm.name).into())
    }
}

fn cost(report: &Report) -> Result<Cost, Error> {
    let mark = |name: &str| {
        let mark = report.mark(name);
        mark.ok_or_else(|| format!("no {name}: {}\n{}", report.status, report.merged()))
    };
    let (begin, done) = (mark(MARKS[0])?, mark(MARKS[1])?);
    if report.status != Status::Exit(0) {
        return Err(format!("{}\n{}", report.status, report.merged()).into());
    }
    let exits = report.counters.get("exits").copied().ok_or("KVM's counters are missing")?;
    let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9;
    Ok(Cost {
        whole: nanoseconds(report.elapsed),
        installing: done.ns.saturating_sub(begin.ns) as f64,
        exits: exits as f64,
    })
}
