# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors through the balancer: path MTU on both sides, and refused datagrams."""
import socket
import types

import pytest

from lab.balancer import one_service
from lab.clients import FAMILY, Talk, assert_unharmed
from lab.servers import Peer
from lab.topology import lan_address

LAB = {"clients": 1, "backends": 1}
NARROW = 1400
FAR = {"client": 5, "backend": 6}  # LANs that the balancer has no interface in
ROUTER = 31


def _behind_router(lab, side: str, near: int):
    """A host behind a router whose way there, and no interface, is narrow: no MSS tells of it."""
    far, number = FAR[side], 21
    lab.switch.ip(f"link add lan{far} type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
    lab.switch.sysctl(f"ipv6/conf/lan{far}/disable_ipv6", 1)
    lab.switch.ip(f"link set lan{far} up")
    router = lab._host(f"r{far}")
    lab._plug(router, "near", near, ROUTER, queues=1)
    lab._plug(router, "far", far, 1, queues=1)
    router.sysctl("ipv4/ip_forward", 1)
    router.sysctl("ipv6/conf/all/forwarding", 1)
    end = lab._end_host(f"f{far}", far, number)
    for version, bits in ((4, 32), (6, 128)):
        router.ip(f"route add default via {lan_address(near, 1, version)}",
                  f"route add {end.address[version]}/{bits} dev far mtu {NARROW}")
        lab.lb.ip(f"route add {end.address[version]}/{bits} "
                  f"via {lan_address(near, ROUTER, version)}")
    return end


@pytest.fixture(scope="module")
def far(lab):
    return types.SimpleNamespace(client=_behind_router(lab, "client", lab.client_lan),
                                 backend=_behind_router(lab, "backend", lab.backend_lan))


@pytest.fixture
def far_backend(far):
    peer = Peer(far.backend)
    yield far.backend
    peer.stop()


def _errors(lb, direction: str) -> float:
    return lb.outcome(f"{direction}_ICMP_TX") + lb.outcome(f"{direction}_ICMP_REDIRECT")


def _exchange(client, to) -> None:
    """10 MB up, and the same back."""
    report = Talk(client, to, streams=5, size=200_000, rounds=10).finish()
    assert_unharmed(report)
    assert report["rounds"] == 50


def test_an_upload_learns_of_a_narrow_way_behind_the_balancer(lab, lb, far_backend, version):
    lb.start(one_service(lab, hosts=[far_backend]))
    _exchange(lab.client, lab.at(version))
    assert _errors(lb, "REPLY") > 0
    assert _errors(lb, "FORWARD") == 0


def test_a_download_learns_of_a_narrow_way_to_the_client(lab, lb, far, version):
    lb.start(one_service(lab))
    _exchange(far.client, lab.at(version))
    assert _errors(lb, "FORWARD") > 0
    assert _errors(lb, "REPLY") == 0


def test_a_closed_udp_port_of_the_backend_is_refused_to_the_client(lab, lb, version):
    lb.start(one_service(lab, to=7999))
    with lab.client.socket(FAMILY[version], socket.SOCK_DGRAM) as talker:
        talker.settimeout(5)
        talker.connect(lab.at(version))
        talker.send(b"is anybody there?")
        with pytest.raises(ConnectionRefusedError):
            talker.recv(100)
    assert _errors(lb, "REPLY") == 1
