# SPDX-License-Identifier: GPL-2.0-only
"""Address translation with one interface and with two: rows 1 to 4."""
import hashlib
import json
import socket

import pytest

from lab.balancer import backends, config, listeners, one_service
from lab.capture import TCP, Capture
from lab.clients import ASK, FAMILY, TALKER, Talk, assert_unharmed, curl, load
from lab.servers import Dnsmasq
from lab.shell import endpoint, until
from lab.site import Site
from lab.topology import lan_address


@pytest.fixture(scope="module", params=[2, 1], ids=["two-armed", "one-armed"])
def lab(request):
    with Site(arms=request.param) as site:
        yield site


@pytest.fixture
def client_routes(lab, version):
    """Where clients share the backends' LAN, their answers are routed through the balancer."""
    routes = [f"{c.address[version]}/{32 if version == 4 else 128} via "
              f"{lan_address(lab.backend_lan, 1, version)}" for c in lab.clients]
    for backend in lab.backends:
        backend.ip(*(f"route add {route}" for route in routes))
    yield
    for backend in lab.backends:
        backend.ip(*(f"route del {route}" for route in routes))


def test_a_download_of_10_mb_from_another_port_of_the_backend_arrives_unharmed(lab, lb, version):
    lb.start(one_service(lab, to=8080))
    url = f"http://{endpoint(*lab.at(version))}/download"
    curl(lab.client, url, "-o", lab.dir / "got")
    assert hashlib.sha256((lab.dir / "got").read_bytes()).digest() == \
        hashlib.sha256(lab.download.read_bytes()).digest()


def test_an_upload_and_its_echo_arrive_unharmed(lab, lb, version):
    lb.start(one_service(lab))
    report = Talk(lab.client, lab.at(version), streams=4, size=200_000, rounds=10).finish()
    assert_unharmed(report)
    assert report["rounds"] == 40


def test_the_backend_sees_the_balancers_address(lab, lb, version, protocol):
    lb.start(one_service(lab))
    seen = ASK[protocol](lab.client, lab.at(version))
    assert seen.address == lan_address(lab.backend_lan, 1, version)
    assert 10000 <= seen.port <= 30000


def test_nginx_logs_the_balancers_address(lab, lb, version):
    lb.start(one_service(lab, to=8080, hosts=lab.backends[:1]))
    before = len(lab.nginx["b1"].requests())
    curl(lab.client, f"http://{endpoint(*lab.at(version))}/seen")
    lines = until(lambda: lab.nginx["b1"].requests()[before:], "nginx has logged the request")
    assert lines[0].split()[0] == lan_address(lab.backend_lan, 1, version)


def test_nat_addresses_are_what_backends_see_where_they_are_given(lab, lb, version, protocol):
    extra = lan_address(lab.backend_lan, 99, version)
    dev = lab.interfaces[-1]
    # Of a deprecated one the kernel itself makes no use: RFC 6724, rule 3.
    lab.lb.ip(f"addr add {extra}/{32 if version == 4 else 128} dev {dev} nodad preferred_lft 0")
    try:
        lb.start(one_service(lab, nat={"addresses": [extra], "ports": "20000-20999"}))
        seen = ASK[protocol](lab.client, lab.at(version))
    finally:
        lab.lb.ip(f"addr del {extra}/{32 if version == 4 else 128} dev {dev}")
    assert seen.address == extra
    assert 20000 <= seen.port <= 20999


def test_the_backend_sees_the_client_with_source_client(lab, lb, version, protocol, client_routes):
    lb.start(one_service(lab, service={"source": "client"}))
    with TALKER[protocol](lab.client, lab.at(version), port=4321,
                          source=lab.client.address[version]) as talker:
        seen = talker.ask()
        assert (seen.address, seen.port) == (lab.client.address[version], 4321)
        assert talker.ask("again").name == seen.name


def test_a_download_arrives_unharmed_with_source_client(lab, lb, version, client_routes):
    lb.start(one_service(lab, to=8080, service={"source": "client"}))
    curl(lab.client, f"http://{endpoint(*lab.at(version))}/download", "-o", lab.dir / "got")
    assert (lab.dir / "got").read_bytes() == lab.download.read_bytes()


def test_two_clients_with_the_same_port_are_kept_apart(lab, lb, version, protocol):
    lb.start(one_service(lab, hosts=lab.backends[:1]))
    talkers = [TALKER[protocol](c, lab.at(version), port=15000, source=c.address[version])
               for c in lab.clients]
    try:
        seen = [talker.ask(f"from {i}") for i, talker in enumerate(talkers)]
        assert len({(a.address, a.port) for a in seen}) == 2
        assert [talker.ask(f"again {i}").said for i, talker in enumerate(talkers)] == \
            ["again 0", "again 1"]
    finally:
        for talker in talkers:
            talker.close()


def test_a_name_is_resolved_over_udp_and_tcp(lab, lb, version):
    dns = Dnsmasq(lab.backends[0], lab.dir)
    try:
        lb.start(one_service(lab, hosts=lab.backends[:1], port=53, to=53))
        for how in ("+notcp", "+tcp"):
            answer = lab.client.run(["dig", "+short", "+tries=1", "+time=3", how,
                                     f"@{lab.at(version)[0]}", "lab.example", "A"]).stdout
            assert answer.split() == [lab.backends[0].address[4]]
    finally:
        dns.stop()


def test_other_ports_and_addresses_of_the_balancer_are_its_own(lab, lb, version):
    lb.start(one_service(lab))
    own = lan_address(lab.client_lan, 1, version)
    for address in (lab.at(version, 81), (own, 80), (own, 81)):
        with lab.lb.socket(FAMILY[version], socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(address)
            server.listen()
            server.settimeout(3)
            with lab.client.socket(FAMILY[version], socket.SOCK_STREAM) as client:
                client.settimeout(3)
                client.connect(address)
                accepted, peer = server.accept()
                with accepted:
                    assert peer[0] == lab.client.address[version]
                    accepted.sendall(b"own")
                    assert client.recv(3) == b"own"
    with lab.client.socket(FAMILY[version], socket.SOCK_STREAM) as client:
        client.settimeout(3)
        with pytest.raises(ConnectionRefusedError):
            client.connect(lab.at(version, 82))


def test_connections_of_the_balancer_itself_are_unharmed(lab, lb, version):
    lb.start(one_service(lab))
    direct = (lab.backends[0].address[version], 7000)
    own = Talk(lab.lb, direct, streams=20, datagrams=5, interval=10)
    through = load(lab.client, lab.at(version), 3000)
    assert through["ok"] == 3000
    short = load(lab.lb, direct, 1000)
    assert short["ok"] == 1000
    assert_unharmed(own.finish())


def test_nobody_gets_a_reset_and_no_netfilter_rule_is_needed(lab, lb, version):
    lb.start(one_service(lab))
    with Capture(lab.client) as at_client, Capture(lab.backends[0]) as at_backend:
        talk = Talk(lab.client, lab.at(version), streams=20, interval=5)
        report = load(lab.client, lab.at(version), 300, close="server")
        assert_unharmed(talk.finish())
    assert report["ok"] == 300
    assert len(at_client.packets(TCP)) > 1000
    assert not at_client.resets() and not at_backend.resets()
    assert lab.lb.run(["nft", "list", "ruleset"]).stdout == ""


def test_clients_get_backends_of_their_own_family(lab, lb, protocol):
    pool = {"backends": backends(lab.backends[:1], 7000, versions=[4]) +
            backends(lab.backends[1:2], 7000, versions=[6])}
    lb.start(config(lab, {"web": pool}, {"web": {"listen": listeners(80), "pool": "web"}}))
    for version, name in ((4, "b1"), (6, "b2")):
        assert {ASK[protocol](lab.client, lab.at(version)).name for _ in range(10)} == {name}


def test_the_balancers_kernel_forwards_nothing_itself(lab, lb, version):
    lb.start(one_service(lab))
    assert lab.lb.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout.strip() == "0"
    assert load(lab.client, lab.at(version), 50)["ok"] == 50
    links = json.loads(lab.lb.run(["ip", "-j", "link"]).stdout)
    assert {link["ifname"] for link in links if "xdp" in link} == set(lab.interfaces)
