# SPDX-License-Identifier: GPL-2.0-only
"""Clients: single questions from the test's own process, and the traffic peer for many."""
from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple

from . import build, shell
from .host import Host

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
Address = tuple[str, int]


class Answer(NamedTuple):
    name: str  # of the backend
    address: str  # of the client, as the backend saw it
    port: int
    said: str


def _version(to: Address) -> int:
    return 6 if ":" in to[0] else 4


def _parse(line: str) -> Answer:
    name, address, port, said = line.rstrip("\n").split(" ", 3)
    return Answer(name, address, int(port), said)


class Stream:
    """An open TCP connection to a peer."""

    def __init__(self, host: Host, to: Address, port: int = 0, source: str = "",
                 timeout: float = 10) -> None:
        self.socket = host.socket(FAMILY[_version(to)], socket.SOCK_STREAM)
        try:
            self.socket.settimeout(timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if port or source:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind((source, port))
            self.socket.connect(to)
        except BaseException:
            self.socket.close()
            raise
        self.buffer = b""

    def ask(self, said: str = "hello") -> Answer:
        self.socket.sendall(f"{said}\n".encode())
        while b"\n" not in self.buffer:
            got = self.socket.recv(65536)
            if not got:
                raise ConnectionError("closed by the other side")
            self.buffer += got
        line, _, self.buffer = self.buffer.partition(b"\n")
        answer = _parse(line.decode())
        assert answer.said == said, f"answer to another question: {answer}"
        return answer

    def local(self) -> Address:
        return self.socket.getsockname()[:2]

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               (1).to_bytes(4, "little") + bytes(4))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Datagrams:
    """A UDP socket that talks to a peer; not connected, so that it sees who really answers."""

    def __init__(self, host: Host, to: Address, port: int = 0, source: str = "",
                 timeout: float = 3) -> None:
        self.socket = host.socket(FAMILY[_version(to)], socket.SOCK_DGRAM)
        self.socket.settimeout(timeout)
        if port or source:
            self.socket.bind((source, port))
        self.to = to

    def ask(self, said: str = "hello") -> Answer:
        self.socket.sendto(said.encode(), self.to)
        while True:
            got, sender = self.socket.recvfrom(65536)
            assert sender[:2] == self.to, f"answered by {sender}, asked {self.to}"
            answer = _parse(got.decode())
            if answer.said == said:
                return answer

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Datagrams:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask_tcp(host: Host, to: Address, port: int = 0, source: str = "",
            timeout: float = 10) -> Answer:
    with Stream(host, to, port, source, timeout) as stream:
        return stream.ask()


def ask_udp(host: Host, to: Address, port: int = 0, source: str = "",
            timeout: float = 3) -> Answer:
    with Datagrams(host, to, port, source, timeout) as datagrams:
        return datagrams.ask()


ASK = {"tcp": ask_tcp, "udp": ask_udp}
TALKER = {"tcp": Stream, "udp": Datagrams}


def curl(host: Host, url: str, *options: str, check: bool = True) -> str:
    done = host.run(["curl", "-sS", "-g", "--max-time", "60", *options, url], check=check)
    return done.stdout


def _peer_options(to: Address, options: dict) -> list[str]:
    words = ["--to", shell.endpoint(*to)]
    for key, value in options.items():
        words += [f"--{key.replace('_', '-')}", str(value)]
    return words


def load(host: Host, to: Address, count: int, timeout: float = 120, **options) -> dict:
    """`count` short connections; the report of the traffic peer."""
    done = host.run([build.PEER, "load", "--count", count, *_peer_options(to, options)],
                    timeout=timeout)
    return json.loads(done.stdout)


def machine_drops() -> int:
    """Packets this machine's CPUs had no room for, whoever's they were."""
    rows = Path("/proc/net/softnet_stat").read_text().splitlines()
    return sum(int(row.split()[1], 16) for row in rows)


class Talk:
    """Many conversations that go on until finish(), which returns the traffic peer's report."""

    def __init__(self, host: Host, to: Address, streams: int = 0, datagrams: int = 0,
                 wait: bool = True, timeout: float = 60, **options) -> None:
        self.host = host
        self.child = host.spawn(
            [build.PEER, "talk", "--count", streams, "--datagrams", datagrams,
             *_peer_options(to, options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.timeout = timeout
        self.drops = machine_drops()
        if wait:
            self.wait_open()

    def wait_open(self) -> None:
        line = self.child.stdout.readline()
        assert line == "open\n", f"conversations did not begin: {line!r}"

    def finish(self) -> dict:
        out, _ = self.child.communicate(timeout=self.timeout)
        self.host.children.remove(self.child)
        return json.loads(out.splitlines()[-1]) | {"machine_drops": machine_drops() - self.drops}


def assert_unharmed(report: dict) -> None:
    """
    Nothing was refused, reset, lost, mixed up or answered by another backend. A datagram
    may be missing where the machine itself overflowed: other programs share its two cores.
    """
    bad = {key: report[key] for key in ("failures", "resets", "changed", "mismatched", "lost")
           if report[key] > (report["machine_drops"] if key == "lost" else 0)}
    assert not bad, f"{bad} in {report}"
    assert report["ok"], report


def udp_choices(host: Host, to: Address, ports: range, source: str = "") -> dict[int, str]:
    """The backend that answers each of these client ports."""
    chosen: dict[int, str] = {}
    for first in range(ports.start, ports.stop, 200):
        talkers = [Datagrams(host, to, port, source)
                   for port in range(first, min(first + 200, ports.stop))]
        try:
            for talker in talkers:
                talker.socket.sendto(b"choose", to)
            for talker in talkers:
                got, _ = talker.socket.recvfrom(2048)
                chosen[talker.socket.getsockname()[1]] = _parse(got.decode()).name
        finally:
            for talker in talkers:
                talker.close()
    return chosen


def moved(before: dict[int, str], after: dict[int, str], gone: str = "") -> float:
    """The share of ports that met another backend, of those whose backend wasn't `gone`."""
    kept = [port for port in before if before[port] != gone]
    return sum(before[port] != after[port] for port in kept) / len(kept)
