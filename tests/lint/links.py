#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""links.py FILE... - do the relative links of Markdown files lead somewhere?

Also names of files of this project that are written as code: `docs/LAB.md`.
"""

import os
import re
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+)`")
FOLDERS = ("docs", "hypervisor", "libxc-ext", "replicator", "backends",
           "ioemu", "tests")


def anchors(text):
    """The anchors that headings of a page get."""
    found = set()
    for line in text.splitlines():
        if line.startswith("#"):
            name = line.lstrip("#").strip().lower()
            name = re.sub(r"[^\w\- ]", "", name).replace(" ", "-")
            found.add(name)
    return found


def targets(path, text):
    """(what is written, file, anchor) of everything that must exist."""
    here = os.path.dirname(path)
    for written in LINK.findall(text):
        if re.match(r"[a-z]+:", written):
            continue
        name, _, anchor = written.partition("#")
        yield written, os.path.join(here, name) if name else path, anchor
    for written in CODE.findall(text):
        if written.split("/")[0] in FOLDERS and not written.endswith("/"):
            yield written, written, ""


def main(paths):
    bad = 0
    for path in paths:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        prose = re.sub(r"```.*?```", "", text, flags=re.S)
        for written, name, anchor in targets(path, prose):
            # A program is named without its source's .c.
            if not os.path.exists(name) and not os.path.exists(name + ".c"):
                print(f"{path}: {written}: no such file")
                bad += 1
            elif anchor and name.endswith(".md"):
                with open(name, encoding="utf-8") as f:
                    if anchor not in anchors(f.read()):
                        print(f"{path}: {written}: no such heading")
                        bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
