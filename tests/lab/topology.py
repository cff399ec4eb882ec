# SPDX-License-Identifier: GPL-2.0-only
"""The labs: hosts around a balancer, on one LAN or on several.

Each LAN is a bridge in the namespace `sw`, so that the balancer has one interface a LAN:

    two-armed   clients - front [lb] back - backends      and a second client LAN at `side`
    one-armed   clients, backends and the balancer's `front` on one LAN

Addresses: LAN n is 10.77.n.0/24 and fd77:n::/64; the balancer is host 1, clients are 11..,
backends 21... The virtual addresses 10.77.100.k and fd77:100::k lie on the balancer's `lo`
(so that a packet the datapath leaves to the kernel is answered by it, and seen) and clients
reach them by their default route.
"""
from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import string
from pathlib import Path
from types import TracebackType

from . import build, host, shell
from .host import Host

VERSIONS = (4, 6)
VIPS = 6
RUN = Path("/run")
_letters = iter(string.ascii_lowercase + string.ascii_uppercase)


def lan_address(lan: int, number: int, version: int) -> str:
    return f"10.77.{lan}.{number}" if version == 4 else f"fd77:{lan}::{number}"


def vip(version: int, number: int = 1) -> str:
    return f"10.77.100.{number}" if version == 4 else f"fd77:100::{number}"


class Lab:
    """Use as a context manager: what it made is gone at the end, whatever happened."""

    def __init__(self, arms: int = 2, clients: int = 2, backends: int = 3,
                 side_client: bool = False) -> None:
        build.ensure()
        sweep()
        self.prefix = f"xl{os.getpid()}{next(_letters)}"
        self.dir = RUN / self.prefix
        self.dir.mkdir()
        self.arms = arms
        self.hosts: dict[str, Host] = {}
        try:
            self._build(clients, backends, side_client)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _build(self, clients: int, backends: int, side_client: bool) -> None:
        self.switch = self._host("sw")
        for layer in ("iptables", "ip6tables", "arptables"):  # a switch doesn't look into packets
            if Path(f"/proc/sys/net/bridge/bridge-nf-call-{layer}").exists():
                self.switch.sysctl(f"bridge/bridge-nf-call-{layer}", 0)
        self.lb = self._host("lb")
        self.client_lan = 1
        self.backend_lan = 2 if self.arms == 2 else 1
        self.interfaces = ["front", "back"] if self.arms == 2 else ["front"]
        self._lan(1, "front")
        if self.arms == 2:
            self._lan(2, "back")
        self.clients = [self._end_host(f"c{i + 1}", 1, 11 + i) for i in range(clients)]
        self.backends = [self._end_host(f"b{i + 1}", self.backend_lan, 21 + i)
                         for i in range(backends)]
        self.client = self.clients[0]
        if side_client:
            self._lan(3, "side")
            self.interfaces.append("side")
            self.side_client = self._end_host("c9", 3, 11)
        for version in VERSIONS:
            self.lb.ip(*(f"addr add {vip(version, k)}/{32 if version == 4 else 128} dev lo nodad"
                         for k in range(1, VIPS + 1)))

    def _host(self, name: str) -> Host:
        made = Host(self.prefix, name)
        self.hosts[name] = made
        return made

    def _plug(self, end: Host, dev: str, lan: int, number: int, queues: int) -> None:
        """A veth from `dev` of a host to a port of a LAN's bridge."""
        port = f"{end.name}-{dev}"
        shell.run(["ip", "-batch", "-"], stdin=(
            f"link add {dev} netns {end.ns} numrxqueues {queues} numtxqueues {queues} type veth "
            f"peer name {port} netns {self.switch.ns} numrxqueues {queues} "
            f"numtxqueues {queues}\n"))
        self.switch.sysctl(f"ipv6/conf/{port}/disable_ipv6", 1)
        self.switch.ip(f"link set {port} master lan{lan}", f"link set {port} up")
        end.ip(f"link set {dev} up",
               *(f"addr add {lan_address(lan, number, v)}/{24 if v == 4 else 64} dev {dev} nodad"
                 for v in VERSIONS))
        # Packets are to be seen on the wire as they are counted, none merged.
        end.run(["ethtool", "-K", dev, "gro", "off", "gso", "off", "tso", "off"])
        self.switch.run(["ethtool", "-K", port, "gro", "off", "txvlan", "off"])

    def _lan(self, lan: int, dev: str) -> None:
        bridge = f"lan{lan}"
        self.switch.ip(f"link add {bridge} type bridge stp_state 0 forward_delay 0 "
                       "mcast_snooping 0")
        self.switch.sysctl(f"ipv6/conf/{bridge}/disable_ipv6", 1)
        self.switch.ip(f"link set {bridge} up")
        self._plug(self.lb, dev, lan, 1, queues=2)
        self.switch.ip(f"link set lb-{dev} xdpdrv obj {build.STUB} sec xdp.frags")

    def _end_host(self, name: str, lan: int, number: int) -> Host:
        made = self._host(name)
        made.address = {v: lan_address(lan, number, v) for v in VERSIONS}
        self.plug_end_host(made, lan, number)
        for key, value in (("core/somaxconn", 65535), ("ipv4/tcp_max_syn_backlog", 65535),
                           ("ipv4/ip_local_port_range", "10000 65000"),
                           ("ipv4/tcp_tw_reuse", 1)):
            made.sysctl(key, value)
        return made

    def plug_end_host(self, made: Host, lan: int, number: int) -> None:
        """Also for a host whose interface is replaced by a new one."""
        self._plug(made, "eth0", lan, number, queues=1)
        made.run(["ethtool", "-K", "eth0", "tx-checksum-ip-generic", "off"])
        made.ip(*(f"route add default via {lan_address(lan, 1, v)}" for v in VERSIONS))

    def replace_interface(self, of: Host) -> None:
        """The host gets a new interface with a new MAC address, as after an exchanged card."""
        lan, number = (int(part) for part in of.address[4].split(".")[2:])
        of.ip("link del eth0")
        self.plug_end_host(of, lan, number)

    def end_clients(self) -> None:
        """Ends what tests have left running on hosts that are no backends."""
        for host_ in self.hosts.values():
            if host_ not in self.backends:
                for child in list(host_.children):
                    host_.end(child, signal.SIGKILL)

    def announce(self, of: Host) -> None:
        """The host says a word to its router, which makes its neighbours learn its address."""
        lan = int(of.address[4].split(".")[2])
        for version in VERSIONS:
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            with of.socket(family, socket.SOCK_DGRAM) as talker:
                talker.sendto(b"here I am", (lan_address(lan, 1, version), 9))

    def close(self) -> None:
        for made in self.hosts.values():
            made.close()
        remove_dir(self.dir)


def remove_dir(path: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount.startswith(f"{path}/"):
            shell.run(["umount", "-l", mount], check=False)
    shutil.rmtree(path, ignore_errors=True)


def _prefixes() -> set[str]:
    names = os.listdir(host.NETNS) if host.NETNS.exists() else []
    names += [name for name in os.listdir(RUN) if name.startswith("xl")]
    return {match.group(0) for name in names if (match := re.match(r"xl\d+[a-zA-Z]\b", name))}


def remove(prefix: str) -> None:
    for name in os.listdir(host.NETNS) if host.NETNS.exists() else []:
        if name.startswith(f"{prefix}-"):
            host.remove_namespace(name)
    remove_dir(RUN / prefix)


def sweep() -> None:
    """Removes what earlier runs left that could not clean up after themselves."""
    for prefix in _prefixes():
        if (RUN / prefix / "keep").exists():
            continue
        pid = int(re.search(r"\d+", prefix).group(0))
        if not Path(f"/proc/{pid}").exists():
            remove(prefix)
