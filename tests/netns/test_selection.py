# SPDX-License-Identifier: GPL-2.0-only
"""How backends are chosen: rows 5 to 9."""
from collections import Counter

import pytest

from lab.balancer import backends, config, listeners, one_service
from lab.clients import ASK, Stream, ask_tcp, ask_udp, load, moved, udp_choices
from lab.shell import until

LAB = {"backends": 4}
SEED = "00112233445566778899aabbccddeeff"
EVERY = ("maglev", "round-robin", "random", "least-conn", "source-ip", "source-socket", "first")


def hold(lab, version, count):
    return [Stream(lab.client, lab.at(version)) for _ in range(count)]


def names(streams):
    return Counter(stream.ask().name for stream in streams)


def close(streams):
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("balance", EVERY)
def test_each_way_to_balance_serves(lab, lb, version, protocol, balance):
    lb.start(one_service(lab, pool={"balance": balance}))
    assert lb.status()["pools"]["web"]["balance"] == balance
    answered = {ASK[protocol](lab.client, lab.at(version)).name for _ in range(20)}
    assert answered <= {"b1", "b2", "b3", "b4"}


@pytest.mark.parametrize("balance, tolerance", [("maglev", 0.03), ("random", 0.05)])
def test_weights_3_to_1_hold_over_2000_connections(lab, lb, version, balance, tolerance):
    lb.start(one_service(lab, hosts=lab.backends[:2], weights={"b1": 3}, hash_seed=SEED,
                         pool={"balance": balance}))
    ports = {"port_base": 2000, "close": "server"} if balance == "maglev" else {}
    report = load(lab.client, lab.at(version), 2000, **ports)
    assert report["ok"] == 2000
    assert abs(report["backends"]["b1"] / 2000 - 0.75) <= tolerance, report["backends"]
    counted = {v: lb.backend(f"{lab.backends[i].address[version]}:7000" if version == 4 else
                             f"[{lab.backends[i].address[version]}]:7000")["connections"]
               for i, v in enumerate(("b1", "b2"))}
    assert counted == report["backends"]


def test_round_robin_follows_weights_exactly(lab, lb, version):
    lb.start(one_service(lab, hosts=lab.backends[:3], weights={"b1": 3, "b2": 2},
                         pool={"balance": "round-robin"}))
    report = load(lab.client, lab.at(version), 1200)
    assert report["backends"] == {"b1": 600, "b2": 400, "b3": 200}


def test_round_robin_mixes_weights_smoothly(lab, lb, version):
    lb.start(one_service(lab, hosts=lab.backends[:2], weights={"b1": 3},
                         pool={"balance": "round-robin"}))
    row = [ask_tcp(lab.client, lab.at(version)).name for _ in range(12)]
    for first in range(9):
        assert Counter(row[first:first + 4]) == {"b1": 3, "b2": 1}, row


def test_a_weight_left_out_is_one(lab, lb, version):
    lb.start(one_service(lab, pool={"balance": "round-robin"}))
    assert load(lab.client, lab.at(version), 400)["backends"] == \
        {"b1": 100, "b2": 100, "b3": 100, "b4": 100}
    assert {row["weight"] for row in lb.status()["pools"]["web"]["backends"]} == {1}


@pytest.mark.parametrize("balance", EVERY)
def test_weight_zero_drains(lab, lb, version, balance):
    made = {"balance": balance}
    lb.start(one_service(lab, hosts=lab.backends[:3], pool=made))
    streams = hold(lab, version, 12)
    before = [stream.ask().name for stream in streams]
    lb.reload(one_service(lab, hosts=lab.backends[:3], pool=made, weights={before[0]: 0}))
    assert set(load(lab.client, lab.at(version), 200)["backends"]) <= \
        {"b1", "b2", "b3"} - {before[0]}
    assert [stream.ask().name for stream in streams] == before
    assert "draining" in lb.states().values()
    close(streams)


@pytest.mark.parametrize("table, limit", [(4093, 0.03), (16381, 0.01)])
def test_maglev_moves_few_others_when_a_backend_goes(lab, lb, version, table, limit):
    pool, ports = {"balance": "maglev", "table": table}, range(2000, 6000)
    lb.start(one_service(lab, pool=pool, hash_seed=SEED))
    before = udp_choices(lab.client, lab.at(version), ports)
    lb.clean()
    lb.start(one_service(lab, pool=pool, hash_seed=SEED, hosts=lab.backends[:3]))
    after = udp_choices(lab.client, lab.at(version), ports)
    assert set(Counter(before)) and len(Counter(before.values())) == 4
    assert min(Counter(before.values()).values()) > 4000 / 4 * 0.8
    assert moved(before, after, gone="b4") <= limit


def test_no_open_flow_moves_when_a_backend_goes(lab, lb, version):
    lb.start(one_service(lab))
    streams = hold(lab, version, 60)
    before = [stream.ask().name for stream in streams]
    assert len(set(before)) == 4
    said = lb.reload(one_service(lab, hosts=lab.backends[:3]))
    assert said.strip()
    assert [stream.ask().name for stream in streams] == before
    assert "b4" not in load(lab.client, lab.at(version), 200)["backends"]
    close(streams)


def test_source_ip_sends_50_connections_of_a_client_to_one_backend(lab, lb, version, protocol):
    lb.start(one_service(lab, pool={"balance": "source-ip"}))
    met = {ASK[protocol](lab.client, lab.at(version)).name for _ in range(50)}
    assert len(met) == 1


@pytest.fixture
def many_addresses(lab, version):
    """Twenty addresses of the first client."""
    start, bits = ("10.77.1.", 24) if version == 4 else ("fd77:1::", 64)
    made = [f"{start}{number}" for number in range(101, 121)]
    lab.client.ip(*(f"addr add {a}/{bits} dev eth0 nodad" for a in made))
    yield made
    lab.client.ip(*(f"addr del {a}/{bits} dev eth0" for a in made))


def test_source_ip_spreads_clients_and_outlives_reload_and_restart(lab, lb, version,
                                                                   many_addresses):
    def choices():
        return [ask_tcp(lab.client, lab.at(version), source=a).name for a in many_addresses]
    made = one_service(lab, pool={"balance": "source-ip"})
    lb.start(made)
    before = choices()
    assert len(set(before)) > 1
    lb.reload(made | {"flow_table": 16384})
    assert choices() == before
    lb.stop()
    lb.cli("detach", "--all")
    lb.start(made)
    assert choices() == before


def test_tcp_and_udp_of_a_client_meet_at_one_backend_with_source_ip(lab, lb, version,
                                                                    many_addresses):
    lb.start(one_service(lab, pool={"balance": "source-ip"}))
    for address in many_addresses:
        over_tcp = ask_tcp(lab.client, lab.at(version), source=address)
        assert over_tcp.name == ask_udp(lab.client, lab.at(version), source=address).name


def two_ports(lab, lb, balance):
    listen = listeners(80) + listeners(81)
    lb.start(config(lab, {"web": {"balance": balance, "backends": backends(lab.backends, 7000)}},
                    {"web": {"listen": listen, "pool": "web"}}, hash_seed=SEED))


def test_source_socket_knows_a_client_by_address_and_port(lab, lb, version):
    two_ports(lab, lb, "source-socket")
    met = Counter()
    for port in range(3000, 3040):
        chosen = {ask(lab.client, lab.at(version, to), port=port).name
                  for ask in (ask_tcp, ask_udp) for to in (80, 81)}
        assert len(chosen) == 1, (port, chosen)
        met.update(chosen)
    assert len(met) == 4


def test_source_socket_outlives_a_restart(lab, lb, version):
    made = one_service(lab, pool={"balance": "source-socket"})
    lb.start(made)
    before = udp_choices(lab.client, lab.at(version), range(3100, 3300))
    lb.stop()
    lb.cli("detach", "--all")
    lb.start(made)
    assert udp_choices(lab.client, lab.at(version), range(3100, 3300)) == before


def test_two_balancers_with_one_seed_choose_alike_and_with_two_do_not(lab, lb, version):
    chosen = []
    for seed in (SEED, SEED, "ff" * 16):
        lb.start(one_service(lab, hash_seed=seed))
        chosen.append(udp_choices(lab.client, lab.at(version), range(4000, 4300)))
        lb.stop()
        lb.cli("detach", "--all")
    assert chosen[0] == chosen[1]
    assert moved(chosen[0], chosen[2]) > 0.5


def test_random_uses_every_backend(lab, lb, version):
    lb.start(one_service(lab, pool={"balance": "random"}))
    met = load(lab.client, lab.at(version), 400)["backends"]
    assert set(met) == {"b1", "b2", "b3", "b4"} and min(met.values()) > 50


def test_first_uses_the_first_usable_backend(lab, lb, version):
    pool = {"balance": "first", "health": {"type": "tcp", "interval": "200ms",
                                           "timeout": "200ms", "rise": 1, "fall": 1}}
    lb.start(one_service(lab, pool=pool))
    until(lambda: set(lb.states().values()) == {"up"}, "all backends are up")
    assert load(lab.client, lab.at(version), 50)["backends"] == {"b1": 50}
    lab.peers["b1"].stop()
    until(lambda: "down" in lb.states().values(), "b1 is down")
    until(lambda: list(lb.states().values()).count("down") == 2, "b1 is down in both families")
    assert load(lab.client, lab.at(version), 50)["backends"] == {"b2": 50}


def test_least_conn_prefers_backends_without_connections(lab, lb, version):
    pool = {"balance": "least-conn"}
    lb.start(one_service(lab, pool=pool, hosts=lab.backends[:1]))
    held = hold(lab, version, 20)
    assert names(held) == {"b1": 20}
    lb.reload(one_service(lab, pool=pool, hosts=lab.backends[:3]))
    later = hold(lab, version, 20)
    assert names(later) == {"b2": 10, "b3": 10}
    close(held + later)


def test_least_conn_follows_weights(lab, lb, version):
    lb.start(one_service(lab, pool={"balance": "least-conn"}, hosts=lab.backends[:2],
                         weights={"b1": 3}))
    streams = hold(lab, version, 40)
    assert names(streams) == {"b1": 30, "b2": 10}
    close(streams)


def test_least_conn_uses_again_what_has_ended(lab, lb, version):
    lb.start(one_service(lab, pool={"balance": "least-conn"}, hosts=lab.backends[:2]))
    streams = hold(lab, version, 20)
    assert names(streams) == {"b1": 10, "b2": 10}
    close([s for s in streams if s.ask().name == "b1"])
    until(lambda: sum(row["active_flows"] for row in
                      lb.status()["pools"]["web"]["backends"]) == 10, "ten flows have ended")
    kept = [s for s in streams if s.socket.fileno() >= 0]
    later = hold(lab, version, 10)
    assert names(later) == {"b1": 10}
    close(kept + later)
