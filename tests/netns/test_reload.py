# SPDX-License-Identifier: GPL-2.0-only
"""Reloading, by every way to ask for it, and configurations that are wrong: rows 18 and 19."""
import contextlib
import os
import re
import signal
import socket

import pytest

from lab import build, shell
from lab.balancer import backends, config, listeners, one_service
from lab.clients import Talk, assert_unharmed, ask_tcp, load
from lab.shell import until


def weights_of(lb):
    return [row["weight"] for row in lb.status()["pools"]["web"]["backends"]]


def weighted(lab, weight, **top):
    return one_service(lab, weights={host.name: weight for host in lab.backends}, **top)


@contextlib.contextmanager
def undisturbed(lab, version):
    """Streams and datagrams that go on meanwhile, and lose nothing."""
    talk = Talk(lab.client, lab.at(version), streams=8, datagrams=8, interval=5)
    yield
    assert_unharmed(talk.finish())


def by_command(lb, made):
    lb.reload(made)


def by_sighup(lb, made):
    lb.write(made)
    lb.daemon.send_signal(signal.SIGHUP)


def by_watching_a_write(lb, made):
    lb.file.write_text(lb.text(made))


def by_watching_a_rename(lb, made):
    lb.write(made)


def by_watching_a_rename_from_elsewhere(lb, made):
    """Whoever makes it in another directory is seen to do one thing only: to move it in."""
    aside = lb.dir.parent / "xdplb.yaml.aside"
    aside.write_text(lb.text(made))
    aside.rename(lb.file)


def by_watching_vim(lb, made):
    """vim moves the old file away, writes a new one of the same name, removes the old one."""
    backup = lb.file.with_name(lb.file.name + "~")
    lb.file.rename(backup)
    with open(lb.file, "w", encoding="ascii") as new:
        text = lb.text(made)
        new.write(text[:10])
        new.flush()
        new.write(text[10:])
        new.flush()
        os.fsync(new.fileno())
    lb.file.chmod(0o644)
    backup.unlink()


def by_watching_a_removal_and_a_new_file(lb, made):
    lb.file.unlink()
    lb.file.write_text(lb.text(made))


WAYS = [by_command, by_sighup, by_watching_a_write, by_watching_a_rename,
        by_watching_a_rename_from_elsewhere, by_watching_vim, by_watching_a_removal_and_a_new_file]


@pytest.mark.parametrize("how", WAYS, ids=lambda how: how.__name__.replace("_", "-"))
def test_a_reload_disturbs_no_stream_and_no_datagram(lab, lb, version, how):
    watch = "watching" in how.__name__
    lb.start(weighted(lab, 1, watch=watch))
    with undisturbed(lab, version):
        for weight in (7, 8, 9):  # also the second and third time
            how(lb, weighted(lab, weight, watch=watch))
            until(lambda w=weight: set(weights_of(lb)) == {w}, f"weight {weight} is taken up")


def test_a_file_behind_a_swapped_symbolic_link_is_watched(lab, lb):
    """The way configuration is mounted into containers."""
    for name, weight in (("one", 1), ("two", 2)):
        (lb.dir / name).mkdir(exist_ok=True)
        (lb.dir / name / "xdplb.yaml").write_text(lb.text(weighted(lab, weight, watch=True)))
    lb.file.unlink(missing_ok=True)
    (lb.dir / "current").symlink_to("one")
    lb.file.symlink_to("current/xdplb.yaml")
    try:
        lb.start()
        (lb.dir / "next").symlink_to("two")
        (lb.dir / "next").rename(lb.dir / "current")
        until(lambda: set(weights_of(lb)) == {2}, "the other directory's file is taken up")
    finally:
        lb.file.unlink()
        (lb.dir / "current").unlink()


def test_watch_false_leaves_changes_alone_until_asked(lab, lb):
    lb.start(weighted(lab, 1, watch=False))
    lb.write(weighted(lab, 5, watch=False))
    with pytest.raises(AssertionError):
        until(lambda: set(weights_of(lb)) == {5}, "never", 1.0)
    lb.reload()
    assert set(weights_of(lb)) == {5}


def test_a_reload_tells_what_changed(lab, lb):
    lb.start(weighted(lab, 1))
    said = lb.reload(weighted(lab, 5))
    assert lab.backends[0].address[4] in said and "weight" in said and "5" in said, said
    again = lb.reload()
    assert lab.backends[0].address[4] not in again, again


@pytest.mark.parametrize("key, value", [("flow_table", 8192), ("hash_seed", "ab" * 16)])
def test_a_reload_says_what_needs_a_restart(lab, lb, version, key, value):
    lb.start(weighted(lab, 1))
    done = lb.reload_words(weighted(lab, 2, **{key: value}))
    assert key in done and "start" in done, done
    assert set(weights_of(lb)) == {2}
    assert ask_tcp(lab.client, lab.at(version)).name


def test_everything_can_be_reloaded(lab, lb, version):
    """Services, listeners, pools, methods and backends come, change and go in one go."""
    lb.start(one_service(lab))
    with undisturbed(lab, version):
        pools = {"web": {"balance": "round-robin", "backends": backends(lab.backends[:2], 7000)},
                 "more": {"balance": "first", "table": 2039,
                          "backends": backends(lab.backends[2:], 7001)}}
        services = {"web": {"listen": listeners(80) + listeners(8080), "pool": "web"},
                    "more": {"listen": listeners(81, number=2), "pool": "more"}}
        lb.reload(config(lab, pools, services))
        assert load(lab.client, lab.at(version), 20)["backends"] == {"b1": 10, "b2": 10}
        assert load(lab.client, lab.at(version, 8080), 20)["ok"] == 20
        assert load(lab.client, lab.at(version, 81, 2), 20)["backends"] == {"b3": 20}
        assert set(lb.status()["services"]) == {"web", "more"}
        lb.reload(one_service(lab))
        gone = lb.status()["pools"].get("more", {"backends": []})["backends"]
        assert all(row["removed"] for row in gone), "only what still has flows is listed"
        with pytest.raises((ConnectionRefusedError, TimeoutError)):
            ask_tcp(lab.client, lab.at(version, 81, 2), timeout=2)


def test_a_listener_moves_to_another_service(lab, lb, version):
    def made(first, second):
        pools = {name: {"backends": backends([host], 7000)}
                 for name, host in zip(("one", "two"), lab.backends)}
        return config(lab, pools, {"one": {"listen": listeners(first), "pool": "one"},
                                   "two": {"listen": listeners(second), "pool": "two"}})
    lb.start(made(80, 81))
    assert ask_tcp(lab.client, lab.at(version, 80)).name == "b1"
    lb.reload(made(81, 80))
    assert ask_tcp(lab.client, lab.at(version, 80)).name == "b2"
    assert ask_tcp(lab.client, lab.at(version, 81)).name == "b1"


BAD = "interfaces:\n  - name: front\npools:\n  web:\n    backends: [1.2.3.4:80]\nservices:\n" \
      "  web:\n    listen: tcp://10.77.100.1:80\n    pool: nowhere\n"


@pytest.mark.parametrize("how", WAYS, ids=lambda how: how.__name__.replace("_", "-"))
def test_a_bad_file_leaves_the_old_configuration_serving(lab, lb, version, how):
    made = weighted(lab, 3, watch="watching" in how.__name__)
    lb.start(made)
    good = lb.metric("xdplb_config_last_reload_success_timestamp_seconds")
    assert lb.metric("xdplb_config_last_reload_successful") == 1 and good > 0
    with undisturbed(lab, version):
        try:
            how(lb, BAD)
        except shell.CommandFailed as refused:
            assert "xdplb.yaml:9:" in str(refused) and "nowhere" in str(refused)
        until(lambda: lb.metric("xdplb_config_last_reload_successful") == 0, "it was refused")
        assert set(weights_of(lb)) == {3}
        assert load(lab.client, lab.at(version), 50)["ok"] == 50
        assert re.search(r"xdplb\.yaml:9:\d+: .*nowhere", lb.log_text())
        assert lb.metric("xdplb_config_last_reload_success_timestamp_seconds") == good
        how(lb, made)
        until(lambda: lb.metric("xdplb_config_last_reload_successful") == 1, "it is mended")


def test_a_reload_of_a_bad_file_exits_with_2(lab, lb):
    lb.start(one_service(lab))
    lb.write(BAD)
    done = lb.cli("reload", check=False)
    assert done.returncode == 2
    assert re.match(r"\S*xdplb\.yaml:9:\d+: ", done.stderr), done.stderr


def test_a_bad_file_at_the_start_exits_with_2_and_attaches_nothing(lab, lb):
    lb.write(BAD)
    done = lb.cli("run", "-c", lb.file, check=False)
    assert done.returncode == 2
    assert re.search(r"xdplb\.yaml:9:\d+: ", done.stderr), done.stderr
    assert all(lb.xdp(dev) is None for dev in lab.interfaces)


def test_a_missing_file_at_the_start_exits_with_2(lab, lb):
    done = lb.cli("run", "-c", lb.dir / "absent.yaml", check=False)
    assert done.returncode == 2
    assert "absent.yaml" in done.stderr


@pytest.mark.parametrize("change, words", [
    (lambda c: c.update(colour="red"), "colour"),
    (lambda c: c.pop("pools"), "pools"),
    (lambda c: c["pools"]["web"].update(balance="fair"), "fair"),
    (lambda c: c["pools"]["web"].update(table=1000), "1000"),
    (lambda c: c["pools"]["web"]["backends"].append({"address": "10.77.2.9:80", "weight": 5000}),
     "5000"),
    (lambda c: c["pools"]["web"]["backends"].append("10.77.2.999:80"), "10.77.2.999"),
    (lambda c: c["services"]["web"]["listen"].append("tcp://10.77.100.1:80"), "10.77.100.1:80"),
    (lambda c: c["services"]["web"]["listen"].append("sctp://10.77.100.1:80"), "sctp"),
    (lambda c: c["services"]["web"].update(mode="teleport"), "teleport"),
    (lambda c: c["services"]["web"].update(mode="dsr", source="client"), "dsr"),
    (lambda c: c["services"]["web"].update(idle_timeout="soon"), "soon"),
    (lambda c: c["services"]["web"].update(pool="nowhere"), "nowhere"),
    (lambda c: c["interfaces"].append({"name": "front"}), "front"),
    (lambda c: c.update(nat={"ports": "30000-10000"}), "30000"),
    (lambda c: c.update(hash_seed="short"), "hash_seed"),
], ids=str)
def test_check_refuses_what_is_wrong_with_its_place(lab, lb, change, words):
    made = one_service(lab)
    change(made)
    lb.write(made)
    done = shell.run([build.XDPLB, "check", lb.file], check=False)
    first = done.stderr.splitlines()[0]
    assert done.returncode == 2, done
    assert re.match(rf"{re.escape(str(lb.file))}:\d+:\d+: ", first), first
    assert words in first, first


def test_check_accepts_what_is_right(lab, lb):
    lb.write(one_service(lab))
    assert shell.run([build.XDPLB, "check", lb.file]).returncode == 0


def test_a_listener_without_a_backend_of_its_family_is_refused(lab, lb):
    pool = {"backends": backends(lab.backends, 7000, versions=[4])}
    lb.write(config(lab, {"web": pool}, {"web": {"listen": listeners(80), "pool": "web"}}))
    done = shell.run([build.XDPLB, "check", lb.file], check=False)
    assert done.returncode == 2 and "fd77:100::1" in done.stderr, done.stderr


def test_the_samples_that_come_with_xdplb_are_right():
    for sample in ("minimal.yaml", "full.yaml"):
        shell.run([build.XDPLB, "check", build.ROOT / "configs" / sample])


def test_a_caller_that_has_not_asked_yet_hears_nothing_of_a_reload(lab, lb):
    lb.start(weighted(lab, 1))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.connect(str(lb.run_dir / "control.sock"))
        assert lb.status()["pools"]  # by now the daemon has accepted it too
        by_sighup(lb, weighted(lab, 5))
        until(lambda: set(weights_of(lb)) == {5}, "the reload is done")
        caller.setblocking(False)
        with pytest.raises(BlockingIOError):
            print("heard", caller.recv(1000))
