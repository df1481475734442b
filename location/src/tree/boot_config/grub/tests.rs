mod rules;

use super::super::BootConfig;
use super::*;
use crate::testing::Temp;

fn read(files: &[(&str, &str)]) -> Vec<Entry> {
    let temp = Temp::new();
    for (path, text) in files {
        temp.file(path, text.as_bytes());
    }
    let mut all = BootConfig::read_all(&temp.source());
    assert!(!all.is_empty());
    all.remove(0).entries
}

fn one(text: &str) -> Vec<Entry> {
    read(&[("boot/grub/grub.cfg", text)])
}

fn titles(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.title.as_str()).collect()
}

/// The shape of Debian's installer's: hotkeys before the title, a submenu, conditions about fonts.
const INSTALLER: &str = "\
if loadfont $prefix/font.pf2 ; then
  set gfxmode=800x600
  insmod efi_gop
fi
set menu_color_normal=cyan/blue
insmod play
play 960 440 1 0 4 440 1
menuentry --hotkey=g 'Graphical install' {
    set background_color=black
    linux    /install.amd/vmlinuz vga=788 --- quiet
    initrd   /install.amd/gtk/initrd.gz
}
menuentry --hotkey=i 'Install' {
    linux    /install.amd/vmlinuz vga=788 --- quiet
    initrd   /install.amd/initrd.gz
}
submenu --hotkey=a 'Advanced options ...' {
    set menu_color_normal=cyan/blue
    menuentry --hotkey=x '... Expert install' {
        linux    /install.amd/vmlinuz priority=low vga=788 ---
        initrd   /install.amd/initrd.gz
    }
}
";

#[test]
fn hotkeys_and_submenus_are_read() {
    let entries = one(INSTALLER);
    let expected = ["Graphical install", "Install", "Advanced options ... > ... Expert install"];
    assert_eq!(titles(&entries), expected);
    assert_eq!(entries[1].kernel, "/install.amd/vmlinuz");
    assert_eq!(entries[1].initrds, ["/install.amd/initrd.gz"]);
    assert_eq!(entries[2].arguments, "priority=low vga=788 ---");
}

#[test]
fn the_default_is_a_number_a_title_or_an_id() {
    for (default, title) in [
        ("0", "Graphical install"),
        ("1", "Install"),
        ("Install", "Install"),
        ("2>0", "Advanced options ... > ... Expert install"),
        ("Advanced options ...>... Expert install", "Advanced options ... > ... Expert install"),
        ("2", "Advanced options ... > ... Expert install"),
        ("saved", "Graphical install"),
        ("9", "Graphical install"),
    ] {
        let entries = one(&format!("set default='{default}'\n{INSTALLER}"));
        assert_eq!((titles(&entries)[0], entries.len()), (title, 3), "{default}");
    }
    for (default, title) in [
        ("0x1", "Install"),
        ("01", "Install"),
        ("1 2", "Install"),
        ("1st", "Graphical install"),
        ("3d7a-6.8", "Graphical install"),
    ] {
        let entries = one(&format!("set default='{default}'\n{INSTALLER}"));
        assert_eq!(titles(&entries)[0], title, "{default}");
    }
    let with_id = "default=second\nmenuentry a --id first { linux k }\nmenuentry b --id=second {\nlinux l\n}\n";
    assert_eq!(titles(&one(with_id)), ["b", "a"]);
}

/// The shape of what grub-mkconfig writes.
#[test]
fn variables_and_conditions_are_followed() {
    let text = "\
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ \"${next_entry}\" ] ; then
   set default=\"${next_entry}\"
   set boot_once=true
else
   set default=\"0\"
fi
if [ x\"${feature_menuentry_id}\" = xy ]; then
  menuentry_id_option=\"--id\"
else
  menuentry_id_option=\"\"
fi
function gfxmode {
	set gfxpayload=\"${1}\"
	menuentry no { linux no }
}
set linux_gfx_mode=
menuentry 'Debian GNU/Linux' --class debian --class gnu-linux $menuentry_id_option 'gnulinux-simple-1' {
	gfxmode $linux_gfx_mode
	if [ x$grub_platform = xxen ]; then insmod xzio; linux wrong; else insmod part_msdos; fi
	set root='hd0,msdos1'
	if [ x$feature_of_tomorrow = xy ]; then
	  search --no-floppy --fs-uuid --set=root 1
	elif [ x$grub_platform = xpc ]; then
	  set where=boot
	else
	  set where=nowhere
	fi
	echo	'Loading Linux # not a comment ...'
	linux	($root)/$where/vmlinuz-6.1.0-9 root=UUID=1 ro \\
	  \"quote=a b\"
	initrd	(hd0,gpt2)/boot/ucode.img /${where}/initrd.img
}
";
    let entries = one(text);
    assert_eq!(titles(&entries), ["Debian GNU/Linux"]);
    assert_eq!(entries[0].kernel, "/boot/vmlinuz-6.1.0-9");
    assert_eq!(entries[0].initrds, ["/boot/ucode.img", "/boot/initrd.img"]);
    assert_eq!(entries[0].arguments, "root=UUID=1 ro \"quote=a b\"");
}

#[test]
fn included_files_are_read_and_what_goes_in_circles_ends() {
    let entries = read(&[
        ("boot/grub/grub.cfg", "source $prefix/more.cfg\nconfigfile /boot/grub/grub.cfg\n"),
        ("boot/grub/more.cfg", "menuentry more { linux k; initrd i; }"),
    ]);
    assert_eq!((entries[0].title.as_str(), entries[0].kernel.as_str()), ("more", "k"));
    assert!(entries.len() <= 64, "{}", entries.len());
}

#[test]
fn broken_text_ends_nowhere_bad() {
    for text in [
        "}",
        "fi fi else done",
        "menuentry",
        "menuentry x {",
        "if",
        "if [",
        "\"",
        "'",
        "${",
        "$",
        "\\",
        "linux k",
        "set",
        "submenu { submenu {",
        "if a; then ",
    ] {
        assert_eq!(one(text), [], "{text:?}");
    }
    assert_eq!(one(&"submenu a {\n".repeat(50_000)), []);
    assert_eq!(one(&"if [ a ]; then\n".repeat(50_000)), []);
    let doubling = format!("a=xxxxxxxx\n{}", "a=$a$a\n".repeat(60));
    assert_eq!(one(&doubling), []);
}

/// A variable that a function sets is expanded by the entry that calls it (Ubuntu's `gfxmode`).
#[test]
fn functions_get_arguments_and_set_variables() {
    let text = "\
function gfxmode {
\tset gfxpayload=\"${1}\"
\tif [ \"${1}\" = \"keep\" ]; then
\t\tset handoff=vt.handoff=$#
\telse
\t\tset handoff=
\tfi
}
menuentry a { gfxmode keep x; linux k $handoff }
menuentry b { gfxmode text; linux k ro $handoff }
";
    let entries = one(text);
    assert_eq!(entries[0].arguments, "vt.handoff=2");
    assert_eq!(entries[1].arguments, "ro");
}

#[test]
fn entries_have_arguments_of_their_own() {
    let entries = one("menuentry Linux --class x vmlinuz 'a b' { linux /boot/$2 $# \"$3\" $@ }");
    assert_eq!(entries[0].kernel, "/boot/vmlinuz");
    assert_eq!(entries[0].arguments, "3 \"a b\" Linux vmlinuz a b");
}

#[test]
fn loops_conditions_and_negation_run() {
    let text = "\
for n in 1 2 3; do
  if [ $n = 2 ]; then continue; fi
  words=\"$words n=$n\"
done
while [ x$count != xaaa ]; do count=a$count; done
until test -n \"$done\"; do done=yes; break; done
if ! false; then words=\"$words not\"; fi
if search --file --set=dev /boot/grub/grub.cfg; then words=\"$words $dev\"; fi
if search --file /missing; then words=wrong; fi
if regexp --set=1:major --set 2:minor '^([0-9]+)[.]([0-9]+)' 6.12-rc1; then words=\"$words $major/$minor\"; fi
unset gone
menuentry a { linux k $words $count $done $gone }
";
    let entries = one(text);
    let expected = "n=1 n=3 not hd0 6/12 aaa yes";
    assert_eq!(entries[0].arguments, expected);
}

/// As in GRUB, an entry's commands run when it is chosen, so after the whole configuration.
#[test]
fn entries_see_the_variables_at_the_end_and_submenus_only_exported_ones() {
    let text = "\
x=1; y=1; export y
menuentry a { linux k $x $y }
submenu s { menuentry b { linux k $x $y }; menuentry c { linux l }; default=1 }
x=2
default=s
";
    let entries = one(text);
    let lines: Vec<_> = entries.iter().map(|e| (&*e.title, &*e.arguments)).collect();
    assert_eq!(lines, [("s > c", ""), ("a", "2 1"), ("s > b", "1")]);
}

#[test]
fn commands_outside_entries_boot() {
    let entries =
        one("set root=hd0,1\nlinux /k root=/dev/sda1 ro\ninitrd /i\nboot\nmenuentry a { linux k }");
    assert_eq!(
        (entries[0].kernel.as_str(), entries[0].arguments.as_str()),
        ("/k", "root=/dev/sda1 ro")
    );
    assert_eq!((&entries[0].initrds[..], entries[0].is_default), (&["/i".to_owned()][..], true));
}

#[test]
fn fallback_follows_the_default() {
    let entry = |name: &str| format!("menuentry {name} {{ linux {name} }}\n");
    let text = format!("default=1\nfallback='3 0'\n{}", ["a", "b", "c", "d"].map(entry).concat());
    assert_eq!(titles(&one(&text)), ["b", "d", "a", "c"]);
    let names = ["a", "b", "'c d'", "e"].map(entry).concat();
    for (fallback, expected) in [
        ("0x3 0", ["b", "e", "a", "c d"]),
        ("c d", ["b", "c d", "a", "e"]),
        ("3 c d", ["b", "e", "c d", "a"]),
        ("e a", ["b", "e", "a", "c d"]),
        ("9 no e", ["b", "e", "a", "c d"]),
    ] {
        let entries = one(&format!("default=1\nfallback='{fallback}'\n{names}"));
        assert_eq!(titles(&entries), expected, "{fallback}");
    }
    // No more than 64 words are looked up.
    for (count, expected) in [(63, ["b", "e", "a", "c d"]), (64, ["b", "a", "c d", "e"])] {
        let words = "> ".repeat(count);
        let entries = one(&format!("default=1\nfallback='{words} 3'\n{names}"));
        assert_eq!(titles(&entries), expected, "{count}");
    }
}

#[test]
fn hidden_entries_come_last() {
    let entries = one("hiddenentry h { linux h }\nmenuentry a { linux a }");
    assert_eq!(titles(&entries), ["a", "h"]);
}

#[test]
fn a_syntax_error_costs_one_statement_and_is_reported() {
    for text in [
        "}\nmenuentry a { linux k }",
        "menuentry bad { linux no } }\nmenuentry a { linux k }",
        "true && false\nmenuentry a { linux k }",
        "menuentry empty { }\nmenuentry a { linux k }",
    ] {
        let temp = Temp::new();
        temp.file("boot/grub/grub.cfg", text.as_bytes());
        let config = BootConfig::read_all(&temp.source()).remove(0);
        assert_eq!(titles(&config.entries).last(), Some(&"a"), "{text}");
        assert!(config.warnings[0].contains("syntax error in line 1"), "{:?}", config.warnings);
    }
}

#[test]
fn endless_scripts_stop_with_a_warning() {
    for text in [
        "while true; do true; done",
        "function f { f; f; }\nf",
        "a=x; while true; do a=$a$a; done",
        "while true; do menuentry a { linux k }; done",
    ] {
        let temp = Temp::new();
        temp.file("boot/grub/grub.cfg", text.as_bytes());
        let config = BootConfig::read_all(&temp.source()).remove(0);
        assert!(!config.warnings.is_empty(), "{text}");
    }
}

#[test]
fn patterns_stand_for_files() {
    let entries = read(&[
        (
            "boot/grub/grub.cfg",
            // In GRUB's grub-core/commands/wildcard.c, a bracket is no pattern.
            "insmod regexp\nfor f in (hd0)/conf.d/*.cfg; do source $f; done\nfor f in /none/* /conf.d/[12].cfg /conf.d/[*; do menuentry $f { linux k }; done",
        ),
        ("conf.d/1.cfg", "menuentry one { linux 1 }"),
        ("conf.d/2.cfg", "menuentry two { linux 2 }"),
        ("conf.d/3.txt", "menuentry three { linux 3 }"),
        ("conf.d/[x", ""),
    ]);
    assert_eq!(titles(&entries), ["one", "two", "/none/*", "/conf.d/[12].cfg", "/conf.d/[x"]);
}

#[test]
fn what_cannot_be_answered_is_reported() {
    let temp = Temp::new();
    let text = "probe --set=uuid --fs-uuid $root\nloopback loop /x.iso\nif [ -f (loop)/k ]; then true; fi\n\
                menuentry a { linux (loop)/k root=$uuid }";
    temp.file("boot/grub/grub.cfg", text.as_bytes());
    temp.file("x.iso", b"iso");
    let config = BootConfig::read_all(&temp.source()).remove(0);
    assert!(config.warnings[0].starts_with("$uuid stays empty"), "{:?}", config.warnings);
    let unread = "the image /x.iso was not read: ";
    assert!(config.warnings[1].starts_with(unread), "{:?}", config.warnings);
    assert_eq!(config.entries[0].kernel, "(/x.iso)/k");
}

/// As the media of CentOS 7 write their label: the GRUB of Fedora and RHEL keeps `\xHH`.
#[test]
fn hexadecimal_escapes_stay_with_and_without_quotes() {
    let text = r#"menuentry a { linux /k root=live:LABEL=Some\x20Disk "b=\x20" c\d \x2 \xzz }"#;
    assert_eq!(one(text)[0].arguments, r"root=live:LABEL=Some\x20Disk b=\x20 cd x2 xzz");
}

#[test]
fn own_commands_come_before_functions_and_functions_before_assignments() {
    let text = "function echo { set a=bad; }\nfunction b { set d=e; }\nset a=good\necho x\nb=c\nb\n\
                menuentry a { linux /k $a $b $d }\n";
    assert_eq!(one(text)[0].arguments, "good c e");
}

/// As in GRUB's own tests (its tests/grub_script_return.in, grub_script_shift.in, grub_cmd_tr.in).
#[test]
fn return_shift_and_tr_work_as_in_grub() {
    let text = "\
function keeps { false; return; true; }
if keeps; then words=wrong; fi
function sets { false; return 0; }
if sets; then words=\"$words returned\"; fi
function shifts { shift 3; words=\"$words $?/$#\"; shift 2; words=\"$words $?/$1\"; }
shifts a b
shifts a b c d
tr -s x 1234 abcd a1b2c3d4e5
v=xYz
tr --set=v -U
tr -s w -D FOO
if tr -s w 12 123 x; then words=wrong; fi
if tr -s unset -U; then words=wrong; fi
menuentry a { linux k $words $x $v $w }
";
    assert_eq!(one(text)[0].arguments, "returned 1/2 0/ 0/1 1/d aabbccdde5 XYZ foo");
}

#[test]
fn tr_is_fast_with_long_sets() {
    let set: String = ('\u{100}'..'\u{1600}').collect();
    let line = format!("tr -s x {set} {set} {}\n", "y".repeat(50_000));
    let started = std::time::Instant::now();
    assert_eq!(one(&format!("{}menuentry a {{ linux k $x }}", line.repeat(20)))[0].title, "a");
    assert!(started.elapsed().as_secs() < 30);
}

/// Without it the kernel of RHEL 8 has no root device.
#[test]
fn an_undefined_kernelopts_is_reported() {
    let entry =
        "if [ -z \"${kernelopts}\" ]; then true; fi\nmenuentry a { linux k ro $kernelopts }\n";
    for (text, is_reported) in [
        (entry.to_owned(), true),
        (format!("kernelopts=root=/dev/x\n{entry}"), false),
        (entry.replace("ro $kernelopts", "ro $vt_handoff"), false),
    ] {
        let temp = Temp::new();
        temp.file("boot/grub/grub.cfg", text.as_bytes());
        let config = BootConfig::read_all(&temp.source()).remove(0);
        let found = config.warnings.iter().any(|warning| warning.contains("$kernelopts"));
        assert_eq!(found, is_reported, "{text}: {:?}", config.warnings);
    }
}

/// As in bash: what takes no branch succeeds.
#[test]
fn an_if_without_a_branch_and_a_loop_without_a_round_succeed() {
    let text = "\
function checks { if [ a = b ]; then true; fi; }
if checks; then w=\"$w if\"; fi
function loops { false; for x in $none; do false; done; }
if loops; then w=\"$w for\"; fi
menuentry a { linux k $w }
";
    assert_eq!(one(text)[0].arguments, "if for");
}

#[test]
fn carriage_returns_are_dropped_and_only_spaces_and_tabs_separate() {
    let text = "menuentry 'a' {\r\n  linux /k x=\u{a0}y \\\r\n    'b\r\nc'\r\n}\r\n";
    let entries = one(text);
    assert_eq!(entries[0].arguments, "x=\u{a0}y b\nc");
}

#[test]
fn a_variable_can_be_exported_before_it_is_set() {
    let text = "export x\nx=1\nsubmenu s { menuentry a { linux k $x } }";
    assert_eq!(one(text)[0].arguments, "1");
}

#[test]
fn a_search_needs_a_kind_and_takes_a_name_from_set() {
    let text = "\
if search --set=dev /boot/grub/grub.cfg; then w=wrong; fi
if search --file --set=/boot/grub/grub.cfg; then w=\"$w set\"; fi
if search --label --no-floppy --hint=hd0 LABEL; then w=wrong; fi
if search --fs-uuid --set=root --hint $root 1-2; then w=\"$w uuid\"; fi
menuentry a { linux k $w }
";
    assert_eq!(one(text)[0].arguments, "set uuid");
}

/// A configuration on an EFI partition leads to the one on the disk (Debian, Ubuntu).
#[test]
fn a_configuration_knows_its_directory_and_prefix() {
    let inner = "if [ -f ${config_directory}/custom.cfg ]; then source ${config_directory}/custom.cfg; fi\n\
                 d=$config_directory\nmenuentry a { linux k $d $grub_platform }\n";
    for outer in [
        "search.fs_uuid 1 root hd0,gpt2\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n",
        "prefix=/boot/grub\nexport prefix\nnormal\n",
    ] {
        let files = [
            ("EFI/debian/grub.cfg", outer),
            ("boot/grub/custom.cfg", "menuentry c { linux c }"),
            ("boot/x/grub.cfg", inner),
            ("boot/grub/grub.cfg", inner),
        ];
        let temp = Temp::new();
        for (path, text) in files {
            temp.file(path, text.as_bytes());
        }
        let all = BootConfig::read_all(&temp.source());
        let esp = all.iter().find(|config| config.path.to_string() == "EFI/debian/grub.cfg");
        let esp = esp.unwrap();
        assert_eq!(titles(&esp.entries), ["c", "a"], "{outer}");
        let directory = esp.entries[1].arguments.trim_start_matches("(hd0)");
        assert_eq!(directory, "/boot/grub efi", "{outer}");
        assert_eq!(all[0].entries[1].arguments, "(hd0)/boot/grub pc");
    }
}

#[test]
fn a_nested_configuration_has_a_default_of_its_own() {
    let inner = "default=1\nmenuentry x { linux x }\nmenuentry y { linux y }";
    let files = [
        (
            "boot/grub/grub.cfg",
            "default=0\nmenuentry more { configfile /inner.cfg }\nmenuentry a { linux a }",
        ),
        ("inner.cfg", inner),
    ];
    assert_eq!(titles(&read(&files))[0], "more > y");
}

#[test]
fn leaving_grub_before_its_menu_is_reported() {
    for command in ["exit", "reboot", "halt"] {
        let temp = Temp::new();
        let text =
            format!("menuentry a {{ linux k }}\nif [ -e /none ]; then true; else {command}; fi");
        temp.file("boot/grub/grub.cfg", text.as_bytes());
        let config = BootConfig::read_all(&temp.source()).remove(0);
        assert_eq!(titles(&config.entries), ["a"]);
        assert!(config.warnings[0].contains(command), "{:?}", config.warnings);
    }
    let entry = "menuentry leave { exit }\nmenuentry a { linux k }";
    let temp = Temp::new();
    temp.file("boot/grub/grub.cfg", entry.as_bytes());
    assert_eq!(BootConfig::read_all(&temp.source()).remove(0).warnings, [""; 0]);
}

/// Fedora's 08_fallback_counting.
#[test]
fn boot_counters_count() {
    for (counter, first) in [("2", "a 1"), ("0", "b -1"), ("", "a")] {
        let text = format!(
            "boot_counter={counter}\nboot_success=0\n\
             if [ -n \"${{boot_counter}}\" -a \"${{boot_success}}\" = \"0\" ]; then\n\
             \x20 if  [ \"${{boot_counter}}\" = \"0\" -o \"${{boot_counter}}\" = \"-1\" ]; then\n\
             \x20   set default=1\n    set boot_counter=-1\n  else\n    decrement boot_counter\n  fi\n\
             \x20 save_env boot_counter\nfi\n\
             menuentry a {{ linux k a $boot_counter }}\nmenuentry b {{ linux k b $boot_counter }}\n"
        );
        assert_eq!(one(&text)[0].arguments, first);
    }
}

#[test]
fn patterns_may_be_in_every_name_of_a_path() {
    let entries = read(&[
        (
            "boot/grub/grub.cfg",
            "insmod regexp\nfor f in (hd0)/os/*/boot/vmlinu?; do menuentry $f { linux $f }; done",
        ),
        ("os/a/boot/vmlinuz", ""),
        ("os/b/boot/vmlinux", ""),
        ("os/c/README", ""),
    ]);
    assert_eq!(titles(&entries), ["(hd0)/os/a/boot/vmlinuz", "(hd0)/os/b/boot/vmlinux"]);
    let named = read(&[
        (
            "boot/grub/grub.cfg",
            "insmod regexp\nfor f in /os/*/vmlinuz; do menuentry $f { linux k }; done",
        ),
        ("os/a/vmlinuz", ""),
        ("os/b/none", ""),
    ]);
    assert_eq!(titles(&named), ["/os/a/vmlinuz"]);
}

/// As on media that boot by syslinux and GRUB.
#[test]
fn other_loaders_menus_are_read() {
    let isolinux = (
        "isolinux/menu.cfg",
        "default b\nlabel a\nkernel a\nlabel b\nkernel vmlinuz\nappend initrd=/i quiet\n",
    );
    let legacy = (
        "boot/menu.lst",
        "default 1\ntitle a\nkernel /a\ntitle b\nkernel /isolinux/vmlinuz quiet\n",
    );
    for (command, file) in [
        ("syslinux_configfile -r / -i /isolinux/menu.cfg", isolinux),
        ("legacy_configfile /boot/menu.lst", legacy),
    ] {
        let entries = read(&[("boot/grub/grub.cfg", command), file]);
        assert_eq!((titles(&entries), &*entries[0].kernel), (vec!["b", "a"], "/isolinux/vmlinuz"));
        assert_eq!(entries[0].arguments, "quiet");
        let text = format!("menuentry more {{ {command} }}");
        let nested = read(&[("boot/grub/grub.cfg", &text), file]);
        assert_eq!(titles(&nested), ["more > b", "more > a"]);
    }
    let text = "menuentry own { linux o }\nsyslinux_source /isolinux/menu.cfg";
    assert_eq!(titles(&read(&[("boot/grub/grub.cfg", text), isolinux])), ["own", "a", "b"]);
}

/// Flatcar's kernel depends on its partitions' priorities.
#[test]
fn what_gptprio_would_set_is_reported() {
    let temp = Temp::new();
    let text =
        "menuentry a { gptprio.next -d usr -u usr_uuid; linux k mount.usr=PARTUUID=$usr_uuid }";
    temp.file("boot/grub/grub.cfg", text.as_bytes());
    let config = BootConfig::read_all(&temp.source()).remove(0);
    assert!(config.warnings[0].starts_with("$usr_uuid stays empty"), "{:?}", config.warnings);
}
