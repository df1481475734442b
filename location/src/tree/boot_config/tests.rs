//! All readers together: what real programs write, what each format can express, and hostile input.

use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::testing::{Bytes, Partition, Temp, cpu_time};

const MKCONFIG: &str = include_str!("../../../../tests/data/grub-mkconfig.cfg");
const MKCONFIG_XEN: &str = include_str!("../../../../tests/data/grub-mkconfig-xen.cfg");

fn all(files: &[(&str, &str)]) -> Vec<BootConfig> {
    let temp = Temp::new();
    for (path, text) in files {
        temp.file(path, text.as_bytes());
    }
    BootConfig::read_all(&temp.source())
}

fn one(files: &[(&str, &str)]) -> BootConfig {
    let mut all = all(files);
    assert!(!all.is_empty());
    all.remove(0)
}

fn titles(config: &BootConfig) -> Vec<&str> {
    config.entries.iter().map(|entry| entry.title.as_str()).collect()
}

fn environment(text: &str) -> String {
    format!("{:#<1024}", format!("# GRUB Environment Block\n{text}"))
}

#[test]
fn what_grub_mkconfig_writes_is_read() {
    let config = one(&[("boot/grub/grub.cfg", MKCONFIG)]);
    let numbers: Vec<_> = config.entries.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    let uuid = "3d7a1d0e-6a56-4f4c-9d6a-3f0a1f2f6c11";
    let first = &config.entries[0];
    assert!(first.is_default);
    assert_eq!(
        (first.title.as_str(), first.id()),
        ("Debian GNU/Linux", &*format!("gnulinux-simple-{uuid}"))
    );
    assert_eq!(first.kernel, "/boot/vmlinuz-6.1.0-50-amd64");
    assert_eq!(first.initrds, ["/boot/initrd.img-6.1.0-50-amd64"]);
    assert_eq!(first.arguments, format!("root=UUID={uuid} ro console=ttyS0 quiet"));
    let last = &config.entries[4];
    let own = "Debian GNU/Linux, with Linux 6.1.0-49-amd64 (recovery mode)";
    assert_eq!(last.title, format!("Advanced options for Debian GNU/Linux > {own}"));
    for wanted in [
        "4",
        own,
        &last.title,
        last.id(),
        "1>3",
        &format!("Advanced options for Debian GNU/Linux>{own}"),
        &format!("gnulinux-advanced-{uuid}>3"),
    ] {
        assert_eq!(config.entry(wanted), Some(last), "{wanted}");
    }
    for wanted in ["5", "", "nothing", "1>9", "gnulinux-simple"] {
        assert_eq!(config.entry(wanted), None, "{wanted}");
    }
}

#[test]
fn the_saved_entry_is_booted_and_a_hypervisor_s_comes_last() {
    let id = "gnulinux-advanced-3d7a1d0e-6a56-4f4c-9d6a-3f0a1f2f6c11>2";
    for (block, number) in [
        (environment(&format!("saved_entry={id}\n")), 3),
        (environment("saved_entry=0\nnext_entry=1>0\n"), 1),
        // The first entry of the menu with the hypervisor's: the first of Linux alone is booted.
        (environment("saved_entry=2\n"), 0),
        ("saved_entry=1>3\n".to_owned(), 0),
    ] {
        let config = one(&[("boot/grub/grub.cfg", MKCONFIG_XEN), ("boot/grub/grubenv", &block)]);
        assert_eq!(config.entries[0].number, number, "{block}");
        let last = config.entries.last().unwrap();
        assert_eq!(last.hypervisor, "/boot/xen-4.17-amd64.gz");
        assert_eq!(last.kernel, "/boot/vmlinuz-6.1.0-50-amd64");
        assert_eq!(last.initrds, ["/boot/initrd.img-6.1.0-50-amd64"]);
        assert!(last.arguments.starts_with("root=UUID=3d7a1d0e"), "{}", last.arguments);
    }
}

/// `grub_menu_execute_entry` in grub-core/normal/menu.c: what is behind a `>` is the `default` of the
/// menu that opens, unless that sets its own, and a menu without such an entry boots its first.
#[test]
fn a_default_that_is_missing_from_a_submenu_boots_the_submenu_s_first_entry() {
    let text = "\
menuentry A --id a { linux /k A }
submenu S --id s {
  menuentry B --id b { linux /k B }
  submenu T --id t { menuentry C { linux /k C }; menuentry D { linux /k D } }
}
submenu U --id u { set default=1; menuentry E { linux /k E }; menuentry F { linux /k F } }
submenu V --id v { true }
";
    for (default, boots, instead) in [
        ("s>t>1", "D", ""),
        ("1>old", "B", "B"),
        ("s>9", "B", "B"),
        ("s>", "B", ""),
        ("s>t>9", "C", "C"),
        ("s>t", "C", ""),
        ("old>1", "A", "A"),
        ("u", "F", ""),
        ("u>0", "F", ""),
        ("v", "A", "A"),
    ] {
        let config = one(&[("boot/grub/grub.cfg", &format!("default='{default}'\n{text}"))]);
        assert_eq!(config.entries[0].arguments, boots, "{default}");
        assert_eq!(config.warnings.len(), usize::from(!instead.is_empty()), "{config:?}");
        let warning = format!("'{instead}' boots instead");
        assert!(config.warnings.iter().all(|it| it.contains(&warning)), "{:?}", config.warnings);
    }
    let first =
        "default='old>1'\nsubmenu S { menuentry A { linux /k A }; menuentry B { linux /k B } }\n";
    let config = one(&[("boot/grub/grub.cfg", first)]);
    assert_eq!(config.entries[0].arguments, "B", "the rest of the path is for the first entry");
}

#[test]
fn grub_s_saved_entry_can_be_asked_for() {
    let text = "menuentry a { linux a }\nmenuentry b { linux b }";
    let block = environment("saved_entry=1\n");
    let config = one(&[("grub/grub.cfg", text), ("grub/grubenv", &block)]);
    assert_eq!((config.entries[0].number, config.saved().unwrap().number), (0, 1));
    assert_eq!(one(&[("grub/grub.cfg", text)]).saved(), None);
}

/// The shape of Fedora's: entries in files, with variables that grubenv or grub.cfg has.
#[test]
fn blscfg_reads_the_entries_with_grub_s_variables() {
    let entry = |version: &str, more: &str| {
        format!(
            "title Fedora Linux ({version})\nversion {version}\nlinux /vmlinuz-{version}\n\
             initrd /initramfs-{version}.img $tuned_initrd\noptions $kernelopts ${{tuned_params}} x=$\n\
             grub_users $grub_users\ngrub_arg --unrestricted\ngrub_class fedora\n{more}"
        )
    };
    let (new, old) =
        (entry("6.8.10-300.fc40.x86_64", "options two\n"), entry("6.8.9-300.fc40.x86_64", ""));
    let cfg = "load_env\nmenuentry 'Memory test' { linux16 /memtest }\nset default=\"${saved_entry}\"\n\
               if [ -z \"${kernelopts}\" ]; then\n  set kernelopts=\"root=wrong\"\nfi\ninsmod blscfg\nblscfg\n";
    let block = environment(
        "saved_entry=abc-6.8.9-300.fc40.x86_64\nkernelopts=root=/dev/sda3 ro\ntuned_initrd=/tuned.img\n",
    );
    let files = [
        ("grub2/grub.cfg", cfg),
        ("grub2/grubenv", &block),
        ("loader/entries/abc-6.8.9-300.fc40.x86_64.conf", &old),
        ("loader/entries/abc-6.8.10-300.fc40.x86_64.conf", &new),
        ("loader/entries/README", "title no\nlinux /no\n"),
    ];
    let config = one(&files);
    assert_eq!(
        (config.loader, config.path.to_string()),
        (Loader::Grub, "grub2/grub.cfg".to_owned())
    );
    let expected = [
        "Fedora Linux (6.8.9-300.fc40.x86_64)",
        "Fedora Linux (6.8.10-300.fc40.x86_64)",
        "Memory test",
    ];
    assert_eq!(titles(&config), expected);
    let new = &config.entries[1];
    assert_eq!((new.number, new.id()), (1, "abc-6.8.10-300.fc40.x86_64"));
    assert_eq!(new.initrds, ["/initramfs-6.8.10-300.fc40.x86_64.img", "/tuned.img"]);
    assert_eq!(new.arguments, "root=/dev/sda3 ro x=$ two");
    // The same without grub.cfg, for loaders that read only the directory.
    let alone = one(&files[1..]);
    assert_eq!(
        (alone.loader, alone.path.to_string()),
        (Loader::Entries, "loader/entries".to_owned())
    );
    assert_eq!(alone.entries[0].arguments, "root=/dev/sda3 ro x=$");
    assert_eq!(alone.entries.len(), 2);
}

#[test]
fn systemd_s_entries_are_sorted_and_chosen_by_pattern() {
    let entry = |key: &str, version: &str| {
        format!(
            "title\tT {version}\nsort-key {key}\nversion {version}\nlinux /m/{version}/linux\ninitrd /a\ninitrd /b\n"
        )
    };
    let files = [
        ("boot/loader/loader.conf", "timeout 3\ndefault z-*\n"),
        ("boot/loader/entries/a-9.conf", &*entry("os", "9")),
        ("boot/loader/entries/b-10+2-1.conf", &entry("os", "10")),
        ("boot/loader/entries/z-1.conf", "linux /m/z\narchitecture x64\n"),
        ("boot/loader/entries/arm.conf", "linux /m/z\narchitecture aa64\n"),
        ("boot/loader/entries/uki.conf", "title uki\nefi /EFI/Linux/x.efi\n"),
    ];
    let config = one(&files);
    // Whether the image of the last is there is found out when it is booted.
    assert_eq!(titles(&config), ["z-1", "T 10", "T 9", "uki"]);
    assert_eq!(config.entries[1].initrds, ["/a", "/b"]);
    assert_eq!(config.entries[1].id(), "b-10");
    let meanings: Vec<_> = config.meanings("/m/z").iter().map(ToString::to_string).collect();
    assert_eq!(meanings, ["m/z", "boot/m/z"]);
    assert_eq!(titles(&one(&files[1..])), ["T 10", "T 9", "z-1", "uki"]);
}

/// `boot_entry_add_type1` has ids in lower case.
#[test]
fn entries_without_a_sort_key_are_in_the_order_of_lower_case_ids() {
    let text = "linux /k\n";
    let names = ["Zorin", "arch", "B-2", "b-10"].map(|id| format!("loader/entries/{id}.conf"));
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), text)).collect();
    assert_eq!(titles(&one(&files)), ["Zorin", "b-10", "B-2", "arch"]);
}

/// `cmain` in GRUB legacy's stage2/stage2.c.
#[test]
fn a_default_of_grub_legacy_that_is_not_there_is_a_warning() {
    let entries = "title A\nkernel /a\ntitle B\nkernel /b\n";
    for (head, first, missing) in [
        ("default 7\n", "A", Some("7")),
        ("default 2\nfallback 1\n", "B", Some("2")),
        ("default 2\nfallback 9 1\n", "A", Some("2")),
        ("default 1\n", "B", None),
        ("default saved\n", "A", None),
        ("fallback 1\n", "A", None),
    ] {
        let config = one(&[("boot/grub/menu.lst", &format!("{head}{entries}"))]);
        let warning = missing.map(|number| {
            format!(
                "the default entry {number} does not exist: '{first}' boots instead, as with GRUB"
            )
        });
        assert_eq!(titles(&config)[0], first, "{head}");
        assert_eq!(config.warnings, warning.into_iter().collect::<Vec<_>>(), "{head}");
        assert!(config.is_first_default(), "{head}");
    }
}

/// `line_get_key_value`, whose test is in systemd's src/boot/test-efi-string.c, and
/// `boot_entry_add_type1`.
#[test]
fn values_are_those_that_systemd_boot_reads() {
    let read = |text: &str| {
        let config = one(&[("loader/entries/a.conf", text)]);
        let entry = config.entries[0].clone();
        [vec![entry.title, entry.kernel], entry.initrds, vec![entry.arguments]].concat()
    };
    for (text, expected) in [
        (
            "title \"My Linux\"\nlinux /k\noptions \"root=/dev/sda1 ro\"\n",
            "My Linux|/k|root=/dev/sda1 ro",
        ),
        ("title 'a \"b\"'\nlinux '/k'\noptions a=\"1 2\"\n", "a \"b\"|/k|a=\"1 2\""),
        ("title \"a'\nlinux /k\noptions '\n", "\"a'|/k|"),
        ("title\t \"a\" \t\r\nlinux /k\r\noptions x", "a|/k|x"),
        ("title a\rlinux /k\r", "a|/k|"),
        ("# title no\n  #linux /no\n  title   a\nlinux /k\nalone\n", "a|/k|"),
        ("title one\nlinux /k1\ntitle two\nlinux /k2\n", "two|/k2|"),
        (
            "title a\nlinux /k\ninitrd /i\ninitrd \"/j\"\noptions x\noptions 'y z'\n",
            "a|/k|/i|/j|x y z",
        ),
    ] {
        assert_eq!(read(text).join("|"), expected, "{text:?}");
    }
    // GRUB makes commands of them: quotes are those of its language, and the first value counts.
    let text = "title \"One\"\ntitle Two\nlinux /k\nlinux /l\noptions \"a b\" 'c'\n";
    let config = one(&[("boot/grub/grub.cfg", "blscfg"), ("loader/entries/auto-a.conf", text)]);
    let entry = &config.entries[0];
    assert_eq!((&*entry.title, &*entry.kernel), ("\"One\"", "/k"));
    assert_eq!(entry.arguments, "\"a b\" c");
}

/// `valid_type1_filename`.
#[test]
fn systemd_boot_skips_files_with_names_of_its_own_entries() {
    let names = ["auto-x.conf", "AUTO-y.conf", "auto.conf", "an-auto-z.conf", "é.conf"];
    let paths = names.map(|name| format!("loader/entries/{name}"));
    let files: Vec<_> = paths.iter().map(|path| (path.as_str(), "linux /k\n")).collect();
    let mut found = titles(&one(&files)).into_iter().map(str::to_owned).collect::<Vec<_>>();
    found.sort();
    assert_eq!(found, ["an-auto-z", "auto", "é"]);
}

#[test]
fn a_default_of_loader_conf_that_is_not_there_is_a_warning() {
    let entries =
        [("loader/entries/a.conf", "title A\nlinux /a"), ("loader/entries/b.conf", "linux /b")];
    let unknown = "loader.conf's default 'nosuch.conf' is not among the entries: 'b' boots instead";
    let saved = "the default entry is the last one booted, which only the firmware knows: 'b' boots instead";
    for (conf, first, warning) in [
        ("default nosuch.conf\n", "b", Some(unknown)),
        ("default a.conf\ndefault nosuch.conf\n", "b", Some(unknown)),
        ("default @saved\n", "b", Some(saved)),
        ("default \"@SAVED\"\n", "b", Some(saved)),
        ("default a.conf\ndefault @saved\n", "b", Some(saved)),
        // systemd-boot knows no other name with `@`.
        ("default a.conf\ndefault @other\n", "A", None),
        ("default \"a*\"\n", "A", None),
        ("timeout 3\n", "b", None),
    ] {
        let config = one(&[&[("loader/loader.conf", conf)], &entries[..]].concat());
        assert_eq!(titles(&config)[0], first, "{conf}");
        assert_eq!(config.warnings, warning.into_iter().collect::<Vec<_>>(), "{conf}");
    }
}

const MENU_LST: &str = "\
# menu.lst - See: grub(8)
default\t\t1
fallback 2 0
timeout=5
hiddenmenu
splashimage=(hd0,0)/grub/splash.xpm.gz
title Other operating systems:
root
title CentOS (2.6.18-8.el5xen)
\troot (hd0,0)
\tkernel /xen.gz-2.6.18-8.el5 dom0_mem=1G
\tmodule /vmlinuz-2.6.18-8.el5xen ro root=/dev/VG/LV
\tmodule /initrd-2.6.18-8.el5xen.img
title Debian GNU/Linux, kernel 2.6.26-2-amd64
root\t\t(hd0,0)
kernel\t\t(hd0,0)//boot//vmlinuz-2.6.26-2-amd64 root=/dev/sda1 ro quiet
initrd\t\t/boot/initrd.img-2.6.26-2-amd64
savedefault
title Solaris Express
findroot (pool_rpool,0,a)
kernel$ --no-mem-option /platform/i86pc/kernel/$ISADIR/unix -B $ZFS-BOOTFS,console=ttya
module$ /platform/i86pc/$ISADIR/boot_archive
";

#[test]
fn grub_legacy_s_menu_is_read() {
    let config = one(&[("boot/grub/menu.lst", MENU_LST)]);
    assert_eq!(config.loader, Loader::GrubLegacy);
    let numbers: Vec<_> = config.entries.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [2, 3, 1], "its default needs a hypervisor, so the fallback is next");
    let [debian, solaris, xen] = &config.entries[..] else { panic!() };
    assert_eq!(debian.kernel, "/boot/vmlinuz-2.6.26-2-amd64");
    assert_eq!(debian.arguments, "root=/dev/sda1 ro quiet");
    assert_eq!(debian.initrds, ["/boot/initrd.img-2.6.26-2-amd64"]);
    assert_eq!(solaris.kernel, "/platform/i86pc/kernel/amd64/unix");
    assert_eq!(solaris.arguments, "-B $ZFS-BOOTFS,console=ttya");
    assert_eq!(solaris.initrds, ["/platform/i86pc/amd64/boot_archive"]);
    assert_eq!(
        (xen.hypervisor.as_str(), xen.kernel.as_str()),
        ("/xen.gz-2.6.18-8.el5", "/vmlinuz-2.6.18-8.el5xen")
    );
    assert_eq!(xen.arguments, "ro root=/dev/VG/LV");
    let saved = MENU_LST.replace("default\t\t1", "default saved");
    for (file, number) in [("3\n#\n#\n", 3), ("", 2)] {
        let config = one(&[("grub/grub.conf", &saved), ("grub/default", file)]);
        assert_eq!(config.entries[0].number, number, "{file}");
    }
}

#[test]
fn elilo_s_configuration_is_read() {
    let text = "prompt\ndefault=linux\nread-only\nappend=\"quiet\"\nimage=vmlinuz-old\n\tlabel=old\n\troot=/dev/sda1\n\
                image = /vmlinuz\n label = linux\n initrd = initrd.img\n append = \"a=1 b\"\n read-only\n";
    let config = one(&[("efi/debian/elilo.conf", text)]);
    assert_eq!(titles(&config), ["linux", "old"]);
    assert_eq!(config.entries[0].arguments, "ro a=1 b");
    assert_eq!(config.entries[0].initrds, ["initrd.img"]);
    assert_eq!(config.entries[1].arguments, "root=/dev/sda1 ro quiet");
    let meanings: Vec<_> = config.meanings("initrd.img").iter().map(ToString::to_string).collect();
    assert_eq!(meanings, ["efi/debian/initrd.img", "initrd.img"]);
}

#[test]
fn modules_of_multiboot_kernels_are_split() {
    let text = "default xen\nlabel two\nkernel mboot.c32\nappend vmlinuz a=1 --- initrd\n\
                label xen\ncom32 /boot/mboot.c32\nappend xen.gz dom0 --- //vmlinuz b=2 c --- initrd\n\
                label linux\nlinux odd.bin\ninitrd x\nfdt y.dtb\n";
    let config = one(&[("extlinux.conf", text)]);
    assert_eq!(titles(&config), ["two", "linux", "xen"]);
    let [two, linux, xen] = &config.entries[..] else { panic!() };
    assert_eq!((two.kernel.as_str(), two.arguments.as_str()), ("vmlinuz", "a=1"));
    assert_eq!((xen.kernel.as_str(), xen.arguments.as_str()), ("/vmlinuz", "b=2 c"));
    assert_eq!((xen.hypervisor.as_str(), &xen.initrds[..]), ("xen.gz", &["initrd".to_owned()][..]));
    assert_eq!(linux.kernel, "odd.bin");
}

#[test]
fn grub_s_conditions_ask_for_files() {
    let text = "if [ -f  ${config_directory}/custom.cfg ]; then source ${config_directory}/custom.cfg\n\
                elif [ -z \"${config_directory}\" -a -f  $prefix/custom.cfg ]; then source $prefix/custom.cfg; fi\n\
                if [ -z x -o ! -e /none ]; then menuentry own { linux k $words; initrd $files }; fi\nif [ ! -s custom.cfg ]; then menuentry no { linux no }; fi\n";
    let files = [
        ("boot/grub/grub.cfg", text),
        (
            "boot/grub/custom.cfg",
            "words='a b'\nfiles='i j'\nmenuentry custom { linux (hd0,1)//boot//k }\n",
        ),
    ];
    let config = one(&files);
    assert_eq!(titles(&config), ["custom", "own"]);
    assert_eq!(config.entries[0].kernel, "/boot/k");
    assert_eq!((config.entries[1].arguments.as_str(), config.entries[1].initrds.len()), ("a b", 2));
    assert_eq!(titles(&one(&files[..1])), ["own", "no"]);
}

#[test]
fn hidden_files_are_no_entries_and_exhausted_ones_come_last() {
    let config = one(&[
        ("loader/entries/.z-9.conf", "title z\nversion 9\nlinux /z\nsort-key a\n"),
        ("loader/entries/a+0-3.conf", "title bad\nversion 9\nlinux /a\n"),
        ("loader/entries/b+3-1.conf", "title counted\nversion 2\nlinux /b\n"),
        ("loader/entries/c.conf", "title c\nversion 1~rc1\nlinux /c\n"),
        ("loader/entries/c+x.conf", "title plus\nlinux /d\n"),
    ]);
    assert_eq!(titles(&config), ["plus", "c", "counted", "bad"]);
    assert_eq!(config.entries[2].id(), "b");
    assert_eq!(config.entries[0].id(), "c+x");
}

#[test]
fn a_variable_without_a_value_is_reported() {
    let entry = ("loader/entries/a.conf", "linux /k\noptions $kernelopts $tuned_params ro\n");
    let config = one(&[entry]);
    assert!(config.warnings[0].contains("$kernelopts, which is not set"), "{:?}", config.warnings);
    assert_eq!(config.warnings.len(), 1);
    let block = environment("kernelopts=root=/dev/x\n");
    let config = one(&[entry, ("EFI/rocky/grubenv", &block)]);
    assert_eq!((config.warnings.len(), &*config.entries[0].arguments), (0, "root=/dev/x ro"));
}

/// As EL8 on UEFI: grub.cfg and grubenv on the EFI system partition, entries and kernels on /boot.
#[test]
fn an_efi_partition_and_a_boot_partition_are_one_menu() {
    let (esp, boot) = (Temp::new(), Temp::new());
    let menu = b"load_env\ndefault=$saved_entry\nsearch --fs-uuid --set=root 1-2\nblscfg\n";
    esp.file("EFI/almalinux/grub.cfg", menu);
    let block = environment("saved_entry=m-1\nkernelopts=root=/dev/cl ro\n");
    esp.file("EFI/almalinux/grubenv", block.as_bytes());
    for version in ["1", "2"] {
        let text = format!(
            "title L {version}\nversion {version}\nlinux /k{version}\noptions $kernelopts\n"
        );
        boot.file(&format!("loader/entries/m-{version}.conf"), text.as_bytes());
    }
    let esp = Partition::new(1, &esp);
    let boot = Partition { uuid: "1-2", ..Partition::new(2, &boot) };
    for (own, other) in [(&esp, &boot), (&boot, &esp)] {
        let config = BootConfig::read_volume(own, &[other as &dyn FileTree]).remove(0);
        assert_eq!(titles(&config), ["L 1", "L 2"], "{:?}", config.path);
        assert_eq!(config.entries[0].kernel, "(hd0,gpt2)/k1", "{:?}", config.path);
        assert_eq!(config.entries[0].arguments, "root=/dev/cl ro");
    }
}

#[test]
fn unified_kernel_images_are_entries() {
    let temp = Temp::new();
    let image = unified::image(&[
        (".osrel", b"ID=arch\nPRETTY_NAME=\"Arch Linux\"\nVERSION_ID=3\n"),
        (".cmdline", b"root=/dev/sda2  rw\0"),
        (".linux", b"kernel"),
        (".initrd", b"initrd"),
    ]);
    temp.file("EFI/Linux/arch.efi", &image);
    temp.file("EFI/Linux/stub.efi", b"MZ");
    temp.file("loader/loader.conf", b"default arch*\n");
    let config = BootConfig::read_all(&temp.source()).remove(0);
    assert_eq!(titles(&config), ["Arch Linux", "stub.efi"]);
    let entry = &config.entries[0];
    assert_eq!((&*entry.kernel, &*entry.arguments), ("/EFI/Linux/arch.efi", "root=/dev/sda2 rw"));
    assert!(entry.is_unified && entry.is_default);
}

#[test]
fn a_damaged_unified_image_has_no_sections() {
    let whole = unified::image(&[(".linux", b"kernel")]);
    for len in 0..whole.len() {
        let temp = Temp::new();
        temp.file("a", &whole[..len]);
        let file = temp.source().open(&TreePath::new("a")).unwrap();
        let image = UnifiedImage::open(file).unwrap();
        assert_eq!(image.is_some(), len >= 64 + 24 + 24, "{len}");
    }
}

#[test]
fn hostile_configurations_end_soon() {
    let started = cpu_time();
    let line = "x".repeat(1 << 20);
    let repeated = |text: &str| text.repeat((1 << 15) / text.len());
    let big = format!("a={}\nlinux {}", "x".repeat(4000), "$a ".repeat(300_000));
    let hostile = [
        line.clone(),
        repeated("menuentry a { linux k }\n"),
        repeated("submenu a { "),
        repeated("for i in 1 2 3; do "),
        repeated("function f { f; "),
        repeated("if [ -f x ]; then\nfi\n"),
        format!("if [ {} a ]; then menuentry a {{ linux k }}; fi", "! ".repeat(20_000)),
        repeated("blscfg\n"),
        repeated("load_env\n"),
        repeated("source grub.cfg\n"),
        repeated("configfile x\n"),
        repeated("label a\nkernel k\n"),
        repeated("menu begin a\nlabel x\nlinux k\n"),
        repeated("include extlinux.conf\n"),
        repeated("title a\nkernel k\nmodule m\n"),
        repeated("image=a\nlabel=b\n"),
        format!("default {}\n{}", "9".repeat(100), repeated("fallback 1 2\n")),
        big.clone(),
        big.replace("linux", "menuentry a { linux"),
    ];
    for text in &hostile {
        for (name, limit) in [
            ("grub.cfg", "boot/grub/"),
            ("extlinux.conf", ""),
            ("menu.lst", "boot/grub/"),
            ("elilo.conf", ""),
        ] {
            let path = format!("{limit}{name}");
            for config in all(&[(&path, text), ("loader/entries/a.conf", &line)]) {
                assert!(config.entries.len() <= ENTRIES, "{path}: {:.40}", text);
            }
        }
    }
    let took = cpu_time() - started;
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn a_menu_that_is_cut_says_so() {
    for (path, entry) in [
        ("boot/grub/grub.cfg", "menuentry a { linux /k }\n"),
        ("syslinux.cfg", "label a\nlinux /k\n"),
        ("boot/grub/menu.lst", "title a\nkernel /k\n"),
        ("elilo.conf", "image=/k\n"),
    ] {
        let warned = |count: usize| {
            let warnings = one(&[(path, &entry.repeat(count))]).warnings;
            warnings.iter().filter(|it| it.contains("has 4096 entries or more")).count()
        };
        assert_eq!((warned(4095), warned(4097)), (0, 1), "{path}");
    }
}

/// Qubes' installer: its systems need a hypervisor, and its memory test does not.
#[test]
fn a_memory_test_is_not_booted_in_place_of_a_system() {
    let xen = "multiboot /xen.gz; module /vmlinuz quiet; module /initrd";
    let text = format!(
        "menuentry q {{ {xen} }}\nmenuentry m {{ linux16 /boot/memtest86+.bin }}\nmenuentry l {{ linux /k }}\n"
    );
    assert_eq!(titles(&one(&[("grub.cfg", &text)])), ["l", "q", "m"]);
    let chosen = format!("default=1\n{text}");
    assert_eq!(titles(&one(&[("efi/boot/grub.cfg", &chosen)])), ["m", "l", "q"]);
}

#[test]
fn entries_beyond_the_limit_are_reported() {
    let config = |count: usize| {
        let temp = Temp::new();
        for number in 0..count {
            temp.file(&format!("loader/entries/{number}.conf"), b"linux /k");
        }
        BootConfig::read_all(&temp.source()).remove(0)
    };
    assert_eq!(config(100).warnings, [""; 0]);
    let many = config(300);
    assert!(many.entries.len() > 200);
    assert!(many.warnings[0].contains("more than 256 files"), "{:?}", many.warnings);
}

/// A volume that notes which directories are listed and which files are opened. In the directory
/// `many` are as many names as are asked for.
#[derive(Debug, Default)]
struct Noting {
    files: Vec<(String, Vec<u8>)>,
    names: usize,
    asked: Mutex<Vec<String>>,
}

impl Noting {
    fn asked(&self, part: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|path| path.contains(part)).count()
    }

    fn read(&self) -> BootConfig {
        BootConfig::read_all(self).remove(0)
    }
}

impl FileTree for Noting {
    fn name(&self) -> &'static str {
        "noting"
    }

    fn list(&self, directory: &TreePath) -> Result<Vec<storage::Entry>, FileError> {
        let directory = directory.to_string();
        self.asked.lock().unwrap().push(directory.clone());
        let entry = |name: String| storage::Entry { name, is_directory: false };
        if directory.starts_with("many") {
            return Ok((0..self.names).map(|number| entry(number.to_string())).collect());
        }
        let inside = self.files.iter().filter_map(|(path, _)| {
            let name = path.strip_prefix(&format!("{directory}/"))?;
            (!name.contains('/')).then(|| entry(name.to_owned()))
        });
        Ok(inside.collect())
    }

    fn open(&self, path: &TreePath) -> Result<Box<dyn RandomAccess>, FileError> {
        let path = path.to_string();
        self.asked.lock().unwrap().push(path.clone());
        match self.files.iter().find(|(own, _)| *own == path) {
            Some((_, bytes)) => Ok(Box::new(Bytes { name: path, bytes: bytes.clone() })),
            None => Err(FileError::Missing(path)),
        }
    }
}

/// Each profile has a copy of the text of all add-ons.
#[test]
fn profiles_and_add_ons_count_as_bytes_of_the_configuration() {
    let mut sections: Vec<(&str, &[u8])> = vec![(".linux", b"kernel")];
    sections.extend([(".profile", &b"ID=p\n"[..]); 256]);
    let long = "$".repeat(60_000);
    let addon = unified::image(&[(".cmdline", long.as_bytes())]);
    let mut files = vec![("EFI/Linux/a.efi".to_owned(), unified::image(&sections))];
    files.extend((0..8).map(|n| (format!("loader/addons/{n}.addon.efi"), addon.clone())));
    let config = Noting { files, ..Noting::default() }.read();
    let bytes: usize = config.entries.iter().map(|entry| entry.arguments.len()).sum();
    assert!(bytes > 0 && bytes <= TOTAL, "{bytes}");
    let expected = ["a.efi was not read: the configuration has more than 4 MiB in all"];
    assert_eq!(config.warnings, expected);
}

#[test]
fn shared_add_ons_are_read_once() {
    let image = unified::image(&[(".linux", b"kernel"), (".osrel", b"NAME=x\n")]);
    let addon = unified::image(&[(".cmdline", b"quiet")]);
    let mut files = vec![("loader/addons/q.addon.efi".to_owned(), addon)];
    files.extend((0..4).map(|n| (format!("EFI/Linux/{n}.efi"), image.clone())));
    let volume = Noting { files, ..Noting::default() };
    let config = volume.read();
    let lines: Vec<_> = config.entries.iter().map(|entry| &*entry.arguments).collect();
    assert_eq!(lines, ["quiet"; 4]);
    assert_eq!(volume.asked("q.addon.efi"), 1);
}

/// The lines of a key together, as each can name the same long variable.
#[test]
fn the_variables_of_an_entry_s_lines_are_limited_together() {
    let long = environment(&format!("a={}\n", "x".repeat(40_000)));
    let text = format!("linux /k\n{0}{1}", "options $a\n".repeat(20), "initrd $a\n".repeat(20));
    let config = one(&[("loader/entries/a.conf", &text), ("grub2/grubenv", &long)]);
    let entry = &config.entries[0];
    assert_eq!((entry.arguments.len(), entry.initrds.len()), (40_000, 1));
}

/// systemd has at most 256 profiles (`UNIFIED_PROFILES_MAX`).
#[test]
fn a_profile_s_number_beyond_the_last_is_ignored() {
    let image = unified::image(&[(".linux", b"kernel"), (".cmdline", b"own")]);
    for (number, warnings) in
        [("255", 0), ("256", 1), ("18446744073709551615", 1), ("18446744073709551616", 1), ("x", 1)]
    {
        let text = format!("uki /a.efi\nprofile {number}\n");
        let files = [("loader/entries/a.conf", text.into_bytes()), ("a.efi", image.clone())];
        let files = files.map(|(path, bytes)| (path.to_owned(), bytes)).to_vec();
        let config = Noting { files, ..Noting::default() }.read();
        let profile = if warnings == 0 { 255 } else { 0 };
        let entry = &config.entries[0];
        assert_eq!((entry.profile, &*entry.arguments), (profile, "own"), "{number}");
        assert_eq!(config.warnings.len(), warnings, "{number}");
        let expected = "loader/entries/a.conf: expected a number below 256";
        assert!(config.warnings.iter().all(|warning| warning.contains(expected)), "{number}");
    }
}

#[test]
fn a_default_much_longer_than_any_name_is_ignored() {
    for (len, warnings) in [(1024, 0), (1025, 1)] {
        let conf = format!("default {}\n", "*".repeat(len));
        let entries =
            [("loader/entries/a.conf", "linux /a"), ("loader/entries/b.conf", "linux /b")];
        let config = one(&[&[("loader/loader.conf", &*conf)], &entries[..]].concat());
        assert_eq!((titles(&config), config.warnings.len()), (vec!["b", "a"], warnings), "{len}");
        let expected = "has 1025 bytes, expected at most 1024";
        assert!(config.warnings.iter().all(|warning| warning.contains(expected)), "{len}");
    }
}

#[test]
fn a_pattern_of_grub_s_looks_only_for_as_many_files_as_it_stands_for() {
    let volume = |pattern: &str| {
        let text = format!("insmod regexp\necho {pattern}\nmenuentry a {{ linux /k }}\n");
        let files = vec![("grub/grub.cfg".to_owned(), text.into_bytes())];
        Noting { files, names: 1 << 12, ..Noting::default() }
    };
    let two = volume("/many/*/*");
    assert_eq!(two.read().warnings, [""; 0]);
    assert_eq!(two.asked("many"), 2, "the first directory alone has enough");
    // What all these paths are made of counts.
    let warnings = volume(&format!("/many/*{}", "/x".repeat(2000))).read().warnings;
    assert_eq!(warnings, ["the configuration is too long: its end was not read"]);
}

/// As of two systems on one disk: each has a `/boot/grub/grub.cfg` and a `/vmlinuz`.
#[test]
fn a_search_says_which_volume_files_are_on() {
    let temps = [Temp::new(), Temp::new(), Temp::new()];
    let menus = [
        (
            "EFI/debian/grub.cfg",
            "COMMAND\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n",
        ),
        ("boot/grub/grub.cfg", "menuentry first { linux /vmlinuz }\n"),
        ("boot/grub/grub.cfg", "if [ -f /only ]; then menuentry second { linux /vmlinuz }; fi\n"),
    ];
    for (command, partition) in [
        ("search.fs_uuid 22-22 root hd0,gpt2", Some(3)),
        ("search --no-floppy --fs-uuid --set=root --hint-efi=hd0,gpt2 22-22", Some(3)),
        ("search --label --set SECOND", Some(3)),
        ("search -l -s root FIRST", Some(2)),
        ("search -f --set=root /only", Some(3)),
        ("search --fs-uuid --set=root 99-99", None),
        // The first one with such a file is taken, but for hints.
        ("search --file --set=root /vmlinuz", Some(2)),
        ("search --file --set=root --hint hd0,gpt3 /vmlinuz", Some(3)),
        ("search --file --set=root --hint-efi=hd0,gpt3 /vmlinuz", Some(3)),
        ("search --file --set=root --hint-bios=hd0,gpt3 /vmlinuz", Some(2)),
        ("search.file /vmlinuz root hd0,gpt3", Some(3)),
    ] {
        for (temp, (path, text)) in temps.iter().zip(menus) {
            temp.file(path, text.replace("COMMAND", command).as_bytes());
        }
        temps[2].file("only", b"x");
        temps[1].file("vmlinuz", b"x");
        temps[2].file("vmlinuz", b"x");
        let volumes = [
            Partition { label: "ESP", uuid: "AAAA", ..Partition::new(1, &temps[0]) },
            Partition { label: "FIRST", uuid: "11-11", ..Partition::new(2, &temps[1]) },
            Partition { label: "SECOND", uuid: "22-22", ..Partition::new(3, &temps[2]) },
        ];
        let others: Vec<&dyn FileTree> = vec![&volumes[2], &volumes[1]];
        let config = BootConfig::read_volume(&volumes[0], &others).remove(0);
        let Some(partition) = partition else {
            assert_eq!(config.entries, [], "{command}");
            continue;
        };
        let entry = &config.entries[0];
        assert_eq!(entry.kernel, format!("(hd0,gpt{partition})/vmlinuz"), "{command}");
        let title = if partition == 3 { "second" } else { "first" };
        assert_eq!(entry.title, title, "{command}");
    }
}

/// GRUB sorts by the files' names, whatever `sort-key` and `version` say, and skips a file without a
/// kernel.
#[test]
fn blscfg_sorts_by_name_and_takes_arguments() {
    let entry = |title: &str, key: &str| {
        format!("title {title}\nversion 1\nsort-key {key}\nlinux /k-{title}\noptions {title}\n")
    };
    let texts = [
        ("m-0-rescue", entry("rescue", "a")),
        ("m-6.8.9-300.fc40.x86_64", entry("old", "b")),
        ("m-6.8.10-300.fc40.x86_64", entry("new", "z")),
        ("m-6.8.10-300.fc40.x86_64+debug", entry("debug", "y")),
        ("m-6.8.10~rc1-300.fc40.x86_64", entry("rc", "x")),
        ("m-9-windows", "title w\nefi /EFI/w.efi\n".to_owned()),
        (".m-10-300", entry("hidden", "a")),
    ];
    let menu = |cfg: &str| {
        let paths: Vec<_> =
            texts.iter().map(|(name, _)| format!("loader/entries/{name}.conf")).collect();
        let mut files = vec![("grub2/grub.cfg", cfg)];
        files.extend(paths.iter().zip(&texts).map(|(path, (_, text))| (&**path, &**text)));
        let config = one(&files);
        assert_eq!(config.loader, Loader::Grub);
        let mut entries: Vec<_> = config.entries.iter().collect();
        entries.sort_by_key(|entry| entry.number);
        entries.iter().map(|entry| entry.title.clone()).collect::<Vec<_>>()
    };
    assert_eq!(menu("blscfg\n"), ["debug", "new", "rc", "old", "rescue"]);
    assert_eq!(menu("default=1\nblscfg default\n"), ["new"]);
    let split = "default=m-6.8.9-300.fc40.x86_64\nblscfg default\nmenuentry x { linux x }\nblscfg non-default\nblscfg";
    assert_eq!(menu(split), ["old", "x", "debug", "new", "rc", "rescue"]);
    assert_eq!(menu("blscfg m-0-rescue\n"), ["rescue"]);
    assert_eq!(menu("blscfg (hd0)/loader/entries\n").len(), 5);
    assert_eq!(menu("blsdir=/none\nblscfg\nmenuentry a { linux a }"), ["a"]);
}

/// GRUB makes commands of the entry and runs them, so that its quotes count.
#[test]
fn blscfg_s_entries_are_commands() {
    let entry = "linux /m/vmlinuz\ninitrd /m/initrd.img $tuned_initrd\ninitrd /m/more.img\n\
                 options root=live:LABEL=A\\x20B \"dyndbg=file x +p\" 'a b' $kernelopts\n";
    let cfg =
        "early_initrd='ucode.cpio other.img'\nkernelopts='ro  x=1'\ntuned_initrd=/t.img\nblscfg\n";
    let files = [("boot/grub2/grub.cfg", cfg), ("boot/loader/entries/a.conf", entry)];
    let config = one(&files);
    let entry = &config.entries[0];
    assert_eq!((&*entry.title, entry.id()), ("/m/vmlinuz", "a"));
    let expected = "root=live:LABEL=A\\x20B \"dyndbg=file x +p\" \"a b\" ro x=1";
    assert_eq!(entry.arguments, expected);
    let initrds = ["/m/ucode.cpio", "/m/other.img", "/m/initrd.img", "/t.img", "/m/more.img"];
    assert_eq!(entry.initrds, initrds);
    let cfg = "default_kernelopts='root=/dev/x ro'\nblscfg\n";
    let config = one(&[("grub2/grub.cfg", cfg), ("loader/entries/a.conf", "linux /k\n")]);
    assert_eq!(config.entries[0].arguments, "root=/dev/x ro");
}

#[test]
fn loader_conf_s_default_is_a_pattern_for_what_is_there() {
    let entry = |name: &str| format!("title {name}\nlinux /{name}\n");
    let (a, b, c) = (entry("a-1"), entry("b-2"), entry("B-1"));
    let entries = [
        ("loader/entries/a-1.conf", &*a),
        ("loader/entries/b-2+1-2.conf", &*b),
        ("loader/entries/B-1.conf", &*c),
        ("loader/entries/none.conf", "title none\n"),
    ];
    for (conf, first) in [
        ("default a-*\n", "a-1"),
        ("default A-1.CONF\n", "a-1"),
        ("default a-*\ntimeout 3\ndefault b-1.conf\n", "B-1"),
        ("#default a-*\ndefault\tb-2+1-2.conf\n", "b-2"),
        ("default b-2.conf\n", "b-2"),
        ("default @saved\n", "b-2"),
        ("default nothing\n", "b-2"),
    ] {
        let mut files = vec![("loader/loader.conf", conf)];
        files.extend(entries);
        let config = one(&files);
        assert_eq!((config.entries.len(), titles(&config)[0]), (3, first), "{conf}");
        assert!(config.is_first_default(), "{conf}");
    }
    let mut files = vec![("loader/loader.conf", "default b*\n")];
    files.extend(entries);
    assert_eq!(titles(&one(&files)), ["b-2", "B-1", "a-1"], "all that fit come first");
}

#[test]
fn the_profiles_of_a_unified_image_are_entries() {
    let image = unified::image(&[
        (".osrel", b"ID=x\nNAME=X\nVERSION=7\nVERSION_ID=6\n"),
        (".linux", b"kernel"),
        (".cmdline", b"base"),
        (".profile", b"ID=main\n"),
        (".profile", b"ID=rescue\nTITLE=\"Rescue me\"\n"),
        (".cmdline", b"rescue single"),
        (".profile", b"\n"),
        (".cmdline", b"third"),
    ]);
    let temp = Temp::new();
    temp.file("EFI/Linux/x+2.efi", &image);
    let addon = unified::image(&[(".cmdline", b"console=ttyS0")]);
    temp.file("EFI/Linux/x.efi.extra.d/serial.addon.efi", &addon);
    let everywhere = unified::image(&[(".cmdline", b"quiet")]);
    temp.file("loader/addons/quiet.addon.efi", &everywhere);
    let read = |conf: &str| {
        temp.file("loader/loader.conf", conf.as_bytes());
        BootConfig::read_all(&temp.source()).remove(0)
    };
    let config = read("");
    assert_eq!(titles(&config), ["X", "X (Rescue me)", "X (Profile #3)"]);
    let lines: Vec<_> = config.entries.iter().map(|entry| &*entry.arguments).collect();
    let added = "quiet console=ttyS0";
    let expected = ["base", "rescue single", "third"].map(|own| format!("{own} {added}"));
    assert_eq!(lines, expected);
    let profiles: Vec<_> = config.entries.iter().map(|entry| entry.profile).collect();
    assert_eq!(profiles, [0, 1, 2]);
    assert_eq!(titles(&read("default x*@rescue\n"))[0], "X (Rescue me)");
}

/// An entry of systemd-boot's or GRUB's that starts an image gets the image's own command line.
#[test]
fn a_unified_image_keeps_its_command_line_unless_there_is_another() {
    let image = unified::image(&[(".linux", b"kernel"), (".cmdline", b"own $line")]);
    for (path, text, expected) in [
        ("loader/entries/a.conf", "title a\nefi /EFI/x.efi\n", "own $line"),
        ("loader/entries/a.conf", "title a\nuki \\EFI\\x.efi\noptions other\n", "other"),
        ("boot/grub/grub.cfg", "menuentry a { chainloader /EFI/x.efi }\n", "own $line"),
        ("boot/grub/grub.cfg", "menuentry a { chainloader (hd0)/EFI/x.efi other }\n", "other"),
    ] {
        let temp = Temp::new();
        temp.file("EFI/x.efi", &image);
        temp.file(path, text.as_bytes());
        let config = BootConfig::read_all(&temp.source()).remove(0);
        let entry = &config.entries[0];
        assert!(entry.is_unified, "{text}");
        assert_eq!((&*entry.kernel, &*entry.arguments), ("/EFI/x.efi", expected), "{text}");
    }
    let windows = "menuentry w { chainloader /EFI/w.efi }\nmenuentry a { linux k }";
    let temp = Temp::new();
    temp.file("EFI/w.efi", b"MZ");
    temp.file("boot/grub/grub.cfg", windows.as_bytes());
    let config = BootConfig::read_all(&temp.source()).remove(0);
    assert_eq!((titles(&config), config.is_first_default()), (vec!["a"], false));
}
