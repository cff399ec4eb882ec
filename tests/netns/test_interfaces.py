# SPDX-License-Identifier: GPL-2.0-only
"""Several VIPs and interfaces, native and generic attachment, neighbours. Rows 24 and 42."""
import json

import pytest

from lab.balancer import backends, config, listeners, one_service
from lab.clients import ASK, Talk, ask_tcp, ask_udp, assert_unharmed, curl, load
from lab.shell import endpoint, until
from lab.topology import lan_address, vip

LAB = {"side_client": True}


@pytest.fixture(params=["front", "side"])
def client(lab, request):
    """A client at each of the balancer's client interfaces."""
    return lab.client if request.param == "front" else lab.side_client


def test_the_answer_comes_from_the_vip_that_was_asked(lab, lb, version, protocol, client):
    """Clients check the sender: TCP by its nature, the UDP client by comparing."""
    listen = [row for number in (1, 2, 3) for row in listeners(80, number=number)]
    pools = {"web": {"backends": backends(lab.backends, 7000)}}
    lb.start(config(lab, pools, {"web": {"listen": listen, "pool": "web"}}))
    for number in (1, 2, 3):
        for _ in range(5):
            assert ASK[protocol](client, lab.at(version, number=number)).name
    assert lb.service()["connections"] == 15


def test_services_on_several_vips_keep_to_their_pools(lab, lb, version):
    pools = {f"p{i}": {"backends": backends([host], 7000)}
             for i, host in enumerate(lab.backends, 1)}
    services = {f"s{i}": {"listen": listeners(80, number=i), "pool": f"p{i}"} for i in (1, 2, 3)}
    lb.start(config(lab, pools, services))
    for number in (1, 2, 3):
        assert load(lab.client, lab.at(version, number=number), 20)["backends"] == \
            {f"b{number}": 20}


def test_clients_at_two_interfaces_are_served_at_once(lab, lb, version):
    lb.start(one_service(lab))
    talks = [Talk(host, lab.at(version), streams=20, datagrams=5, interval=5, rounds=100)
             for host in (lab.client, lab.clients[1], lab.side_client)]
    for talk in talks:
        assert_unharmed(talk.finish())
    assert lb.service()["connections"] == 75


@pytest.mark.parametrize("mode", ["native", "generic", "auto"])
def test_the_mode_asked_for_is_the_mode_attached(lab, lb, version, mode):
    made = one_service(lab, to=8080)
    made["interfaces"] = [{"name": name, "mode": mode} for name in lab.interfaces]
    lb.start(made)
    wanted = "generic" if mode == "generic" else "native"
    assert {i["mode"] for i in lb.status()["interfaces"]} == {wanted}
    kernel = {"native": 1, "generic": 2}[wanted]
    assert all(lb.xdp(name)["mode"] == kernel for name in lab.interfaces)
    curl(lab.client, f"http://{endpoint(*lab.at(version))}/download", "-o", lab.dir / "got")
    assert (lab.dir / "got").read_bytes() == lab.download.read_bytes()


def test_attach_takes_the_mode_from_the_command_line(lab, lb):
    lb.write(one_service(lab))
    lb.cli("attach", *lab.interfaces, "-c", lb.file, "--mode", "generic")
    assert {i["mode"] for i in lb.status()["interfaces"]} == {"generic"}
    assert ask_tcp(lab.client, lab.at(4)).name


@pytest.fixture
def plain_bridge(lab):
    """A device whose driver knows no XDP."""
    lab.lb.ip("link add plain0 type bridge", "link set plain0 up")
    yield "plain0"
    lab.lb.ip("link del plain0")


def test_auto_takes_generic_where_the_driver_knows_no_xdp(lab, lb, plain_bridge):
    made = one_service(lab)
    made["interfaces"].append({"name": plain_bridge, "mode": "auto"})
    lb.start(made)
    modes = {i["name"]: i["mode"] for i in lb.status()["interfaces"]}
    assert modes[plain_bridge] == "generic" and modes["front"] == "native"
    assert ask_tcp(lab.client, lab.at(4)).name


def test_native_is_refused_where_the_driver_knows_no_xdp(lab, lb, plain_bridge):
    made = one_service(lab)
    made["interfaces"].append({"name": plain_bridge, "mode": "native"})
    lb.write(made)
    done = lb.cli("run", "-c", lb.file, check=False)
    assert done.returncode == 1
    assert plain_bridge in done.stderr and "native" in done.stderr, done.stderr
    assert all(lb.xdp(dev) is None for dev in lab.interfaces)


def test_an_interface_is_added_and_taken_away_by_reload(lab, lb, version):
    made = one_service(lab)
    made["interfaces"] = made["interfaces"][:2]
    lb.start(made)
    talk = Talk(lab.client, lab.at(version), streams=5, interval=5)
    assert lb.xdp("side") is None
    lb.reload(one_service(lab))
    assert lb.xdp("side") is not None
    assert ask_tcp(lab.side_client, lab.at(version)).name
    lb.reload(made)
    assert lb.xdp("side") is None
    assert_unharmed(talk.finish())


def test_a_reload_that_cannot_be_carried_out_changes_nothing(lab, lb, version):
    """The file is right, but of the interfaces it adds only the first is there."""
    made = one_service(lab, weights={"b1": 3})
    made["interfaces"] = made["interfaces"][:2]
    lb.start(made)
    talk = Talk(lab.client, lab.at(version), streams=5, interval=5)
    wanted = one_service(lab, weights={"b1": 7})
    wanted["interfaces"].append({"name": "absent0"})
    lb.write(wanted)
    done = lb.cli("reload", check=False)
    assert done.returncode == 1 and "absent0" in done.stderr, done
    assert lb.backend(endpoint(lab.backends[0].address[version], 7000))["weight"] == 3
    assert [i["name"] for i in lb.status()["interfaces"]] == ["front", "back"]
    assert lb.xdp("side") is None
    assert lb.metric("xdplb_config_last_reload_successful") == 0
    assert ask_tcp(lab.client, lab.at(version)).name
    assert_unharmed(talk.finish())


def test_on_link_clients_the_kernel_never_heard_of_get_their_replies(lab, lb, version):
    """The client knows the balancer's MAC already, so that it never asks, nor is asked."""
    stranger = lan_address(1, 77, version)
    bits = 24 if version == 4 else 64
    gateway = lan_address(1, 1, version)
    lab.client.ip(f"addr add {stranger}/{bits} dev eth0 nodad",
                  f"neigh replace {gateway} lladdr {lab.lb.mac('front')} dev eth0 nud permanent")
    lab.lb.ip("neigh flush dev front")
    try:
        lb.start(one_service(lab))
        assert ask_tcp(lab.client, lab.at(version), source=stranger).name
        assert ask_udp(lab.client, lab.at(version), source=stranger).name
        known = json.loads(lab.lb.run(["ip", "-j", "neigh", "show", "dev", "front"]).stdout)
        assert stranger not in {row["dst"] for row in known if row.get("lladdr")}
    finally:
        lab.client.ip(f"addr del {stranger}/{bits} dev eth0",
                      f"neigh del {gateway} dev eth0")


def test_a_vip_that_is_nowhere_on_the_host_is_served_and_warned_of(lab, lb, version):
    other = "10.77.100.99" if version == 4 else "fd77:100::99"
    rows = backends(lab.backends, 7000, versions=[version])
    lb.start(config(lab, {"web": {"backends": rows}},
                    {"web": {"listen": f"tcp://{endpoint(other, 80)}", "pool": "web"}}))
    assert ask_tcp(lab.client, (other, 80)).name
    done = lb.cli("status")
    assert other in done.stdout + done.stderr
    assert "warn" in (done.stdout + done.stderr).lower() or "answer" in done.stdout + done.stderr


def test_nothing_is_added_to_the_host(lab, lb):
    def addresses():
        rows = json.loads(lab.lb.run(["ip", "-j", "addr"]).stdout)
        return {(row["ifname"], a["local"]) for row in rows for a in row["addr_info"]}
    before = addresses()
    lb.start(one_service(lab))
    assert addresses() == before


def test_a_client_whose_mac_changes_gets_its_replies(lab, lb, version):
    lb.start(one_service(lab))
    talk = Talk(lab.client, lab.at(version), streams=5, interval=20)
    old = lab.client.mac()
    fresh = "02:00:00:00:77:01"
    try:
        lab.client.ip(f"link set eth0 address {fresh}")
        assert ask_tcp(lab.client, lab.at(version)).name
        assert_unharmed(talk.finish())
    finally:
        lab.client.ip(f"link set eth0 address {old}")


def test_a_backend_whose_interface_is_replaced_is_found_at_once(lab, lb, version):
    lb.start(one_service(lab, hosts=lab.backends[:1]))
    assert ask_tcp(lab.client, lab.at(version)).name == "b1"
    lab.replace_interface(lab.backends[0])
    lab.announce(lab.backends[0])
    assert ask_tcp(lab.client, lab.at(version), timeout=4).name == "b1"


def name_or_reset(lab, version):
    """A connection whose way changes underneath is reset by the host it never spoke to."""
    try:
        return ask_tcp(lab.client, lab.at(version)).name
    except ConnectionResetError:
        return None


def test_backends_behind_a_gateway_are_reached_by_its_mac(lab, lb, version):
    """b3 becomes the router to an address of its own `lo`; the way there may change too."""
    far = "10.88.0.1" if version == 4 else "fd88::1"
    bits = 32 if version == 4 else 128
    lab.backends[1].ip(f"addr add {far}/{bits} dev lo nodad")
    lab.backends[2].ip(f"addr add {far}/{bits} dev lo nodad")
    via = {i: lan_address(2, 21 + i, version) for i in (1, 2)}
    lab.lb.ip(f"route add {far}/{bits} via {via[1]}")
    try:
        lb.start(config(lab, {"web": {"backends": [endpoint(far, 7000)]}},
                        {"web": {"listen": listeners(80, versions=[version]), "pool": "web"}}))
        assert ask_tcp(lab.client, lab.at(version)).name == "b2"
        lab.lb.ip(f"route replace {far}/{bits} via {via[2]}")
        until(lambda: name_or_reset(lab, version) == "b3", "the new way is taken")
    finally:
        lab.lb.ip(f"route del {far}/{bits}")
        for host in lab.backends[1:]:
            host.ip(f"addr del {far}/{bits} dev lo")


def test_vips_of_other_hosts_are_not_touched(lab, lb, version):
    """A packet to a listener's port on another address is not ours."""
    lb.start(one_service(lab))
    assert vip(version, 4) != lab.at(version)[0]
    with pytest.raises(ConnectionRefusedError):
        ask_tcp(lab.client, lab.at(version, 80, 4), timeout=2)
    assert lb.service()["connections"] == 0
