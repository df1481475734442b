#!/bin/sh
# Runs built kvm-unit-tests in chukka and in QEMU, and prints the results side by side.
#
#   sh tests/kvm-unit-tests.sh DIRECTORY [TEST...]
#
# DIRECTORY has *.flat files, as `./configure && make` leaves them in x86/. If it has unittests.cfg too, each of its
# tests runs with its own options; otherwise each file runs once. TEST is a test's name or a file's without .flat.
#
# Environment: CHUKKA (target/release/chukka), FLAGS (more options for it, such as '-bios seabios'), QEMU
# (qemu-system-x86_64), TIMEOUT (30 seconds for each run).
# The exit status is 1 if a test passes in QEMU but not in chukka.
set -eu

[ $# -ge 1 ] && [ -d "$1" ] || {
	echo "usage: sh tests/kvm-unit-tests.sh DIRECTORY [TEST...]" >&2
	exit 2
}
directory=$1
shift
wanted=" $* "
chukka=${CHUKKA:-$(dirname "$0")/../target/release/chukka}
qemu=${QEMU:-qemu-system-x86_64}
for program in "$chukka" "$qemu" timeout; do
	command -v "$program" >/dev/null || {
		echo "cannot find $program" >&2
		exit 2
	}
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 1' HUP INT TERM

# name|file|CPUs|other options|the test's arguments, a line for each test
tests() {
	if [ -e "$directory/unittests.cfg" ]; then
		awk '
			function show() { if (file != "") print name "|" file "|" smp "|" options "|" arguments }
			/^\[/ { show(); name = substr($0, 2, index($0, "]") - 2); file = options = arguments = ""; smp = 1; next }
			/^[a-z_]+ *=/ {
				key = value = $0
				sub(/ *=.*/, "", key)
				sub(/^[a-z_]+ *= */, "", value)
				if (key == "file") file = value
				if (key == "smp") smp = value
				if (key == "qemu_params" || key == "extra_params") { gsub(/-cpu qemu64/, "-cpu max", value); options = value }
				if (key == "test_args") arguments = value
			}
			END { show() }
		' "$directory/unittests.cfg"
	else
		for file in "$directory"/*.flat; do
			name=$(basename "$file" .flat)
			echo "$name|$name.flat|1||"
		done
	fi
}

# result PROGRAM ACCELERATOR FILE CPUS OPTIONS ARGUMENTS: runs a test, and says how it ended. kvm-unit-tests' exit code is
# in bits 1 to 7 of the status (isa-debug-exit); 77 is "skipped".
result() {
	# The options are shell words, with quotes, as in kvm-unit-tests' own scripts.
	eval "set -- \"\$1\" \"\$2\" \"\$3\" \"\$4\" \"\$6\" $5"
	program=$1 accelerator=$2 file=$3 cpus=$4 arguments=$5
	shift 5
	eval "arguments=$arguments"
	[ -z "$arguments" ] || set -- "$@" -append "$arguments"
	status=0
	start=$(date +%s)
	timeout "${TIMEOUT:-30}" "$program" -nodefaults -no-reboot -machine "pc$accelerator" -cpu max -smp "$cpus" \
		-device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=0x4 -display none -serial stdio \
		-kernel "$directory/$file" "$@" >"$log" 2>&1 </dev/null || status=$?
	# busybox's timeout returns the program's own status, which is 0 for QEMU.
	if [ $(($(date +%s) - start)) -ge "${TIMEOUT:-30}" ]; then
		echo timeout
		return
	fi
	case $status in
	1) echo pass ;;
	155) echo skip ;;
	124) echo timeout ;;
	125) echo refused ;;
	*)
		if [ $((status & 1)) = 1 ] && grep -q '^SUMMARY' "$log"; then
			echo fail
		else
			echo "error $status"
		fi
		;;
	esac
}

printf '%-32s %-10s %s\n' test chukka QEMU
worse=0 number=0 passed=0
while IFS='|' read -r name file cpus options arguments; do
	short=${file%.flat}
	case "$wanted" in
	"  " | *" $name "* | *" $short "*) ;;
	*) continue ;;
	esac
	[ -e "$directory/$file" ] || continue
	ours=$(result "$chukka" "" "$file" "$cpus" "$options ${FLAGS:-}" "$arguments")
	theirs=$(result "$qemu" ,accel=kvm "$file" "$cpus" "$options" "$arguments")
	mark=
	if [ "$theirs" = pass ] && [ "$ours" != pass ]; then
		mark=' <- differs' worse=$((worse + 1))
	fi
	number=$((number + 1))
	[ "$ours" != pass ] || passed=$((passed + 1))
	printf '%-32s %-10s %s%s\n' "$name" "$ours" "$theirs" "$mark"
done <<EOF
$(tests)
EOF
[ "$number" -gt 0 ] || {
	echo "no test to run in $directory" >&2
	exit 2
}
echo "$number tests: $passed pass in chukka; $worse pass in QEMU only"
[ "$worse" = 0 ]
