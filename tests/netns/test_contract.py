# SPDX-License-Identifier: GPL-2.0-only
"""The outside, word by word: what scripts rely on and no other test looks at."""
from lab.balancer import one_service
from lab.clients import ask_tcp


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
