#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# hv.sh - the hypervisor's interface, tested against a live guest on host a
#
# tests/hv/hv-standby puts a running guest's state on a shell and reads it
# back, tests/hv/hv-test taps, harvests, attacks and at last crashes the guest.
set -eu
cd "$(dirname "$0")/../.."
lab=tests/lab/lab
work=build/check/hv
name=hvguest

on() { "$lab" exec a -- sh -c "$1"; }

mkdir -p $work
if ! "$lab" status >/dev/null 2>&1; then
	trap '"$lab" down' EXIT
fi
"$lab" up
kernel=$("$lab" guest-kernel)
module=/lib/modules/${kernel#*/vmlinuz-}/kernel/drivers/xen/xen-privcmd.ko
"$lab" guest-image $work/$name.img --add build/guest-bin/hvload \
	--add "$module" --init tests/guest/hv-init
printf '%s\n' "name = \"$name\"" 'type = "pvh"' \
	'kernel = "/boot/guest-vmlinuz"' "ramdisk = \"/root/$name.img\"" \
	'memory = 128' 'maxmem = 128' 'vcpus = 2' \
	'cmdline = "console=hvc0 quiet"' \
	'on_crash = "preserve"' 'on_reboot = "preserve"' >$work/$name.cfg
for f in img cfg; do
	"$lab" put a $work/$name.$f /root/$name.$f
done
for p in hv-test hv-standby; do
	"$lab" put a build/dom0-bin/$p /root/$p
done
log=/var/log/xen/console/guest-$name.log
# -e: no process of xl that acts on the guest's end.
on "chmod 755 /root/hv-*; xl destroy $name 2>/dev/null; rm -f $log
    xl create -e /root/$name.cfg"
end=$((SECONDS + 120))
until on "grep -q '^line 20' $log" 2>/dev/null; do
	[ $SECONDS -lt $end ] || {
		echo "hv: FAIL: the guest prints nothing" >&2
		exit 1
	}
	sleep 1
done
domid=$(on "xl domid $name")
# Each host hands out domain IDs of its own range (tests/lab/lablib/conf.py).
"$lab" put b $work/$name.img /root/$name.img
"$lab" put b $work/$name.cfg /root/$name.cfg
other=$("$lab" exec b -- sh -c "xl create -e -p /root/$name.cfg >&2
    xl domid $name; xl destroy $name")
if [ "$domid" -lt 10000 ] && [ "$other" -ge 10000 ]; then
	echo "ok - host a hands out domain ID $domid, host b $other"
else
	echo "hv: FAIL: domain ID $domid on host a, $other on host b" >&2
	exit 1
fi
status=0
on "/root/hv-standby $domid" || status=1
on "/root/hv-test $domid $log" || status=1
on "xl list $name" >/dev/null 2>&1 && {
	echo "hv: FAIL: the guest is still there" >&2
	status=1
}
exit $status
