# SPDX-License-Identifier: GPL-2.0-only
"""Flows that nobody has answered yet, and what attackers would do with flows. Row 11."""
import socket
import threading

import pytest
from scapy.all import IP, TCP, Ether, IPv6  # pylint: disable=no-name-in-module

from lab import build
from lab.balancer import one_service
from lab.capture import TCP as PROTO_TCP
from lab.capture import Capture
from lab.clients import FAMILY, Datagrams, Stream, Talk, ask_udp, load
from lab.shell import endpoint, until

NETWORK = {4: IP, 6: IPv6}


def gateway(version):
    return "10.77.2.1/32" if version == 4 else "fd77:2::1/128"


@pytest.fixture
def mute(lab, version):
    """b1 hears everything and answers nothing."""
    lab.backends[0].ip(f"route add blackhole {gateway(version)}")
    yield lab.backends[0]
    lab.backends[0].ip(f"route del blackhole {gateway(version)}")


def test_a_flood_leaves_no_flow_and_no_port_behind(lab, lb, version):
    lb.start(one_service(lab, to=7001, flow_table=4096,
                         timeouts={"syn": "1s", "closing": "1s"}))
    talk = Talk(lab.client, lab.at(version), streams=20, interval=20)
    lab.clients[1].run([build.PEER, "flood", "--to", endpoint(*lab.at(version)), "--dev", "eth0",
                        "--mac", lab.lb.mac("front"), "--count", 50_000, "--rate", 50_000])
    assert lb.service()["connections"] > 40_000
    until(lambda: lb.service()["active_flows"] == 20, "only real flows are active", 30)
    rows = lb.status()["pools"]["web"]["backends"]
    assert sum(row["active_flows"] for row in rows) == 20
    report = talk.finish()
    assert report["resets"] == 0 and report["ok"] == 20, report
    until(lambda: lb.service()["active_flows"] == 0, "all flows have ended")


def test_unanswered_datagrams_are_forgotten(lab, lb, version, mute):
    lb.start(one_service(lab, hosts=[mute], service={"idle_timeout": "1s"}))
    with pytest.raises(TimeoutError):
        ask_udp(lab.client, lab.at(version), timeout=0.2)
    assert lb.service()["connections"] == 1
    until(lambda: lb.service()["active_flows"] == 0, "it is forgotten")


def test_datagrams_without_answers_become_a_flow_after_a_while(lab, lb, version, mute):
    """One way, as syslog: three packets over a second."""
    lb.start(one_service(lab, hosts=[mute], timeouts={"syn": "5s"}))
    with Datagrams(lab.client, lab.at(version)) as talker:
        def promoted():
            talker.socket.sendto(b"<13>one way", talker.to)
            return lb.metric("xdplb_flows", table="flows") == 1
        until(promoted, "the flow is established")
        assert lb.service()["connections"] == 1


def test_an_unanswered_syn_is_selected_anew_when_its_backend_is_found_down(lab, lb, version, mute):
    health = {"type": "tcp", "interval": "500ms", "timeout": "400ms", "rise": 1, "fall": 1}
    lab.backends[0].ip(f"route del blackhole {gateway(version)}")
    lb.start(one_service(lab, pool={"balance": "first", "health": health}))
    until(lambda: set(lb.states().values()) == {"up"}, "all are up")
    mute.ip(f"route add blackhole {gateway(version)}")
    met = []

    def connect():
        with Stream(lab.client, lab.at(version), timeout=10) as stream:
            met.append(stream.ask().name)
    waiting = threading.Thread(target=connect)
    waiting.start()
    waiting.join(12)
    assert met == ["b2"]
    assert lb.metric("xdplb_flow_events_total", event="RESELECTED") >= 0


@pytest.mark.parametrize("off_by", [1000, -1000, 1 << 30])
def test_a_spoofed_reset_out_of_sequence_ends_nothing(lab, lb, version, off_by):
    lb.start(one_service(lab))
    with Capture(lab.client) as capture, Stream(lab.client, lab.at(version)) as stream:
        stream.ask()
        until(lambda: [p for p in capture.packets(PROTO_TCP) if p.sent][3:], "it was captured")
        last = Ether([p for p in capture.packets(PROTO_TCP) if p.sent][-1].frame)
        forged = Ether(src=last.src, dst=last.dst) / NETWORK[version](
            src=lab.client.address[version], dst=lab.at(version)[0]) / TCP(
            sport=last[TCP].sport, dport=80, flags="R",
            seq=(last[TCP].seq + off_by) % (1 << 32))
        with lab.client.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            raw.send(bytes(forged))
        for _ in range(5):
            stream.ask()
        assert lb.service()["active_flows"] == 1
        assert lb.metric("xdplb_flow_events_total", event="CLOSED") == 0


def test_an_established_flow_survives_a_flood_of_datagrams(lab, lb, version):
    lb.start(one_service(lab, flow_table=256, service={"idle_timeout": "5s"}))
    talk = Talk(lab.client, lab.at(version), streams=20, interval=10)
    flood = Talk(lab.clients[1], lab.at(version), datagrams=3000, interval=100, concurrency=3000)
    flood.finish()
    report = talk.finish()
    assert report["resets"] == report["mismatched"] == report["changed"] == 0, report


def test_a_refused_port_of_a_backend_is_refused_to_the_client(lab, lb, version):
    lb.start(one_service(lab, to=7999, hosts=lab.backends[:1]))
    with lab.client.socket(FAMILY[version], socket.SOCK_STREAM) as client:
        client.settimeout(3)
        with pytest.raises(ConnectionRefusedError):
            client.connect(lab.at(version))
    until(lambda: lb.service()["active_flows"] == 0, "the flow has ended")


def test_many_refused_connections_leave_nothing_active(lab, lb, version):
    lb.start(one_service(lab, to=7999))
    assert load(lab.client, lab.at(version), 2000)["failed"] == {"ECONNREFUSED": 2000}
    until(lambda: lb.service()["active_flows"] == 0, "all flows have ended")
