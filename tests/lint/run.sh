#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# run.sh [CHECK]... - static checks of the whole tree; any finding is a failure
#
# Looks at the files that git knows.  The slow checks remember in build/lint/
# which files passed, and look again at those that changed, or at all when a
# header changed.
set -u
cd "$(dirname "$0")/../.." || exit 2
export LC_ALL=C

out=build/lint
jobs=$(nproc)
checks=(tools text layers invariants links shell headers cppcheck tidy)
mkdir -p $out

# files PATTERN... - tracked or new, not ignored, and there
files()
{
	local f
	git ls-files -co --exclude-standard -- "$@" | while read -r f; do
		if [ -f "$f" ]; then printf '%s\n' "$f"; fi
	done
}

# Sources that are compiled for userland; hypervisor/ is compiled in Xen's tree,
# backends/linux/ by the kernel's build.
sources() { files '*.c' | grep -v -e '^hypervisor/' -e '^backends/linux/'; }

# finding TEXT... - and the check has failed
finding() { echo "$*"; bad=1; }

# The files of stdin that $1 has not passed since they, a header, the Makefile
# or this directory changed.
not_passed()
{
	local stamps=$out/$1 newest f
	mkdir -p "$stamps"
	newest=$( (files "*.h" tests/lint "*.clang-tidy" Makefile) |
		xargs -d '\n' ls -t | head -n 1)
	while read -r f; do
		local stamp=$stamps/${f//\//,}
		[ "$stamp" -nt "$f" ] && [ "$stamp" -nt "$newest" ] ||
			printf '%s\n' "$f"
	done
}
passed() { touch "$out/$1/${2//\//,}"; }

check_tools()
{
	local t
	for t in clang-tidy cppcheck shellcheck python3 gcc; do
		command -v $t >/dev/null || finding "$t is not installed"
	done
}

# Licence lines, length, Python's syntax.
check_text()
{
	files | python3 tests/lint/text.py || bad=1
}

# Who may include whom (docs/ARCHITECTURE.md).
check_layers()
{
	local f inc ok
	while read -r f inc; do
		case $f in
		replicator/*)
			ok='replicator/.*|libxc-ext/(platform|records)\.h'
			ok+='|backends/gate(_linux)?\.h' ;;
		libxc-ext/sim_int.h) ok='libxc-ext/.*|backends/gate_order\.h' ;;
		libxc-ext/xen_*)
			ok='libxc-ext/.*|hypervisor/public/.*|ioemu/dm\.h' ;;
		libxc-ext/*) ok='libxc-ext/.*|hypervisor/public/.*' ;;
		backends/gate_sim.*) ok='backends/.*|libxc-ext/.*' ;;
		backends/*) ok='backends/.*' ;;
		ioemu/*) ok='ioemu/.*|libxc-ext/records\.h' ;;
		*) ok='.*' ;;
		esac
		[[ $inc =~ ^($ok)$ ]] || finding "$f includes $inc"
	done < <(files '*.c' '*.h' | grep -v '^hypervisor/' |
		xargs grep -oH '^#include "[^"]*"' |
		sed 's/:#include "\(.*\)"/ \1/' |
		sed 's,^\([^ ]*/\)\([^ /]* \)\([^/ ]*\)$,\1\2\1\3,')
	# Xen's headers: in libxc-ext's files that say so by their names, in
	# programs for a dom0.
	while read -r f inc; do
		case $f in
		libxc-ext/xen_* | libxc-ext/platform_xen.c | tests/dom0/* | \
		tests/hv/* | hypervisor/* | backends/linux/* | tests/unit/kernel/*) ;;
		*) finding "$f includes Xen's $inc" ;;
		esac
	done < <(files '*.c' '*.h' | xargs grep -oHE \
		'^#include <(xen[a-z]*\.h|xen/[^>]*|libxl[^>]*)>' |
		sed 's/:#include / /')
}

# Numbers that are cited exist; each is cited by code and by a test.
check_invariants()
{
	local n all
	all=$(grep -o '^| INV-[0-9]*' docs/INVARIANTS.md | grep -o 'INV-[0-9]*')
	for n in $(sort <<<"$all" | uniq -d); do
		finding "$n stands twice in docs/INVARIANTS.md"
	done
	for n in $(files '*.c' '*.h' '*.sh' '*.py' '*.md' | xargs grep -oh \
		'INV-[0-9]\+' | sort -u); do
		grep -qx "$n" <<<"$all" ||
			finding "$n is cited and not in docs/INVARIANTS.md"
	done
	for n in $all; do
		files hypervisor libxc-ext replicator backends |
			grep '\.\([ch]\|patch\)$' |
			grep -v -e /sim_ -e /platform_sim -e /gate_sim |
			xargs grep -lw "$n" >/dev/null ||
			finding "$n is cited by no code but the simulator's"
		files tests | grep '\.\(c\|h\|sh\|py\)$' |
			xargs grep -lw "$n" >/dev/null ||
			finding "$n is cited by no test"
	done
}

check_links()
{
	files '*.md' | xargs python3 tests/lint/links.py || bad=1
}

check_shell()
{
	local f scripts=()
	while read -r f; do
		case $(head -n 1 "$f" | tr -d '\0') in
		'#!'*sh | '#!'*'sh -'*) scripts+=("$f") ;;
		esac
	done < <(files)
	shellcheck -x "${scripts[@]}" || bad=1
}

# Each header compiles by itself.
check_headers()
{
	local f std flags
	while read -r f; do
		std=c11 flags=()
		case $f in
		libxc-ext/xen_* | tests/dom0/* | tests/hv/*) std=gnu11 ;;
		hypervisor/public/*)
			std=gnu11 flags=(-D__XEN_TOOLS__ -include stdint.h) ;;
		esac
		echo "#include \"$f\"" | gcc -std=$std -D_GNU_SOURCE "${flags[@]}" \
			-I. -Wall -Wextra -Werror -fsyntax-only -x c - || {
			finding "$f does not compile alone"
			continue
		}
		passed headers "$f"
	done < <(files '*.h' |
		grep -v -e '^hypervisor/xen/' -e '^backends/linux/' |
		not_passed headers)
}

check_cppcheck()
{
	mkdir -p $out/cppcheck
	sources | cppcheck --quiet -j "$jobs" --cppcheck-build-dir=$out/cppcheck \
		--file-list=- --enable=warning,performance,portability \
		--inline-suppr --std=c11 --error-exitcode=1 -I. \
		-D_GNU_SOURCE --suppressions-list=tests/lint/cppcheck.txt || bad=1
}

# shellcheck disable=SC2317 # run by xargs
tidy_one()
{
	local log=$out/tidy/${1//\//,}.log kernel=()
	[[ $1 != tests/unit/test_kemari_ring.c ]] ||
		kernel=(-Itests/unit/kernel)
	# gnu11 as some need it for Xen's headers; the build is stricter.
	if clang-tidy --quiet --warnings-as-errors='*' "$1" -- -std=gnu11 \
		-D_GNU_SOURCE -I. "${kernel[@]}" >"$log" 2>&1; then
		rm -f "$log"
		passed tidy "$1"
		return 0
	fi
	# How it came to that is in the log.
	grep 'error: ' "$log" || cat "$log"
	return 1
}

check_tidy()
{
	export -f tidy_one passed
	export out
	mkdir -p $out/tidy
	# shellcheck disable=SC2016 # $1 is the inner shell's
	sources | not_passed tidy |
		xargs -r -d '\n' -P "$jobs" -n 1 bash -c 'tidy_one "$1"' _ ||
		finding "the ways there: $out/tidy/*.log"
}

failed=()
for check in "${@:-${checks[@]}}"; do
	start=$SECONDS bad=0
	"check_$check"
	if [ $bad -eq 0 ]; then
		echo "lint: $check: ok ($((SECONDS - start)) s)"
	else
		echo "lint: $check: FAIL ($((SECONDS - start)) s)"
		failed+=("$check")
	fi
done
if [ ${#failed[@]} -gt 0 ]; then
	echo "lint: failed: ${failed[*]}"
	exit 1
fi
