# The reference installer, run by the first process of an initrd: partitions the first disk, makes an
# ext4 file system, installs the base system from a mirror, then GRUB, and ends.
#
# Its words on the kernel's command line:
#   mirror=URL         where the base system is
#   base=NAME          which one: a cpio archive, packed by gzip if its name ends in .gz
#   suite=NAME         instead of base=: debootstrap installs this suite of Debian
#   end=HOW            what to do when all is done: poweroff (the default) or reboot
#   limit=SECONDS      how long the base system may take to arrive
#   panic=middle       the kernel panics once there is a file system
export PATH=/bin:/sbin:/usr/bin:/usr/sbin

word() { sed -n "s/^\(.* \)\{0,1\}$1=\([^ ]*\).*/\2/p" /proc/cmdline; }
step() { echo "installer: $(cut -d ' ' -f 1 /proc/uptime) s: $*"; }
failed() {
	echo "An installation step failed: $*"
	poweroff -f
}

step network
[ -e /sys/class/net/eth0 ] || failed "there is no network card"
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -n -q -t 10 -T 1 -s /lease.sh >/dev/null 2>&1 || failed "no answer by DHCP"
mirror=$(word mirror)

step partitions
[ -b /dev/vda ] || failed "there is no disk"
echo 'start=2048, type=83, bootable' | sfdisk -q /dev/vda || failed "sfdisk"
step "file system"
mkfs.ext4 -q /dev/vda1 || failed "mkfs.ext4"
mkdir -p /target
mount -t ext4 /dev/vda1 /target || failed "mount"
[ "$(word panic)" != middle ] || echo c >/proc/sysrq-trigger

step "base system"
unpacked() {
	base=$(word base)
	unpack=cat
	[ "$base" = "${base%.gz}" ] || unpack="gzip -d"
	limit=$(word limit)
	# The status of a pipe is that of its last command.
	{ timeout "${limit:-1000}" wget -q -O - "$mirror/$base" || echo $? >/missing; } | $unpack | (cd /target && cpio -idm) 2>/unpacked || touch /incomplete
	# Where there is no space, the server's answer breaks off too.
	! grep -q 'No space' /unpacked || failed "the base system: $(grep 'No space' /unpacked | head -n 1)"
	# 128 and SIGTERM, which timeout sends.
	! grep -qx 143 /missing 2>/dev/null || failed "the mirror has fallen silent: $base had not arrived after $limit s"
	[ ! -e /missing ] || failed "the mirror has no $base"
	[ ! -e /incomplete ] && [ -e /target/complete ] || failed "the base system: $(tail -n 1 /unpacked)"
	rm /target/complete
}
# The first stage downloads the packages. The second, in the new system, unpacks and configures them.
bootstrapped() {
	busybox --install -s /bin 2>/dev/null
	PATH=/usr/sbin:/usr/bin:/sbin:/bin dash /usr/sbin/debootstrap --no-check-gpg --arch=amd64 --foreign --variant=minbase --exclude=apt,tzdata \
		--include=linux-image-cloud-amd64,grub-pc-bin,grub2-common,sysvinit-core "$suite" /target "$mirror" ||
		failed "debootstrap: $(tail -n 1 /target/debootstrap/debootstrap.log)"
	# As an emulated processor is slow: an initrd with few modules.
	mkdir -p /target/etc/initramfs-tools/conf.d /target/etc/default
	echo MODULES=list >/target/etc/initramfs-tools/conf.d/small
	printf '%s\n' virtio_pci virtio_blk crc32c_generic ext4 >/target/etc/initramfs-tools/modules
	step "base system, second stage"
	PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot /target /debootstrap/debootstrap --second-stage ||
		failed "debootstrap: $(tail -n 1 /target/debootstrap/debootstrap.log)"
	rm -f /target/var/cache/apt/archives/*.deb
	echo installed >/target/etc/hostname
	echo 'T0:23:respawn:/sbin/getty -L ttyS0 115200 vt100' >>/target/etc/inittab
	PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot /target passwd --quiet --delete root
	cat >/target/etc/default/grub <<-EOF
		GRUB_TIMEOUT=1
		GRUB_CMDLINE_LINUX_DEFAULT=quiet
		GRUB_CMDLINE_LINUX=console=ttyS0
		GRUB_TERMINAL=serial
		GRUB_SERIAL_COMMAND='serial --unit=0 --speed=115200'
	EOF
}
suite=$(word suite)
if [ -n "$suite" ]; then bootstrapped; else unpacked; fi

step "boot loader"
uuid=$(blkid /dev/vda1 | sed -n 's/.* UUID="\([^"]*\)".*/\1/p')
for folder in proc sys dev; do
	mkdir -p /target/$folder
	mount --bind /$folder /target/$folder
done
chroot /target /usr/sbin/grub-install --target=i386-pc /dev/vda || failed "grub-install"
if [ -x /target/usr/sbin/update-grub ]; then
	echo "UUID=$uuid / ext4 errors=remount-ro 0 1" >/target/etc/fstab
	# grub-mkconfig looks for it to name the root file system by its UUID.
	mkdir -p /dev/disk/by-uuid
	ln -sf /dev/vda1 "/dev/disk/by-uuid/$uuid"
	PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot /target update-grub || failed "update-grub"
else
	cat >/target/boot/grub/grub.cfg <<-EOF
		serial --unit=0 --speed=115200
		terminal_input serial
		terminal_output serial
		set timeout=1
		insmod part_msdos
		insmod ext2
		search --no-floppy --fs-uuid --set=root $uuid
		menuentry 'The installed system' {
			linux /boot/vmlinuz rdinit=/boot.sh root=UUID=$uuid ro console=ttyS0 quiet
			initrd /boot/initrd.img
		}
	EOF
fi
for folder in dev sys proc; do umount /target/$folder; done
umount /target || failed "umount"
step "done: INSTALL-OK"
[ "$(word end)" != reboot ] || reboot -f
poweroff -f
