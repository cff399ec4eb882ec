# SPDX-License-Identifier: GPL-2.0-only
"""Three hosts in a row: generator - balancer - sink, in namespaces of their own.

    gen g0 10.66.1.2 -- 10.66.1.1 in0 [lb] out0 10.66.2.1 -- 10.66.2.2 s0 sink

The sink counts and drops; the balancer knows its neighbours beforehand, since
nobody answers. No packet leaves the namespaces.
"""
from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Sequence

GEN, IN, OUT, SINK = "10.66.1.2", "10.66.1.1", "10.66.2.1", "10.66.2.2"
VIP, PORT, BACKEND_PORT = "10.66.3.1", 80, 8080
CLIENTS = "10.66.1.16"
FLOWS = 1024
READY_S = 30
_numbers = itertools.count(1)


def run(argv: Sequence[object], **options: object) -> str:
    words = [str(word) for word in argv]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60,
                          **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


class Lab:
    """Use as a context manager: what it made is gone at the end, whatever happened."""

    def __init__(self, out: Path, queues: int = 1, sink: bool = True) -> None:
        """Without `sink` the kernel of that host gets what arrives."""
        self.out = out
        self.queues = queues
        self.prefix = f"xb{os.getpid()}x{next(_numbers)}"
        self.dir = Path("/run") / self.prefix
        self.children: list[subprocess.Popen] = []
        self.dir.mkdir()
        try:
            self._build()
            if sink:
                self.sink_begin(BACKEND_PORT)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for host in ("g", "l", "s"):
            subprocess.run(["ip", "netns", "delete", self.ns(host)], check=False,
                           capture_output=True)
        subprocess.run(["umount", "-q", self.dir / "bpf"], check=False, capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- hosts: g, l and s --

    def ns(self, host: str) -> str:
        return f"{self.prefix}{host}"

    def inside(self, host: str, *argv: object) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.ns(host)}", *map(str, argv)]

    def do(self, host: str, *argv: object, **options: object) -> str:
        return run(self.inside(host, *argv), **options)

    def spawn(self, host: str, *argv: object, **options: object) -> subprocess.Popen:
        child = subprocess.Popen(self.inside(host, *argv), text=True, **options)
        self.children.append(child)
        return child

    def _mac(self, host: str, dev: str) -> str:
        return json.loads(self.do(host, "ip", "-j", "link", "show", dev))[0]["address"]

    def _build(self) -> None:
        for host in ("g", "l", "s"):
            run(["ip", "netns", "add", self.ns(host)])
            self.do(host, "ip", "link", "set", "lo", "up")
            self.do(host, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        for host, dev, port, addr, peer in (("g", "g0", "in0", GEN, IN),
                                            ("s", "s0", "out0", SINK, OUT)):
            queues = ["numrxqueues", self.queues, "numtxqueues", self.queues]
            run(["ip", "link", "add", dev, "netns", self.ns(host), *queues, "type", "veth",
                 "peer", "name", port, "netns", self.ns("l"), *queues])
            self.do(host, "ethtool", "-K", dev, "tx-checksum-ip-generic", "off")
            self.do("l", "ethtool", "-K", port, "gro", "on")
            for end, name, own in ((host, dev, addr), ("l", port, peer)):
                self.do(end, "ip", "link", "set", name, "up")
                self.do(end, "ip", "addr", "add", f"{own}/24", "dev", name)
        self.do("l", "ip", "neigh", "replace", SINK, "lladdr", self._mac("s", "s0"), "dev", "out0",
                "nud", "permanent")
        self.in_mac = self._mac("l", "in0")

    # -- traffic --

    def sink_begin(self, port: int) -> None:
        self.sink = self.counter("s", "sink", "s0", port)

    def counter(self, host: str, *words: object) -> subprocess.Popen:
        """A pktgen that tells what it has seen."""
        child = self.spawn(host, self.out / "pktgen", *words, stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE)
        self.seen(child)
        return child

    def seen(self, of: subprocess.Popen | None = None) -> tuple[int, int, int]:
        """Nanoseconds, and the packets that had come to the sink by then: wanted and other."""
        of = of or self.sink
        of.stdin.write("\n")
        of.stdin.flush()
        now, wanted, other = map(int, of.stdout.readline().split())
        return now, wanted, other

    def send(self, to: str, port: int, seconds: float, rate: int = 0,
             what: str = "send") -> subprocess.Popen:
        argv = [self.out / "pktgen", what, "g0", self.in_mac, to, port, CLIENTS, FLOWS,
                self.queues, seconds]
        return self.spawn("g", *argv, *([rate] if rate else []), stdout=subprocess.PIPE)

    def packets_per_second(self, to: str, port: int, seconds: float,
                           what: str = "send") -> float:
        sender = self.send(to, port, seconds + 0.3, what=what)
        time.sleep(0.2)
        begin, before, _ = self.seen()
        time.sleep(seconds)
        end, after, _ = self.seen()
        if sender.wait(30):
            raise RuntimeError("pktgen failed")
        return (after - before) / (end - begin) * 1e9


class Daemon:
    """xdplb on the balancer of a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.file = lab.dir / "xdplb.yaml"
        self.child: subprocess.Popen | None = None

    def argv(self, *words: object) -> list[object]:
        return [self.lab.out / "xdplb", *words, "--run-dir", self.lab.dir / "run", "--bpffs",
                self.lab.dir / "bpf"]

    def start(self, config: dict) -> float:
        """Seconds until it says that it is ready. JSON is YAML."""
        self.file.write_text(json.dumps(config))
        log = self.lab.dir / "log"
        begin = time.monotonic()
        with open(log, "w", encoding="utf-8") as stderr:
            self.child = self.lab.spawn("l", *self.argv("run", "-c", self.file), stderr=stderr)
        while not re.search(r"\bready\b", log.read_text(encoding="utf-8")):
            taken = time.monotonic() - begin
            if taken > READY_S or self.child.poll() is not None:
                raise RuntimeError(f"xdplb is not ready:\n{log.read_text(encoding='utf-8')}")
            time.sleep(0.005)
        return time.monotonic() - begin

    def reload(self, config: dict) -> float:
        """Seconds that `xdplb reload` takes."""
        aside = self.file.with_suffix(".new")
        aside.write_text(json.dumps(config))
        aside.rename(self.file)
        begin = time.monotonic()
        self.lab.do("l", *self.argv("reload"))
        return time.monotonic() - begin

    def memory(self) -> int:
        """Bytes of kernel memory that the pinned maps hold."""
        pins = [pin for pin in (self.lab.dir / "bpf").iterdir()
                if pin.is_file() and "." not in pin.name  # maps.debug: bpffs' own
                and not pin.name.startswith("link_")]
        return sum(int(json.loads(run(["bpftool", "-j", "map", "show", "pinned", pin]))
                       ["bytes_memlock"]) for pin in pins)

    def stop(self) -> None:
        self.lab.do("l", *self.argv("detach", "--all"))
        self.child.terminate()
        self.child.wait(10)
