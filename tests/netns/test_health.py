# SPDX-License-Identifier: GPL-2.0-only
"""Health checks: rows 13 to 15. Waits are bounded generously; what counts is the state."""
import time

import pytest

from lab.balancer import backends, config, listeners, one_service
from lab.capture import SYN, TCP, Capture
from lab.clients import Stream, ask_tcp, curl, load
from lab.scripted import ScriptedHttp
from lab.shell import endpoint, until

SLACK = 3.0  # two busy cores
TCP_HEALTH = {"type": "tcp", "interval": "200ms", "timeout": "200ms", "rise": 2, "fall": 2}
HTTP_HEALTH = {**TCP_HEALTH, "type": "http", "path": "/alive"}


def at(lab, index, version, port=7000):
    return endpoint(lab.backends[index].address[version], port)


def all_up(lb, pool="web"):
    until(lambda: set(lb.states(pool).values()) == {"up"}, f"all backends of {pool} are up")


def probed_anew(lab, version):
    """Waits for three more probes of b1: the first ones come before the program is attached."""
    with Capture(lab.backends[0]) as capture:
        until(lambda: len([p for p in capture.packets(TCP, lab.backends[0].address[version])
                           if p.flags & SYN and p.dst_port == 7000]) >= 3,
              "three probes reached the backend")


def assert_not_balanced(lb):
    for service in lb.status()["services"].values():
        assert service["connections"] == service["packets_in"] == service["packets_out"] == 0
    assert not lb.flows()
    assert set(lb.states().values()) == {"up"}


def test_probes_pass_while_attached_and_are_not_balanced(lab, lb, version):
    lb.start(one_service(lab, pool={"health": TCP_HEALTH}))
    all_up(lb)
    probed_anew(lab, version)
    assert_not_balanced(lb)


def test_probes_are_not_balanced_either_where_the_backend_is_also_a_vip(lab, lb, version):
    """Their answers come from an address and port that this balancer serves itself."""
    pools = {"web": {"backends": backends(lab.backends[:1], 7000), "health": TCP_HEALTH},
             "other": {"backends": backends(lab.backends[1:2], 7000)}}
    own = [f"tcp://{at(lab, 0, each)}" for each in (4, 6)]
    lb.start(config(lab, pools, {"web": {"listen": listeners(7000), "pool": "web"},
                                 "own": {"listen": own, "pool": "other"}}))
    all_up(lb)
    probed_anew(lab, version)
    assert_not_balanced(lb)
    assert ask_tcp(lab.client, lab.at(version, 7000)).name == "b1"


def test_a_killed_backend_is_out_and_comes_back(lab, lb, version):
    lb.start(one_service(lab, pool={"health": TCP_HEALTH}))
    all_up(lb)
    held = [Stream(lab.client, lab.at(version)) for _ in range(12)]
    others = [s for s in held if s.ask().name != "b1"]
    began = time.monotonic()
    lab.peers["b1"].stop()
    lb.wait_state(at(lab, 0, version), "down")
    assert time.monotonic() - began < 2 * 0.2 + 0.2 + SLACK
    report = load(lab.client, lab.at(version), 200)
    assert report["ok"] == 200 and set(report["backends"]) == {"b2", "b3"}
    assert lb.metric("xdplb_backend_up", pool="web", backend=at(lab, 0, version)) == 0
    assert lb.metric("xdplb_backend_up", pool="web", backend=at(lab, 1, version)) == 1
    assert {s.ask().name for s in others} <= {"b2", "b3"}
    lab.revive()
    began = time.monotonic()
    lb.wait_state(at(lab, 0, version), "up")
    assert time.monotonic() - began < 3 * 0.2 + SLACK
    assert set(load(lab.client, lab.at(version), 200)["backends"]) == {"b1", "b2", "b3"}
    for stream in held:
        stream.close()


def test_a_silent_backend_is_out_after_its_timeouts(lab, lb, version):
    """No refusal, no answer: the host drops what comes."""
    lb.start(one_service(lab, pool={"health": TCP_HEALTH}))
    all_up(lb)
    host = lab.backends[0]
    host.ip(f"route add blackhole {'10.77.2.1/32' if version == 4 else 'fd77:2::1/128'}")
    try:
        lb.wait_state(at(lab, 0, version), "down")
        assert set(load(lab.client, lab.at(version), 100)["backends"]) == {"b2", "b3"}
    finally:
        host.ip(f"route del blackhole {'10.77.2.1/32' if version == 4 else 'fd77:2::1/128'}")
    lb.wait_state(at(lab, 0, version), "up")


def test_the_first_probe_decides_alone(lab, lb):
    """rise and fall count from the second one: a start doesn't wait for rise or fall probes."""
    lab.peers["b1"].stop()
    slow = {"type": "tcp", "interval": "1h", "timeout": "500ms", "rise": 5, "fall": 5}
    lb.start(one_service(lab, pool={"health": slow}))
    until(lambda: "unknown" not in lb.states().values(), "each backend was probed once")
    wanted = {at(lab, i, v): "down" if i == 0 else "up" for i in range(3) for v in (4, 6)}
    assert lb.states() == wanted


def test_one_lost_probe_changes_nothing_with_fall_3(lab, lb, version):
    lost: list[int] = []

    def behaviour(request):
        if request.client != lost_of or len(lost) >= to_lose:
            return 200, "fine"
        lost.append(1)
        return None
    lost_of, to_lose = "", 0
    health = {**HTTP_HEALTH, "fall": 3, "rise": 3}
    lost_of = "10.77.2.1" if version == 4 else "fd77:2::1"
    with ScriptedHttp(lab.backends[0], 9000, behaviour) as server:
        pool = {"backends": backends(lab.backends[:1], 9000), "health": health}
        lb.start(config(lab, {"web": pool}, {"web": {"listen": listeners(80), "pool": "web"}}))
        all_up(lb)
        address = at(lab, 0, version, 9000)
        to_lose = 1
        until(lambda: lost, "a probe was lost")
        seen = len(server.requests)
        until(lambda: lb.states()[address] != "up" or len(server.requests) > seen + 12,
              "six more rounds of probes")
        assert lb.states()[address] == "up"
        to_lose = 1 + 3
        lb.wait_state(address, "down")
        lb.wait_state(address, "up")
        assert len(lost) == 4


def test_only_probes_in_a_row_count(lab, lb, version):
    """With rise and fall of 3 it takes three: two, one of the other, and two more are nothing."""
    gateway = "10.77.2.1" if version == 4 else "fd77:2::1"
    codes: list[int] = []

    def behaviour(request):
        return (codes.pop(0) if request.client == gateway and codes else last, "")

    def spoken(script):
        """What the backend is after it has said all this."""
        codes.extend(script)
        until(lambda: not codes, "all answers were given")
        seen = len(server.requests)
        until(lambda: len(server.requests) > seen + 3, "and the next ones")
        return lb.states()[address]
    last = 200
    health = {**HTTP_HEALTH, "rise": 3, "fall": 3, "timeout": "2s"}
    address = at(lab, 0, version, 9000)
    with ScriptedHttp(lab.backends[0], 9000, behaviour) as server:
        pool = {"backends": backends(lab.backends[:1], 9000), "health": health}
        lb.start(config(lab, {"web": pool}, {"web": {"listen": listeners(80), "pool": "web"}}))
        all_up(lb)
        assert spoken([503, 503, 200] * 3) == "up"
        assert f"{address} is down" not in lb.log_text()
        last = 503
        lb.wait_state(address, "down")
        begun = lb.log_text().count(f"{address} is up")
        assert spoken([200, 200, 503] * 3) == "down"
        assert lb.log_text().count(f"{address} is up") == begun
        last = 200
        lb.wait_state(address, "up")


def test_fifty_dead_backends_delay_nobody(lab, lb, version):
    dead = [endpoint(f"10.77.2.{n}" if version == 4 else f"fd77:2::{n}", 7000)
            for n in range(100, 150)]
    pools = {"dead": {"backends": dead, "health": {**TCP_HEALTH, "timeout": "1s",
                                                   "interval": "1s"}},
             "web": {"backends": backends(lab.backends, 7000), "health": TCP_HEALTH}}
    services = {"web": {"listen": listeners(80), "pool": "web"},
                "dead": {"listen": listeners(81, versions=[version]), "pool": "dead"}}
    lb.start(config(lab, pools, services))
    began = time.monotonic()
    all_up(lb)
    until(lambda: set(lb.states("dead").values()) == {"down"}, "all dead ones are down", 10)
    assert time.monotonic() - began < 1 + SLACK
    began = time.monotonic()
    lab.peers["b1"].stop()
    lb.wait_state(at(lab, 0, version), "down")
    assert time.monotonic() - began < 0.6 + SLACK
    lab.revive()
    all_up(lb)


def serve_with(lab, lb, server_behaviour, health):
    server = ScriptedHttp(lab.backends[0], 9000, server_behaviour)
    pool = {"backends": backends(lab.backends[:1], 9000) + backends(lab.backends[1:2], 8080),
            "health": {**HTTP_HEALTH, "path": "/download", **health}}
    lb.write(config(lab, {"web": pool}, {"web": {"listen": listeners(80), "pool": "web"}}))
    return server


@pytest.mark.parametrize("good, bad, health", [
    ((200, "fine"), (503, "fine"), {}),
    ((204, ""), (200, ""), {"expect": [204, 301]}),
    ((200, "all is fine here"), (200, "nothing is good here"), {"body": "is fine"}),
], ids=["code", "expected-codes", "body"])
def test_http_checks_look_at_code_and_body(lab, lb, version, good, bad, health):
    answer = [good]
    address = at(lab, 0, version, 9000)
    with serve_with(lab, lb, lambda request: answer[0], health):
        lb.start()
        lb.wait_state(address, "up")
        answer[0] = bad
        lb.wait_state(address, "down")
        answer[0] = good
        lb.wait_state(address, "up")
        answer[0] = None
        lb.wait_state(address, "down")
    lb.wait_state(address, "down")


def test_http_checks_ask_for_path_and_host(lab, lb, version):
    health = {"path": "/alive?deep=1", "host": "health.example"}
    with serve_with(lab, lb, lambda request: (200, "ok"), health) as server:
        lb.start()
        lb.wait_state(at(lab, 0, version, 9000), "up")
    assert {(r.path, r.host) for r in server.requests} == {("/alive?deep=1", "health.example")}


def test_http_checks_of_a_real_nginx(lab, lb, version):
    alive = lab.root / "alive"
    alive.write_text("ok\n")
    pool = {"backends": backends(lab.backends, 8080), "health": {**HTTP_HEALTH, "body": "ok"}}
    lb.start(config(lab, {"web": pool}, {"web": {"listen": listeners(80), "pool": "web"}}))
    all_up(lb)
    url = f"http://{endpoint(*lab.at(version))}/name"
    assert curl(lab.client, url).strip() in {"b1", "b2", "b3"}
    alive.unlink()
    until(lambda: set(lb.states().values()) == {"down"}, "a missing file takes all down")
    alive.write_text("ok\n")
    all_up(lb)
    lab.nginx["b1"].stop()
    lb.wait_state(at(lab, 0, version, 8080), "down")
    assert {curl(lab.client, url).strip() for _ in range(20)} == {"b2", "b3"}


def test_a_host_header_chooses_the_virtual_server(lab, lb):
    """/secret is 404 in nginx's default server and a file in health.example."""
    (lab.root / "secret").write_text("ok\n")
    rows = backends(lab.backends, 8080)
    pools = {"with": {"backends": rows, "health": {**HTTP_HEALTH, "path": "/secret",
                                                   "host": "health.example"}},
             "without": {"backends": rows, "health": {**HTTP_HEALTH, "path": "/secret"}}}
    lb.start(config(lab, pools, {"a": {"listen": listeners(80), "pool": "with"},
                                 "b": {"listen": listeners(81), "pool": "without"}}))
    all_up(lb, "with")
    until(lambda: set(lb.states("without").values()) == {"down"}, "the default server says 404")


def test_health_type_none_is_always_up(lab, lb):
    lb.start(one_service(lab, to=7999, pool={"health": {"type": "none"}}))
    assert set(lb.states().values()) == {"up"}


def test_a_restart_keeps_what_was_known_until_the_first_probe(lab, lb, version):
    """A backend that was down gets nothing right after a restart either."""
    made = one_service(lab, pool={"health": {**TCP_HEALTH, "rise": 1, "fall": 1}})
    lb.start(made)
    lab.peers["b1"].stop()
    until(lambda: list(lb.states().values()).count("down") == 2, "b1 is down")
    lb.kill()
    talk = load(lab.client, lab.at(version), 100)
    assert talk["ok"] == 100 and set(talk["backends"]) == {"b2", "b3"}
    lb.launch()
    report = load(lab.client, lab.at(version), 2000, rate=2000)
    assert report["ok"] == 2000 and set(report["backends"]) == {"b2", "b3"}, report
