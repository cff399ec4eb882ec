# SPDX-License-Identifier: GPL-2.0-only
"""Connections routed by name: a second, and what they cost the machine; and packets after the hello."""
from __future__ import annotations

import contextlib
from pathlib import Path

from lab import FLOWS, VIP
from tls import ECHO, ECHO_BY_NAME, ECHO_NAT, TlsLab, Xdplb, idle_share, ways


def connections(out: Path, rounds: int, seconds: float) -> tuple[list[float], dict[str, dict]]:
    """
    CPU seconds a second that go by while nothing is measured; and by way: what, and of each
    round rate, CPU seconds per 10,000, and failures.
    """
    reports: dict[str, list[dict]] = {}
    idle = []
    with contextlib.ExitStack() as stack:
        made = ways(out, stack)
        for way in made:
            way.measure(0.3)
        for _ in range(rounds):
            idle.append(idle_share(0.5))
            for way in made:
                reports.setdefault(way.name, []).append(way.measure(seconds))
        made[-1].check()
    for rows in reports.values():
        for each in rows:  # the least: what else runs on the machine is no cost of an idle lab
            each["cpu"] = (each["busy"] - min(idle) * each["elapsed"]) / each["ok"] * 10000
    return idle, {way.name: {"what": way.what} | {
        key: [each[key] for each in reports[way.name]]
        for key in ("rate", "cpu", "ran", "failed", "wrong", "ok")} for way in made}


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


def measure(out: Path, quick: bool) -> tuple[list[float], dict, dict]:
    return (*connections(out, 2 if quick else 4, 1 if quick else 2),
            packets(out, 2 if quick else 5, 0.5 if quick else 1))
