#!/bin/sh
# Builds a small Linux from Debian's source, once, into target/assets/kunit: with KUnit and its self-tests, LKDTM (crashes
# on request), debug information and VMCOREINFO, and little else (tests/kunit-kernel.config). 6 minutes of processor time.
#
#   sh tests/kunit-kernel.sh
#
# What is left there: build/ with vmlinux and arch/x86/boot/bzImage, where kunit.py looks for it; tools/testing/kunit,
# unchanged; release; and venv/ with drgn, from PyPI.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
assets=${CHUKKA_ASSETS:-$root/target/assets}
made=$assets/kunit
config=$root/tests/kunit-kernel.config

say() { echo "kunit-kernel: $*" >&2; }

# The configuration is what made it.
if [ -e "$made/made-by" ] && cmp -s "$config" "$made/made-by"; then
	exit 0
fi

packages=
for pair in flex:flex bison:bison bc:bc make:make python3:python3; do
	command -v "${pair%%:*}" >/dev/null || packages="$packages ${pair#*:}"
done
[ -e /usr/include/libelf.h ] || packages="$packages libelf-dev"
python3 -c 'import ensurepip' 2>/dev/null || packages="$packages python3-venv"
if [ -n "$packages" ]; then
	say "apt-get install$packages"
	if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
	# shellcheck disable=SC2086 # a list of words
	$sudo apt-get -qq -y install $packages </dev/null >/dev/null
fi

draft=$assets/.kunit
rm -rf "$draft"
mkdir -p "$draft/build"
trap 'rm -rf "$draft"' EXIT
cd "$draft"
say "apt-get download linux-source-6.1"
apt-get -qq -o APT::Sandbox::User=root download linux-source-6.1 </dev/null
dpkg-deb --fsys-tarfile linux-source-6.1_*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz | tar -xJ
rm linux-source-6.1_*.deb
cd linux-source-6.1
say "building Linux $(make -s kernelversion) (see $assets/kunit.log)"
{
	make O="$draft/build" KCONFIG_ALLCONFIG="$config" allnoconfig
	make -j "$(nproc)" O="$draft/build" bzImage
} >"$assets/kunit.log" 2>&1 || {
	tail -n 20 "$assets/kunit.log" >&2
	exit 1
}
# A dependency that changed drops an option without a word.
for option in $(grep '=y$' "$config"); do
	grep -qx "$option" "$draft/build/.config" || {
		say "$option is missing from the built kernel: add its dependencies to tests/kunit-kernel.config"
		exit 1
	}
done
rm -rf "$made"
mkdir -p "$made/build/arch/x86/boot" "$made/tools/testing"
mv "$draft/build/vmlinux" "$draft/build/.config" "$made/build"
mv "$draft/build/arch/x86/boot/bzImage" "$made/build/arch/x86/boot"
mv tools/testing/kunit "$made/tools/testing"
make -s kernelversion >"$made/release"
say "drgn from PyPI"
# Its programs have its path in them: it cannot be moved.
python3 -m venv "$made/venv"
"$made/venv/bin/pip" install --quiet drgn
cp "$config" "$made/made-by"
say "$made: a kernel of $(du -h "$made/build/arch/x86/boot/bzImage" | cut -f 1)"
