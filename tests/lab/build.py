# SPDX-License-Identifier: GPL-2.0-only
"""What the lab compiles for itself, into the build directory, when its source is newer."""
from __future__ import annotations

import os
import platform
from pathlib import Path

from . import shell

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = Path(os.environ.get("XDPLB_OUT", ROOT / "build")).resolve()
XDPLB = OUT / "xdplb"
PEER = OUT / "lab" / "peer"
STUB = OUT / "lab" / "pass.bpf.o"


def _stale(target: Path, sources: list[Path]) -> bool:
    return not target.exists() or any(s.stat().st_mtime > target.stat().st_mtime for s in sources)


def _compile(target: Path, sources: list[Path], argv: list[str]) -> None:
    if not _stale(target, sources):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(f".{os.getpid()}")
    shell.run([*argv, *(str(s) for s in sources if s.suffix == ".c"), "-o", aside])
    aside.rename(target)


def ensure() -> None:
    peer = sorted((HERE / "peer").glob("*.[ch]"))
    _compile(PEER, peer, ["gcc", "-std=gnu11", "-O2", "-g", "-D_GNU_SOURCE", "-Wall", "-Wextra"])
    _compile(STUB, [HERE / "pass.bpf.c"],
             [os.environ.get("CLANG", "clang-14"), "-g", "-O2", "-target", "bpf", "-mcpu=v3",
              "-idirafter", f"/usr/include/{platform.machine()}-linux-gnu", "-c"])
