#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# run.sh [long | NAME...] - check the model: rows of table.txt, all but the
# long ones, or only those
#
# A row that is not as it should be is a failure.  build/model/NAME.txt has the
# shortest way to what was found; build/model/NAME/ the verifier, its output and
# its trail.
set -u
cd "$(dirname "$0")/../.." || exit 2

model=tests/model
out=build/model
export LC_ALL=C

# verify NAME KIND DEFINES... - build a verifier and run it; its output is kept
verify()
{
	local name=$1 kind=$2 flags=(-w -DNOFAIR -DVECTORSZ=256 -DMEMLIM=12000)
	local run=(-m100000)
	shift 2
	# All but the long ones take longer to compile than to run.
	case $kind in
	ends)	flags+=(-O0 -DNP) run+=(-l -w22) ;;
	holds)	flags+=(-O0 -DSAFETY -DNOREDUCE) run+=(-w22) ;;
	long)	flags+=(-O2 -DSAFETY -DNOREDUCE -DCOLLAPSE) run+=(-w26) ;;
	*)	flags+=(-O0 -DSAFETY -DBFS) run+=(-w20) ;;
	esac
	rm -rf "${out:?}/$name" "$out/$name.txt"
	mkdir -p "$out/$name"
	cp $model/*.pml "$out/$name" && cd "$out/$name" &&
		spin -a "$@" takeover.pml &&
		clang "${flags[@]}" -o pan pan.c && ./pan "${run[@]}"
}

# replay NAME DEFINES... - the trail as sentences, up to what was found
replay()
{
	(
		cd "$out/$1" || exit
		shift
		spin -t -T -B "$@" takeover.pml | grep -v '^ *$' |
			sed '/^VIOLATED\|^REACHED/q'
	)
}

# judge KIND NAME PROPERTY DEFINES... - one row; says what came out
judge()
{
	local kind=$1 name=$2 property=$3 log=$out/$2.log states found=nothing
	local start=$SECONDS verdict=FAIL
	shift 3
	[ "$property" = - ] || set -- "$@" "-DONLY=$property"
	mkdir -p $out
	(verify "$name" "$kind" "$@") >"$log" 2>&1
	states=$(awk '/states, stored/ { print $1; exit }' "$log")
	if [ -f "$out/$name/takeover.pml.trail" ]; then
		replay "$name" "$@" >"$out/$name.txt"
		found=$(sed -n 's/^\(VIOLATED\|REACHED\): //p' "$out/$name.txt")
	elif ! grep -q 'errors: 0' "$log" ||
		grep -q 'search depth too small\|Search not completed' "$log"; then
		found=failure
	fi
	case $kind in
	holds | long | ends) [ "$found" != nothing ] || verdict=ok ;;
	*) [ "$found" != "$property" ] || verdict=ok ;;
	esac
	printf '%-4s %-7s %-18s %-16s %9s states %3d s\n' $verdict "$kind" \
		"$name" "$found" "${states:--}" $((SECONDS - start))
	[ $verdict = ok ] && return
	tail -n 20 "$log"
	[ ! -f "$out/$name.txt" ] || cat "$out/$name.txt"
	return 1
}

# The model's states are the code's, but for those of the arbiter.
names()
{
	local bad=0 name
	while read -r prefix header names; do
		for name in $names; do
			grep -qw "$prefix$name" "replicator/$header" && continue
			echo "$name of world.pml is not $prefix$name of $header"
			bad=1
		done
	done <<-EOF
		STAGE_ secondary_int.h $(states stage S_ CLAIM BACK)
		STAGE_ primary_int.h $(states stage P_)
		STAGING_ staging.h $(states phase)
		EPOCH_ epoch.h $(states flight)
	EOF
	return $bad
}

# states TYPE [PREFIX [EXCEPT...]] - those of world.pml, without the prefix
states()
{
	local type=$1 prefix=${2:-}
	shift $(($# > 1 ? 2 : 1))
	awk -v type="mtype:$type" '$1 == type { on = 1 }
		on { print } on && /}/ { exit }' $model/world.pml |
		sed 's,/[*].*,,' | grep -ow "${prefix}[A-Z]*" |
		sed "s/^$prefix//" |
		grep -vxF "$(printf '%s\n' "${@:--}")" | xargs
}

wanted()	# KIND NAME
{
	case $select in
	'') [ "$1" != long ] ;;
	long) [ "$1" = long ] ;;
	*) [[ " $select " == *" $2 "* ]] ;;
	esac
}

command -v spin >/dev/null || { echo "spin is not installed"; exit 1; }
select=$*
good=0 bad=0
names || bad=1
while read -r kind name property defines; do
	wanted "$kind" "$name" || continue
	# shellcheck disable=SC2086 # the last field is several options
	if judge "$kind" "$name" "$property" $defines </dev/null; then
		good=$((good + 1))
	else
		bad=$((bad + 1))
	fi
done < <(grep -v '^#' $model/table.txt)
printf '%d passed, %d failed; the ways there: %s/NAME.txt; CPU time %s\n' \
	$good $bad $out "$(times | tail -n 1)"
[ $bad -eq 0 ] && [ $good -gt 0 ]
