use super::super::BootConfig;
use super::*;
use crate::testing::Temp;

fn read(files: &[(&str, &str)]) -> Vec<Entry> {
    let temp = Temp::new();
    for (path, text) in files {
        temp.file(path, text.as_bytes());
    }
    let mut all = BootConfig::read_all(&temp.source());
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0).entries
}

type Plain = (String, String, Vec<String>, String);

fn entry(title: &str, kernel: &str, initrds: &[&str], arguments: &str) -> Plain {
    let initrds = initrds.iter().copied().map(str::to_owned).collect();
    (title.into(), kernel.into(), initrds, arguments.into())
}

fn plain(entries: Vec<Entry>) -> Vec<Plain> {
    let of = |entry: Entry| (entry.title, entry.kernel, entry.initrds, entry.arguments);
    entries.into_iter().map(of).collect()
}

/// As in Debian's installer: menu.cfg includes txt.cfg and more; one has the default.
#[test]
fn included_menus_are_read_and_the_menu_s_default_is_first() {
    let entries = read(&[
        (
            "isolinux/isolinux.cfg",
            "# D-I config version 2.0\npath \ninclude menu.cfg\ndefault vesamenu.c32\nprompt 0\n",
        ),
        (
            "isolinux/menu.cfg",
            "menu hshift 7\ninclude txt.cfg\ninclude gtk.cfg\nlabel help\n\tmenu label ^Help\n\tconfig prompt.cfg\n",
        ),
        (
            "isolinux/txt.cfg",
            "label install\n\tmenu label ^Install\n\tkernel /install.amd/vmlinuz\n\tappend vga=788 initrd=/install.amd/initrd.gz --- quiet \n",
        ),
        (
            "isolinux/gtk.cfg",
            "label installgui\n\tmenu label ^Graphical install\n\tmenu default\n\tkernel /install.amd/vmlinuz\n\tappend vga=788 initrd=/install.amd/gtk/initrd.gz --- quiet\n",
        ),
    ]);
    let vmlinuz = "/install.amd/vmlinuz";
    let expected = [
        entry("Graphical install", vmlinuz, &["/install.amd/gtk/initrd.gz"], "vga=788 --- quiet"),
        entry("Install", vmlinuz, &["/install.amd/initrd.gz"], "vga=788 --- quiet"),
    ];
    assert_eq!(plain(entries), expected);
}

/// As in Debian's installer: a menu in the menu, with a default of its own and a title that is
/// no label's.
#[test]
fn a_menu_in_the_menu_has_its_own_title_and_default() {
    let entries = read(&[(
        "syslinux.cfg",
        "menu title Top\nlabel install\n\tmenu label ^Install\n\tkernel k\nmenu begin advanced\n\
         \tmenu label ^Advanced options\n\tmenu title Advanced options\n\tlabel mainmenu\n\t\tmenu label ^Back..\n\
         \t\tmenu exit\n\tlabel expert\n\t\tmenu default\n\t\tkernel e\nmenu end\nmenu label nobody's\n\
         label rescue\n\tkernel r\n",
    )]);
    let titles: Vec<_> = entries.iter().map(|entry| entry.title.as_str()).collect();
    assert_eq!(titles, ["Install", "Advanced options > expert", "rescue"]);
}

#[test]
fn what_boots_no_kernel_is_left_out_and_default_names_a_label() {
    let entries = read(&[(
        "syslinux.cfg",
        "DEFAULT Second\nAPPEND all=1\nLABEL menu\nKERNEL vesamenu.c32\nLABEL first\nLINUX a\nINITRD i,j\n\
         LABEL second\nKERNEL b\nAPPEND -\nLABEL third\nKERNEL c\nAPPEND x=1\nLABEL local\nLOCALBOOT 0\n",
    )]);
    let expected = [
        entry("second", "b", &[], ""),
        entry("first", "a", &["i", "j"], "all=1"),
        entry("third", "c", &[], "x=1"),
    ];
    assert_eq!(plain(entries), expected);
}

#[test]
fn a_file_that_includes_itself_is_read_only_so_often() {
    let entries = read(&[("extlinux.conf", "label a\nkernel k\ninclude extlinux.conf\n")]);
    assert_eq!((entries.len(), &entries[0].kernel[..]), (256, "k"));
}

#[test]
fn help_texts_are_skipped() {
    let entries = read(&[(
        "isolinux.cfg",
        "label a\nkernel k\ntext help\nlabel no\nkernel no\nappend wrong\nendtext\nappend x=1\n",
    )]);
    assert_eq!(plain(entries), [entry("a", "k", &[], "x=1")]);
}

#[test]
fn default_can_be_a_kernel_or_a_label_with_words() {
    let file = (
        "isolinux/isolinux.cfg",
        "DEFAULT vmlinuz initrd=initrd.img root=/dev/vda1 ro\nPROMPT 0\n",
    );
    let expected = entry("vmlinuz", "vmlinuz", &["initrd.img"], "root=/dev/vda1 ro");
    assert_eq!(plain(read(&[file])), [expected]);
    let label =
        ("isolinux.cfg", "default b single\nlabel a\nkernel a\nlabel b\nkernel k\nappend ro\n");
    assert_eq!(plain(read(&[label]))[0], entry("b", "k", &[], "ro single"));
}

#[test]
fn a_menu_that_times_out_boots_ontimeout() {
    let text =
        "ui menu.c32\ntimeout 50\ndefault a\nontimeout b\nlabel a\nkernel a\nlabel b\nkernel b\n";
    for (from, to, kernel) in [
        ("ui menu.c32", "ui menu.c32", "b"),
        ("ui menu.c32", "prompt 1", "b"),
        ("ui menu.c32", "prompt 0", "a"),
        ("timeout 50", "timeout 0", "a"),
    ] {
        let text = text.replace(from, to);
        assert_eq!(read(&[("syslinux.cfg", &text)])[0].kernel, kernel, "{text}");
    }
}

#[test]
fn two_colons_mean_the_server_s_root() {
    let text = "DEFAULT install\nLABEL install\n KERNEL ::boot/vmlinuz\n APPEND initrd=::boot/initrd x=1\n";
    let expected = entry("install", "/boot/vmlinuz", &["/boot/initrd"], "x=1");
    assert_eq!(plain(read(&[("pxelinux.cfg/default", text)])), [expected]);
}

#[test]
fn a_configuration_can_lead_to_another_with_its_directory() {
    let entries = read(&[
        (
            "syslinux.cfg",
            "default go\nlabel a\nkernel a\nlabel go\nmenu label Go\nconfig inner.cfg /live\n",
        ),
        ("live/inner.cfg", "default y\nlabel x\nkernel x\nlabel y\nkernel k\ninitrd /i\n"),
    ]);
    let expected = [
        entry("Go > y", "/live/k", &["/i"], ""),
        entry("a", "a", &[], ""),
        entry("Go > x", "/live/x", &[], ""),
    ];
    assert_eq!(plain(entries), expected);
    let circle = read(&[("syslinux.cfg", "label a\nconfig syslinux.cfg\nlabel b\nkernel k\n")]);
    assert_eq!(circle.iter().map(|entry| &*entry.title).collect::<Vec<_>>(), ["b"]);
    // As in Debian's installer: the help leads back to the menu, under another name.
    let files = [
        ("syslinux.cfg", "include menu.cfg\n"),
        ("menu.cfg", "label a\nkernel k\nlabel help\nconfig help.cfg\n"),
        ("help.cfg", "default a\ninclude menu.cfg\n"),
    ];
    let back = config(&files);
    assert_eq!(titles(&back), ["a", "help > a"]);
}

/// petitboot's test-syslinux-explicit has this shape.
#[test]
fn only_labels_boot_if_the_configuration_says_so() {
    let text = "DEFAULT boot\nKERNEL /k\nLABEL backup\nLINUX /b\n";
    for (implicit, expected) in
        [("IMPLICIT 0\n", &["backup"][..]), ("IMPLICIT 1\n", &["boot", "backup"])]
    {
        let entries = read(&[("syslinux.cfg", &format!("{text}{implicit}"))]);
        let titles: Vec<_> = entries.iter().map(|entry| &*entry.title).collect();
        assert_eq!(titles, expected);
    }
}

fn config(files: &[(&str, &str)]) -> BootConfig {
    let temp = Temp::new();
    for (path, text) in files {
        temp.file(path, text.as_bytes());
    }
    BootConfig::read_all(&temp.source()).remove(0)
}

fn titles(config: &BootConfig) -> Vec<&str> {
    config.entries.iter().map(|entry| &*entry.title).collect()
}

/// As on the live media of Ubuntu 12.10 to 17.10.
#[test]
fn a_kernel_may_be_an_efi_program() {
    let text = "default vesamenu.c32\nlabel live\n  menu label ^Try Ubuntu\n  kernel /casper/vmlinuz.efi\n\
                append file=/cdrom/preseed/ubuntu.seed boot=casper initrd=/casper/initrd.lz quiet splash ---\n";
    let arguments = "file=/cdrom/preseed/ubuntu.seed boot=casper quiet splash ---";
    let expected = entry("Try Ubuntu", "/casper/vmlinuz.efi", &["/casper/initrd.lz"], arguments);
    assert_eq!(plain(read(&[("isolinux/isolinux.cfg", text)])), [expected]);
}

#[test]
fn words_behind_a_kernel_come_before_append() {
    for key in ["kernel", "LINUX"] {
        let text = format!(
            "default a\nlabel a\n{key} ../vmlinuz root=/dev/sda1\nappend ro quiet\ninitrd ../a.img,../b.img\n"
        );
        let expected =
            entry("a", "../vmlinuz", &["../a.img", "../b.img"], "root=/dev/sda1 ro quiet");
        assert_eq!(plain(read(&[("boot/syslinux/syslinux.cfg", &text)])), [expected]);
    }
}

#[test]
fn a_label_is_one_word_and_names_its_kernel() {
    let text = "default vmlinuz\nappend all\nlabel vmlinuz the system\nlabel Vmlinuz\nkernel b\n";
    let expected = [entry("vmlinuz", "vmlinuz", &[], "all"), entry("Vmlinuz", "b", &[], "all")];
    assert_eq!(plain(read(&[("syslinux.cfg", text)])), expected);
}

#[test]
fn append_outside_labels_is_for_those_behind_it() {
    let text = "default a\nlabel a\nkernel k\nmenu begin x\nappend inner\nlabel b\nkernel k\nappend\n\
                label c\nkernel k\nmenu end\nappend outer\nlabel d\nkernel k\nlabel e\nkernel k\nappend -\n";
    let entries = read(&[("syslinux.cfg", text)]);
    let lines: Vec<_> = entries.iter().map(|e| (&*e.title, &*e.arguments)).collect();
    let expected = [("a", ""), ("x > b", ""), ("x > c", "inner"), ("d", "outer"), ("e", "")];
    assert_eq!(lines, expected);
}

#[test]
fn every_text_is_skipped() {
    let text = "label a\nkernel k\nTEXT\nlabel no\nkernel no\n  EndText\nlabel b\nkernel k\n";
    assert_eq!(titles(&config(&[("syslinux.cfg", text)])), ["a", "b"]);
}

/// `DEFAULT` has the effect of `MENU DEFAULT` and `MENU START` (doc/menu.txt).
#[test]
fn a_menu_has_one_default() {
    let labels = "label a\nkernel a\nlabel b\nmenu default\nkernel b\nmenu begin m\nlabel c\nkernel c\nlabel d\n\
                  menu default\nkernel d\nlabel e\nkernel e\nmenu end\nlabel h\nmenu hide\nkernel h\n";
    for (head, first) in [
        ("ui vesamenu.c32\n", "b"),
        ("ui gfxboot bootlogo\ndefault a\n", "a"),
        ("default menu.c32\n", "b"),
        ("ui menu.c32\ndefault e\n", "m > e"),
        ("ui menu.c32\ndefault h\n", "b"),
        ("default h\n", "h"),
        ("default c\n", "m > c"),
        ("default show\nlabel show\nmenu hide\ncom32 menu.c32\n", "b"),
    ] {
        let config = config(&[("syslinux.cfg", &format!("{head}{labels}"))]);
        assert_eq!(titles(&config)[0], first, "{head}");
        assert!(config.is_first_default() && config.warnings.is_empty(), "{head}: {config:?}");
    }
    let start = labels.replace("menu begin m", "menu begin m\nmenu start");
    let start = config(&[("syslinux.cfg", &format!("ui menu.c32\n{start}"))]);
    assert_eq!(titles(&start)[0], "m > d");
}

#[test]
fn a_menu_s_default_may_be_a_menu_or_behind_what_is_disabled() {
    for (text, first) in [
        ("label t\nmenu disable\nlabel a\nkernel a\nlabel b\nkernel b\n", "a"),
        ("menu separator\nlabel a\nkernel a\n", "a"),
        ("label a\nkernel a\nmenu begin m\nmenu default\nlabel b\nkernel b\nmenu end\n", "m > b"),
        (
            "label g\nmenu default\nmenu goto m\nlabel g2\nmenu goto m\nlabel a\nkernel a\nmenu begin m\n\
             menu title The ^menu\nlabel b\nkernel b\nmenu end\n",
            "a",
        ),
        (
            "label g\nmenu goto m\nlabel a\nkernel a\nmenu begin m\nmenu title The ^menu\nlabel b\nkernel b\nmenu end\n",
            "The menu > b",
        ),
    ] {
        let config = config(&[("syslinux.cfg", &format!("ui menu.c32\n{text}"))]);
        let expected =
            if text.contains("menu default\nmenu goto") { "The menu > b" } else { first };
        assert_eq!(titles(&config)[0], expected, "{text}");
    }
}

/// The boot from a disk that PXE servers have as their default is not replaced in silence.
#[test]
fn a_default_that_boots_no_kernel_is_not_first() {
    for text in [
        "default local\nlabel linux\nkernel k\nlabel local\nlocalboot 0\n",
        "ui menu.c32\nlabel linux\nkernel k\nlabel local\nmenu default\nlocalboot -1\n",
        "ontimeout local\ntimeout 9\nprompt 1\ndefault linux\nlabel linux\nkernel k\nlabel local\ncom32 chain.c32\n\
         append hd0\n",
    ] {
        let config = config(&[("pxelinux.cfg/default", text)]);
        assert_eq!((titles(&config), config.is_first_default()), (vec!["linux"], false), "{text}");
    }
}

#[test]
fn a_default_that_is_missing_is_reported() {
    for (text, warning) in [
        ("default Linux\nlabel other\nkernel o\nlabel linux\nkernel k\n", "differs in case"),
        ("implicit 0\ndefault none\nlabel linux\nkernel k\n", "no label 'none'"),
        ("label linux\nkernel k\nlabel other\nkernel o\n", "no DEFAULT"),
    ] {
        let config = config(&[("syslinux.cfg", text)]);
        assert_eq!(titles(&config)[0], "linux", "{text}");
        assert!(config.warnings[0].contains(warning), "{:?}", config.warnings);
    }
}

#[test]
fn onerror_is_booted_if_the_kernel_is_not_there() {
    let text = "default gone\nonerror rescue single\nlabel a\nkernel a\nlabel gone\nkernel g\nlabel rescue\nkernel r\n";
    let config = config(&[("syslinux.cfg", text)]);
    assert_eq!(titles(&config), ["gone", "rescue", "a"]);
    assert_eq!(config.entries[1].arguments, "single");
}

/// As on SystemRescue's and older media of Arch's.
#[test]
fn a_program_may_choose_the_label() {
    let labels = "label old\nlinux o\nlabel new\nlinux n\n";
    for (path, text) in [
        ("syslinux.cfg", "default pick\nlabel pick\ncom32 ifcpu64.c32\nappend new -- old\n"),
        ("syslinux.cfg", "default boot/ifcpu64.c32 new -- old -- old\n"),
        ("isolinux/isolinux.cfg", "default whichsys.c32 -pxe- old -sys- old -iso- new\n"),
        ("pxelinux.cfg/default", "default whichsys.c32 -pxe- new -sys- old -iso- old\n"),
    ] {
        assert_eq!(read(&[(path, &format!("{text}{labels}"))])[0].kernel, "n", "{text}");
    }
    let text = "default linux.c32 /boot/vmlinuz initrd=/i quiet\n";
    let linux = &read(&[("syslinux.cfg", text)])[0];
    assert_eq!((&*linux.kernel, &*linux.arguments), ("/boot/vmlinuz", "quiet"));
    assert_eq!(linux.initrds, ["/i"]);
}

/// As PXE servers have it: the menu of other files, which take this one's place.
#[test]
fn menu_programs_read_the_files_they_are_given() {
    let inner = ("pxelinux.cfg/menus/a", "label a\nkernel a\nlabel b\nmenu default\nkernel b\n");
    let expected = ["b", "x", "a"];
    for head in ["default menu.c32 menus/a\n", "ui vesamenu.c32 menus/none menus/a\n"] {
        let text = format!("{head}label x\nkernel x\n");
        let config = config(&[("pxelinux.cfg/default", &text), inner]);
        assert_eq!(titles(&config), expected, "{head}");
    }
    let text = "ui menu.c32\nlabel more\nmenu label More\nkernel menu.c32\nappend menus/a\nlabel x\nkernel x\n";
    let config = config(&[("pxelinux.cfg/default", text), inner]);
    assert_eq!(titles(&config), ["More > b", "More > a", "x"]);
}

#[test]
fn a_file_may_be_included_as_a_menu() {
    let config = config(&[
        ("syslinux.cfg", "default x\nmenu include inner.cfg The inner one\nlabel x\nkernel x\n"),
        ("inner.cfg", "label a\nkernel \\boot\\a\n"),
    ]);
    assert_eq!(titles(&config), ["x", "The inner one > a"]);
    assert_eq!(config.entries[1].kernel, "/boot/a");
}

/// Kernels with versions like 5.10.0 are no network boot programs, except for pxelinux.
#[test]
fn names_tell_the_types_of_files_apart() {
    for (name, path, boots) in [
        ("vmlinuz-5.10.0", "extlinux.conf", true),
        ("gpxe.0", "pxelinux.cfg/default", false),
        ("memtest.bin", "isolinux/isolinux.cfg", false),
        ("freedos.img", "isolinux/isolinux.cfg", false),
        ("dos.bss", "syslinux.cfg", false),
        ("reboot.c32", "syslinux.cfg", false),
    ] {
        let text = format!("default a\nlabel a\nkernel {name}\n");
        assert_eq!(read(&[(path, &text)]).len(), usize::from(boots), "{name}");
    }
}

/// As on the media of Arch's: each configuration leads to the next, in a directory of its own.
#[test]
fn configurations_may_be_chained_in_another_directory() {
    let config = config(&[
        (
            "isolinux/isolinux.cfg",
            "DEFAULT load\nLABEL load\n CONFIG /arch/boot/first.cfg\n APPEND /arch/\n",
        ),
        (
            "arch/boot/first.cfg",
            "DEFAULT select\nLABEL select\nCOM32 boot/whichsys.c32\nAPPEND -pxe- pxe -sys- sys -iso- sys\n\
             LABEL pxe\nCONFIG boot/none.cfg\nLABEL sys\nCONFIG boot/second.cfg\n",
        ),
        (
            "arch/boot/second.cfg",
            "INCLUDE boot/head.cfg\nDEFAULT arch64\nINCLUDE boot/labels.cfg\n",
        ),
        ("arch/boot/head.cfg", "UI boot/vesamenu.c32\n"),
        (
            "arch/boot/labels.cfg",
            "LABEL other\nLINUX boot/o\nLABEL arch64\nLINUX boot/vmlinuz\nINITRD boot/ucode.img,boot/i\nAPPEND x=1\n",
        ),
    ]);
    let entry = &config.entries[0];
    assert_eq!((&*entry.kernel, &*entry.arguments), ("/arch/boot/vmlinuz", "x=1"));
    assert_eq!(entry.initrds, ["/arch/boot/ucode.img", "/arch/boot/i"]);
    assert!(config.is_first_default());
}

#[test]
fn long_lines_end_as_in_syslinux() {
    let text = format!(
        "default a\nappend {}\n{}",
        "x".repeat(1 << 20),
        "label a\nkernel k\n".repeat(9000)
    );
    let config = config(&[("syslinux.cfg", &text)]);
    assert!(config.entries.iter().all(|entry| entry.arguments.len() < 4096));
    assert!(config.warnings[0].contains("4095 bytes"), "{:?}", config.warnings);
}
