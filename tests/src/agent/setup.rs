//! Makes a machine of a bare initramfs.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::job::Job;
use crate::lab::wire::{JOBS, MODULES, PORT};
use crate::{Doing, Error, Result, sys};

const MOUNTS: [(&str, &str, &str); 6] = [
    ("proc", "/proc", ""),
    ("sysfs", "/sys", ""),
    ("devtmpfs", "/dev", ""),
    ("devpts", "/dev/pts", "ptmxmode=0666"),
    ("tmpfs", "/dev/shm", "mode=1777"),
    ("debugfs", "/sys/kernel/debug", ""),
];

/// Mounts what programs expect to find.
pub(super) fn mounts() -> Result<()> {
    for (kind, target, options) in MOUNTS {
        let path = Path::new(target);
        fs::create_dir_all(path).doing_with("Making", path)?;
        sys::mount(kind, target, options).doing_with("Mounting", path)?;
    }
    // No mount there: it would hide what the host packed below it.
    let tmp = Path::new("/tmp");
    fs::create_dir_all(tmp).doing_with("Making", tmp)?;
    fs::set_permissions(tmp, Permissions::from_mode(0o1777)).doing_with("Opening to all", tmp)?;
    // Guests larger than the machine's memory are fine as long as they do not use it.
    let path = Path::new("/proc/sys/vm/overcommit_memory");
    fs::write(path, "1").doing_with("Writing", path)
}

/// Loads the modules that the host packed, in its order.
pub(super) fn modules() -> Result<()> {
    let path = Path::new(MODULES);
    let list = fs::read_to_string(path).doing_with("Reading", path)?;
    for line in list.lines() {
        let path = Path::new(line);
        let file = File::open(path).doing_with("Opening", path)?;
        sys::load_module(&file).doing_with("Loading module", path)?;
    }
    Ok(())
}

/// Brings up the network: QEMU's user network has the machine at 10.0.2.15 and the host at
/// [`HOST`](crate::lab::HOST).
pub(super) fn network() -> Result<()> {
    for words in ["lo up", "eth0 10.0.2.15 netmask 255.255.255.0 up"] {
        let mut command = Command::new("/bin/busybox");
        let done = command.arg("ifconfig").args(words.split(' ')).output();
        let done = done.doing("Starting busybox's ifconfig")?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(Error::Other(format!("ifconfig {words}: {}", said.trim())));
        }
    }
    Ok(())
}

/// The jobs of a batch, if the host packed some.
pub(super) fn batch() -> Result<Option<Vec<Job>>> {
    let path = Path::new(JOBS);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(path).doing_with("Reading", path)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

/// The port to the host, which appears some time after its driver was loaded.
pub(super) fn port() -> Result<File> {
    for _ in 0..3000 {
        if let Some(path) = find_port() {
            return File::options().read(true).write(true).open(&path).doing_with("Opening", &path);
        }
        sleep(Duration::from_millis(10));
    }
    Err(Error::Other(format!("The port {PORT} did not appear")))
}

fn find_port() -> Option<PathBuf> {
    for entry in fs::read_dir("/sys/class/virtio-ports").ok()?.flatten() {
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        let device = Path::new("/dev").join(entry.file_name());
        if name.trim() == PORT && device.exists() {
            return Some(device);
        }
    }
    None
}
