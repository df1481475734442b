//! docs/install-examples.md: its commands are run, and print what the page says, except for times.
//! With `CHUKKA_EXAMPLES=write` the test updates the page.

#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use chukka_tests::native::guest::bzimage;
use chukka_tests::native::{self, Scratch};
use chukka_tests::{assets, binaries, servers, skip};

const PAGE: &str = "docs/install-examples.md";
/// What the installers print, and the boot sector that they write.
const INSTALLER: &str = "\"Installing the system ... done\r\n\"{The system from the disk\r\n!\"";

/// The start of a boot sector that prints the text at its offset 0x80 on COM1.
const PRINT: [u8; 17] = [
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, // xor ax, ax; mov ds, ax; mov es, ax
    0xfc, 0xbe, 0x80, 0x7c, // cld; mov si, 0x7c80
    0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xac, 0xee, 0x3c, 0x0a, // lodsb; out dx, al; cmp al, end of line
];
/// Back to the lodsb, up to the end of the line.
const AGAIN: [u8; 2] = [0x75, 0xfa];
/// Writes the sector at 0x7e00 to the first sector of the first disk.
const WRITE: [u8; 14] = [
    0xb8, 0x01, 0x03, 0xb9, 0x01, 0x00, // mov ax, 0x0301; mov cx, 1
    0xba, 0x80, 0x00, 0xbb, 0x00, 0x7e, // mov dx, 0x80; mov bx, 0x7e00
    0xcd, 0x13, // int 0x13
];
/// Powers off by ACPI.
const POWER_OFF: [u8; 8] = [0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4];

/// What a CD boots: a program that writes a boot sector to the disk. The sector comes after it.
fn boot_image() -> Vec<u8> {
    let sector = |program: &[&[u8]], text: &str| {
        let mut sector = program.concat();
        sector.resize(0x80, 0);
        sector.extend(text.bytes());
        sector.resize(510, 0);
        sector.extend([0x55, 0xaa]);
        sector
    };
    let installer = sector(
        &[&PRINT, &AGAIN, &WRITE, &POWER_OFF],
        "Installing the system from the CD ... done\r\n",
    );
    let system = sector(&[&PRINT, &AGAIN, &POWER_OFF], "The system from the disk\r\n");
    [installer, system, vec![0; 1024]].concat()
}

/// What is in the page's place of a name of this run, longest first.
type Names = Vec<(String, &'static str)>;

/// The trees, images and answers that the page names.
fn files(scratch: &Scratch) {
    let tree = |name: &str, files: &[(&str, Vec<u8>)]| {
        for (path, content) in files {
            let path = scratch.path("srv").join(name).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    };
    let info = "[general]\nfamily = Fedora\nversion = 42\narch = x86_64\n\
        [images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n";
    let kernel = bzimage(&format!("{INSTALLER}P"));
    let initrd = b"an initrd".to_vec();
    tree(
        "fedora",
        &[
            (".treeinfo", info.into()),
            ("images/pxeboot/vmlinuz", kernel.clone()),
            ("images/pxeboot/initrd.img", initrd.clone()),
        ],
    );
    let netboot = |kernel: Vec<u8>| {
        [
            ("current/images/netboot/debian-installer/amd64/linux", kernel),
            ("current/images/netboot/debian-installer/amd64/initrd.gz", initrd.clone()),
        ]
    };
    tree("debian/dists/stable/main/installer-amd64", &netboot(kernel));
    tree("resets", &netboot(bzimage(&format!("{INSTALLER}R"))));
    tree("broken", &netboot(bzimage("\"No space left on device\r\n\"P")));
    drop(scratch.file("ks.cfg", b"text\npoweroff\n"));
    drop(scratch.file("preseed.cfg", b"d-i debian-installer/exit/poweroff boolean true\n"));
    drop(scratch.file(
        "xcp.toml",
        b"install-repository = 'http://mirror.example/debian/'\n\
        install-distro = 'debianlike'\n\
        debian-release = 'stable'\n\
        install-args = 'quiet'\n\
        disks = '<provision><disk device=\"0\" size=\"1073741824\" sr=\"\" bootable=\"true\" type=\"system\"/></provision>'\n",
    ));
    let make = |line: &str| {
        let made = Command::new("sh").args(["-c", line]).current_dir(scratch.path("")).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
    };
    make("genisoimage -quiet -R -V Fedora-42 -o fedora.iso srv/fedora && cp fedora.iso srv");
    fs::create_dir(scratch.path("cd")).unwrap();
    fs::write(scratch.path("cd/boot.img"), boot_image()).unwrap();
    make("genisoimage -quiet -b boot.img -no-emul-boot -boot-load-size 4 -o installer.iso cd");
    make(
        "PATH=$PATH:/sbin; mke2fs -q -t ext4 -d srv/debian/dists/stable/main/installer-amd64 debian.img 8M",
    );
}

/// Runs a line in the scratch folder; what it printed, with the page's names.
fn run(line: &str, scratch: &Scratch, names: &Names) -> String {
    let mut command = line.to_owned();
    for (real, name) in names {
        command = command.replace(name, real);
    }
    if command.starts_with("chukka -") {
        // SeaBIOS's image for pc waits for timer ticks, which an emulated KVM can lose.
        command.push_str(" -global kvm-pit.lost_tick_policy=discard");
    }
    let path = format!("{}:{}", scratch.path("bin").display(), std::env::var("PATH").unwrap());
    let shell = Command::new("timeout")
        .args(["240", "sh", "-c", &format!("{command} 2>&1 </dev/null")])
        .current_dir(scratch.path(""))
        .env("PATH", path)
        .env("XDG_CACHE_HOME", scratch.path("cache"))
        .output()
        .unwrap();
    let mut text = String::from_utf8_lossy(&shell.stdout).replace('\r', "");
    for (real, name) in names {
        text = text.replace(real, name);
    }
    without_control_sequences(&text)
}

/// SeaBIOS draws by the control sequences of a terminal.
fn without_control_sequences(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        plain.push_str(&rest[..at]);
        let sequence = &rest[at + 1..];
        let end = match sequence.strip_prefix('[') {
            Some(body) => body.find(|c: char| c.is_ascii_alphabetic()).map_or(0, |end| end + 2),
            None => 1.min(sequence.len()),
        };
        rest = &sequence[end..];
    }
    plain.push_str(rest);
    let lines = plain.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// The page, with the output of its commands.
fn filled(page: &str, scratch: &Scratch, names: &Names) -> String {
    let mut new = String::new();
    let mut is_console = false;
    for line in page.lines() {
        let fence = line.starts_with("```");
        if is_console && !fence && !line.starts_with("$ ") {
            continue;
        }
        writeln!(new, "{line}").unwrap();
        if fence {
            is_console = line == "```console";
        }
        let Some(command) = line.strip_prefix("$ ").filter(|_| is_console) else { continue };
        new.push_str(&run(command, scratch, names));
    }
    new
}

/// The text without what differs from run to run or host to host: numbers of seconds, the size and
/// the checksum of the small kernel, and SeaBIOS's version.
fn comparable(text: &str) -> String {
    let is_number = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        for at in 0..words.len() {
            let word = words[at];
            let before = at.checked_sub(1).map_or("", |before| words[before]);
            if word.trim_end_matches([')', ':', ',']) == "s"
                && is_number(before.trim_start_matches('('))
            {
                words[at - 1] = "N";
            } else if before == "(version" {
                words[at] = "VERSION";
            } else if let Some((name, _)) = word.split_once("sha256-") {
                words[at] = name;
            } else if let Some(size) = word.strip_prefix('(').and_then(|w| w.split_once("K)"))
                && is_number(size.0)
            {
                words[at] = size.1;
            }
        }
        words.join(" ") + "\n"
    };
    text.lines().map(line).collect()
}

#[test]
fn the_examples_print_what_the_page_says() {
    if !native::kvm() {
        return;
    }
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return skip("nfs-ganesha, the NFS server, only runs for root");
    }
    let scratch = Scratch::new();
    files(&scratch);
    fs::create_dir(scratch.path("bin")).unwrap();
    symlink(binaries::chukka().unwrap(), scratch.path("bin/chukka")).unwrap();
    let http = servers::http::start(&scratch.path("srv"));
    let ftp = servers::ftp::start(&scratch.path("srv"));
    let nfs = servers::nfs::start(&scratch.path("srv"));
    let names = vec![
        (scratch.path("cache").display().to_string(), "/home/user/.cache"),
        (nfs.url.clone(), "nfs:mirror.example:/srv"),
        (http.url.clone(), "http://mirror.example"),
        (ftp.url.clone(), "ftp://mirror.example"),
    ];
    let path = assets::workspace().join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let template = scratch.path("xcp.toml");
    let text = fs::read_to_string(&template).unwrap().replace(names[2].1, &names[2].0);
    fs::write(&template, text).unwrap();
    let new = filled(&page, &scratch, &names);
    if std::env::var_os("CHUKKA_EXAMPLES").is_some_and(|value| value == "write") {
        fs::write(&path, new).unwrap();
        return;
    }
    assert_same(&comparable(&page), &comparable(&new), &path);
}

#[track_caller]
fn assert_same(page: &str, new: &str, path: &Path) {
    for (number, (old, new)) in page.lines().zip(new.lines()).enumerate() {
        assert_eq!(old, new, "{}, line {}", path.display(), number + 1);
    }
    assert_eq!(page.lines().count(), new.lines().count(), "{}", path.display());
}
