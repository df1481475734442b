//! CDs: Debian's kernel finds the drive, mounts the disc and reads it; the tray opens and closes.

use std::path::{Path, PathBuf};
use std::process::Command;

use chukka_tests::assets;
use chukka_tests::guest::Initrd;
use chukka_tests::native::Scratch;
use chukka_tests::pack;
use chukka_tests::runner::{Guest, Run, Runner};
use chukka_tests::servers::http;

/// Mounts the CD and checks its files. Then the tray opens when the device is closed (autoeject),
/// and stays open when it is opened (autoclose=0), until it is to close again.
const CD_SCRIPT: &str = r#"
tries=0
while [ ! -b /dev/sr0 ] && [ $tries -lt 300 ]; do sleep 0.1; tries=$((tries + 1)); done
mkdir -p /mnt
read_all() { mount -t iso9660 -o ro /dev/sr0 /mnt && (cd /mnt && sha256sum -c sums) && umount /mnt; }
echo "removable=$(cat /sys/block/sr0/removable) sectors=$(cat /sys/block/sr0/size)"
echo "model=$(cat /sys/block/sr0/device/model)"
read_all && echo "read: all there"
cd /proc/sys/dev/cdrom
echo 0 >autoclose; echo 1 >autoeject
head -c 2048 /dev/sr0 >/dev/null; echo "opened"
echo 0 >autoeject
head -c 2048 /dev/sr0 >/dev/null || echo "no disc in an open tray"
echo 1 >autoclose
read_all && echo "closed: all there"
echo x 2>/dev/null >/dev/sr0 || echo "not writable"
"#;

/// An initrd that has a CD drive and runs the script.
fn initrd(kernel: &assets::Kernel) -> PathBuf {
    let initrd = Initrd::new().expect("busybox is there");
    let modules = ["virtio_mmio", "virtio_pci", "virtio_scsi", "sr_mod", "isofs"];
    let (initrd, load) = initrd.modules(kernel, &modules).expect("Debian has them");
    initrd.script(&format!("{load}{CD_SCRIPT}")).write().expect("there is room")
}

/// Has GRUB show its menu on the serial line.
const GRUB_CFG: &str = "serial --unit=0 --speed=115200\nterminal_input serial\nterminal_output serial\nset timeout=1\n\
    menuentry 'Linux on this CD' {\n\tlinux /linux console=ttyS0 quiet panic=-1\n\tinitrd /initrd\n}\n";

/// An ISO image with a file of 700 kB and its checksum, whose length is no multiple of a block.
/// With a kernel, it boots by GRUB.
fn image(scratch: &Scratch, kernel: Option<&assets::Kernel>) -> PathBuf {
    let tree = scratch.path("tree");
    std::fs::create_dir(&tree).expect("there is room");
    let content: Vec<u8> =
        (0u32..175_001).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(tree.join("numbers"), content).expect("there is room");
    let path = scratch.path("cd.iso");
    let run = |command: &mut Command| {
        let output = command.output().expect("set-up brings it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let sums = run(Command::new("sha256sum").arg("numbers").current_dir(&tree));
    std::fs::write(tree.join("sums"), sums).expect("there is room");
    if let Some(kernel) = kernel {
        std::fs::create_dir_all(tree.join("boot/grub")).expect("there is room");
        std::fs::write(tree.join("boot/grub/grub.cfg"), GRUB_CFG).expect("there is room");
        std::fs::copy(&kernel.vmlinuz, tree.join("linux")).expect("there is room");
        std::fs::copy(initrd(kernel), tree.join("initrd")).expect("there is room");
        // As on an installer's medium, most of it is not read.
        let packages = std::fs::File::create(tree.join("packages")).expect("there is room");
        packages.set_len(256 << 20).expect("there is room");
        run(Command::new("grub-mkrescue")
            .args(["-d", "/usr/lib/grub/i386-pc", "-o"])
            .args([&path, &tree]));
    } else {
        let genisoimage = pack::which("genisoimage").expect("set-up brings it");
        run(Command::new(genisoimage).args(["-quiet", "-r", "-o"]).args([&path, &tree]));
    }
    let file = std::fs::OpenOptions::new().append(true).open(&path).expect("it is there");
    let length = file.metadata().expect("it is there").len();
    file.set_len(length + 700).expect("there is room");
    path
}

/// Checks what the script printed.
fn assert_read(run: &Run, image: &Path) {
    let sectors = std::fs::metadata(image).expect("it is there").len().div_ceil(2048) * 4;
    run.assert_userspace().assert_exit(0);
    run.assert_stdout(&format!("removable=1 sectors={sectors}"));
    run.assert_stdout("model=QEMU CD-ROM");
    for line in ["read: all there", "opened", "no disc in an open tray", "closed: all there"] {
        run.assert_stdout(line);
    }
    run.assert_stdout("not writable");
}

#[test]
fn linux_reads_a_cd_and_opens_the_tray_on_microvm() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let scratch = Scratch::new();
    let image = image(&scratch, None);
    let guest = Guest::new().initrd(&initrd(&kernel)).kernel(&kernel.vmlinuz).timeout_secs(400);
    let cd = image.to_str().expect("a path that is text");
    let job = guest.args(["-M", "microvm", "-cdrom", cd]).job().expect("set-up is done");
    assert_read(&runner.run(&job.need(&image)), &image);
}

/// The CD boots, from a server: SeaBIOS starts its GRUB, whose menu starts its kernel, which finds
/// the CD. Of what the guest does not read, little is fetched.
#[test]
fn a_cd_of_grub_mkrescue_boots_on_pc_by_http_and_its_linux_reads_it_and_opens_the_tray() {
    let Some(runner) = Runner::get() else { return };
    let Some(kernel) = assets::or_skip(assets::cloud()) else { return };
    let Some(bios) = assets::or_skip(assets::firmware("bios-256k.bin")) else { return };
    let scratch = Scratch::new();
    let image = image(&scratch, Some(&kernel));
    let server = http::start(&scratch.path(""));
    let url = server.url.replacen("127.0.0.1", runner.host(), 1) + "/cd.iso";
    let guest = Guest::argv(["-M", "pc", "-m", "256", "-nographic", "-no-reboot", "-cdrom", &url]);
    let run = runner.run(&guest.timeout_secs(400).job().expect("set-up is done").need(&bios));
    let length = |path: &Path| std::fs::metadata(path).expect("it is there").len();
    let tree = scratch.path("tree");
    let [kernel, initrd] = ["linux", "initrd"].map(|name| length(&tree.join(name)));
    let (size, sent) = (length(&image), server.bytes_requested());
    println!("{sent} bytes of {size} sent; kernel {kernel}, initrd {initrd}");
    // The rest are GRUB, the file that the guest reads, and at most 4 MiB ahead.
    assert!(sent < kernel + initrd + (12 << 20), "{sent} bytes of {size} were fetched");
    run.assert_stdout("Booting from DVD/CD").assert_stdout("Linux on this CD");
    assert_read(&run, &image);
}
