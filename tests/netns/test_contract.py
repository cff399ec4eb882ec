# SPDX-License-Identifier: GPL-2.0-only
"""The outside, word by word: what scripts rely on and no other test looks at."""
import signal
import subprocess

from lab import build
from lab.balancer import one_service
from lab.clients import Stream, ask_tcp
from lab.shell import endpoint, until


def names(lb) -> list[str]:
    return [row["name"] for row in lb.status()["interfaces"]]


def test_an_interface_leaves_and_comes_back_by_reload(lab, lb):
    made = one_service(lab)
    lb.start(made)
    made["interfaces"] = [{"name": "front"}]
    for _ in range(3):
        assert lb.reload(made) == "interface back: removed\n"
        assert names(lb) == ["front"] and lb.xdp("back") is None
        assert lb.reload(one_service(lab)).startswith("interface back: added")
        assert names(lb) == ["front", "back"] and lb.xdp("back")
    assert ask_tcp(lab.client, lab.at(4)).name


def test_flows_of_an_ipv6_address_are_found_however_it_is_written(lab, lb):
    lb.start(one_service(lab))
    with Stream(lab.client, lab.at(6)) as stream:
        stream.ask()
        client = lab.client.address[6]
        port = stream.local()[1]
        for written in (client, f"[{client}]", f"[{client}]:{port}"):
            assert [flow["client"] for flow in lb.flows("--client", written)] == \
                [f"[{client}]:{port}"]
        assert lb.flows("--client", f"[{client}]:{port ^ 1}") == []


def test_a_removed_backend_is_shown_as_long_as_it_has_flows(lab, lb):
    made = one_service(lab, hosts=lab.backends[:1])
    address = endpoint(lab.backends[0].address[4], 7000)
    lb.start(made)
    with Stream(lab.client, lab.at(4)) as stream:
        assert stream.ask().name == "b1"
        lb.reload(one_service(lab, hosts=lab.backends[1:]))
        row = lb.backend(address)
        assert (row["state"], row["weight"], row["active_flows"]) == ("draining", 0, 1)
        assert stream.ask().name == "b1"
    until(lambda: address not in lb.states(), "the last flow has gone, and the row with it", 3)


def launch_halfway(lb) -> None:
    """A daemon that has begun to start and does not serve yet."""
    (lb.run_dir / "lock").unlink(missing_ok=True)
    lb.launch()
    until(lambda: (lb.run_dir / "lock").exists(), "it starts")


def test_a_daemon_keeps_a_signal_that_comes_while_it_starts(lab, lb):
    lb.write(one_service(lab))
    for how in (signal.SIGTERM, signal.SIGINT):
        launch_halfway(lb)
        lb.daemon.send_signal(how)
        assert lb.daemon.wait(10) == 0
    launch_halfway(lb)
    lb.daemon.send_signal(signal.SIGHUP)
    until(lambda: "reloaded" in lb.log_text(), "the file is read again once it serves")
    assert ask_tcp(lab.client, lab.at(4)).name


def test_attaching_several_at_once_starts_one_daemon(lab, lb):
    lb.write(one_service(lab, interfaces=[]))
    at_once = [lab.lb.spawn(lb.argv("attach", dev, "-c", lb.file), stderr=subprocess.PIPE, text=True)
               for dev in ("front", "back", "front", "back")]
    assert [(child.communicate(timeout=30)[1], child.returncode) for child in at_once] == \
        [("", 0)] * 4
    assert sorted(names(lb)) == ["back", "front"]
    assert ask_tcp(lab.client, lab.at(4)).name


def test_status_warns_where_replies_would_not_be_seen(lab, lb):
    made = one_service(lab)
    made["interfaces"] = [{"name": "front"}]
    lb.start(made)
    said = [line for line in lb.status()["warnings"] if "through back," in line]
    assert len(said) == 1, "once an interface"
    assert said[0] in lb.cli("status").stdout and said[0] in lb.log_text()
    lb.cli("attach", "back")
    assert not [line for line in lb.status()["warnings"] if "through" in line]


def test_paths_may_be_relative(lab, lb):
    lb.write(one_service(lab))
    options = f"{build.XDPLB} %s --run-dir run --bpffs bpf"
    words = (f"attach front back -c {lb.file.name}", "reload", "status", "flows", "stop",
             "detach --all")
    script = " && ".join([f"cd {lb.dir}", *(options % word for word in words)])
    assert "front: native" in lab.lb.run(["sh", "-c", script]).stdout
    assert lb.xdp("front") is None and not lb.bpffs.exists()


def test_status_warns_of_an_ipv6_vip_that_neighbours_ask_for_in_vain(lab, lb):
    """The kernel answers solicitations only for the interface's own addresses."""
    on_link = "fd77:1::99"
    made = one_service(lab)
    made["services"]["web"]["listen"] += [f"tcp://{endpoint(on_link, 80)}"]
    lb.start(made)
    for dev, unanswered in (("lo", True), ("front", False)):
        lab.lb.ip(f"addr add {on_link}/128 dev {dev} nodad")
        try:
            until(lambda: any(f"VIP {on_link} is on the link of front" in line
                              for line in lb.status()["warnings"]) == unanswered, f"on {dev}")
            if not unanswered:
                assert ask_tcp(lab.client, (on_link, 80)).name
        finally:
            lab.lb.ip(f"addr del {on_link}/128 dev {dev}")
