# SPDX-License-Identifier: GPL-2.0-only
"""Real servers of the protocols that are told apart by their first bytes."""
from __future__ import annotations

import subprocess
from pathlib import Path

from . import shell
from .host import Host
from .servers import listens

RECORDER = Path(__file__).with_name("recorder.py")

TLS_CONF = """
daemon off;
user root;
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 8192; }}
http {{
	access_log off;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
	default_type text/plain;
	client_max_body_size 64m;
	ssl_certificate {cert};
	ssl_certificate_key {key};
	ssl_protocols TLSv1.2 TLSv1.3;
	server {{
		listen {port} ssl http2 backlog=8192;
		listen [::]:{port} ssl http2 backlog=8192;
		root {root};
		location = /name {{ return 200 "{name} $ssl_server_name $ssl_protocol\\n"; }}
		location /put/ {{ dav_methods PUT; create_full_put_path on; alias {dir}/put/; }}
	}}
}}
"""


def certificate(where: Path) -> tuple[Path, Path]:
    """One for every name of the tests: key and certificate."""
    key, cert = where / "lab.key", where / "lab.crt"
    if not cert.exists():
        shell.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                   "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=lab.example",
                   "-addext", "subjectAltName=DNS:a.example,DNS:b.example,DNS:*.b.example,"
                   "DNS:lab.example", "-keyout", key, "-out", cert])
    return key, cert


class TlsNginx:
    """HTTP/1.1 and h2 over TLS: /name says who answered and which SNI came; PUT into /put/."""

    def __init__(self, host: Host, where: Path, root: Path, port: int = 8443) -> None:
        self.host = host
        self.dir = where / f"tls-{host.name}-{port}"
        (self.dir / "put").mkdir(parents=True, exist_ok=True)
        key, cert = certificate(where)
        conf = self.dir / "nginx.conf"
        conf.write_text(TLS_CONF.format(dir=self.dir, port=port, root=root, name=host.name,
                                        key=key, cert=cert))
        self.child = host.spawn(["nginx", "-e", self.dir / "error.log", "-p", self.dir,
                                 "-c", conf], stderr=subprocess.DEVNULL)
        shell.until(lambda: listens(host, port), f"nginx of {host.name} listens on {port}")

    def stop(self) -> None:
        self.host.end(self.child)


class Sshd:
    """An sshd that answers every login of `key` with its host's name."""

    def __init__(self, host: Host, where: Path, port: int = 2222) -> None:
        self.host = host
        self.dir = where / f"sshd-{host.name}"
        self.dir.mkdir(exist_ok=True)
        Path("/run/sshd").mkdir(exist_ok=True)
        self.key = where / "ssh-client"
        for key in (self.key, self.dir / "host"):
            if not key.exists():
                shell.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
        allowed = self.dir / "authorized"
        allowed.write_text(f'command="echo {host.name}; cat" '
                           f'{self.key.with_suffix(".pub").read_text()}')
        allowed.chmod(0o600)
        conf = self.dir / "sshd_config"
        conf.write_text(f"Port {port}\nHostKey {self.dir}/host\nPidFile none\n"
                        f"AuthorizedKeysFile {allowed}\nStrictModes no\nUsePAM no\n"
                        "PermitRootLogin yes\nMaxStartups 1000\nUseDNS no\n")
        self.child = host.spawn(["/usr/sbin/sshd", "-D", "-e", "-f", conf],
                                stderr=subprocess.DEVNULL)
        shell.until(lambda: listens(host, port), f"sshd of {host.name} listens")

    def stop(self) -> None:
        self.host.end(self.child)


def ssh(client: Host, key: Path, address: str, port: int, stdin: str = "") -> str:
    """What the forced command of an Sshd says to a real ssh."""
    return client.run(["ssh", "-n" if not stdin else "-T", "-i", key, "-p", port,
                       "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                       "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", "-o", "BatchMode=yes",
                       f"root@{address}", "true"], stdin=stdin, timeout=30).stdout


class Socks:
    """Dante, which lets everybody everywhere."""

    def __init__(self, host: Host, where: Path, port: int = 1080) -> None:
        self.host = host
        conf = where / f"danted-{host.name}.conf"
        conf.write_text(f"""logoutput: {where}/danted-{host.name}.log
internal: eth0 port = {port}
external: eth0
socksmethod: none
clientmethod: none
user.privileged: root
user.unprivileged: root
client pass {{ from: 0/0 to: 0/0 }}
client pass {{ from: ::/0 to: ::/0 }}
socks pass {{ from: 0/0 to: 0/0 }}
socks pass {{ from: ::/0 to: ::/0 }}
""")
        self.child = host.spawn(["danted", "-f", conf, "-N", "1", "-p",
                                 where / f"danted-{host.name}.pid"])
        shell.until(lambda: _connects(host, port), f"danted of {host.name} listens")

    def stop(self) -> None:
        self.host.end(self.child)


def _connects(host: Host, port: int) -> bool:
    with host.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host.address[4], port)) == 0


class Quic:
    """ngtcp2's server, HTTP/3 over v1 and v2; every page is the host's name."""

    def __init__(self, host: Host, where: Path, port: int = 4433) -> None:
        self.host = host
        self.root = where / f"quic-{host.name}"
        self.root.mkdir(exist_ok=True)
        (self.root / "name").write_text(f"{host.name}\n")
        key, cert = certificate(where)
        self.children = [host.spawn(
            ["gtlsserver", "-q", "-d", self.root, host.address[version], port, key, cert],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for version in (4, 6)]
        shell.until(lambda: _udp_bound(host, port, 2), f"gtlsserver of {host.name} is bound")

    def stop(self) -> None:
        for child in self.children:
            self.host.end(child)


def _udp_bound(host: Host, port: int, count: int = 1) -> bool:
    said = host.run(["ss", "-Huln", f"sport = :{port}"]).stdout
    return len(said.splitlines()) >= count


class Caddy:
    """HTTP/1.1, h2 and h3 by Caddy, with the tests' certificate; /name says who answered."""

    def __init__(self, host: Host, where: Path, root: Path, port: int = 8444) -> None:
        self.host = host
        home = where / f"caddy-{host.name}"
        home.mkdir(exist_ok=True)
        key, cert = certificate(where)
        conf = home / "Caddyfile"
        conf.write_text(f"""{{
	admin off
	auto_https off
	storage file_system {home}
	log {{
		output file {home}/log
	}}
}}
https://:{port} {{
	tls {cert} {key}
	respond /name "{host.name} {{http.request.proto}}"
	root * {root}
	file_server
}}
""")
        self.child = host.spawn(["caddy", "run", "--config", conf, "--adapter", "caddyfile"],
                                env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
                                stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        shell.until(lambda: listens(host, port) and _udp_bound(host, port),
                    f"caddy of {host.name} listens on {port}")

    def stop(self) -> None:
        self.host.end(self.child)


class Recorder:
    """
    A server for bytes that no real software here would send: TCP and UDP on one port.
    Says its host's name first (`greets`) or when the first bytes came, then echoes.
    """

    def __init__(self, host: Host, port: int, greets: bool = False) -> None:
        self.host = host
        self.child = host.spawn(["/usr/bin/python3", RECORDER, host.name, str(port),
                                 "greets" if greets else "listens"],
                                stdout=subprocess.PIPE, text=True)
        assert self.child.stdout.readline() == "serving\n"

    def stop(self) -> None:
        self.host.end(self.child)
        self.child.stdout.close()


class WireGuard:
    """wireguard-go between two hosts: `near` connects to `endpoint`, `far` listens."""

    INSIDE = {"near": "10.99.0.1", "far": "10.99.0.2"}

    def __init__(self, near: Host, far: Host, endpoint: str, where: Path,
                 port: int = 51820) -> None:
        self.near, self.far = near, far
        self.dev = {near.name: f"wgn{near.name}", far.name: f"wgf{far.name}"}
        keys = {}
        for side in ("near", "far"):
            keys[side] = where / f"wg-{side}.key"
            keys[side].write_text(shell.run(["wg", "genkey"]).stdout)
            keys[side].chmod(0o600)
        public = {side: shell.run(["wg", "pubkey"], stdin=keys[side].read_text()).stdout.strip()
                  for side in keys}
        self.children = [self._up(far, "far", keys["far"], public["near"], ["listen-port", port]),
                         self._up(near, "near", keys["near"], public["far"], [],
                                  ["endpoint", endpoint])]

    def _up(self, host: Host, side: str, key: Path, peer: str, own: list,
            more: list | None = None) -> subprocess.Popen:
        dev = self.dev[host.name]
        child = host.spawn(["wireguard-go", "-f", dev], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL,
                           env={"WG_PROCESS_FOREGROUND": "1", "PATH": "/usr/sbin:/usr/bin:/bin"})
        shell.until(lambda: host.run(["ip", "link", "show", dev], check=False).returncode == 0
                    and Path(f"/var/run/wireguard/{dev}.sock").exists(), f"{dev} is there")
        host.run(["wg", "set", dev, "private-key", key, *own, "peer", peer, "allowed-ips",
                  "10.99.0.0/24", *(more or [])])
        host.ip(f"addr add {self.INSIDE[side]}/24 dev {dev}", f"link set {dev} mtu 1280 up")
        return child

    def ping(self) -> bool:
        return self.near.run(["ping", "-c", "3", "-i", "0.2", "-W", "3", self.INSIDE["far"]],
                             check=False).returncode == 0

    def stop(self) -> None:
        for child, host in zip(self.children, (self.far, self.near)):
            host.end(child)
            Path(f"/var/run/wireguard/{self.dev[host.name]}.sock").unlink(missing_ok=True)
