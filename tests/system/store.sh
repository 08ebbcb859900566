#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# store.sh [--stock] - xenstore and console of a guest that loads both, in the lab
#
# Runs on any Xen, patched or not.  What is seen here: nodes there and back,
# rings at rest and read, refusals, standby nodes, the end of a domain.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/system/lib.sh
. tests/system/lib.sh
guest=store-guest

run() { echo "store: store-test $*"; "$lab" exec a -- store-test "$@"; }

config() { put_config a "$1" /root/store.img "" "${@:2}"; }	# NAME [LINE]...

# Both loads run, seen from byte $from of its console on.
loaded()
{
	tail -c "+$((from + 1))" "$log" >"$work/console" 2>/dev/null
	grep -q 'line [0-9]' "$work/console" &&
		grep -q 'storeload: [0-9]* rounds' "$work/console"
}
gone() { ! on a "xl domid $guest" >"$work/out" 2>&1; }
no_nodes()	# HOST DOMID
{
	local left
	left=$(on "$1" "xenstore-ls -f | grep -e '/$2 ' -e '/$2/'" || true)
	[ -z "$left" ] || fail "left in xenstore of $1 after $2: $left"
}

# expect FILE TEXT...: exactly these lines, by a part of each
expect()
{
	local file=$1 text
	shift
	for text; do
		grep -qF -e "$text" "$file" || fail "not said: $text"
	done
	[ "$(wc -l <"$file")" = $# ] || fail "$(cat "$file")"
}

start_guest()	# [OPTION]
{
	log=$("$lab" log a $guest)
	from=$(stat -c %s "$log" 2>/dev/null || echo 0)
	on a "xl create ${1:-} /root/$guest.cfg" >"$work/out" 2>&1 ||
		fail "$(cat "$work/out")"
	until_true 60 "the guest's load" loaded
	id=$(on a "xl domid $guest")
}

lab_up "$@"
for host in a b; do
	"$lab" put $host build/dom0-bin/store-test /usr/local/bin/store-test
	on $host "xl destroy $guest 2>/dev/null || true"
done
"$lab" guest-image "$work/store.img" --add build/guest-bin/storeload \
	--init tests/guest/store-init
"$lab" put a "$work/store.img" /root/store.img
config $guest
start_guest

run dump "$id"
run check "$id"
run changed "$id"
run settled "$id" 60
run drained "$id" 60
run replace "$id"
run settled "$id" 10

echo "store: a standby's nodes on the other host"
run save "$id" /tmp/store.rec
"$lab" get a /tmp/store.rec "$work/store.rec"
"$lab" put b "$work/store.rec" /tmp/store.rec
on b "store-test standby 77 /tmp/store.rec"
on b "xl list" | grep -q "^$guest--standby *77 " || fail "xl list on b"
! on b "ls /var/log/xen/console" | grep -q standby ||
	fail "xenconsoled attached to a standby"
on b "xl destroy $guest--standby"
until_true 20 "the standby gone" eval "! on b 'xl list 77' >$work/out 2>&1"
no_nodes b 77

if [ "${LAB_XENSTORED:-oxenstored}" = xenstored ]; then
	# It tells nobody the watches of a guest: docs/GUEST.md.
	echo "store: C xenstored: the guest hears no more of xl: a fresh one"
	on a "xl destroy $guest"
	start_guest
fi
echo "store: the guest still hears xl shutdown; its end is reported"
on a "store-test events $id >/tmp/events 2>&1 </dev/null &"
until_true 20 "the follower" on a "grep -q following /tmp/events"
on a "xl shutdown $guest"
until_true 60 "shutdown" gone
until_true 20 "the end reported" on a "grep -q gone /tmp/events"
no_nodes a "$id"

echo "store: xl destroy is reported"
start_guest
on a "store-test events $id >/tmp/events 2>&1 </dev/null &"
until_true 20 "the follower" on a "grep -q following /tmp/events"
on a "xl destroy $guest"
until_true 20 "the end reported" on a "grep -q gone /tmp/events"
! on a "grep -q shutdown /tmp/events" || fail "destroy taken for a shutdown"

echo "store: a guest without xl's process is reaped"
start_guest -e
on a "store-test reap $id >/tmp/reap 2>&1 </dev/null &"
until_true 20 "the reaper" on a "grep -q waiting /tmp/reap"
on a "xl shutdown $guest"
until_true 60 "the guest reaped" on a "grep -q reaped /tmp/reap"
until_true 20 "reaped" gone
! on a "grep FAIL /tmp/reap" || fail "reap"
on a "grep -q 'was powered off; it was destroyed' /tmp/reap" ||
	fail "$(on a 'cat /tmp/reap')"
no_nodes a "$id"

echo "store: refusals"
config refused 'maxmem = 256' 'tsc_mode = "native"'
on a "xl create -p /root/refused.cfg" >"$work/out" 2>&1 || fail "$(cat "$work/out")"
id=$(on a "xl domid refused")
! on a "store-test check $id" >"$work/out" || fail "not refused"
on a "xl destroy refused"
cat "$work/out"
expect "$work/out" "domain $id is paused by a toolstack" \
	"memory: target 131072 KiB is below the maximum of 262144 KiB" \
	"tsc_mode: 2; the rule is 0"
! on a "store-test check 0" >"$work/out" || fail "domain 0 not refused"
expect "$work/out" "domain 0 is the control domain"
on a "store-test check 4000" >"$work/out" 2>&1 && fail "no domain 4000"
expect "$work/out" "store-test: check: No such process"
echo "store: ok"
