# SPDX-License-Identifier: GPL-2.0-only
"""Flows: they stay where they are, end when they should, and the table has limits. Rows 10, 11."""
import random

import pytest

from lab.balancer import backends, config, listeners, one_service
from lab.capture import RST, TCP, Capture
from lab.clients import (TALKER, Datagrams, Stream, Talk, ask_tcp, ask_udp, assert_unharmed, load)
from lab.shell import endpoint, until

LAB = {"backends": 4}


def test_no_flow_changes_backend_in_100_pool_edits(lab, lb, version):
    """Weights and members change at random; new connections come and go meanwhile."""
    dice = random.Random(version)
    lb.start(one_service(lab))
    talk = Talk(lab.client, lab.at(version), streams=100, datagrams=40, interval=20)
    for edit in range(100):
        members = dice.sample(lab.backends, dice.randint(1, 4))
        weights = {host.name: dice.randint(0, 5) for host in members}
        weights[members[0].name] = 1
        lb.reload(one_service(lab, hosts=members, weights=weights))
        if edit % 10 == 0:
            usable = {host.name for host in members if weights[host.name]}
            report = load(lab.client, lab.at(version), 20)
            assert report["ok"] == 20 and set(report["backends"]) <= usable
    report = talk.finish()
    assert_unharmed(report)
    assert report["ok"] == 140


def test_a_flow_outlives_its_service_and_pool_being_renamed(lab, lb, version):
    lb.start(one_service(lab))
    with Stream(lab.client, lab.at(version)) as stream:
        name = stream.ask().name
        pools = {"other": {"backends": backends(lab.backends, 7000)}}
        lb.reload(config(lab, pools, {"renamed": {"listen": listeners(80), "pool": "other"}}))
        assert stream.ask().name == name
        assert ask_tcp(lab.client, lab.at(version)).name


@pytest.mark.parametrize("family", [4, 6])
def test_the_flow_table_lists_client_backend_and_service(lab, lb, family):
    lb.start(one_service(lab))
    with Stream(lab.client, lab.at(family), port=12345) as stream:
        name = stream.ask().name
        backend = next(b for b in lab.backends if b.name == name)
        client = endpoint(lab.client.address[family], 12345)
        rows = [row for row in lb.flows() if client in map(str, row.values())]
        assert len(rows) == 1, lb.flows()
        assert endpoint(backend.address[family], 7000) in map(str, rows[0].values())
        assert "web" in map(str, rows[0].values())
        assert client in lb.cli("flows").stdout
        assert lb.flows("--service", "web") and not lb.flows("--service", "none-such")
        assert lb.flows("--client", lab.client.address[family])
        assert not lb.flows("--client", lab.clients[1].address[family])
        assert lb.flows("--backend", endpoint(backend.address[family], 7000))


def test_active_flows_rise_with_a_connection_and_fall_with_its_end(lab, lb, version):
    lb.start(one_service(lab))
    streams = [Stream(lab.client, lab.at(version)) for _ in range(10)]
    assert lb.service()["active_flows"] == 10
    for stream in streams[:5]:
        stream.close()
    until(lambda: lb.service()["active_flows"] == 5, "five flows have ended by FIN")
    for stream in streams[5:]:
        stream.reset()
    until(lambda: lb.service()["active_flows"] == 0, "five flows have ended by a reset")
    assert lb.service()["connections"] == 10


def test_udp_flows_idle_as_long_as_their_service_says(lab, lb, version):
    pools = {"web": {"backends": backends(lab.backends, 7000)}}
    lb.start(config(lab, pools, {
        "short": {"listen": listeners(80, ["udp"]), "pool": "web", "idle_timeout": "1s"},
        "long": {"listen": listeners(81, ["udp"]), "pool": "web"}}))
    with Datagrams(lab.client, lab.at(version, 80)) as short, \
            Datagrams(lab.client, lab.at(version, 81)) as long:
        for _ in range(3):
            short.ask()
            long.ask()
        assert lb.service("short")["active_flows"] == lb.service("long")["active_flows"] == 1
        until(lambda: lb.service("short")["active_flows"] == 0, "the short flow has idled", 15)
        until(lambda: not lb.flows("--service", "short"), "it isn't listed any more")
        assert lb.service("long")["active_flows"] == 1
        assert short.ask().said == "hello"
        assert lb.service("short")["connections"] == 2
        assert lb.service("long")["connections"] == 1


def test_packets_keep_a_udp_flow_alive(lab, lb, version):
    lb.start(one_service(lab, service={"idle_timeout": "1s"}))
    report = Talk(lab.client, lab.at(version), datagrams=10, interval=300, rounds=10).finish()
    assert_unharmed(report)
    assert lb.service()["connections"] == 10


def test_tcp_flows_idle_as_long_as_their_service_says(lab, lb, version):
    lb.start(one_service(lab, service={"idle_timeout": "1s"}))
    with Stream(lab.client, lab.at(version)) as stream:
        stream.ask()
        assert lb.service()["active_flows"] == 1
        until(lambda: lb.service()["active_flows"] == 0, "the flow has idled", 15)
        with pytest.raises(ConnectionError):
            stream.ask()
            stream.ask()


def test_a_full_flow_table_refuses_new_connections_and_breaks_none(lab, lb, version):
    lb.start(one_service(lab, flow_table=64))
    limit = lb.metric("xdplb_flows_max", table="flows")
    assert 64 <= limit <= 128
    kept = [Stream(lab.client, lab.at(version), timeout=3) for _ in range(40)]
    for stream in kept:
        stream.ask()
    talk = Talk(lab.clients[1], lab.at(version), streams=400, concurrency=8, interval=50)
    for stream in kept:
        stream.ask()
    report = talk.finish()
    assert report["resets"] == report["mismatched"] == 0, report
    assert report["failures"] > 0 and set(report["failed"]) == {"ECONNREFUSED"}, report
    assert report["ok"] + 40 <= limit, report
    assert lb.outcome("RESET_TABLE_FULL") >= report["failures"]
    for stream in kept:
        stream.ask()
        stream.close()
    until(lambda: lb.service()["active_flows"] == 0, "all flows have ended")
    assert load(lab.client, lab.at(version), 300, concurrency=4)["ok"] == 300


def test_udp_takes_at_most_half_of_the_flow_table(lab, lb, version):
    lb.start(one_service(lab, flow_table=64))
    udp = Talk(lab.client, lab.at(version), datagrams=120, interval=20)
    streams = [Stream(lab.clients[1], lab.at(version), timeout=3) for _ in range(25)]
    for stream in streams:
        stream.ask()
        stream.close()
    assert udp.finish()["rounds"] > 0
    assert lb.metric("xdplb_flow_events_total", event="UDP_SHARE_FULL") > 0


def test_a_syn_on_a_closed_flow_selects_anew_at_once(lab, lb, version):
    """The same client port again and again, as a client does that is short of ports."""
    lb.start(one_service(lab, pool={"balance": "round-robin"}))
    met = set()
    for _ in range(12):
        with Stream(lab.client, lab.at(version), port=7777, timeout=3) as stream:
            met.add(stream.ask().name)
            stream.reset()
    assert len(met) == 4


def test_half_closed_connections_still_get_their_answer(lab, lb, version):
    import socket
    lb.start(one_service(lab))
    with Stream(lab.client, lab.at(version)) as stream:
        stream.socket.sendall(b"last words\n")
        stream.socket.shutdown(socket.SHUT_WR)
        assert stream.socket.recv(1000).endswith(b"last words\n")
        assert stream.socket.recv(1000) == b""
    until(lambda: lb.service()["active_flows"] == 0, "the flow has ended")


def test_a_reset_of_the_backend_reaches_the_client(lab, lb, version):
    lb.start(one_service(lab, hosts=lab.backends[:1]))
    with Capture(lab.client) as capture, Stream(lab.client, lab.at(version)) as stream:
        stream.ask()
        lab.peers["b1"].host.end(lab.peers["b1"].child, 9)
        with pytest.raises(ConnectionError):
            stream.ask()
            stream.ask()
    until(lambda: lb.service()["active_flows"] == 0, "the flow has ended")
    assert [p for p in capture.packets(TCP) if p.src == lab.at(version)[0]]
    assert all(p.src_port == 80 for p in capture.packets(TCP) if p.flags & RST and not p.sent)


def test_an_unanswered_connection_waits_for_its_backend(lab, lb, version, protocol):
    """A lost first packet harms nothing: the repetition takes the same way."""
    lb.start(one_service(lab, hosts=lab.backends[:1]))
    host = lab.backends[0]
    host.ip("link set eth0 down")
    try:
        with pytest.raises((TimeoutError, OSError)):
            TALKER[protocol](lab.client, lab.at(version), port=9999, timeout=0.3).ask()
    finally:
        host.ip("link set eth0 up",
                f"addr replace {host.address[6]}/64 dev eth0 nodad",
                *(f"route replace default via {gateway} dev eth0"
                  for gateway in ("10.77.2.1", "fd77:2::1")))
    ask = ask_tcp if protocol == "tcp" else ask_udp
    assert until(lambda: _answered(ask, lab, version), "the backend is met again", 5)


def _answered(ask, lab, version):
    try:
        return ask(lab.client, lab.at(version), port=9998, timeout=1).name
    except (TimeoutError, ConnectionRefusedError):
        return None
