# SPDX-License-Identifier: GPL-2.0-only
"""Another flow_table at the next start: the flows come along."""
import pytest

from lab.balancer import one_service
from lab.clients import Stream, Talk, assert_unharmed


def rows(lb) -> float:
    return lb.metric("xdplb_flows_max", table="flows")


@pytest.mark.parametrize("size", [65536, 1024], ids=["larger", "smaller"])
def test_flows_move_into_a_flow_table_of_another_size(lab, lb, version, size):
    lb.start(one_service(lab, flow_table=4096))
    assert rows(lb) == 4096
    talk = Talk(lab.client, lab.at(version), streams=50, datagrams=20, interval=5)
    with Stream(lab.client, lab.at(version)) as idle:
        name = idle.ask().name
        held = lb.service()["active_flows"]
        assert "flow_table" in lb.reload_words(one_service(lab, flow_table=size))
        assert rows(lb) == 4096
        lb.stop()
        lb.start()
        assert rows(lb) == size
        assert lb.service()["active_flows"] == held
        assert idle.ask().name == name
        assert_unharmed(talk.finish())
    assert lb.metric("xdplb_flow_events_total", event="move_lost") == 0
    assert not list(lb.bpffs.glob("old_*"))


def test_a_move_that_was_killed_is_completed_by_the_next_start(lab, lb, version):
    lb.start(one_service(lab, flow_table=4096))
    with Stream(lab.client, lab.at(version)) as stream:
        name = stream.ask().name
        lb.stop()
        # as a process leaves it that is killed after the first step
        (lb.bpffs / "flows").rename(lb.bpffs / "old_flows")
        lb.start(one_service(lab, flow_table=8192))
        assert stream.ask().name == name
        assert rows(lb) == 8192
