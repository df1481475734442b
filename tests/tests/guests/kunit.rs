//! A small Linux with KUnit, crashes on request and debug information: `make test-kunit`, which
//! builds it (tests/kunit-kernel.sh).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use chukka_tests::native::Scratch;
use chukka_tests::runner::{Guest, HostKvm, Runner, host_kvm};
use chukka_tests::{assets, binaries};

/// The kernel, or a program that came with it.
fn built(name: &str) -> PathBuf {
    let path = assets::assets_folder().join("kunit").join(name);
    assert!(path.exists(), "{} is missing: make test-kunit builds it", path.display());
    path
}

fn shown(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// A folder with `qemu-system-x86_64`: chukka by another name. If guests run in the lab, that is a
/// script that has the lab run it.
fn qemu(in_lab: bool) -> Scratch {
    let folder = Scratch::new();
    let chukka = binaries::chukka().expect("it is built");
    if !in_lab {
        let link = std::os::unix::fs::symlink(&chukka, folder.path("qemu-system-x86_64"));
        link.expect("the folder is new");
        return folder;
    }
    let script = format!(
        "#!/bin/sh\n\
         for word; do words=\"$words '$word'\"; done\n\
         PATH='{}' exec {} --timeout 600 -- \"ls /usr/share/qemu/qboot.rom >/dev/null; \
         ln -s {} /tmp/qemu-system-x86_64; exec /tmp/qemu-system-x86_64 $words\"\n",
        // The lab starts QEMU by this name, and this script must not be it.
        std::env::var("PATH").unwrap_or_default(),
        env!("CARGO_BIN_EXE_lab"),
        chukka.display(),
    );
    let _ = folder.file_with_mode("qemu-system-x86_64", script.as_bytes(), 0o755);
    folder
}

/// Debian's kunit.py, unmodified, starts `qemu-system-x86_64` from `PATH`, and reads the results of
/// KUnit's tests of itself, of its examples and of lists.
#[test]
#[ignore = "needs a kernel: make test-kunit"]
fn kunit_py_parses_a_kernel_s_run() {
    // Not by `Runner`, which would start a lab that stays idle.
    let kvm = host_kvm().expect("chukka is built");
    let qemu = qemu(matches!(kvm, HostKvm::Unusable(_)));
    let path = std::env::var("PATH").unwrap_or_default();
    let build = built("build");
    let mut kunit = Command::new("python3");
    kunit.arg(built("tools/testing/kunit/kunit.py")).args(["exec", "--arch", "x86_64"]);
    kunit.args(["--timeout", "600", "--build_dir"]).arg(&build);
    let folder = qemu.path("qemu-system-x86_64");
    let folder = folder.parent().map(Path::to_string_lossy).unwrap_or_default();
    let output = kunit.env("PATH", format!("{folder}:{path}")).output().expect("it starts");
    let text = shown(&output);
    assert!(output.status.success(), "{text}");
    for line in ["example (4 subtests)", "[PASSED] hlist_test_init", "Testing complete. Ran "] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let log = fs::read_to_string(build.join("test.log")).expect("kunit.py writes it");
    assert!(log.contains("reboot: Restarting system") && !log.contains("chukka: "), "{log}");
}

/// drgn opens the core of a kernel that panicked, finds VMCOREINFO in it, and shows the stack of
/// the task that panicked.
#[test]
#[ignore = "needs a kernel: make test-kunit"]
fn drgn_shows_the_stack_of_a_panic() {
    let Some(runner) = Runner::get() else { return };
    let files = Scratch::new();
    let append = "console=ttyS0 lkdtm.cpoint_name=DIRECT lkdtm.cpoint_type=PANIC";
    let kernel = built("build/vmlinux").display().to_string();
    let words = ["-m", "64M", "-no-reboot", "-nographic", "-append", append, "-kernel", &kernel];
    let guest = Guest::argv(words).args(["-vmcore", CORE]).timeout_secs(600);
    let mut job = guest.job().expect("chukka is built");
    // The core comes back as text, also from the lab.
    let bring = format!("\"$@\" >&2; status=$?; gzip -c {CORE} | base64; rm {CORE}; exit $status");
    job.command.splice(0..0, ["sh", "-c", &bring, "sh"].map(String::from));
    let run = runner.run(&job);
    run.assert_exit(120).assert_stderr(&format!("chukka: the core file '{CORE}' has "));
    run.assert_stderr("the guest's kernel panicked: Kernel panic - not syncing: dumptest");
    let text = files.file("text", run.stdout.replace('\r', "").as_bytes());
    let core = files.path("core");
    let mut unpack = Command::new("sh");
    unpack.args(["-c", "base64 -d <\"$1\" | gzip -dc >\"$2\"", "sh"]).arg(text).arg(&core);
    assert!(unpack.status().is_ok_and(|status| status.success()), "the core has come");
    let mut drgn = Command::new(built("venv/bin/drgn"));
    drgn.arg("-c").arg(&core).arg("-s").arg(&kernel).args(["-e", LOOK]);
    let text = shown(&drgn.output().expect("it starts"));
    let release = fs::read_to_string(built("release")).expect("it is text");
    assert!(text.contains(&format!("OSRELEASE={}", release.trim())), "{text}");
    assert!(text.contains("\"swapper\" (pid_t)1"), "{text}");
    for function in [" panic (", " lkdtm_PANIC (", " do_one_initcall (", " kernel_init ("] {
        assert!(text.contains(function), "{function}: {text}");
    }
}

/// Where the guest's core is written.
const CORE: &str = "/tmp/chukka-kunit-core";
/// What drgn prints of it.
const LOOK: &str = "
print(prog['VMCOREINFO'].string_().decode())
thread = prog.crashed_thread()
print(thread.object.comm, thread.object.pid)
print(thread.stack_trace())
";
