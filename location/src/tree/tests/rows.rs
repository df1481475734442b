//! Trees of the shapes that tools and distributions know: xenpvnetboot's search list,
//! virt-install's paths, xVM's for Solaris, the network trees and the media of today. Each with
//! what its installer is told.

use super::{Installer, Query, Tree, content};
use crate::arguments::{Origin, package_source};
use crate::testing::Remote;

use Installer::{Alpine, Anaconda, Arch, Casper, Debian, DebianMedium, Mageia, Other, Yast};

/// What is found in a place with these files: kernel, initrd, rule, and the tree itself.
fn found(remote: &Remote, memory: u64) -> (String, String, Tree) {
    let tree = Tree::find(remote, Query { memory, ..Query::default() }).unwrap();
    (content(&tree.kernel), content(&tree.initrds[0]), tree)
}

/// What the installer of a tree at a URL is told.
fn told(tree: &Tree, origin: Origin<'_>) -> String {
    let kernel = content(&tree.kernel);
    let kernel = kernel.rsplit('/').next().unwrap();
    let source = package_source(tree.installer, &tree.release);
    source.and_then(|source| source.words(origin, kernel)).unwrap_or_default().join(" ")
}

#[test]
fn xenpvnetboot_s_search_list() {
    let list = [
        ("images/xen/vmlinuz", "images/xen/initrd.img"),
        ("boot/i386/vmlinuz-xen", "boot/i386/initrd-xen"),
        ("boot/x86_64/vmlinuz-xen", "boot/x86_64/initrd-xen"),
        ("current/images/netboot/xen/vmlinuz", "current/images/netboot/xen/initrd.gz"),
        ("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"),
        ("isolinux/vmlinuz", "isolinux/initrd.img"),
    ];
    for (kernel, initrd) in list {
        let (k, i, tree) = found(&Remote::of(&[kernel, initrd]), u64::MAX);
        assert_eq!((k.as_str(), i.as_str()), (kernel, initrd));
        assert!(tree.rule.contains("xenpvnetboot"), "{}", tree.rule);
        // A kernel of one row goes with no initrd of another.
        let others = list.iter().filter(|(other, _)| *other != kernel).map(|(_, other)| *other);
        let halves: Vec<_> = [kernel].into_iter().chain(others).collect();
        assert!(Tree::find(&Remote::of(&halves), Query::default()).is_err(), "{kernel}");
    }
    // The order is ours: what boots without Xen comes first.
    let all: Vec<_> = list.iter().flat_map(|(kernel, initrd)| [*kernel, *initrd]).collect();
    assert_eq!(found(&Remote::of(&all), u64::MAX).0, "images/pxeboot/vmlinuz");
}

#[test]
fn virt_install_s_paths() {
    let mut cases = vec![
        ("boot/x86_64/linux".to_owned(), "boot/x86_64/initrd".to_owned(), Yast),
        ("boot/i386/linux".into(), "boot/i386/initrd".into(), Yast),
        ("boot/loader/linux64".into(), "boot/loader/initrd64".into(), Yast),
        ("boot/loader/linux".into(), "boot/loader/initrd".into(), Yast),
        ("boot/x86_64/loader/linux".into(), "boot/x86_64/loader/initrd".into(), Yast),
        ("boot/i386/loader/linux".into(), "boot/i386/loader/initrd".into(), Yast),
        ("boot/x86_64/vmlinuz-xen".into(), "boot/x86_64/initrd-xen".into(), Yast),
        ("install.amd/vmlinuz".into(), "install.amd/initrd.gz".into(), DebianMedium),
        ("install.386/vmlinuz".into(), "install.386/initrd.gz".into(), DebianMedium),
        ("install/vmlinuz".into(), "install/initrd.gz".into(), DebianMedium),
        ("isolinux/x86_64/vmlinuz".into(), "isolinux/x86_64/all.rdz".into(), Mageia),
        ("isolinux/i386/vmlinuz".into(), "isolinux/i386/all.rdz".into(), Mageia),
        ("isolinux/alt0/vmlinuz".into(), "isolinux/alt0/all.rdz".into(), Other),
        ("syslinux/alt0/vmlinuz".into(), "syslinux/alt0/full.cz".into(), Other),
    ];
    for prefix in ["current/images", "current/legacy-images", "daily", "install"] {
        for of in ["debian", "ubuntu"] {
            for arch in ["amd64", "i386"] {
                // There is no such tree of Debian's 32-bit installer, nor an Ubuntu that is daily
                // and 32-bit.
                if (prefix, arch) == ("current/legacy-images", "i386") && of == "debian"
                    || (prefix, arch) == ("daily", "i386") && of == "ubuntu"
                {
                    continue;
                }
                let at = format!("{prefix}/netboot/{of}-installer/{arch}");
                cases.push((format!("{at}/linux"), format!("{at}/initrd.gz"), Debian));
            }
        }
        let at = format!("{prefix}/netboot/xen");
        cases.push((format!("{at}/vmlinuz"), format!("{at}/initrd.gz"), Debian));
    }
    for (kernel, initrd, installer) in cases {
        let (k, i, tree) = found(&Remote::of(&[&kernel, &initrd]), u64::MAX);
        assert_eq!((k, i, tree.installer), (kernel.clone(), initrd, installer), "{kernel}");
        assert!(tree.rule.contains("virt-install"), "{}", tree.rule);
    }
}

const GIB: u64 = 1 << 30;

#[test]
fn solaris_kernels_by_the_guest_s_memory() {
    use Installer::{Nevada, OpenSolaris};
    let nevada = [
        "boot/platform/i86xpv/kernel/unix",
        "boot/x86.miniroot",
        "boot/platform/i86xpv/kernel/amd64/unix",
        "boot/amd64/x86.miniroot",
    ];
    let newer = [
        "platform/i86xpv/kernel/unix",
        "platform/i86pc/boot_archive",
        "platform/i86xpv/kernel/amd64/unix",
        "platform/i86pc/amd64/boot_archive",
    ];
    let older = [
        "platform/i86xpv/kernel/unix",
        "boot/x86.microroot",
        "platform/i86xpv/kernel/amd64/unix",
        "boot/amd64/x86.microroot",
    ];
    let oldest = [
        "platform/i86xpv/kernel/unix",
        "boot/x86.microroot",
        "platform/i86xpv/kernel/amd64/unix",
        "boot/x86.microroot",
    ];
    let illumos = [
        "platform/i86pc/kernel/unix",
        "platform/i86pc/boot_archive",
        "platform/i86pc/kernel/amd64/unix",
        "platform/i86pc/amd64/boot_archive",
    ];
    for (files, installer) in [
        (nevada, Nevada),
        (newer, OpenSolaris),
        (older, OpenSolaris),
        (oldest, OpenSolaris),
        (illumos, OpenSolaris),
    ] {
        let tree = Remote::of(&files);
        for (memory, pair) in [(GIB, &files[2..]), (GIB - 1, &files[..2])] {
            let (kernel, initrd, tree) = found(&tree, memory);
            assert_eq!([kernel.as_str(), &initrd], pair, "{memory}");
            assert_eq!(tree.installer, installer);
        }
        // Without the kernel for few, it is said why there is none.
        if files != oldest {
            let wanted = Query { memory: GIB - 1, ..Query::default() };
            let error = Tree::find(&Remote::of(&files[2..]), wanted).unwrap_err().to_string();
            assert!(error.contains("needs at least 1 GiB of guest memory"), "{error}");
        }
    }
}

/// A tree or a medium: where it is, its pair, what else is in it and says what, whose it is, and
/// what its installer is told.
type Case = (&'static str, [&'static str; 2], [&'static str; 2], Installer, &'static str);

fn check(cases: &[Case], origin: for<'b> fn(&'b str) -> Origin<'b>) {
    for (at, files, [name, text], installer, words) in cases {
        let mut remote = Remote::of(files);
        if !name.is_empty() {
            remote = remote.file(name, text.as_bytes());
        }
        let (kernel, initrd, tree) = found(&remote, u64::MAX);
        assert_eq!([kernel.as_str(), &initrd], *files, "{at}");
        let words = (*installer, *words);
        assert_eq!((tree.installer, told(&tree, origin(at)).as_str()), words, "{at}");
    }
}

const NOTHING: [&str; 2] = ["", ""];
const PXEBOOT: [&str; 2] = ["images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"];
const ISOLINUX: [&str; 2] = ["isolinux/vmlinuz", "isolinux/initrd.img"];
const SUSE: [&str; 2] = ["boot/x86_64/loader/linux", "boot/x86_64/loader/initrd"];
const ARCH: [&str; 2] = ["arch/boot/x86_64/vmlinuz-linux", "arch/boot/x86_64/initramfs-linux.img"];
const FEDORA: [&str; 2] = [
    ".treeinfo",
    "[general]\nfamily = Fedora\nversion = 43\narch = x86_64\n\
     [images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n",
];
const LEAP_15: [&str; 2] = [
    ".treeinfo",
    "[general]\nfamily = openSUSE Leap\nversion = 15.6\narch = x86_64\n\
     [images-x86_64]\nkernel = boot/x86_64/loader/linux\ninitrd = boot/x86_64/loader/initrd\n",
];
const LEAP_16: [&str; 2] = [
    ".treeinfo",
    "[general]\nfamily = openSUSE Leap\nversion = 16.0\narch = x86_64\n\
     [images-x86_64]\nkernel = boot/x86_64/loader/linux\ninitrd = boot/x86_64/loader/initrd\n",
];

#[rustfmt::skip]
const NETWORK: [Case; 17] = [
    ("https://dl/43/Everything/x86_64/os", PXEBOOT, FEDORA, Anaconda, "inst.repo=https://dl/43/Everything/x86_64/os"),
    ("http://m/9/BaseOS/x86_64/os", PXEBOOT, NOTHING, Anaconda, "inst.repo=http://m/9/BaseOS/x86_64/os"),
    ("http://m/6/os/x86_64", PXEBOOT, [".discinfo", "1.0\nCentOS 6.10\nx86_64\n1"], Anaconda, "method=http://m/6/os/x86_64"),
    ("http://deb/installer-amd64", ["current/images/netboot/debian-installer/amd64/linux", "current/images/netboot/debian-installer/amd64/initrd.gz"], NOTHING, Debian, ""),
    ("http://deb/installer-amd64", ["current/images/netboot/gtk/debian-installer/amd64/linux", "current/images/netboot/gtk/debian-installer/amd64/initrd.gz"], NOTHING, Debian, ""),
    ("https://d-i.debian.org/daily-images/amd64", ["daily/netboot/debian-installer/amd64/linux", "daily/netboot/debian-installer/amd64/initrd.gz"], NOTHING, Debian, ""),
    ("http://u/installer-amd64", ["current/images/netboot/ubuntu-installer/amd64/linux", "current/images/netboot/ubuntu-installer/amd64/initrd.gz"], NOTHING, Debian, ""),
    ("http://u/installer-amd64", ["current/legacy-images/netboot/ubuntu-installer/amd64/linux", "current/legacy-images/netboot/ubuntu-installer/amd64/initrd.gz"], NOTHING, Debian, ""),
    ("https://releases.ubuntu.com/24.04/netboot/amd64", ["linux", "initrd"], NOTHING, Casper, ""),
    ("http://o/leap/15.6/repo/oss", SUSE, LEAP_15, Yast, "install=http://o/leap/15.6/repo/oss"),
    ("http://o/leap/16.0/repo/oss", SUSE, LEAP_16, Yast, ""),
    ("http://o/11.4", SUSE, ["content", "LABEL openSUSE 11.4\n"], Yast, "install=http://o/11.4"),
    ("http://a/iso/latest", ARCH, NOTHING, Arch, "ip=dhcp archisobasedir=arch archiso_http_srv=http://a/iso/latest/"),
    ("http://a/v3.23/releases/x86_64/netboot", ["vmlinuz-lts", "initramfs-lts"], NOTHING, Alpine, "ip=dhcp alpine_repo=http://a/v3.23/main modules=loop,squashfs modloop=http://a/v3.23/releases/x86_64/netboot/modloop-lts"),
    ("http://a/v3.23/releases/x86_64/netboot", ["vmlinuz-virt", "initramfs-virt"], NOTHING, Alpine, "ip=dhcp alpine_repo=http://a/v3.23/main modules=loop,squashfs modloop=http://a/v3.23/releases/x86_64/netboot/modloop-virt"),
    ("http://m/distrib/9/x86_64", ["isolinux/x86_64/vmlinuz", "isolinux/x86_64/all.rdz"], ["VERSION", "Mageia 9 Devel-x86_64-Download 20230827 11:00"], Mageia, "automatic=method:http,network:dhcp,server:m,directory:/distrib/9/x86_64"),
    ("http://s/slackware64-15.0", ["kernels/huge.s/bzImage", "isolinux/initrd.img"], NOTHING, Other, ""),
];

#[test]
fn network_trees_of_today() {
    check(&NETWORK, |url| Origin::Tree(url));
}

#[rustfmt::skip]
const MEDIA: [Case; 23] = [
    ("http://h/fedora-36.iso", ISOLINUX, NOTHING, Anaconda, ""),
    ("http://h/fedora-43.iso", PXEBOOT, NOTHING, Anaconda, ""),
    ("http://h/rocky-10-live.iso", SUSE, NOTHING, Yast, ""),
    ("http://h/old-live.iso", ["isolinux/vmlinuz0", "isolinux/initrd0.img"], NOTHING, Anaconda, ""),
    ("http://h/debian-13.iso", ["install.amd/vmlinuz", "install.amd/initrd.gz"], NOTHING, DebianMedium, ""),
    ("http://h/debian-13-i386.iso", ["install.386/vmlinuz", "install.386/initrd.gz"], NOTHING, DebianMedium, ""),
    ("http://h/live.iso", ["install/gtk/vmlinuz", "install/gtk/initrd.gz"], NOTHING, DebianMedium, ""),
    ("http://h/ubuntu.iso", ["casper/vmlinuz", "casper/initrd"], [".disk/info", "Ubuntu-Server 24.04 LTS"], Casper, "ip=dhcp iso-url=http://h/ubuntu.iso"),
    ("http://h/ubuntu-17.iso", ["casper/vmlinuz.efi", "casper/initrd.lz"], NOTHING, Casper, "ip=dhcp iso-url=http://h/ubuntu-17.iso"),
    ("http://h/leap-15.iso", SUSE, LEAP_15, Yast, ""),
    ("http://h/leap-16.iso", SUSE, LEAP_16, Yast, "root=live:http://h/leap-16.iso"),
    ("http://h/arch.iso", ARCH, NOTHING, Arch, ""),
    ("http://h/alpine.iso", ["boot/vmlinuz-virt", "boot/initramfs-virt"], NOTHING, Alpine, ""),
    ("http://h/alpine.iso", ["boot/vmlinuz-lts", "boot/initramfs-lts"], NOTHING, Alpine, ""),
    ("http://h/mageia.iso", ["boot/vmlinuz", "boot/all.rdz"], NOTHING, Mageia, ""),
    ("http://h/mageia-net.iso", ["isolinux/x86_64/vmlinuz", "isolinux/x86_64/all.rdz"], NOTHING, Mageia, ""),
    ("http://h/alt-11.iso", ["boot/vmlinuz", "boot/initrd.img"], NOTHING, Other, ""),
    ("http://h/alt-10.iso", ["boot/vmlinuz", "boot/full.cz"], NOTHING, Other, ""),
    ("http://h/alt-9.iso", ["syslinux/alt0/vmlinuz", "syslinux/alt0/full.cz"], NOTHING, Other, ""),
    ("http://h/manjaro.iso", ["boot/vmlinuz-x86_64", "boot/initramfs-x86_64.img"], NOTHING, Other, ""),
    ("http://h/solus.iso", ["boot/kernel", "boot/initrd.img"], NOTHING, Other, ""),
    ("http://h/pureos.iso", ["casper/vmlinuz", "casper/initrd.img"], NOTHING, Casper, "ip=dhcp iso-url=http://h/pureos.iso"),
    ("http://h/android.iso", ["kernel", "initrd.img"], NOTHING, Other, ""),
];

#[test]
fn media_of_today() {
    check(&MEDIA, |url| Origin::Medium(url));
}

#[test]
fn nixos_is_left_to_its_boot_menu() {
    let menu = "DEFAULT boot\nLABEL boot\nLINUX /boot/bzImage\nAPPEND init=/nix/store/x/init root=LABEL=nixos\nINITRD /boot/initrd\n";
    let remote = Remote::of(&["boot/bzImage", "boot/initrd"]);
    let (kernel, initrd, tree) = found(&remote.file("isolinux/isolinux.cfg", menu.as_bytes()), 0);
    assert_eq!((kernel.as_str(), initrd.as_str()), ("boot/bzImage", "boot/initrd"));
    assert_eq!(tree.arguments, ["init=/nix/store/x/init", "root=LABEL=nixos"]);
}
