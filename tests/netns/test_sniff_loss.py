# SPDX-License-Identifier: GPL-2.0-only
"""Spliced connections over a wire that loses, doubles and reorders; and hellos in pieces on it."""
import hashlib

import pytest

from lab import mux
from lab.clients import curl
from lab.mux import say
from lab.real import Recorder, TlsNginx
from lab.shell import endpoint
from lab.site import Site
from lab.wire import bad_wire_client

POOLS = {"a": (0, 8443), "echo": (2, 9000), "other": (1, 9000)}


@pytest.fixture(scope="module")
def lab():
    with Site() as site:
        site.tls = TlsNginx(site.backends[0], site.dir, site.root)
        site.recorders = [Recorder(host, 9000) for host in site.backends[1:]]
        site.near = bad_wire_client(site, "c8", 18)
        site.storm = bad_wire_client(site, "c7", 17, loss=100, duplicate=100, reorder=200)
        yield site


@pytest.fixture
def lb(lab, lb):
    """The lab's own fixture would end the wires with the clients."""
    lab.end_clients = lambda: None
    return lb


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_ten_megabytes_each_way_arrive_whole(lab, lb, version):
    lb.start(mux.mux(lab, [({"protocol": "tls", "server_name": ["a.example"]}, "a")], POOLS))
    address = endpoint(*lab.at(version, mux.PORT)).rsplit(":", 1)[0]
    at = ("-k", "--resolve", f"a.example:{mux.PORT}:{address}")
    curl(lab.near, f"https://a.example:{mux.PORT}/download", *at, "-o", lab.dir / "got")
    assert digest(lab.dir / "got") == digest(lab.download)
    curl(lab.near, f"https://a.example:{mux.PORT}/put/lossy-{version}", *at, "-T", lab.download)
    assert digest(lab.tls.dir / "put" / f"lossy-{version}") == digest(lab.download)
    assert lb.metric("xdplb_flow_events_total", event="spliced") == 2


@pytest.mark.parametrize("piece", [0, 1, 7], ids=["whole", "one-byte", "seven-bytes"])
def test_hellos_arrive_whole_through_a_storm(lab, lb, version, piece):
    lb.start(mux.mux(lab, [({"protocol": "http", "host": ["c.example"]}, "echo")], POOLS, "other",
                     sniff_timeout="10s"))
    hello = b"GET /" + bytes(97 + i % 26 for i in range(400)) + mux.HTTP[6:]
    for _ in range(10):
        assert say(lab.storm, lab.at(version, mux.PORT), hello, piece, timeout=60) == "b3"
