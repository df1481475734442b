//! The command lines of tools that drive QEMU, word for word: the table in docs/tools.md.

use chukka_tests::native::guest;
use chukka_tests::native::{self, Scratch, Start, start};

/// chukka's name for these tools.
const QEMU: &str = "qemu-system-x86_64";

/// Command lines that run a guest as they are. `vmlinuz`, `initrd.gz`, `root.img` and `DIR` stand
/// for files.
const RUN: [(&str, &str); 16] = [
    (
        "kunit.py 6.1",
        "-nodefaults -m 1024 -kernel vmlinuz -append 'kunit.enable=1 console=ttyS0 kunit_shutdown=reboot' \
         -no-reboot -nographic -serial stdio -bios qboot.rom",
    ),
    (
        "kunit.py 6.12",
        "-nodefaults -m 1024 -kernel vmlinuz -append 'kunit.enable=1 console=ttyS0 kunit_shutdown=reboot' \
         -no-reboot -nographic -accel kvm -accel hvf -accel tcg -serial stdio -bios qboot.rom",
    ),
    (
        "boot-utils",
        "-display none -nodefaults -d unimp,guest_errors -append 'console=ttyS0 earlycon=uart8250,io,0x3f8' \
         -kernel vmlinuz -initrd initrd.gz -cpu host -enable-kvm -m 512m -smp 2 -serial mon:stdio",
    ),
    (
        "boot-utils without KVM",
        "-display none -nodefaults -d unimp,guest_errors -cpu Nehalem -append console=ttyS0 -kernel vmlinuz \
         -initrd initrd.gz -m 512m -serial mon:stdio",
    ),
    (
        "rcutorture",
        "-machine q35,accel=kvm -cpu kvm64 -serial file:DIR/console.log -smp 2 -net none -m 512 -kernel vmlinuz \
         -append 'debug_boot_weak_hash panic=-1 selinux=0 initcall_debug debug console=ttyS0'",
    ),
    (
        "nolibc",
        "-display none -no-reboot -kernel vmlinuz -serial stdio -M pc \
         -append 'console=ttyS0,9600 i8042.noaux panic=-1'",
    ),
    (
        "bpf vmtest.sh",
        "-nodefaults -display none -serial mon:stdio -cpu host -smp 8 -enable-kvm -m 4G \
         -drive file=root.img,format=raw,index=1,media=disk,if=virtio,cache=none -kernel vmlinuz \
         -append 'root=/dev/vda rw console=ttyS0,115200'",
    ),
    (
        "tuxrun",
        "-cpu Nehalem -machine q35 -nographic -nic none -m 4G -monitor none -no-reboot -smp 2 -kernel vmlinuz \
         -append 'console=ttyS0,115200 rootwait debug' -initrd initrd.gz",
    ),
    (
        "LAVA",
        "-cpu host -enable-kvm -nographic -net nic,model=virtio,macaddr=52:54:00:12:34:58 -net user -m 512 \
         -monitor none -kernel vmlinuz -append 'console=ttyS0,115200' -initrd initrd.gz",
    ),
    (
        "buildroot",
        "-M pc -kernel vmlinuz -drive file=root.img,if=virtio,format=raw \
         -append 'rootwait root=/dev/vda console=tty1 console=ttyS0' -net nic,model=virtio -net user -nographic",
    ),
    (
        "mkosi",
        "-machine type=q35,accel=kvm,smm=off -smp 1 -m 1G -object rng-random,filename=/dev/urandom,id=rng0 \
         -device virtio-rng-pci,rng=rng0,id=rng-device0 -cpu max -nographic -nodefaults -serial mon:stdio \
         -nic user,model=virtio-net-pci -kernel vmlinuz -initrd initrd.gz -append console=ttyS0 \
         -drive if=virtio,id=hd,file=root.img,format=raw",
    ),
    (
        "tuxrun with a disk",
        "-cpu Nehalem -machine q35 -nographic -net nic,model=virtio,macaddr=52:54:00:12:34:58 -net user -m 4G \
         -monitor none -no-reboot -smp 2 -kernel vmlinuz \
         -append 'console=ttyS0,115200 rootwait root=/dev/sda debug' -drive file=root.img,if=ide,format=raw",
    ),
    (
        "syzkaller, virtio-net and root=/dev/vda",
        "-m 2048 -smp 2 -display none -serial stdio -no-reboot -enable-kvm -cpu host,migratable=off \
         -device virtio-net,netdev=net0 -netdev user,id=net0,host=10.0.2.10,hostfwd=tcp:127.0.0.1:0-:22 \
         -hda root.img -snapshot -kernel vmlinuz -append 'root=/dev/vda console=ttyS0'",
    ),
    (
        "libvirt's consoles",
        "-machine pc,accel=kvm -nodefaults -no-user-config -display none -m 512 \
         -chardev socket,id=charmonitor,path=DIR/mon,server=on,wait=off \
         -mon chardev=charmonitor,id=monitor,mode=control \
         -chardev stdio,id=charserial0,logfile=DIR/serial.log,logappend=on \
         -device isa-serial,chardev=charserial0,id=serial0,index=0 \
         -device virtio-serial-pci,id=virtio-serial0,max_ports=16 \
         -chardev socket,id=charchannel0,path=DIR/agent,server=on,wait=off \
         -device virtserialport,bus=virtio-serial0.0,nr=1,chardev=charchannel0,id=channel0,name=org.qemu.guest_agent.0 \
         -kernel vmlinuz -initrd initrd.gz -append console=ttyS0",
    ),
    (
        "a terminal shared with the monitor",
        "-nographic -chardev stdio,id=char0,mux=on,signal=off -mon chardev=char0,mode=readline -serial chardev:char0 \
         -kernel vmlinuz -append console=ttyS0",
    ),
    (
        "kvm-unit-tests without pci-testdev",
        "--no-reboot -nodefaults -global kvm-pit.lost_tick_policy=discard -device pc-testdev \
         -device isa-debug-exit,iobase=0xf4,iosize=0x4 -display none -serial stdio -machine accel=kvm \
         -kernel vmlinuz -smp 1 -initrd initrd.gz",
    ),
];

/// Command lines that name what is not here, each with what chukka says about it.
const REFUSED: [(&str, &str, &str); 10] = [
    ("boot-utils", "-device virtio-scsi-pci -device scsi-hd,drive=d", "virtio and SATA disks only"),
    ("kvm-unit-tests", "-device pci-testdev", "does not have this device"),
    ("wireguard", "-machine microvm,accel=kvm,acpi=off", "acpi=on"),
    (
        "tuxrun with a disk, on microvm",
        "-drive file=root.img,if=ide,format=raw -append root=/dev/sda",
        "virtio disks",
    ),
    ("syzkaller", "-device e1000,netdev=net0 -netdev user,id=net0", "virtio network cards only"),
    ("vng", "-fsdev local,id=virtfs5,path=/,security_model=none", "-fsdev is a QEMU option"),
    ("vmtest", "-virtfs local,id=root,path=/,mount_tag=/dev/root", "-virtfs is a QEMU option"),
    ("ktest", "-numa node,memdev=mem", "-numa is a QEMU option"),
    ("packer", "-vnc 127.0.0.1:47", "no screen"),
    ("systemd-vmspawn", "-machine q35,memory-backend=mem", "memory-backend"),
];

/// The words of a command line, as a shell splits them.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    words.push(word);
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

/// The files that the command lines name.
struct Files(Scratch);

impl Files {
    /// `script` is what the kernel does.
    fn new(script: &str) -> Self {
        let files = Scratch::new();
        drop(files.file("vmlinuz", &guest::bzimage(script)));
        drop(files.file("initrd.gz", b"an initrd"));
        drop(files.file("root.img", &[0; 1 << 16]));
        Self(files)
    }

    fn start(&self, text: &str) -> Start {
        let mut words = words(text);
        for word in &mut words {
            for name in ["vmlinuz", "initrd.gz", "root.img"] {
                *word = word.replace(name, &self.0.path(name).display().to_string());
            }
            *word = word.replace("DIR", &self.0.path("").display().to_string());
        }
        start(words).called(QEMU)
    }
}

#[test]
fn the_command_lines_of_tools_run_a_guest_as_they_are() {
    if !native::kvm() {
        return;
    }
    let files = Files::new("DP");
    for (name, text) in RUN {
        let mut start = files.start(text);
        if text.contains("qboot.rom") {
            // Firmware of its own: the tiny guest does not boot by it. What the kernel does is
            // tested by complete boots.
            let ended = start.args(["-dry-run"]).run();
            assert_eq!(ended.code(), Some(0), "{name}: {ended:?}");
            continue;
        }
        start = start.args(["-timeout", "60"]);
        let ended = start.run();
        let others = ended.stderr.lines().filter(|line| !line.starts_with("chukka: warning: "));
        assert_eq!((ended.code(), others.count()), (Some(0), 0), "{name}: {ended:?}");
        let console = match text.contains("console.log") {
            true => std::fs::read_to_string(files.0.path("console.log")).unwrap_or_default(),
            false => ended.text(),
        };
        assert_eq!(console, "done\r\n", "{name}: {ended:?}");
    }
}

#[test]
fn boot_utils_command_lines_that_wait_or_need_firmware_are_read() {
    let files = Files::new("DP");
    for text in [
        "-display none -nodefaults -d unimp,guest_errors -append 'console=ttyS0 rdinit=/bin/sh nokaslr' \
         -kernel vmlinuz -initrd initrd.gz -cpu host -enable-kvm -m 512m -smp 2 -s -S",
        "-machine type=pc,accel=kvm -name img -m 512M -drive file=root.img -nographic \
         -monitor unix:DIR/m,server,nowait -enable-kvm -cpu host",
    ] {
        let ended = files.start(text).args(["-dry-run"]).run();
        assert_eq!(ended.code(), Some(0), "{text}: {ended:?}");
    }
}

#[test]
fn what_tools_name_and_chukka_does_not_have_is_refused_by_name() {
    let files = Files::new("DP");
    for (name, text, says) in REFUSED {
        let ended = files.start(text).args(["-kernel"]).args([files.0.path("vmlinuz")]).run();
        assert_eq!(ended.code(), Some(125), "{name}: {ended:?}");
        assert!(
            ended.stderr.contains(says) && ended.stderr.contains("hint: "),
            "{name}: {ended:?}"
        );
    }
}
