"""Findings of a program, in the diagnostics of its preview."""

from __future__ import annotations

from chatons.schema import checks
from chatons.schema.checks import message
from chatons.schema.problems import Problem
from ronron.adapters.pulumi_engine.events import Diagnostic, EventLog
from ronron.adapters.pulumi_engine.program_checks import results_in
from ronron.core.status import CheckResult


def log(*messages: str, severity: str = "info") -> EventLog:
    return EventLog(diagnostics=tuple(Diagnostic(severity, message) for message in messages))


def test_what_our_program_tells_is_understood() -> None:
    problem = Problem(path=("machines", "vm01", "proxmox", "node"), problem="it is away", remedy="wake it")
    results = (
        checks.CheckResult(name="node alice", found="online", version="9.0.10"),
        checks.CheckResult(name="node bob", problem=problem),
    )
    assert results_in(log(*(message(check) + "\n" for check in results)), ()) == (
        CheckResult(name="node alice", good=True, version="9.0.10", origin="online"),
        CheckResult(
            name="node bob",
            good=False,
            origin="it is away",
            remedy="ronron:machines.vm01.proxmox.node: wake it",
        ),
    )


def test_what_else_is_said_is_no_finding() -> None:
    assert results_in(log("a note about a ronron check: later"), ()) == ()
    assert results_in(log(message(checks.CheckResult(name="node alice")), severity="warning"), ()) == ()


def test_what_is_no_finding_is_told_and_stops_nothing() -> None:
    broken = ["ronron check: {", "ronron check: []", 'ronron check: {"name": "a"}',
              'ronron check: {"name": "a", "good": "perhaps"}']  # fmt: skip
    found = results_in(log(*broken, message(checks.CheckResult(name="node alice"))), ())
    assert [finding.name for finding in found] == [*["check"] * 4, "node alice"]
    assert [finding.good for finding in found] == [False] * 4 + [True]


def test_secrets_and_floods_do_not_get_through() -> None:
    problem = Problem(path=(), problem=f"hunter22 {'x' * 5000}", remedy="ask hunter22")
    (finding,) = results_in(log(message(checks.CheckResult(name="hunter22", problem=problem))), ["hunter22"])
    assert "hunter22" not in str(finding)
    assert len(finding.origin) < 1100
