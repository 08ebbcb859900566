#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# install-deps.sh PACKAGE... - install what is missing, with apt-get
set -eu

missing=
for p in "$@"; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null |
		grep -q 'install ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "deps: missing packages:$missing; install them as root:" \
			"apt-get install$missing" >&2
		exit 1
	fi
	exec sudo "$0" "$@"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# Guest and host kernels need no initrd of this machine's.
# shellcheck disable=SC2086 # a list of package names
apt-get install -y -q --no-install-recommends $missing
