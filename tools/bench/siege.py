# SPDX-License-Identifier: GPL-2.0-only
"""What strangers can do to the worker: half a hello and silence, and a flood of SYNs."""
from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from lab import VIP, run
from tls import BY_NAME, ECHO_BY_NAME, TlsLab, Xdplb

IDLE_CLIENTS = 100_000
IDLE_SOURCE = "10.90.0.1"  # and the next: nobody's
FLOOD_SOURCE = "100.64.0.1"
FLOOD_FLOWS = 1 << 20
HONEST_RATE, HELD = 200, 100
FLOODED = ("taskset", "-c", "0")  # honest ones too come by the queue, and so the core, of the flood
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Worker:
    """The process beside the daemon that reads what strangers send."""

    def __init__(self, daemon: subprocess.Popen) -> None:
        children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text("ascii")
        self.proc = Path("/proc", next(pid for pid in children.split() if "worker" in Path(
            "/proc", pid, "cmdline").read_text("utf-8")))

    def resident(self) -> int:
        lines = (self.proc / "status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))

    def cpu_s(self) -> float:
        words = (self.proc / "stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) * TICK_S


def status(xdplb: Xdplb) -> dict:
    return json.loads(xdplb.lab.do("l", *xdplb.daemon.argv("status", "--json")))


def sniffs_bytes(xdplb: Xdplb) -> int:
    pin = xdplb.lab.dir / "bpf" / "sniffs"
    return int(json.loads(run(["bpftool", "-j", "map", "show", "pinned", pin]))["bytes_memlock"])


def idle_clients(out: Path) -> dict[str, list[float]]:
    """Memory with so many connections that said half a hello, and CPU while they are silent."""
    with TlsLab(out, xdp=True) as lab:
        xdplb = Xdplb(lab)
        worker = Worker(xdplb.daemon.child)
        before, map_before = worker.resident(), sniffs_bytes(xdplb)
        lab.do("g", out / "halfopen", "g0", lab.in_mac, VIP, BY_NAME, IDLE_SOURCE, IDLE_CLIENTS)
        time.sleep(1)
        open_ = status(xdplb)["sniffing"]["connections"]
        cpu = worker.cpu_s()
        time.sleep(2)
        return {"open": [open_], "resident": [worker.resident()], "empty": [before],
                "map": [sniffs_bytes(xdplb)], "map_empty": [map_before],
                "cpu": [(worker.cpu_s() - cpu) / 2]}


def flood_begin(lab: TlsLab, seconds: float, rate: int = 0) -> subprocess.Popen:
    words = [lab.out / "pktgen", "syn", "g0", lab.in_mac, VIP, BY_NAME, FLOOD_SOURCE, FLOOD_FLOWS,
             1, seconds, *([rate] if rate else [])]
    return lab.spawn("g", *words, stdout=subprocess.PIPE)


def cookies_per_second(lab: TlsLab, seconds: float) -> float:
    """SYN-ACKs that came back while a core does nothing but ask, answer and take them."""
    sender = flood_begin(lab, seconds + 0.3)
    time.sleep(0.2)
    begin, before, _ = lab.seen(lab.guard)
    time.sleep(seconds)
    end, after, _ = lab.seen(lab.guard)
    sender.wait(30)
    return (after - before) / (end - begin) * 1e9


def honest(lab: TlsLab, worker: Worker, seconds: float) -> dict:
    """How connections fare that are open, and new ones; and what the worker takes of a CPU."""
    held = lab.hold(ECHO_BY_NAME, HELD, 50, FLOODED)
    cpu, begin = worker.cpu_s(), time.monotonic()
    new = lab.load(VIP, BY_NAME, seconds, rate=HONEST_RATE, before=FLOODED)
    share = (worker.cpu_s() - cpu) / (time.monotonic() - begin)
    said, _ = held.communicate(timeout=30)
    return {"new": new, "held": json.loads(said.splitlines()[-1]), "cpu": share}


def flood(out: Path, rounds: int, seconds: float) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}

    def note(**values: float) -> None:
        for key, value in values.items():
            found.setdefault(key, []).append(value)

    with TlsLab(out, xdp=True) as lab:
        worker = Worker(Xdplb(lab).daemon.child)
        for _ in range(rounds):
            quiet = honest(lab, worker, seconds)
            most = cookies_per_second(lab, 1)
            sender = flood_begin(lab, seconds + 3, int(most / 2))
            time.sleep(0.5)
            begin, before, _ = lab.seen(lab.guard)
            siege = honest(lab, worker, seconds)
            end, after, _ = lab.seen(lab.guard)
            sender.wait(30)
            new, held = siege["new"], siege["held"]
            asked = new["ok"] + new["failed"] + new["wrong"]
            note(most=most, rate=(after - before) / (end - begin) * 1e9, asked=asked,
                 failed=asked - new["ok"], slow=new["slow"], cpu=siege["cpu"] * 100,
                 cpu_quiet=quiet["cpu"] * 100, words=held["words"], lost=held["lost"],
                 late=held["late"], slowest=held["slowest_ms"],
                 slowest_quiet=quiet["held"]["slowest_ms"])
    return found


def measure(out: Path, quick: bool) -> tuple[dict, dict]:
    return idle_clients(out), flood(out, 1 if quick else 2, 2 if quick else 4)
