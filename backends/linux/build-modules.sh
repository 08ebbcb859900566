#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# build-modules.sh - build the kernel modules of a host's dom0, out of tree
#
# usage: [KERNEL=RELEASE] backends/linux/build-modules.sh [OUTDIR]
#
# Leaves OUTDIR/{kemari-gate,xen-blkback,xen-netback}.ko for kernel KERNEL (the
# newest installed linux-headers 6.1 for amd64, if it is not given) and
# OUTDIR/release, its name.  The drivers' source is Debian's linux-source-6.1;
# only their two directories are unpacked.  A run with nothing changed does
# nothing; one with a changed file compiles what it touches.

set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
backends=${here%/*}
out=${1:-$here/../../build/modules}
source=/usr/src/linux-source-6.1.tar.xz
drivers=(drivers/block/xen-blkback drivers/net/xen-netback)

die()
{
	printf 'build-modules: %s\n' "$*" >&2
	exit 1
}

newest_headers()
{
	find /usr/src -maxdepth 1 -name 'linux-headers-6.1.0-*-amd64' \
		-printf '%f\n' | sed -n 's/^linux-headers-//p' |
		grep -E '^6\.1\.0-[0-9]+-amd64$' | sort -V | tail -n 1
}

# Our own files, relative to backends/.
own_files()
{
	(cd "$backends" && find kemari-gate.h gate_order.[ch] \
		linux/*.[ch] linux/Kbuild | sort)
}

source_digest()
{
	stat -c '%s %Y' "$source"
}

# What decides whether anything has to be compiled.
digest()
{
	{
		source_digest
		echo "$release"
		cat "$here"/patches/*.patch "${BASH_SOURCE[0]}"
		(cd "$backends" && own_files | xargs sha256sum)
	} | sha256sum | cut -d ' ' -f 1
}

# The drivers as Debian has them, in $out/stock.
unpack()
{
	[ "$(cat "$out/.source" 2>/dev/null)" != "$(source_digest)" ] || return 0
	rm -rf "$out/stock" "$out/.source"
	mkdir "$out/stock"
	tar -C "$out/stock" -xf "$source" --strip-components 1 \
		"${drivers[@]/#/linux-source-6.1/}" ||
		die "cannot unpack $source"
	source_digest >"$out/.source"
}

# Put $1 to $2; what did not change keeps its time, and is not compiled again.
put()
{
	cmp -s "$1" "$2" && return
	mkdir -p "${2%/*}"
	cp "$1" "$2"
}

# Make the tree $out/src: backends/, and a directory for each driver.
prepare()
{
	local file driver patch new=$out/new

	rm -rf "$new"
	cp -r "$out/stock" "$new"
	for patch in "$here"/patches/*.patch; do
		patch -d "$new" -p1 -s --no-backup-if-mismatch <"$patch" ||
			die "${patch##*/} does not apply to $source"
	done
	while IFS= read -r file; do
		put "$backends/$file" "$out/src/backends/$file"
	done < <(own_files)
	for driver in "${drivers[@]}"; do
		while IFS= read -r file; do
			put "$new/$driver/$file" "$out/src/${driver##*/}/$file"
		done < <(cd "$new/$driver" && find . -type f -printf '%P\n')
	done
	rm -rf "$new"
	{
		printf 'obj-m := backends/linux/%s\n' \
			"$(printf ' %s/' "${drivers[@]##*/}")"
		# shellcheck disable=SC2016 # make's variable
		echo 'subdir-ccflags-y := -I$(src) -I$(src)/backends/linux'
	} >"$out/src/Kbuild.new"
	put "$out/src/Kbuild.new" "$out/src/Kbuild"
	rm "$out/src/Kbuild.new"
}

failed()
{
	grep -E -m 20 'error:|warning:|undefined!|[*][*][*]' "$out/build.log" >&2 ||
		tail -n 20 "$out/build.log" >&2
	die "$1; all of it: $out/build.log"
}

compile()
{
	make -C "$headers" M="$out/src" -j2 modules >"$out/build.log" 2>&1 ||
		failed "the build failed"
	! grep -q '\.[ch]:.*warning:' "$out/build.log" ||
		failed "the compiler warns"
}

main()
{
	local module stamp driver

	command -v make >/dev/null || die "make is not installed"
	command -v patch >/dev/null ||
		die "patch is not installed: run 'make deps'"
	release=${KERNEL:-$(newest_headers)}
	headers=/lib/modules/$release/build
	[ -f "$headers/Makefile" ] || headers=/usr/src/linux-headers-$release
	if [ -z "$release" ] || [ ! -f "$headers/Makefile" ]; then
		die "no headers of kernel ${release:-6.1}: run 'make deps'"
	fi
	[ -f "$source" ] || die "$source is not installed: run 'make deps'"

	mkdir -p "$out"
	out=$(cd "$out" && pwd)
	exec 9>"$out/.lock"
	flock 9

	stamp=$(digest)
	[ "$(cat "$out/.stamp" 2>/dev/null)" != "$stamp" ] || return 0
	rm -f "$out/.stamp"
	[ "$(cat "$out/release" 2>/dev/null)" = "$release" ] ||
		rm -rf "$out/src" "$out/release"
	unpack
	prepare
	echo "$release" >"$out/release"
	compile
	for module in backends/linux/kemari-gate "${drivers[@]##*/}"; do
		driver=${module##*/}
		[ "$driver" != "$module" ] || module=$driver/$driver
		strip --strip-debug -o "$out/$driver.ko" "$out/src/$module.ko"
	done
	echo "$stamp" >"$out/.stamp"
}

# In one piece, so that an edit of this file does not meet a running one.
main; exit
