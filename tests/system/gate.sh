#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# gate.sh - the gate of a running guest's disk, on host a of the lab
#
# The guest writes numbered records with 32 requests in flight; the disk is
# served by slow-disk, which answers late and out of order on demand.
# tests/dom0/gate-test.c says what is looked at; with the fence or the order
# off it must notice.  Afterwards neither kernel has warned, and the modules can
# be unloaded and loaded again; then a guest with two queues of two pages each.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/system/lib.sh
. tests/system/lib.sh
name=gate

on_a() { on a "$1"; }

console() { tail -c "+$((from + 1))" "$log" 2>/dev/null | tr -d '\r'; }
# shellcheck disable=SC2317 # called through until_true
written()
{
	# What the guest before this one said may still be on its way.
	console | sed '1,/blkload starts/d' | grep -aq 'written [1-9]'
}
# shellcheck disable=SC2317 # called through until_true
served() { on_a 'grep -q . /sys/block/nbd0/pid 2>/dev/null'; }
kernel_said() { on_a 'dmesg' | grep -aE 'WARNING|BUG|Call Trace|refcount|hung' || true; }

gate_test() { "$lab" exec a -- gate-test "$id" /run/slow-disk "$@"; }
say() { echo "gate: $*, at $SECONDS s"; }

# unsafe PARAMETER CASE: with it on, the case fails, and by what it looks at
unsafe()
{
	local p=/sys/module/kemari_gate/parameters/$1
	on_a "echo 1 >$p"
	! gate_test "$2" >"$work/out" || fail "$1 is not noticed"
	on_a "echo 0 >$p"
	grep -q '^FAIL' "$work/out" || fail "gate-test: $(cat "$work/out")"
	say "$1 is noticed: $(grep -c '^FAIL' "$work/out") failures"
}

# config VCPUS COMMAND-LINE
config()
{
	printf '%s\n' "name = \"$name\"" 'type = "pvh"' "vcpus = $1" \
		'kernel = "/boot/guest-vmlinuz"' \
		"ramdisk = \"/root/$name.img\"" 'memory = 128' \
		'disk = [ "phy:/dev/nbd0,xvda,w" ]' \
		"cmdline = \"console=hvc0 quiet load=write,/dev/xvda,32 $2\"" \
		>"$work/$name.cfg"
	"$lab" put a "$work/$name.cfg" /root/$name.cfg
}

# The guest has no error, and its kernel warned of nothing since it booted, but
# of an emulated processor's slowness.
# shellcheck disable=SC2317 # called through until_true
heard() { console | grep -aq 'kernel: .*blk-init: booted'; }
guest_kernel()
{
	# A guest that stands still most of the time is slow to say it.
	until_true 120 "the guest's kernel" heard
	console | sed '1,/blk-init: booted/d' >"$work/console"
	! grep -aE 'blkload: |kernel: [0-4],' "$work/console" |
		grep -av -e clocksource: -e 'hrtimer: interrupt took' ||
		fail "the guest's kernel"
	# Of disks, too.
	console | grep -aq 'kernel: 6,.*blkfront' || fail "no word of the guest's kernel"
}

# Of struct slow_disk.
writes() { on_a 'dd if=/run/slow-disk bs=8 skip=1 count=1 2>/dev/null | od -t u8'; }
# shellcheck disable=SC2317 # called through until_true
at_rest() { writes >"$work/once"; sleep 0.5; writes | diff -q "$work/once" -; }

start_guest()
{
	log=$("$lab" log a $name)
	from=$(stat -c %s "$log" 2>/dev/null || echo 0)
	on_a "slow-disk /dev/nbd0 /run/slow-disk </dev/null >/run/slow-disk.log 2>&1 &"
	until_true 20 "slow-disk: $(on_a 'cat /run/slow-disk.log')" served
	on_a "xl create /root/$name.cfg" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
	until_true 60 "the guest writes" written
	id=$(on_a "xl domid $name")
}

stop_guest()
{
	on_a "xl destroy $name"
	until_true 20 "no backend left" on_a \
		'! ls /sys/bus/xen-backend/devices | grep -q vbd'
	writes >"$work/after-death"
	# shellcheck disable=SC2016 # the host's shell
	on_a 'kill $(cat /sys/block/nbd0/pid); rm -f /run/slow-disk'
	until_true 20 "slow-disk ended" on_a '! test -e /sys/block/nbd0/pid'
}

"$lab" up
"$lab" guest-image "$work/$name.img" --add build/guest-bin/blkload \
	--init tests/guest/blk-init
"$lab" put a "$work/$name.img" /root/$name.img
config 1 ""
for f in gate-test slow-disk; do
	"$lab" put a build/dom0-bin/$f /usr/local/bin/$f
done
on_a "xl destroy $name 2>/dev/null; modprobe nbd; rm -f /run/slow-disk; true"
kernel_said >"$work/before"

start_guest
say "a guest"
gate_test all || fail "gate-test"
gate_test cycles || fail "gate-test"
unsafe unsafe_no_order order
unsafe unsafe_no_fence fence
gate_test order fence || fail "gate-test"
guest_kernel

say "it dies behind its fence"
gate_test shut || fail "gate-test"
until_true 20 "the disk at rest" at_rest
writes >"$work/before-death"
stop_guest
diff "$work/before-death" "$work/after-death" || fail "requests passed the fence"
"$lab" exec a -- gate-test "$id" - gone || fail "gate-test"
kernel_said | diff "$work/before" - || fail "dom0's kernel"

say "the modules come and go"
on_a 'rmmod xen-netback xen-blkback && rmmod kemari-gate' || fail "rmmod"
on_a 'modprobe xen-blkback max_queues=2 && modprobe xen-netback &&
	test -c /dev/kemari-gate' || fail "modprobe"
# Two queues of two pages each.
if [ "${MANY:-}" ]; then
	config 2 "xen_blkfront.max_queues=2 xen_blkfront.max_ring_page_order=1"
	start_guest
	say "a guest"
	gate_test many || fail "gate-test"
	guest_kernel
	stop_guest
fi
kernel_said | diff "$work/before" - || fail "dom0's kernel"
echo "gate: ok"
