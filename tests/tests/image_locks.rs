//! Two writers never share an image: chukka against QEMU, qemu-img and qemu-io, each as the one
//! that has the image and as the one that wants it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use chukka_tests::native::Scratch;
use chukka_tests::{assets, pack, sys};
use storage::disk::{Disk, DiskError, DiskOptions};

const QEMU: &str = "qemu-system-x86_64";
/// How Linux shows QEMU: the first 15 bytes of its name.
const QEMU_SHOWN: &str = "qemu-system-x86";

/// A raw image of 1 MiB, if QEMU's programs are there; the test is skipped loudly otherwise.
fn image(scratch: &Scratch) -> Option<PathBuf> {
    for program in [QEMU, "qemu-io", "qemu-img"] {
        let missing = || chukka_tests::Error::Missing(format!("{program} (package qemu-utils)"));
        assets::or_skip(pack::which(program).ok_or_else(missing))?;
    }
    let path = scratch.path("disk.raw");
    std::fs::File::create(&path).and_then(|file| file.set_len(1 << 20)).expect("there is room");
    Some(path)
}

/// A program of QEMU's that opens the image, and whether only for reading.
#[derive(Clone, Copy, Debug)]
struct Opener {
    program: &'static str,
    read_only: bool,
}

const OPENERS: [Opener; 4] = [
    Opener { program: "qemu-io", read_only: false },
    Opener { program: "qemu-io", read_only: true },
    Opener { program: QEMU, read_only: false },
    Opener { program: QEMU, read_only: true },
];

impl Opener {
    /// The program, which takes commands from its standard input.
    fn command(self, path: &Path) -> Command {
        let mut command = Command::new(self.program);
        if self.program == QEMU {
            let read_only = if self.read_only { "on" } else { "off" };
            let drive =
                format!("file={},format=raw,if=none,id=d,readonly={read_only}", path.display());
            command.args(["-M", "pc", "-accel", "tcg", "-nodefaults", "-nographic", "-S"]);
            command.args(["-monitor", "stdio", "-drive", &drive]);
            command.args(["-device", "virtio-blk-pci,drive=d"]);
        } else {
            command.args(["-f", "raw"]).args(self.read_only.then_some("-r")).arg(path);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        sys::die_with_parent_thread(&mut command);
        command
    }

    /// Opens the image and closes it: whether it could.
    fn opens(self, path: &Path) -> (bool, String) {
        let mut child = self.command(path).spawn().expect("it is there");
        // One that has ended already takes no input.
        drop(child.stdin.take().expect("a pipe").write_all(b"quit\n"));
        answer(&child.wait_with_output().expect("it ends"))
    }

    /// Opens the image and keeps it.
    fn holds(self, path: &Path) -> Holder {
        let mut child = self.command(path).spawn().expect("it is there");
        let mut input = child.stdin.take().expect("a pipe");
        let mut output = child.stdout.take().expect("a pipe");
        // The prompt may come earlier; an answer comes once everything is open.
        let (question, answer) = match self.program {
            QEMU => ("info status\n", "VM status"),
            _ => ("length\n", "1 MiB"),
        };
        input.write_all(question.as_bytes()).expect("it reads");
        let mut seen = String::new();
        while !seen.contains(answer) {
            let mut byte = [0];
            output.read_exact(&mut byte).expect("it answers");
            seen.push(byte[0].into());
        }
        Holder { child, input: Some(input) }
    }
}

/// A program that has the image.
struct Holder {
    child: Child,
    input: Option<ChildStdin>,
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.input.take().map(|mut input| input.write_all(b"quit\n")));
        drop(self.child.wait());
    }
}

fn answer(output: &Output) -> (bool, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn qemu_img(args: &[&str], path: &Path) -> (bool, String) {
    answer(&Command::new("qemu-img").args(args).arg(path).output().expect("it is there"))
}

fn options(read_only: bool) -> DiskOptions {
    DiskOptions { read_only, ..DiskOptions::default() }
}

#[test]
fn qemu_s_programs_stay_away_from_a_disk_that_is_open() {
    let scratch = Scratch::new();
    let Some(path) = image(&scratch) else { return };
    for read_only in [false, true] {
        let disk = Disk::open(&path, options(read_only)).expect("nobody has it");
        for opener in OPENERS {
            let (done, text) = opener.opens(&path);
            if !opener.read_only {
                assert!(!done && text.contains("lock"), "{opener:?}: {text}");
            } else if read_only {
                assert!(done, "two readers: {opener:?}: {text}");
            }
        }
        let (done, text) = qemu_img(&["commit", "-f", "raw"], &path);
        assert!(!done && text.contains("lock"), "{text}");
        let (done, text) = qemu_img(&["bench", "-w", "-c", "1", "-f", "raw"], &path);
        assert!(!done && text.contains("lock"), "{text}");
        if read_only {
            let (done, text) = qemu_img(&["info"], &path);
            assert!(done, "{text}");
        }
        drop(disk);
    }
    for opener in OPENERS {
        let (done, text) = opener.opens(&path);
        assert!(done, "nobody has it: {opener:?}: {text}");
    }
}

#[test]
fn a_disk_that_a_program_of_qemu_s_has_is_refused_with_its_name() {
    let scratch = Scratch::new();
    let Some(path) = image(&scratch) else { return };
    for opener in OPENERS {
        let holder = opener.holds(&path);
        let name = if opener.program == QEMU { QEMU_SHOWN } else { opener.program };
        let expected = format!(
            "The disk {} is in use by {name} (process {})",
            path.display(),
            holder.child.id()
        );
        for read_only in [false, true] {
            let opened = Disk::open(&path, options(read_only));
            // A qemu-io that reads lets others write: it locks no byte against them.
            if opener.read_only && (read_only || opener.program == "qemu-io") {
                assert!(opened.is_ok(), "{opener:?}: {opened:?}");
                continue;
            }
            let error = opened.expect_err(&format!("{opener:?}, read only {read_only}"));
            assert_eq!(error.to_string(), expected, "{opener:?}");
            assert!(matches!(error, DiskError::InUse { .. }));
        }
        drop(holder);
        Disk::open(&path, DiskOptions::default()).expect("nobody has it");
    }
}
