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

fn base(modules: &[&str]) -> Result<Cpio> {
    let mut archive = Cpio::new();
    let agent = binaries::lab_agent()?;
    archive.file("init", 0o755, &fs::read(&agent).doing_with("Reading", &agent)?);
    for library in pack::closure(&agent)?.into_iter().filter(|path| *path != agent) {
        add(&mut archive, &library)?;
    }
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
    archive.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    );
    Ok(archive)
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
