#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""summary.py FILE - drills of a JSON lines file as one table; exit 1 if one
failed (one that could not be carried out proves nothing, either way)"""

import json
import sys


def spread(values):
    v = sorted(values)
    return "%.1f / %.1f / %.1f" % (v[0], v[len(v) // 2], v[-1]) if v else "-"


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        drills = [json.loads(line) for line in f]
    good = [d for d in drills if d["verdict"] == "pass"]
    rows = [("drills", len(drills)), ("passed", len(good)),
            ("cuts survived", sum(d.get("cuts", 1) for d in good)),
            ("violations", sum(d["verdict"] == "violation" for d in drills)),
            ("void (could not be carried out)",
             sum(d["verdict"] == "void" for d in drills)),
            ("lost output, lines", sum(d.get("lost_output", 0)
                                       for d in drills)),
            ("seeds", "%d to %d" % (min(d["seed"] for d in drills),
                                    max(d["seed"] for d in drills)))]
    for key, name in (("outage_ms", "outage, ms (min / median / max)"),
                      ("checkpoints", "checkpoints"),
                      ("dirty_pages_mean", "dirty pages per checkpoint"),
                      ("pause_ms_p50", "pause p50, ms"),
                      ("commit_ms_p50", "commit p50, ms"),
                      ("lines", "lines seen before the cut")):
        rows.append((name, spread([d[key] for d in good if key in d])))
    for name, value in rows:
        print("| %s | %s |" % (name, value))
    return 1 if any(d["verdict"] == "violation" for d in drills) else 0


if __name__ == "__main__":
    sys.exit(main())
