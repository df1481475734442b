//! `-help`, `-version` and the lists of names.

use std::ffi::OsString;
use std::fmt::Write;

use super::options::Options;
use super::table::{COMMANDS, Group, OPTIONS};
use super::trace::EVENTS;
use vmm::config::QEMU_VERSION;
use vmm::config::cpu_model::Feature;

const HEAD: &str = "\
chukka boots a Linux kernel in a virtual machine and says how it ended.
The guest has a serial console, disks and network cards; it has no screen.

  chukka -kernel FILE [-initrd FILE] [-append TEXT] [OPTION]…
  chukka -location PLACE [-append TEXT] [OPTION]…
  chukka -bootdisk DISK [-append TEXT] [OPTION]…
  chukka COMMAND [OPTION]…

The options are QEMU's; each may be written with one dash or two.
";

const TAIL: &str = "
Accepted without effect, so that QEMU command lines work: -display none,
-vnc none, -vga none, -parallel none, -no-user-config, -no-hpet,
-d unimp,guest_errors. chukka refuses QEMU's other options.

Keys: Ctrl-A x ends chukka, Ctrl-A h lists the others.

Exit status:
    0  the guest powered off, or reset itself with -no-reboot
  116 to 119  with -fail-on: warning, locking error, KASAN error, oops
  120  its kernel panicked
  121  it triple-faulted, which reset the machine
  122  KVM failed
  123  it powered off or reset itself and had never printed anything
  124  it took longer than -timeout or was silent for longer than -silence
  125  chukka or its own firmware could not start the guest
  with -device isa-debug-exit also the guest's own status, always odd

Examples:
  chukka -kernel /boot/vmlinuz -initrd /boot/initrd.img \\
         -append 'console=ttyS0' -m 1G -smp 4
  chukka -location /srv/debian/installer-amd64 -preseed preseed.cfg \\
         -append 'console=ttyS0' -m 1G
  chukka -bios seabios -kernel vmlinuz -initrd initrd -nographic \\
         -debugcon file:bios.log -global isa-debugcon.iobase=0x402
  chukka -nodefaults -m 1024 -kernel arch/x86/boot/bzImage -no-reboot \\
         -append 'console=ttyS0 panic=-1' -nographic -accel kvm -serial stdio
";

/// The column help texts begin in.
const COLUMN: usize = 21;

/// What `-help` prints.
#[must_use]
pub fn text() -> String {
    let mut text = HEAD.to_owned() + "\nCommands (chukka COMMAND --help says more):\n";
    for (name, help) in COMMANDS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:18} {help}");
    }
    for group in Group::SHOWN {
        text += &format!("\n{}:\n", group.title());
        for option in OPTIONS.iter().filter(|option| option.group == group) {
            let aliases: String =
                option.aliases.iter().map(|alias| format!(", -{alias}")).collect();
            let metavar = option.metavar().unwrap_or_default();
            let left = format!("  -{}{aliases} {metavar}", option.name);
            for (index, line) in option.help.iter().enumerate() {
                let left = if index == 0 { left.trim_end() } else { "" };
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{left:COLUMN$} {line}");
            }
        }
    }
    text + TAIL
}

/// What `-version` prints.
#[must_use]
pub fn version() -> String {
    concat!("chukka ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
}

/// What `-version` prints under QEMU's name: scripts read a version from it. It is the QEMU whose
/// options and devices chukka follows. "QEMU emulator version" comes first (`version`,
/// softmmu/vl.c).
#[must_use]
pub fn qemu_version() -> String {
    let [major, minor, micro] = QEMU_VERSION;
    let chukka = env!("CARGO_PKG_VERSION");
    format!("QEMU emulator version {major}.{minor}.{micro} (chukka {chukka})\n")
}

/// What `-machine help` prints, in QEMU's form (`machine_help_func`, softmmu/vl.c).
const MACHINES: &str = "\
Supported machines are:
microvm              Linux guest without PCI (default)
pc                   Standard PC (i440FX + PIIX, 1996)
q35                  same as pc
";

/// What `-device help` prints. The form is QEMU's (`qdev_print_devinfo`, softmmu/qdev-monitor.c):
/// scripts look for names in quotes.
const DEVICES: &str = "\
Storage devices:
name \"virtio-blk-device\", bus virtio-bus, alias \"virtio-blk\"

Network devices:
name \"virtio-net-device\", bus virtio-bus, alias \"virtio-net\"

Input devices:
name \"isa-serial\", bus ISA
name \"virtconsole\", bus virtio-serial-bus
name \"virtio-serial-device\", bus virtio-bus, alias \"virtio-serial\"
name \"virtserialport\", bus virtio-serial-bus

Misc devices:
name \"i6300esb\", bus PCI
name \"isa-debug-exit\", bus ISA
name \"isa-debugcon\", bus ISA
name \"pc-testdev\", bus ISA
name \"pvpanic\", bus ISA
name \"virtio-rng-device\", bus virtio-bus, alias \"virtio-rng\"
name \"vmcoreinfo\"
";

/// The list that `-machine help`, `-cpu help`, `-accel help`, `-device help` or `-trace help` asks
/// for.
pub(super) fn list_asked_for(options: &Options) -> Option<String> {
    let asked =
        |values: &[OsString]| values.last().is_some_and(|value| value == "help" || value == "?");
    if asked(&options.machine) {
        return Some(MACHINES.to_owned());
    }
    if asked(&options.devices) {
        return Some(DEVICES.to_owned());
    }
    if asked(&options.trace) {
        return Some(format!("Events:\n  {EVENTS}\n"));
    }
    if asked(&options.accel) {
        // `do_configure_accelerator` in QEMU's softmmu/vl.c
        return Some("Accelerators supported in QEMU binary:\nkvm\n".to_owned());
    }
    asked(&options.cpu).then(|| {
        let mut text =
            // `x86_cpu_list` in QEMU's target/i386/cpu.c
            "Available CPUs:\nx86 host                  the host's CPU\n\
            x86 max                   the same\n\nValues:\n\
            \x20 vendor=TEXT family=N model=N stepping=N model-id=TEXT level=N xlevel=N\n\
            \x20 phys-bits=N host-phys-bits-limit=N\n\nSwitches:\n\
            \x20 kvm pmu enforce host-phys-bits\n\nRecognized CPUID flags:\n"
                .to_owned();
        let mut line = String::from(" ");
        for name in Feature::names() {
            if line.len() + 1 + name.len() > 78 {
                text += &line;
                text.push('\n');
                line = String::from(" ");
            }
            line.push(' ');
            line += name;
        }
        text + &line + "\n"
    })
}
