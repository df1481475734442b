//! QEMU's options that chukka does not have.

/// The option's name and what to do instead (may be empty), if `name` is an option of
/// QEMU's that chukka does not have.
pub(super) fn find(name: &str) -> Option<(&'static str, &'static str)> {
    WITH_HINT
        .iter()
        .find_map(|(names, hint)| {
            names.iter().find(|known| **known == name).map(|known| (*known, *hint))
        })
        .or_else(|| PLAIN.iter().find(|known| **known == name).map(|known| (*known, "")))
}

const DISK: &str = "chukka has virtio and SATA disks: -drive file=FILE,format=raw,if=virtio";
const BLOCKDEV: &str =
    "use -drive file=FILE,format=raw,if=none,id=ID with -device virtio-blk,drive=ID";
const FLOPPY: &str = "chukka has no floppy drive";
const SHARED: &str =
    "chukka cannot share directories; -initrd-inject FILE puts a file into the initrd";
const NET: &str = "it is part of the network: -nic user,hostfwd=…,tftp=DIR,bootfile=FILE";
const SCREEN: &str =
    "chukka has no screen: use -nographic and a serial console (-append console=ttyS0)";
const DEVICES: &str =
    "chukka's machine is fixed; it has four serial ports (-serial) and an RTC (-rtc)";
const MONITOR: &str =
    "use -qmp or -monitor with unix:PATH,server=on,wait=off, or Ctrl-A on the console";
const TCG: &str = "chukka runs guests on KVM only and has no emulation to observe";
const SNAPSHOTS: &str = "chukka neither saves nor restores guests";
const KVM: &str = "chukka runs on KVM only: -enable-kvm";
const MEMORY: &str =
    "chukka's guest memory is private anonymous memory; -m SIZE is its only option";

/// Names and a hint for them; of QEMU's past and present (qemu-options.hx).
static WITH_HINT: [(&[&str], &str); 15] = [
    (&["blockdev"], BLOCKDEV),
    (&["fda", "fdb", "no-fd-bootchk"], FLOPPY),
    (&["sd", "mtdblock", "iscsi"], DISK),
    (&["fsdev", "virtfs"], SHARED),
    (&["smb", "redir", "tftp", "bootp"], NET),
    (
        &[
            "sdl",
            "spice",
            "curses",
            "full-screen",
            "k",
            "alt-grab",
            "ctrl-grab",
            "no-frame",
            "no-quit",
            "show-cursor",
            "portrait",
            "rotate",
        ],
        SCREEN,
    ),
    (
        &[
            "usb",
            "usbdevice",
            "audio",
            "audiodev",
            "audio-help",
            "soundhw",
            "balloon",
            "tpmdev",
            "virtioconsole",
            "set",
            "bt",
        ],
        DEVICES,
    ),
    (&["qmp-pretty", "echr"], MONITOR),
    (
        &["D", "singlestep", "one-insn-per-tb", "dfilter", "plugin", "icount", "tb-size", "seed"],
        TCG,
    ),
    (&["incoming", "loadvm", "only-migratable", "dump-vmstate"], SNAPSHOTS),
    (&["no-kvm", "enable-hax", "xen-domid", "xen-attach", "xen-domid-restrict", "xen-create"], KVM),
    (&["mem-path", "mem-prealloc", "numa", "overcommit"], MEMORY),
    (
        &["no-shutdown"],
        "a guest's power-off always ends chukka; -no-reboot makes its reset end chukka too",
    ),
    (&["runas"], "use -run-with user=USER"),
    (&["no-acpi"], "leave it out: the guest has ACPI (-append acpi=off is up to the guest)"),
];

/// Names without anything to add.
#[rustfmt::skip]
static PLAIN: [&str; 24] = [
    "acpitable", "add-fd", "async-teardown", "chroot", "clock", "compat", "dtb",
    "enable-sync-profile", "localtime", "nodefconfig", "nouserconfig", "old-param",
    "preconfig", "prom-env", "readconfig", "realtime", "rtc-td-hack", "semihosting",
    "semihosting-config", "shim", "startdate", "tdf", "win2k-hack", "writeconfig",
];

#[cfg(test)]
mod tests {
    use super::super::table::OPTIONS;
    use super::*;

    #[test]
    fn no_option_is_both_here_and_among_ours() {
        for option in &OPTIONS {
            assert_eq!(find(option.name), None, "{}", option.name);
        }
    }

    #[test]
    fn options_are_found_with_their_hint() {
        assert_eq!(find("redir"), Some(("redir", NET)));
        assert_eq!(find("acpitable"), Some(("acpitable", "")));
        assert_eq!(find("kernal"), None);
    }

    /// Every option in `qemu-system-x86_64 -help` of QEMU 7.2.
    #[test]
    fn every_option_of_qemu_s_help_is_known() {
        let help = "accel acpitable action add-fd append async-teardown audio audio-help audiodev \
            bios blockdev boot cdrom chardev chroot compat cpu d daemonize debugcon device \
            dfilter display drive dtb dump-vmstate D L S echr enable-kvm enable-sync-profile fda \
            fdb fsdev full-screen fw_cfg gdb global h hda hdb hdc hdd help icount incoming initrd \
            iscsi k kernel loadvm m machine mem-path mem-prealloc mon monitor msg mtdblock name \
            net netdev nic no-acpi no-fd-bootchk no-hpet no-reboot no-shutdown no-user-config \
            nodefaults nographic numa object only-migratable option-rom overcommit parallel \
            pflash pidfile plugin portrait preconfig qmp qmp-pretty readconfig rotate rtc runas s \
            sandbox sd seed serial set singlestep smbios smp snapshot spice tpmdev trace usb \
            usbdevice uuid version vga virtfs vnc watchdog-action win2k-hack xen-attach xen-domid \
            xen-domid-restrict";
        for name in help.split_whitespace() {
            let ours = OPTIONS.iter().any(|o| o.name == name || o.aliases.contains(&name));
            assert!(ours || find(name).is_some(), "-{name}");
        }
    }
}
