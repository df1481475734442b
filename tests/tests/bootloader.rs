//! The boot menus of disks: what `chukka bootloader` and `-bootdisk` make of them, and what Xen's
//! toolstack gets where chukka is called by the name of one of its bootloaders.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use chukka_tests::binaries;
use chukka_tests::native::guest::bzimage;
use chukka_tests::native::image::pe;
use chukka_tests::native::{Scratch, start};
use chukka_tests::servers::http;

const UUID: &str = "3d7a1d0e-6a56-4f4c-9d6a-3f0a1f2f6c11";
const MKCONFIG: &str = include_str!("../data/grub-mkconfig.cfg");

/// A directory with what Debian's `/boot` has.
fn disk(scratch: &Scratch) -> PathBuf {
    let root = scratch.path("disk");
    fs::create_dir_all(root.join("boot/grub")).unwrap();
    fs::write(root.join("boot/grub/grub.cfg"), MKCONFIG).unwrap();
    for version in ["49", "50"] {
        fs::write(root.join(format!("boot/vmlinuz-6.1.0-{version}-amd64")), bzimage(version))
            .unwrap();
        fs::write(root.join(format!("boot/initrd.img-6.1.0-{version}-amd64")), version).unwrap();
    }
    root
}

/// chukka by another name.
fn called(scratch: &Scratch, name: &str) -> Command {
    let link = scratch.path(name);
    if !link.exists() {
        symlink(binaries::chukka().unwrap(), &link).unwrap();
    }
    Command::new(link)
}

fn chukka(words: &[&str], disk: &Path) -> Output {
    Command::new(binaries::chukka().unwrap())
        .arg("bootloader")
        .args(words)
        .arg(disk)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn refusal(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The files in a directory whose names begin so.
fn files(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix)).collect()
}

#[test]
fn the_entries_are_listed_and_one_is_handed_out() {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let list = text(&chukka(&["-l"], &disk));
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines[0], format!("{}/boot/grub/grub.cfg", disk.display()));
    assert_eq!(lines[1], "   0  Debian GNU/Linux (default)");
    assert_eq!(
        lines[2],
        format!("      /boot/vmlinuz-6.1.0-50-amd64 root=UUID={UUID} ro console=ttyS0 quiet")
    );
    assert_eq!(lines[3], "      /boot/initrd.img-6.1.0-50-amd64");
    assert_eq!(lines.len(), 16);
    let last =
        "Advanced options for Debian GNU/Linux > Debian GNU/Linux, with Linux 6.1.0-49-amd64";
    for entry in ["3", last, "1>2", &format!("gnulinux-6.1.0-49-amd64-advanced-{UUID}")] {
        let answer = text(&chukka(&["--entry", entry, "--args", "extra"], &disk));
        let expected = format!(
            "menu          {}/boot/grub/grub.cfg\nentry         {last}\nkernel        /boot/vmlinuz-6.1.0-49-amd64\n\
             initrd        /boot/initrd.img-6.1.0-49-amd64\ncommand line  root=UUID={UUID} ro console=ttyS0 quiet extra\n",
            disk.display()
        );
        assert_eq!(answer, expected, "{entry}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&text(&chukka(&["--output-format=json", "-l"], &disk))).unwrap();
    let entries = &json["entries"];
    assert_eq!((entries[4]["number"].as_u64(), entries.as_array().unwrap().len()), (Some(4), 5));
    assert_eq!(json["warnings"], serde_json::json!([]));
    let out = scratch.path("out");
    let words = ["--output-directory", out.to_str().unwrap(), "--output-format=json"];
    let json: serde_json::Value = serde_json::from_str(&text(&chukka(&words, &disk))).unwrap();
    assert_eq!(fs::read(json["kernel"].as_str().unwrap()).unwrap(), bzimage("50"));
    assert_eq!(fs::read(json["initrd"].as_str().unwrap()).unwrap(), b"50");
    let words = ["--kernel=/boot/vmlinuz-6.1.0-49-amd64", "--args=-v", "--output-format=simple"];
    assert_eq!(text(&chukka(&words, &disk)), "kernel /boot/vmlinuz-6.1.0-49-amd64\nargs -v\n\n");
}

#[test]
fn the_json_has_the_warnings_of_standard_error() {
    let scratch = Scratch::new();
    let root = scratch.path("root");
    fs::create_dir_all(root.join("boot/grub")).unwrap();
    fs::write(root.join("vmlinuz"), bzimage("1")).unwrap();
    let menu = "set default=gone\nmenuentry one { linux /vmlinuz }\n";
    fs::write(root.join("boot/grub/grub.cfg"), menu).unwrap();
    for words in [&["--output-format=json"][..], &["--output-format=json", "-l"]] {
        let output = chukka(words, &root);
        let json: serde_json::Value = serde_json::from_str(&text(&output)).unwrap();
        let warnings = json["warnings"].as_array().unwrap();
        assert!(!warnings.is_empty(), "{words:?}: {json}");
        let list = text(&chukka(&["-l"], &root));
        assert!(list.ends_with("\n      /vmlinuz\n"), "{list:?} has a space at the end of a line");
        let printed: Vec<_> = warnings
            .iter()
            .map(|warning| format!("chukka: warning: {}\n", warning.as_str().unwrap()))
            .collect();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), printed.concat(), "{words:?}");
    }
}

#[test]
fn a_missing_path_gives_a_hint() {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let empty = scratch.path("empty");
    fs::create_dir(&empty).unwrap();
    for (words, disk, problem) in [
        (&["--entry", "9"][..], &disk, "has no entry '9' that boots a kernel"),
        (&[], &empty, "There is no boot menu"),
        (&["-l"], &empty, "There is no boot menu"),
        (&["--kernel", "/no"], &disk, "no' is not there"),
        (&[], &scratch.path("absent"), "absent' is not there"),
    ] {
        let (status, error) = refusal(&chukka(words, disk));
        assert_eq!(status, Some(125), "{error}");
        assert!(error.contains(problem) && error.contains("\nhint: "), "{error}");
    }
}

#[test]
fn a_disk_s_entry_is_booted_with_its_own_words_and_the_user_s() {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let words = ["-entry", "2", "-append", "quiet root=/dev/vda1", "-dry-run"];
    let ended = start(["-bootdisk"]).args([&disk]).args(words).run();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    let plan = ended.text();
    for line in [
        "found         entry 2 'Advanced options for Debian GNU/Linux > Debian GNU/Linux, with Linux 6.1.0-50-amd64 (recovery mode)'",
        "command line  quiet root=/dev/vda1 ro single console=ttyS0",
        "boot/initrd.img-6.1.0-50-amd64' (2B)",
    ] {
        assert!(plan.contains(line), "{plan} has no {line}");
    }
    let refused = start(["-bootdisk"]).args([&disk]).args(["-entry", "nothing"]).run();
    assert_eq!(refused.code(), Some(125));
    assert!(refused.stderr.contains("No entry 'nothing' can be booted"), "{}", refused.stderr);
}

/// As libxl calls a bootloader (`make_bootloader_args`, tools/libs/light/libxl_bootloader.c).
#[test]
fn pygrub_answers_as_libxl_reads() {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let out = scratch.path("out");
    fs::create_dir(&out).unwrap();
    let answer = scratch.file("answer", b"");
    let shown = out.display();
    let args = format!("root=UUID={UUID} ro console=ttyS0 quiet panic=1");
    for format in ["simple0", "simple", "sxp"] {
        fs::write(&answer, b"").unwrap();
        let output = called(&scratch, "pygrub")
            .args(["--args=panic=1", "--quiet"])
            .arg(format!("--output={}", answer.display()))
            .arg(format!("--output-format={format}"))
            .arg(format!("--output-directory={shown}"))
            .arg(&disk)
            .output()
            .unwrap();
        assert_eq!(text(&output), "");
        let (kernel, ramdisk) = (files(&out, "boot_kernel."), files(&out, "boot_ramdisk."));
        let (kernel, ramdisk) = (&kernel[0], &ramdisk[0]);
        assert_eq!(kernel.file_name().unwrap().len(), "boot_kernel.XXXXXX".len());
        assert_eq!(fs::read(kernel).unwrap(), bzimage("50"));
        assert_eq!(fs::read(ramdisk).unwrap(), b"50");
        assert_eq!(fs::metadata(kernel).unwrap().mode() & 0o777, 0o600);
        let name = |path: &Path| format!("{shown}/{}", path.file_name().unwrap().to_str().unwrap());
        let (k, r) = (name(kernel), name(ramdisk));
        let expected = match format {
            "sxp" => format!("linux (kernel '{k}')(ramdisk '{r}')(args '{args}')"),
            "simple" => format!("kernel {k}\nramdisk {r}\nargs {args}\n\n"),
            _ => format!("kernel {k}\0ramdisk {r}\0args {args}\0\0"),
        };
        assert_eq!(fs::read_to_string(&answer).unwrap(), expected);
        // libxl takes them away.
        fs::remove_file(kernel).unwrap();
        fs::remove_file(ramdisk).unwrap();
    }
}

/// Its initrd has no name in the menu.
#[test]
fn the_initrd_of_a_unified_kernel_image_is_handed_out() {
    let scratch = Scratch::new();
    let disk = scratch.path("disk");
    fs::create_dir_all(disk.join("EFI/Linux")).unwrap();
    let kernel = bzimage("u");
    let image = pe(&[
        (".osrel", b"ID=test\nPRETTY_NAME=Test\nVERSION_ID=1\n"),
        (".cmdline", b"root=/dev/vda1"),
        (".initrd", b"initrd"),
        (".linux", &kernel),
    ]);
    fs::write(disk.join("EFI/Linux/test.efi"), image).unwrap();
    let out = scratch.path("out");
    fs::create_dir(&out).unwrap();
    let directory = format!("--output-directory={}", out.display());
    let by_pygrub = |words: &[&str]| {
        let mut pygrub = called(&scratch, "pygrub");
        pygrub.args(["-q", "--output-format=simple", &directory]).args(words).arg(&disk);
        text(&pygrub.output().unwrap())
    };
    let by_chukka = || text(&chukka(&["--output-format=simple", &directory], &disk));
    for answer in [by_pygrub(&[]), by_chukka()] {
        let path = |name| answer.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(fs::read(path("kernel ")).unwrap(), kernel, "{answer}");
        assert_eq!(fs::read(path("ramdisk ")).unwrap(), b"initrd", "{answer}");
        assert_eq!(path("args "), "root=/dev/vda1");
    }
    assert!(by_pygrub(&["-n"]).contains("\nramdisk <ramdisk:>\n"), "it has one");
    let shown = text(&chukka(&[], &disk));
    assert!(shown.contains("\ninitrd        /EFI/Linux/test.efi:.initrd\n"), "{shown}");
}

/// What `-bootdisk` and `-location` boot is what `chukka bootloader` shows.
#[test]
fn a_unified_kernel_image_that_a_menu_calls_a_kernel_is_taken_apart_everywhere() {
    let scratch = Scratch::new();
    let disk = scratch.path("disk");
    fs::create_dir_all(disk.join("boot/grub")).unwrap();
    let kernel = bzimage("u");
    let image = pe(&[(".cmdline", b"root=/dev/uki"), (".initrd", b"initrd"), (".linux", &kernel)]);
    fs::write(disk.join("x.efi"), image).unwrap();
    for (command, line) in [
        ("linux /x.efi", "root=/dev/uki"),
        ("linux /x.efi root=/dev/own", "root=/dev/own"),
        ("chainloader /x.efi root=/dev/own", "root=/dev/own"),
    ] {
        let menu = format!("menuentry a {{ {command} }}\n");
        fs::write(disk.join("boot/grub/grub.cfg"), menu).unwrap();
        let whole = format!("command line  {line}\n");
        let shown = text(&chukka(&[], &disk));
        assert!(shown.ends_with(&whole), "{shown}");
        assert!(shown.contains("\ninitrd        /x.efi:.initrd\n"), "{shown}");
        let listed = text(&chukka(&["-l"], &disk));
        assert!(listed.contains(&format!("/x.efi {line}\n")), "{listed}");
        for option in ["-bootdisk", "-location"] {
            let mut command = Command::new(binaries::chukka().unwrap());
            let plan = text(&command.args(["-dry-run", option]).arg(&disk).output().unwrap());
            assert!(plan.contains(&whole), "{option}: {plan}");
            assert!(plan.contains("x.efi:.initrd' (6B)"), "{option}: {plan}");
        }
    }
}

#[test]
fn pygrub_lists_tries_and_refuses() {
    let scratch = Scratch::new();
    let disk = disk(&scratch);
    let out = scratch.path("out");
    fs::create_dir(&out).unwrap();
    let run = |words: &[&str]| {
        let directory = format!("--output-directory={}", out.display());
        called(&scratch, "pygrub").args(words).args([&directory]).arg(&disk).output().unwrap()
    };
    let list = text(&run(&["-l"]));
    let first = format!(
        "title: Debian GNU/Linux\n  root: None\n  kernel: /boot/vmlinuz-6.1.0-50-amd64\n  args: root=UUID={UUID} ro console=ttyS0 quiet\n  initrd: /boot/initrd.img-6.1.0-50-amd64\n"
    );
    assert!(list.starts_with(&first), "{list}");
    let tried = text(&run(&["-n", "--entry=4"]));
    let expected = format!(
        "linux (kernel '<kernel:/boot/vmlinuz-6.1.0-49-amd64>')(ramdisk '<ramdisk:/boot/initrd.img-6.1.0-49-amd64>')(args 'root=UUID={UUID} ro single console=ttyS0')"
    );
    assert_eq!(tried, expected);
    let named =
        ["-n", "--kernel=/boot/vmlinuz-6.1.0-49-amd64", "--args=x", "--output-format=simple"];
    assert_eq!(text(&run(&named)), "kernel <kernel:/boot/vmlinuz-6.1.0-49-amd64>\nargs x\n\n");
    let solaris = "platform/i86xpv/kernel/unix";
    fs::create_dir_all(disk.join(solaris).parent().unwrap()).unwrap();
    fs::write(disk.join(solaris), bzimage("s")).unwrap();
    let named = format!("--kernel=/{solaris}");
    let named = ["-n", &named, "--args=a  -v", "--output-format=simple"];
    assert_eq!(text(&run(&named)), format!("kernel <kernel:/{solaris}>\nargs a  -v\n\n"));
    fs::remove_dir_all(disk.join("platform")).unwrap();
    for (words, problem) in [
        (&["--output-format=xml"][..], "unknown output format xml"),
        (&["--runas=1000"], "In order to use --runas, you must also set --entry or -q"),
        (&["--offset=x"], "offset value must be an integer"),
        (&["--output=/no/such/file"], "Cannot open /no/such/file"),
        (&["--kernel=/no"], "no' is not there"),
        (&["--no-such-option"], "--no-such-option"),
    ] {
        let (status, error) = refusal(&run(words));
        assert_eq!(status, Some(1), "{words:?}: {error}");
        assert!(error.contains(problem), "{words:?}: {error}");
    }
    assert_eq!(files(&out, "boot_"), Vec::<PathBuf>::new(), "nothing is left behind");
    let config = disk.join("boot/grub/grub.cfg");
    let output = called(&scratch, "pygrub").args(["--isconfig"]).arg(&config).output().unwrap();
    let expected = format!(
        "  kernel: /boot/vmlinuz-6.1.0-50-amd64\n  initrd: /boot/initrd.img-6.1.0-50-amd64\n  args: root=UUID={UUID} ro console=ttyS0 quiet\n"
    );
    assert_eq!(text(&output), expected);
    let absent =
        called(&scratch, "pygrub").arg("--output-directory=/no/such").arg(&disk).output().unwrap();
    assert_eq!(
        refusal(&absent),
        (Some(1), "pygrub: /no/such is not an existing directory\n".into())
    );
}

#[test]
fn xenpvnetboot_answers_as_libxl_reads() {
    let scratch = Scratch::new();
    let tree = scratch.path("tree");
    fs::create_dir_all(tree.join("images/pxeboot")).unwrap();
    fs::write(tree.join("images/pxeboot/vmlinuz"), bzimage("x")).unwrap();
    fs::write(tree.join("images/pxeboot/initrd.img"), b"initrd").unwrap();
    let (out, location) = (scratch.path("run/libxl"), tree.display().to_string());
    let long = format!("--kernel=file://{location}/images/pxeboot/vmlinuz");
    let ways = [
        vec![format!("--location={location}")],
        vec![format!("--location=file://{location}")],
        vec![
            format!("--location={location}/images"),
            "--kernel=pxeboot/vmlinuz".into(),
            "--ramdisk=/pxeboot/initrd.img".into(),
        ],
        vec![long, format!("--ramdisk={location}/images/pxeboot/initrd.img")],
    ];
    for way in &ways {
        for format in ["sxp", "simple", "simple0"] {
            let output = called(&scratch, "xenpvnetboot")
                .args(["--args=a b", "--output=-", "--output-directory"])
                .arg(&out)
                .arg(format!("--output-format={format}"))
                .args(way)
                .arg("/dev/disk")
                .output()
                .unwrap();
            let answer = text(&output);
            let (kernel, ramdisk) =
                (files(&out, "xenpvboot.vmlinuz."), files(&out, "xenpvboot.initrd.img."));
            let (k, r) = (kernel[0].display(), ramdisk[0].display());
            let expected = match format {
                "sxp" => format!("linux (kernel {k})(ramdisk {r})(args \"a b\")"),
                "simple" => format!("kernel {k}\nramdisk {r}\nargs a b\n\n"),
                _ => format!("kernel {k}\0ramdisk {r}\0args a b\0\0"),
            };
            assert_eq!(answer, expected, "{way:?}");
            assert_eq!(fs::read(&kernel[0]).unwrap(), bzimage("x"));
            assert_eq!(fs::read(&ramdisk[0]).unwrap(), b"initrd");
            assert_eq!(fs::metadata(&out).unwrap().mode() & 0o777, 0o750);
            fs::remove_file(&kernel[0]).unwrap();
            fs::remove_file(&ramdisk[0]).unwrap();
        }
    }
}

#[test]
fn xenpvnetboot_shows_progress_unless_it_is_to_be_quiet() {
    let scratch = Scratch::new();
    let tree = scratch.path("tree");
    fs::create_dir_all(tree.join("images/pxeboot")).unwrap();
    fs::write(tree.join("images/pxeboot/vmlinuz"), bzimage("x")).unwrap();
    fs::write(tree.join("images/pxeboot/initrd.img"), vec![1; 200 << 10]).unwrap();
    let server = http::start(&tree);
    for (options, is_quiet) in [(&[][..], false), (&["-q"], true), (&["--quiet"], true)] {
        let out = scratch.path("run/libxl");
        let output = called(&scratch, "xenpvnetboot")
            .env("XDG_CACHE_HOME", scratch.path(&format!("cache{}", options.concat())))
            .args(["--output=-", "--output-directory"])
            .arg(&out)
            .arg(format!("--location={}", server.url))
            .args(options)
            .output()
            .unwrap();
        assert!(text(&output).starts_with("linux (kernel "), "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr.contains("fetched "), !is_quiet, "{options:?}: {stderr}");
        assert_eq!(stderr.is_empty(), is_quiet, "{options:?}: {stderr}");
    }
}

#[test]
fn xenpvnetboot_refuses() {
    let scratch = Scratch::new();
    let tree = scratch.path("tree");
    fs::create_dir(&tree).unwrap();
    let location = format!("--location={}", tree.display());
    let out = format!("--output-directory={}", scratch.path("out").display());
    let run =
        |words: &[&str]| called(&scratch, "xenpvnetboot").args(words).arg(&out).output().unwrap();
    for (words, problem) in [
        (&[][..], "You should at least specify a location or kernel/ramdisk."),
        (&["--location=gopher://h/x"], "Unsupported location: gopher://h/x"),
        (&[&location], "Cannot get kernel from location: "),
        (&[&location, "--kernel=/etc/passwd"], "Cannot get kernel from location: "),
        (&[&location, "--output-format=x"], "Unknown output format: x"),
    ] {
        let (status, error) = refusal(&run(words));
        assert_eq!(status, Some(1), "{words:?}: {error}");
        assert!(error.starts_with(problem), "{words:?}: {error}");
        let quiet = run(&[words, &["-q"]].concat());
        assert_eq!(refusal(&quiet), (Some(1), String::new()), "{words:?}");
    }
}

/// A user that cannot exist is refused before the image is read, which is no image.
#[test]
fn rights_are_dropped_before_anything_is_parsed() {
    let scratch = Scratch::new();
    let garbage = scratch.file("disk.img", &[0x55; 4096]);
    let shown = garbage.display();
    let kernel = format!("--location={shown}");
    let disk = shown.to_string();
    let out = scratch.path("out");
    fs::create_dir(&out).unwrap();
    let directory = format!("--output-directory={}", out.display());
    for (name, words) in [
        ("pygrub", &["-q", &disk][..]),
        ("pygrub", &["-q", "--isconfig", &disk]),
        ("pygrub", &["-q", "--offset=512", &disk]),
        ("xenpvnetboot", &[&kernel]),
    ] {
        let output = called(&scratch, name)
            .args([&directory, "--runas=4294967296"])
            .args(words)
            .output()
            .unwrap();
        let (status, error) = refusal(&output);
        assert_eq!(status, Some(1), "{name} {words:?}: {error}");
        let problem = "Cannot become the user 4294967296";
        assert!(error.contains(problem), "{name} {words:?}: {error}");
    }
}
