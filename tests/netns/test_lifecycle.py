# SPDX-License-Identifier: GPL-2.0-only
"""Attaching and detaching, stopping, dying and coming back: row 42."""
import json
import os
import signal
import socket

import pytest

from lab import shell
from lab.balancer import Balancer, one_service
from lab.build import STUB
from lab.clients import Stream, Talk, ask_tcp, ask_udp, assert_unharmed, load
from lab.shell import until

KINDS = ("prog", "map", "link")


def exists(kind: str, number: int) -> bool:
    done = shell.run(["bpftool", "-j", kind, "show", "id", number], check=False)
    return done.returncode == 0 and "error" not in done.stdout


def kernel_objects(lab, lb) -> set[tuple[str, int]]:
    """Programs, maps and links of this xdplb: attached, used by these, or pinned."""
    found = set()
    for dev in lab.interfaces:
        xdp = lb.xdp(dev)
        if xdp:
            found.add(("prog", xdp["prog"]["id"]))
    for pin in lb.bpffs.rglob("*"):
        for kind in KINDS if pin.is_file() else ():
            done = shell.run(["bpftool", "-j", kind, "show", "pinned", pin], check=False)
            if done.returncode == 0 and "id" in json.loads(done.stdout or "{}"):
                found.add((kind, json.loads(done.stdout)["id"]))
    for kind, number in list(found):
        if kind == "prog":
            shown = json.loads(shell.run(["bpftool", "-j", "prog", "show", "id", number]).stdout)
            found |= {("map", used) for used in shown.get("map_ids", [])}
    return found


def pins(lb) -> list:
    """What is pinned, beside the files that are in every bpffs."""
    return [path for path in lb.bpffs.rglob("*") if path.suffix != ".debug"]


def pinned_id(lb, name: str) -> int:
    return json.loads(shell.run(["bpftool", "-j", "map", "show", "pinned",
                                 lb.bpffs / name]).stdout)["id"]


def assert_nothing_left(lab, lb, objects):
    assert objects
    assert all(lb.xdp(dev) is None for dev in lab.interfaces)
    assert not lb.bpffs.exists() or not pins(lb)
    until(lambda: not [o for o in objects if exists(*o)], "the kernel has freed all of it")


def stop_by_command(lb):
    lb.stop()


def stop_by_sigterm(lb):
    lb.daemon.send_signal(signal.SIGTERM)
    assert lb.daemon.wait(10) == 0
    lb.daemon = None


def stop_by_sigint(lb):
    lb.daemon.send_signal(signal.SIGINT)
    assert lb.daemon.wait(10) == 0
    lb.daemon = None


def stop_by_kill_9(lb):
    lb.kill()


ENDS = [stop_by_command, stop_by_sigterm, stop_by_sigint, stop_by_kill_9]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__[8:].replace("_", "-"))
def test_without_the_daemon_it_goes_on_and_a_restart_adopts_it(lab, lb, version, end):
    made = one_service(lab)
    lb.start(made)
    talk = Talk(lab.client, lab.at(version), streams=10, datagrams=5, interval=10)
    with Stream(lab.client, lab.at(version)) as stream:
        name = stream.ask().name
        tables = {table: pinned_id(lb, table) for table in ("flows", "embryos", "backends")}
        before = lb.service()
        end(lb)
        assert stream.ask().name == name
        assert load(lab.client, lab.at(version), 200)["ok"] == 200
        assert ask_udp(lab.client, lab.at(version)).name
        lb.start()
        assert stream.ask().name == name
        after = lb.service()
        assert after["connections"] == before["connections"] + 201
        assert after["packets_in"] > before["packets_in"]
        assert tables == {table: pinned_id(lb, table) for table in tables}
        assert load(lab.client, lab.at(version), 200)["ok"] == 200
    assert_unharmed(talk.finish())


def test_a_restart_takes_up_a_changed_file(lab, lb, version):
    lb.start(one_service(lab))
    with Stream(lab.client, lab.at(version)) as stream:
        name = stream.ask().name
        lb.kill()
        lb.start(one_service(lab, hosts=[b for b in lab.backends if b.name != name]))
        assert stream.ask().name == name
        assert name not in load(lab.client, lab.at(version), 100)["backends"]


def test_a_restart_that_fails_leaves_the_datapath_serving(lab, lb, version):
    lb.start(one_service(lab))
    lb.kill()
    lb.write("pools: [")
    assert lb.cli("run", "-c", lb.file, check=False).returncode == 2
    assert load(lab.client, lab.at(version), 50)["ok"] == 50


def test_detach_all_leaves_nothing_with_the_daemon(lab, lb, version):
    lb.start(one_service(lab))
    assert load(lab.client, lab.at(version), 50)["ok"] == 50
    objects = kernel_objects(lab, lb)
    lb.cli("detach", "--all")
    lb.stop()
    assert_nothing_left(lab, lb, objects)


def test_detach_all_leaves_nothing_without_the_daemon(lab, lb, version):
    lb.start(one_service(lab))
    assert load(lab.client, lab.at(version), 50)["ok"] == 50
    objects = kernel_objects(lab, lb)
    lb.kill()
    lb.cli("detach", "--all")
    assert_nothing_left(lab, lb, objects)


def test_detach_all_leaves_nothing_after_many_starts_and_reloads(lab, lb):
    objects = set()
    for weight in (1, 2, 3):
        lb.start(one_service(lab, weights={"b1": weight}))
        lb.reload(one_service(lab, weights={"b2": weight}))
        objects |= kernel_objects(lab, lb)
        lb.kill()
    lb.cli("detach", "--all")
    assert_nothing_left(lab, lb, objects)


def test_detach_all_leaves_nothing_though_iproute2_made_folders_in_our_bpffs(lab, lb):
    lb.start(one_service(lab))
    objects = kernel_objects(lab, lb)
    (lb.bpffs / "tc/globals").mkdir(parents=True, exist_ok=True)
    for name in ("ip", "xdp"):
        if not (lb.bpffs / name).is_symlink():
            (lb.bpffs / name).symlink_to("tc")
    lb.cli("detach", "--all")
    lb.stop()
    assert_nothing_left(lab, lb, objects)
    assert not os.path.ismount(lb.bpffs)


def test_detach_all_leaves_what_somebody_else_pinned_in_our_bpffs(lab, lb):
    lb.start(one_service(lab))
    foreign = lb.bpffs / "foreign"
    shell.run(["bpftool", "map", "create", foreign, "type", "array", "key", "4", "value", "4",
               "entries", "1", "name", "foreign"])
    lb.cli("detach", "--all")
    lb.stop()
    assert [pin for pin in pins(lb) if pin.is_file()] == [foreign]
    foreign.unlink()


def test_detach_all_of_nothing_is_no_error(lab, lb):
    lb.cli("detach", "--all")
    lb.cli("detach", "--all")


@pytest.mark.parametrize("alive", [True, False], ids=["with-daemon", "without-daemon"])
def test_detach_takes_one_interface_off(lab, lb, alive):
    lb.start(one_service(lab))
    if not alive:
        lb.kill()
    lb.cli("detach", "front")
    assert lb.xdp("front") is None
    assert lb.xdp("back") is not None
    if alive:
        assert [i["name"] for i in lb.status()["interfaces"]] == ["back"]
        lb.cli("attach", "front")
        assert lb.xdp("front") is not None
        assert ask_tcp(lab.client, lab.at(4)).name


def test_detach_of_what_is_not_attached_says_so(lab, lb):
    lb.start(one_service(lab))
    done = lb.cli("detach", "lo", check=False)
    assert done.returncode == 1 and "lo" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_attach_starts_a_daemon_and_returns_once_it_serves(lab, lb, version):
    lb.write(one_service(lab))
    lb.cli("attach", *lab.interfaces, "-c", lb.file)
    assert ask_tcp(lab.client, lab.at(version)).name
    assert len(lb.status()["interfaces"]) == 2
    lb.cli("attach", *lab.interfaces)  # again: nothing to do
    lb.stop()
    assert ask_tcp(lab.client, lab.at(version)).name
    lb.cli("attach", *lab.interfaces, "-c", lb.file)
    assert lb.service()["connections"] == 2


def test_attach_with_a_bad_file_exits_with_2_and_says_where(lab, lb):
    lb.write("interfaces: 7\n")
    done = lb.cli("attach", "front", "-c", lb.file, check=False)
    assert done.returncode == 2
    assert "xdplb.yaml:1:" in done.stderr, done.stderr
    assert lb.xdp("front") is None


def test_stopping_what_does_not_run_is_no_error(lab, lb):
    lb.cli("stop")
    lb.start(one_service(lab))
    lb.stop()
    lb.cli("stop")


def test_a_second_daemon_in_the_same_directories_is_refused(lab, lb, version):
    lb.start(one_service(lab))
    done = lb.cli("run", "-c", lb.file, check=False)
    assert done.returncode == 1
    assert str(lb.run_dir) in done.stderr, done.stderr
    assert ask_tcp(lab.client, lab.at(version)).name
    assert lb.service()["connections"] == 1


def test_two_daemons_in_different_directories_run_side_by_side(lab, lb, version):
    lb.start(one_service(lab))
    other = Balancer(lab, host=lab.clients[1], name="other")
    try:
        other.start(one_service(lab) | {"interfaces": [{"name": "eth0"}]})
        assert [i["name"] for i in other.status()["interfaces"]] == ["eth0"]
        assert load(lab.client, lab.at(version), 20)["ok"] == 20
        assert other.service()["connections"] == 0
        other.cli("detach", "--all")
        assert load(lab.client, lab.at(version), 20)["ok"] == 20
    finally:
        other.clean()


def test_directories_can_come_from_the_environment(lab, lb):
    lb.start(one_service(lab))
    argv = lb.argv("status", "--json")[:3]
    done = lab.lb.run(["env", f"XDPLB_RUN_DIR={lb.run_dir}", f"XDPLB_BPFFS={lb.bpffs}", *argv])
    assert json.loads(done.stdout)["services"] == lb.status()["services"]


def test_maps_are_pinned_by_their_names_with_btf(lab, lb):
    lb.start(one_service(lab))
    for name in ("services", "pools", "backends", "tables", "flows", "embryos", "outcomes"):
        shown = json.loads(shell.run(["bpftool", "-j", "map", "show", "pinned",
                                      lb.bpffs / name]).stdout)
        assert shown["name"] == name
    assert json.loads(shell.run(["bpftool", "-j", "map", "dump", "pinned",
                                 lb.bpffs / "services"]).stdout)[0]["formatted"]


def test_a_foreign_program_is_named_and_left_alone(lab, lb):
    lab.lb.ip(f"link set front xdpdrv obj {STUB} sec xdp.frags")
    number = lb.xdp("front")["prog"]["id"]
    try:
        lb.write(one_service(lab))
        done = lb.cli("attach", "front", "-c", lb.file, check=False)
        assert done.returncode == 1
        assert "front" in done.stderr and "lab_pass" in done.stderr, done.stderr
        assert lb.xdp("front")["prog"]["id"] == number
        done = lb.cli("run", "-c", lb.file, check=False)
        assert done.returncode == 1
        assert "front" in done.stderr and "lab_pass" in done.stderr, done.stderr
        assert lb.xdp("front")["prog"]["id"] == number
    finally:
        lab.lb.ip("link set front xdpdrv off")


def test_an_interface_that_is_missing_is_named(lab, lb):
    lb.write(one_service(lab) | {"interfaces": [{"name": "absent0"}]})
    done = lb.cli("run", "-c", lb.file, check=False)
    assert done.returncode in (1, 2) and "absent0" in done.stderr, done.stderr


def test_the_control_socket_is_the_owners_alone(lab, lb):
    lb.start(one_service(lab))
    assert os.stat(lb.run_dir / "control.sock").st_mode & 0o777 == 0o600


def send_to_control(lb, what: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(2)
        control.connect(str(lb.run_dir / "control.sock"))
        try:
            control.sendall(what)
            control.shutdown(socket.SHUT_WR)
            return control.recv(65536)
        except (TimeoutError, ConnectionError):
            return b""


@pytest.mark.parametrize("junk", [
    b"", b"\n", b"\0" * 100, os.urandom(5000), b"GET / HTTP/1.1\r\n\r\n", b"{" * 100_000,
    b'{"verb": "explode"}\n', b"reload" + b"x" * 2_000_000, b"[" * 500_000 + b"\n",
    b'{"verb": ' + b'"' * 100 + b"\n"], ids=range(10))
def test_junk_on_the_control_socket_harms_nothing(lab, lb, junk):
    lb.start(one_service(lab))
    send_to_control(lb, junk)
    assert lb.daemon.poll() is None
    assert lb.service()["connections"] == 0


def test_silent_callers_on_the_control_socket_block_nobody(lab, lb):
    lb.start(one_service(lab))
    silent = []
    for _ in range(20):
        silent.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        silent[-1].connect(str(lb.run_dir / "control.sock"))
    assert lb.service()["connections"] == 0
    for caller in silent:
        caller.close()


VERBS = ("run", "attach", "detach", "stop", "reload", "check", "status", "flows", "version")


def test_every_verb_has_help(lb):
    for words in ([], *([verb] for verb in VERBS)):
        done = lb.cli(*words, "--help")
        assert "usage" in done.stdout.lower(), words
    for verb in VERBS:
        assert verb in lb.cli("--help").stdout


def test_version_names_abi_libbpf_and_kernel(lb):
    said = lb.cli("version").stdout
    assert "abi" in said.lower() and "libbpf" in said and os.uname().release in said, said


@pytest.mark.parametrize("words", [["explode"], ["status", "--colour"], ["run"], ["detach"],
                                   ["check"], ["attach"]], ids=" ".join)
def test_a_wrong_command_line_exits_with_2(lb, words):
    done = lb.cli(*words, check=False)
    assert done.returncode == 2, done
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("verb", ["status", "flows", "reload"])
def test_asking_a_daemon_that_does_not_run_exits_with_1(lb, verb):
    done = lb.cli(verb, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_status_and_flows_are_readable(lab, lb):
    lb.start(one_service(lab))
    with Stream(lab.client, lab.at(4)) as stream:
        stream.ask()
        said = lb.cli("status").stdout
        for word in ("web", "front", "native", "10.77.100.1:80", "10.77.2.21:7000", "up"):
            assert word in said, said
        assert lab.client.address[4] in lb.cli("flows").stdout
