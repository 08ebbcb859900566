#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# demo.sh - what `make demo` does: set up, build, run the demonstration
set -eu
cd "$(dirname "$0")/.."

make --no-print-directory deps
make --no-print-directory xen modules
make --no-print-directory -j2 all
trap 'tests/lab/lab down >/dev/null' EXIT
tests/system/demo.py --report build/demo/report.json
