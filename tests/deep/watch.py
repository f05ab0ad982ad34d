"""A pytest plugin: which tests run which lines, and afterwards only the tests that a mutant can fail.

With CMVIGIL_WATCH it writes how long each test took, and names each test to coverage while it runs. With
CMVIGIL_CHOSEN it runs the tests named in that file, in their order, and no others.
"""

import json
import os
from pathlib import Path

import coverage
import pytest

WATCH = os.environ.get("CMVIGIL_WATCH")
CHOSEN = os.environ.get("CMVIGIL_CHOSEN")
_seconds: dict[str, float] = {}


def pytest_sessionstart() -> None:
    """The plan is built before any test: a line that only builds it belongs to all tests of its module."""
    if WATCH:
        from tests.monitor.case import plan

        plan()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    running = coverage.Coverage.current() if WATCH else None
    if running is not None:
        running.switch_context(item.nodeid)
    result = yield
    if running is not None:
        running.switch_context("")
    return result


def pytest_runtest_logreport(report):
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0) + report.duration


def pytest_collection_modifyitems(config, items):
    if CHOSEN:
        order = {node: i for i, node in enumerate(json.loads(Path(CHOSEN).read_text()))}
        items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])


def pytest_sessionfinish():
    if WATCH:
        Path(WATCH).write_text(json.dumps(_seconds))
