//! One rule of GRUB's shell after the other. Each script puts what it finds into `$w`.

use super::*;

/// `$w` after a script, in a kernel's command line.
fn run(script: &str) -> String {
    run_with(script, &[])
}

fn run_with(script: &str, files: &[(&str, &str)]) -> String {
    let text = format!("{script}\nmenuentry a {{ linux /k $w }}\n");
    let files: Vec<_> =
        std::iter::once(("boot/grub/grub.cfg", text.as_str())).chain(files.to_vec()).collect();
    let entries = read(&files);
    assert_eq!(titles(&entries), ["a"], "{script}");
    entries[0].arguments.clone()
}

/// GRUB's manual, "break" and "continue": both take the number of loops.
#[test]
fn break_and_continue_leave_as_many_loops_as_they_are_told() {
    let nested = |command: &str| {
        format!(
            "for a in 1 2; do for b in x y; do w=\"$w $a$b\"; {command}; w=\"$w!\"; done; w=\"$w.\"; done"
        )
    };
    for (command, expected) in [
        ("true", "1x! 1y!. 2x! 2y!."),
        ("break", "1x. 2x."),
        ("break 1", "1x. 2x."),
        ("break 2", "1x"),
        ("continue", "1x 1y. 2x 2y."),
        ("continue 1", "1x 1y. 2x 2y."),
        ("continue 2", "1x 2x"),
        ("break 9", "1x"),
        ("continue 9", "1x 2x"),
        ("break 0", "1x! 1y!. 2x! 2y!."),
        ("break x", "1x! 1y!. 2x! 2y!."),
    ] {
        assert_eq!(run(&nested(command)), expected, "{command}");
    }
    let three = "for a in 1 2; do for b in 1 2; do for c in 1 2; do w=\"$w $a$b$c\"; break 2; done; done; done";
    assert_eq!(run(three), "111 211");
}

/// `active_loops` of grub-core/script/execute.c: a function has none of its caller's loops.
#[test]
fn break_concerns_the_loops_of_its_function_only() {
    assert_eq!(run("w=a; break; w=\"$w b\"; continue 2; w=\"$w c\""), "a b c");
    assert_eq!(
        run("function f { break; w=\"$w f\"; }; for a in 1 2; do f; w=\"$w$a\"; done"),
        " f1 f2".trim()
    );
    assert_eq!(run("for a in 1 2; do while break; do w=no; done; w=\"$w$a\"; done"), "12");
}

/// grub-core/script/execute.c: only the first `!` is one. What is neither a command nor a function
/// returns 0, also behind a `!`; `grub_script_execute_cmd` makes that `$?`.
#[test]
fn what_is_no_command_counts_as_true() {
    for (command, expected) in [
        ("true", "yes"),
        ("! true", "no"),
        ("! false", "yes"),
        ("! ! true", "yes"),
        ("! ! false", "yes"),
        ("!", "no"),
        ("absent", "yes"),
        ("! absent", "yes"),
        ("false; x=1", "yes"),
        ("! x=1", "yes"),
        ("eval absent", "yes"),
        ("function f { false; x=1; }; f", "yes"),
        ("function f { false; x=1; }; ! f", "no"),
        ("date", "yes"),
        ("! date", "no"),
        ("source /absent", "yes"),
        ("configfile /absent", "yes"),
        ("source", "no"),
    ] {
        let script = format!("if {command}; then w=yes; else w=no; fi");
        assert_eq!(run(&script), expected, "{command}");
    }
    assert_eq!(run("! true; w=$?"), "1");
    assert_eq!(run("true; absent; w=$?"), "0");
    assert_eq!(run("false; absent; w=$?"), "0");
    assert_eq!(run("false; x=1; w=$?"), "0");
    assert_eq!(run("function f { false; x=1; return; }; f; w=$?"), "0");
    assert_eq!(run("function f { x=1; }; false; f; w=$?"), "0");
    let files = [("c.cfg", "w=x; false")];
    assert_eq!(run_with("source /c.cfg; w=$w$?", &files), "x0");
}

/// grub-core/script/execute.c, `grub_script_return`: "not in function body".
#[test]
fn return_ends_functions_and_entries_only() {
    assert_eq!(run("w=a; return; w=\"$w b$?\"; return 0; w=\"$w c\""), "a b1 c");
    assert_eq!(run("function f { w=a; return x; w=b; }; f; w=$w$?"), "b0");
    assert_eq!(run("function f { w=a; return 0 0; w=b; }; f; w=$w$?"), "b0");
    assert_eq!(
        run("function g { return; }; function f { g; w=a; return 2; w=b; }; f; w=$w$?"),
        "a1"
    );
    let files = [("c.cfg", "w=a\nreturn\nw=b\n")];
    assert_eq!(run_with("source /c.cfg; w=\"$w c\"", &files), "b c");
    assert_eq!(run_with("function f { source /c.cfg; }; f; w=\"$w c\"", &files), "a c");
    let text = "menuentry a { linux /a; return; linux /b }\nreturn\nmenuentry b { linux /b }\n";
    let entries = read(&[("boot/grub/grub.cfg", text)]);
    assert_eq!(titles(&entries), ["a", "b"]);
    assert_eq!(entries[0].kernel, "/a");
}

/// grub-core/normal/menu.c sets `$chosen` to the ids on the way to the entry.
#[test]
fn chosen_is_the_path_of_ids() {
    let text = "\
menuentry A --id a { linux /k $chosen }
submenu 'S>T' { menuentry B --id b { linux /k $chosen }; menuentry C { linux /k $chosen } }
";
    let entries = read(&[("boot/grub/grub.cfg", text)]);
    let chosen: Vec<_> = entries.iter().map(|entry| entry.arguments.as_str()).collect();
    assert_eq!(chosen, ["a", "S>>T>b", "S>>T>C"]);
}

#[test]
fn commands_of_grub_run() {
    for (script, expected) in [
        ("w=x; unset w", ""),
        ("setparams a b; w=\"$1$2$#\"", "ab2"),
        ("if cpuid -l; then w=64; else w=32; fi", "64"),
        ("eval w=x", "x"),
        ("eval 'w=x; w=$w y'; eval \"w=$w\"", "x"),
        ("set w=a=b", "a=b"),
        ("false; =x; w=$?", "0"),
        ("if legacy_configfile /x; then w=1; else w=0; fi", "0"),
        ("function f { w=$#$1; return 1; w=wrong; }; f a b; w=$w$?", "2a1"),
        ("w=; while [ \"$w\" != xxx ]; do w=x$w; done", "xxx"),
        ("w=; until [ \"$w\" = xxx ]; do w=x$w; done", "xxx"),
    ] {
        assert_eq!(run(script), expected, "{script}");
    }
}

/// grub-core/commands/search_wrap.c: `--set` names a variable, `root` by default; the commands
/// `search.*` take it as their second word. Without a type, it fails. What `--hint` is followed by is no name.
#[test]
fn search_sets_a_variable_if_it_finds_something() {
    let files = [("there", "x")];
    for (command, expected) in [
        ("search --file --set=r /there", "hd0 0"),
        ("search -f --set=r /there", "hd0 0"),
        ("search --set=r /there", "1"),
        ("search --set=r --file /absent", "1"),
        ("search --set=r --fs-uuid 12-34", "hd0 0"),
        ("search --set=r -u 12-34", "hd0 0"),
        ("search --set=r --no-floppy --fs-uuid --hint hd0,1 12-34", "hd0 0"),
        ("search --set=r --fs-uuid --hint-bios hd0,1 --hint-efi hd0 12-34", "hd0 0"),
        ("search --set=r --label absent", "1"),
        ("search --set=r -l absent", "1"),
        ("search --set=r", "1"),
        ("search.file /there r", "hd0 0"),
        ("search.file /absent r", "1"),
        ("search.fs_label absent r", "1"),
        ("search.fs_uuid 12-34 r hd0,1", "hd0 0"),
        ("search.fs_uuid 12-34", "0"),
        ("search --file /there r", "0"),
    ] {
        assert_eq!(run_with(&format!("{command}; w=\"$r $?\""), &files), expected, "{command}");
    }
    for option in ["-s", "--set"] {
        let script = format!("search {option} --file /there; w=$root");
        assert_eq!(run_with(&script, &files), "hd0", "{option}");
    }
}

#[test]
fn files_of_the_disk_are_tested() {
    let files = [("d/full", "x"), ("d/empty", "")];
    for (test, expected) in [
        ("-d /d", true),
        ("-d /d/full", false),
        ("-d (hd0)/d", true),
        ("-e /d", true),
        ("-e /absent", false),
        ("-f /d", false),
        ("-f /d/full", true),
        ("-s /d/full", true),
        ("-s /d/empty", false),
    ] {
        let script = format!("if [ {test} ]; then w=yes; else w=no; fi");
        assert_eq!(run_with(&script, &files), if expected { "yes" } else { "no" }, "{test}");
    }
}

/// grub-core/commands/regexp.c.
#[test]
fn regexp_sets_its_groups() {
    for (command, expected) in [
        ("regexp -s r '(b+)' abbc", "bb 0"),
        ("regexp --set=r '(b+)' abbc", "bb 0"),
        ("regexp --set 0:r 'b+' abbc", "bb 0"),
        ("regexp --set=2:r '(a)(b)' ab", "b 0"),
        ("regexp -- b abc", "0"),
        ("regexp x abc", "1"),
        ("regexp b", "1"),
        ("regexp '(' abc", "1"),
        ("regexp --set=0:r 'a|ab' abc", "ab 0"),
        ("regexp --set=1:r '([^\\]+)' 'x\\y'", "x 0"),
        ("r=old; regexp --set=7:r b abc", "0"),
    ] {
        assert_eq!(run(&format!("{command}; w=\"$r $?\"")), expected, "{command}");
    }
}

/// The commands that load something fail if the file is not there (`grub_file_open` in
/// grub-core/loader/i386/linux.c and linux.c); what they did not find is not loaded.
#[test]
fn a_command_that_loads_a_missing_file_fails() {
    let temp = Temp::of(&["k", "i", "j"]);
    let entry = |script: &str| {
        let text = format!("menuentry a {{ {script} }}\n");
        temp.file("boot/grub/grub.cfg", text.as_bytes());
        let entry = BootConfig::read_all(&temp.source()).remove(0).entries.remove(0);
        [&[entry.kernel], &entry.initrds[..], &[entry.arguments]].concat().join(" ")
    };
    for (script, expected) in [
        ("if linux /none; then initrd /i; else linux /k b; initrd /j; fi", "/k /j b"),
        ("if linux /k b; then initrd /i; else linux /none; fi", "/k /i b"),
        ("if linux (hd0)/k b; then initrd (hd0)/i; fi", "/k /i b"),
        ("linux /k b; if initrd /none; then true; else initrd /j; fi", "/k /j b"),
        ("linux /k b; if initrd /i /none; then true; fi", "/k b"),
        ("linux /k b; if initrd /i /j; then true; else initrd /i; fi", "/k /i /j b"),
        ("if ! linux /none; then linux /k b; fi", "/k b"),
        ("linux /none; if [ $? = 0 ]; then initrd /i; else linux /k b; fi", "/k b"),
        ("until linux /none; do linux /k b; break; done", "/k b"),
        ("if initrd /i; then linux /none; else linux /k b; fi", "/k b"),
        ("if linux; then true; else linux /k b; fi", "/k b"),
        ("if chainloader /none; then true; else linux /k b; fi", "/k b"),
        ("if multiboot /none; then true; else linux /k b; fi", "/k b"),
        ("multiboot /k b; if module /none; then true; else module /i; fi", "/k /i b"),
        // The kernel that the entry lacks is named.
        ("if linux /none b; then initrd /i; fi", "/none b"),
        ("linux /none b; initrd /none2", "/none /none2 b"),
    ] {
        assert_eq!(entry(script), expected, "{script}");
    }
}

/// A menu has more entries than files are looked for: nothing is, where nothing depends on it.
#[test]
fn files_are_looked_for_only_if_a_command_depends_on_them() {
    let entries: String =
        (0..300).map(|at| format!("menuentry {at} {{ linux /k; initrd /i }}\n")).collect();
    let temp = Temp::of(&["k", "i"]);
    temp.file("boot/grub/grub.cfg", entries.as_bytes());
    let config = BootConfig::read_all(&temp.source()).remove(0);
    assert_eq!((config.entries.len(), config.warnings.len()), (300, 0), "{:?}", config.warnings);
}

fn warnings(script: &str, files: &[(&str, &[u8])]) -> Vec<String> {
    let temp = Temp::new();
    let text = format!("{script}\nmenuentry a {{ linux /k $w }}\n");
    temp.file("boot/grub/grub.cfg", text.as_bytes());
    files.iter().for_each(|(path, bytes)| temp.file(path, bytes));
    let config = BootConfig::read_all(&temp.source()).remove(0);
    [&[config.entries[0].arguments.clone()], &config.warnings[..]].concat()
}

/// grub-core/commands/cat.c, cmp.c, hashsum.c; grub-core/kern/corecmd.c and ls.c.
#[test]
fn conditions_ask_for_the_contents_of_files() {
    // FIPS 180-2, appendix B.1, and FIPS 180-1, appendix A.
    let (sha256, sha1) = (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "a9993e364706816aba3e25717850c26c9cd0d89d",
    );
    let right = format!("{sha256}  /abc\n");
    let in_directory = format!("{}  abc\n{sha256}  abc", sha256.to_uppercase());
    let wrong = format!("{}  /abc\n{right}", "0".repeat(64));
    let missing = format!("{right}{sha256}  /none\n");
    let one_blank = format!("{sha256} /abc\n");
    let of_sha1 = format!("{sha1}  /abc\n");
    let files = [
        ("abc", "abc"),
        ("same", "abc"),
        ("abd", "abd"),
        ("abcd", "abcd"),
        ("right", &right),
        ("in", &in_directory),
        ("wrong", &wrong),
        ("missing", &missing),
        ("blank", &one_blank),
        ("sha1", &of_sha1),
    ];
    let files = files.map(|(name, text)| (name, text.as_bytes()));
    for (condition, expected) in [
        ("cat /abc", true),
        ("cat --dos /abc", true),
        ("cat /none", false),
        ("cat", false),
        ("cat /abc /same", false),
        ("ls /none", true),
        ("set x=1", true),
        ("set x", false),
        ("unset", false),
        ("export", false),
        ("insmod", false),
        ("cmp /abc /same", true),
        ("cmp -v /abc /same", true),
        ("cmp /abc /abd", false),
        ("cmp /abc /abcd", false),
        ("cmp /abc /none", false),
        ("cmp /abc", false),
        ("hashsum -h sha256 -c /right", true),
        ("hashsum --hash=SHA256 --check=/right", true),
        ("hashsum --hash sha256 -c /right", false),
        ("sha256sum -c /right", true),
        ("sha256sum -c /in -p /", true),
        ("sha256sum -c /in", true),
        ("sha256sum --check=/in --prefix=/boot", false),
        ("sha256sum -c /wrong", false),
        ("sha256sum -k -c /wrong", false),
        ("sha256sum -c /missing", false),
        ("sha256sum -c /blank", false),
        ("sha256sum -c /sha1", false),
        ("sha256sum -c /none", false),
        ("sha256sum -c /right /abc", false),
        ("sha1sum -c /sha1", true),
        ("sha512sum /abc", true),
        ("sha512sum /abc /none", false),
        ("hashsum /abc", false),
    ] {
        let script = format!("if {condition}; then w=yes; else w=no; fi");
        assert_eq!(warnings(&script, &files), [if expected { "yes" } else { "no" }], "{condition}");
    }
}

/// grub-core/commands/file.c.
#[test]
fn file_tells_kinds_of_files() {
    let with = |len: usize, parts: &[(usize, &[u8])]| {
        let mut bytes = vec![0; len];
        for (at, part) in parts {
            bytes[*at..at + part.len()].copy_from_slice(part);
        }
        bytes
    };
    let linux: &[(usize, &[u8])] =
        &[(0x1f1, &[64]), (0x1fe, &[0x55, 0xaa]), (0x202, b"HdrS\x03\x02"), (0x211, &[1])];
    let old = [linux, &[(0x206, &[0, 2])]].concat();
    let low = [linux, &[(0x211, &[0])]].concat();
    let large = [linux, &[(0x1f1, &[65])]].concat();
    let pe: &[(usize, &[u8])] = &[
        (0, b"MZ"),
        (0x3c, &[0x80]),
        (0x80, b"PE\0\0\x64\x86"),
        (0x98, &[0x0b, 2]),
        (0xdc, &[10]),
    ];
    let driver = [pe, &[(0xdc, &[11])]].concat();
    let pe32 = [pe, &[(0x84, &[0x4c, 1]), (0x98, &[0x0b, 1])]].concat();
    let far = [(0, &b"MZ"[..]), (0x3c, &[0xff; 4])];
    let header: &[u8] = &[2, 0xb0, 0xad, 0x1b, 1, 0, 0, 0, 0xfd, 0x4f, 0x52, 0xe4];
    let header2: &[u8] = &[0xd6, 0x50, 0x52, 0xe8, 0, 0, 0, 0, 16, 0, 0, 0, 0x1a, 0xaf, 0xad, 0x17];
    let files = [
        ("linux", with(0x268, linux)),
        ("short", with(0x267, linux)),
        ("old", with(0x268, &old)),
        ("low", with(0x268, &low)),
        ("large", with(0x268, &large)),
        ("efi", with(0x200, pe)),
        ("driver", with(0x200, &driver)),
        ("efi32", with(0x200, &pe32)),
        ("far", with(0x200, &far)),
        ("mb", with(8192, &[(8180, header)])),
        ("odd", with(8192, &[(2, header)])),
        ("behind", with(9000, &[(8192, header)])),
        ("mb2", with(32768, &[(32752, header2)])),
        ("unaligned", with(4096, &[(4, header2)])),
        ("sector", with(512, &[(510, &[0x55, 0xaa])])),
        ("empty", Vec::new()),
    ];
    let files: Vec<_> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    for (kind, right) in [
        ("x86-linux", "linux old low"),
        ("x86-linux32", "linux"),
        ("x86_64-efi", "efi"),
        ("i386-efi", "efi32"),
        ("x86-multiboot", "mb"),
        ("x86-multiboot2", "mb2"),
        ("x86-bios-bootsector", "sector"),
    ] {
        let names = files.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
        let script =
            format!("for f in {names}; do if file --is-{kind} /$f; then w=\"$w $f\"; fi; done");
        assert_eq!(warnings(&format!("{script}; w=\"=$w\""), &files), [format!("= {right}")]);
    }
    for condition in
        ["file /linux", "file --is-x86-linux", "file --is-x86-linux --is-x86_64-efi /linux"]
    {
        let script = format!("if {condition}; then w=yes; else w=no; fi");
        assert_eq!(warnings(&script, &files), ["no"], "{condition}");
    }
}

#[test]
fn a_condition_that_cannot_be_answered_is_a_warning() {
    let files = [("abc", &b"abc"[..])];
    for (condition, command) in [
        ("file --is-arm64-linux /abc", "file"),
        ("md5sum -c /abc", "md5sum"),
        ("hashsum -u -h sha256 /abc", "hashsum"),
        ("probe -u (hd0)", "probe"),
        ("probe --fs (hd0)", "probe"),
        ("smbios --type 1 --get-string 5", "smbios"),
        ("getenv x", "getenv"),
        ("net_dhcp", "net_dhcp"),
    ] {
        let script = format!("if {condition}; then w=yes; else w=no; fi");
        let warning = format!(
            "the condition '{condition}' counts as false: chukka does not support GRUB's {command}"
        );
        assert_eq!(warnings(&script, &files), ["no".to_owned(), warning]);
        assert_eq!(warnings(condition, &files), [""], "nothing depends on it");
    }
    for (condition, expected) in
        [("loadfont x", "yes"), ("keystatus --shift", "no"), ("fwsetup --is-supported", "no")]
    {
        let script = format!("if {condition}; then w=yes; else w=no; fi");
        assert_eq!(warnings(&script, &files), [expected], "{condition}");
    }
    let absent = warnings("if absent; then w=yes; else w=no; fi", &files);
    let warning = "the condition 'absent' counts as true, as any unknown command does in GRUB: \
                   chukka knows no such command";
    assert_eq!(absent, ["yes", warning]);
    assert_eq!(warnings("absent", &files), [""], "nothing depends on it");
    let uki = "chukka does not support GRUB's uki: its entries are not in the menu";
    assert_eq!(warnings("uki", &files), ["", uki]);
    // `-s` of smbios is not a variable.
    assert_eq!(
        warnings("w=1; smbios -t 1 -s 4 --set w; w=x$w", &files),
        ["x", "$w stays empty: chukka does not support GRUB's smbios"]
    );
    let set = warnings("probe --set=u -u (hd0); if [ -z \"$u\" ]; then w=none; fi", &files);
    assert_eq!(set, ["none", "$u stays empty: chukka does not support GRUB's probe"]);
}

/// grub-core/hook/datehook.c: without the module, these are variables like others.
#[test]
fn a_date_that_a_menu_asks_for_is_a_warning() {
    let script = "YEAR=2020; w=$YEAR";
    assert_eq!(warnings(script, &[]), ["2020"]);
    assert_eq!(warnings("insmod datehook", &[]), [""]);
    let warning = "$YEAR is empty: chukka does not support GRUB's datehook";
    assert_eq!(warnings(&format!("insmod datehook; {script}"), &[]), ["", warning]);
}

/// What commands compare is limited, as a script can repeat them.
#[test]
fn commands_read_a_limited_number_of_bytes() {
    let temp = Temp::new();
    let text = "if cmp /a /b; then w=same; else w=other; fi\nmenuentry a { linux /k $w }\n";
    temp.file("boot/grub/grub.cfg", text.as_bytes());
    for name in ["a", "b"] {
        temp.file(name, b"");
        let file = std::fs::File::options().write(true).open(temp.path().join(name));
        file.unwrap().set_len((128 << 20) + 1).unwrap();
    }
    let config = BootConfig::read_all(&temp.source()).remove(0);
    assert_eq!(config.entries[0].arguments, "other");
    assert!(config.warnings[0].starts_with("chukka reads at most 256 MiB for GRUB's cmp"));
}

/// grub-core/script/execute.c, `grub_script_arglist_to_argv`.
#[test]
fn words_are_split_at_spaces_of_variables_without_quotes() {
    let show = "function show { w=\"$w $#\"; for p in \"$@\"; do w=\"$w<$p>\"; done; }; v='a  b'; s=' a '; e=";
    for (words, expected) in [
        ("$v", "2<a><b>"),
        ("\"$v\"", "1<a b>"),
        ("x$v\"$v\"y", "2<xa><ba by>"),
        ("x${s}y", "3<x><a><y>"),
        ("\"$e\"", "1<>"),
        // The quotes are a word even if the function has no parameters.
        ("\"$@\"", "1<>"),
        ("$@", "0<>"),
        ("''", "1<>"),
        ("$e$v", "2<a><b>"),
        ("*", "1<*>"),
        ("a\\ b", "1<a b>"),
        ("a'b'\"c\"", "1<abc>"),
    ] {
        assert_eq!(run(&format!("{show}\nshow {words}")), expected, "{words}");
    }
    let both = "function inner { w=\"$w $#\"; }; function outer { inner \"$@\"; inner $@; inner \"$*\"; inner $*; }; outer 'a b' c";
    assert_eq!(run(both), "2 3 1 3");
}

/// With the module regexp, as in GRUB; and only what is without quotes.
#[test]
fn patterns_are_expanded_without_quotes_only() {
    let files = [("d/1", ""), ("d/2", ""), ("d/x", "")];
    for (words, expected) in [
        // grub-core/commands/wildcard.c takes `[` for itself.
        ("/d/[12]", "/d/[12]"),
        ("/d/?", "/d/1 /d/2 /d/x"),
        ("\"/d/\"*", "/d/1 /d/2 /d/x"),
        ("'/d/*'", "/d/*"),
        ("\"/d/*\"", "/d/*"),
        ("/d/*y", "/d/*y"),
        ("$p", "/d/1 /d/2 /d/x"),
        ("\"$p\"", "/d/*"),
        ("/d/\"$q\"*", "/d/1"),
        ("/d/$q", "/d/1"),
        ("(hd0)/d/1*", "(hd0)/d/1"),
    ] {
        let script = format!(
            "insmod regexp; insmod part_gpt; p='/d/*'; q=1; for f in {words}; do w=\"$w <$f>\"; done"
        );
        let expected: Vec<_> = expected.split(' ').map(|name| format!("<{name}>")).collect();
        assert_eq!(run_with(&script, &files), expected.join(" "), "{words}");
    }
    assert_eq!(run_with("for f in /d/*; do w=\"$w $f\"; done", &files), "/d/*", "no module");
}

#[test]
fn variables_are_loaded_from_an_environment_block() {
    let block = |text: &str| format!("{:#<1024}", format!("# GRUB Environment Block\n{text}"));
    let (usual, other) = (block("a=1\nb=2\n"), block("a=3\nb=4\n"));
    let none = block("");
    let files = [
        ("boot/grub/grubenv", usual.as_str()),
        ("other", other.as_str()),
        ("none", &none),
        ("plain", "a=1\n"),
    ];
    for (command, expected) in [
        ("load_env", "12 0"),
        ("load_env b", "2 0"),
        ("load_env -f /other", "34 0"),
        ("load_env --file /other a", "3 0"),
        ("load_env --file=/other", "34 0"),
        ("load_env --skip-sig a", "1 0"),
        ("load_env -f /absent", "1"),
        ("load_env -f /none", "0"),
        ("load_env -f /plain", "1"),
    ] {
        let script = format!("{command}; w=\"$a$b $?\"");
        assert_eq!(run_with(&script, &files), expected, "{command}");
    }
}

/// A menu of its own replaces the one that is being read; a file without one does not.
#[test]
fn configfile_replaces_the_menu_unless_the_file_has_none() {
    for command in ["configfile", "normal", "extract_entries_configfile"] {
        let main = format!(
            "x=1\nmenuentry a {{ linux /a }}\n{command} /more.cfg\nmenuentry c {{ linux /c $x }}\n"
        );
        for (more, expected) in [("menuentry b { linux /b $x }", &["b"][..]), ("x=2", &["a", "c"])]
        {
            let entries = read(&[("boot/grub/grub.cfg", &main), ("more.cfg", more)]);
            assert_eq!(titles(&entries), expected, "{command}: {more}");
            let last = &entries[entries.len() - 1];
            assert_eq!(last.arguments, if expected.len() == 1 { "" } else { "1" });
        }
        let entries = read(&[("boot/grub/grub.cfg", &main)]);
        assert_eq!(titles(&entries), ["a", "c"], "{command}: there is no such file");
        let entries = read(&[("boot/grub/grub.cfg", &main), ("more.cfg", "x=2; exit")]);
        assert_eq!(titles(&entries), [""; 0], "{command}: `exit` leaves GRUB");
    }
}

/// A script that ran out of its budget in an included file does not go on behind it.
#[test]
fn an_included_script_that_runs_too_long_ends_it_all() {
    let main = "configfile /more.cfg\nmenuentry after { linux /k }";
    for more in ["while true; do true; done", "a=xxxxxxxx; while true; do a=$a$a; done"] {
        let entries = read(&[("boot/grub/grub.cfg", main), ("more.cfg", more)]);
        assert_eq!(titles(&entries), [""; 0], "{more}");
    }
}

/// grub-core/commands/menuentry.c.
#[test]
fn options_of_an_entry_are_not_its_arguments() {
    for (options, expected) in [
        ("a --class x b", "a b 2"),
        ("--users u --hotkey=h a", "a 1"),
        ("--unrestricted a b", "a b 2"),
        ("a -- --class x", "a --class x 3"),
        ("--id i a", "a 1"),
    ] {
        let entries = one(&format!("menuentry {options} {{ linux /k $@ $# }}"));
        assert_eq!(entries[0].arguments, expected, "{options}");
    }
    let source = one("menuentry a --source 'linux /k from source'");
    assert_eq!(source[0].arguments, "from source");
    let equals = one("menuentry a --source='linux /k x'");
    assert_eq!(equals[0].arguments, "x");
}
