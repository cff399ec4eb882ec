# SPDX-License-Identifier: GPL-2.0-only
"""Sniffed TCP with real clients and servers on one port: rows 30, 31, 34, 35 and 36."""
import contextlib
import hashlib
import socket
import time

import pytest

from lab import mux
from lab.capture import TCP, UDP, Capture
from lab.clients import curl
from lab.mux import Raw, say, say_udp
from lab.real import Caddy, Recorder, Socks, Sshd, TlsNginx, ssh
from lab.shell import endpoint, until
from lab.site import Site

ECHO, GREET = 9000, 9001  # ports of recorders
POOLS = {"a": (0, 8443), "b": (1, 8443), "ssh": (1, 2222), "web": (2, 8080), "socks": (0, 1080),
         "caddy": (2, 8444), "echo": (2, ECHO), "other": (1, ECHO), "greet": (2, GREET)}
TLS_A = {"protocol": "tls", "server_name": ["a.example"]}
TLS_B = {"protocol": "tls", "server_name": ["*.b.example"]}


@pytest.fixture(scope="module")
def lab():
    with Site(clients=2) as site:
        site.tls = [TlsNginx(host, site.dir, site.root) for host in site.backends[:2]]
        site.sshd = Sshd(site.backends[1], site.dir)
        site.socks = Socks(site.backends[0], site.dir)
        site.caddy = Caddy(site.backends[2], site.dir, site.root)
        site.recorders = [Recorder(site.backends[1], ECHO), Recorder(site.backends[2], ECHO),
                          Recorder(site.backends[2], GREET, greets=True)]
        yield site


def made(lab, routes, default=None, **service):
    return mux.mux(lab, routes, POOLS, default, **service)


ROUTES = [(TLS_A, "a"), (TLS_B, "b"), ({"protocol": "ssh"}, "ssh"),
          ({"protocol": "http", "host": ["c.example"]}, "web"), ({"protocol": "socks5"}, "socks")]


def tls_name(lab, name, version, *options):
    """(backend, SNI it saw, TLS version) by a real curl."""
    address = endpoint(*lab.at(version, mux.PORT)).rsplit(":", 1)[0]
    return curl(lab.client, f"https://{name}:{mux.PORT}/name", "-k", "--resolve",
                f"{name}:{mux.PORT}:{address}", *options).split()


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_tls_goes_where_its_name_says(lab, lb, version, tls):
    lb.start(made(lab, ROUTES, "other"))
    top = ("--tls-max", tls, f"--tlsv{tls}")
    for _ in range(3):
        assert tls_name(lab, "a.example", version, *top) == ["b1", "a.example", f"TLSv{tls}"]
        assert tls_name(lab, "x.b.example", version, *top) == ["b2", "x.b.example", f"TLSv{tls}"]
        assert tls_name(lab, "y.x.B.example", version, *top)[0] == "b2"
    assert lb.metric("xdplb_sniffed_total", service="mux", protocol="tls") == 9


def test_every_protocol_of_one_port_reaches_its_own_server(lab, lb, version):
    lb.start(made(lab, ROUTES, "other"))
    address = lab.at(version, mux.PORT)
    host = address[0] if version == 4 else f"[{address[0]}]"
    assert tls_name(lab, "a.example", version)[0] == "b1"
    assert ssh(lab.client, lab.sshd.key, *address) == "b2\n"
    assert ssh(lab.client, lab.sshd.key, *address, stdin="x" * 200000) == "b2\n" + "x" * 200000
    assert curl(lab.client, f"http://{host}:{mux.PORT}/name", "-H", "Host: c.example") == "b3\n"
    assert curl(lab.client, f"http://{lab.backends[2].address[4]}:8080/name",
                "--socks5", f"{host}:{mux.PORT}") == "b3\n"
    counts = {p: lb.metric("xdplb_sniffed_total", service="mux", protocol=p)
              for p in ("tls", "ssh", "http", "socks5")}
    assert counts == {"tls": 1, "ssh": 2, "http": 1, "socks5": 1}
    assert lb.service("mux")["connections"] == 5


def test_http2_with_prior_knowledge_goes_by_its_authority(lab, lb, version):
    lb.start(made(lab, [({"protocol": "http", "host": ["c.example"]}, "echo")], "other"))
    address = lab.at(version, mux.PORT)
    for name, backend in (("c.example", "b3"), ("d.example", "b2")):
        # The recorder is no web server: who answers is seen by whom it reaches.
        lab.client.run(["curl", "-sS", "-m", "3", "--http2-prior-knowledge", "--resolve",
                        f"{name}:{mux.PORT}:{endpoint(*address).rsplit(':', 1)[0]}",
                        f"http://{name}:{mux.PORT}/"], check=False)
        pool = "echo" if backend == "b3" else "other"
        assert lb.metric("xdplb_backend_connections_total", pool=pool) == 1


def test_alpn_chooses_among_routes_of_one_name(lab, lb, version):
    lb.start(made(lab, [(TLS_A | {"alpn": ["h2"]}, "a"), (TLS_A | {"alpn": ["http/1.1"]}, "b")]))
    assert tls_name(lab, "a.example", version, "--http2")[0] == "b1"
    assert tls_name(lab, "a.example", version, "--http1.1")[0] == "b2"


def test_openssl_without_a_name_takes_the_route_of_any_tls(lab, lb, version):
    lb.start(made(lab, [(TLS_A, "a"), ({"protocol": "tls"}, "b")]))
    for name, backend in (("-noservername", "b2"), ("-servername=a.example", "b1")):
        name = ["-noservername"] if name == "-noservername" else ["-servername", "a.example"]
        said = lab.client.run(["openssl", "s_client", "-quiet", "-connect",
                               endpoint(*lab.at(version, mux.PORT)), *name], check=False,
                              stdin="GET /name HTTP/1.0\r\n\r\n").stdout
        assert f"\n{backend} " in said


PIECES = [0, 1]


@pytest.mark.parametrize("piece", PIECES, ids=["whole", "byte-by-byte"])
def test_other_protocols_are_told_apart_by_their_first_bytes(lab, lb, version, piece):
    words = {"ssh": mux.SSH, "http": mux.HTTP, "socks5": mux.SOCKS5, "xmpp": mux.XMPP,
             "syslog": mux.SYSLOG, "adb": mux.ADB, "rdp": mux.RDP, "tinc": mux.TINC,
             "openvpn": mux.OPENVPN_TCP}
    lb.start(made(lab, [({"protocol": word}, "echo") for word in words], "other"))
    assert say(lab.client, lab.at(version, mux.PORT), b"\xffno such thing\n") == "b2"
    for word, first in words.items():
        assert say(lab.client, lab.at(version, mux.PORT), first, piece) == "b3", word
        assert lb.metric("xdplb_sniffed_total", service="mux", protocol=word) == 1


def test_a_pattern_of_the_users_routes(lab, lb, version):
    lb.start(made(lab, [({"protocol": "regex", "pattern": "^HELO [a-z]+"}, "echo")], "other"))
    assert say(lab.client, lab.at(version, mux.PORT), b"HELO world\n", 1) == "b3"
    assert say(lab.client, lab.at(version, mux.PORT), b"EHLO world\n") == "b2"


def test_bytes_one_by_one_reach_the_backend_in_order(lab, lb, version):
    lb.start(made(lab, [({"protocol": "http", "host": ["c.example"]}, "echo")]))
    data = b"GET /" + bytes(97 + i % 26 for i in range(300)) + mux.HTTP[6:]
    for _ in range(3):
        assert say(lab.client, lab.at(version, mux.PORT), data, 1) == "b3"


def test_a_hello_of_16_kb_is_waited_for(lab, lb, version):
    lb.start(made(lab, [({"protocol": "http", "host": ["c.example"]}, "echo")]))
    data = b"GET /" + b"a" * 15000 + b" HTTP/1.1\r\nHost: c.example\r\n\r\n"
    assert say(lab.client, lab.at(version, mux.PORT), data) == "b3"
    assert say(lab.client, lab.at(version, mux.PORT), data, 700) == "b3"


def test_one_thousand_connections_at_once(lab, lb, version):
    lb.start(made(lab, [({"protocol": "ssh"}, "echo"), ({"protocol": "http"}, "other")]))
    open_ = [Raw(lab.client, lab.at(version, mux.PORT)) for _ in range(1000)]
    for i, raw in enumerate(open_):
        raw.send((mux.SSH if i % 2 else mux.HTTP)[:4])
    for i, raw in enumerate(open_):
        raw.send((mux.SSH if i % 2 else mux.HTTP)[4:])
    for i, raw in enumerate(open_):
        assert raw.line() == ("b3" if i % 2 else "b2")
        raw.close()


def test_ten_megabytes_each_way_arrive_unharmed(lab, lb, version):
    lb.start(made(lab, ROUTES))
    address = endpoint(*lab.at(version, mux.PORT)).rsplit(":", 1)[0]
    at = ("-k", "--resolve", f"a.example:{mux.PORT}:{address}")
    curl(lab.client, f"https://a.example:{mux.PORT}/download", *at, "-o", lab.dir / "got")
    sent = lab.download.read_bytes()
    assert hashlib.sha256((lab.dir / "got").read_bytes()).digest() == hashlib.sha256(sent).digest()
    curl(lab.client, f"https://a.example:{mux.PORT}/put/file-{version}", *at, "-T", lab.download)
    stored = (lab.tls[0].dir / "put" / f"file-{version}").read_bytes()
    assert hashlib.sha256(stored).digest() == hashlib.sha256(sent).digest()


def test_a_backend_that_does_not_scale_windows_sends_in_full_ones(lab, lb, version):
    lb.start(made(lab, ROUTES))
    host = lab.at(version, mux.PORT)
    lab.backends[2].sysctl("ipv4/tcp_window_scaling", 0)
    try:
        curl(lab.client, f"http://{endpoint(*host)}/download", "-H", "Host: c.example",
             "--max-time", "10", "-o", lab.dir / "got")
    finally:
        lab.backends[2].sysctl("ipv4/tcp_window_scaling", 1)
    assert (lab.dir / "got").read_bytes() == lab.download.read_bytes()


def test_a_server_that_speaks_first_is_reached_after_sniff_timeout(lab, lb, version):
    lb.start(made(lab, [(TLS_A, "a")], "greet", sniff_timeout="300ms"))
    with Raw(lab.client, lab.at(version, mux.PORT)) as raw:
        assert raw.line() == "b3"
        raw.send(b"well then")
        assert raw.read(9) == b"well then"
    assert lb.metric("xdplb_flow_events_total", event="sniff_silent") == 1


@contextlib.contextmanager
def pure_acks_lost(host, version):
    """Of what the host sends to the VIP's port: segments that are an ACK and nothing else."""
    size = "ip length <= 60" if version == 4 else "ip6 length <= 40"
    host.run(["nft", "-f", "-"], stdin=(
        "table inet lost {\nchain out {\ntype filter hook output priority 0;\n"
        f"tcp dport {mux.PORT} tcp flags & (syn|fin|rst|ack) == ack {size} counter drop\n}}\n}}\n"))
    try:
        yield
    finally:
        rules = host.run(["nft", "-j", "list", "table", "inet", "lost"]).stdout
        host.run(["nft", "delete", "table", "inet", "lost"])
    assert '"packets": 1,' in rules  # the handshake's, no other


@pytest.mark.parametrize("lost", [1, 2], ids=["ack", "ack-and-its-repetition"])
def test_a_server_that_speaks_first_is_reached_though_the_ack_is_lost(lab, lb, version, lost):
    lb.start(made(lab, [(TLS_A, "a")], "greet", sniff_timeout="300ms"))
    with pure_acks_lost(lab.client, version):
        raw = Raw(lab.client, lab.at(version, mux.PORT))
    with raw:
        if lost == 2:  # the SYN-ACK comes once more, and nobody knows why
            with pure_acks_lost(lab.client, version):
                until(lambda: lb.metric("xdplb_flow_events_total", event="synack_repeated") == 1,
                      "the SYN-ACK is repeated")
                time.sleep(0.2)
        assert raw.line() == "b3"
        raw.send(b"well then")
        assert raw.read(9) == b"well then"
    assert lb.metric("xdplb_flow_events_total", event="synack_repeated") == lost
    assert lb.metric("xdplb_flow_events_total", event="sniff_silent") == 1


def test_without_a_default_pool_no_syn_ack_is_repeated(lab, lb, version):
    lb.start(made(lab, ROUTES))
    with pure_acks_lost(lab.client, version):
        raw = Raw(lab.client, lab.at(version, mux.PORT))
    with raw:
        time.sleep(2.2)
        raw.send(mux.SSH)
        assert raw.line().startswith("SSH-2.0")
    assert lb.metric("xdplb_flow_events_total", event="synack_repeated") == 0


def test_a_half_hello_goes_to_the_default_pool_after_sniff_timeout(lab, lb, version):
    lb.start(made(lab, [({"protocol": "http", "host": ["c.example"]}, "echo")], "other",
                  sniff_timeout="300ms"))
    assert say(lab.client, lab.at(version, mux.PORT), b"GET / HT") == "b2"


def closed_by_reset(raw) -> bool:
    try:
        return raw.socket.recv(1) == b"no"
    except ConnectionResetError:
        return True


def test_without_a_default_no_unknown_byte_reaches_any_backend(lab, lb, version):
    lb.start(made(lab, [(TLS_A, "a"), ({"protocol": "ssh"}, "ssh")], sniff_timeout="300ms"))
    vip = lab.at(version, mux.PORT)
    with Capture(lab.backends[0]) as one, Capture(lab.backends[1]) as two, \
            Capture(lab.backends[2]) as three:
        for junk in (b"\0" * 50, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", b"\x16\x03", b""):
            with Raw(lab.client, vip) as raw:
                raw.send(junk)
                assert closed_by_reset(raw), junk
        assert lab.client.run(["curl", "-k", "-sS", "--resolve",
                               f"no.example:{mux.PORT}:{endpoint(*vip).rsplit(':', 1)[0]}",
                               f"https://no.example:{mux.PORT}/"], check=False).returncode == 35
        with pytest.raises(TimeoutError):
            say_udp(lab.client, vip, b"junk", timeout=1)
        assert lb.metric("xdplb_flow_events_total", event="sniff_refused") >= 5
        before = received(one)
        assert not before and not received(two) and not received(three)
        assert tls_name(lab, "a.example", version)[0] == "b1"
        until(lambda: received(one), "what is let through is seen by the capture")


def received(capture) -> list:
    return [p for p in capture.packets() if not p.sent and p.proto in (TCP, UDP)]


def test_flows_show_what_was_recognised(lab, lb, version):
    lb.start(made(lab, ROUTES))
    with Raw(lab.client, lab.at(version, mux.PORT)) as raw:
        raw.send(mux.SSH)
        assert raw.line().startswith("SSH-2.0")
        flow = lb.flows()[0]
        assert (flow["sniffed"], flow["state"], flow["service"]) == ("ssh", "established", "mux")
    tls_name(lab, "x.b.example", version)
    rows = [flow for flow in lb.flows() if flow.get("sniffed") == "tls"]
    assert rows and rows[0]["name"] == "x.b.example"


def test_status_shows_sniffs_in_progress(lab, lb, version):
    lb.start(made(lab, ROUTES, sniff_timeout="20s"))
    with Raw(lab.client, lab.at(version, mux.PORT)) as raw:
        raw.send(b"SS")
        until(lambda: lb.status()["sniffing"]["connections"] == 1, "it is being sniffed")
        raw.send(b"H-2.0-me\r\n")
        raw.line()
    until(lambda: lb.status()["sniffing"]["connections"] == 0, "it is no more")


def test_a_refused_backend_gives_way_to_another(lab, lb, version):
    config = made(lab, [({"protocol": "ssh"}, "echo")])
    pool = config["pools"]["echo"]
    pool["balance"] = "round-robin"
    dead = [endpoint(lab.backends[0].address[v], 9) for v in (4, 6)]  # nobody listens: refused
    pool["backends"] = dead + pool["backends"]
    lb.start(config)
    for _ in range(6):
        assert say(lab.client, lab.at(version, mux.PORT), mux.SSH) == "b3"
    assert lb.metric("xdplb_flow_events_total", event="sniff_retried") >= 2


def test_no_backend_that_answers_is_a_reset(lab, lb, version):
    config = made(lab, [({"protocol": "ssh"}, "echo")])
    config["pools"]["echo"]["backends"] = [endpoint(lab.backends[0].address[v], 9) for v in (4, 6)]
    lb.start(config)
    with Raw(lab.client, lab.at(version, mux.PORT)) as raw:
        raw.send(mux.SSH)
        assert closed_by_reset(raw)
    assert lb.metric("xdplb_flow_events_total", event="sniff_no_backend") == 1


def test_a_reload_changes_routes_for_new_connections_at_once(lab, lb, version):
    lb.start(made(lab, [({"protocol": "ssh"}, "echo")], "other"))
    vip = lab.at(version, mux.PORT)
    with Raw(lab.client, vip) as old, Raw(lab.client, vip) as half:
        old.send(mux.SSH)
        assert old.line() == "b3"
        half.send(mux.SSH[:3])
        said = lb.reload(made(lab, [({"protocol": "http"}, "echo")], "other"))
        assert "nothing changed" not in said
        assert say(lab.client, vip, mux.SSH) == "b2"
        assert say(lab.client, vip, mux.HTTP) == "b3"
        old.read(len(mux.SSH))
        old.send(b"still here")
        assert old.read(10) == b"still here"
        half.send(mux.SSH[3:])
        assert half.line() == "b2"


def test_spliced_connections_outlive_the_daemon(lab, lb, version):
    lb.start(made(lab, ROUTES + [({"protocol": "regex", "pattern": "^x"}, "echo")]))
    vip = lab.at(version, mux.PORT)
    with Raw(lab.client, vip) as raw:
        raw.send(b"x" * 1000)
        assert raw.line() == "b3" and raw.read(1000) == b"x" * 1000
        lb.kill()
        raw.send(b"y" * 100000)
        assert raw.read(100000) == b"y" * 100000
        lb.start()
        raw.send(b"z" * 100000)
        assert raw.read(100000) == b"z" * 100000
        assert say(lab.client, vip, b"xx") == "b3"


def test_a_client_that_resets_or_closes_before_the_verdict_leaves_nothing(lab, lb, version):
    lb.start(made(lab, ROUTES, sniff_timeout="20s"))
    vip = lab.at(version, mux.PORT)
    for leave in (Raw.reset, Raw.close):
        raw = Raw(lab.client, vip)
        raw.send(b"SS")
        until(lambda: lb.status()["sniffing"]["connections"] == 1, "it is being sniffed")
        leave(raw)
        until(lambda: lb.status()["sniffing"]["connections"] == 0, "it is gone")


def test_half_closing_gets_the_full_answer(lab, lb, version):
    lb.start(made(lab, [({"protocol": "http"}, "echo")]))
    with Raw(lab.client, lab.at(version, mux.PORT)) as raw:
        raw.send(mux.HTTP)
        raw.socket.shutdown(socket.SHUT_WR)
        assert raw.read(1 << 20) == b"b3\n" + mux.HTTP


def test_the_same_port_of_a_client_again_and_again(lab, lb, version):
    lb.start(made(lab, [({"protocol": "ssh"}, "echo")]))
    for _ in range(5):
        with Raw(lab.client, lab.at(version, mux.PORT), source_port=33333) as raw:
            raw.send(mux.SSH)
            assert raw.line() == "b3"
            raw.reset()


def test_a_syn_answered_by_cookie_touches_no_table(lab, lb, version):
    lb.start(made(lab, ROUTES))
    raws = [Raw(lab.client, lab.at(version, mux.PORT)) for _ in range(20)]
    assert lb.flows() == []
    assert lb.outcome("answer_cookie") >= 20
    for raw in raws:
        raw.close()


def test_udp_first_messages_are_told_apart(lab, lb, version):
    wireguard = b"\x01\0\0\0" + bytes(range(144))
    words = {"wireguard": wireguard, "openvpn": mux.OPENVPN, "syslog": mux.SYSLOG_UDP}
    lb.start(made(lab, [({"protocol": word}, "echo") for word in words], "other"))
    vip = lab.at(version, mux.PORT)
    assert say_udp(lab.client, vip, b"\xff\xff no such thing") == "b2"
    for word, first in words.items():
        assert say_udp(lab.client, vip, first) == "b3", word
        assert lb.metric("xdplb_sniffed_total", service="mux", protocol=word) == 1
