#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# hv.sh - the hypervisor's interface, tested against a live guest on host a
#
# tests/hv/hv-standby puts a running guest's state on a shell and reads it
# back, tests/hv/hv-test taps, harvests, attacks and at last crashes the guest.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/system/lib.sh
. tests/system/lib.sh
name=hvguest

lab_up "$@"
kernel=$("$lab" guest-kernel)
module=/lib/modules/${kernel#*/vmlinuz-}/kernel/drivers/xen/xen-privcmd.ko
"$lab" guest-image "$work/$name.img" --add build/guest-bin/hvload \
	--add "$module" --init tests/guest/hv-init
for host in a b; do
	"$lab" put $host "$work/$name.img" /root/$name.img
	put_config $host $name /root/$name.img "" 'maxmem = 128' 'vcpus = 2' \
		'on_crash = "preserve"' 'on_reboot = "preserve"'
done
for p in hv-test hv-standby; do
	"$lab" put a build/dom0-bin/$p /root/$p
done
log=/var/log/xen/console/guest-$name.log
# -e: no process of xl that acts on the guest's end.
on a "chmod 755 /root/hv-*; xl destroy $name 2>/dev/null; rm -f $log
    xl create -e /root/$name.cfg"
until_true 120 "the guest prints" on a "grep -qs '^line 20' $log"
domid=$(on a "xl domid $name")
# Each host hands out domain IDs of its own range (tests/lab/lablib/conf.py).
other=$(on b "xl create -e -p /root/$name.cfg >&2
    xl domid $name; xl destroy $name")
if [ "$domid" -lt 10000 ] && [ "$other" -ge 10000 ]; then
	echo "ok - host a hands out domain ID $domid, host b $other"
else
	fail "domain ID $domid on host a, $other on host b"
fi
status=0
on a "/root/hv-standby $domid" || status=1
on a "/root/hv-test $domid $log" || status=1
on a "xl list $name" >/dev/null 2>&1 && {
	echo "hv: FAIL: the guest is still there" >&2
	status=1
}
exit $status
