# SPDX-License-Identifier: GPL-2.0-only
"""Three hosts in a row of which the outer two begin TLS, and what routes by name between them."""
from __future__ import annotations

import json
import resource
import subprocess
import time
from pathlib import Path
from typing import Sequence

from lab import CLIENTS, IN, OUT, SINK, VIP, Daemon, Lab, run

NAMES = {"a": 8443, "b": 8444}  # and the port where a name's server listens
ECHO = 8445
BY_NAME, NAT, ECHO_BY_NAME, ECHO_NAT = 443, 80, 444, 81  # ports of the VIP
SOURCES = 8
AT_ONCE = 64
NAT_ADDRESSES = [f"10.66.2.{16 + i}" for i in range(16)]
USER_HZ = 100


class TlsLab(Lab):
    """
    `xdp`: the outer hosts take what XDP sends. Nobody keeps TIME_WAITs, which would pile up
    at the server and answer new connections from the same port.
    """

    def __init__(self, out: Path, xdp: bool = False) -> None:
        super().__init__(out, queues=2, sink=False)
        try:
            self._populate(xdp)
        except BaseException:
            self.close()
            raise

    def _populate(self, xdp: bool) -> None:
        for host in ("g", "l", "s"):
            self.do(host, "sysctl", "-qw", "net.ipv4.tcp_max_tw_buckets=0",
                    "net.core.somaxconn=8192", "net.ipv4.tcp_max_syn_backlog=8192",
                    "net.ipv4.ip_local_port_range=30001 65000")
        first = int(CLIENTS.rsplit(".", 1)[1])
        for number in range(SOURCES):
            self.do("g", "ip", "addr", "add", f"10.66.1.{first + number}/24", "dev", "g0")
        self.do("g", "ip", "route", "add", "default", "via", IN)
        self.do("s", "ip", "route", "add", "default", "via", OUT)
        self.do("l", "ip", "addr", "add", f"{VIP}/32", "dev", "lo")
        if xdp:
            for address in NAT_ADDRESSES:
                self.do("l", "ip", "addr", "add", f"{address}/24", "dev", "out0")
            self.do("s", "ethtool", "-K", "s0", "gro", "on")
            self.guard = self.counter("g", "pass", "g0")
        server = self.spawn("s", self.out / "hellos", "serve", *NAMES.values(), f"{ECHO}+",
                            stdout=subprocess.PIPE)
        if server.stdout.readline() != "serving\n":
            raise RuntimeError("hellos does not serve")

    def load(self, to: str, port: object, seconds: float, at_once: int = AT_ONCE,
             rate: int = 0, before: Sequence[str] = ()) -> dict:
        """What became of the connections that were begun in this time."""
        words = [to, port, CLIENTS, SOURCES, at_once, seconds, *([rate] if rate else [])]
        return json.loads(self.do("g", *before, self.out / "hellos", "load", *words))

    def hold(self, port: int, count: int, interval_ms: int,
             before: Sequence[str] = ()) -> subprocess.Popen:
        """Connections that stay open; the caller closes its input to hear how they fared."""
        child = self.spawn("g", *before, self.out / "hellos", "hold", VIP, port, CLIENTS, SOURCES,
                           count, interval_ms, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        said = json.loads(child.stdout.readline())
        if said["open"] != count:
            raise RuntimeError(f"hellos hold: {said}")
        return child


def busy_s() -> float:
    """Seconds that all CPUs together have worked since the start of the machine."""
    words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = map(int, words[:7])
    return (user + nice + system + irq + softirq) / USER_HZ


def idle_share(seconds: float) -> float:
    """CPU seconds a second that go by while nothing is measured."""
    before = busy_s()
    time.sleep(seconds)
    return (busy_s() - before) / seconds


def ran_s(pids: list[int]) -> float:
    """Seconds that these processes and their children have run, softirqs on their time included."""
    total = 0.0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text("ascii").split()[0]) / 1e9
            total += ran_s([int(word) for word in (task / "children").read_text("ascii").split()])
    return total


# ---- what stands between


class Way:
    name = "direct"
    what = "forwarded by the kernel, no names"
    to: tuple[str, object] = (SINK, f"{NAMES['a']}*")

    def __init__(self, lab: TlsLab) -> None:
        self.lab = lab
        self.set_up()

    def set_up(self) -> None:
        self.lab.do("l", "sysctl", "-qw", "net.ipv4.ip_forward=1")

    def measure(self, seconds: float) -> dict:
        """Connections a second, and how long all CPUs were busy meanwhile, and our programs ran."""
        pids = [child.pid for child in self.lab.children]
        clients = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin, before, ran = time.monotonic(), busy_s(), ran_s(pids)
        report = self.lab.load(*self.to, seconds)
        if not report["ok"]:
            raise RuntimeError(f"{self.name}: {report}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = (ran_s(pids) - ran + after.ru_utime + after.ru_stime - clients.ru_utime -
               clients.ru_stime)
        return report | {"rate": report["ok"] / report["seconds"], "busy": busy_s() - before,
                         "ran": ran / report["ok"] * 10000,
                         "elapsed": time.monotonic() - begin}


class Proxy(Way):
    """A program on the balancer that is given a file."""

    to = VIP, BY_NAME
    conf = ""
    argv: tuple[object, ...] = ()

    def set_up(self) -> None:
        file = self.lab.dir / f"{self.name}.conf"
        file.write_text(self.conf.replace("@DIR@", str(self.lab.dir)))
        self.lab.spawn("l", *self.argv, file, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while not run(self.lab.inside("l", "ss", "-Hltn", f"sport = :{BY_NAME}")):
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name} does not listen")
            time.sleep(0.02)


class Haproxy(Proxy):
    name, what = "haproxy", "HAProxy, mode tcp, req.ssl_sni"
    argv = ("haproxy", "-db", "-f")
    conf = f"""
global
    maxconn 4000
    nbthread 2
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend names
    bind {VIP}:{BY_NAME} backlog 8192
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend a if {{ req.ssl_sni -i a.example }}
    use_backend b if {{ req.ssl_sni -i b.example }}
backend a
    server a {SINK}:{NAMES["a"]}
backend b
    server b {SINK}:{NAMES["b"]}
"""


class Nginx(Proxy):
    name, what = "nginx", "nginx, stream, ssl_preread"
    argv = ("nginx", "-e", "stderr", "-c")
    conf = f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
user root;
worker_processes 2;
pid @DIR@/nginx.pid;
error_log @DIR@/nginx.log;
events {{ worker_connections 8192; }}
stream {{
    map $ssl_preread_server_name $pool {{ a.example a; b.example b; }}
    upstream a {{ server {SINK}:{NAMES["a"]}; }}
    upstream b {{ server {SINK}:{NAMES["b"]}; }}
    server {{ listen {VIP}:{BY_NAME} backlog=8192; ssl_preread on; proxy_pass $pool; }}
}}
"""


class Sslh(Proxy):
    name, what = "sslh", "sslh-select, sni_hostnames"
    argv = ("sh", "-c", 'exec sslh-select -f -F"$0"')
    conf = f"""
foreground: true;
timeout: 5;
listen: ( {{ host: "{VIP}"; port: "{BY_NAME}"; }} );
protocols: (
  {{ name: "tls"; host: "{SINK}"; port: "{NAMES["a"]}"; sni_hostnames: [ "a.example" ]; log_level: 0; }},
  {{ name: "tls"; host: "{SINK}"; port: "{NAMES["b"]}"; sni_hostnames: [ "b.example" ]; log_level: 0; }}
);
"""


def config() -> dict:
    """By name and plain NAT, to servers that close and to one that echoes."""
    made: dict = {"interfaces": ["in0", "out0"], "watch": False, "pools": {}, "services": {},
                  "nat": {"addresses": NAT_ADDRESSES}}
    for pool, port in (*NAMES.items(), ("echo", ECHO)):
        made["pools"][pool] = {"backends": [f"{SINK}:{port}"]}
    for name, port, pool in (("nat", NAT, "a"), ("echo-nat", ECHO_NAT, "echo")):
        made["services"][name] = {"listen": f"tcp://{VIP}:{port}", "pool": pool}
    made["services"]["names"] = {
        "listen": f"tcp://{VIP}:{BY_NAME}", "sniff_timeout": "60s",
        "routes": [{"match": {"protocol": "tls", "server_name": [f"{pool}.example"]},
                    "pool": pool} for pool in NAMES]}
    made["services"]["echo"] = {
        "listen": f"tcp://{VIP}:{ECHO_BY_NAME}",
        "routes": [{"match": {"protocol": "tls"}, "pool": "echo"}]}
    return made


class Xdplb(Way):
    name, what = "xdplb", "xdplb, by name"
    to = VIP, BY_NAME

    def set_up(self) -> None:
        self.daemon = Daemon(self.lab)
        self.daemon.start(config())


    def check(self) -> None:
        """A worker that died and was replaced has spoiled the figures."""
        said = (self.lab.dir / "log").read_text(encoding="utf-8")
        if "error:" in said:
            raise RuntimeError(f"xdplb said:\n{said}")


class XdplbNat(Way):
    """Beside Xdplb, by the same daemon."""

    name, what = "nat", "xdplb, plain NAT, no names"
    to = VIP, f"{NAT}*"

    def set_up(self) -> None:
        return


def ways(out: Path, stack) -> list[Way]:
    made = [kind(stack.enter_context(TlsLab(out))) for kind in (Way, Haproxy, Nginx, Sslh)]
    xdplb = Xdplb(stack.enter_context(TlsLab(out, xdp=True)))
    return [*made, XdplbNat(xdplb.lab), xdplb]
