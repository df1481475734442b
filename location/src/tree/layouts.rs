//! The known layouts: where x86 distributions put the kernel and the initrd in their install trees
//! and on their media.
//!
//! The order matters: the first row whose files both exist wins. Network trees come before media,
//! because a medium's installer looks for its medium; 64-bit kernels come before 32-bit ones; rows
//! with generic file names, which say least about the distribution, come last; and kernels for
//! Xen's paravirtual guests come after all of them, because only Xen can boot them. A guest is an
//! x86-64 PC, so rows of these sources for other architectures are left out. So are NixOS and older
//! Guix, whose kernels need options that only their media's boot menus have; Clear Linux, whose
//! first file is a boot loader; and NetWare, whose loader only Xen can start.
//!
//! Sources: `osinfo` is osinfo-db (data/os, its media and trees, commit 62326e12 of 2026-05);
//! `virt-install` is virt-manager (virtinst/install/urldetect.py, commit 2450354f, and older
//! releases for ALT); `netboot.xyz` is its menus (commit 5e6620cc); `xenpvnetboot` is Xen's
//! tools/misc/xenpvnetboot (before 4.18); `xVM` is OpenSolaris' virt-install for Xen; `pygrub` is
//! Xen's (tools/pygrub); `package` is Debian's debian-installer-12-netboot-amd64.

use std::fmt;

use super::Installer;

/// A kernel and an initrd, and the distribution that they belong to.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The distribution.
    pub of: &'static str,
    /// The kernel's path. A `*` in the file name matches any text without a slash.
    pub kernel: &'static str,
    /// The initrd's path. A `*` stands for the text that the kernel's `*` matched.
    pub initrd: &'static str,
    /// What this pair starts.
    pub installer: Installer,
    /// The source of the row.
    pub source: &'static str,
}

impl Layout {
    /// Whether this row suits a guest with this much memory in bytes. Solaris' 64-bit kernel needs
    /// at least 1 GiB (xVM's virt-install).
    pub fn suits(&self, memory: u64) -> bool {
        let is_solaris = matches!(self.installer, Nevada | OpenSolaris);
        memory >= 1 << 30 || !is_solaris || !self.kernel.contains("/amd64/")
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the layout of {} (as in {})", self.of, self.source)
    }
}

const fn row(
    of: &'static str,
    kernel: &'static str,
    initrd: &'static str,
    installer: Installer,
    source: &'static str,
) -> Layout {
    Layout { of, kernel, initrd, installer, source }
}

use Installer::{
    Alpine, Anaconda, Arch, Casper, Debian, DebianLive, DebianMedium, Mageia, Nevada, OpenSolaris,
    Other, Yast,
};

/// Every row.
#[rustfmt::skip]
pub(crate) static LAYOUTS: [Layout; 82] = [
    // Network trees.
    row("Fedora, RHEL and its rebuilds", "images/pxeboot/vmlinuz", "images/pxeboot/initrd.img", Anaconda, "osinfo, virt-install, xenpvnetboot"),
    row("Anolis OS", "images/pxeboot/vmlinuz-*", "images/pxeboot/initrd-*.img", Anaconda, "osinfo"),
    row("Debian", "current/images/netboot/debian-installer/amd64/linux", "current/images/netboot/debian-installer/amd64/initrd.gz", Debian, "osinfo, virt-install"),
    row("Debian, daily", "daily/netboot/debian-installer/amd64/linux", "daily/netboot/debian-installer/amd64/initrd.gz", Debian, "virt-install"),
    row("Debian, graphical", "current/images/netboot/gtk/debian-installer/amd64/linux", "current/images/netboot/gtk/debian-installer/amd64/initrd.gz", Debian, "netboot.xyz"),
    row("Ubuntu to 18.04", "current/images/netboot/ubuntu-installer/amd64/linux", "current/images/netboot/ubuntu-installer/amd64/initrd.gz", Debian, "osinfo, virt-install"),
    row("Ubuntu 20.04", "current/legacy-images/netboot/ubuntu-installer/amd64/linux", "current/legacy-images/netboot/ubuntu-installer/amd64/initrd.gz", Debian, "osinfo, virt-install"),
    row("Ubuntu, daily", "daily/netboot/ubuntu-installer/amd64/linux", "daily/netboot/ubuntu-installer/amd64/initrd.gz", Debian, "virt-install"),
    row("Debian, archived", "current/legacy-images/netboot/debian-installer/amd64/linux", "current/legacy-images/netboot/debian-installer/amd64/initrd.gz", Debian, "virt-install"),
    row("Debian's medium as a tree", "install/netboot/debian-installer/amd64/linux", "install/netboot/debian-installer/amd64/initrd.gz", Debian, "virt-install"),
    row("Ubuntu's medium as a tree", "install/netboot/ubuntu-installer/amd64/linux", "install/netboot/ubuntu-installer/amd64/initrd.gz", Debian, "virt-install"),
    row("Debian's netboot.tar.gz, UCS", "debian-installer/amd64/linux", "debian-installer/amd64/initrd.gz", Debian, "package, osinfo"),
    row("Ubuntu's netboot.tar.gz", "ubuntu-installer/amd64/linux", "ubuntu-installer/amd64/initrd.gz", Debian, "virt-install"),
    row("openSUSE, SLES", "boot/x86_64/loader/linux", "boot/x86_64/loader/initrd", Yast, "osinfo, virt-install"),
    row("SUSE", "boot/x86_64/linux", "boot/x86_64/initrd", Yast, "virt-install"),
    row("SUSE before 10", "boot/loader/linux64", "boot/loader/initrd64", Yast, "virt-install"),
    row("SUSE before 10, 32-bit", "boot/loader/linux", "boot/loader/initrd", Yast, "virt-install"),
    row("Arch", "arch/boot/x86_64/vmlinuz-linux", "arch/boot/x86_64/initramfs-linux.img", Arch, "netboot.xyz"),
    row("Hyperbola", "hyperbola/boot/x86_64/vmlinuz", "hyperbola/boot/x86_64/hyperiso.img", Other, "osinfo"),
    row("Mageia", "isolinux/x86_64/vmlinuz", "isolinux/x86_64/all.rdz", Mageia, "osinfo, virt-install"),
    row("Slackware", "kernels/huge.s/bzImage", "isolinux/initrd.img", Other, "osinfo"),
    row("Slackware", "kernels/generic.s/bzImage", "isolinux/initrd.img", Other, "osinfo"),
    row("Slackware", "kernels/hugesmp.s/bzImage", "isolinux/initrd.img", Other, "osinfo"),
    // Media.
    row("Fedora to 36, RHEL to 9 and its rebuilds", "isolinux/vmlinuz", "isolinux/initrd.img", Anaconda, "osinfo, xenpvnetboot"),
    row("Fedora, live, old", "isolinux/vmlinuz0", "isolinux/initrd0.img", Anaconda, "osinfo"),
    row("Debian", "install.amd/vmlinuz", "install.amd/initrd.gz", DebianMedium, "osinfo, virt-install"),
    row("Debian 6, Ubuntu to 19.10", "install/vmlinuz", "install/initrd.gz", DebianMedium, "osinfo, virt-install"),
    row("Debian, live", "install/gtk/vmlinuz", "install/gtk/initrd.gz", DebianMedium, "osinfo"),
    row("Debian, live", "live/vmlinuz-*", "live/initrd.img-*", DebianLive, "netboot.xyz"),
    row("Ubuntu from 20.04, Trisquel, elementary OS", "casper/vmlinuz", "casper/initrd", Casper, "osinfo"),
    row("Ubuntu to 9.10", "casper/vmlinuz", "casper/initrd.lz", Casper, "osinfo"),
    row("Ubuntu to 9.04", "casper/vmlinuz", "casper/initrd.gz", Casper, "osinfo"),
    row("PureOS", "casper/vmlinuz", "casper/initrd.img", Casper, "osinfo"),
    row("Ubuntu 14.04", "casper/vmlinuz.efi", "casper/initrd", Casper, "osinfo"),
    row("Ubuntu 13.04 to 17.10", "casper/vmlinuz.efi", "casper/initrd.lz", Casper, "osinfo"),
    row("Pop!_OS", "casper/vmlinuz.efi", "casper/initrd.gz", Casper, "osinfo"),
    row("Ubuntu 4.10", "boot/vmlinuz", "boot/miniroot.gz", Other, "osinfo"),
    row("Alpine", "boot/vmlinuz-lts", "boot/initramfs-lts", Alpine, "osinfo"),
    row("Alpine", "boot/vmlinuz-virt", "boot/initramfs-virt", Alpine, "osinfo"),
    row("Mageia", "boot/vmlinuz", "boot/all.rdz", Mageia, "osinfo"),
    row("ALT from 10.1, Mageia live", "boot/vmlinuz", "boot/initrd.img", Other, "osinfo"),
    row("ALT 10.0", "boot/vmlinuz", "boot/full.cz", Other, "osinfo"),
    row("ALT to 9", "syslinux/alt0/vmlinuz", "syslinux/alt0/full.cz", Other, "osinfo, virt-install"),
    row("ALT to 4.0", "isolinux/alt0/vmlinuz", "isolinux/alt0/full.cz", Other, "osinfo"),
    row("Mandriva, ALT 2.4", "isolinux/alt0/vmlinuz", "isolinux/alt0/all.rdz", Other, "virt-install"),
    row("Manjaro", "boot/vmlinuz-x86_64", "boot/initramfs-x86_64.img", Other, "osinfo"),
    row("Solus", "boot/kernel", "boot/initrd.img", Other, "osinfo"),
    row("Guix", "boot/bzImage", "initrd/initrd.cpio.gz", Other, "osinfo"),
    row("Android-x86", "kernel", "initrd.img", Other, "osinfo"),
    row("illumos, SmartOS, 64-bit", "platform/i86pc/kernel/amd64/unix", "platform/i86pc/amd64/boot_archive", OpenSolaris, "netboot.xyz"),
    row("illumos", "platform/i86pc/kernel/unix", "platform/i86pc/boot_archive", OpenSolaris, "netboot.xyz"),
    // 32-bit kernels.
    row("Debian, 32-bit", "current/images/netboot/debian-installer/i386/linux", "current/images/netboot/debian-installer/i386/initrd.gz", Debian, "osinfo, virt-install"),
    row("Ubuntu, 32-bit", "current/images/netboot/ubuntu-installer/i386/linux", "current/images/netboot/ubuntu-installer/i386/initrd.gz", Debian, "osinfo, virt-install"),
    row("Ubuntu 20.04, 32-bit", "current/legacy-images/netboot/ubuntu-installer/i386/linux", "current/legacy-images/netboot/ubuntu-installer/i386/initrd.gz", Debian, "virt-install"),
    row("Debian, daily, 32-bit", "daily/netboot/debian-installer/i386/linux", "daily/netboot/debian-installer/i386/initrd.gz", Debian, "virt-install"),
    row("Debian's medium as a tree, 32-bit", "install/netboot/debian-installer/i386/linux", "install/netboot/debian-installer/i386/initrd.gz", Debian, "virt-install"),
    row("Ubuntu's medium as a tree, 32-bit", "install/netboot/ubuntu-installer/i386/linux", "install/netboot/ubuntu-installer/i386/initrd.gz", Debian, "virt-install"),
    row("Ubuntu's netboot.tar.gz, 32-bit", "ubuntu-installer/i386/linux", "ubuntu-installer/i386/initrd.gz", Debian, "virt-install"),
    row("Debian's netboot.tar.gz, UCS, 32-bit", "debian-installer/i386/linux", "debian-installer/i386/initrd.gz", Debian, "osinfo"),
    row("Debian, 32-bit", "install.386/vmlinuz", "install.386/initrd.gz", DebianMedium, "osinfo, virt-install"),
    row("openSUSE, SLES, 32-bit", "boot/i386/loader/linux", "boot/i386/loader/initrd", Yast, "osinfo, virt-install"),
    row("SUSE, 32-bit", "boot/i386/linux", "boot/i386/initrd", Yast, "virt-install"),
    row("Mageia, 32-bit", "isolinux/i386/vmlinuz", "isolinux/i386/all.rdz", Mageia, "osinfo, virt-install"),
    row("Slackware, 32-bit", "kernels/bare.i/bzImage", "isolinux/initrd.img", Other, "osinfo"),
    // Generic file names.
    row("Alpine, netboot", "vmlinuz-lts", "initramfs-lts", Alpine, "netboot.xyz"),
    row("Alpine, netboot", "vmlinuz-virt", "initramfs-virt", Alpine, "netboot.xyz"),
    row("Ubuntu from 22.04, netboot", "linux", "initrd", Casper, "netboot.xyz"),
    row("Debian's netboot files", "linux", "initrd.gz", Debian, "package"),
    // Xen's paravirtual guests.
    row("Fedora to 10, for Xen", "images/xen/vmlinuz", "images/xen/initrd.img", Anaconda, "xenpvnetboot"),
    row("Debian, for Xen", "current/images/netboot/xen/vmlinuz", "current/images/netboot/xen/initrd.gz", Debian, "xenpvnetboot, virt-install"),
    row("Debian, daily, for Xen", "daily/netboot/xen/vmlinuz", "daily/netboot/xen/initrd.gz", Debian, "virt-install"),
    row("Ubuntu 20.04, for Xen", "current/legacy-images/netboot/xen/vmlinuz", "current/legacy-images/netboot/xen/initrd.gz", Debian, "virt-install"),
    row("Debian's medium as a tree, for Xen", "install/netboot/xen/vmlinuz", "install/netboot/xen/initrd.gz", Debian, "virt-install"),
    row("openSUSE, SLES, for Xen", "boot/x86_64/vmlinuz-xen", "boot/x86_64/initrd-xen", Yast, "xenpvnetboot, virt-install"),
    row("openSUSE, SLES, for Xen, 32-bit", "boot/i386/vmlinuz-xen", "boot/i386/initrd-xen", Yast, "xenpvnetboot, virt-install"),
    // Solaris for Xen's paravirtual guests: Nevada before its successors.
    row("Nevada, 64-bit", "boot/platform/i86xpv/kernel/amd64/unix", "boot/amd64/x86.miniroot", Nevada, "xVM"),
    row("Nevada", "boot/platform/i86xpv/kernel/unix", "boot/x86.miniroot", Nevada, "xVM, virt-install"),
    row("OpenSolaris from b128, 64-bit", "platform/i86xpv/kernel/amd64/unix", "platform/i86pc/amd64/boot_archive", OpenSolaris, "xVM, pygrub"),
    row("OpenSolaris to 2009.06, 64-bit", "platform/i86xpv/kernel/amd64/unix", "boot/amd64/x86.microroot", OpenSolaris, "xVM"),
    row("OpenSolaris to 2009.06, 64-bit", "platform/i86xpv/kernel/amd64/unix", "boot/x86.microroot", OpenSolaris, "xVM"),
    row("OpenSolaris from b128", "platform/i86xpv/kernel/unix", "platform/i86pc/boot_archive", OpenSolaris, "xVM, pygrub, virt-install"),
    row("OpenSolaris to 2009.06", "platform/i86xpv/kernel/unix", "boot/x86.microroot", OpenSolaris, "xVM, virt-install"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::TreePath;

    #[test]
    fn every_row_is_there_once_and_well_formed() {
        let mut seen = BTreeSet::new();
        for row in &LAYOUTS {
            assert!(seen.insert((row.kernel, row.initrd)), "{row:?} is there twice");
            for path in [row.kernel, row.initrd] {
                assert_eq!(TreePath::new(path).to_string(), path);
                assert!(!path.rsplit_once('/').is_some_and(|(above, _)| above.contains('*')));
            }
            let stars = |path: &str| path.matches('*').count();
            assert!(stars(row.kernel) == stars(row.initrd) && stars(row.kernel) <= 1, "{row:?}");
            assert!(!row.of.is_empty() && !row.source.is_empty());
        }
    }
}
