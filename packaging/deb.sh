#!/bin/sh
# Builds a Debian package from target/release/chukka into target/: sh packaging/deb.sh
set -eu
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
architecture=$(dpkg --print-architecture)
# The newest symbol version that the binary needs is the oldest glibc that it runs on.
glibc=$(objdump -T target/release/chukka | grep -o 'GLIBC_[0-9][0-9.]*' | sed s/GLIBC_// | sort -uV | tail -n 1)
root=target/deb
package=target/chukka_${version}_${architecture}.deb

rm -rf "$root"
make --no-print-directory install-files DESTDIR="$root" PREFIX=/usr ZSH_COMPLETIONS=/usr/share/zsh/vendor-completions
gzip -9n "$root/usr/share/man/man1/chukka.1"
{
	echo "chukka is licensed under Apache-2.0 or BSD-3-Clause, at your choice."
	echo
	cat LICENSE-APACHE
	echo
	cat LICENSE-BSD-3-Clause
} >"$root/usr/share/doc/chukka/copyright"
rm "$root/usr/share/doc/chukka/LICENSE-APACHE" "$root/usr/share/doc/chukka/LICENSE-BSD-3-Clause"
chmod 644 "$root/usr/share/doc/chukka/copyright"

mkdir -p "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: chukka
Version: $version
Architecture: $architecture
Maintainer: The chukka developers <chukka@localhost>
Section: misc
Priority: optional
Installed-Size: $(du -sk "$root/usr" | cut -f 1)
Depends: libc6 (>= $glibc)
Recommends: seabios
Description: small virtual machine monitor that boots Linux kernels
 chukka boots an x86-64 Linux kernel in a virtual machine with KVM and says how
 the guest ended. It enters the kernel directly or through firmware by fw_cfg,
 and finds the kernels of installers in install trees and of installed systems
 by their boot menus.
CONTROL
dpkg-deb --root-owner-group --build "$root" "$package"
