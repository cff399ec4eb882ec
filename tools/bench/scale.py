# SPDX-License-Identifier: GPL-2.0-only
"""Many services: start, reload under traffic, and kernel memory."""
from __future__ import annotations

import time
from pathlib import Path

from lab import BACKEND_PORT, PORT, SINK, VIP, Daemon, Lab

SERVICES, BACKENDS = 1000, 20
RATE = 50000
LARGE_TABLE = 4000000
RELOAD_TRAFFIC_S = 3.0


def config(weight: int = 1, services: int = SERVICES, **top: object) -> dict:
    """Backends lie behind the sink, which counts what is sent to any; `weight` is of the first."""
    made: dict = {"interfaces": ["in0", "out0"], "watch": False, "pools": {}, "services": {}, **top}
    for number in range(services):
        high, low = divmod(number, 250)
        rows = [{"address": f"10.{128 + high}.{low}.{k + 1}:{BACKEND_PORT}", "weight": 1}
                for k in range(BACKENDS)]
        rows[0]["weight"] = weight if number == 0 else 1
        address = VIP if number == 0 else f"10.67.{high}.{low + 1}"
        made["pools"][f"pool{number}"] = {"backends": rows}
        made["services"][f"service{number}"] = {
            "listen": [f"udp://{address}:{PORT}", f"tcp://{address}:{PORT}"],
            "pool": f"pool{number}"}
    return made


def start_and_reload(out: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds to start, seconds to reload one weight, and packets lost meanwhile."""
    found: dict[str, list[float]] = {"start_s": [], "reload_s": [], "sent": [], "lost": []}
    for _ in range(rounds):
        with Lab(out) as lab:
            lab.do("l", "ip", "route", "add", "10.128.0.0/9", "via", SINK)
            daemon = Daemon(lab)
            found["start_s"].append(daemon.start(config()))
            found.setdefault("memory_default", []).append(daemon.memory())
            before = lab.seen()[1]
            sender = lab.send(VIP, PORT, RELOAD_TRAFFIC_S, RATE)
            for weight in (2, 3, 1):
                time.sleep(RELOAD_TRAFFIC_S / 6)
                found["reload_s"].append(daemon.reload(config(weight)))
            sent = int(sender.communicate(timeout=30)[0])
            time.sleep(0.1)
            found["sent"].append(sent)
            found["lost"].append(sent - (lab.seen()[1] - before))
            daemon.stop()
    return found


def large_table(out: Path) -> dict[str, list[float]]:
    with Lab(out) as lab:
        daemon = Daemon(lab)
        seconds = daemon.start(config(services=1, flow_table=LARGE_TABLE))
        found = {"start_large_s": [seconds], "memory_large": [daemon.memory()]}
        daemon.stop()
    return found


def measure(out: Path, rounds: int) -> dict[str, list[float]]:
    return {**start_and_reload(out, rounds), **large_table(out)}
