#compdef chukka
# Made by: cargo run -p chukka --example manual

local -a commands=(
    'install:install a guest from an install tree onto a disk'
    'start:boot the disk of an installed guest'
    'template:list or show templates of guests to install'
    'fetch:find or download a kernel and initrd without booting'
    'inspect:say what a kernel file is, and how it boots'
    'restart-install:make -state DIR boot its installer again'
    'bootloader:read a disk'\''s boot menu; copy out its kernel and initrd'
    'disk:create, describe, check or enlarge the image of a disk'
    'cache:list, prune or locate the download cache'
    'help:print a summary of the options, or help on a command'
    'version:print the version'
)
if (( CURRENT > 2 )); then
    case $words[2] in
        install)
            shift words; (( CURRENT-- ))
            _arguments \
                '*--location[The same as an option]:LOCATION: ' \
                '*-l[The same as an option]:LOCATION: ' \
                '*--template[A file with these options, or a name of chukka template list]:FILE:_files' \
                '*--name[The guest'\''s name, and its directory without --state]:NAME: ' \
                '*--state[The directory of the guest \[default\: NAME\]]:DIR:_files -/' \
                '*--memory[Memory in MiB, or with a unit \[default\: by installer\]]:MIB: ' \
                '*--vcpus[CPUs \[default\: by installer\]]:N: ' \
                '*--disk[path=FILE,size=GIB,format=raw|qcow2,bus=virtio|sata,cache=,discard=,serial=; repeatable \[default\: DIR/disk.qcow2, size by installer\]]:DISK:_files' \
                '*--network[A network card, as for -nic, or none; repeatable]:NIC: ' \
                '*--machine[pc or microvm]:TYPE:(microvm pc help)' \
                '*--graphics[The console is the first serial port]:none: ' \
                '*--noautoconsole[Write the console only to DIR/console.log; show one line of progress]' \
                '*--wait[Time limit for everything, reboots included; -1\: none]:SECONDS: ' \
                '*--noreboot[The installer'\''s reset is the end; do not boot the disk]' \
                '*--restart-install[Start over in DIR\: its own disks become empty]' \
                '*--dry-run[Only show what would be done]' \
                '*--kernel[The kernel, a path in LOCATION]:FILE:_files' \
                '*--initrd[The initrd, a path in LOCATION]:FILE:_files' \
                '*--append[Words for the kernel'\''s command line]:TEXT: ' \
                '*--initrd-inject[Add FILE to the root of the initrd; repeatable]:FILE:_files' \
                '*--preseed[Answers for Debian'\''s installer, added to the initrd; or a URL that the guest fetches]:FILE:_files' \
                '*--kickstart[The same for Fedora and RHEL]:FILE:_files' \
                '*--autoyast[The same for SUSE]:FILE:_files' \
                '*--autocf[Answers for Solaris\: nfs\:HOST\:/DIR, or NAME=VALUE,…]:ANSWERS: ' \
                '*--no-location-args[Do not tell the installer where its tree is]' \
                '*--offline[Use the cache only, fetch nothing]' \
                '*--refresh[Ignore the cache]' \
                '*--timeout[Idle timeout in seconds \[default\: 30\]]:SECONDS: ' \
                '*--retries[Retries after a failure \[default\: 3\]]:N: ' \
                '*--limit[Limit for the size of a file \[default\: 4G\]]:SIZE: ' \
                '*--cache[Cache directory, or off]:DIR:_files -/' \
                '*--checksum[sha256\:HEX of the kernel; initrd=sha256\:HEX; repeatable]:SUM: ' \
                '*--os-variant[]:: ' \
                '*--osinfo[]:: ' \
                '*--connect[]:: ' \
                '*--virt-type[]:: ' \
                '*--hvm[]:: ' \
                '*--paravirt[]:: ' \
                '*--cdrom[]:: ' \
                '*--pxe[]:: ' \
                '*--import[]:: ' \
                '*--boot[]::(menu=on strict=on splash-time= reboot-timeout=)' \
                '*--unattended[]:: ' \
                '*--cloud-init[]:: ' \
                '*--autostart[]:: ' \
                '*--transient[]:: ' \
                '*--print-xml[]:: ' \
                '*--console[]:: ' \
                '*--serial[]::(stdio mon\:stdio file\: null none)' \
                '*--filesystem[]:: ' \
                '*--cpu[]::(host max help)' \
                '*--check[]:: ' \
                ':LOCATION:_files'
            return ;;
        start)
            shift words; (( CURRENT-- ))
            _arguments \
                '*--name[The same, as chukka install spells it]:NAME: ' \
                '*--bootdisk[Boot the kernel of the disk'\''s boot menu directly, without firmware]' \
                ':DIR:_files' \
                ':OPTION:_files'
            return ;;
        template)
            shift words; (( CURRENT-- ))
            _arguments \
                '1:command:(list show)'
            return ;;
        fetch)
            shift words; (( CURRENT-- ))
            _arguments \
                '*--kernel[The kernel, a path in LOCATION]:FILE:_files' \
                '*--initrd[The initrd, a path in LOCATION]:FILE:_files' \
                '*--append[Words for the kernel'\''s command line]:TEXT: ' \
                '*--initrd-inject[Add FILE to the root of the initrd; repeatable]:FILE:_files' \
                '*--preseed[Answers for Debian'\''s installer, added to the initrd; or a URL that the guest fetches]:FILE:_files' \
                '*--kickstart[The same for Fedora and RHEL]:FILE:_files' \
                '*--autoyast[The same for SUSE]:FILE:_files' \
                '*--autocf[Answers for Solaris\: nfs\:HOST\:/DIR, or NAME=VALUE,…]:ANSWERS: ' \
                '*--no-location-args[Do not tell the installer where its tree is]' \
                '*--offline[Use the cache only, fetch nothing]' \
                '*--refresh[Ignore the cache]' \
                '*--timeout[Idle timeout in seconds \[default\: 30\]]:SECONDS: ' \
                '*--retries[Retries after a failure \[default\: 3\]]:N: ' \
                '*--limit[Limit for the size of a file \[default\: 4G\]]:SIZE: ' \
                '*--cache[Cache directory, or off]:DIR:_files -/' \
                '*--checksum[sha256\:HEX of the kernel; initrd=sha256\:HEX; repeatable]:SUM: ' \
                '*--output[Copy kernel and initrd into DIR, under their own names]:DIR:_files -/' \
                '*--state[Save them in DIR, for chukka -state DIR to boot]:DIR:_files -/' \
                '*--format[The format of the answer]:FORMAT:(text json)' \
                '*--dry-run[Only show what was found, where and by which rule]' \
                ':LOCATION:_files'
            return ;;
        inspect)
            shift words; (( CURRENT-- ))
            _arguments \
                '*--json[Print JSON]' \
                ':FILE:_files'
            return ;;
        restart-install)
            shift words; (( CURRENT-- ))
            _arguments \
                ':DIR:_files'
            return ;;
        bootloader)
            shift words; (( CURRENT-- ))
            _arguments \
                '*--list[List the entries]' \
                '*-l[List the entries]' \
                '*--entry[The entry\: its number, title or id; default or saved]:ENTRY: ' \
                '*--kernel[Take this kernel from the disk instead of the menu'\''s]:PATH: ' \
                '*--initrd[Take this initrd from the disk instead of the menu'\''s]:PATH: ' \
                '*--args[Append this to the entry'\''s kernel command line]:TEXT: ' \
                '*--output[Write the answer into this existing file]:FILE:_files' \
                '*--output-format[The format of the answer]:FORMAT:(text json sxp simple simple0)' \
                '*--output-directory[Copy kernel and initrd into this directory, and name the copies in the answer]:DIR:_files -/' \
                ':DISK:_files'
            return ;;
        disk)
            shift words; (( CURRENT-- ))
            _arguments \
                '*--format[\[default\: qcow2 if FILE ends in .qcow2, otherwise raw\]]:FORMAT:(text json)' \
                '*--json[Print JSON]' \
                '*--format[The image'\''s format \[default\: what it begins with\]]:FORMAT:(text json)' \
                '*--json[Print JSON]' \
                '*--format[The image'\''s format \[default\: what it begins with\]]:FORMAT:(text json)' \
                '*--json[Print JSON]' \
                '*--format[The image'\''s format \[default\: what it begins with\]]:FORMAT:(text json)' \
                '*--json[Print JSON]' \
                '1:command:(create info check resize)'
            return ;;
        cache)
            shift words; (( CURRENT-- ))
            _arguments \
                '*--cache[Cache directory \[default\: $XDG_CACHE_HOME/chukka or ~/.cache/chukka\]]:DIR:_files -/' \
                '*--older-than[Also remove entries unused for DAYS days]:DAYS: ' \
                '*--all[Remove everything that is not in use]' \
                '1:command:(list prune path)'
            return ;;
        help)
            shift words; (( CURRENT-- ))
            _arguments \
                '1:command:((install start template fetch inspect restart-install bootloader disk cache help version))'
            return ;;
        version)
            shift words; (( CURRENT-- ))
            _arguments
            return ;;
    esac
elif [[ $words[2] != -* ]]; then
    _describe command commands
    return
fi
_arguments \
    '*-kernel[the kernel\: a bzImage or a vmlinux; a path or a URL]:FILE:_files' \
    '*-initrd[the initial RAM disk; a path or a URL]:FILE:_files' \
    '*-append[the kernel'\''s command line]:TEXT: ' \
    '*-location[find kernel and initrd in an install tree\: a URL, a directory or an image; -kernel and -initrd are then paths in it; also tell the installer where its tree is]:PLACE:_files' \
    '*-no-location-args[do not tell the installer where its tree is]' \
    '*-bootdisk[boot the kernel that this disk'\''s boot menu names, and give the guest the disk\: an image or a block device]:DISK:_files' \
    '*-entry[menu entry by number, title or id; default or saved]:ENTRY: ' \
    '*-state[boot the installer that chukka fetch --state DIR saved until it has finished, and -bootdisk DISK from then on]:DIR:_files -/' \
    '*-initrd-inject[add FILE to the root of the initrd; repeatable]:FILE:_files' \
    '*-preseed[answers for Debian'\''s installer, added to the initrd; or a URL that the guest fetches]:FILE:_files' \
    '*-kickstart[the same for Fedora and RHEL]:FILE:_files' \
    '*-autoyast[the same for SUSE]:FILE:_files' \
    '*-autocf[the same for Solaris\: nfs\:HOST\:/DIR for JumpStart, NAME=VALUE,… for the Automated Installer]:ANSWERS: ' \
    '*-offline[use the cache only, fetch nothing]' \
    '*-fetch[timeout=SECONDS without data (30), retries=N (3), limit=SIZE per file (4G), cache=DIR or cache=off, refresh=on to ignore the cache]:KEY=VALUE: ' \
    '*-checksum[sha256\:HEX of the kernel, or initrd=sha256\:HEX; repeatable]:SUM: ' \
    '*-dry-run[show what would be booted and how it was found]' \
    '*-bios[run firmware, which fetches the kernel\: builtin, seabios, seabios-microvm, qboot or a file; default\: no firmware]:NAME:(builtin seabios seabios-microvm qboot)' \
    '*-pflash[the firmware in a flash chip, on -machine pc; given twice, code and variables; or -drive if=pflash,…]:FILE:_files' \
    '*-L[look for firmware here first; repeatable]:DIR:_files -/' \
    '*-option-rom[an additional option ROM; FILE,bootindex=N; repeatable]:FILE:_files' \
    '*-boot[order=cdn, once=d, menu=on, splash-time=MS, …]:KEY=VALUE:(menu=on strict=on splash-time= reboot-timeout=)' \
    '*-fw_cfg[a file for the guest\: opt/NAME,file=PATH or opt/NAME,string=TEXT; repeatable]:ITEM: ' \
    '*-smbios[type=1,manufacturer=TEXT,product=TEXT,version=,serial=, uuid=,sku=,family=; type=11,value=TEXT or path=FILE]:type=N: ' \
    '*-credential[a systemd credential for the guest; repeatable]:N=VALUE: ' \
    '*-m[memory\: 512 (MiB), 2G, size=1.5G; default 512M]:SIZE: ' \
    '*-smp[CPUs, 1 to 64\: 4, or cpus=4,sockets=1,cores=4; default 1]:N: ' \
    '*-cpu[host or max (the same), with switches\: host,-cx16,+pcid, kvm=off,vendor=GenuineIntel; -cpu help lists the names]:MODEL:(host max help)' \
    '*-machine[microvm (default, no PCI) or pc; microvm,accel=kvm]:TYPE:(microvm pc help)' \
    '*-M[microvm (default, no PCI) or pc; microvm,accel=kvm]:TYPE:(microvm pc help)' \
    '*-accel[accelerators in order of preference; chukka has kvm]:NAME:(kvm)' \
    '*-enable-kvm[the same as -accel kvm, which is the default]' \
    '*-rtc[start of the clock\: utc, localtime, 2006-06-17T16\:01\:21]:base=TIME:(base=utc base=localtime)' \
    '*-uuid[the machine'\''s UUID, for firmware and SMBIOS]:UUID: ' \
    '*-name[the guest'\''s name, shown in messages]:NAME: ' \
    '*-drive[a disk\: file=FILE,format=raw|qcow2,if=virtio,size=20G; if=none,id=ID goes with -device virtio-blk,drive=ID; on pc, if=ide\: a SATA disk, or with media=cdrom a CD; if=pflash,unit=0\: firmware code, unit=1\: variables]:file=FILE: ' \
    '*-hda[a disk; without a kernel, SeaBIOS boots it]:FILE:_files' \
    '*-hdb[the second disk]:FILE:_files' \
    '*-hdc[the third disk]:FILE:_files' \
    '*-hdd[the fourth disk]:FILE:_files' \
    '*-cdrom[a CD, or its URL; without a kernel, SeaBIOS boots it]:FILE:_files' \
    '*-snapshot[discard what the guest writes to its disks]' \
    '*-nic[user\: a network card; user,hostfwd=tcp\:\:2222-\:22, with a port; user,tftp=DIR,bootfile=F boots; tap; stream; none]:TYPE:(none)' \
    '*-netdev[user, tap or stream,id=ID for -device virtio-net]:TYPE: ' \
    '*-net[nic and user, given together\: -nic user in old scripts]:TYPE:(none)' \
    '*-object[filter-dump,id=ID,netdev=ID,file=PATH records frames; rng-random,id=ID for -device virtio-rng,rng=ID]:TYPE: ' \
    '*-serial[COM1, then COM2, …\: stdio (Ctrl-C ends chukka), mon\:stdio (Ctrl-C goes to the guest), file\:PATH, pty, unix\:PATH,server=on,wait=off, tcp\:HOST\:PORT,…, null, chardev\:ID, none (no such port); default mon\:stdio]:DEVICE:(stdio mon\:stdio file\: null none)' \
    '*-chardev[a backend for a device or monitor\: stdio, pty or null; file,path=FILE; socket,path=PATH,server=on,wait=off; each with id=ID, and with logfile=FILE, timestamp=on]:BACKEND: ' \
    '*-nographic[no window; chukka never opens one]' \
    '*-nodefaults[no serial port unless -serial adds one]' \
    '*-debugcon[the firmware'\''s log\: stdio, file\:PATH, pty, chardev\:ID]:DEVICE:(stdio file\: null none)' \
    '*-global[isa-debugcon.iobase=0x402, its port (SeaBIOS); kvm-pit.lost_tick_policy=discard or delay (default)]:PROPERTY: ' \
    '*-device[isa-debugcon,iobase=PORT,chardev=ID; vmcoreinfo, for the guest'\''s crash note; isa-debug-exit,iobase=PORT, iosize=PORTS,pass=VALUE, to end with a status; pvpanic, for panics without a console; virtio-rng, for random numbers; virtio-serial with virtconsole or virtserialport,chardev=ID,name=NAME; pc-testdev]:NAME:(isa-debugcon isa-debug-exit vmcoreinfo)' \
    '*-msg[put the host'\''s time before each line of that log]:timestamp:(timestamp)' \
    '*-trace[print each fw_cfg operation, and a summary]:fw_cfg:(fw_cfg)' \
    '*-timeline[record when each boot phase began, and its VM exits\: FILE.json for Perfetto, FILE.svg a picture, - a table]:FILE:_files' \
    '*-gdb[wait for gdb at tcp\:\:1234, tcp\:HOST\:PORT or unix\:PATH]:ADDRESS: ' \
    '*-s[the same as -gdb tcp\:\:1234]' \
    '*-S[do not start the guest before gdb does, or the command cont of a monitor]' \
    '*-qmp[control the run by QEMU'\''s protocol QMP, at unix\:PATH,server=on,wait=off, tcp\:HOST\:PORT,… or stdio]:ADDRESS: ' \
    '*-monitor[likewise by command lines; none\: no monitor]:ADDRESS:(none)' \
    '*-mon[a monitor at a -chardev; mode=readline (default), or mode=control for QMP]:chardev=ID: ' \
    '*-no-reboot[end when the guest resets, instead of rebooting it]' \
    '*-action[panic=none\: a kernel panic does not end the run; panic=shutdown (default); reboot=shutdown\: -no-reboot; watchdog=reset (default), shutdown, poweroff, debug, none]:EVENT=DO: ' \
    '*-watchdog[a watchdog for pc, the same as -device i6300esb]:i6300esb: ' \
    '*-watchdog-action[the same as -action watchdog=ACTION]:ACTION: ' \
    '*-timeout[end a guest that has not ended by then, with status 124 and a report on what each of its CPUs is doing]:SECONDS: ' \
    '*-silence[likewise a guest that prints nothing for that long]:SECONDS: ' \
    '*-fail-on[oops,kasan,lockdep,warn\: a kernel that reports one of these problems and goes on ends with status 116 to 119]:KINDS: ' \
    '*-json[write how the run ended as JSON; - is standard error]:FILE:_files' \
    '*-vmcore[write memory and registers to FILE, as a core for crash, drgn and gdb, if the guest panics or hangs]:FILE:_files' \
    '*-daemonize[go on in the background once the guest is about to run; COM1 is not shown unless -serial names a file]' \
    '*-pidfile[write chukka'\''s process id to FILE while the guest runs]:FILE:_files' \
    '*-sandbox[whether chukka gives up, before the guest starts, all rights that running it does not take (default\: on)]:on|off: ' \
    '*-run-with[switch to another user, NAME or UID\:GID, once all files are open; needs root]:user=USER: ' \
    '*-help[print a summary of the options]' \
    '*-h[print a summary of the options]' \
    '*-version[print the version]' \
    '*-display[]:TYPE:(none)' \
    '*-vnc[]:DISPLAY:(none)' \
    '*-parallel[]:DEVICE:(none)' \
    '*-vga[]:TYPE:(none)' \
    '*-no-user-config[]' \
    '*-no-hpet[]' \
    '*-d[]:ITEMS: '
