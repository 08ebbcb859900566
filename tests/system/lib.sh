# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# lib.sh - what the shell tests of the lab share; sourced from the tree's root

lab=tests/lab/lab
test_name=$(basename "$0" .sh)
work=build/check/$test_name
mkdir -p "$work"

fail() { echo "$test_name: FAIL: $*"; exit 1; }

# on HOST COMMAND - a shell command in the host's dom0
on() { "$lab" exec "$1" -- sh -c "$2"; }

# until_true SECONDS WHAT COMMAND...
until_true()
{
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		[ $SECONDS -lt $end ] || fail "timed out: $what"
		sleep 0.3
	done
}

# put_config HOST NAME IMAGE ARGS [LINE]... - the configuration of a guest of
# 128 MB whose ramdisk is IMAGE; ARGS are for its kernel
put_config()
{
	local host=$1 name=$2 image=$3 args=$4
	shift 4
	printf '%s\n' "name = \"$name\"" 'type = "pvh"' \
		'kernel = "/boot/guest-vmlinuz"' "ramdisk = \"$image\"" \
		'memory = 128' "cmdline = \"console=hvc0 quiet $args\"" "$@" \
		>"$work/$name.cfg"
	"$lab" put "$host" "$work/$name.cfg" "/root/$name.cfg"
}

# put_counter HOST NAME ARGS [LINE]... - a guest that counts on its console
# (tests/guest/drill-init), with configuration
put_counter()
{
	local host=$1 name=$2 args=$3
	shift 3
	"$lab" guest-image "$work/$name.img" \
		--add build/guest-bin/clockcheck --add build/guest-bin/dmload --init tests/guest/drill-init
	"$lab" put "$host" "$work/$name.img" "/root/$name.img"
	put_config "$host" "$name" "/root/$name.img" "$args" \
		'maxmem = 128' "$@"
}

# lab_up [OPTION]... - up; down again at the end if it was not up before
lab_up()
{
	if ! "$lab" status >/dev/null 2>&1; then
		trap '"$lab" down' EXIT
	fi
	"$lab" up "$@"
}
