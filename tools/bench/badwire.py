# SPDX-License-Identifier: GPL-2.0-only
"""Ten megabytes over a wire that loses, doubles and reorders, spliced and by plain NAT: the tests' lab."""
from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BYTES = 10 << 20
NAT_PORT = 444


def seconds(client, address: str, port: int, *options: object) -> float:
    """What a real curl takes for a transfer, from the first packet on."""
    url = f"https://a.example:{port}/{options[0]}"
    said = client.run(["curl", "-sS", "-k", "--max-time", 60, "-w", "%{time_total} %{http_code}",
                       "--resolve", f"a.example:{port}:{address}", "-o", "/dev/null",
                       *options[1:], url], timeout=70).stdout.split()
    if int(said[1]) // 100 != 2:
        raise RuntimeError(f"{url}: status {said[1]}")
    return float(said[0])


def measure(out: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds by way and direction."""
    os.environ["XDPLB_OUT"] = str(out)
    sys.path.insert(0, str(ROOT))
    mux, balancer, real, wire, site = (importlib.import_module(f"tests.lab.{name}") for name in (
        "mux", "balancer", "real", "wire", "site"))
    found: dict[str, list[float]] = {}
    with site.Site(clients=1, backends=1) as lab:
        real.TlsNginx(lab.backends[0], lab.dir, lab.root)
        client = wire.bad_wire_client(lab, "c8", 18)
        made = mux.mux(lab, [({"protocol": "tls", "server_name": ["a.example"]}, "a")],
                       {"a": (0, 8443)})
        made["services"]["nat"] = {"listen": balancer.listeners(NAT_PORT, ["tcp"]), "pool": "a"}
        lb = balancer.Balancer(lab)
        lb.start(made)
        address = lab.at(4)[0]
        for number in range(rounds):
            for name, port in (("spliced", mux.PORT), ("nat", NAT_PORT)):
                down = seconds(client, address, port, "download")
                up = seconds(client, address, port, f"put/{name}-{number}", "-T", lab.download)
                found.setdefault(f"{name} down", []).append(BYTES / down / 1e6)
                found.setdefault(f"{name} up", []).append(BYTES / up / 1e6)
        lb.clean()
    return found
