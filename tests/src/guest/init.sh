#!/bin/busybox sh
# The first process of a test guest: says at once that it is there, then does what the kernel's command line
# asks for:
#   guest.cmd=BASE64     first run this piece of shell, and print its exit status
#   guest.run=A,B,...    then do these, one after the other (see `act` below); power off at the end.
#                        A serial line is slow in an emulated machine: `info` is short, ask for more by name.
# A file /run.sh in the initrd is run before all that.
echo 'chukka-guest: userspace reached'
export PATH=/bin:/sbin HOME=/ TERM=linux
/bin/busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

# From here on only a panic writes to the console: a message of the kernel's in the middle of a section spoils it.
dmesg -n 1

section() {
	echo "chukka-guest: begin $1"
	cat
	echo "chukka-guest: end $1"
}

info() {
	{
		echo "nproc=$(nproc)"
		echo "memtotal_kib=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
		echo "cmdline=$(cat /proc/cmdline)"
		echo "kernel=$(uname -r)"
		echo "clocksource=$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
		echo "epoch=$(date +%s)"
		echo "uptime=$(cut -d ' ' -f 1 /proc/uptime)"
	} | section info
	dmesg -r | grep '^<[0-4]>' | section warnings
	dmesg | grep -E 'e820|ttyS' | section machine
	ls /sys/firmware/acpi/tables | section acpi
	section interrupts </proc/interrupts
	section cpuinfo </proc/cpuinfo
}

act() {
	case $1 in
	info) info ;;
	dmesg) dmesg -r | section dmesg ;;
	iomem | ioports | meminfo) section "$1" <"/proc/$1" ;;
	shell) setsid cttyhack sh ;;
	idle) while :; do sleep 1000; done ;;
	busy) while :; do :; done ;;
	panic) echo c >/proc/sysrq-trigger ;;
	reboot) reboot -f ;;
	halt) halt -f ;;
	poweroff) poweroff -f ;;
	exit) exit 0 ;;
	*) echo "chukka-guest: unknown guest.run word '$1'" ;;
	esac
}

word() {
	for each in $(cat /proc/cmdline); do
		case $each in "$1"=*) echo "${each#*=}" ;; esac
	done | tail -n 1
}

if [ -e /run.sh ]; then
	sh /run.sh
	echo "chukka-guest: run.sh ended with status $?"
fi
cmd=$(word guest.cmd)
if [ -n "$cmd" ]; then
	sh -c "$(echo "$cmd" | base64 -d)"
	echo "chukka-guest: command ended with status $?"
fi
for step in $(word guest.run | tr , ' '); do
	act "$step"
done
act poweroff
