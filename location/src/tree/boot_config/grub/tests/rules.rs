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

#[test]
fn each_exclamation_mark_negates() {
    for (command, expected) in
        [("true", "yes"), ("! true", "no"), ("! ! true", "yes"), ("! false", "yes")]
    {
        let script = format!("if {command}; then w=yes; else w=no; fi");
        assert_eq!(run(&script), expected, "{command}");
    }
    assert_eq!(run("! ! false; w=$?"), "1");
    assert_eq!(run("! true; w=$?"), "1");
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
        ("=x; w=$?", "1"),
        ("absent; w=$?", "1"),
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
        ("search --file --set=r /there", "volume1 0"),
        ("search -f --set=r /there", "volume1 0"),
        ("search --set=r /there", "1"),
        ("search --set=r --file /absent", "1"),
        ("search --set=r --fs-uuid 12-34", "hd0 0"),
        ("search --set=r -u 12-34", "hd0 0"),
        ("search --set=r --no-floppy --fs-uuid --hint hd0,1 12-34", "hd0 0"),
        ("search --set=r --fs-uuid --hint-bios hd0,1 --hint-efi hd0 12-34", "hd0 0"),
        ("search --set=r --label absent", "1"),
        ("search --set=r -l absent", "1"),
        ("search --set=r", "1"),
        ("search.file /there r", "volume1 0"),
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
        assert_eq!(run_with(&script, &files), "volume1", "{option}");
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
        ("r=old; regexp --set=7:r b abc", "0"),
    ] {
        assert_eq!(run(&format!("{command}; w=\"$r $?\"")), expected, "{command}");
    }
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
    let files = [("boot/grub/grubenv", usual.as_str()), ("other", other.as_str())];
    for (command, expected) in [
        ("load_env", "12 0"),
        ("load_env b", "2 0"),
        ("load_env -f /other", "34 0"),
        ("load_env --file /other a", "3 0"),
        ("load_env --file=/other", "34 0"),
        ("load_env --skip-sig a", "1 0"),
        ("load_env -f /absent", "1"),
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
