#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""text.py <FILES - rules for each file by itself, names one a line on stdin

The licence line of its folder is in the first two lines, sources have at most
800 lines, Python parses.
"""

import ast
import re
import sys

LENGTH_MAX = 800
SPDX = re.compile(r"SPDX-License-Identifier: (\S+)")
NO_SPDX = re.compile(r"\.(json|sha256|patch|gitignore)$|/corpus/")
LICENCES = (  # the first that matches
    ("hypervisor/xen/", ("GPL-2.0-only",)),
    ("hypervisor/", ("GPL-2.0-only", "GPL-2.0-or-later")),
    ("backends/", ("GPL-2.0-only",)),
    ("libxc-ext/", ("LGPL-2.1-or-later",)),
    ("", ("GPL-2.0-or-later",)),
)


def findings(name, text):
    """What is wrong with a file."""
    lines = text.splitlines()
    if not NO_SPDX.search(name):
        wanted = next(l for folder, l in LICENCES if name.startswith(folder))
        got = SPDX.search("\n".join(lines[:2]))
        if not got or got.group(1) not in wanted:
            yield "SPDX line: %s, must be %s" % (
                got.group(1) if got else "none", " or ".join(wanted))
    if re.search(r"\.(c|h|sh|py)$", name) and len(lines) > LENGTH_MAX:
        yield "%d lines, at most %d" % (len(lines), LENGTH_MAX)
    if name.endswith(".py") or re.match(r"#!.*python", text):
        try:
            ast.parse(text, name)
        except SyntaxError as err:
            yield str(err)


def main():
    bad = 0
    for name in sys.stdin.read().splitlines():
        with open(name, encoding="utf-8", errors="replace") as f:
            for finding in findings(name, f.read()):
                print("%s: %s" % (name, finding))
                bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
