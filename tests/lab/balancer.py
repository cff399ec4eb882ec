# SPDX-License-Identifier: GPL-2.0-only
"""xdplb in a lab: its configuration, its daemon, its command line and what it says of itself."""
from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
from typing import Any, Iterable, Mapping

import yaml

from . import build, shell
from .host import Host
from .topology import Lab, vip

Config = dict[str, Any]
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
Metrics = list[tuple[str, dict[str, str], float]]


def listeners(port: int, protocols: Iterable[str] = ("tcp", "udp"),
              versions: Iterable[int] = (4, 6), number: int = 1) -> list[str]:
    return [f"{protocol}://{shell.endpoint(vip(version, number), port)}"
            for version in versions for protocol in protocols]


def backends(hosts: Iterable[Host], port: int, versions: Iterable[int] = (4, 6),
             weights: Mapping[str, int] | None = None) -> list:
    """Backend rows; `weights` by host name."""
    rows = []
    for host in hosts:
        for version in versions:
            row: dict[str, Any] = {"address": shell.endpoint(host.address[version], port)}
            if weights and host.name in weights:
                row["weight"] = weights[host.name]
            rows.append(row)
    return rows


def config(lab: Lab, pools: Config, services: Config, **top: Any) -> Config:
    made: Config = {"interfaces": [{"name": name} for name in lab.interfaces], "watch": False,
                    "flow_table": 16384, "http": "127.0.0.1:9180"}
    made.update(top)
    return {key: value for key, value in made.items() if value is not None} | {
        "pools": pools, "services": services}


def one_service(lab: Lab, *, hosts: Iterable[Host] | None = None, port: int = 80,
                to: int = 7000, weights: Mapping[str, int] | None = None,
                pool: Config | None = None, service: Config | None = None,
                **top: Any) -> Config:
    """Service and pool `web`: both protocols and families of the first VIP."""
    hosts = lab.backends if hosts is None else hosts
    return config(lab, {"web": {"backends": backends(hosts, to, weights=weights)} | (pool or {})},
                  {"web": {"listen": listeners(port), "pool": "web"} | (service or {})}, **top)


class Balancer:
    def __init__(self, lab: Lab, host: Host | None = None, name: str = "xdplb") -> None:
        self.host = host or lab.lb
        self.dir = lab.dir / name
        self.dir.mkdir(exist_ok=True)
        self.run_dir = self.dir / "run"
        self.bpffs = self.dir / "bpf"
        self.file = self.dir / "xdplb.yaml"
        self.log = lab.dir / f"{name}.log"  # not beside the file, whose directory is watched
        self.daemon: subprocess.Popen | None = None

    # -- configuration --

    def text(self, made: Config | str) -> str:
        return made if isinstance(made, str) else yaml.safe_dump(made, sort_keys=False)

    def write(self, made: Config | str) -> None:
        """Replaces the file at once, as a careful program does."""
        aside = self.file.with_suffix(".new")
        aside.write_text(self.text(made))
        aside.rename(self.file)

    # -- the program --

    def argv(self, *words: object) -> list[str]:
        return [str(build.XDPLB), *map(str, words), "--run-dir", str(self.run_dir),
                "--bpffs", str(self.bpffs)]

    def cli(self, *words: object, check: bool = True,
            timeout: float = 30) -> subprocess.CompletedProcess:
        return self.host.run(self.argv(*words), check=check, timeout=timeout)

    def launch(self) -> int:
        """Starts the daemon in the foreground without waiting; where its log begins."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.daemon = self.host.spawn(self.argv("run", "-c", self.file), stderr=log,
                                          stdout=log)
        return begin

    def start(self, made: Config | str | None = None) -> None:
        if made is not None:
            self.write(made)
        begin = self.launch()
        shell.until(lambda: self._ready(begin), "xdplb says ready", 20)

    def _ready(self, begin: int) -> bool:
        said = self.log.read_bytes()[begin:].decode(errors="replace")
        if self.daemon.poll() is not None:
            raise AssertionError(f"xdplb ended with {self.daemon.returncode}:\n{said}")
        return re.search(r"\bready\b", said) is not None

    def reload(self, made: Config | str | None = None) -> str:
        if made is not None:
            self.write(made)
        return self.cli("reload").stdout

    def reload_words(self, made: Config | str) -> str:
        """All that a reload says, wherever it says it."""
        self.write(made)
        done = self.cli("reload")
        return done.stdout + done.stderr

    def stop(self) -> None:
        self.cli("stop")
        if self.daemon:
            self.daemon.wait(10)
            self.daemon = None

    def kill(self) -> None:
        """kill -9: nothing can be tidied up."""
        self.host.end(self.daemon, signal.SIGKILL)
        self.daemon = None

    def clean(self) -> None:
        """Ends the daemon if it runs and takes everything out of the kernel."""
        if self.daemon and self.daemon.poll() is None:
            self.host.end(self.daemon)
        self.daemon = None
        self.cli("stop", check=False)
        self.cli("detach", "--all", check=False)

    # -- what it says --

    def status(self) -> dict:
        return json.loads(self.cli("status", "--json").stdout)

    def flows(self, *filters: object) -> list[dict]:
        return json.loads(self.cli("flows", "--json", *filters).stdout)

    def service(self, name: str = "web") -> dict:
        return self.status()["services"][name]

    def backend(self, address: str, pool: str = "web") -> dict:
        rows = self.status()["pools"][pool]["backends"]
        return next(row for row in rows if row["address"] == address)

    def states(self, pool: str = "web") -> dict[str, str]:
        return {row["address"]: row["state"] for row in self.status()["pools"][pool]["backends"]}

    def wait_state(self, address: str, state: str, pool: str = "web", timeout: float = 10) -> None:
        shell.until(lambda: self.states(pool)[address] == state,
                    f"{address} of {pool} is {state}", timeout)

    def get(self, path: str, address: str = "127.0.0.1", port: int = 9180) -> tuple[int, str]:
        with self.host.socket() as connected:
            connected.settimeout(10)
            connected.connect((address, port))
            client = http.client.HTTPConnection(address, port)
            client.sock = connected
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read().decode()

    def metrics(self) -> Metrics:
        status, text = self.get("/metrics")
        assert status == 200, text
        samples = (SAMPLE.match(line) for line in text.splitlines() if line and line[0] != "#")
        return [(m[1], dict(LABEL.findall(m[2] or "")), float(m[3])) for m in samples if m]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples that bear these labels, whatever their case; 0 without any."""
        return sum(value for found, has, value in self.metrics() if found == name and all(
            has.get(key, "").lower() == wanted.lower() for key, wanted in labels.items()))

    def outcome(self, name: str) -> float:
        return self.metric("xdplb_outcomes_total", outcome=name)

    def log_text(self) -> str:
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        for extra in sorted(self.run_dir.glob("*log*")) if self.run_dir.exists() else []:
            said += f"--- {extra}\n{extra.read_text(errors='replace')}"
        return said

    def xdp(self, dev: str) -> dict | None:
        """What the kernel says is attached to an interface."""
        answer = json.loads(self.host.run(["ip", "-j", "-d", "link", "show", dev]).stdout)
        return answer[0].get("xdp")


def pid_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


