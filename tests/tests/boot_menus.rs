//! Boot menus that Debian writes: the installer's, for GRUB and for pxelinux, and that of an
//! installed system.

#![expect(clippy::panic, clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs;
use std::path::Path;

use chukka_tests::assets;
use chukka_tests::native::Scratch;
use location::menu::{BootConfig, Entry, Loader};
use storage::Directory;

const KERNEL: &str = "debian-installer/amd64/linux";
const INITRD: &str = "debian-installer/amd64/initrd.gz";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, fs::read(from).unwrap()).unwrap();
}

/// The one menu of a place.
fn menu(root: &Path) -> BootConfig {
    let mut found = BootConfig::read_all(&Directory::open(root).unwrap());
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn with_title<'a>(menu: &'a BootConfig, title: &str) -> &'a Entry {
    let found = menu.entries.iter().find(|entry| entry.title == title);
    let titles: Vec<_> = menu.entries.iter().map(|entry| &entry.title).collect();
    found.unwrap_or_else(|| panic!("{title}: {titles:?}"))
}

fn assert_boots_installer(menu: &BootConfig, title: &str, arguments: &str) {
    let entry = with_title(menu, title);
    assert_eq!(entry.kernel.trim_start_matches('/'), KERNEL, "{title}");
    assert_eq!(entry.initrds.len(), 1, "{title}");
    assert_eq!(entry.initrds[0].trim_start_matches('/'), INITRD, "{title}");
    let words: Vec<_> = entry.arguments.split_whitespace().collect();
    assert_eq!(words.join(" "), arguments, "{title}");
}

#[test]
fn the_installers_grub_menu_is_read() {
    let Some(menus) = assets::or_skip(assets::installer_menus()) else { return };
    let scratch = Scratch::new();
    let root = scratch.path("place");
    copy(&menus.join("grub/grub.cfg"), &root.join("boot/grub/grub.cfg"));
    let menu = menu(&root);
    assert_eq!(menu.loader, Loader::Grub);
    assert_eq!(menu.entries[0].title, "Install");
    assert!(menu.entries[0].is_default);
    for (title, arguments) in [
        ("Install", "vga=788 --- quiet"),
        ("Advanced options ... > ... Expert install", "priority=low vga=788 ---"),
        ("Advanced options ... > ... Rescue mode", "vga=788 rescue/enable=true --- quiet"),
        // Those with a key of their own.
        (
            "Advanced options ... > ... Expert install with speech synthesis",
            "priority=low vga=788 speakup.synth=soft ---",
        ),
        (
            "Accessible dark contrast installer menu ... > ... Advanced options ... > ... Expert install",
            "priority=low vga=788 theme=dark ---",
        ),
    ] {
        assert_boots_installer(&menu, title, arguments);
    }
    // No command is taken for an entry, and each entry has its files.
    let text = fs::read_to_string(menus.join("grub/grub.cfg")).unwrap();
    let count = text.lines().filter(|line| line.trim_start().starts_with("menuentry ")).count();
    assert_eq!(menu.entries.len(), count);
}

/// pxelinux.cfg/default includes one file after the other, by names from the place's root, and some
/// that are not there.
#[test]
fn the_installers_pxelinux_menu_is_read() {
    let Some(menus) = assets::or_skip(assets::installer_menus()) else { return };
    let scratch = Scratch::new();
    let root = scratch.path("place");
    copy(&menus.join("pxelinux.cfg/default"), &root.join("pxelinux.cfg/default"));
    for entry in fs::read_dir(menus.join("boot-screens")).unwrap() {
        let entry = entry.unwrap();
        let folder = root.join("debian-installer/amd64/boot-screens");
        copy(&entry.path(), &folder.join(entry.file_name()));
    }
    let menu = menu(&root);
    assert_eq!(menu.loader, Loader::Syslinux);
    for (title, arguments) in [
        ("Install", "vga=788 --- quiet"),
        ("Advanced options > Expert install", "priority=low vga=788 ---"),
        ("Advanced options > Rescue mode", "vga=788 rescue/enable=true --- quiet"),
        ("Advanced options > Automated install", "auto=true priority=critical vga=788 --- quiet"),
    ] {
        assert_boots_installer(&menu, title, arguments);
    }
    // Links to other menus and screens are not entries.
    let others = menu.entries.iter().filter(|entry| entry.kernel != KERNEL);
    assert_eq!(others.count(), 0, "{:?}", menu.entries);
}

#[test]
fn what_grub_mkconfig_makes_of_a_debian_disk_is_read() {
    let Some(assets::Disk { grub_cfg: made, .. }) = assets::or_skip(assets::disk()) else { return };
    let scratch = Scratch::new();
    let root = scratch.path("place");
    copy(&made, &root.join("boot/grub/grub.cfg"));
    let menu = menu(&root);
    let text = fs::read_to_string(&made).unwrap();
    let kernel = text.split_whitespace().find(|word| word.starts_with("/boot/vmlinuz-")).unwrap();
    let version = kernel.strip_prefix("/boot/vmlinuz-").unwrap();
    let initrd = format!("/boot/initrd.img-{version}");
    let titles: Vec<_> = menu.entries.iter().map(|entry| entry.title.as_str()).collect();
    assert_eq!(titles.len(), 3, "{titles:?}");
    assert!(menu.entries[0].is_default && !titles[0].contains(" > "), "{titles:?}");
    let advanced = format!("Advanced options for {0} > {0}, with Linux {version}", titles[0]);
    assert_eq!(titles[1..], [advanced.clone(), format!("{advanced} (recovery mode)")]);
    for entry in &menu.entries {
        assert_eq!((entry.kernel.as_str(), &entry.initrds[..]), (kernel, &[initrd.clone()][..]));
        assert!(entry.arguments.starts_with("root="), "{}", entry.arguments);
        let is_single = entry.arguments.split_whitespace().any(|word| word == "single");
        assert_eq!(is_single, entry.title.ends_with("(recovery mode)"), "{}", entry.arguments);
    }
}
