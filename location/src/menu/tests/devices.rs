//! Disks with several systems, whose files have the same names: each file has to come from the
//! device that the menu names.

use std::process::Command;

use storage::{PartitionId, PartitionRole, PartitionTable};

use super::*;
use crate::testing::Disk;
use crate::tree::{Query, Tree};

/// Partitions 1 and 2 of a disk. Each has `/vmlinuz` and `/initrd`, which begin with its number,
/// and `/onlyN`. The first has a menu.
fn systems(menu_path: &str, menu: &str, table: PartitionTable) -> [(Temp, Volume); 2] {
    [1, 2].map(|number| {
        let temp = Temp::new();
        for name in ["vmlinuz", "initrd", &format!("only{number}")] {
            temp.file(name, format!("{number} {name}").as_bytes());
        }
        if number == 1 {
            temp.file(menu_path, menu.as_bytes());
        }
        let [label, uuid] = [["FIRST", "11-11"], ["SECOND", "22-22"]][number as usize - 1];
        let id = [PartitionId { table, number, role: PartitionRole::Other }];
        let volume = partition(Partition { label, uuid, id, ..Partition::new(number, &temp) });
        (temp, volume)
    })
}

/// What the default entry boots: the kernel's bytes, the initrds', its arguments; or the error. The
/// disk as a location boots the same.
fn booted(systems: [(Temp, Volume); 2]) -> (String, Vec<String>) {
    let [(_first, first), (_second, second)] = systems;
    let volumes = [first, second];
    let shown = |files: Vec<&dyn RandomAccess>, arguments: &str| {
        let files: Vec<_> = files.into_iter().map(bytes).collect();
        format!("{} {arguments}", files.join(", "))
    };
    let found = match pick(&volumes, &Choice::Default) {
        Ok((picked, _)) => {
            let files = std::iter::once(&picked.kernel).chain(&picked.initrds);
            let files = files.map(|file| &**file).collect();
            Ok((shown(files, &picked.entry.arguments), picked.warnings))
        }
        Err(error) => Err(error),
    };
    let disk = Disk(volumes.into_iter().map(|volume| volume.source).collect());
    let tree = Tree::find(&disk, Query::default()).map(|tree| {
        let files = std::iter::once(&tree.kernel).chain(&tree.initrds);
        let files = files.map(|part| &*part.bytes).collect();
        assert!(
            found
                .as_ref()
                .is_ok_and(|(_, warnings)| warnings.is_empty() == tree.warnings.is_empty())
        );
        shown(files, &tree.arguments.join(" "))
    });
    let found_files = found.as_ref().map(|(files, _)| files.clone());
    assert_eq!(tree.as_ref().ok(), found_files.as_ref().ok(), "{tree:?}");
    found.unwrap_or_else(|error| (error.to_string(), Vec::new()))
}

/// The same for commands of the only entry of a grub.cfg.
fn grub(commands: &str) -> (String, Vec<String>) {
    let menu = format!("menuentry a {{ {commands}\n}}\n");
    booted(systems("boot/grub/grub.cfg", &menu, PartitionTable::Gpt))
}

#[test]
fn each_file_is_on_the_device_that_grub_s_menu_names() {
    for (commands, expected) in [
        ("linux /vmlinuz; initrd /initrd", "1 vmlinuz, 1 initrd "),
        ("set root='hd0,gpt2'; linux /vmlinuz; initrd /initrd", "2 vmlinuz, 2 initrd "),
        ("set root=(hd0,2); linux /vmlinuz; initrd ($root)/initrd", "2 vmlinuz, 2 initrd "),
        ("set root=(hd0,gpt2); linux ($root)/vmlinuz", "2 vmlinuz "),
        ("linux (hd0,gpt2)/vmlinuz; initrd /initrd", "2 vmlinuz, 1 initrd "),
        ("linux (hd0,gpt2)//vmlinuz; initrd (hd0,1)/initrd", "2 vmlinuz, 1 initrd "),
        (
            "search --set=k --label FIRST; search --set=i --file /only2; linux ($k)/vmlinuz; initrd ($i)/initrd ($k)/only1",
            "1 vmlinuz, 2 initrd, 1 only1 ",
        ),
        (
            "search --set=root --fs-uuid 22-22; linux /vmlinuz; initrd (hd0,gpt1)/initrd",
            "2 vmlinuz, 1 initrd ",
        ),
        // A search that finds nothing leaves $root as it is.
        ("set root=hd0,gpt2; search --set=root --fs-uuid 33-33; linux /vmlinuz", "2 vmlinuz "),
        ("multiboot (hd0,gpt2)/vmlinuz x; module /initrd", "2 vmlinuz, 1 initrd x"),
    ] {
        assert_eq!(grub(commands), (expected.to_owned(), Vec::new()), "{commands}");
    }
}

#[test]
fn a_file_that_is_not_on_its_device_is_missing() {
    for (commands, name) in [
        ("linux /only2", "/only2"),
        ("set root=hd0,gpt2; linux /only1", "(hd0,gpt2)/only1"),
        ("search --set=root --label SECOND; linux /vmlinuz; initrd /only1", "(hd0,gpt2)/only1"),
        ("linux /vmlinuz; initrd (hd0,2)/only1", "(hd0,gpt2)/only1"),
    ] {
        let (error, _) = grub(commands);
        assert!(error.contains(&format!("{name} is not there")), "{commands}: {error}");
    }
    // There are no such partitions, volumes and servers, though volumes have such files.
    for device in [
        "hd0,gpt3",
        "hd0,msdos2",
        "hd0,3",
        "hd0,gpt2,msdos1",
        "lvm/vg-root",
        "md/0",
        "memdisk",
        "tftp",
        "proc",
    ] {
        for commands in
            [format!("linux ({device})/only2"), format!("set root={device}; linux /only2")]
        {
            let (error, _) = grub(&commands);
            let expected = format!("'({device})/only2': the disk has no such device");
            assert!(error.contains(&expected), "{commands}: {error}");
        }
    }
    let menu = "set fallback=1\nsearch --fs-uuid --set=root 11-11\n\
                menuentry a { linux /only2 }\nmenuentry b { linux /only1 }\n";
    let (files, warnings) = booted(systems("grub/grub.cfg", menu, PartitionTable::Gpt));
    assert_eq!(files, "1 only1 ");
    assert_eq!(warnings, ["Booting the entry 'b', as 'a' cannot be booted (/only2 is not there)"]);
}

/// Firmware numbers disks, and a menu may have been written for a machine with others.
#[test]
fn a_file_on_a_disk_of_another_number_is_taken_with_a_warning_if_only_one_volume_has_it() {
    for device in ["hd1,gpt1", "hd1,msdos7", "hd1", "hd0", "cd0", "cd", "ahci0,gpt1", "usb0"] {
        for commands in
            [format!("linux ({device})/only2"), format!("set root=({device}); linux /only2")]
        {
            let (files, warnings) = grub(&commands);
            assert_eq!(files, "2 only2 ", "{commands}");
            let expected =
                format!("({device})/only2: which disk that is depends on the firmware; only ");
            assert!(warnings.len() == 1 && warnings[0].starts_with(&expected), "{warnings:?}");
        }
        let (error, _) = grub(&format!("linux ({device})/vmlinuz"));
        assert!(error.contains("several partitions have such a file"), "{error}");
        let (error, _) = grub(&format!("linux ({device})/absent"));
        assert!(error.contains(&format!("({device})/absent is not there")), "{error}");
    }
}

/// grub-core/commands/probe.c.
#[test]
fn probe_tells_of_the_device_that_it_is_asked_for() {
    for (commands, expected) in [
        ("probe --set=v --fs-uuid (hd0,gpt2)", "22-22"),
        ("probe -s v -u $root", "11-11"),
        ("probe --set v --label hd0,gpt2", "SECOND"),
        ("probe -u --set=v hd0,2", "22-22"),
        ("probe --partmap --set=v (hd0,gpt1)", "gpt"),
        ("if probe -u hd0,gpt1; then v=yes; fi", "yes"),
    ] {
        let found = grub(&format!("{commands}; linux /vmlinuz $v"));
        assert_eq!(found, (format!("1 vmlinuz {expected}"), Vec::new()), "{commands}");
    }
    for commands in ["probe --set=v --fs (hd0,gpt1)", "probe --set=v -u (hd1)"] {
        let (files, warnings) = grub(&format!("v=x; {commands}; linux /vmlinuz $v"));
        assert_eq!((files.as_str(), warnings.len()), ("1 vmlinuz ", 1), "{commands}");
        assert!(warnings[0].contains("$v stays empty"), "{warnings:?}");
    }
}

#[test]
fn conditions_ask_the_device_that_they_name() {
    for (condition, expected) in [
        ("[ -f /only1 ]", true),
        ("[ -f /only2 ]", false),
        ("[ -e (hd0,gpt1)/only2 ]", false),
        ("[ -s (hd0,gpt2)/only2 ]", true),
        ("[ -f (hd0,gpt3)/only2 ]", false),
        ("[ -d (hd0,gpt1)/ ]", true),
        ("[ -d (hd0,gpt1)/boot ]", true),
        ("[ -d (hd0,gpt2)/boot ]", false),
        ("[ -d (hd0,gpt3)/ ]", false),
        ("[ -d (md/md-boot)/boot ]", false),
        ("search --file /only2", true),
        ("search --fs-uuid 22-22", true),
        ("search --fs-uuid 33-33", false),
        ("search --label SECOND", true),
        ("search --label THIRD", false),
        // `source` succeeds in any case.
        ("source /only2", true),
        ("load_env -f (hd0,gpt2)/grubenv", false),
        ("loopback loop /only1", true),
        ("loopback loop /only2", false),
        ("loopback loop only1", false),
        ("loopback loop", false),
        ("loopback -d loop", false),
    ] {
        let commands = format!("if {condition}; then w=yes; else w=no; fi; linux /vmlinuz $w");
        let expected = if expected { "1 vmlinuz yes" } else { "1 vmlinuz no" };
        assert_eq!(grub(&commands), (expected.to_owned(), Vec::new()), "{condition}");
    }
}

/// A directory or a single file system has no partitions: a menu's devices mean nothing there.
#[test]
fn devices_are_harmless_without_partitions() {
    let temp = Temp::of(&["vmlinuz", "initrd"]);
    for device in ["hd0,gpt2", "hd1", "cd0", "lvm/vg-root", "tftp,10.0.0.1", "volume1"] {
        let menu = format!(
            "set root='{device}'\nsearch --fs-uuid --set=root 11-11\nmenuentry a {{ set root={device}; linux ({device})/vmlinuz; initrd /initrd }}\n"
        );
        temp.file("boot/grub/grub.cfg", menu.as_bytes());
        let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
        assert_eq!(bytes(&*picked.kernel), "vmlinuz", "{device}");
        assert_eq!((picked.entry.kernel.as_str(), picked.warnings.len()), ("/vmlinuz", 0));
        assert_eq!(picked.entry.initrds, ["/initrd"], "{device}");
    }
}

#[test]
fn the_user_can_name_the_partition_of_a_file() {
    let [(_first, first), (_second, second)] = systems("x", "", PartitionTable::Gpt);
    let volumes = [first, second];
    for (path, expected) in [
        ("/vmlinuz", Some((0, "1 vmlinuz"))),
        ("(hd0,gpt1)/vmlinuz", Some((0, "1 vmlinuz"))),
        ("(hd0,gpt2)/vmlinuz", Some((1, "2 vmlinuz"))),
        ("(hd0,2)vmlinuz", Some((1, "2 vmlinuz"))),
        ("/only2", Some((1, "2 only2"))),
        ("(hd0,gpt1)/only2", None),
        ("(hd0,gpt3)/vmlinuz", None),
        ("(hd1,gpt1)/only2", None),
    ] {
        let found = named(&volumes, path).ok().map(|(index, file)| (index, bytes(&*file)));
        assert_eq!(found, expected.map(|(index, text)| (index, text.to_owned())), "{path}");
    }
}

/// GRUB legacy counts partitions from 0; Solaris' slices are letters.
#[test]
fn each_file_is_on_the_device_that_grub_legacy_s_menu_names() {
    for (commands, expected) in [
        ("kernel /vmlinuz\ninitrd /initrd", "1 vmlinuz, 1 initrd "),
        ("root (hd0,1)\nkernel /vmlinuz x\ninitrd /initrd", "2 vmlinuz, 2 initrd x"),
        ("rootnoverify (hd0,1)\nkernel /vmlinuz\ninitrd (hd0,0)/initrd", "2 vmlinuz, 1 initrd "),
        ("kernel (hd0,1)/vmlinuz\ninitrd /initrd", "2 vmlinuz, 1 initrd "),
        ("uuid 22-22\nkernel /vmlinuz", "2 vmlinuz "),
        ("root (hd0,1)\nkernel /vmlinuz\nmodule (hd0,0)/initrd", "2 vmlinuz, 1 initrd "),
    ] {
        // What is in front does not count for the next entry.
        let menu = format!("default 1\ntitle x\nroot (hd0,1)\nkernel /x\ntitle a\n{commands}\n");
        let systems = systems("boot/grub/menu.lst", &menu, PartitionTable::Mbr);
        assert_eq!(booted(systems), (expected.to_owned(), Vec::new()), "{commands}");
    }
    let menu = "title a\nroot (hd0,0)\nkernel /only2\n";
    let (error, _) = booted(systems("boot/grub/menu.lst", menu, PartitionTable::Mbr));
    assert!(error.contains("/only2 is not there"), "{error}");
    let menu = "title a\nroot (hd0,0,a)\nkernel /vmlinuz\n";
    let (error, _) = booted(systems("boot/grub/menu.lst", menu, PartitionTable::Mbr));
    assert!(error.contains("(hd0,1,1)/vmlinuz"), "{error}");
}

#[test]
fn other_loaders_menus_that_grub_reads_are_on_its_root() {
    for (command, path, menu, expected) in [
        ("legacy_configfile", "menu.lst", "title a\nkernel /vmlinuz\n", "2 vmlinuz "),
        ("legacy_configfile", "menu.lst", "title a\nroot (hd0,0)\nkernel /vmlinuz\n", "1 vmlinuz "),
        ("syslinux_configfile", "s.cfg", "default a\nlabel a\nkernel /vmlinuz\n", "2 vmlinuz "),
        ("syslinux_configfile", "s.cfg", "default a\nlabel a\nkernel vmlinuz\n", "2 vmlinuz "),
    ] {
        let text = format!("set root=hd0,gpt2\n{command} /{path}\n");
        let systems = systems("boot/grub/grub.cfg", &text, PartitionTable::Gpt);
        systems[1].0.file(path, menu.as_bytes());
        assert_eq!(booted(systems).0, expected, "{menu}");
    }
}

/// An ISO 9660 image with `/vmlinuz` and `/initrd`.
fn medium(temp: &Temp, path: &str) {
    let tree = Temp::new();
    tree.file("vmlinuz", b"medium's vmlinuz");
    tree.file("initrd", b"medium's initrd");
    let to = temp.path().join(path);
    let mut command = Command::new("xorriso");
    command.args(["-as", "mkisofs", "-quiet", "-R", "-o"]).arg(to).arg(tree.path());
    let output = command.output().expect("xorriso can be run (hint: sh tests/setup.sh test)");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// The kernel decompresses zisofs where the medium is mounted.
#[test]
fn a_kernel_that_cannot_be_read_has_a_hint_of_its_own() {
    let (temp, tree) = (Temp::new(), Temp::new());
    tree.file("boot/vmlinuz", &[0; 100_000]);
    tree.file("boot/grub/grub.cfg", b"menuentry A { linux /boot/vmlinuz\n }\n");
    let image = temp.path().join("image");
    let mut command = Command::new("xorriso");
    command.arg("-outdev").arg(&image).arg("-map").arg(tree.path()).arg("/");
    command.args(["-set_filter_r", "--zisofs", "/boot/vmlinuz", "--"]);
    let output = command.output().expect("xorriso can be run (hint: sh tests/setup.sh test)");
    assert!(output.status.success(), "{command:?}: {output:?}");
    let volumes = volumes(&Fetcher::new(Settings::default()), &Place::Local(image)).unwrap();
    for choice in [Choice::Default, Choice::Entry("A".into())] {
        let error = pick(&volumes, &choice).err().unwrap();
        assert!(error.to_string().contains("it is compressed (zisofs)"), "{error}");
        let hint = "copy the files of the medium to a directory of this host, and use that";
        assert_eq!(error.hint(), hint);
    }
    let error = named(&volumes, "/boot/vmlinuz").unwrap_err();
    assert!(error.hint().unwrap().starts_with("copy the files of the medium"), "{error:?}");
}

/// A stick with images of installers on it, which has files of the same names.
#[test]
fn a_loopback_device_has_the_files_of_its_image() {
    for (commands, expected) in [
        (
            "loopback loop /x.iso; linux (loop)/vmlinuz; initrd (loop)/initrd",
            "medium's vmlinuz, medium's initrd ",
        ),
        (
            "loopback loop /x.iso; set root=(loop); linux /vmlinuz; initrd /initrd",
            "medium's vmlinuz, medium's initrd ",
        ),
        (
            "loopback loop (hd0,gpt2)/x.iso; linux (loop)/vmlinuz; initrd /initrd",
            "medium's vmlinuz, 1 initrd ",
        ),
        (
            "loopback loop /x.iso; if [ -f (loop)/only1 ]; then w=bad; fi; linux /vmlinuz $w",
            "1 vmlinuz ",
        ),
        ("loopback loop /x.iso; loopback -d loop; linux (loop)/vmlinuz", "(loop)/vmlinuz"),
        ("loopback loop /x.iso; linux (loop)/only1", "((hd0,gpt1)/x.iso)/only1 is not there"),
        (
            "loopback loop /only1; linux (loop)/vmlinuz",
            "/only1' is a file without a known file system",
        ),
        ("linux (loop)/vmlinuz", "(loop)/vmlinuz"),
    ] {
        for menu in [
            format!("menuentry a {{ {commands}\n}}\n"),
            // What one entry does concerns no other.
            format!(
                "default=1\nmenuentry x {{ loopback loop /only1 }}\nmenuentry a {{ {commands}\n}}\n"
            ),
        ] {
            let systems = systems("boot/grub/grub.cfg", &menu, PartitionTable::Gpt);
            for (temp, _) in &systems {
                medium(temp, "x.iso");
            }
            let (found, warnings) = booted(systems);
            assert!(found.contains(expected), "{commands}: {found}");
            assert_eq!(warnings, [""; 0], "{commands}");
        }
    }
}

/// A stick as a directory: what its menu boots from an image is booted from there.
#[test]
fn a_location_that_is_a_directory_has_loopback_devices() {
    let temp = Temp::of(&["vmlinuz", "initrd"]);
    medium(&temp, "x.iso");
    for (device, kernel) in [("(loop)", "medium's vmlinuz"), ("", "vmlinuz")] {
        let menu = format!(
            "menuentry a {{ loopback loop /x.iso; linux {device}/vmlinuz x; initrd (loop)/initrd }}\n"
        );
        temp.file("boot/grub/grub.cfg", menu.as_bytes());
        let tree = Tree::find(&temp.source(), Query::default()).unwrap();
        assert_eq!((bytes(&*tree.kernel.bytes).as_str(), tree.warnings.len()), (kernel, 0));
        assert_eq!(bytes(&*tree.initrds[0].bytes), "medium's initrd");
        assert_eq!(tree.arguments, ["x"]);
    }
}

/// As media that boot the local disk unless the user chooses the installer.
#[test]
fn a_location_whose_default_boots_no_kernel_warns_of_what_boots_instead() {
    let temp = Temp::of(&["k"]);
    for (default, warnings) in [("disk", 1), ("install", 0)] {
        let menu = format!("default {default}\nlabel disk\nlocalboot 0\nlabel install\nlinux /k\n");
        temp.file("isolinux/isolinux.cfg", menu.as_bytes());
        let tree = Tree::find(&temp.source(), Query::default()).unwrap();
        assert_eq!(bytes(&*tree.kernel.bytes), "k");
        assert_eq!(tree.warnings.len(), warnings, "{:?}", tree.warnings);
        let expected = "Booting the entry 'install' of isolinux/isolinux.cfg, because the default ";
        assert!(tree.warnings.iter().all(|warning| warning.starts_with(expected)));
    }
}

/// A known layout's kernel gets a menu's arguments only if the menu means this very file.
#[test]
fn the_arguments_for_a_kernel_of_another_partition_are_not_this_one_s() {
    for (device, expected) in [("1", vec!["root=/dev/x"]), ("2", vec![])] {
        let temps = [Temp::new(), Temp::new()];
        for temp in &temps {
            temp.file("boot/vmlinuz", b"k");
            temp.file("boot/initrd.img", b"i");
        }
        let menu = format!("menuentry a {{ linux (hd0,{device})/boot/vmlinuz root=/dev/x }}\n");
        temps[1].file("boot/grub/grub.cfg", menu.as_bytes());
        let volumes = [(1, &temps[0]), (2, &temps[1])];
        let volumes = volumes.map(|(number, temp)| Box::new(Partition::new(number, temp)) as _);
        let tree = Tree::find(&Disk(volumes.into()), Query::default()).unwrap();
        assert_eq!(tree.arguments, expected, "{device}");
    }
}

#[test]
fn images_in_images_end_somewhere() {
    let temp = Temp::new();
    medium(&temp, "x.iso");
    let nested = (0..40).map(|n| format!("loopback l{} (l{n})/x.iso\n", n + 1)).collect::<String>();
    let menu = format!("menuentry a {{ loopback l0 /x.iso\n{nested}\nlinux (l40)/vmlinuz\n}}\n");
    temp.file("boot/grub/grub.cfg", menu.as_bytes());
    let error = pick(&[volume(&temp)], &Choice::Default).unwrap_err().to_string();
    assert!(error.contains("it is nested too deeply"), "{error}");
    let many = (0..40).map(|n| format!("loopback l{n} /x.iso\n")).collect::<String>();
    let menu = format!("{many}menuentry a {{ linux (l39)/vmlinuz\n}}\n");
    temp.file("boot/grub/grub.cfg", menu.as_bytes());
    let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
    assert_eq!(bytes(&*picked.kernel), "medium's vmlinuz");
    let images = (0..40).map(|n| {
        temp.file(&format!("{n}.iso"), b"");
        format!("loopback l{n} /{n}.iso; if [ -f (l{n})/x ]; then false; fi\n")
    });
    let menu = format!("{}menuentry a {{ linux /x.iso\n}}\n", images.collect::<String>());
    temp.file("boot/grub/grub.cfg", menu.as_bytes());
    let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
    assert_eq!(picked.warnings.len(), 8, "{:?}", picked.warnings);
    let deep = format!(
        "menuentry a {{ linux {}/x.iso{}/vmlinuz\n}}\n",
        "(".repeat(9000),
        ")".repeat(9000)
    );
    temp.file("boot/grub/grub.cfg", deep.as_bytes());
    let error = pick(&[volume(&temp)], &Choice::Default).unwrap_err().to_string();
    assert!(error.contains("it is nested too deeply"), "{}", &error[error.len() - 200..]);
}

/// UAPI.1, "The partitions": systemd-boot reads the EFI system partition and the extended boot
/// partition, by their types.
#[test]
fn systemd_boot_s_menu_has_the_entries_of_boot_partitions_only() {
    for (role, expected) in [
        (PartitionRole::ExtendedBoot, vec![vec!["one", "two"]]),
        (PartitionRole::EfiSystem, vec![vec!["one", "two"]]),
        (PartitionRole::Other, vec![vec!["one"], vec!["two"]]),
    ] {
        let temps = [Temp::new(), Temp::new()];
        for (temp, name) in temps.iter().zip(["one", "two"]) {
            temp.file(&format!("loader/entries/{name}.conf"), b"linux /k\n");
            temp.file("k", name.as_bytes());
        }
        let esp = Partition::new(1, &temps[0]).with_role(PartitionRole::EfiSystem);
        let other = Partition::new(2, &temps[1]).with_role(role);
        let volumes = [partition(esp), partition(other)];
        let menus = menus(&volumes, &mut Vec::new());
        let titles = |menu: &Menu<'_>| {
            let mut titles: Vec<_> =
                menu.config.entries.iter().map(|entry| entry.title.clone()).collect();
            titles.sort();
            titles
        };
        assert_eq!(menus.iter().map(titles).collect::<Vec<_>>(), expected, "{role:?}");
        for (choice, name) in [("one", "one"), ("two", "two")] {
            let (picked, _) = pick(&volumes, &Choice::of(choice)).unwrap();
            assert_eq!(bytes(&*picked.kernel), name, "{role:?}");
        }
    }
}

/// `config_load_all_entries` in systemd's src/boot/boot.c: loader.conf is on systemd-boot's own
/// volume, which is the EFI system partition.
#[test]
fn loader_conf_is_that_of_the_efi_system_partition() {
    use PartitionRole::{EfiSystem, ExtendedBoot};
    for (roles, expected) in
        [([EfiSystem, ExtendedBoot], "one"), ([ExtendedBoot, EfiSystem], "two")]
    {
        let temps = [Temp::new(), Temp::new()];
        for (temp, name) in temps.iter().zip(["one", "two"]) {
            temp.file(&format!("loader/entries/{name}.conf"), b"linux /k\n");
            temp.file("loader/loader.conf", format!("default {name}*\n").as_bytes());
            temp.file("k", name.as_bytes());
        }
        let volumes: Vec<_> = (1..)
            .zip(&temps)
            .zip(roles)
            .map(|((number, temp), role)| partition(Partition::new(number, temp).with_role(role)))
            .collect();
        let (picked, _) = pick(&volumes, &Choice::Default).unwrap();
        assert_eq!(bytes(&*picked.kernel), expected, "{roles:?}");
        assert_eq!(picked.warnings, Vec::<String>::new());
        // If it is not there, the other partition's has no effect either.
        let esp = usize::from(roles[1] == EfiSystem);
        std::fs::remove_file(temps[esp].path().join("loader/loader.conf")).unwrap();
        temps[esp].file("loader/entries/three.conf", b"sort-key a\nlinux /k\n");
        let (picked, _) = pick(&volumes, &Choice::Default).unwrap();
        assert_eq!(bytes(&*picked.kernel), expected, "{roles:?}");
    }
}

/// An entry whose image is missing is not passed over in silence.
#[test]
fn an_entry_without_its_image_is_told() {
    let temp = Temp::of(&["k"]);
    temp.file("loader/entries/b.conf", b"efi /EFI/x.efi\n");
    let error = pick(&[volume(&temp)], &Choice::Default).unwrap_err().to_string();
    assert!(error.contains("EFI/x.efi is not there"), "{error}");
    temp.file("loader/entries/a.conf", b"title A\nlinux /k\n");
    let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
    assert_eq!(bytes(&*picked.kernel), "k");
    let warning = "Booting the entry 'A', as 'b' cannot be booted (/EFI/x.efi is not there)";
    assert_eq!(picked.warnings, [warning]);
}

/// syslinux's doc/pxelinux.txt; extlinux and isolinux: the directory of their configuration.
#[test]
fn names_without_a_slash_are_beside_the_loader() {
    let text = b"default a\nlabel a\nlinux vmlinuz\n";
    for (configuration, own, other) in [
        ("pxelinux.cfg/default", "vmlinuz", "pxelinux.cfg/vmlinuz"),
        ("boot/extlinux/extlinux.conf", "boot/extlinux/vmlinuz", "vmlinuz"),
        ("isolinux/isolinux.cfg", "isolinux/vmlinuz", "vmlinuz"),
    ] {
        let temp = Temp::of(&[other]);
        temp.file(configuration, text);
        let error = pick(&[volume(&temp)], &Choice::Default).unwrap_err().to_string();
        assert!(error.contains("vmlinuz is not there"), "{error}");
        temp.file(own, b"own");
        let (picked, _) = pick(&[volume(&temp)], &Choice::Default).unwrap();
        assert_eq!(bytes(&*picked.kernel), "own", "{configuration}");
    }
}

#[test]
fn configurations_are_found_where_syslinux_looks() {
    for place in [
        "boot/isolinux/syslinux.cfg",
        "isolinux/syslinux.cfg",
        "boot/syslinux/isolinux.cfg",
        "boot/syslinux/extlinux.conf",
        "syslinux/isolinux.cfg",
        "syslinux/extlinux.conf",
        "EFI/syslinux/syslinux.cfg",
        "EFI/BOOT/syslinux.cfg",
    ] {
        let temp = Temp::of(&["k"]);
        temp.file(place, b"label a\nlinux /k\n");
        assert!(pick(&[volume(&temp)], &Choice::Default).is_ok(), "{place}");
    }
}
