# SPDX-License-Identifier: GPL-2.0-only
"""One VIP:443 for every protocol: its configuration, and clients that speak raw bytes."""
from __future__ import annotations

import socket

from .balancer import Config, backends, config, listeners
from .clients import FAMILY, Address
from .host import Host
from .topology import Lab

PORT = 443
OVER_UDP = {"quic", "wireguard", "openvpn", "syslog", "regex"}
OVER_UDP_ALONE = {"quic", "wireguard"}


def protocols(routes: list[tuple[dict, str]], default: str | None) -> list[str]:
    """Those that the routes, or the default, lead anywhere."""
    words = {match["protocol"] for match, _ in routes}
    over = {"tcp": default or words - OVER_UDP_ALONE, "udp": default or words & OVER_UDP}
    return [protocol for protocol, any_ in over.items() if any_]


def mux(lab: Lab, routes: list[tuple[dict, str]], pools: dict[str, tuple[int, int]],
        default: str | None = None, **service: object) -> Config:
    """Pools are NAME: (number of the backend, its port); routes (match, pool), first match wins."""
    made = {name: {"backends": backends([lab.backends[number]], port)}
            for name, (number, port) in pools.items()}
    rows = [{"match": match, "pool": pool} for match, pool in routes]
    body: dict = {"listen": listeners(PORT, protocols(routes, default)), "routes": rows} | service
    if default:
        body["pool"] = default
    return config(lab, made, {"mux": body})


class Raw:
    """A TCP connection that sends just what it is told, in the pieces it is told."""

    def __init__(self, host: Host, to: Address, timeout: float = 10, source_port: int = 0) -> None:
        version = 6 if ":" in to[0] else 4
        self.socket = host.socket(FAMILY[version], socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source_port:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(("", source_port))
        self.socket.connect(to)

    def send(self, data: bytes, piece: int = 0) -> None:
        for at in range(0, len(data), piece or len(data) or 1):
            self.socket.sendall(data[at:at + (piece or len(data))])

    def read(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            more = self.socket.recv(count - len(got))
            if not more:
                break
            got += more
        return got

    def line(self) -> str:
        got = b""
        while not got.endswith(b"\n"):
            more = self.socket.recv(1)
            if not more:
                break
            got += more
        return got.decode().strip()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               (1).to_bytes(4, "little") + bytes(4))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def say(host: Host, to: Address, data: bytes, piece: int = 0, timeout: float = 10) -> str:
    """The name of the Recorder that answers these first bytes, and they come back whole."""
    with Raw(host, to, timeout) as raw:
        raw.send(data, piece)
        name = raw.line()
        assert raw.read(len(data)) == data
        return name


def say_udp(host: Host, to: Address, data: bytes, timeout: float = 3) -> str:
    version = 6 if ":" in to[0] else 4
    with host.socket(FAMILY[version], socket.SOCK_DGRAM) as talker:
        talker.settimeout(timeout)
        talker.sendto(data, to)
        name, _, echo = talker.recv(65536).partition(b"\n")
        assert echo == data
        return name.decode()


# First messages, as the protocols' documents give them.
SSH = b"SSH-2.0-OpenSSH_9.2\r\n"
HTTP = b"GET /x HTTP/1.1\r\nHost: c.example\r\n\r\n"
SOCKS5 = b"\x05\x01\x00"
XMPP = (b"<?xml version='1.0'?><stream:stream to='a.example' xmlns='jabber:client' "
        b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>")
SYSLOG = b"<34>1 2003-10-11T22:14:15.003Z host.example su - ID47 - hello\n"
ADB = (b"CNXN\x01\x00\x00\x01\x00\x00\x10\x00\x07\x00\x00\x00\x32\x02\x00\x00\xbc\xb1\xa7\xb1"
       b"host::\0")
RDP = (b"\x03\x00\x00\x2c\x27\xe0\x00\x00\x00\x00\x00Cookie: mstshash=eltons\r\n"
       b"\x01\x00\x08\x00\x00\x00\x00\x00")
TINC = b"0 node_a 17.7\n"
OPENVPN = b"\x38" + bytes(range(8)) + b"\x00" + b"\x00\x00\x00\x00"
OPENVPN_TCP = len(OPENVPN).to_bytes(2, "big") + OPENVPN
SYSLOG_UDP = b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick"
