//! What set-up downloads: Debian's kernels and installer, unpacked but not installed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Doing, Error, Result, skip};

/// A distribution's kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The bzImage.
    pub vmlinuz: PathBuf,
    /// The ELF file that is packed in it.
    pub vmlinux: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Its modules: the folder that has `kernel/` in it.
    pub modules: PathBuf,
}

/// A disk.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The disk: qcow2, with an MBR and an ext4 partition.
    pub image: PathBuf,
    /// A copy of its grub.cfg, as grub-mkconfig wrote it.
    pub grub_cfg: PathBuf,
}

/// A kernel and an initrd that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installer {
    /// The bzImage.
    pub linux: PathBuf,
    /// The initrd, about 40 MB.
    pub initrd: PathBuf,
}

/// Debian's kernel for cloud machines (packed with LZ4).
///
/// # Errors
/// Set-up has not downloaded it.
pub fn cloud() -> Result<Kernel> {
    kernel("cloud")
}

/// Debian's generic kernel (packed with XZ).
///
/// # Errors
/// Set-up has not downloaded it.
pub fn generic() -> Result<Kernel> {
    kernel("generic")
}

/// Debian's installer.
///
/// # Errors
/// Set-up has not downloaded it; only Debian has one.
pub fn installer() -> Result<Installer> {
    let folder = assets_folder().join("installer");
    Ok(Installer {
        linux: present(folder.join("linux"))?,
        initrd: present(folder.join("initrd.gz"))?,
    })
}

/// The folder with the installer's boot menus: `grub/`, `boot-screens/` and `pxelinux.cfg/`, which
/// the package has beside the kernel.
///
/// # Errors
/// Set-up has not downloaded it.
pub fn installer_menus() -> Result<PathBuf> {
    let folder = assets_folder().join("installer");
    present(folder.join("grub/grub.cfg")).map(|_| folder)
}

/// A disk with Debian on it, as an installer leaves it.
///
/// # Errors
/// Set-up has not downloaded it.
pub fn disk() -> Result<Disk> {
    let folder = assets_folder().join("disk");
    let (image, grub_cfg) = (folder.join("disk.qcow2"), folder.join("grub.cfg"));
    Ok(Disk { image: present(image)?, grub_cfg: present(grub_cfg)? })
}

/// A mirror of the Debian packages that the complete installation installs, with debootstrap: its
/// scripts and, as `program`, itself are in the folder `debootstrap`.
///
/// # Errors
/// Set-up has not downloaded it: only `tests/setup.sh install` does.
pub fn mirror() -> Result<PathBuf> {
    let folder = assets_folder().join("mirror");
    present(folder.join("made-by")).map(|_| folder)
}

/// Components of Debian's installer: `pool/`, and their part of Debian's index, `Packages`.
///
/// # Errors
/// Set-up has not downloaded them: only `tests/setup.sh install` does.
pub fn installer_components() -> Result<PathBuf> {
    let folder = assets_folder().join("components");
    present(folder.join("made-by")).map(|_| folder)
}

/// A firmware image of Debian's packages seabios, qemu-system-data, ovmf and u-boot-qemu, by its
/// file's name. SeaBIOS's folder comes first: QEMU's `bios-microvm.bin` is a link to qboot. The
/// last two packages are unpacked, not installed.
///
/// # Errors
/// No folder has it.
pub fn firmware(name: &str) -> Result<PathBuf> {
    let folders =
        ["/usr/share/seabios".into(), "/usr/share/qemu".into(), assets_folder().join("firmware")];
    let paths = folders.map(|folder: PathBuf| folder.join(name));
    let missing = || {
        Error::Missing(format!("{name} (packages seabios, qemu-system-data, ovmf, u-boot-qemu)"))
    };
    paths.into_iter().find(|path| path.is_file()).ok_or_else(missing)
}

/// Debian's kernel for 32-bit processors, and a static busybox for them.
///
/// # Errors
/// Set-up has not downloaded it; only Debian has one.
pub fn i386() -> Result<(PathBuf, PathBuf)> {
    let folder = assets_folder().join("i386");
    Ok((present(folder.join("vmlinuz"))?, present(folder.join("busybox"))?))
}

/// iPXE's boot ROM for virtio cards, of the package ipxe-qemu.
///
/// # Errors
/// It is not installed.
pub fn boot_rom() -> Result<PathBuf> {
    present("/usr/lib/ipxe/qemu/pxe-virtio.rom".into())
}

/// A kernel that is not Linux, by its file's name: `xen.gz`, `memtest86+ia32.bin`,
/// `memtest86+x64.bin`, `ipxe.lkrn`, `memdisk`.
///
/// # Errors
/// Set-up has not downloaded it; not every distribution has it.
pub fn other_kernel(name: &str) -> Result<PathBuf> {
    present(assets_folder().join("other").join(name))
}

/// LAVA's dispatcher, unpacked in `root`, and tuxrun in the Python environment `venv`.
///
/// # Errors
/// Set-up has not downloaded them; only Debian has the dispatcher.
pub fn lava() -> Result<PathBuf> {
    let folder = assets_folder().join("lava");
    present(folder.join("root/usr/bin/lava-run")).map(|_| folder)
}

/// The asset, or `None` after reporting that the test is skipped without it.
pub fn or_skip<T>(asset: Result<T>) -> Option<T> {
    asset.map_err(|error| skip(&error.to_string())).ok()
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Where set-up puts its downloads.
#[must_use]
pub fn assets_folder() -> PathBuf {
    env::var_os("CHUKKA_ASSETS").map_or_else(|| workspace().join("target/assets"), PathBuf::from)
}

/// Where the tests put the files they create: initrds, cached results.
///
/// # Errors
/// The folder cannot be created.
pub fn work_folder() -> Result<PathBuf> {
    let folder = workspace().join("target/lab");
    fs::create_dir_all(&folder).doing_with("Making", &folder)?;
    Ok(folder)
}

fn kernel(role: &str) -> Result<Kernel> {
    let folder = assets_folder().join(role);
    let file = |name: &str| present(folder.join(name));
    Ok(Kernel {
        vmlinuz: file("vmlinuz")?,
        vmlinux: file("vmlinux")?,
        config: file("config")?,
        modules: file("modules")?,
    })
}

fn present(path: PathBuf) -> Result<PathBuf> {
    if path.exists() { Ok(path) } else { Err(Error::Missing(path.display().to_string())) }
}
