# SPDX-License-Identifier: GPL-2.0-only
"""End to end: packets per second through the kernel, nftables and xdplb, in turns."""
from __future__ import annotations

import contextlib
from pathlib import Path

from lab import BACKEND_PORT, PORT, SINK, VIP, Daemon, Lab

NFT = f"""
table ip nat {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        ip daddr {VIP} udp dport {PORT} dnat to {SINK}:{BACKEND_PORT}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat;
        oifname "out0" masquerade
    }}
}}
"""
WARM_S = 1.6  # UDP in one direction is established by packets over a second


class Way:
    """A way through a balancer: what it is called and where to send."""

    name = "kernel"
    to = SINK, BACKEND_PORT

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.set_up()

    def set_up(self) -> None:
        self.lab.do("l", "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def measure(self, seconds: float) -> float:
        return self.lab.packets_per_second(*self.to, seconds)


class Nft(Way):
    name = "nft"
    to = VIP, PORT

    def set_up(self) -> None:
        super().set_up()
        self.lab.do("l", "nft", "-f", "-", input=NFT)


class Xdplb(Way):
    name = "xdplb"
    to = VIP, PORT

    def set_up(self) -> None:
        Daemon(self.lab).start({
            "interfaces": ["in0", "out0"],
            "pools": {"web": {"backends": [f"{SINK}:{BACKEND_PORT}"]}},
            "services": {"web": {"listen": f"udp://{VIP}:{PORT}", "pool": "web"}},
        })


def measure(out: Path, rounds: int, seconds: float) -> dict[tuple[str, int], list[float]]:
    """Packets per second of each round, by way and number of queues."""
    rates: dict[tuple[str, int], list[float]] = {}
    with contextlib.ExitStack() as stack:
        ways = [kind(stack.enter_context(Lab(out, queues)))
                 for queues in (1, 2) for kind in (Way, Nft, Xdplb)]
        for way in ways:
            way.measure(WARM_S if isinstance(way, Xdplb) else 0.2)
        for _ in range(rounds):
            for way in ways:
                rates.setdefault((way.name, way.lab.queues), []).append(way.measure(seconds))
    return rates
