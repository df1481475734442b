mod devices;

use super::*;
use crate::fetch::Settings;
use crate::testing::{Partition, Temp};
use storage::head;

fn volume(temp: &Temp) -> Volume {
    Volume { name: temp.path().display().to_string(), source: Box::new(temp.source()) }
}

/// A partition of a disk.
fn partition(partition: Partition) -> Volume {
    Volume { name: partition.name().to_owned(), source: Box::new(partition) }
}

fn bytes(file: &dyn RandomAccess) -> String {
    String::from_utf8(head(file, 4096).unwrap()).unwrap()
}

const MENU: &str = "default=1\nmenuentry a --id first { linux /a one; initrd /i }\nmenuentry b { linux /b two; initrd /i /k }\n";

#[test]
fn an_entry_is_picked_by_default_number_title_or_id() {
    let temp = Temp::of(&["a", "b", "i", "k"]);
    temp.file("boot/grub/grub.cfg", MENU.as_bytes());
    let place = Place::Local(temp.path().into());
    let volumes = volumes(&Fetcher::new(Settings::default()), &place).unwrap();
    for (given, kernel) in
        [("default", "b"), ("saved", "b"), ("0", "a"), ("1", "b"), ("a", "a"), ("first", "a")]
    {
        let (picked, _) = pick(&volumes, &Choice::of(given)).unwrap();
        assert_eq!(bytes(&*picked.kernel), kernel, "{given}");
    }
    let (picked, attempts) = pick(&volumes, &Choice::Default).unwrap();
    assert_eq!(picked.entry.arguments, "two");
    assert_eq!(attempts.len(), 1);
    let initrd = joined(picked.initrds).unwrap().unwrap();
    assert_eq!((initrd.len(), bytes(&*initrd).as_str()), (5, "i\0\0\0k"));
    let error = pick(&volumes, &Choice::of("c")).unwrap_err();
    assert!(error.to_string().starts_with("No entry 'c' can be booted; tried "), "{error}");
}

#[test]
fn an_entry_without_its_files_is_passed_over_and_they_may_be_on_another_volume() {
    let (esp, boot) = (Temp::of(&["EFI/x"]), Temp::of(&["a", "i"]));
    let menu = format!("search --label --set=root BOOT\n{MENU}");
    esp.file("EFI/fedora/grub.cfg", menu.as_bytes());
    let (empty, boot) = (Temp::of(&["x"]), Partition { label: "BOOT", ..Partition::new(3, &boot) });
    let volumes =
        [(1, &empty), (2, &esp)].map(|(number, temp)| partition(Partition::new(number, temp)));
    let volumes: Vec<_> = volumes.into_iter().chain([partition(boot)]).collect();
    let (picked, attempts) = pick(&volumes, &Choice::Default).unwrap();
    assert_eq!(picked.entry.title, "a");
    let warning = "Booting the entry 'a', as 'b' cannot be booted ((hd0,gpt3)/b is not there)";
    assert_eq!(picked.warnings, [warning]);
    let found: Vec<_> = attempts.iter().map(|attempt| attempt.found.as_str()).collect();
    assert!(found[0].starts_with("no grub.cfg"), "{found:?}");
    assert_eq!(found[2..], ["(hd0,gpt3)/b is not there", "there"]);
    let error = pick(&volumes[..2], &Choice::Default).unwrap_err();
    assert!(error.to_string().starts_with("No entry of a boot menu"), "{error}");
    let error = pick(&volumes[..1], &Choice::Default).unwrap_err();
    assert!(error.to_string().starts_with("There is no boot menu"), "{error}");
}

#[test]
fn solaris_and_netware_are_known_by_their_kernel() {
    let solaris = Temp::of(&[
        "platform/i86xpv/kernel/amd64/unix",
        "platform/i86xpv/kernel/unix",
        "platform/i86pc/amd64/boot_archive",
    ]);
    solaris.file("boot/grub/menu.lst", b"title x\nkernel /platform/i86xpv/kernel/unix\n");
    let (picked, _) = pick(&[volume(&solaris)], &Choice::Default).unwrap();
    assert_eq!(bytes(&*picked.kernel), "platform/i86xpv/kernel/amd64/unix");
    assert_eq!(bytes(&*picked.initrds[0]), "platform/i86pc/amd64/boot_archive");
    let (picked, _) =
        pick(&[volume(&Temp::of(&["nwserver/xnloader.sys"]))], &Choice::Default).unwrap();
    assert_eq!((picked.entry.title.as_str(), picked.initrds.len()), ("NetWare", 0));
    let unix = "/platform/i86xpv/kernel/unix";
    for (given, expected) in [
        ("", unix.to_owned()),
        ("-k root=/dev/dsk/c0d0s0", format!("root=/dev/dsk/c0d0s0 {unix} -k")),
        (&format!("{unix} -B x=1 ip=dhcp"), format!("ip=dhcp {unix} -B x=1")),
    ] {
        assert_eq!(solaris_arguments(unix, given), expected);
    }
}

#[test]
fn the_default_is_booted_without_a_warning_and_another_entry_never_is() {
    let temp = Temp::of(&["b", "c"]);
    let text = |default: &str| {
        format!(
            "default={default}\nmenuentry a {{ chainloader +1 }}\nmenuentry b {{ linux /b }}\n}}\nmenuentry c {{ linux /c }}\n"
        )
    };
    for (default, title, count) in [("1", "b", 1), ("2", "c", 1), ("0", "b", 2), ("9", "b", 3)] {
        temp.file("boot/grub/grub.cfg", text(default).as_bytes());
        let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
        assert_eq!(picked.entry.title, title, "{default}");
        assert_eq!(picked.warnings.len(), count, "{:?}", picked.warnings);
        assert!(picked.warnings[0].contains("syntax error in line 4"), "{:?}", picked.warnings);
    }
}

#[test]
fn a_menu_without_entries_is_an_error() {
    let temp = Temp::new();
    temp.file("boot/grub/grub.cfg", b"set timeout=1\n");
    let volumes = [volume(&temp)];
    let mut attempts = Vec::new();
    let menus = menus(&volumes, &mut attempts);
    let error = require_entries(&menus, attempts).unwrap_err();
    assert!(error.to_string().contains("has no entry that boots a kernel"), "{error}");
}

#[test]
fn a_unified_kernel_image_is_taken_apart() {
    let temp = Temp::new();
    let image =
        unified::image(&[(".linux", b"kernel"), (".initrd", b"initrd"), (".cmdline", b"ro")]);
    temp.file("EFI/Linux/a.efi", &image);
    let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
    assert_eq!(
        (bytes(&*picked.kernel), bytes(&*picked.initrds[0])),
        ("kernel".into(), "initrd".into())
    );
    assert_eq!(picked.entry.arguments, "ro");
    temp.file("EFI/Linux/a.efi", b"MZ not an image");
    let error = pick(&[volume(&temp)], &Choice::Default).unwrap_err();
    assert!(error.to_string().contains("a.efi should be a unified kernel image"), "{error}");
}

/// systemd's src/boot/stub.c: without Secure Boot the loader's arguments come before `.cmdline`, and
/// the initrds are microcode, the loader's, the image's. This does not depend on the image's name.
#[test]
fn a_unified_kernel_image_boots_in_the_same_way_whatever_the_menu_calls_it() {
    let image = unified::image(&[
        (".linux", b"kernel"),
        (".initrd", b"own"),
        (".ucode", b"ucode"),
        (".cmdline", b"root=/dev/uki  rw\n\0"),
    ]);
    let grub = |command: &str| ("boot/grub/grub.cfg", format!("menuentry a {{ {command} }}\n"));
    let bls = |keys: &str| ("loader/entries/a.conf", format!("title a\n{keys}\n"));
    let (uki, own) = ("root=/dev/uki rw", "root=/dev/own");
    for ((path, text), arguments, initrds) in [
        (grub("linux /x.efi root=/dev/own"), own, "ucode own"),
        (grub("linux /x.efi; initrd /i"), uki, "ucode i own"),
        (grub("linux /kernel"), uki, "ucode own"),
        (grub("chainloader /x.efi root=/dev/own"), own, "ucode own"),
        (grub("chainloader /x.efi"), uki, "ucode own"),
        (bls("linux /x.efi\noptions root=/dev/own"), own, "ucode own"),
        (bls("linux /x.efi"), uki, "ucode own"),
        (bls("linux /kernel\ninitrd /i"), uki, "ucode i own"),
        (bls("efi /x.efi\ninitrd /i"), uki, "ucode i own"),
        (bls("uki /x.efi\noptions root=/dev/own"), own, "ucode own"),
    ] {
        let temp = Temp::of(&["i"]);
        temp.file(path, text.as_bytes());
        for name in ["x.efi", "kernel"] {
            temp.file(name, &image);
        }
        let volumes = [volume(&temp)];
        let (picked, _) = pick(&volumes, &Choice::Default).unwrap();
        assert_eq!(bytes(&*picked.kernel), "kernel", "{text}");
        assert_eq!(picked.entry.arguments, arguments, "{text}");
        let found: Vec<_> = picked.initrds.iter().map(|initrd| bytes(&**initrd)).collect();
        assert_eq!(found.join(" "), initrds, "{text}");
        let listed = menus(&volumes, &mut Vec::new())[0].entries(&volumes);
        assert_eq!(listed[0].arguments, arguments, "{text}");
        // As an install tree, too.
        let tree = crate::Tree::find(&temp.source(), crate::Query::default()).unwrap();
        assert_eq!(bytes(&*tree.kernel.bytes), "kernel", "{text}");
        assert_eq!(tree.arguments.join(" "), arguments, "{text}");
        let found: Vec<_> = tree.initrds.iter().map(|initrd| bytes(&*initrd.bytes)).collect();
        assert_eq!(found.join(" "), initrds, "{text}");
    }
}

/// `generate_sidecar_initrds` in systemd's src/boot/stub.c, and `get_extra_dir`.
#[test]
fn files_that_systemd_stub_would_add_to_the_initrd_are_named() {
    let image = unified::image(&[(".linux", b"kernel")]);
    for (files, named) in [
        (&["EFI/Linux/x.efi.extra.d/a.cred"][..], Some("EFI/Linux/x.efi.extra.d/a.cred")),
        (&["EFI/Linux/x.efi.extra.d/a.confext.RAW"], Some("EFI/Linux/x.efi.extra.d/a.confext.RAW")),
        (&["loader/credentials/b.cred"], Some("loader/credentials/b.cred")),
        (
            &["loader/extensions/c.sysext.raw", "loader/credentials/b.cred"],
            Some("loader/credentials/b.cred, loader/extensions/c.sysext.raw"),
        ),
        (
            &[
                "loader/credentials/1.cred",
                "loader/credentials/2.cred",
                "loader/credentials/3.cred",
                "loader/credentials/4.cred",
                "loader/credentials/5.cred",
                "loader/credentials/6.cred",
            ],
            Some(
                "loader/credentials/1.cred, loader/credentials/2.cred, loader/credentials/3.cred, loader/credentials/4.cred and 2 more",
            ),
        ),
        (&["EFI/Linux/x.efi.extra.d/a.txt", "EFI/Linux/x.efi.extra.d/.a.cred"], None),
        (&["EFI/Linux/y.efi.extra.d/a.cred", "EFI/Linux/x.efi.extra.d/d.raw/e"], None),
    ] {
        for (name, prefix) in [("x.efi", ""), ("x+3-1.efi", ""), ("x.efi", "boot/efi/")] {
            let temp = Temp::new();
            temp.file(&format!("{prefix}EFI/Linux/{name}"), &image);
            files.iter().for_each(|path| temp.file(&format!("{prefix}{path}"), b"x"));
            let list = named.map(|named| named.replace("EFI/", &format!("{prefix}EFI/")));
            let list = list.map(|list| list.replace("loader/", &format!("{prefix}loader/")));
            let warning = list.map(|list| {
                format!("the guest does not get {list}, which systemd-stub would add to the initrd")
            });
            let expected: Vec<_> = warning.into_iter().collect();
            let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
            assert_eq!(picked.warnings, expected, "{name} {prefix}");
            if prefix.is_empty() {
                let tree = crate::Tree::find(&temp.source(), crate::Query::default()).unwrap();
                assert_eq!(tree.warnings, expected, "{name}");
            }
        }
    }
}

#[test]
fn a_unified_kernel_image_with_too_long_a_command_line_is_passed_over() {
    for (len, is_booted) in [(1 << 16, true), ((1 << 16) + 1, false)] {
        let image = unified::image(&[(".linux", b"kernel"), (".cmdline", &vec![b'x'; len])]);
        let temp = Temp::new();
        temp.file("x", &image);
        temp.file("boot/grub/grub.cfg", b"menuentry a { linux /x }\n");
        match pick(&[volume(&temp)], &Choice::Default) {
            Ok((picked, _)) => assert!(is_booted && picked.entry.arguments.len() == len),
            Err(error) => {
                assert!(
                    !is_booted && error.to_string().contains("more than 65536 bytes"),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn a_menu_that_is_too_long_is_not_called_missing() {
    let temp = Temp::of(&["a"]);
    let menu = |comment: usize| format!("#{}\nmenuentry a {{ linux /a }}\n", "x".repeat(comment));
    temp.file("boot/grub/grub.cfg", menu(1 << 20).as_bytes());
    let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
    assert_eq!((picked.entry.title.as_str(), &picked.warnings[..]), ("a", &[][..]));
    temp.file("boot/grub/grub.cfg", menu(2 << 20).as_bytes());
    let error = pick(&[volume(&temp)], &Choice::Default).unwrap_err().to_string();
    assert!(error.starts_with("No entry of a boot menu can be booted"), "{error}");
    assert!(
        error.contains("grub.cfg was not read: it has 2097179 bytes, expected at most 2097152"),
        "{error}"
    );
}

#[test]
fn kernels_without_a_menu_are_named() {
    let temp = Temp::of(&["boot/vmlinuz-6.1", "boot/config-6.1"]);
    let error = pick(&[volume(&temp)], &Choice::Default).unwrap_err().to_string();
    assert!(
        error.starts_with("There is no boot menu, but /boot/vmlinuz-6.1 is there; tried "),
        "{error}"
    );
    temp.file("vmlinux", b"");
    let error = pick(&[volume(&temp)], &Choice::Default).unwrap_err().to_string();
    assert!(
        error.contains(", but these are there: /vmlinux, /boot/vmlinuz-6.1; tried "),
        "{error}"
    );
}

#[test]
fn unified_kernel_images_and_environments_are_found_on_mounted_efi_partitions() {
    let image = unified::image(&[(".linux", b"k"), (".cmdline", b"ro")]);
    for place in [
        "EFI/Linux/a.efi",
        "efi/EFI/Linux/a.efi",
        "boot/efi/EFI/Linux/a.efi",
        "boot/EFI/Linux/a.efi",
    ] {
        let temp = Temp::new();
        temp.file(place, &image);
        let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
        assert_eq!(
            (bytes(&*picked.kernel), picked.entry.arguments.as_str()),
            ("k".into(), "ro"),
            "{place}"
        );
    }
    let block = format!("{:#<1024}", "# GRUB Environment Block\nkernelopts=root=/dev/x ro\n");
    for place in
        ["EFI/centos", "boot/efi/EFI/centos", "efi/EFI/a b", "boot/EFI/centos", "boot/grub2"]
    {
        let temp = Temp::of(&["k"]);
        temp.file("boot/loader/entries/a.conf", b"title a\nlinux /k\noptions $kernelopts\n");
        temp.file(&format!("{place}/grubenv"), block.as_bytes());
        let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
        assert_eq!(picked.entry.arguments, "root=/dev/x ro", "{place}");
        assert_eq!(picked.warnings, [""; 0]);
    }
}

/// A volume of a disk whose other partition cannot be read.
#[derive(Debug)]
struct Alone([storage::Skipped; 1]);

impl FileTree for Alone {
    fn name(&self) -> &'static str {
        "disk, partition 1"
    }

    fn skipped(&self) -> &[storage::Skipped] {
        &self.0
    }

    fn list(&self, _: &TreePath) -> Result<Vec<storage::Entry>, FileError> {
        Ok(Vec::new())
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        Err(FileError::Missing(path.to_string()))
    }
}

#[test]
fn a_disk_without_a_menu_tells_of_partitions_that_cannot_be_read() {
    let skipped = storage::Skipped {
        name: "disk, partition 2".into(),
        why: "it is an LVM physical volume".into(),
    };
    let source = || Box::new(Alone([skipped.clone()]));
    let volumes = [Volume { name: "disk, partition 1".into(), source: source() }];
    let error = pick(&volumes, &Choice::Default).unwrap_err().to_string();
    assert!(error.contains("tried disk, partition 2: it is an LVM physical volume; "), "{error}");
    let error = crate::Tree::find(&*source(), crate::Query::default()).unwrap_err().to_string();
    assert!(error.contains("tried disk, partition 2: it is an LVM physical volume; "), "{error}");
}

#[test]
fn a_picked_entry_and_an_entry_that_is_not_there_are_told_with_the_menu_s_path() {
    let temp = Temp::of(&["a", "b", "i", "k"]);
    temp.file("boot/grub/grub.cfg", MENU.as_bytes());
    let path = format!("{}/boot/grub/grub.cfg", temp.path().display());
    let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
    assert_eq!(picked.place, path);
    let error = pick(&[volume(&temp)], &Choice::of("c")).unwrap_err();
    let tried = format!("tried {path}: has no entry 'c' that boots a kernel");
    assert!(error.to_string().ends_with(&tried), "{error}");
    assert!(error.hint().contains("--list"), "{}", error.hint());
}

#[test]
fn a_kernel_that_cannot_be_opened_is_not_called_missing() {
    let temp = Temp::of(&["a/b"]);
    temp.file("boot/grub/grub.cfg", b"menuentry a { linux /a }\n");
    let error = pick(&[volume(&temp)], &Choice::Default).unwrap_err().to_string();
    assert!(error.contains("/a' is a directory"), "{error}");
    assert!(!error.contains("is not there"), "{error}");
}

#[test]
fn an_entry_that_the_user_chose_is_booted_without_a_warning() {
    let temp = Temp::of(&["b"]);
    let menu = b"default=0\nmenuentry a { chainloader +1 }\nmenuentry b { linux /b }\n";
    temp.file("boot/grub/grub.cfg", menu);
    let (picked, _) = pick(&[volume(&temp)], &Choice::of("b")).unwrap();
    assert_eq!(picked.warnings, [""; 0]);
    let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
    assert!(picked.warnings[0].contains("because the default"), "{:?}", picked.warnings);
    // It is in the second menu.
    let first = Temp::of(&["c"]);
    first.file("boot/grub/grub.cfg", b"menuentry c { linux /c }\n");
    let (picked, _) = pick(&[volume(&first), volume(&temp)], &Choice::of("b")).unwrap();
    assert_eq!((picked.entry.title.as_str(), picked.warnings.len()), ("b", 0));
}

#[test]
fn entries_that_two_volumes_share_are_listed_once() {
    let (boot, esp) = (Temp::of(&["k"]), Temp::of(&["k"]));
    for temp in [&boot, &esp] {
        temp.file("loader/entries/a.conf", b"title a\nlinux /k\n");
    }
    let volumes = [volume(&boot), volume(&esp)];
    assert_eq!(menus(&volumes, &mut Vec::new()).len(), 1);
    esp.file("loader/entries/a.conf", b"title b\nlinux /k\n");
    boot.file("boot/grub/grub.cfg", MENU.as_bytes());
    esp.file("boot/grub/grub.cfg", MENU.as_bytes());
    let volumes = [volume(&boot), volume(&esp)];
    let loaders: Vec<_> =
        menus(&volumes, &mut Vec::new()).iter().map(|menu| menu.config.loader).collect();
    assert_eq!(loaders.iter().filter(|loader| **loader == Loader::Grub).count(), 2, "{loaders:?}");
}
