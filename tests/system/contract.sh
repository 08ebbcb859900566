#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# contract.sh - the contract of platforms (tests/contract), on Xen
#
# On host a of the lab: a guest that prints and writes memory all the time is
# taken through the cases of a primary, destroyed, and the cases of a standby
# bring it back.  Every case must have run: none is skipped.
set -eu
cd "$(dirname "$0")/../.."
lab=tests/lab/lab
work=build/check/contract
name=contract
cmocka=$(ldd build/dom0-bin/contract-xen | awk '/libcmocka/ { print $3 }')
mkdir -p $work

fail() { echo "contract: FAIL: $*"; exit 1; }
on() { "$lab" exec a -- sh -c "$1"; }
lines() { tail -c "+$from" "$log" 2>/dev/null | grep -ac 'N [0-9]* mono=' || true; }

# until_lines SECONDS NUMBER WHAT
until_lines()
{
	local end=$((SECONDS + $1))
	until [ "$(lines)" -ge "$2" ]; do
		[ $SECONDS -lt $end ] || fail "timed out: $3"
		sleep 0.5
	done
}

if ! "$lab" status >/dev/null 2>&1; then
	trap '"$lab" down' EXIT
fi
"$lab" up
"$lab" guest-image $work/$name.img --add build/guest-bin/clockcheck \
	--init tests/guest/drill-init
printf '%s\n' "name = \"$name\"" 'type = "pvh"' \
	'kernel = "/boot/guest-vmlinuz"' "ramdisk = \"/root/$name.img\"" \
	'memory = 128' 'maxmem = 128' 'vcpus = 2' \
	'cmdline = "console=hvc0 quiet ms=50 mb=32"' >$work/$name.cfg
for f in img cfg; do
	"$lab" put a $work/$name.$f /root/$name.$f
done
"$lab" put a "$cmocka" "$cmocka"
"$lab" put a build/dom0-bin/contract-xen /usr/local/bin/contract-xen
on "chmod 755 /usr/local/bin/contract-xen; xl destroy $name 2>/dev/null || true"
log=$("$lab" log a $name)
from=$(($(stat -c %s "$log" 2>/dev/null || echo 0) + 1))

# -e: no process of xl that cleans up when the domain dies.
on "xl create -e /root/$name.cfg"
until_lines 180 20 "the guest counts"
on "contract-xen $name" >$work/cases 2>&1 || {
	grep -e ERROR -e LINE -e FAILED -e contract-xen $work/cases || true
	fail "see $work/cases"
}
ran=$(grep -c '\[       OK \]' $work/cases)
want=$(cat tests/contract/contract*.c | grep -c '^	cmocka_unit_test(')
# One more: the case that takes the checkpoint.
[ "$ran" -eq $((want + 1)) ] || fail "$ran of $((want + 1)) cases ran"
before=$(lines)
until_lines 60 $((before + 20)) "the guest counts on after the last case"
on "xl destroy $name"
echo "contract: ok, $ran cases"
