# SPDX-License-Identifier: GPL-2.0-only
"""Real servers for the lab's hosts."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

from . import build, shell
from .host import Host

NGINX_CONF = """
daemon off;
user root;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 8192; }}
http {{
	log_format lab '$remote_addr $remote_port $request_uri';
	access_log {dir}/access.log lab;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
	default_type text/plain;
	keepalive_requests 1000000;
	server {{
		listen {port} default_server backlog=8192;
		listen [::]:{port} default_server backlog=8192;
		root {root};
		location = /name {{ access_log off; return 200 "{name}\\n"; }}
		location = /secret {{ return 404; }}
	}}
	server {{
		listen {port};
		listen [::]:{port};
		server_name health.example;
		root {root};
	}}
}}
"""


class Peer:
    """The traffic peer's server: answers lines and datagrams with its name."""

    def __init__(self, host: Host, tcp: tuple[int, ...] = (7000, 7001),
                 udp: tuple[int, ...] = (7000, 7001), name: str = "") -> None:
        self.host = host
        self.child = host.spawn(
            [build.PEER, "serve", "--name", name or host.name,
             "--tcp", ",".join(map(str, tcp)), "--udp", ",".join(map(str, udp))],
            stdout=subprocess.PIPE, text=True)
        line = self.child.stdout.readline()
        assert line == "serving\n", f"peer of {host.name} did not come up: {line!r}"

    def stop(self) -> None:
        self.host.end(self.child)
        self.child.stdout.close()


class Nginx:
    """An nginx of its own in the foreground, on one port of a host."""

    def __init__(self, host: Host, where: Path, root: Path, port: int = 8080) -> None:
        self.host = host
        self.dir = where / f"nginx-{host.name}-{port}"
        self.dir.mkdir(exist_ok=True)
        self.log = self.dir / "access.log"
        conf = self.dir / "nginx.conf"
        conf.write_text(NGINX_CONF.format(dir=self.dir, port=port, root=root, name=host.name))
        self.child = host.spawn(["nginx", "-e", self.dir / "error.log", "-p", self.dir,
                                 "-c", conf], stderr=subprocess.DEVNULL)
        shell.until(lambda: listens(host, port), f"nginx of {host.name} listens on {port}")

    def requests(self) -> list[str]:
        """Lines "ADDRESS PORT URI" of what it answered."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def stop(self) -> None:
        self.host.end(self.child)


def listens(host: Host, port: int) -> bool:
    with host.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Dnsmasq:
    """A DNS server that knows one name: lab.example, as the host's own address."""

    def __init__(self, host: Host, where: Path) -> None:
        self.host = host
        self.child = host.spawn(
            ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv",
             "--no-hosts", "--user=root", f"--pid-file={where}/dnsmasq-{host.name}.pid",
             "--log-facility=/dev/null",
             *(f"--address=/lab.example/{host.address[v]}" for v in (4, 6))])
        shell.until(lambda: listens(host, 53), f"dnsmasq of {host.name} listens")

    def stop(self) -> None:
        self.host.end(self.child)


def make_file(path: Path, size: int) -> Path:
    """A file of random bytes to download."""
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(size))
    return path
