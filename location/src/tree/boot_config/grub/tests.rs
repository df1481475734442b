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
    assert_eq!(entries[0].arguments, "root=UUID=1 ro quote=a b");
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
