# SPDX-License-Identifier: GPL-2.0-only
"""Sniffed UDP with real clients and servers: QUIC (row 32) and WireGuard (row 33) on udp/443."""
import subprocess

import pytest

from lab import mux
from lab.real import Caddy, Quic, Recorder, WireGuard, certificate
from lab.shell import endpoint, until
from lab.site import Site

POOLS = {"a": (0, 4433), "b": (1, 4433), "caddy": (2, 8444), "wg": (1, 51820), "other": (2, 9000)}
ROUTES = [({"protocol": "quic", "server_name": ["a.example"]}, "a"),
          ({"protocol": "quic", "server_name": ["*.b.example"]}, "b"),
          ({"protocol": "quic", "server_name": ["lab.example"], "alpn": ["h3"]}, "caddy"),
          ({"protocol": "wireguard"}, "wg")]


@pytest.fixture(scope="module")
def lab():
    with Site(clients=2) as site:
        site.quic = [Quic(host, site.dir) for host in site.backends[:2]]
        site.caddy = Caddy(site.backends[2], site.dir, site.root)
        site.recorder = Recorder(site.backends[2], 9000)
        yield site


def made(lab, default=None):
    return mux.mux(lab, ROUTES, POOLS, default)


def get(lab, name, version, *options, path="name", timeout=30):
    """What ngtcp2's client downloads by HTTP/3 from a name at the VIP."""
    where = lab.dir / "h3"
    where.mkdir(exist_ok=True)
    got = where / path
    got.unlink(missing_ok=True)
    hosts = lab.dir / f"hosts-{name}-{version}"
    hosts.write_text(f"{lab.at(version, mux.PORT)[0]} {name}\n")
    # It says the name of whom it connects to, whatever --sni says: so the name is known to it alone.
    done = lab.client.run(
        ["unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts; exec "$@"', "sh",
         "gtlsclient", "-q", "--exit-on-all-streams-close", f"--download={where}", *options, name,
         mux.PORT, f"https://{name}:{mux.PORT}/{path}"], check=False, timeout=timeout)
    assert got.exists(), done.stdout + done.stderr
    return got.read_text()


V1, V2 = "0x1", "0x709a50c4"  # the number that Debian's ngtcp2 has for version 2


@pytest.mark.parametrize("quic", [V1, V2], ids=["v1", "v2"])
def test_quic_goes_where_its_name_says(lab, lb, version, quic):
    lb.start(made(lab))
    for _ in range(3):
        assert get(lab, "a.example", version, f"--version={quic}") == "b1\n"
        assert get(lab, "x.b.example", version, f"--version={quic}") == "b2\n"
    assert lb.metric("xdplb_sniffed_total", service="mux", protocol="quic") == 6
    assert {flow["name"] for flow in lb.flows()} == {"a.example", "x.b.example"}


def test_quic_reaches_caddy_by_alpn(lab, lb, version):
    lb.start(made(lab))
    assert get(lab, "lab.example", version) == "b3 HTTP/3.0"


@pytest.mark.parametrize("quic", [V1, V2], ids=["v1", "v2"])
def test_quic_survives_a_nat_that_rebinds(lab, lb, version, quic):
    lb.start(made(lab))
    (lab.quic[0].root / "big").write_bytes(b"x" * (4 << 20))
    # Rebound in the middle of a download ngtcp2's client hangs, without a balancer too: so before.
    got = get(lab, "a.example", version, f"--version={quic}", "--change-local-addr=20ms",
              "--nat-rebinding", "--delay-stream=100ms", path="big", timeout=60)
    assert len(got) == 4 << 20
    assert lb.metric("xdplb_flow_events_total", event="quic_migrated") >= 1
    assert not any(flow["backend"].endswith(":9000") for flow in lb.flows())
    assert {flow["pool"] for flow in lb.flows()} == {"a"}


def chromium(lab, version, name, path="name"):
    """The page that a real browser sees over HTTP/3, and over TCP where it must."""
    address = endpoint(*lab.at(version, mux.PORT)).rsplit(":", 1)[0]
    _, cert = certificate(lab.dir)
    spki = subprocess.run(
        f"openssl x509 -in {cert} -pubkey -noout | openssl pkey -pubin -outform der | "
        "openssl dgst -sha256 -binary | openssl enc -base64", shell=True, check=True,
        capture_output=True, text=True).stdout.strip()
    profile = lab.dir / "chromium"

    def browse(*options):
        return lab.client.run(
            ["env", f"HOME={lab.dir}", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-sync",
             "--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}",
             f"--host-resolver-rules=MAP {name} {address}",
             f"--ignore-certificate-errors-spki-list={spki}", *options, "--dump-dom",
             f"https://{name}:{mux.PORT}/{path}"], check=False, timeout=60).stdout
    return browse


def test_chromium_over_http3(lab, lb, version):
    lb.start(made(lab))
    page = chromium(lab, version, "lab.example")(
        f"--origin-to-force-quic-on=lab.example:{mux.PORT}")
    assert "b3 HTTP/3" in page


def test_chromium_over_tcp_with_its_hello_in_two_segments(lab, lb, version):
    routes = [({"protocol": "tls", "server_name": ["lab.example"]}, "caddy")]
    lb.start(mux.mux(lab, routes, POOLS))
    page = chromium(lab, version, "lab.example")("--disable-quic")
    assert "b3 HTTP/2" in page


def test_wireguard_beside_quic_on_one_port(lab, lb, version):
    lb.start(made(lab))
    tunnel = WireGuard(lab.client, lab.backends[1], endpoint(*lab.at(version, mux.PORT)), lab.dir)
    try:
        assert tunnel.ping()
        assert get(lab, "a.example", version) == "b1\n"
        assert tunnel.ping()
        flow = next(flow for flow in lb.flows() if flow["sniffed"] == "wireguard")
        assert flow["pool"] == "wg"
    finally:
        tunnel.stop()


def test_datagrams_that_never_decide_go_to_the_default_pool_or_nowhere(lab, lb, version):
    short = b"\xc0\x00\x00\x00\x01\x08" + bytes(1194)  # an Initial that says nothing
    lb.start(made(lab))
    vip = lab.at(version, mux.PORT)
    with pytest.raises(TimeoutError):
        mux.say_udp(lab.client, vip, short, timeout=1)
    lb.reload(made(lab, "other"))
    assert mux.say_udp(lab.client, vip, b"\xffjunk") == "b3"
    until(lambda: lb.metric("xdplb_flow_events_total", event="sniff_default") >= 1, "it is counted")
