#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# build-xen.sh - build the patched hypervisor
#
# usage: [XEN_SRC=DIR] [XEN_DEBUG=y] hypervisor/build-xen.sh [OUTDIR]
#
# Leaves OUTDIR/xen (an uncompressed ELF image that QEMU's -kernel takes) and
# OUTDIR/.stamp.  The source is Debian's package, fetched once into
# OUTDIR/download through an apt sources list of our own and checked against
# xen-sources.sha256, or the tree XEN_SRC, which is copied.  A run with nothing
# changed does nothing; one with only our own files changed compiles those.

set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/../build/xen}
package=xen
mirrors=("${XEN_MIRROR:-http://deb.debian.org/debian} bookworm main")

die()
{
	printf 'build-xen: %s\n' "$*" >&2
	exit 1
}

have()
{
	command -v "$1" >/dev/null || die "$1 is not installed: run 'make deps'"
}

no_source()
{
	die "$1; to build from a Xen 4.17 tree of your own (Debian's or" \
	    "upstream's RELEASE-4.17.7), set XEN_SRC=DIR"
}

# Do all files of the list exist in $1, with the right contents?
verified()
{
	(cd "$1" && sha256sum --check --strict --status \
		"$here/xen-sources.sha256") 2>/dev/null
}

# Fetch the source package into $1.
fetch()
{
	local dir=$1 apt=()

	verified "$dir" && return
	have apt-get
	mkdir -p "$dir/lists/partial"
	printf 'deb-src %s\n' "${mirrors[@]}" > "$dir/sources.list"
	apt=(apt-get -qq -o "Dir::Etc::sourcelist=$dir/sources.list"
	     -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$dir/lists"
	     -o "Dir::Cache::srcpkgcache=" -o "Dir::Cache::pkgcache="
	     -o APT::Sandbox::User= -o Acquire::Languages=none)
	"${apt[@]}" update || no_source "cannot read Debian's package lists"
	(cd "$dir" && "${apt[@]}" source --download-only "$package") ||
		no_source "cannot download Debian's source package $package"
	verified "$dir" ||
		no_source "the source package in $dir is not one of those in xen-sources.sha256"
}

# What the unpatched tree and its configuration are made from.
source_digest()
{
	{
		cat "$here/xen-sources.sha256"
		printf '%s\n' "${XEN_SRC:-}" "${XEN_DEBUG:-}"
		# A tree of one's own: what is in it, by time and size.
		[ -z "${XEN_SRC:-}" ] ||
			find "$XEN_SRC/xen" -name '*.[chS]' \
				-printf '%p %T@ %s\n' | sort
	} | sha256sum | cut -d ' ' -f 1
}

# What decides whether the tree has to be patched anew.
base_digest()
{
	{
		source_digest
		cat "$here"/patches/*.patch
	} | sha256sum | cut -d ' ' -f 1
}

# What decides whether anything has to be compiled.
digest()
{
	{
		base_digest
		cd "$here" && find xen public -type f -print0 | sort -z |
			xargs -0 sha256sum
	} | sha256sum | cut -d ' ' -f 1
}

# Make the patched tree $1.
unpack()
{
	local new=$1 patch

	rm -rf "$new"
	if [ -n "${XEN_SRC:-}" ]; then
		mkdir "$new"
		tar -C "$XEN_SRC" -cf - --exclude='*.o' xen Config.mk config |
			tar -C "$new" -xf -
	else
		have dpkg-source
		fetch "$out/download"
		dpkg-source --no-check --no-copy -x "$out"/download/xen_*.dsc "$new" \
			>"$out/unpack.log" 2>&1 || {
			cat "$out/unpack.log" >&2
			die "cannot unpack $out/download/xen_*.dsc"
		}
	fi
	for patch in "$here"/patches/*.patch; do
		patch -d "$new" -p1 -s --no-backup-if-mismatch <"$patch" ||
			die "${patch##*/} does not apply to this source"
	done
}

# Configure the tree $1 as Debian does.
configure()
{
	make -s -C "$1/xen" defconfig >"$out/build.log" 2>&1 || failed
	if [ "${XEN_DEBUG:-}" = y ]; then
		echo CONFIG_DEBUG=y >>"$1/xen/.config"
	else
		sed -i '/CONFIG_DEBUG[ =]/d' "$1/xen/.config"
		echo '# CONFIG_DEBUG is not set' >>"$1/xen/.config"
	fi
	make -s -C "$1/xen" olddefconfig >>"$out/build.log" 2>&1 || failed
}

# Take over from tree $1 what the old or the new patches touch: what they do
# not change keeps its time, and is not compiled again.
merge()
{
	local file

	while IFS= read -r file; do
		cmp -s "$1/$file" "$out/src/$file" ||
			cp "$1/$file" "$out/src/$file"
	done < <(cat "$here"/patches/*.patch "$out"/applied/*.patch |
		sed -n 's,^+++ b/,,p' | sort -u)
	rm -rf "$1"
}

# Make or update the tree $out/src.
prepare()
{
	local new=$out/src.new source

	source=$(source_digest)
	unpack "$new"
	if [ -d "$out/src" ] && [ -d "$out/applied" ] &&
	   [ "$(cat "$out/.source" 2>/dev/null)" = "$source" ]; then
		merge "$new"
	else
		rm -rf "$out/src" "$out/.source"
		configure "$new"
		mv "$new" "$out/src"
	fi
	rm -rf "$out/applied"
	cp -r "$here/patches" "$out/applied"
	echo "$source" >"$out/.source"
}

failed()
{
	grep -E -m 20 'error:|[*][*][*]' "$out/build.log" >&2 ||
		tail -n 20 "$out/build.log" >&2
	die "the build failed; all of it: $out/build.log"
}

# Put our files into the tree; those that did not change keep their time.
copy_files()
{
	local file target

	while IFS= read -r file; do
		target=$out/src/$file
		cmp -s "$here/$file" "$target" && continue
		mkdir -p "${target%/*}"
		cp "$here/$file" "$target"
	done < <(cd "$here" && find xen -type f)
	target=$out/src/xen/include/public/hvm/kemari.h
	cmp -s "$here/public/kemari.h" "$target" ||
		cp "$here/public/kemari.h" "$target"
}

main()
{
	local stamp base

	have make
	have gcc
	have patch
	mkdir -p "$out"
	out=$(cd "$out" && pwd)
	if [ -n "${XEN_SRC:-}" ]; then
		[ -f "$XEN_SRC/xen/Makefile" ] ||
			die "XEN_SRC=$XEN_SRC is not a Xen source tree: it has no xen/Makefile"
		XEN_SRC=$(cd "$XEN_SRC" && pwd)
	fi

	exec 9>"$out/.lock"
	flock 9

	stamp=$(digest)
	if [ -f "$out/xen" ] && [ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ]; then
		return 0
	fi
	base=$(base_digest)
	if [ "$(cat "$out/.base" 2>/dev/null)" != "$base" ] || [ ! -d "$out/src" ]; then
		rm -f "$out/.base"
		prepare
		echo "$base" >"$out/.base"
	fi
	copy_files
	make -C "$out/src/xen" -j2 >"$out/build.log" 2>&1 || failed
	cp "$out/src/xen/xen" "$out/xen.new"
	mv "$out/xen.new" "$out/xen"
	echo "$stamp" >"$out/.stamp"
}

# In one piece, so that an edit of this file does not meet a running one.
main; exit
