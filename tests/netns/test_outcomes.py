# SPDX-License-Identifier: GPL-2.0-only
"""What goes wrong has an answer and a counter: no backend, no flow, no room, no way."""
import socket
import time

import pytest
from scapy.all import IP, TCP, UDP, Ether, IPv6, Raw  # pylint: disable=no-name-in-module

from lab.balancer import backends, config, listeners, one_service
from lab.capture import ACK, ICMP, ICMP6, Capture
from lab.capture import TCP as PROTO_TCP
from lab.clients import FAMILY, Stream, Talk, ask_tcp, ask_udp, load
from lab.shell import endpoint, until

NETWORK = {4: IP, 6: IPv6}


def no_backend(lab, **keys):
    """The service's backends all refuse their probes."""
    health = {"type": "tcp", "interval": "200ms", "timeout": "200ms", "rise": 1, "fall": 1}
    return one_service(lab, to=7999, pool={"health": health}, **keys)


def all_down(lb):
    until(lambda: set(lb.states().values()) == {"down"}, "all backends are down")


def send(host, lb_mac, version, to, segment):
    frame = Ether(src=host.mac(), dst=lb_mac) / NETWORK[version](
        src=host.address[version], dst=to[0]) / segment
    with host.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(bytes(frame))


def test_tcp_without_a_usable_backend_is_reset_at_once(lab, lb, version):
    lb.start(no_backend(lab))
    all_down(lb)
    with Capture(lab.client) as capture:
        began = time.monotonic()
        with pytest.raises(ConnectionRefusedError):
            Stream(lab.client, lab.at(version), port=5555)
        assert time.monotonic() - began < 1
        until(capture.resets, "the reset was captured")
    reset = capture.resets()[0]
    assert (reset.src, reset.src_port) == lab.at(version)
    assert (reset.dst, reset.dst_port) == (lab.client.address[version], 5555)
    assert lb.outcome("RESET_NO_BACKEND") == 1


def test_udp_without_a_usable_backend_is_unreachable_at_once(lab, lb, version):
    lb.start(no_backend(lab))
    all_down(lb)
    with lab.client.socket(FAMILY[version], socket.SOCK_DGRAM) as client, \
            Capture(lab.client) as capture:
        client.settimeout(1)
        client.connect(lab.at(version))
        client.send(b"anyone?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)
        answers = until(lambda: [p for p in capture.packets(ICMP if version == 4 else ICMP6)
                                 if not p.sent and p.src == lab.at(version)[0]],
                        "the answer comes from the VIP")
    assert len(answers) == 1
    assert lb.outcome("UNREACHABLE_NO_BACKEND") == 1


def test_draining_all_backends_refuses_new_and_keeps_old_connections(lab, lb, version):
    lb.start(one_service(lab))
    with Stream(lab.client, lab.at(version)) as stream:
        name = stream.ask().name
        lb.reload(one_service(lab, weights={host.name: 0 for host in lab.backends}))
        assert stream.ask().name == name
        with pytest.raises(ConnectionRefusedError):
            ask_tcp(lab.client, lab.at(version))
        with pytest.raises(TimeoutError):
            ask_udp(lab.client, lab.at(version), timeout=0.3)


def test_a_segment_without_a_flow_is_reset_as_tcp_wants_it(lab, lb, version):
    lb.start(one_service(lab))
    segment = TCP(sport=5001, dport=80, flags="A", seq=1000, ack=0x12345678)
    with Capture(lab.client) as capture:
        send(lab.client, lab.lb.mac("front"), version, lab.at(version), segment)
        until(capture.resets, "it is answered with a reset")
    reset = capture.resets()[0]
    answer = Ether(reset.frame)[TCP]
    assert (reset.src, reset.src_port, reset.dst_port) == (*lab.at(version), 5001)
    assert answer.seq == 0x12345678 and not answer.flags & ACK
    given = answer.chksum
    rebuilt = Ether(reset.frame)
    del rebuilt[TCP].chksum
    assert Ether(bytes(rebuilt))[TCP].chksum == given, "checksum of the reset"
    assert lb.outcome("RESET_NO_FLOW") == 1


def test_a_reset_without_a_flow_is_not_answered(lab, lb, version):
    lb.start(one_service(lab))
    with Capture(lab.client) as capture:
        send(lab.client, lab.lb.mac("front"), version, lab.at(version),
             TCP(sport=5002, dport=80, flags="R", seq=1))
        until(lambda: lb.outcome("DROP_NO_FLOW") == 1, "it is counted")
    assert not [p for p in capture.packets(PROTO_TCP) if not p.sent]


def test_resets_are_rate_limited_and_counted(lab, lb, version):
    lb.start(one_service(lab))
    mac = lab.lb.mac("front")
    frame = bytes(Ether(src=lab.client.mac(), dst=mac) / NETWORK[version](
        src=lab.client.address[version], dst=lab.at(version)[0]) /
        TCP(sport=5003, dport=80, flags="A", seq=1, ack=1))
    with Capture(lab.client) as capture, \
            lab.client.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        for _ in range(20_000):
            raw.send(frame)
        until(lambda: lb.outcome("RESET_NO_FLOW") + lb.outcome("DROP_ANSWER_LIMITED") >= 19_000,
              "most of them came through")
        assert lb.outcome("DROP_ANSWER_LIMITED") > 0
        assert 0 < len([p for p in capture.resets() if not p.sent]) <= \
            lb.outcome("RESET_NO_FLOW")
    assert load(lab.client, lab.at(version), 50)["ok"] == 50


def test_a_segment_of_a_forgotten_connection_ends_it(lab, lb, version):
    """After detach --all and a new start no flow is known: the client must not hang."""
    made = one_service(lab)
    lb.start(made)
    with Stream(lab.client, lab.at(version), timeout=5) as stream:
        stream.ask()
        lb.clean()
        lb.start(made)
        with pytest.raises(ConnectionError):
            stream.ask()


def test_no_free_port_is_counted_and_breaks_nothing(lab, lb, version, protocol):
    lb.start(one_service(lab, hosts=lab.backends[:1], nat={"ports": "10000-10003"}))
    kinds = {"streams" if protocol == "tcp" else "datagrams": 4}
    talk = Talk(lab.client, lab.at(version), interval=20, rounds=0, **kinds)
    kinds = {key: 8 for key in kinds}
    other = Talk(lab.clients[1], lab.at(version), interval=20, wait=False, **kinds)
    until(lambda: lb.outcome("DROP_NO_PORT") > 0, "it is counted")
    lab.clients[1].end(other.child, 9)
    report = talk.finish()
    assert report["resets"] == report["changed"] == report["mismatched"] == 0, report
    assert report["ok"] == 4


def test_a_backend_without_a_neighbour_is_counted(lab, lb, version):
    nobody = endpoint("10.77.2.200" if version == 4 else "fd77:2::200", 7000)
    lb.start(config(lab, {"web": {"backends": [nobody]}},
                    {"web": {"listen": listeners(80, versions=[version]), "pool": "web"}}))
    with pytest.raises(TimeoutError):
        ask_udp(lab.client, lab.at(version), timeout=0.3)
    until(lambda: lb.outcome("DROP_UNRESOLVED") > 0, "it is counted")


def test_a_backend_that_appears_late_is_found(lab, lb, version):
    late = "10.77.2.201" if version == 4 else "fd77:2::201"
    lb.start(config(lab, {"web": {"backends": [endpoint(late, 7000)]}},
                    {"web": {"listen": listeners(80, versions=[version]), "pool": "web"}}))
    with pytest.raises(TimeoutError):
        ask_udp(lab.client, lab.at(version), timeout=0.3)
    row = f"{late}/{24 if version == 4 else 64} dev eth0"
    lab.backends[0].ip(f"addr add {row} nodad")
    try:
        assert ask_tcp(lab.client, lab.at(version), timeout=10).name == "b1"
    finally:
        lab.backends[0].ip(f"addr del {row}")


def test_a_backend_without_a_route_is_counted(lab, lb, version):
    nowhere = endpoint("203.0.113.7" if version == 4 else "2001:db8::7", 7000)
    lb.start(config(lab, {"web": {"backends": [nowhere]}},
                    {"web": {"listen": listeners(80, versions=[version]), "pool": "web"}}))
    with pytest.raises(TimeoutError):
        ask_udp(lab.client, lab.at(version), timeout=0.3)
    until(lambda: lb.outcome("DROP_NO_EGRESS") + lb.outcome("DROP_UNRESOLVED") > 0,
          "it is counted")


def test_an_egress_interface_that_goes_away_is_counted_and_found_again(lab, lb, version):
    lb.start(one_service(lab))
    assert ask_udp(lab.client, lab.at(version)).name
    lab.lb.ip("link set back down")
    try:
        def dropped():
            with pytest.raises((TimeoutError, ConnectionRefusedError)):
                ask_udp(lab.client, lab.at(version), timeout=0.2)
            return lb.outcome("DROP_NO_EGRESS") + lb.outcome("DROP_UNRESOLVED") > 0
        until(dropped, "it is counted")
    finally:
        lab.lb.ip("link set back up", "addr replace fd77:2::1/64 dev back nodad")
    assert until(lambda: answered(lab, version), "the backends are met again")


def answered(lab, version):
    try:
        return ask_udp(lab.client, lab.at(version), timeout=0.3).name
    except (TimeoutError, ConnectionRefusedError):
        return None


def test_foreign_traffic_passes(lab, lb, version):
    """Other ports, ARP and neighbour discovery are left to the kernel."""
    lb.start(one_service(lab))
    own = "10.77.1.1" if version == 4 else "fd77:1::1"
    lab.client.ip("neigh flush dev eth0")
    with lab.lb.socket(FAMILY[version], socket.SOCK_DGRAM) as server:
        server.bind((own, 999))
        server.settimeout(3)
        with lab.client.socket(FAMILY[version], socket.SOCK_DGRAM) as client:
            client.sendto(b"for the host", (own, 999))
            assert server.recvfrom(100)[0] == b"for the host"
    assert lb.outcome("PASS_NOT_IP") > 0 or version == 6
    assert lb.outcome("PASS_NOT_OURS") > 0


@pytest.mark.parametrize("what", ["short", "bad-length", "options", "vlan"])
def test_odd_packets_are_passed_and_counted(lab, lb, what):
    lb.start(one_service(lab))
    base = Ether(src=lab.client.mac(), dst=lab.lb.mac("front"))
    packet = {
        "short": bytes(base / IP(src="10.77.1.11", dst="10.77.100.1") / TCP(dport=80))[:40],
        "bad-length": bytes(base / IP(src="10.77.1.11", dst="10.77.100.1", len=4000) /
                            UDP(dport=80) / Raw(b"x")),
        "options": bytes(base / IP(src="10.77.1.11", dst="10.77.100.1", ihl=3) / TCP(dport=80)),
        "vlan": bytes(base)[:12] + b"\x81\x00\x00\x05" + bytes(
            base / IP(src="10.77.1.11", dst="10.77.100.1") / UDP(dport=80))[12:],
    }[what]
    wanted = {"short": ["PASS_TRUNCATED", "PASS_MALFORMED"], "vlan": ["PASS_VLAN"],
              "bad-length": ["PASS_TRUNCATED", "PASS_MALFORMED"],
              "options": ["PASS_MALFORMED", "PASS_TRUNCATED"]}[what]
    with lab.client.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        for _ in range(5):
            raw.send(packet)
    until(lambda: sum(lb.outcome(name) for name in wanted) >= 5, f"one of {wanted} is counted")
    assert lb.service()["packets_in"] == 0


def test_flags_that_mean_nothing_open_no_flow(lab, lb, version):
    lb.start(one_service(lab))
    for flags in ("", "F", "FPU", "SF", "SR", "SA"):
        send(lab.client, lab.lb.mac("front"), version, lab.at(version),
             TCP(sport=5010, dport=80, flags=flags, seq=1))
    ask_udp(lab.client, lab.at(version))  # what was sent before has been handled
    assert lb.service()["connections"] == 1
