//! The initramfs of the outer machine.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::wire::{FOLDER, JOBS, MODULES};
use crate::cpio::Cpio;
use crate::job::Job;
use crate::modules::Modules;
use crate::{Doing, Error, Result, assets, binaries, guest, pack};

/// KVM for AMD: the one that QEMU's emulated processors can do.
const KVM: [&str; 1] = ["kvm-amd"];
/// KVM for Intel: the one that Bochs' emulated processors can do.
const KVM_INTEL: [&str; 1] = ["kvm-intel"];
/// What comes before a script: a machine with KVM.
const PROLOGUE: &str = "#!/bin/busybox sh
export PATH=/bin:/usr/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
ip link set lo up
for module in $(cat /lab/modules); do insmod $module; done
";
/// The port to the host.
const PORT: [&str; 2] = ["virtio_pci", "virtio_console"];
/// The network to the host, interfaces of tests, and block devices: its disk, and those made of
/// files.
const NETWORK_AND_DISKS: [&str; 4] = ["virtio_net", "tun", "virtio_blk", "loop"];

/// Writes an initramfs with an agent that takes orders from the host.
pub(super) fn interactive(to: &Path) -> Result<()> {
    let mut archive = base(&[&PORT[..], &KVM[..], &NETWORK_AND_DISKS[..]].concat())?;
    // Something to make the folder of, even with nothing to keep in it.
    archive.folder(FOLDER);
    write(archive, to)
}

/// Writes an initramfs with an agent that runs these jobs, and with all that they need.
pub(super) fn batch(jobs: &[Job], to: &Path) -> Result<()> {
    let mut archive = base(&KVM)?;
    let mut files = BTreeSet::new();
    for need in jobs.iter().flat_map(|job| &job.needs) {
        files.extend(pack::closure(need)?);
    }
    for file in &files {
        add(&mut archive, file)?;
    }
    for folder in jobs.iter().filter_map(|job| job.folder.as_ref()) {
        archive.folder(folder);
    }
    archive.file(JOBS, 0o644, &serde_json::to_vec(jobs)?);
    write(archive, to)
}

/// Writes an initramfs that runs a script of shell, with all that these files need, and then
/// switches the machine off.
pub(super) fn script(script: &str, needs: &[&Path], to: &Path) -> Result<()> {
    let mut archive = Cpio::new();
    // The console's last bytes need a moment.
    let init = format!("{PROLOGUE}{script}\nsleep 2\npoweroff -f\n");
    archive.file("init", 0o755, init.as_bytes());
    for folder in ["proc", "sys", "dev", "tmp"] {
        archive.folder(folder);
    }
    with_modules(&mut archive, &KVM_INTEL)?;
    for need in needs {
        for file in pack::closure(need)? {
            add(&mut archive, &file)?;
        }
    }
    write(archive, to)
}

fn base(modules: &[&str]) -> Result<Cpio> {
    let mut archive = Cpio::new();
    let agent = binaries::lab_agent()?;
    archive.file("init", 0o755, &fs::read(&agent).doing_with("Reading", &agent)?);
    for library in pack::closure(&agent)?.into_iter().filter(|path| *path != agent) {
        add(&mut archive, &library)?;
    }
    with_modules(&mut archive, modules)?;
    archive.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    );
    Ok(archive)
}

/// Adds busybox, these modules of the cloud kernel and a list of them.
fn with_modules(archive: &mut Cpio, modules: &[&str]) -> Result<()> {
    let busybox = guest::busybox()
        .ok_or_else(|| Error::Missing("busybox (package busybox-static)".into()))?;
    archive.file("bin/busybox", 0o755, &fs::read(&busybox).doing_with("Reading", &busybox)?);
    archive.link("bin/sh", "busybox");
    let mut list = String::new();
    for module in Modules::find(&assets::cloud()?.modules)?.closure(modules)? {
        let path = format!("{FOLDER}/{}.ko", module.name);
        archive.file(&path, 0o644, &module.content);
        list.push_str(&format!("{path}\n"));
    }
    archive.file(MODULES, 0o644, list.as_bytes());
    Ok(())
}

fn add(archive: &mut Cpio, path: &PathBuf) -> Result<()> {
    let mode = fs::metadata(path).doing_with("Looking at", path)?.permissions().mode() & 0o777;
    let content = fs::read(path).doing_with("Reading", path)?;
    archive.file(&path.to_string_lossy(), mode, &content);
    Ok(())
}

fn write(archive: Cpio, to: &Path) -> Result<()> {
    fs::write(to, archive.finish()).doing_with("Writing", to)
}
