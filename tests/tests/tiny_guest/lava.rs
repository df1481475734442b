//! A job of LAVA, the laboratory that KernelCI's boards are in: tuxrun and LAVA's dispatcher, both
//! unmodified, boot a kernel with chukka in QEMU's place and log in on its console.

use std::path::Path;
use std::process::{Command, Output};

use chukka_tests::native::{self, Scratch, guest};
use chukka_tests::{assets, binaries};

/// What the kernel does: it prints what LAVA expects of a device of the type `qemu`, up to the
/// login prompt, waits for a line, which is the user's name, and prints a shell's prompt.
const LOG_IN: &str = "\"[    0.000000] Linux version 6.1.0-test\r\n\r\nDebian GNU/Linux 12 tiny ttyS0\r\n\r\n\
    tiny login: \",\"root\r\nroot@tiny:~# \"H";

/// Runs `tuxrun` with a device of the type qemu-x86_64 and these arguments. `PATH` has LAVA's
/// `lava-run` and chukka as `qemu-system-x86_64`.
fn tuxrun(lava: &Path, scratch: &Scratch, arguments: &[&str]) -> Output {
    let bin = scratch.path("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(binaries::chukka().unwrap(), bin.join("qemu-system-x86_64"))
        .unwrap();
    let root = lava.join("root/usr");
    let wrapper = format!(
        "#!/bin/sh\nPYTHONPATH='{root}/lib/python3/dist-packages' LD_LIBRARY_PATH='{root}/lib/x86_64-linux-gnu' \\\n\
         exec /usr/bin/python3 '{root}/bin/lava-run' \"$@\"\n",
        root = root.display()
    );
    let _ = scratch.file_with_mode("bin/lava-run", wrapper.as_bytes(), 0o755);
    // LAVA keeps its files in a fixed folder below /var/lib.
    let mut command = Command::new("unshare");
    // It also writes a folder `output` where it runs.
    command.current_dir(scratch.path(""));
    command.args(["--mount", "--map-root-user", "sh", "-c"]);
    command
        .arg("mount -t tmpfs tmpfs /var/lib && mkdir -p /var/lib/lava/dispatcher && exec \"$@\"")
        .arg("sh");
    command.arg(lava.join("venv/bin/python3")).args(["-m", "tuxrun", "--runtime", "null"]);
    command.args(["--device", "qemu-x86_64", "--cache-dir"]).arg(scratch.path("cache"));
    let path = std::env::var("PATH").unwrap_or_default();
    command.args(arguments).env("PATH", format!("{}:{path}", bin.display())).output().unwrap()
}

#[test]
fn tuxrun_runs_a_job_of_lava() {
    let Some(lava) = assets::or_skip(assets::lava()) else { return };
    if !native::kvm() {
        return;
    }
    let scratch = Scratch::new();
    let file = |path: &Path| format!("file://{}", path.display());
    let kernel = file(&scratch.file("kernel", &guest::bzimage(LOG_IN)));
    let root = file(&scratch.file("root.ext4", &[0; 1 << 20]));
    let ended =
        tuxrun(&lava, &scratch, &["--kernel", &kernel, "--rootfs", &root, "--timeouts", "boot=2"]);
    let log = format!(
        "{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(ended.status.success(), "{log}");
    for line in ["root@tiny:~# ", "'case': 'job', 'definition': 'lava', 'result': 'pass'"] {
        assert!(log.contains(line), "no {line:?} in {log}");
    }
}
