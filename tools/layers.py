#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Checks that every file includes its own folder and floors below only.

Floors stand in docs/ARCHITECTURE.md. Folders of one floor do not include each
other; files over 600 lines are named too.
"""
import pathlib
import re
import sys

FLOOR = {
    "include/xdplb": 0,
    "bpf": 1,
    "user/base": 1,
    "user/config": 2,
    "user/model": 2,
    "user/sniff": 2,
    "user/health": 3,
    "user/dataplane": 3,
    "user/worker": 3,
    "user/api": 3,
    "user/daemon": 4,
    "user/cli": 5,
}
# A pure folder of floor 2 that another one is written in terms of.
ALLOWED = {
    ("user/model", "user/config"),
    ("user/config", "user/sniff"),
    ("user/model", "user/sniff"),
}
INCLUDE = re.compile(r'^\s*#include "([^"]+)"')
MAX_LINES = 600


def folder_of(path: pathlib.PurePath) -> str:
    parts = path.parts
    return "/".join(parts[:2]) if parts[0] in ("user", "include") else parts[0]


def target_of(source: pathlib.Path, name: str) -> str | None:
    """The folder that an include leads to; None for generated files."""
    if name.startswith("xdplb/"):
        return "include/xdplb"
    if name.endswith(".skel.h"):
        return None
    for base in (source.parent, pathlib.Path("user")):
        if (base / name).exists():
            return folder_of((base / name))
    return name


def check(source: pathlib.Path) -> list[str]:
    own = folder_of(source)
    wrong = []
    lines = source.read_text().splitlines()
    if len(lines) > MAX_LINES:
        wrong.append(f"{source}: {len(lines)} lines, more than {MAX_LINES}")
    for number, line in enumerate(lines, 1):
        found = INCLUDE.match(line)
        target = target_of(source, found.group(1)) if found else None
        if target is None or target == own or (own, target) in ALLOWED:
            continue
        if target not in FLOOR:
            wrong.append(f"{source}:{number}: {found.group(1)} stands on no floor")
        elif FLOOR[target] >= FLOOR[own] or (own == "bpf" or target == "bpf"):
            if own == "bpf" and target == "include/xdplb":
                continue
            wrong.append(f"{source}:{number}: {own} (floor {FLOOR[own]}) includes {target} (floor {FLOOR[target]})")
    return wrong


def main() -> int:
    wrong = []
    for folder in FLOOR:
        for source in sorted(pathlib.Path(folder).glob("*.[ch]")):
            wrong += check(source)
    print("\n".join(wrong) if wrong else "layers: every include stands on its floor")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
