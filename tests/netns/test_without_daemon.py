# SPDX-License-Identifier: GPL-2.0-only
"""With the daemon killed the datapath ages its flows and finds its way alone."""
import time

from lab.balancer import one_service
from lab.clients import Stream, Talk, ask_tcp, ask_udp, assert_unharmed, load
from lab.shell import until


def test_twice_the_flow_table_in_connections_goes_through(lab, lb, version, soak):
    """600,000 through 262,144 with SOAK=1, else 12,000 through 4,096."""
    table, count = (262_144, 600_000) if soak else (4096, 12_000)
    lb.start(one_service(lab, flow_table=table))
    lb.kill()
    report = load(lab.client, lab.at(version), count, concurrency=32, timeout=600)
    assert report["ok"] == count, report


def test_idle_connections_make_room_without_the_daemon(lab, lb, version):
    """Nobody closes them: three tables full of connections, one after the other."""
    lb.start(one_service(lab, flow_table=64, service={"idle_timeout": "1s"}))
    lb.kill()
    silent = []
    for _ in range(3):
        silent += [Stream(lab.client, lab.at(version), timeout=5) for _ in range(60)]
        for stream in silent[-60:]:
            stream.ask()
        idle = time.monotonic()
        until(lambda since=idle: time.monotonic() - since > 1.3, "they are idle for long enough")
    for stream in silent:
        stream.close()


def test_unclosed_udp_flows_age_without_the_daemon(lab, lb, version):
    """More UDP flows than fit, one batch after the other idle."""
    lb.start(one_service(lab, flow_table=512, service={"idle_timeout": "1s"}))
    lb.kill()
    for _ in range(4):
        report = Talk(lab.client, lab.at(version), datagrams=200, rounds=2, interval=10).finish()
        assert report["ok"] == 200 and report["lost"] == 0, report


def test_unanswered_connections_age_without_the_daemon(lab, lb, version):
    lb.start(one_service(lab, flow_table=1024))
    lb.kill()
    with Stream(lab.client, lab.at(version)) as stream:
        name = stream.ask().name
        assert load(lab.client, lab.at(version), 5000)["ok"] == 5000
        assert stream.ask().name == name


def recovers(lab, version, talk_name):
    def once():
        try:
            return ask_udp(lab.client, lab.at(version), timeout=0.2).name == talk_name
        except (TimeoutError, ConnectionRefusedError):
            return False
    return once


def test_a_backend_with_a_new_mac_is_found_within_2_seconds(lab, lb, version):
    """Its interface is replaced after the daemon died; it then talks by itself."""
    lb.start(one_service(lab, hosts=lab.backends[:1]))
    with Stream(lab.client, lab.at(version)) as stream:
        stream.ask()
        lb.kill()
        killed = time.monotonic()
        # The datapath trusts the daemon's last word for 5 s; only then is it on its own.
        until(lambda: time.monotonic() - killed > 5.5, "the heartbeat is old", 10)
        lab.replace_interface(lab.backends[0])
        lab.announce(lab.backends[0])
        began = time.monotonic()
        until(recovers(lab, version, "b1"), "datagrams reach the backend again", 5)
        assert ask_tcp(lab.client, lab.at(version)).name == "b1"
        assert stream.ask("still there").said == "still there"
        assert time.monotonic() - began < 3


def test_a_client_with_a_new_mac_is_found_without_the_daemon(lab, lb, version):
    lb.start(one_service(lab))
    talk = Talk(lab.client, lab.at(version), streams=3, interval=20)
    lb.kill()
    old = lab.client.mac()
    try:
        lab.client.ip("link set eth0 address 02:00:00:00:77:02")
        assert ask_tcp(lab.client, lab.at(version)).name
        assert_unharmed(talk.finish())
    finally:
        lab.client.ip(f"link set eth0 address {old}")


def test_nothing_stalls_when_the_daemon_has_been_dead_for_long(lab, lb, version):
    lb.start(one_service(lab))
    lb.kill()
    killed = time.monotonic()
    talk = Talk(lab.client, lab.at(version), streams=5, datagrams=5, interval=50)
    until(lambda: time.monotonic() - killed > 7, "the heartbeat is old", 10)
    report = load(lab.client, lab.at(version), 2000)
    assert report["ok"] == 2000 and report["slow"] == 0, report
    assert_unharmed(talk.finish())
