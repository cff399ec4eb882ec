# SPDX-License-Identifier: GPL-2.0-only
"""recorder.py NAME PORT greets|listens: see lab.real.Recorder."""
import asyncio
import socket
import sys

NAME, PORT, GREETS = sys.argv[1].encode(), int(sys.argv[2]), sys.argv[3] == "greets"


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        if GREETS:
            writer.write(NAME + b"\n")
        first = not GREETS
        while got := await reader.read(65536):
            writer.write(NAME + b"\n" + got if first else got)
            first = False
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        self.transport.sendto(NAME + b"\n" + data, addr)


async def main() -> None:
    loop = asyncio.get_running_loop()
    for family, any_ in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        await asyncio.start_server(talk, any_, PORT, family=family, backlog=4096)
        udp = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        udp.bind((any_, PORT))
        await loop.create_datagram_endpoint(Datagrams, sock=udp)
    print("serving", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
