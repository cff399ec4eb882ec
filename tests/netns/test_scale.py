# SPDX-License-Identifier: GPL-2.0-only
"""Many connections at once and one after the other, and a flood: row 12.

SOAK=1 in the environment runs the full numbers of the design instead of the short ones.
"""
from lab import build
from lab.balancer import one_service
from lab.clients import Talk, assert_unharmed, load
from lab.shell import endpoint


def test_30_000_connections_over_3_backends_collide_nowhere(lab, lb, version):
    """Each asks again while all are open and checks that backend and answer are its own."""
    lb.start(one_service(lab, flow_table=65536, pool={"balance": "round-robin"}))
    talks = [Talk(client, lab.at(version), streams=15_000, concurrency=100, interval=5000,
                  wait=False) for client in lab.clients]
    for talk in talks:
        talk.wait_open()
    assert lb.service()["active_flows"] == 30_000
    reports = [talk.finish() for talk in talks]
    for report in reports:
        assert_unharmed(report)
        assert report["ok"] == 15_000
    met = [reports[0]["backends"][name] + reports[1]["backends"][name]
           for name in ("b1", "b2", "b3")]
    assert met == [10_000] * 3
    assert lb.service()["connections"] == 30_000


def test_5_000_short_connections_a_second_without_a_stall(lab, lb, version, soak):
    """No SYN had to be repeated, which costs a second."""
    lb.start(one_service(lab, flow_table=65536))
    count = 300_000 if soak else 20_000
    report = load(lab.client, lab.at(version), count, rate=5000, timeout=300)
    assert report["ok"] == count, report
    assert report["slow"] == 0, report


def test_ports_are_used_again_without_a_stall(lab, lb, version):
    """Few ports, the backend keeps the TIME_WAIT, and clients change: the worst case."""
    lb.start(one_service(lab, nat={"ports": "10000-13999"}, flow_table=16384))
    for client in lab.clients * 2:
        report = load(client, lab.at(version), 6000, close="server")
        assert report["ok"] == 6000, report
        assert report["failures"] == 0, report


def test_a_syn_flood_breaks_no_connection(lab, lb, version, soak):
    """To a port of its own: backends remember half-open connections for a minute."""
    streams, spoofed = (1000, 2_000_000) if soak else (300, 200_000)
    lb.start(one_service(lab, to=7001, flow_table=262_144 if soak else 8192))
    talk = Talk(lab.client, lab.at(version), streams=streams, interval=20)
    flooder = lab.clients[1]
    flooder.run([build.PEER, "flood", "--to", endpoint(*lab.at(version)), "--dev", "eth0",
                 "--mac", lab.lb.mac("front"), "--count", spoofed, "--rate", 100_000],
                timeout=300)
    report = talk.finish()
    assert report["resets"] == report["changed"] == report["mismatched"] == 0, report
    assert report["ok"] == streams
    assert lb.service()["connections"] > spoofed / 2
    assert load(lab.client, lab.at(version), 200)["ok"] == 200


def test_active_flows_end_at_zero_after_churn(lab, lb, version):
    lb.start(one_service(lab, flow_table=8192))
    for how in ("client", "server", "reset"):
        report = load(lab.client, lab.at(version), 3000, close=how)
        assert report["ok"] == 3000, report
    status = lb.status()
    assert status["services"]["web"]["active_flows"] <= 5, status
    assert sum(row["active_flows"] for row in status["pools"]["web"]["backends"]) <= 5
    assert sum(row["connections"] for row in status["pools"]["web"]["backends"]) == 9000
