# SPDX-License-Identifier: GPL-2.0-only
"""A lab with its usual servers on each backend: the traffic peer and nginx."""
from __future__ import annotations

from .clients import Address
from .servers import Nginx, Peer, make_file
from .topology import Lab, vip

DOWNLOAD_BYTES = 10 << 20


class Site(Lab):
    def __init__(self, arms: int = 2, clients: int = 2, backends: int = 3,
                 side_client: bool = False) -> None:
        super().__init__(arms, clients, backends, side_client)
        try:
            self.root = self.dir / "www"
            self.download = make_file(self.root / "download", DOWNLOAD_BYTES)
            self.peers = {host.name: Peer(host) for host in self.backends}
            self.nginx = {host.name: Nginx(host, self.dir, self.root) for host in self.backends}
        except BaseException:
            self.close()
            raise

    def revive(self) -> None:
        """Starts again what a test has stopped."""
        for host in self.backends:
            if self.peers[host.name].child.poll() is not None:
                self.peers[host.name] = Peer(host)
            if self.nginx[host.name].child.poll() is not None:
                self.nginx[host.name] = Nginx(host, self.dir, self.root)

    def at(self, version: int, port: int = 80, number: int = 1) -> Address:
        return vip(version, number), port
