//! Debian's own installer: the kernel and initrd of its netboot images, a preseed file by URL, and
//! a mirror on the host's loopback with the components that the package archive has. It gets as far
//! as that: the network, the preseed file, its components with their checksums, and the disk. `make
//! test-install` runs it; in the lab that takes minutes.

use std::process::Command;

use super::*;

/// The component that stands in for disk-detect, which is not to be had. It finds the disks as that
/// does, by hw-detect, reports how far the installer has come, and switches the machine off.
const CONTROL: &str = "Package: disk-report\nVersion: 1\nArchitecture: all\n\
                       Maintainer: chukka's tests <chukka@example.org>\nInstaller-Menu-Item: 3500\n\
                       Provides: harddrive-detection\nDepends: cdebconf-udeb, hw-detect, di-utils\n\
                       Section: debian-installer\nPriority: standard\n\
                       Description: Detect disks, and report\n";
const POSTINST: &str = r#"#!/bin/sh
. /usr/share/debconf/confmodule
report() { echo "disk-report: $*" >/dev/console; }
report "address $(ip -4 -o addr show scope global | sed 's/.*inet \([^ ]*\).*/\1/')"
db_get preseed/url
report "preseed file $RET"
grep -o 'successfully loaded preseed file from .*' /var/log/syslog | while read -r line; do report "$line"; done
for name in $(sed -n 's/^Package: //p' /var/lib/dpkg/status); do report "component $name."; done
[ -n "$(list-devices disk)" ] || report "no disk before its driver"
hw-detect
for disk in $(list-devices disk); do
	sys=/sys/block/${disk#/dev/}
	report "disk $disk, $(cat $sys/size) sectors, driver $(basename "$(readlink -f $sys/device/driver)")"
done
poweroff -f
"#;

/// Everything that the installer fetches, on a server.
struct Debian {
    runner: &'static Runner,
    server: Server,
    /// What the server has.
    files: Scratch,
    /// The names of the mirror's components.
    components: Vec<String>,
}

impl Debian {
    fn start() -> Option<Self> {
        let runner = Runner::get()?;
        let installer = assets::or_skip(assets::installer())?;
        let udebs = assets::or_skip(assets::installer_components())?;
        let files = Scratch::new();
        let tree = files.path("www").join(TREE);
        fs::create_dir_all(&tree).unwrap();
        fs::copy(&installer.linux, tree.join("linux")).unwrap();
        fs::copy(&installer.initrd, tree.join("initrd.gz")).unwrap();
        let components = mirror(&files, &udebs);
        let server = http::start(&files.path("www"));
        let this = Self { runner, server, files, components };
        fs::write(this.files.path("www/preseed.cfg"), this.preseed()).unwrap();
        Some(this)
    }

    /// The address and port of the server for the guest.
    fn authority(&self) -> String {
        for_the_guest(self.runner, &self.server.url).replacen("http://", "", 1)
    }

    /// The answers to what has to be answered until the disk is found.
    fn preseed(&self) -> String {
        format!(
            "d-i debian-installer/locale string en_US.UTF-8\n\
             d-i keyboard-configuration/xkb-keymap select us\n\
             d-i mirror/country string manual\n\
             d-i mirror/protocol string http\n\
             d-i mirror/http/hostname string {}\n\
             d-i mirror/http/directory string /debian\n\
             d-i mirror/http/proxy string\n\
             d-i mirror/suite string bookworm\n\
             d-i debian-installer/allow_unauthenticated boolean true\n",
            self.authority()
        )
    }

    /// The words for the installer's kernel. An error message waits for a key in vain, so it shows.
    fn words(&self) -> String {
        format!(
            "auto=true priority=critical url=http://{}/preseed.cfg ipv6.disable=1 \
             console=ttyS0 DEBIAN_FRONTEND=text TERM=dumb quiet",
            self.authority()
        )
    }

    /// Runs chukka with these words and the location, and checks how far the installer comes.
    fn comes_to_the_disk(&self, words: &[&str], disk: &str, after: &str) -> Run {
        let mut line = vec!["\"$chukka\"".to_owned()];
        line.extend(words.iter().map(|word| quote(word)));
        let location = self.server.url.replacen("127.0.0.1", self.runner.host(), 1);
        let script = format!("{} {location}; echo \"it ended with $?\"\n{after}", line.join(" "));
        let run = self.runner.run_shown(&Mirror::job(&script, |job| job, 3600));
        run.assert_exit(0)
            .assert_stdout("Loading additional components")
            .assert_stdout("disk-report: address 10.0.3.15/24")
            .assert_stdout(&format!(
                "disk-report: successfully loaded preseed file from http://{}/preseed.cfg",
                self.authority()
            ))
            .assert_stdout("disk-report: no disk before its driver")
            .assert_stdout(&format!("disk-report: disk /dev/vda, {disk}, driver virtio_blk"));
        for name in &self.components {
            run.assert_stdout(&format!("disk-report: component {name}."));
        }
        run
    }
}

/// Makes the mirror, in `www/debian`: the components with the checksums that Debian's own index
/// has, and the one above. Returns their names.
fn mirror(files: &Scratch, udebs: &Path) -> Vec<String> {
    let root = files.path("www/debian");
    let index = root.join("dists/bookworm/main/debian-installer/binary-amd64");
    let packages = root.join("dists/bookworm/main/binary-amd64");
    for folder in [&index, &packages, &root.join("pool")] {
        fs::create_dir_all(folder).unwrap();
    }
    for entry in fs::read_dir(udebs.join("pool")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), root.join("pool").join(entry.file_name())).unwrap();
    }
    let mut list = fs::read_to_string(udebs.join("Packages")).unwrap();
    let own = root.join("pool/disk-report_1_all.udeb");
    fs::create_dir_all(files.path("own/DEBIAN")).unwrap();
    let _ = files.file("own/DEBIAN/control", CONTROL.as_bytes());
    let script = files.file("own/DEBIAN/postinst", POSTINST.as_bytes());
    done(Command::new("chmod").arg("755").arg(script));
    done(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Zgzip", "--build"])
            .args([&files.path("own"), &own]),
    );
    list += &format!("{CONTROL}Filename: pool/disk-report_1_all.udeb\n");
    list += &format!("Size: {}\nSHA256: {}\n", fs::metadata(&own).unwrap().len(), sha256(&own));
    let list_file = index.join("Packages");
    fs::write(&list_file, &list).unwrap();
    let (sum, size) = (sha256(&list_file), list.len());
    // The installer asks for this one before it believes that the mirror has its architecture.
    fs::write(packages.join("Release"), "Suite: bookworm\nComponent: main\nArchitecture: amd64\n")
        .unwrap();
    let release = format!(
        "Suite: bookworm\nCodename: bookworm\nComponents: main\nArchitectures: amd64\nSHA256:\n \
         {sum} {size} main/debian-installer/binary-amd64/Packages\n"
    );
    fs::write(root.join("dists/bookworm/Release"), release).unwrap();
    list.lines().filter_map(|line| line.strip_prefix("Package: ")).map(String::from).collect()
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn sha256(file: &Path) -> String {
    done(Command::new("sha256sum").arg(file))[..64].to_owned()
}

#[test]
#[ignore = "takes minutes in the lab: make test-install"]
fn chukka_install_runs_debian_s_installer_up_to_the_disk() {
    let Some(debian) = Debian::start() else { return };
    let extra = debian.words();
    let words = [
        "install",
        "--cache",
        "off",
        "--noautoconsole",
        "--state",
        "/tmp/guest",
        "--extra-args",
        &extra,
        NETWORK[0],
        NETWORK[1],
        "--disk",
        "size=2G",
    ];
    let run = debian.comes_to_the_disk(
        &words,
        "4194304 sectors",
        "cat /tmp/guest/console.log\n\"$chukka\" start /tmp/guest; echo \"start: $?\"\n",
    );
    // The disk was found, and nothing was installed on it.
    run.assert_stdout("it ended with 123")
        .assert_stderr("not installed: the guest powered off, and wrote nothing to its disk")
        .assert_stdout("start: 125");
}
