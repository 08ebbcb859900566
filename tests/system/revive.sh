#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# revive.sh - a running guest is captured, destroyed, re-created and goes on
#
# On host a of the lab: a PVH guest with two vCPUs that checks its clocks,
# timers and memory (tests/guest/clockcheck.c) lives through CYCLES (default
# 3) deaths.  Judged by its console: each number of its count is there and
# says the same each time, its clocks go on, it has seen nothing BAD, and its
# kernel has no new warning.
# With --devices it has a disk and a network card, both in use, which go on
# with the host's own backends; nothing of them is left in the end.  INV-38
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/system/lib.sh
. tests/system/lib.sh
name=revive
cycles=${CYCLES:-3}
vcpus=${VCPUS:-2}
mac=00:16:3e:4b:00:64
init=drill
lines=("vcpus = $vcpus")
devices=''
if [ "${1:-}" = --devices ]; then
	shift
	devices=1 name=revive-io init=io
	lines+=('disk = ["/root/revive.disk,raw,xvda,rw"]'
		"vif = [\"bridge=xenbr0,mac=$mac,ip=10.77.0.101\"]")
fi

console() { tail -c "+$from" "$log" 2>/dev/null | cut -d' ' -f2- | tr -d '\r'; }
count() { console | grep -ao '^N [0-9]* mono=' | tail -n 1 | cut -d' ' -f2; }
# shellcheck disable=SC2317 # called through until_true
counted() { [ "$(count || true)" -ge "$1" ] 2>/dev/null; }

case $cycles in
*[!0-9]* | "" | 0) echo "revive: CYCLES=$cycles: must be 1 or more"; exit 2 ;;
esac
lab_up "$@"
"$lab" guest-image "$work/$name.img" --add build/guest-bin/clockcheck \
	--add build/guest-bin/ioload --init "tests/guest/$init-init"
"$lab" put a "$work/$name.img" "/root/$name.img"
put_config a $name "/root/$name.img" "ms=50 mb=32 kmsg=1" 'maxmem = 128' \
	"${lines[@]}"
[ -z "$devices" ] ||
	on a "dd if=/dev/zero of=/root/revive.disk bs=1M count=16 2>/dev/null"
"$lab" put a build/dom0-bin/revive /usr/local/bin/revive
on a "chmod 755 /usr/local/bin/revive; xl destroy $name 2>/dev/null || true"
log=$("$lab" log a $name)
from=$(($(stat -c %s "$log" 2>/dev/null || echo 0) + 1))

io() { console | grep -ao '^IO [0-9]*' | tail -n 1 | cut -d' ' -f2; }
# shellcheck disable=SC2317 # called through until_true
did_io() { [ "$(io || true)" -ge "$1" ] 2>/dev/null; }
# shellcheck disable=SC2317 # called through until_true
answers() { "$lab" client -- ping -c 3 -i 0.2 -W 2 10.77.0.100 >"$work/ping"; }

# -e: no process of xl that cleans up when the domain dies.
on a "xl create -e /root/$name.cfg"
until_true 180 "the guest counts" counted 50
if [ "$devices" ]; then
	until_true 60 "the guest writes to its disk" did_io 100
	until_true 60 "the guest answers" answers
	"$lab" client -- ping -i 0.1 10.77.0.100 >"$work/pings" &
	pings=$!
	"$lab" client -- python3 tests/tools/announcements.py eth0 \
		>"$work/announced" &
	listener=$!
fi
echo "revive: $cycles cycles of a guest with $vcpus vCPUs"
on a "revive $name --cycles $cycles" | tee "$work/times" || fail "revive failed"
[ "$(grep -c '^cycle' "$work/times")" -eq "$cycles" ] || fail "revive failed"
last=$(count)
until_true 120 "the guest counts on after N $last" counted $((last + 40))
if [ "$devices" ]; then
	until_true 60 "the disk goes on" did_io $(($(io) + 100))
	until_true 60 "the guest answers again" answers
	kill -INT "$pings"
	wait "$pings" || true
	tail -n 2 "$work/pings"
	sleep 1
	kill "$listener"
	wait "$listener" || true
	# For it, each time: to switches, an address that the toolstack knows,
	# and the one made of its own; then by the guest itself, all it has.
	for what in "rarp $mac" "arp $mac 10.77.0.101" \
		"neighbour $mac fe80::216:3eff:fe4b:64" "arp $mac 10.77.0.100"
	do
		n=$(grep -c "$what" "$work/announced" || true)
		echo "revive: announced $n times: $what"
		[ "$n" -ge "$cycles" ] || fail "announced too seldom: $what"
	done
fi
console >"$work/console"
# Its watches came with it, or it would not answer.
on a "xl shutdown $name" || fail "the guest hears no more of xl"
id=$(on a "xl domid $name")
on a "xl destroy $name"
if [ "$devices" ]; then
	left=$(on a "xenstore-ls -f | grep -e '/$id/' -e '/$id ' || true
		ls /sys/bus/xen-backend/devices | grep -e '-$id-' || true; losetup -a
		ls /sys/class/net | grep '^vif' || true")
	[ -z "$left" ] || fail "left after xl destroy: $left"
fi

# A line may be there twice, and the first time in part: the daemon may have
# read it before the death.
# shellcheck disable=SC2016 # awk's
grep -ao 'N [0-9]* mono=[0-9]* real=[0-9]*$' "$work/console" | awk '
	{
		split($3, mono, "="); split($4, real, "=")
		if ($2 in seen) {
			if (seen[$2] != $0)
				bad("said twice, not the same: " $0)
			next
		}
		if (NR > 1 && $2 != n + 1)
			bad("N " n " is followed by N " $2)
		if (mono[2] <= m || real[2] < r)
			bad("a clock went back or stood still at N " $2)
		seen[$2] = $0; n = $2; m = mono[2]; r = real[2]
	}
	function bad(what) { print "revive: " what; status = 1 }
	END { print "revive: counted to " n; exit status }
' || fail "the count is broken (see $work/console)"
if grep -a BAD "$work/console"; then
	fail "the guest has seen what must not be"
fi
# Emulation is slow enough for an interrupt to take longer than the kernel
# likes, with and without a revive.
if grep -a '^KMSG [0-4],' "$work/console" | grep -v 'hrtimer: interrupt took'
then
	fail "the guest's kernel has a new warning"
fi
echo "revive: ok"
