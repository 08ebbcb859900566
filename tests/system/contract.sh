#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# contract.sh - the contract of platforms (tests/contract), on Xen
#
# On host a of the lab: a guest that prints and writes memory all the time is
# taken through the cases of a primary, destroyed, and the cases of a standby
# bring it back.  Every case must have run: none is skipped.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=tests/system/lib.sh
. tests/system/lib.sh
name=contract
cmocka=$(ldd build/dom0-bin/contract-xen | awk '/libcmocka/ { print $3 }')

lines() { tail -c "+$from" "$log" 2>/dev/null | grep -ac 'N [0-9]* mono=' || true; }

# shellcheck disable=SC2317 # called through until_true
counted() { [ "$(lines)" -ge "$1" ]; }

lab_up "$@"
put_counter a $name "ms=50 mb=32" "vcpus = 2"
"$lab" put a "$cmocka" "$cmocka"
"$lab" put a build/dom0-bin/contract-xen /usr/local/bin/contract-xen
on a "chmod 755 /usr/local/bin/contract-xen; xl destroy $name 2>/dev/null || true"
log=$("$lab" log a $name)
from=$(($(stat -c %s "$log" 2>/dev/null || echo 0) + 1))

# -e: no process of xl that cleans up when the domain dies.
on a "xl create -e /root/$name.cfg"
until_true 180 "the guest counts" counted 20
on a "contract-xen $name" >"$work/cases" 2>&1 || {
	grep -e ERROR -e LINE -e FAILED -e contract-xen "$work/cases" || true
	fail "see $work/cases"
}
ran=$(grep -c '\[       OK \]' "$work/cases")
want=$(cat tests/contract/contract*.c | grep -c '^	cmocka_unit_test(')
# One more: the case that takes the checkpoint.
[ "$ran" -eq $((want + 1)) ] || fail "$ran of $((want + 1)) cases ran"
before=$(lines)
until_true 60 "the guest counts on after the last case" \
	counted $((before + 20))
on a "xl destroy $name"
echo "contract: ok, $ran cases"
