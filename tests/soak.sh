#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# soak.sh - what `make soak` does: long runs, resumable, results as JSON lines
#
# build/soak/{drills,services}.json get one line per drill with its seed; a run
# that was stopped goes on where it was.  FAULTS, REVIVES, PROTECTIONS, DRILLS
# and SERVICES set the numbers; 0 leaves a part out.
set -euo pipefail
cd "$(dirname "$0")/.."

FAULTS=${FAULTS:-20} REVIVES=${REVIVES:-50} DRILLS=${DRILLS:-20}
PROTECTIONS=${PROTECTIONS:-100}
SERVICES=${SERVICES:-18}	# guests; most live through two cuts
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

# Seeds of the simulator, five hundred to a line.
i=$(wc -l 2>/dev/null <$out/faults.log || echo 0)
while [ "$i" -lt "$FAULTS" ]; do
	seeds=$((i * 500 + 1))-$(((i + 1) * 500))
	KEMARI_SIM_SEEDS=$seeds build/tests/sim/test_chaos \
		>$out/faults-last.log 2>&1 || { cat $out/faults-last.log; exit 1; }
	echo "seeds $seeds: $(tail -n 1 $out/faults-last.log)" |
		tee -a $out/faults.log
	i=$((i + 1))
done
if [ ! -f $out/revive.done ] && [ "$REVIVES" -gt 0 ]; then
	tests/lab/lab up
	CYCLES=$REVIVES tests/system/revive.sh | tee $out/revive.log
	touch $out/revive.done
fi
# One that could not be carried out is tried again with the next seed.
touch $out/drills.json $out/services.json
counted() { grep -c '"verdict": "\(pass\|violation\)"' "$out/$1.json" || true; }
i=$(counted drills)
while [ "$i" -lt "$DRILLS" ]; do
	case $((i % 4)) in
	1) extra="--slow-console 120 --link-first" ;;
	2) extra="--cuts 2" ;;
	3) extra=--harass ;;
	*) extra= ;;
	esac
	# shellcheck disable=SC2086 # extra is options or none
	tests/system/drill.py --seed $((2000 + 10 * i)) --tries 5 \
		--vcpus $((1 + i % 2)) $extra --out $out/drills.json || true
	i=$((i + 1))
done
i=$(counted services)
while [ "$i" -lt "$SERVICES" ]; do
	drill=services.py
	case $((i % 6)) in
	1) extra="--torture --cuts 2" ;;
	2) extra="--vcpus 2 --link-first --cuts 2" ;;
	3) extra="--programs all --timeout 300" ;;
	4) drill=old_writes.py extra= ;;
	5) extra="--torture --many --programs redis --cuts 2" ;;
	*) extra="--many --cuts 2" ;;
	esac
	# shellcheck disable=SC2086 # extra is options or none
	tests/system/$drill --seed $((3000 + 10 * i)) --tries 3 $extra \
		--out $out/services.json || true
	i=$((i + 1))
done
failed=
# once NAME COMMAND... - what has passed is not run again
once()
{
	local name=$1
	shift
	[ ! -f "$out/$name.done" ] || return 0
	if "$@" | tee "$out/$name.log"; then
		touch "$out/$name.done"
	else
		failed+=" $name"
	fi
}
# shellcheck disable=SC2317 # called through once
weakened()
{
	tests/system/services.py --expect violation --tries 3 \
		--out $out/negatives.json "$@"
}
once model tests/model/run.sh long
if [ "$SERVICES" -gt 0 ]; then
	once buffered-loop weakened --buffered-loop
	once order-off weakened --weaken unsafe_no_order --torture --every-ms 10
fi
if [ "$PROTECTIONS" -gt 0 ]; then
	once lab tests/lab/test-lab.py --all
	once hvm tests/system/drill.py --type hvm --tries 3 \
		--out $out/hvm.json
	once devices env ALL=1 tests/system/devices.sh
	once gate env MANY=1 tests/system/gate.sh
	once io tests/system/io.py stall restarts another-disk unprotect shutdown
	once cycles env CYCLES="$PROTECTIONS" tests/system/io.py cycles
fi
for kind in drills services; do
	[ -s $out/$kind.json ] || continue
	echo "$kind:"
	tests/system/summary.py $out/$kind.json
done | tee $out/summary.txt
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
