#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# devices.sh [--stock] - disks and network cards of a standby, in the lab
#
# A guest with both runs on host a.  What its xenstore says there becomes a
# standby on host b: backends opened and bridged, waiting (INV-38); refused by
# name where something is not as it must be (INV-39, INV-40); and nothing of it
# is left after its end, whoever ends it.  ALL=1: more refusals.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/system/lib.sh
. tests/system/lib.sh
guest=devices
id=77
cycles=${CYCLES:-3}

# shellcheck disable=SC2317 # called through until_true
gone() { ! on b "xl list $id" >"$work/out" 2>&1; }
test_b() { "$lab" exec b -- device-test "$@"; }

nothing_left()	# AFTER [HOST DOMID]
{
	local what host=${2:-b} id=${3:-$id}
	what=$(on "$host" "xenstore-ls -f | grep -e '/$id/' -e '/$id ' || true
		ls /sys/bus/xen-backend/devices; losetup -a
		ls /sys/class/net | grep '^vif' || true")
	[ -z "$what" ] || fail "left on $host after $1: $what"
}

# refused TEXT KEY [VALUE]: a build, of which TEXT is said
refused()
{
	local text=$1
	shift
	test_b refuse $id /tmp/devices.rec "$@" >"$work/out" || {
		cat "$work/out"
		fail "refuse $*"
	}
	sed 's/^/	/' "$work/out"
	grep -qF -e "$text" "$work/out" || fail "not said: $text"
	nothing_left "refuse $*"
}

"$lab" up "$@"
for host in a b; do
	"$lab" put $host build/dom0-bin/store-test /usr/local/bin/store-test
	"$lab" put $host build/dom0-bin/device-test /usr/local/bin/device-test
	on $host "xl destroy $guest 2>/dev/null || true
		dd if=/dev/zero of=/root/devices.disk bs=1M count=16 2>/dev/null"
done
"$lab" guest-image "$work/guest.img" --add build/guest-bin/clockcheck \
	--add build/guest-bin/ioload --init tests/guest/io-init
printf '%s\n' "name = \"$guest\"" 'type = "pvh"' \
	'kernel = "/boot/guest-vmlinuz"' 'ramdisk = "/root/devices.img"' \
	'memory = 128' 'cmdline = "console=hvc0 quiet"' \
	'disk = ["/root/devices.disk,raw,xvda,rw"]' \
	'vif = ["bridge=xenbr0"]' >"$work/guest.cfg"
"$lab" put a "$work/guest.img" /root/devices.img
"$lab" put a "$work/guest.cfg" /root/devices.cfg
# -e: no process of xl's cleans up after it.
on a "xl create -e /root/devices.cfg" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
guest_id=$(on a "xl domid $guest")
connected()
{
	[ "$(on a "xenstore-read /local/domain/0/backend/vbd/$guest_id/51712/state \
		/local/domain/0/backend/vif/$guest_id/0/state" | tr -d '\n')" = 44 ]
}
until_true 60 "the guest's devices work" connected
on a "store-test save $guest_id /tmp/devices.rec"
"$lab" get a /tmp/devices.rec "$work/devices.rec"
"$lab" put b "$work/devices.rec" /tmp/devices.rec

echo "devices: a standby's wait"
test_b build $id /tmp/devices.rec
on b "xl list" | grep -q "^$guest--standby *$id " || fail "xl list on b"
on b "xl block-list $id" | grep -q '^51712' || fail "xl block-list on b"
on b "xl network-list $id" | grep -q '00:16:3e' || fail "xl network-list on b"
on b "ls /sys/class/net/xenbr0/brif" | grep -qx "vif$id.0" ||
	fail "the card is in no bridge"
[ "$(on b 'losetup -a' | wc -l)" = 1 ] || fail "the disk is not open"
on b "xl destroy $guest--standby"
until_true 20 "the standby gone" gone
nothing_left "xl destroy"

echo "devices: built and destroyed"
test_b cycles $id /tmp/devices.rec "$cycles"
nothing_left "$cycles cycles"

echo "devices: shared storage is accepted with a fence"
"$lab" disk devices 16M
on b "san-attach devices /dev/nbd0"
test_b accept $id /tmp/devices.rec vbd/51712/params /dev/nbd0
nothing_left "accept"
on b "san-detach /dev/nbd0"

echo "devices: refusals"
refused 'the rule is a fence' unfenced
refused 'of this host' fenced
refused 'no /etc/xen/scripts/none' vbd/51712/script none
refused 'network card 0' vif/0/bridge none0
if [ "${ALL:-}" ]; then
	refused '/root/none' vbd/51712/params /root/none
	refused 'sectors here; the rule is as many' vbd/51712/sectors 4096
	refused 'the rule is a name in /etc/xen/scripts' \
		vbd/51712/script /tmp/block
	refused 'multi-queue-num-queues = 4096' \
		domain/device/vbd/51712/multi-queue-num-queues 4096
	on b "cp /etc/xen/scripts/block /etc/xen/scripts/open &&
		chmod 777 /etc/xen/scripts/open"
	refused 'can be written by others' vbd/51712/script open
	on b "rm /etc/xen/scripts/open"
fi

echo "devices: a guest without xl's process is reaped, with its devices"
on a "store-test reap $guest_id >/tmp/reap 2>&1 </dev/null &"
until_true 20 "the reaper" on a "grep -q waiting /tmp/reap"
on a "xl shutdown $guest"
until_true 60 "the guest reaped" on a "grep -q reaped /tmp/reap"
! on a "grep FAIL /tmp/reap" || fail "$(on a 'cat /tmp/reap')"
nothing_left "the reaper" a "$guest_id"
echo "devices: ok"
