//! The complete installation: debootstrap installs Debian from a mirror, over the guest's network.
//! `make test-install` runs it; in the lab that takes an hour or more.

use std::os::unix::fs::symlink;

use super::*;

/// Installs on a disk of this format, and boots it to its login prompt.
fn installs(format: &str) {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let Some(mirror) = assets::or_skip(assets::mirror()) else { return };
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("mirror")).unwrap();
    for folder in ["dists", "pool"] {
        symlink(mirror.join(folder), scratch.path("mirror").join(folder)).unwrap();
    }
    let initrd = installer(with_debootstrap(&mirror.join("debootstrap")), &kernel);
    let mirror = Mirror::with(runner, scratch, &kernel, &initrd);

    let disk = format!("size=800M,format={format}");
    let options = ["--disk", &disk, NETWORK[0], NETWORK[1]];
    let install = mirror.install("/tmp/guest", "suite=bookworm", &options);
    let script = format!(
        "\"$chukka\" {install}; status=$?; cat /tmp/guest/console.log; [ $status = 0 ] || exit $status\n\
         \"$chukka\" start /tmp/guest && echo booted by grub\n"
    );
    let job = Mirror::job(&script, log_in_and_power_off, 4 * 3600);
    let run = runner.run_shown(&job);
    run.assert_exit(0)
        .assert_stderr("chukka: installed (after ")
        .assert_stdout("Base system installed successfully.")
        .assert_stdout("Booting from Hard Disk")
        .assert_stdout("installed login: root")
        .assert_stdout("booted by grub");
}

/// An initrd with debootstrap, and what it needs.
fn with_debootstrap(files: &Path) -> Initrd {
    let mut initrd = Initrd::new().unwrap();
    for program in ["dash", "dpkg-deb", "tar", "perl"] {
        initrd = with_program(initrd, program);
    }
    // busybox's does not know -nv. Its shell would run its own wget and tar, so another one runs
    // debootstrap.
    let wget = "#!/bin/sh\n[ \"$1\" != -nv ] || shift\nexec busybox wget -q \"$@\"\n";
    initrd = initrd
        .file("usr/bin/wget", wget.as_bytes())
        .file("usr/sbin/debootstrap", &fs::read(files.join("program")).unwrap())
        .file("usr/share/debootstrap/functions", &fs::read(files.join("functions")).unwrap());
    for script in ["debian-common", "bookworm", "sid"] {
        let path = files.join("scripts").join(script);
        initrd = initrd
            .file(&format!("usr/share/debootstrap/scripts/{script}"), &fs::read(path).unwrap());
    }
    initrd
}

#[test]
#[ignore = "takes an hour or more in the lab: make test-install"]
fn debian_is_installed_on_a_raw_disk() {
    installs("raw");
}

#[test]
#[ignore = "takes an hour or more in the lab: make test-install"]
fn debian_is_installed_on_a_qcow2_disk() {
    installs("qcow2");
}
