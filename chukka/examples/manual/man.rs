//! The man page, as roff (man(7)).

use std::fmt::Write;

use chukka::args::Group;

use super::item::{self, Item};

/// What stands before the options.
const HEAD: &str = r#".SH NAME
chukka \- boot a Linux kernel in a virtual machine
.SH SYNOPSIS
.B chukka
.RB [ \-kernel
.IR FILE ]
.RB [ \-initrd
.IR FILE ]
.RB [ \-append
.IR TEXT ]
.RI [ OPTION ]...
.br
.B chukka \-location
.I PLACE
.RB [ \-append
.IR TEXT ]
.RI [ OPTION ]...
.br
.B chukka \-bootdisk
.I DISK
.RB [ \-append
.IR TEXT ]
.RI [ OPTION ]...
.br
.B chukka
.I COMMAND
.RI [ OPTION ]...
.SH DESCRIPTION
.B chukka
boots an x86\-64 Linux kernel with KVM and says how the guest ended: on a line on standard error,
and by its exit status.
It enters the kernel directly, or runs firmware that fetches the kernel by fw_cfg
.RB ( \-bios ).
It finds the kernel and initrd of an installer in an install tree
.RB ( \-location ),
or those of an installed system by the disk's boot menu
.RB ( \-bootdisk ).
.PP
The guest has a serial console on the terminal, raw disks and network cards. It has no screen.
The host needs hardware virtualization and access to
.IR /dev/kvm ;
there is no software emulation.
.PP
Ctrl\-A x ends chukka, and Ctrl\-A h lists the other keys.
.SH OPTIONS
The options are QEMU's. Each may be written with one dash or two, and with its value in the next
argument or after an equals sign. Where only one value can apply, the last one counts.
A comma inside a value of
.RI KEY= VALUE
form is written twice.
"#;

const IGNORED: &str = r#".SS Ignored
Accepted without effect, so that QEMU command lines work:
.BR "\-display none" ,
.BR "\-vnc none" ,
.BR "\-vga none" ,
.BR \-no\-hpet ,
.BR "\-parallel none" ,
.BR "\-net none" ,
.BR "\-nic none" ,
.B \-no\-user\-config
and
.BR "\-d unimp,guest_errors" .
QEMU's other options are refused by name.
"#;

const COMMANDS: &str = r#".SH COMMANDS
A command is the first argument. Its options may be written with one dash or two as well.
"#;

/// What stands after the commands.
const TAIL: &str = r#".SH EXIT STATUS
.TP
.B 0
The guest powered off, or reset itself with
.BR \-no\-reboot ;
or the user ended chukka with Ctrl\-A x.
.TP
.B 120
The guest's kernel panicked.
.TP
.B 121
The guest triple-faulted, which reset the machine.
.TP
.B 122
KVM failed.
.TP
.B 125
Chukka or its own firmware could not start the guest, or a file changed while the guest used it.
.TP
.B odd
With
.BR "\-device isa\-debug\-exit" ,
also the status that the guest chose: twice the value it wrote, plus one.
.PP
Chukka dies of the signals that end it, so that a shell sees 130, 143, 129 or 131.
Commands end with 0 or 125.
.SH FILES
.TP
.I /dev/kvm
The KVM device, which chukka must be able to read and write.
.TP
.IR $XDG_CACHE_HOME/chukka " or " ~/.cache/chukka
The download cache; see
.BR "chukka cache" .
.TP
.I /usr/share/seabios
SeaBIOS, for
.BR "\-bios seabios" .
.SH EXAMPLES
Boot the host's kernel:
.PP
.RS
.EX
chukka \-kernel /boot/vmlinuz \-initrd /boot/initrd.img \e
       \-append console=ttyS0 \-m 1G \-smp 4
.EE
.RE
.PP
Start Debian's installer from a mirror, with answers:
.PP
.RS
.EX
chukka \-location http://mirror.example/debian/installer\-amd64 \e
       \-preseed preseed.cfg \-append console=ttyS0 \-m 1G
.EE
.RE
.PP
Boot through SeaBIOS and log what it does:
.PP
.RS
.EX
chukka \-bios seabios \-kernel vmlinuz \-initrd initrd \e
       \-debugcon file:bios.log \-global isa\-debugcon.iobase=0x402
.EE
.RE
.PP
Download an installer without booting it:
.PP
.RS
.EX
chukka fetch \-\-output /srv/boot http://mirror.example/fedora/os
.EE
.RE
.SH SEE ALSO
.BR qemu\-system\-x86_64 (1),
.BR bootparam (7),
.BR kernel\-command\-line (7)
"#;

/// The whole page.
pub(super) fn page() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        ".\\\" Made by: cargo run -p chukka --example manual\n\
         .TH CHUKKA 1 \"\" \"chukka {version}\" \"User Commands\"\n\
         .\\\" No hyphenation and no adjustment: an option must be found as it is typed.\n.nh\n.ad l\n{HEAD}"
    );
    let options = item::options();
    for group in Group::SHOWN {
        // Writing to a String cannot fail.
        let _ = writeln!(text, ".SS {}", group.title());
        for option in options.iter().filter(|option| option.group == Some(group)) {
            entry(&mut text, option, "-");
        }
    }
    text += IGNORED;
    text += COMMANDS;
    for command in item::commands() {
        let arguments: Vec<_> = command.arguments.iter().map(|(name, _)| name.as_str()).collect();
        let _ = writeln!(text, ".SS chukka {}", escaped(command.name));
        let _ = writeln!(text, "{}.", sentence(command.help));
        if !arguments.is_empty() {
            let _ = writeln!(text, ".PP\n.B chukka {}", escaped(command.name));
            let _ = writeln!(text, ".RI [ OPTION ]...\n.I {}", escaped(&arguments.join(" ")));
        }
        for (name, help) in &command.arguments {
            let _ = writeln!(text, ".TP\n.I {}\n{}.", escaped(name), sentence(help));
        }
        for option in &command.options {
            entry(&mut text, option, "--");
        }
        for (name, help, options) in &command.subcommands {
            let _ = writeln!(text, ".TP\n.B {}\n{}.", escaped(name), sentence(help));
            if !options.is_empty() {
                text += ".RS\n";
                options.iter().for_each(|option| entry(&mut text, option, "--"));
                text += ".RE\n";
            }
        }
    }
    text + TAIL
}

/// One option: its names with `dashes`, and what it does.
fn entry(text: &mut String, option: &Item, dashes: &str) {
    let names: Vec<_> = option
        .names()
        .map(|name| format!("{}{name}", if name.len() == 1 { "-" } else { dashes }))
        .collect();
    let names = escaped(&names.join(", "));
    let head = match &option.metavar {
        Some(metavar) => format!(".BI \"{names} \" {}", escaped(metavar)),
        None => format!(".B {names}"),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, ".TP\n{head}\n{}.", sentence(&option.help));
}

/// A help text as a sentence without its full stop.
fn sentence(help: &str) -> String {
    // What a word that is typed begins with stays as it is.
    let word = help.split([' ', ',', ':']).next().unwrap_or_default();
    let is_plain = word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_typed = ["host", "microvm", "file", "isa"].contains(&word);
    let mut letters = help.chars();
    match letters.next() {
        Some(first) if is_plain && !is_typed => {
            escaped(&(first.to_ascii_uppercase().to_string() + letters.as_str()))
        }
        _ => escaped(help),
    }
}

/// Text that roff takes as it is.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('…', "...");
    // A line that begins with one of these would be a request.
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
