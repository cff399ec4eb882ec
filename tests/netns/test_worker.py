# SPDX-License-Identifier: GPL-2.0-only
"""The worker of sniffed services as a process: what it may do, when it is there, who replaces it."""
import os
import signal
from pathlib import Path
from time import sleep

import pytest

from lab import mux, shell
from lab.balancer import one_service, pid_alive
from lab.mux import Raw, say
from lab.real import Recorder
from lab.shell import until
from lab.site import Site

ECHO = 9000
POOLS = {"echo": (0, ECHO), "other": (1, ECHO)}
ROUTES = [({"protocol": "ssh"}, "echo")]
THREADS = 4  # two interfaces with two queues each
IDLE_TICKS = 5  # of 1/100 s, in 3 s: some wakeups are allowed, a busy loop is not


@pytest.fixture(scope="module")
def lab():
    with Site(clients=1, backends=2) as site:
        site.recorders = [Recorder(host, ECHO) for host in site.backends]
        yield site


def made(lab, routes=None, **service):
    return mux.mux(lab, ROUTES if routes is None else routes, POOLS, "other", **service)


def workers(lb) -> list[int]:
    return [int(pid) for pid in
            shell.run(["pgrep", "-P", lb.daemon.pid], check=False).stdout.split()]


def worker(lb) -> int:
    found = workers(lb)
    assert len(found) == 1, found
    return found[0]


def threads(lb) -> int:
    return lb.metric("xdplb_worker_threads")


def another(lb, than: int, timeout: float = 10) -> int:
    """The pid of the worker that took the place of another one, once it serves all queues."""
    until(lambda: threads(lb) == THREADS and workers(lb) not in ([], [than]),
          "another worker is there", timeout)
    return worker(lb)


def facts(pid: int, task: str = "") -> dict[str, str]:
    rows = Path(f"/proc/{pid}{task}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (row.partition(":") for row in rows)}


def test_every_thread_has_no_capability_and_a_filter(lab, lb):
    lb.start(made(lab))
    pid = worker(lb)
    tasks = os.listdir(f"/proc/{pid}/task")
    assert len(tasks) == 1 + THREADS
    for task in tasks:
        of = facts(pid, f"/task/{task}")
        assert {of[key] for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert set(of["Uid"].split() + of["Gid"].split()) == {"65534"} and not of["Groups"]
        assert (of["NoNewPrivs"], of["Seccomp"]) == ("1", "2")
    assert facts(pid)["PPid"] == str(lb.daemon.pid)
    assert "65534" not in facts(lb.daemon.pid)["Uid"].split()


def test_it_holds_nothing_but_what_it_was_handed(lab, lb):
    lb.start(made(lab))
    held = sorted(os.readlink(fd) for fd in Path(f"/proc/{worker(lb)}/fd").iterdir())
    kinds = {link.partition(":")[0] if ":" in link else link for link in held}
    assert kinds <= {"/dev/null", "socket", "anon_inode", str(lb.log)}, held
    assert sum(link.startswith("socket:") for link in held) == THREADS + 1  # and the daemon's
    assert sum("bpf-prog" in link for link in held) == 2  # splice, handshakes_due
    assert not any("bpf-map" in link for link in held)


def test_users_are_told_that_it_is_not_for_them(lb):
    done = lb.cli("worker", check=False)
    assert done.returncode == 2 and "daemon" in done.stderr
    assert "worker" not in lb.cli("--help").stdout


def test_there_is_none_without_routes(lab, lb):
    lb.start(one_service(lab))
    assert workers(lb) == [] and threads(lb) == 0
    assert "worker" not in lb.log_text()


def test_it_comes_and_goes_with_routes(lab, lb, version):
    lb.start(one_service(lab))
    for _ in range(2):
        lb.reload(made(lab))
        assert threads(lb) == THREADS  # before XDP is told to sniff
        assert say(lab.client, lab.at(version, mux.PORT), mux.SSH) == "b1"
        lb.reload(one_service(lab))
        assert workers(lb) == [] and threads(lb) == 0
    assert lb.outcome("drop_no_worker") == 0


def ticks(pid: int) -> int:
    used = 0
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        used += sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13]))
    return used


def test_idle_it_costs_next_to_nothing(lab, lb):
    lb.start(made(lab, sniff_timeout="60s"))
    with Raw(lab.client, lab.at(4, mux.PORT)) as waiting:  # a timer far away costs nothing either
        waiting.send(b"SS")
        sleep(0.5)
        pid = worker(lb)
        before = ticks(pid)
        sleep(3)
        assert ticks(pid) - before <= IDLE_TICKS


def test_killed_it_is_replaced_and_what_clients_repeat_is_served(lab, lb, version):
    lb.start(made(lab))
    vip = lab.at(version, mux.PORT)
    assert say(lab.client, vip, mux.SSH) == "b1"
    with Raw(lab.client, vip) as spliced, Raw(lab.client, vip) as begun, Raw(lab.client, vip) as early:
        spliced.send(mux.SSH)
        assert spliced.line() == "b1"
        pid = worker(lb)
        os.kill(pid, signal.SIGSTOP)  # what comes now it takes no more
        begun.send(mux.SSH)
        os.kill(pid, signal.SIGKILL)
        another(lb, pid)
        assert begun.line() == "b1" and begun.read(len(mux.SSH)) == mux.SSH
        early.send(mux.SSH)
        assert early.line() == "b1"
        assert spliced.read(len(mux.SSH)) == mux.SSH
        spliced.send(b"still here")
        assert spliced.read(10) == b"still here"
    assert "was killed by SIGKILL" in lb.log_text()
    assert lb.metric("xdplb_worker_restarts_total") == 1


def test_killed_again_and_again_it_comes_back_every_time(lab, lb):
    lb.start(made(lab))
    for _ in range(3):
        pid = worker(lb)
        os.kill(pid, signal.SIGKILL)
        another(lb, pid)
    assert say(lab.client, lab.at(4, mux.PORT), mux.SSH) == "b1"


def test_stalled_it_is_replaced(lab, lb, version):
    lb.start(made(lab))
    pid = worker(lb)
    os.kill(pid, signal.SIGSTOP)
    with Raw(lab.client, lab.at(version, mux.PORT), timeout=20) as raw:
        raw.send(mux.SSH)
        assert raw.line() == "b1"
    assert another(lb, pid) and not pid_alive(pid)
    assert "stands still" in lb.log_text()


def test_silent_to_its_daemon_it_is_replaced(lab, lb):
    lb.start(made(lab))
    pid = worker(lb)
    os.kill(pid, signal.SIGSTOP)
    lb.reload(made(lab, [({"protocol": "http"}, "echo")]))  # it does not answer that
    another(lb, pid, 20)
    assert "does not answer" in lb.log_text()
    assert say(lab.client, lab.at(4, mux.PORT), mux.HTTP) == "b1"


def test_it_ends_with_the_daemon_however_that_ends(lab, lb, version):
    for end in (lb.stop, lb.kill):
        lb.start(made(lab))
        pid = worker(lb)
        with Raw(lab.client, lab.at(version, mux.PORT)) as raw:
            raw.send(mux.SSH)
            assert raw.line() == "b1" and raw.read(len(mux.SSH)) == mux.SSH
            end()
            until(lambda: not pid_alive(pid), "the worker has ended")
            raw.send(b"and goes on")
            assert raw.read(11) == b"and goes on"
            lb.start()  # in force again when it says ready
            assert say(lab.client, lab.at(version, mux.PORT), mux.SSH) == "b1"
            lb.stop()


def test_signals_meant_for_the_daemon_do_not_end_it(lab, lb):
    lb.start(made(lab))
    pid = worker(lb)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    assert say(lab.client, lab.at(4, mux.PORT), mux.SSH) == "b1"
    assert worker(lb) == pid


def test_memory_is_given_back_by_a_worker_that_lives(lab, lb):
    """The C library would open a file for that: the filter may say no, but not kill."""
    lb.start(made(lab, [({"protocol": "http", "host": ["c.example"]}, "echo")],
                  sniff_timeout="5s"))
    pid = worker(lb)
    raws = [Raw(lab.client, lab.at(4, mux.PORT)) for _ in range(1000)]
    for raw in raws:
        raw.send(b"GET /" + b"a" * 15000)
    until(lambda: lb.status()["sniffing"]["held_bytes"] >= 10 << 20, "much is held")
    for raw in raws:
        raw.reset()
    until(lambda: lb.status()["sniffing"]["connections"] == 0, "nothing is held", 30)
    assert worker(lb) == pid


def test_interfaces_come_and_go(lab, lb, version):
    lb.start(made(lab))
    pid = worker(lb)
    lb.cli("detach", "back")
    until(lambda: threads(lb) == 2, "its sockets are gone")
    lb.cli("attach", "back")
    until(lambda: threads(lb) == THREADS, "they are back")
    assert say(lab.client, lab.at(version, mux.PORT), mux.SSH) == "b1"
    assert worker(lb) == pid  # all this without a new one


def test_queues_that_come_are_followed(lab, lb):
    peer = ["ethtool", "-L", "lb-back", "tx"]
    try:
        lab.switch.run([*peer, "1"])  # or we could not have fewer than it sends by
        until(lambda: not lab.lb.run(["ethtool", "-L", "back", "rx", "1"], check=False).returncode,
              "sockets of former daemons are gone")
        lb.start(made(lab))
        assert threads(lb) == THREADS - 1
        pid = worker(lb)
        lab.lb.run(["ethtool", "-L", "back", "rx", "2"])
        until(lambda: threads(lb) == THREADS, "one queue more")
        assert worker(lb) == pid
        assert say(lab.client, lab.at(4, mux.PORT), mux.SSH) == "b1"
    finally:
        lb.cli("stop", check=False)  # with a socket on it no queue can be taken away
        lab.lb.run(["ethtool", "-L", "back", "rx", "2"], check=False)
        lab.switch.run([*peer, "2"])


def test_generic_mode_is_served_too(lab, lb, version):
    config = made(lab)
    for row in config["interfaces"]:
        row["mode"] = "generic"
    lb.start(config)
    assert threads(lb) == THREADS
    assert say(lab.client, lab.at(version, mux.PORT), mux.SSH) == "b1"


def test_interfaces_of_another_mode_get_other_sockets(lab, lb, version):
    config = made(lab)
    lb.start(config)
    pid = worker(lb)
    for mode in ("generic", "native"):
        for row in config["interfaces"]:
            row["mode"] = mode
        lb.reload(config)
        until(lambda: threads(lb) == THREADS, "all are served again")
        assert say(lab.client, lab.at(version, mux.PORT), mux.SSH) == "b1"
    assert worker(lb) == pid
