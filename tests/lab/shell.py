# SPDX-License-Identifier: GPL-2.0-only
"""Running programs and waiting for things to come true."""
from __future__ import annotations

import subprocess
import time
from typing import Any, Callable, Sequence


class CommandFailed(AssertionError):
    """A command that had to succeed did not; says which and what it printed."""


def run(argv: Sequence[str], *, check: bool = True, stdin: str | None = None,
        timeout: float = 60) -> subprocess.CompletedProcess:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True,
                          input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
                          timeout=timeout, check=False, errors="replace")
    if check and done.returncode:
        raise CommandFailed(f"{' '.join(map(str, argv))}: exit {done.returncode}\n"
                            f"{done.stdout}{done.stderr}")
    return done


def until(holds: Callable[[], Any], what: str, timeout: float = 10) -> Any:
    """Returns the first true answer of `holds`; fails with `what` when there is none in time."""
    deadline = time.monotonic() + timeout
    pause = 0.005
    while True:
        answer = holds()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what} (last: {answer!r})")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
