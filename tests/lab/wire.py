# SPDX-License-Identifier: GPL-2.0-only
"""A client behind a bad wire: frames get lost, come twice, and overtake each other."""
from __future__ import annotations

import subprocess

from . import build, shell
from .host import Host
from .topology import VERSIONS, Lab, lan_address


def bad_wire_client(lab: Lab, name: str, number: int, loss: int = 10, duplicate: int = 5,
                    reorder: int = 10) -> Host:
    """A host of the clients' LAN; what it sends and gets suffers that much, of 1000 frames."""
    client, wire = lab._host(name), lab._host(f"w{name}")
    client.address = {v: lan_address(1, number, v) for v in VERSIONS}
    port = f"{wire.name}-right"
    shell.run(["ip", "-batch", "-"], stdin=(
        f"link add eth0 netns {client.ns} type veth peer name left netns {wire.ns}\n"
        f"link add right netns {wire.ns} type veth peer name {port} netns {lab.switch.ns}\n"))
    wire.sysctl("ipv6/conf/all/disable_ipv6", 1)
    lab.switch.sysctl(f"ipv6/conf/{port}/disable_ipv6", 1)
    lab.switch.ip(f"link set {port} master lan1", f"link set {port} up")
    wire.ip("link set left up", "link set right up")
    client.ip("link set eth0 up",
              *(f"addr add {client.address[v]}/{24 if v == 4 else 64} dev eth0 nodad"
                for v in VERSIONS))
    client.ip(*(f"route add default via {lan_address(1, 1, v)}" for v in VERSIONS))
    for host, dev in ((client, "eth0"), (wire, "left"), (wire, "right"), (lab.switch, port)):
        host.run(["ethtool", "-K", dev, "gro", "off", "gso", "off", "tso", "off"])
    client.run(["ethtool", "-K", "eth0", "tx-checksum-ip-generic", "off"])
    relay = wire.spawn([build.PEER, "relay", "--dev", "left", "--other", "right", "--loss", loss,
                        "--duplicate", duplicate, "--reorder", reorder],
                       stdout=subprocess.PIPE, text=True)
    assert relay.stdout.readline() == "relaying\n"
    return client
