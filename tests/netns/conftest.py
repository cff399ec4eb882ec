# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures: a lab a module (its shape in the module's LAB), a fresh xdplb a test."""
from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.balancer import Balancer  # noqa: E402
from lab.site import Site  # noqa: E402

SOAK = os.environ.get("SOAK", "0") not in ("", "0")


def _terminated(*_: object) -> None:
    raise KeyboardInterrupt("terminated")


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGTERM, _terminated)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="network namespaces need root"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """A failure shows the log of the xdplb that was under test."""
    outcome = yield
    report = outcome.get_result()
    balancer = item.funcargs.get("lb") if hasattr(item, "funcargs") else None
    if report.failed and balancer is not None:
        report.sections.append(("xdplb log", balancer.log_text()[-6000:]))


@pytest.fixture(scope="session")
def soak() -> bool:
    """True: the full numbers instead of those that fit into `make test`."""
    return SOAK


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest):
    with Site(**getattr(request.module, "LAB", {})) as site:
        yield site


@pytest.fixture
def lb(lab: Site):
    lab.revive()
    balancer = Balancer(lab)
    balancer.log.unlink(missing_ok=True)
    yield balancer
    lab.end_clients()
    balancer.daemon = None
    balancer.clean()


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def version(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(params=["tcp", "udp"])
def protocol(request: pytest.FixtureRequest) -> str:
    return request.param
