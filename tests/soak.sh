#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# soak.sh - what `make soak` does: long runs, resumable, results as JSON lines
#
# build/soak/drills.json gets one line per drill with its seed; a run that was
# stopped goes on with the next seed.  REVIVES and DRILLS set the numbers.
set -eu
cd "$(dirname "$0")/.."

REVIVES=${REVIVES:-50} DRILLS=${DRILLS:-20} FAULTS=${FAULTS:-20}
out=build/soak
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
mkdir -p $out
[ "$(cat $out/commit 2>/dev/null)" = "$commit" ] || {
	# Results of another commit are kept, not mixed in.
	[ ! -f $out/commit ] || mv $out "$out-$(cat $out/commit)"
	mkdir -p $out
	echo "$commit" >$out/commit
}
trap 'tests/lab/lab down >/dev/null' EXIT

make --no-print-directory xen modules
make --no-print-directory -j2 all native-programs

if [ ! -f $out/revive.done ]; then
	tests/lab/lab up
	CYCLES=$REVIVES tests/system/revive.sh | tee $out/revive.log
	touch $out/revive.done
fi
# Seeds of the simulator, five hundred to a line.
i=$(wc -l <$out/faults.log 2>/dev/null || echo 0)
while [ "$i" -lt "$FAULTS" ]; do
	seeds=$((i * 500 + 1))-$(((i + 1) * 500))
	KEMARI_SIM_SEEDS=$seeds build/tests/sim/test_chaos \
		>$out/faults-last.log 2>&1 || { cat $out/faults-last.log; exit 1; }
	echo "seeds $seeds: $(tail -n 1 $out/faults-last.log)" |
		tee -a $out/faults.log
	i=$((i + 1))
done
i=$(wc -l <$out/drills.json 2>/dev/null || echo 0)
while [ "$i" -lt "$DRILLS" ]; do
	extra=
	[ $((i % 4)) -ne 3 ] || extra=--harass
	# shellcheck disable=SC2086 # extra is one option or none
	tests/system/drill.py --seed $((2000 + i)) --vcpus $((1 + i % 2)) \
		$extra --out $out/drills.json || true
	i=$((i + 1))
done
tests/system/summary.py $out/drills.json | tee $out/summary.txt
