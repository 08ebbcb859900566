#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check.sh [lab] - everything that `make check` runs (or its lab steps), with
# the time of each step
#
# Budget on 2 cores (minutes): packages 5, builds 8, native 8, model 1, lab 20.
set -u
cd "$(dirname "$0")/.." || exit 1

mkdir -p build/check
pass=0 fail=0 failed="" table=""

# step NAME COMMAND... - run it, keep its log, note time and verdict
step()
{
	local name=$1 log start secs verdict
	shift
	log=build/check/$name.log
	echo "=== $name: $*"
	start=$SECONDS
	if "$@" > >(tee "$log") 2>&1; then
		verdict=ok pass=$((pass + 1))
	else
		verdict=FAIL fail=$((fail + 1)) failed="$failed $name"
	fi
	secs=$((SECONDS - start))
	table+=$(printf '%-5s %5d s  %s' "$verdict" "$secs" "$name")$'\n'
	[ "$verdict" = ok ]
}

# shellcheck disable=SC2317 # called through step
mk() { make --no-print-directory "$@"; }

finish()
{
	echo "=== summary"
	printf '%s' "$table"
	printf '%11d s  sum\n' "$SECONDS"
	[ -z "$failed" ] || echo "failed:$failed (logs in build/check/)"
	printf '%d passed, %d failed\n' "$pass" "$fail"
	[ "$fail" -eq 0 ]
	exit
}

# What a failed step left would slow down and mislead those after it.
no_guests()
{
	local host
	for host in a b; do
		tests/lab/lab exec $host -- sh -c \
			"xl list | awk 'NR > 2 { print \$2 }' | xargs -r -n 1 xl destroy"
	done
}

lab_steps()
{
	# One boot of the lab for all; each step names what it proves.
	while read -r name command; do
		# shellcheck disable=SC2086 # the second field is a command
		step "$name" $command </dev/null || no_guests </dev/null
	done < <(grep -v '^#' tests/lab-steps)
	step lab-down tests/lab/lab down
}

if [ "${1:-}" = lab ]; then
	lab_steps
	finish
fi
step packages mk deps || finish
step hypervisor mk xen || finish
step modules mk modules || finish
step build mk -j2 all || finish
step native-build mk -j2 native-programs
step native mk check-native
step workload-judges tests/system/test-workloads.py
step program-judges tests/system/test-programs.py
step sanitizers-build mk -j2 SAN=1 native-programs
step sanitizers mk check-san
step model mk check-model
step lint mk lint
lab_steps
finish
