"""Pytest plugin: which tests are quick checks, and which are slow without a reason."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[1] / "unit"

SLOW_SECONDS = 60.0
"""A test that takes longer says why in its docstring."""

UNEXPLAINED = "slow without a reason"
"""A property of the report of such a test: a worker of pytest-xdist hands over reports alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of `make check`: units, and the fakes of the contracts."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        is_fake = callspec is not None and "fake" in [
            each for each in callspec.params.values() if isinstance(each, str)
        ]
        if is_fake or item.path.is_relative_to(UNITS):
            item.add_marker(pytest.mark.check)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a slow test that does not say why."""
    report = yield
    explained = (getattr(getattr(item, "function", None), "__doc__", None) or "").strip()
    if call.when == "call" and call.duration > SLOW_SECONDS and not explained:
        report.user_properties.append((UNEXPLAINED, f"{call.duration:.0f} s"))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the slow tests that do not say why: a warning, since a busy machine makes any test slow."""
    found = {
        report.nodeid: seconds
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport)
        for name, seconds in report.user_properties
        if name == UNEXPLAINED
    }
    if not found:
        return
    terminalreporter.section(f"tests over {SLOW_SECONDS:.0f} s whose docstring does not say why", yellow=True)
    for nodeid, seconds in sorted(found.items()):
        terminalreporter.line(f"{seconds} {nodeid}", yellow=True)
