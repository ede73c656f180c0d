"""Which tests run side by side under pytest-xdist: files, and for some files each test by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling, Scheduling

ONE_BY_ONE = frozenset(
    {
        "tests/integration/test_backup_agent.py",
        "tests/integration/test_backup_agent_crashes.py",
        "tests/integration/test_backup_agent_targets.py",
    }
)
"""Files that take minutes, and whose tests share nothing but what a worker has for all of its tests."""

LEVELS = ("tests/end_to_end/", "tests/integration/", "tests/contract/", "tests/unit/")
"""In the order in which tests begin: the long ones first, so that no worker is left alone with one."""


SLOWER = 3
"""How much longer a test may take beside others; what it asserts stays as it is."""

LONG = 60
"""Seconds; a shorter limit says how quick a test has to be, and is not for a test that hangs."""


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to measure beside other tests."""
    if config.getoption("numprocesses", None) and any("tests/benchmarks" in word for word in config.args):
        raise pytest.UsageError("cannot run benchmarks beside each other; run `make bench`")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Hand out files with `--dist loadfile`, which needs no mark in each of them."""
    return _scheduler(config, log) if config.getvalue("dist") == "loadfile" else None


def _scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return nodeid if file in ONE_BY_ONE else file

    # By themselves they begin with the file that has the most tests.
    config.option.loadscopereorder = False
    return Files(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the tests of a worker the order of LEVELS and more time; without workers nothing changes."""
    if not hasattr(config, "workerinput"):
        return
    items.sort(key=lambda item: _level(item.nodeid))
    usual = config.getoption("timeout") or config.getini("timeout")
    for item in items:
        own = item.get_closest_marker("timeout")
        seconds = float(own.args[0] if own else usual)
        if seconds >= LONG:
            item.add_marker(pytest.mark.timeout(seconds * SLOWER), append=False)


def _level(nodeid: str) -> int:
    return next((place for place, level in enumerate(LEVELS) if nodeid.startswith(level)), len(LEVELS))
