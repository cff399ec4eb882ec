# SPDX-License-Identifier: GPL-2.0-only
"""Everything at once under a running transfer: edits, reloads, restarts, kill -9.

SOAK=1 in the environment: 60 seconds, 100 edits, 20 reloads, 5 restarts, 5 kill -9, as the
design demands; otherwise a sixth of it.
"""
import random
import time

from lab.balancer import listeners, one_service
from lab.clients import Talk, assert_unharmed, ask_tcp, load

LAB = {"backends": 4}


def edits(lab, dice):
    members = dice.sample(lab.backends, dice.randint(2, 4))
    weights = {host.name: dice.randint(1, 5) for host in members}
    return one_service(lab, hosts=members, weights=weights)


def do_edit(lab, lb, dice):
    lb.reload(edits(lab, dice))


def do_reload(lab, lb, dice):
    """Also the rest of the file changes: a further listener comes and goes."""
    made = edits(lab, dice)
    made["services"]["web"]["listen"] += listeners(dice.randint(1000, 2000))
    lb.reload(made)


def do_restart(lab, lb, dice):
    lb.stop()
    lb.start(edits(lab, dice))


def do_kill(lab, lb, dice):
    lb.kill()
    lb.start()


def test_no_flow_is_harmed_by_edits_reloads_restarts_and_kills(lab, lb, soak):
    dice = random.Random(20)
    seconds, counts = (60, (100, 20, 5, 5)) if soak else (10, (20, 5, 2, 2))
    deeds = [deed for deed, count in zip((do_edit, do_reload, do_restart, do_kill), counts)
             for _ in range(count)]
    dice.shuffle(deeds)
    lb.start(one_service(lab))
    talks = [Talk(client, lab.at(version), streams=6, datagrams=30, interval=10, size=1000)
             for client in lab.clients for version in (4, 6)]
    bulk = [Talk(lab.client, lab.at(version), streams=2, size=100_000, interval=1)
            for version in (4, 6)]
    began = time.monotonic()
    for number, deed in enumerate(deeds):
        deed(lab, lb, dice)
        assert ask_tcp(lab.client, lab.at(4)).name
        while time.monotonic() - began < seconds * number / len(deeds):
            assert load(lab.client, lab.at(6), 20)["ok"] == 20
    for talk in talks + bulk:
        assert_unharmed(talk.finish())
    assert lb.outcome("CONTINUE") == 0
