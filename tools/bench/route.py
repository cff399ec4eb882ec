# SPDX-License-Identifier: GPL-2.0-only
"""Connections routed by name: a second, and what they cost the machine; and packets after the hello."""
from __future__ import annotations

import contextlib
from pathlib import Path

from lab import FLOWS, VIP
from tls import ECHO, ECHO_BY_NAME, ECHO_NAT, TlsLab, Xdplb, idle_share, ways


def connections(out: Path, rounds: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    """By way: what, and of each round rate, CPU seconds per 10,000, and failures."""
    found: dict[str, dict] = {}
    with contextlib.ExitStack() as stack:
        made = ways(out, stack)
        for way in made:
            way.measure(0.3, 0)
        for _ in range(rounds):
            idle = idle_share(0.5)
            for way in made:
                report = way.measure(seconds, idle)
                rows = found.setdefault(way.name, {"what": way.what})
                for key in ("rate", "cpu", "failed", "wrong", "ok"):
                    rows.setdefault(key, []).append(report[key])
    return found


def packets(out: Path, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Packets a second of spliced flows and of plain NAT, which the same generator makes."""
    rates: dict[str, list[float]] = {}
    with TlsLab(out, xdp=True) as lab:
        Xdplb(lab)
        for port in (ECHO_BY_NAME, ECHO_NAT):
            lab.hold(port, FLOWS, 0)
        lab.sink_begin(ECHO)
        for _ in range(rounds):
            for name, port in (("spliced", ECHO_BY_NAME), ("nat", ECHO_NAT)):
                rate = lab.packets_per_second(VIP, port, seconds, "ack")
                rates.setdefault(name, []).append(rate)
    return rates


def measure(out: Path, quick: bool) -> tuple[dict, dict]:
    return (connections(out, 2 if quick else 6, 1 if quick else 2),
            packets(out, 2 if quick else 5, 0.5 if quick else 1))
