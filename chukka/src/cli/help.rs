//! `-help`, `-version` and the lists of names.

use std::fmt::Write;

use clap::ArgMatches;

use super::options::{Group, OPTIONS};
use super::value::last;
use super::watch::EVENTS;
use vmm::config::cpu_model::Feature;

const HEAD: &str = "\
chukka boots a Linux kernel in a virtual machine and tells how it ended.

  chukka -kernel FILE [-initrd FILE] [-append TEXT] [OPTION]…
  chukka -location PLACE [-append TEXT] [OPTION]…
  chukka -bootdisk DISK [-append TEXT] [OPTION]…

The options are QEMU's; each may be written with one dash or two.
Without a guest: chukka fetch, bootloader and cache, each with its own --help.
";

const TAIL: &str = "
Taken so that QEMU's command lines work, without effect: -display none,
-vga none, -monitor none, -parallel none, -net none, -nic none, -no-user-config,
-d unimp,guest_errors. Other options of QEMU's are refused by name.

Keys: Ctrl-A x ends chukka, Ctrl-A h lists the others.

Exit status:
    0  the guest switched itself off, or was reset on purpose with -no-reboot
  120  its kernel panicked
  121  it was reset without having asked for it (triple fault)
  122  KVM could not go on
  125  chukka or its own firmware could not start it
  with -device isa-debug-exit also what the guest chose, always an odd number

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
pub(super) fn text() -> String {
    let mut text = HEAD.to_owned();
    let groups = [
        (Group::Boot, "Boot"),
        (Group::Firmware, "Firmware"),
        (Group::Machine, "Machine"),
        (Group::Console, "Console"),
        (Group::Watching, "Watching"),
        (Group::Ending, "Ending"),
        (Group::Other, "Other"),
    ];
    for (group, title) in groups {
        text += &format!("\n{title}:\n");
        for option in OPTIONS.iter().filter(|option| option.group == group) {
            let alias = if option.alias.is_empty() {
                String::new()
            } else {
                format!(", -{}", option.alias)
            };
            let left = format!("  -{}{alias} {}", option.name, option.metavar);
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
pub(super) fn version() -> String {
    concat!("chukka ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
}

/// The list that `-machine help`, `-cpu help`, `-accel help`, `-device help` or `-trace help` asks for.
pub(super) fn list_asked_for(matches: &ArgMatches) -> Option<String> {
    let asked = |id| last(matches, id).is_some_and(|value| value == "help" || value == "?");
    if asked("machine") {
        return Some("Machines:\n  microvm (default)\n  pc\n".to_owned());
    }
    if asked("device") {
        return Some("Devices:\n  isa-debugcon\n  isa-debug-exit\n  vmcoreinfo\n".to_owned());
    }
    if asked("trace") {
        return Some(format!("Events:\n  {EVENTS}\n"));
    }
    if asked("accel") {
        return Some("Accelerators:\n  kvm\n".to_owned());
    }
    asked("cpu").then(|| {
        let mut text =
            "CPU models:\n  host, max (the same)\n\nSwitches: kvm pmu and the CPUID features\n"
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
