# SPDX-License-Identifier: GPL-2.0-only
"""One host: a network namespace, its programs and its sockets."""
from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Iterator, Sequence

from . import shell

CLONE_NEWNET = 0x40000000
NETNS = Path("/run/netns")
_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Host:
    """Commands run in it by nsenter: `ip netns exec` would hide bpffs mounts."""

    def __init__(self, prefix: str, name: str) -> None:
        self.name = name
        self.ns = f"{prefix}-{name}"
        self.address: dict[int, str] = {}  # by IP version
        self.children: list[subprocess.Popen] = []
        shell.run(["ip", "netns", "add", self.ns])
        self.sysctl("ipv6/conf/default/accept_dad", 0)
        self.sysctl("ipv6/conf/default/router_solicitations", 0)
        self.sysctl("ipv6/conf/all/accept_ra", 0)
        self.ip("link set lo up")

    def __repr__(self) -> str:
        return f"<{self.name} in {self.ns}>"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in this host's network while inside."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(NETNS / self.ns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(there)
            yield
        finally:
            _setns(back)
            os.close(there)
            os.close(back)

    def socket(self, *args: int) -> socket.socket:
        with self.entered():
            return socket.socket(*args)

    def sysctl(self, key: str, value: object) -> None:
        with self.entered():
            Path("/proc/sys/net", key).write_text(f"{value}\n")

    def ip(self, *lines: str) -> None:
        """Runs lines of `ip` in one go."""
        shell.run(["ip", "-n", self.ns, "-batch", "-"], stdin="\n".join(lines) + "\n")

    def argv(self, argv: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net={NETNS / self.ns}", *map(str, argv)]

    def run(self, argv: Sequence[str], **options) -> subprocess.CompletedProcess:
        return shell.run(self.argv(argv), **options)

    def spawn(self, argv: Sequence[str], **options) -> subprocess.Popen:
        """A program that the lab ends with the host; its pid is the program's own."""
        options.setdefault("stdin", subprocess.DEVNULL)
        child = subprocess.Popen(self.argv(argv), **options)
        self.children.append(child)
        return child

    def end(self, child: subprocess.Popen, how: signal.Signals = signal.SIGTERM) -> None:
        if child.poll() is None:
            child.send_signal(how)
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(5)
        if child in self.children:
            self.children.remove(child)

    def mac(self, dev: str = "eth0") -> str:
        with self.entered():
            return _mac(dev)

    def close(self) -> None:
        for child in list(self.children):
            self.end(child, signal.SIGKILL)
        remove_namespace(self.ns)


def _mac(dev: str) -> str:
    import fcntl
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe.fileno(), 0x8927, dev.encode().ljust(40, b"\0"))
    return ":".join(f"{byte:02x}" for byte in answer[18:24])


def remove_namespace(ns: str) -> None:
    """Ends what still runs in a lab's namespace, and removes it."""
    pids = shell.run(["ip", "netns", "pids", ns], check=False).stdout.split()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    shell.run(["ip", "netns", "del", ns], check=False)
