# SPDX-License-Identifier: GPL-2.0-only
"""What a host's interface really sends and receives."""
from __future__ import annotations

import socket
import struct
import threading
from typing import Iterable, NamedTuple

from .host import Host

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
PACKET_OUTGOING = 4
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
FIN, SYN, RST, ACK = 1, 2, 4, 16


class Packet(NamedTuple):
    sent: bool  # by the host that was listened at
    proto: int
    src: str
    dst: str
    src_port: int
    dst_port: int
    flags: int  # of TCP
    length: int  # of the IP packet
    frame: bytes


def parse(frame: bytes, sent: bool) -> Packet | None:
    kind, = struct.unpack_from("!H", frame, 12)
    ip = frame[14:]
    if kind == 0x0800:
        head, proto = (ip[0] & 15) * 4, ip[9]
        length, = struct.unpack_from("!H", ip, 2)
        src, dst = socket.inet_ntoa(ip[12:16]), socket.inet_ntoa(ip[16:20])
    elif kind == 0x86DD:
        head, proto = 40, ip[6]
        length = 40 + struct.unpack_from("!H", ip, 4)[0]
        src, dst = (socket.inet_ntop(socket.AF_INET6, ip[i:i + 16]) for i in (8, 24))
    else:
        return None
    ports, flags = (0, 0), 0
    if proto in (TCP, UDP):
        ports = struct.unpack_from("!HH", ip, head)
    if proto == TCP:
        flags = ip[head + 13]
    return Packet(sent, proto, src, dst, *ports, flags, length, frame)


class Capture:
    """Collects from __enter__ to __exit__; packets() may be asked at any time."""

    def __init__(self, host: Host, dev: str = "eth0") -> None:
        self.frames: list[tuple[bytes, bool]] = []
        with host.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.socket.bind((dev, ETH_P_ALL))
        self.socket.settimeout(0.05)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._collect, daemon=True)

    def _collect(self) -> None:
        while True:
            try:
                frame, (_, _, kind, *_) = self.socket.recvfrom(2048)
                self.frames.append((frame, kind == PACKET_OUTGOING))
            except TimeoutError:
                if self.over.is_set():
                    return

    def __enter__(self) -> Capture:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self.socket.close()

    def packets(self, proto: int = 0, address: str = "") -> list[Packet]:
        """IP packets, of a protocol and from or to an address if these are given."""
        found = (parse(frame, sent) for frame, sent in list(self.frames))
        return [p for p in found if p and (not proto or p.proto == proto)
                and (not address or address in (p.src, p.dst))]

    def resets(self) -> list[Packet]:
        return [p for p in self.packets(TCP) if p.flags & RST]


def total(packets: Iterable[Packet]) -> tuple[int, int]:
    """Packets and bytes."""
    lengths = [p.length for p in packets]
    return len(lengths), sum(lengths)
