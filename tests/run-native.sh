#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# run-native.sh PROGRAM... - run test programs one by one, print time and sum
set -u

pass=0 fail=0 failed=
for t in "$@"; do
	log=$t.log
	start=$(date +%s%N)
	if timeout 600 "$t" >"$log" 2>&1; then
		pass=$((pass + 1)) verdict=ok
	else
		fail=$((fail + 1)) verdict=FAIL failed="$failed $log"
	fi
	ms=$((($(date +%s%N) - start) / 1000000))
	printf '%-5s %7d ms  %s\n' "$verdict" "$ms" "${t#build/}"
done
for log in $failed; do
	echo "--- $log"
	tail -n 40 "$log"
done
printf '%d passed, %d failed\n' "$pass" "$fail"
[ "$fail" -eq 0 ] && [ "$pass" -gt 0 ]
