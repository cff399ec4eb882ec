# SPDX-License-Identifier: GPL-2.0-only
"""Counters equal a capture, and are well formed: row 22."""
import json
import re

from lab import shell
from lab.balancer import backends, config, listeners, one_service
from lab.capture import TCP, UDP, Capture, total
from lab.clients import ASK, Stream, Talk, load
from lab.shell import endpoint, until

DIRECTIONS = ("in", "out")


def at_client(capture, lab, version):
    """(packets, bytes) to and from the VIP, as the client's wire has them."""
    found = [p for p in capture.packets(address=lab.at(version)[0]) if p.proto in (TCP, UDP)]
    return {"in": total(p for p in found if p.sent), "out": total(p for p in found if not p.sent)}


def at_backend(capture, host, version):
    found = [p for p in capture.packets(address=host.address[version]) if p.proto in (TCP, UDP)]
    return {"in": total(p for p in found if p.dst_port == 7000),
            "out": total(p for p in found if p.src_port == 7000)}


def counted(lb, what, **labels):
    return {d: (lb.metric(f"xdplb_{what}_packets_total", direction=d, **labels),
                lb.metric(f"xdplb_{what}_bytes_total", direction=d, **labels))
            for d in DIRECTIONS}


def traffic(lab, version):
    assert load(lab.client, lab.at(version), 100)["ok"] == 100
    Talk(lab.client, lab.at(version), streams=5, datagrams=5, rounds=20, size=700).finish()


def test_counters_equal_a_capture_in_both_directions(lab, lb, version):
    lb.start(one_service(lab))
    with Capture(lab.client) as client, Capture(lab.backends[0]) as b1, \
            Capture(lab.backends[1]) as b2, Capture(lab.backends[2]) as b3:
        traffic(lab, version)
        until(lambda: lb.service()["active_flows"] == 5, "only the UDP flows are left")
        wire = until(lambda: counted(lb, "service", service="web") == at_client(
            client, lab, version) and at_client(client, lab, version), "service counters agree")
    assert wire["in"][0] > 500 and wire["out"][1] > 100 * 700
    for host, capture in zip(lab.backends, (b1, b2, b3)):
        name = endpoint(host.address[version], 7000)
        assert counted(lb, "backend", pool="web", backend=name) == \
            at_backend(capture, host, version), name


def test_counters_count_each_service_and_family_apart(lab, lb):
    pools = {"web": {"backends": backends(lab.backends, 7000)}}
    lb.start(config(lab, pools, {name: {"listen": listeners(port), "pool": "web"}
                                 for name, port in (("one", 80), ("two", 81))}))
    for _ in range(3):
        ASK["udp"](lab.client, lab.at(4, 81))
    assert lb.metric("xdplb_service_connections_total", service="two") == 3
    assert lb.metric("xdplb_service_packets_total", service="two", direction="in") == 3
    assert lb.metric("xdplb_service_packets_total", service="one") == 0
    assert lb.metric("xdplb_backend_packets_total", backend=endpoint(
        lab.backends[0].address[6], 7000)) == 0


def test_connections_are_counted_when_a_backend_is_chosen(lab, lb, version, protocol):
    lb.start(one_service(lab))
    for _ in range(7):
        ASK[protocol](lab.client, lab.at(version))
    assert lb.metric("xdplb_service_connections_total", service="web") == 7
    assert lb.metric("xdplb_backend_connections_total", pool="web") == 7
    assert lb.service()["connections"] == 7


def test_json_and_metrics_say_the_same(lab, lb, version):
    lb.start(one_service(lab, weights={"b1": 4, "b2": 0}))
    traffic(lab, version)
    with Stream(lab.client, lab.at(version)) as stream:
        stream.ask()
        status = lb.status()
        assert {i["name"]: i["mode"] for i in status["interfaces"]} == \
            {name: "native" for name in lab.interfaces}
        service = status["services"]["web"]
        assert service["mode"] == "nat"
        assert service["listen"] == listeners(80)
        for direction in DIRECTIONS:
            for what in ("packets", "bytes"):
                assert service[f"{what}_{direction}"] == lb.metric(
                    f"xdplb_service_{what}_total", service="web", direction=direction) > 0
        for row in status["pools"]["web"]["backends"]:
            has = {"pool": "web", "backend": row["address"]}
            assert row["weight"] == lb.metric("xdplb_backend_weight", **has)
            assert row["connections"] == lb.metric("xdplb_backend_connections_total", **has)
            assert row["active_flows"] == lb.metric("xdplb_backend_active_flows", **has)
            assert row["packets_in"] == lb.metric("xdplb_backend_packets_total", direction="in",
                                                  **has)
            assert row["bytes_out"] == lb.metric("xdplb_backend_bytes_total", direction="out",
                                                 **has)
        assert sum(row["active_flows"] for row in status["pools"]["web"]["backends"]) == \
            service["active_flows"]


def test_the_api_gives_the_same_document_as_the_command(lab, lb):
    lb.start(one_service(lab))
    code, text = lb.get("/api/v1/status")
    assert code == 200
    same, other = json.loads(text), lb.status()
    for key in ("interfaces", "services", "pools"):
        assert same[key] == other[key]
    assert lb.get("/healthz")[0] == 200
    assert lb.get("/no-such-page")[0] == 404


def test_promtool_accepts_the_metrics_without_a_remark(lab, lb, version):
    lb.start(one_service(lab))
    traffic(lab, version)
    text = lb.get("/metrics")[1]
    done = shell.run(["promtool", "check", "metrics"], stdin=text)
    assert done.stdout + done.stderr == ""


def test_every_metric_of_the_contract_is_there(lab, lb, version):
    lb.start(one_service(lab))
    traffic(lab, version)
    names = {name for name, _, _ in lb.metrics()}
    assert {"xdplb_build_info", "xdplb_config_last_reload_successful",
            "xdplb_config_last_reload_success_timestamp_seconds",
            "xdplb_service_connections_total", "xdplb_service_packets_total",
            "xdplb_service_bytes_total", "xdplb_backend_up", "xdplb_backend_weight",
            "xdplb_backend_connections_total", "xdplb_backend_active_flows",
            "xdplb_backend_packets_total", "xdplb_backend_bytes_total", "xdplb_flows",
            "xdplb_flows_max", "xdplb_outcomes_total"} <= names
    labels = next(labels for name, labels, _ in lb.metrics() if name == "xdplb_build_info")
    assert re.match(r"\d+\.\d+", labels["version"])


def test_every_packet_has_an_outcome(lab, lb, version):
    lb.start(one_service(lab))
    before = lb.metric("xdplb_outcomes_total")
    with Capture(lab.client) as client:
        for _ in range(10):
            ASK["udp"](lab.client, lab.at(version))
    assert total(p for p in client.packets(UDP))[0] == 20
    assert lb.outcome("FORWARD_REDIRECT") == lb.outcome("REPLY_REDIRECT") == 10
    assert lb.metric("xdplb_outcomes_total") >= before + 20
    assert lb.outcome("CONTINUE") == 0


def test_a_service_without_http_has_no_port_open(lab, lb):
    lb.start(one_service(lab, http=None))
    with lab.lb.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", 9180)) != 0
    assert lb.status()["services"]["web"]["connections"] == 0
