#!/bin/sh
# Brings what the demo and the tests need: packages by apt-get, and kernels unpacked under target/assets.
#
#   sh tests/setup.sh build    what Rust needs to link
#   sh tests/setup.sh check    that, and what makes the images that unit tests read
#   sh tests/setup.sh demo     that, the cloud kernel, busybox and, for the lab, QEMU
#   sh tests/setup.sh test     that, firmware, the generic kernel, Debian's installer, a Debian disk, LAVA, and servers to get them from
#   sh tests/setup.sh kunit    that of test, gdb, and Bochs with what its machines need
#   sh tests/setup.sh install  that of test, a mirror of Debian packages with debootstrap, and components of Debian's installer, for complete installations
#   sh tests/setup.sh fuzz     what Rust needs to link, a C++ compiler and cargo-fuzz
#   sh tests/setup.sh mutants  that of check, and cargo-mutants
#
# A machine that has everything is not changed, and needs no network. Kernels are never installed.
set -eu

what=${1:-test}
# The complete installation needs all that the tests need.
complete=
# gdb with a real kernel needs an emulator other than the lab's.
emulator=
# Unit tests under mutation need what they always need.
mutants=
case $what in
install) what=test complete=yes ;;
kunit) what=test emulator=yes ;;
mutants) what=check mutants=yes ;;
esac
root=$(cd "$(dirname "$0")/.." && pwd)
assets=${CHUKKA_ASSETS:-$root/target/assets}

say() { echo "setup: $*" >&2; }
die() {
	say "$@"
	exit 1
}

case $what in
build | check | demo | test | fuzz) ;;
*) die "unknown part '$what' (hint: build, check, demo, test, kunit, install, fuzz or mutants)" ;;
esac

[ "$(uname -m)" = x86_64 ] || die "chukka is for x86-64 machines; this is $(uname -m)"

# One set-up at a time: two would unpack over each other.
mkdir -p "$assets"
if command -v flock >/dev/null; then
	exec 9>"$assets/.lock"
	flock 9
fi

# --- programs ---------------------------------------------------------------------------------------------

# program:package pairs
programs="cc:gcc"
# Servers that locations are read from (tests/src/servers).
servers="atftpd:atftpd ganesha.nfsd:nfs-ganesha rpcbind:rpcbind openssl:openssl"
case $what in
build | check) ;;
fuzz) programs="$programs c++:g++" ;;
*)
	programs="$programs busybox:busybox-static qemu-system-x86_64:qemu-system-x86 lz4:lz4 xz:xz-utils zstd:zstd"
	;;
esac
if [ "$what" = test ]; then
	PATH=$PATH:/usr/sbin:/sbin
	programs="$programs $servers"
	# The other end of `-netdev stream`, and what bench-network compares with.
	programs="$programs passt:passt"
	# What bench-location compares with.
	programs="$programs wget:wget"
	# What makes the images that tests read, and the Debian disk below.
	programs="$programs xorriso:xorriso genisoimage:genisoimage mmdebstrap:mmdebstrap"
	# What makes a CD that boots by GRUB.
	programs="$programs grub-mkrescue:grub-common"
	# What bisects a repository of kernels.
	programs="$programs git:git"
	# A terminal that says what state it is in.
	programs="$programs tmux:tmux"
fi

if [ -n "$emulator" ]; then
	# Bochs needs one of its packages with a screen, even if that is not used.
	programs="$programs gdb:gdb bochs-bin:bochs bochs-bin:bochs-term"
fi

# What makes the images that unit tests of storage/ and location/ read.
if [ "$what" = test ] || [ "$what" = check ]; then
	PATH=$PATH:/usr/sbin:/sbin
	programs="$programs mke2fs:e2fsprogs mkfs.vfat:dosfstools mcopy:mtools mksquashfs:squashfs-tools mkfs.xfs:xfsprogs"
	programs="$programs qemu-img:qemu-utils sfdisk:fdisk sgdisk:gdisk"
fi

missing() {
	for pair in $programs; do
		command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
	done
	# Firmware to boot through (docs/firmware.md). QEMU's package depends on these two; tests ask for them by name.
	if [ "$what" = test ]; then
		[ -e /usr/share/seabios/bios-256k.bin ] || echo seabios
		[ -e /usr/share/qemu/qboot.rom ] || echo qemu-system-data
		# Option ROMs to boot from the network.
		[ -e /usr/lib/ipxe/qemu/pxe-virtio.rom ] || echo ipxe-qemu
		[ -e /usr/lib/grub/i386-pc/moddep.lst ] || echo grub-pc-bin
		# A virtual environment for tuxrun.
		/usr/bin/python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
		# Parts of servers that are not programs.
		[ -e /usr/lib/python3/dist-packages/pyftpdlib ] || echo python3-pyftpdlib
		[ -n "$(find /usr/lib -name libfsalvfs.so 2>/dev/null | head -n 1)" ] || echo nfs-ganesha-vfs
	fi
	if [ -n "$emulator" ]; then
		[ -e /usr/share/bochs/BIOS-bochs-latest ] || echo bochsbios
		[ -e /usr/share/vgabios/vgabios.bin ] || echo vgabios
	fi
	# The C library's headers and start files, which the linker needs.
	[ -e /usr/include/stdlib.h ] || echo libc6-dev
	# A busybox that needs libraries is of no use in an initrd.
	if [ "$what" != build ] && [ "$what" != check ] && [ "$what" != fuzz ] && command -v busybox >/dev/null && ldd "$(command -v busybox)" >/dev/null 2>&1; then
		echo busybox-static
	fi
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "need to be root, or to have sudo, for: $*"
	fi
}

updated=
apt_update() {
	[ -n "$updated" ] && return
	say "apt-get update"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >&2 ||
		say "apt-get update had errors; going on with what it knows"
	updated=yes
}

# need_apt WHAT: without apt-get, all there is to do is to say what is missing.
need_apt() {
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && return
	die "this is no Debian or Ubuntu: there is no apt-get." \
		"Install by hand what is missing ($1), put Debian's kernels below $assets as this script would, and run again"
}

command -v cargo >/dev/null || [ -x "${HOME:-/root}/.cargo/bin/cargo" ] ||
	die "there is no cargo (hint: install Rust by https://rustup.rs, 1.91 or newer, and run again)"

# Twice at most: to install one package apt may remove another that is needed too, such as a qemu-utils from backports that
# conflicts with the release's qemu-system-x86. The second round brings that one back in the version that fits.
for round in 1 2; do
	packages=$(missing | sort -u | tr '\n' ' ')
	[ -n "$packages" ] || break
	need_apt "$packages"
	apt_update
	say "apt-get install $packages"
	# shellcheck disable=SC2086 # a list of words
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages \
		</dev/null >"$assets/apt-$round.log" 2>&1 || {
		tail -n 20 "$assets/apt-$round.log" >&2
		die "apt-get install failed (see above)"
	}
done
[ -z "$(missing)" ] || die "still missing after apt-get install: $(missing | sort -u | tr '\n' ' ')"

# cargo_tool NAME: installs a command of cargo's, unless it is there. It takes minutes to build, once.
cargo_tool() {
	PATH=$PATH:${HOME:-/root}/.cargo/bin
	cargo "$1" --version >/dev/null 2>&1 || {
		say "cargo install cargo-$1"
		cargo install "cargo-$1" --locked >"$assets/cargo-$1.log" 2>&1 || {
			tail -n 20 "$assets/cargo-$1.log" >&2
			die "cargo install cargo-$1 failed (see above)"
		}
	}
}

if [ "$what" = fuzz ]; then
	cargo_tool fuzz
	exit 0
fi
if [ -n "$mutants" ]; then
	cargo_tool mutants
	exit 0
fi
# Where no check may be skipped, what checks licences and sources has to be there.
if [ "$what" = check ] && [ -n "${CHUKKA_NO_SKIP:-}" ]; then cargo_tool deny; fi

case $what in build | check) exit 0 ;; esac

# --- kernels ----------------------------------------------------------------------------------------------

# Everything is made here and moved to its place by one rename when it is complete: what is in place can be
# trusted, however an earlier run ended.
draft=$assets/.draft
trap 'rm -rf "$draft"' EXIT
trap 'exit 1' HUP INT TERM
rm -rf "$draft"

knows() { apt-cache show "$1" 2>/dev/null | grep -q '^Filename:'; }

# The first dependency of a package whose name begins like this, newest version of the package first.
depends_on() {
	apt-cache show --no-all-versions "$1" | sed -n 's/^Depends: //p' | tr ',|' '\n\n' |
		sed -n "s/^ *\($2[^ ]*\).*/\1/p" | head -n 1
}

# Downloads packages and unpacks them into $draft/tree.
fetch() {
	rm -rf "$draft"
	mkdir -p "$draft/deb" "$draft/tree"
	say "apt-get download $*"
	# As root, apt would rather download as another user, who cannot write here, and says so.
	(cd "$draft/deb" && apt-get -qq -o APT::Sandbox::User=root download "$@" </dev/null >"$draft/log" 2>&1) || {
		cat "$draft/log" >&2
		return 1
	}
	for deb in "$draft"/deb/*.deb; do
		dpkg-deb --extract "$deb" "$draft/tree"
	done
	rm -rf "$draft/deb"
}

# Runs fetch, and again with new package lists: an old list may name a version that the mirror no longer has.
fetch_fresh() {
	fetch "$@" && return
	[ -z "$updated" ] || die "cannot download $*"
	apt_update
	fetch "$@" || die "cannot download $*"
}

# number FILE OFFSET SIZE: a little-endian number in a file
number() { od -An -v -j "$2" -N "$3" -t "u$3" "$1" | tr -d ' \n'; }

# The ELF file in a bzImage. The header (Documentation/arch/x86/boot.rst) has the offset of the packed kernel:
# setup_sects at 0x1f1, payload_offset at 0x248 and payload_length at 0x24c, from the end of the set-up part on.
vmlinux_of() {
	length=$(number "$1" 588 4)
	start=$((($(number "$1" 497 1) + 1) * 512 + $(number "$1" 584 4)))
	magic=$(od -An -v -j "$start" -N 4 -t x1 "$1" | tr -d ' \n')
	case $magic in
	02214c18) unpack='lz4 -dc' ;;
	fd377a58) unpack='xz -dc' ;;
	28b52ffd) unpack='zstd -dc' ;;
	1f8b*) unpack='gzip -dc' ;;
	*) die "$1: unknown packing $magic" ;;
	esac
	# All but gzip have the unpacked size behind them, which their tools do not expect.
	case $magic in
	1f8b*) ;;
	*) length=$((length - 4)) ;;
	esac
	tail -c "+$((start + 1))" "$1" | head -c "$length" | $unpack
}

# kernel ROLE: makes target/assets/ROLE of the tree that was just fetched
kernel() {
	made=$draft/$1
	mkdir -p "$made"
	mv "$draft"/tree/boot/vmlinuz-* "$made/vmlinuz"
	mv "$draft"/tree/boot/config-* "$made/config"
	for modules in "$draft"/tree/lib/modules/* "$draft"/tree/usr/lib/modules/*; do
		if [ -d "$modules" ]; then
			basename "$modules" >"$made/release"
			mv "$modules" "$made/modules"
		fi
	done
	[ -d "$made/modules" ] || die "the package for '$1' has no modules"
	vmlinux_of "$made/vmlinuz" >"$made/vmlinux"
	[ "$(head -c 4 "$made/vmlinux" | tail -c 3)" = ELF ] || die "no ELF file in the kernel for '$1'"
	chmod a+r "$made"/*
	rm -rf "${assets:?}/$1"
	mv "$made" "$assets/$1"
	say "$1: Linux $(cat "$assets/$1/release")"
}

# bring_kernel ROLE DEBIAN-PACKAGE UBUNTU-PACKAGE
bring_kernel() {
	[ -e "$assets/$1/vmlinux" ] && return
	need_apt "a kernel for $assets/$1"
	knows "$2" || knows "$3" || apt_update
	if knows "$2"; then
		fetch_fresh "$(depends_on "$2" linux-image-)"
	elif knows "$3"; then
		image=$(depends_on "$3" linux-image-)
		# The package with the modules has the kernel's version in its name, as the image has.
		modules=linux-modules-${image#linux-image-}
		modules=$(echo "$modules" | sed 's/^linux-modules-unsigned-/linux-modules-/')
		fetch_fresh "$image" "$modules"
	else
		die "apt knows neither $2 nor $3 (hint: are the usual sources in /etc/apt?)"
	fi
	kernel "$1"
}

bring_installer() {
	[ -e "$assets/installer/pxelinux.0" ] || [ -e "$assets/installer/none" ] && return
	need_apt "Debian's installer for $assets/installer"
	newest=$(apt-cache pkgnames debian-installer- | grep -x 'debian-installer-[0-9]*-netboot-amd64' | sort -t - -k 3 -n | tail -n 1)
	if [ -z "$newest" ]; then
		apt_update
		newest=$(apt-cache pkgnames debian-installer- | grep -x 'debian-installer-[0-9]*-netboot-amd64' | sort -t - -k 3 -n | tail -n 1)
	fi
	mkdir -p "$assets/installer"
	if [ -z "$newest" ]; then
		say "apt knows no debian-installer-*-netboot-amd64: the test that boots it will be skipped"
		: >"$assets/installer/none"
		return
	fi
	fetch_fresh "$newest"
	for linux in "$draft"/tree/usr/lib/debian-installer/images/*/amd64/text/debian-installer/amd64/linux; do
		made=$draft/installer
		mkdir -p "$made"
		# Its boot loader for PXE and its boot menus too, unchanged.
		tree=$(dirname "$linux")
		mkdir -p "$made/grub" "$made/boot-screens" "$made/pxelinux.cfg"
		mv "$tree/boot-screens"/* "$made/boot-screens"
		mv "$tree/pxelinux.cfg/default" "$made/pxelinux.cfg"
		mv "$tree/grub/grub.cfg" "$made/grub"
		mv "$linux" "$tree/initrd.gz" "$tree/pxelinux.0" "$made"
		chmod -R a+rX "$made"
		# One by one, because another process may be reading the old files. The file that marks completion comes last.
		for part in linux initrd.gz boot-screens pxelinux.cfg grub pxelinux.0; do
			[ ! -d "$assets/installer/$part" ] || rm -rf "${assets:?}/installer/$part"
			mv "$made/$part" "$assets/installer/$part"
		done
	done
	[ -e "$assets/installer/pxelinux.0" ] || die "$newest has no text installer"
	say "installer: $newest"
}

# Firmware that no other package needs, so it is not installed: EDK2 for virtual machines, and U-Boot.
bring_firmware() {
	[ -e "$assets/firmware/OVMF.fd" ] && return
	need_apt "OVMF and U-Boot for $assets/firmware"
	knows ovmf && knows u-boot-qemu || apt_update
	fetch_fresh ovmf u-boot-qemu
	made=$draft/firmware
	mkdir -p "$made"
	mv "$draft/tree/usr/share/ovmf/OVMF.fd" "$draft"/tree/usr/share/OVMF/OVMF_*_4M.fd "$made"
	mv "$draft/tree/usr/lib/u-boot/qemu-x86/u-boot.rom" "$made"
	chmod a+r "$made"/*
	rm -rf "$assets/firmware"
	mv "$made" "$assets/firmware"
	say "firmware: OVMF and U-Boot"
}

# Kernels that are not Linux: Xen, Memtest86+ for both modes of the processor, iPXE and MEMDISK. Packages that a
# distribution does not have are left out: the tests that boot them are then skipped.
bring_other_kernels() {
	# The number says which of the versions of this function made it.
	[ "$(cat "$assets/other/made-by" 2>/dev/null)" = 2 ] && return
	need_apt "Xen and Memtest86+ for $assets/other"
	knows memtest86+ || apt_update
	made=$assets/.other
	rm -rf "$made"
	mkdir -p "$made"
	xen=$(apt-cache pkgnames xen-hypervisor- | grep -x 'xen-hypervisor-[0-9.]*-amd64' | sort -V | tail -n 1)
	if [ -n "$xen" ]; then
		fetch_fresh "$xen"
		mv "$draft"/tree/boot/xen-*.gz "$made/xen.gz"
	fi
	if knows memtest86+; then
		fetch_fresh memtest86+
		for bits in ia32 x64; do
			[ ! -e "$draft/tree/boot/memtest86+$bits.bin" ] || mv "$draft/tree/boot/memtest86+$bits.bin" "$made"
		done
	fi
	if knows ipxe && knows syslinux-common; then
		fetch_fresh ipxe syslinux-common
		mv "$draft/tree/boot/ipxe.lkrn" "$made"
		mv "$draft/tree/usr/lib/syslinux/memdisk" "$made"
	fi
	echo 2 >"$made/made-by"
	chmod a+r "$made"/*
	rm -rf "$assets/other"
	mv "$made" "$assets/other"
	say "other kernels: $(cd "$assets/other" && echo *)"
}

# Debian's kernel for 32-bit processors, and a busybox of the same architecture. They are in the package lists of i386,
# which apt keeps in a folder of their own here, so that the host's lists stay as they are.
bring_i386() {
	# The number says which of the versions of this function made it.
	[ "$(cat "$assets/i386/made-by" 2>/dev/null)" = 1 ] && return
	need_apt "a 32-bit kernel for $assets/i386"
	apt=$assets/.apt-i386
	rm -rf "$apt"
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
	cat >"$apt/conf" <<-EOF
		APT::Architecture "i386";
		APT::Architectures { "i386"; };
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Dir::State "$apt";
		Dir::State::Lists "$apt/lists";
		Dir::State::status "/dev/null";
		Dir::Cache "$apt/cache";
	EOF
	(
		export APT_CONFIG="$apt/conf"
		say "apt-get update for i386"
		apt-get -qq update </dev/null >"$apt/log" 2>&1 || say "apt-get update had errors; going on with what it knows"
		# These lists are as new as they can be.
		updated=yes
		knows linux-image-686 || exit 0
		fetch_fresh "$(depends_on linux-image-686 linux-image-)" busybox-static
		made=$draft/i386
		mkdir -p "$made"
		mv "$draft"/tree/boot/vmlinuz-* "$made/vmlinuz"
		mv "$draft"/tree/bin/busybox "$made"
		echo 1 >"$made/made-by"
		chmod a+r "$made"/*
		rm -rf "$assets/i386"
		mv "$made" "$assets/i386"
	)
	rm -rf "$apt"
	if [ -e "$assets/i386/vmlinuz" ]; then
		say "i386: a kernel and a busybox"
	else
		say "apt knows no linux-image-686 for i386: the tests that boot it will be skipped"
	fi
}

# Debian on a disk, as an installer leaves it: an MBR, one ext4 partition, a kernel, its initrd, a grub.cfg that grub-mkconfig wrote, and
# GRUB in the MBR, where grub-install put it. It boots to a login prompt on ttyS0; root has no password.
# grub-mkconfig runs before there is a disk, so grub-probe is replaced meanwhile by a script that describes it.
bring_disk() {
	# The number says which of the versions of this function made it.
	[ "$(cat "$assets/disk/made-by" 2>/dev/null)" = 2 ] && return
	need_apt "a Debian disk for $assets/disk"
	uuid=c4a44a00-0000-4000-8000-000000000001
	rm -rf "$draft"
	mkdir -p "$draft/disk"
	cat >"$draft/grub-probe" <<-EOF
		#!/bin/sh
		for word; do
			case \$word in
			--target=device) echo /dev/sda1 ;;
			--target=disk) echo /dev/sda ;;
			--target=fs_uuid) echo $uuid ;;
			--target=fs) echo ext2 ;;
			--target=partmap) echo msdos ;;
			--target=drive) echo '(hd0,msdos1)' ;;
			esac
		done
	EOF
	cat >"$draft/default-grub" <<-EOF
		GRUB_DEFAULT=0
		GRUB_TIMEOUT=1
		GRUB_DISTRIBUTOR=Debian
		GRUB_CMDLINE_LINUX_DEFAULT=quiet
		GRUB_CMDLINE_LINUX=console=ttyS0,115200
		GRUB_TERMINAL=serial
		GRUB_SERIAL_COMMAND='serial --unit=0 --speed=115200'
	EOF
	cat >"$draft/hook" <<-EOF
		#!/bin/sh
		set -e
		mv "\$1/usr/sbin/grub-probe" "\$1/usr/sbin/grub-probe.real"
		install "$draft/grub-probe" "\$1/usr/sbin/grub-probe"
		install -m 644 "$draft/default-grub" "\$1/etc/default/grub"
		# Only where the kernel will find the disk by its UUID is that what grub-mkconfig writes.
		mkdir -p "\$1/boot/grub" "\$1/dev/disk/by-uuid"
		ln -s /dev/sda1 "\$1/dev/disk/by-uuid/$uuid"
		touch "\$1/dev/sda1"
		chroot "\$1" grub-mkconfig -o /boot/grub/grub.cfg
		rm -r "\$1/dev/disk" "\$1/dev/sda1"
		mv "\$1/usr/sbin/grub-probe.real" "\$1/usr/sbin/grub-probe"
		chmod a+r "\$1"/boot/* "\$1/boot/grub/grub.cfg"
		cp "\$1/boot/grub/grub.cfg" "$draft/disk"
		echo "UUID=$uuid / ext4 errors=remount-ro 0 1" >"\$1/etc/fstab"
		echo chukka-disk >"\$1/etc/hostname"
		chroot "\$1" passwd --quiet --delete root
		# Without what is mounted in it.
		cp -ax "\$1" "$draft/root"
		/usr/sbin/mke2fs -q -F -t ext4 -U $uuid -d "$draft/root" "$draft/part" 900M
		rm -rf "$draft/root"
	EOF
	# The disk as a loop device, its file system mounted, and grub-install run in it. Mounts end with the namespace.
	cat >"$draft/install" <<-EOF
		#!/bin/sh
		set -e
		loop=\$(losetup --find --show "$draft/raw")
		part=\${loop}p1
		trap 'umount -R "$draft/mnt" 2>/dev/null || :; partx --delete "\$loop" || :; rm -f "\$made"; losetup --detach "\$loop"' EXIT
		made=
		partx --add "\$loop"
		# Where no udev makes device nodes.
		[ -b "\$part" ] || {
			made=\$part
			mknod "\$part" b \$(tr : ' ' <"/sys/class/block/\${part#/dev/}/dev")
		}
		mkdir -p "$draft/mnt"
		mount "\$part" "$draft/mnt"
		for folder in dev proc sys; do mount --rbind "/\$folder" "$draft/mnt/\$folder"; done
		chroot "$draft/mnt" grub-install --target=i386-pc "\$loop"
	EOF
	chmod +x "$draft/hook" "$draft/install"
	say "mmdebstrap bookworm"
	mmdebstrap --quiet --variant=minbase --format=null \
		--include=linux-image-cloud-amd64,grub2-common,grub-pc-bin,systemd-sysv,udev,dbus \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--customize-hook="$draft/hook" bookworm </dev/null >"$draft/log" 2>&1 || {
		tail -n 20 "$draft/log" >&2
		die "mmdebstrap failed (see above)"
	}
	truncate -s 901M "$draft/raw"
	echo 'start=2048, type=83, bootable' | /usr/sbin/sfdisk --quiet "$draft/raw"
	dd if="$draft/part" of="$draft/raw" bs=1M seek=1 conv=notrunc,sparse status=none
	rm "$draft/part"
	as_root unshare --mount "$draft/install" >"$draft/log" 2>&1 || {
		tail -n 20 "$draft/log" >&2
		die "grub-install failed (see above; it needs a loop device)"
	}
	qemu-img convert -c -O qcow2 "$draft/raw" "$draft/disk/disk.qcow2"
	echo 2 >"$draft/disk/made-by"
	chmod a+r "$draft"/disk/*
	rm -rf "$assets/disk"
	mv "$draft/disk" "$assets/disk"
	say "disk: Debian bookworm, $(du -h "$assets/disk/disk.qcow2" | cut -f 1)"
}

# A mirror for debootstrap, with just the packages that the complete installation installs, and debootstrap itself,
# unpacked. apt finds the packages and their dependencies, as if nothing were installed.
bring_mirror() {
	# The number says which of the versions of this function made it.
	[ "$(cat "$assets/mirror/made-by" 2>/dev/null)" = 1 ] && return
	need_apt "a mirror of Debian packages for $assets/mirror"
	knows debootstrap || apt_update
	fetch_fresh debootstrap
	made=$draft/mirror
	mkdir -p "$made/pool" "$made/dists/bookworm/main/binary-amd64" "$draft/apt/archives/partial"
	mv "$draft/tree/usr/share/debootstrap" "$made"
	mv "$draft/tree/usr/sbin/debootstrap" "$made/debootstrap/program"
	required=$(apt-cache dumpavail | awk '/^Package:/ { name = $2 } /^Priority: required/ { print name }' | sort -u)
	say "apt-get download: the packages of a small Debian"
	# shellcheck disable=SC2086 # a list of words
	apt-get -qq -y -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Dir::State::status=/dev/null \
		-o Dir::Cache="$draft/apt" --download-only install $required usr-is-merged linux-image-cloud-amd64 grub-pc-bin \
		grub2-common sysvinit-core </dev/null >"$draft/log" 2>&1 || {
		cat "$draft/log" >&2
		die "cannot download the packages of the mirror"
	}
	for deb in "$draft"/apt/archives/*.deb; do
		# A version's epoch is in apt's names of files, and not in those of a mirror.
		mv "$deb" "$made/pool/$(basename "$deb" | sed 's/_[0-9]*%3a/_/')"
	done
	(
		cd "$made"
		packages=dists/bookworm/main/binary-amd64/Packages
		for deb in pool/*.deb; do
			dpkg-deb --field "$deb"
			echo "Filename: $deb"
			echo "Size: $(stat -c %s "$deb")"
			echo "SHA256: $(sha256sum "$deb" | cut -d ' ' -f 1)"
			echo
		done >$packages
		gzip -9n $packages
		cat >dists/bookworm/Release <<-EOF
			Suite: bookworm
			Codename: bookworm
			Components: main
			Architectures: amd64
			SHA256:
			 $(sha256sum $packages.gz | cut -d ' ' -f 1) $(stat -c %s $packages.gz) main/binary-amd64/Packages.gz
		EOF
	)
	echo 1 >"$made/made-by"
	chmod -R a+rX "$made"
	rm -rf "$assets/mirror"
	mv "$made" "$assets/mirror"
	say "mirror: $(find "$assets/mirror/pool" -name '*.deb' | wc -l) packages, $(du -sh "$assets/mirror/pool" | cut -f 1)"
}

# Components of Debian's installer (udebs) for a mirror: those of the standard set, for the kernel of the installer
# above, that the package archive has, and their part of Debian's index. A proxy of an archive may have only some.
bring_components() {
	# The number says which of the versions of this function made it.
	[ "$(cat "$assets/components/made-by" 2>/dev/null)" = 1 ] && return
	[ ! -e "$assets/installer/none" ] || return 0
	need_apt "components of Debian's installer for $assets/components"
	linux=$assets/installer/linux
	# The header has the offset of the version's text at 0x20e.
	version=$(tail -c "+$(($(number "$linux" 526 2) + 513))" "$linux" | head -c 64 | cut -d ' ' -f 1)
	apt=$assets/.apt-components
	made=$assets/.components
	rm -rf "$apt" "$made"
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$made/pool"
	# The archive that has Debian, and the release.
	newest=$(apt-cache pkgnames debian-installer- | grep -x 'debian-installer-[0-9]*-netboot-amd64' | sort -t - -k 3 -n | tail -n 1)
	apt-cache policy "$newest" |
		sed -n 's|^ *[0-9]* \(http[^ ]*\) \([^ ]*\)/main amd64 Packages$|\1 \2|p' | head -n 1 >"$apt/archive"
	read -r uri release <"$apt/archive" || die "apt-cache policy lists no archive for $newest: check /etc/apt/sources.list"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $release main/debian-installer" >"$apt/sources"
	cat >"$apt/conf" <<-EOF
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Dir::Etc::sourcelist "$apt/sources";
		Dir::Etc::sourceparts "/dev/null";
		Dir::State "$apt";
		Dir::State::Lists "$apt/lists";
		Dir::State::status "/dev/null";
		Dir::Cache "$apt/cache";
	EOF
	(
		export APT_CONFIG="$apt/conf"
		say "apt-get update for the installer's components"
		apt-get -qq update </dev/null >"$apt/log" 2>&1 || die "apt-get update failed: $(cat "$apt/log")"
		apt-cache dumpavail >"$apt/index"
		# shellcheck disable=SC2016 # awk's own
		names=$(awk -v "kernel=$version" '/^Package:/ { name = $2 }
			/^Priority: (required|important|standard)$/ { if (name !~ /-di$/ || index(name, kernel "-di")) print name }' "$apt/index")
		say "apt-get download: components of Debian's installer for Linux $version"
		# What is not there is left out.
		# shellcheck disable=SC2086 # a list of words
		(cd "$made/pool" && apt-get -qq download $names </dev/null >"$apt/log" 2>&1) || :
	)
	[ -e "$(echo "$made"/pool/scsi-modules-"$version"-di_*.udeb)" ] || {
		cat "$apt/log" >&2
		die "$uri has no scsi-modules-$version-di"
	}
	# A file's name in the index, by its name in the pool. apt writes a version's ':' as %3a.
	for udeb in "$made"/pool/*.udeb; do
		plain=$(basename "$udeb" | sed 's/_[0-9]*%3a/_/')
		[ "$(basename "$udeb")" = "$plain" ] || mv "$udeb" "$made/pool/$plain"
		echo "$plain"
	done >"$apt/names"
	awk -v RS= -v ORS='\n\n' 'NR == FNR { for (n = 1; n <= NF; n++) there[$n] = 1; next }
		match($0, /Filename: [^\n]*/) {
			count = split(substr($0, RSTART, RLENGTH), parts, "/")
			if (parts[count] in there) { sub(/Filename: [^\n]*/, "Filename: pool/" parts[count]); print }
		}' "$apt/names" "$apt/index" >"$made/Packages"
	[ "$(grep -c '^SHA256:' "$made/Packages")" = "$(wc -l <"$apt/names")" ] || die "the archive's index does not list every downloaded component: run apt-get update and try again"
	echo 1 >"$made/made-by"
	chmod -R a+rX "$made"
	rm -rf "$assets/components"
	mv "$made" "$assets/components"
	rm -rf "$apt"
	say "components: $(find "$assets/components/pool" -name '*.udeb' | wc -l) for Debian's installer"
}

# LAVA's dispatcher of Debian, unpacked with the Python packages and libraries that it loads, and tuxrun from PyPI,
# which starts it.
bring_lava() {
	# The number says which of the versions of this function made it.
	[ "$(cat "$assets/lava/made-by" 2>/dev/null)" = 1 ] && return
	need_apt "LAVA's dispatcher for $assets/lava"
	knows lava-dispatcher || apt_update
	made=$assets/.lava
	rm -rf "$made"
	mkdir -p "$made"
	if knows lava-dispatcher; then
		fetch_fresh lava-dispatcher lava-common lava-dispatcher-host bmap-tools \
			python3-guestfs libguestfs0 libvirt0 libssh-4 libyajl2 \
			python3-aiohttp python3-multidict python3-yarl python3-async-timeout python3-frozenlist python3-aiosignal python3-attr \
			python3-requests python3-urllib3 python3-idna python3-chardet python3-charset-normalizer python3-certifi \
			python3-jinja2 python3-markupsafe python3-yaml python3-voluptuous python3-configobj python3-six \
			python3-magic libmagic1 libmagic-mgc python3-pexpect python3-ptyprocess python3-pyudev python3-setproctitle python3-tz python3-netifaces
		mv "$draft/tree" "$made/root"
		say "tuxrun from PyPI"
		/usr/bin/python3 -m venv "$made/venv"
		"$made/venv/bin/pip" install --quiet tuxrun==1.11.0
	else
		say "apt has no package lava-dispatcher: the tuxrun test will be skipped"
	fi
	echo 1 >"$made/made-by"
	chmod -R a+rX "$made"
	rm -rf "$assets/lava"
	mv "$made" "$assets/lava"
}

bring_kernel cloud linux-image-cloud-amd64 linux-image-virtual
if [ "$what" = test ]; then
	bring_kernel generic linux-image-amd64 linux-image-generic
	bring_installer
	bring_firmware
	bring_other_kernels
	bring_i386
	bring_disk
	bring_lava
fi
if [ -n "$complete" ]; then
	bring_mirror
	bring_components
fi
