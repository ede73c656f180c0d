"""Findings of a program, in the diagnostics of its preview."""

from __future__ import annotations

from chatons.schema.checks import CheckResult, message
from chatons.schema.problems import Problem
from ronron.adapters.pulumi_engine.events import Diagnostic, EventLog
from ronron.adapters.pulumi_engine.program_checks import findings_in
from ronron.core.status import Finding


def log(*messages: str, severity: str = "info") -> EventLog:
    return EventLog(diagnostics=tuple(Diagnostic(severity, message) for message in messages))


def test_what_our_program_tells_is_understood() -> None:
    problem = Problem(path=("machines", "vm01", "proxmox", "node"), problem="it is away", remedy="wake it")
    checks = (
        CheckResult(name="node alice", found="online", version="9.0.10"),
        CheckResult(name="node bob", problem=problem),
    )
    assert findings_in(log(*(message(check) + "\n" for check in checks)), ()) == (
        Finding(name="node alice", good=True, version="9.0.10", origin="online"),
        Finding(
            name="node bob",
            good=False,
            origin="it is away",
            remedy="ronron:machines.vm01.proxmox.node: wake it",
        ),
    )


def test_what_else_is_said_is_no_finding() -> None:
    assert findings_in(log("a note about an examination: later"), ()) == ()
    assert findings_in(log(message(CheckResult(name="node alice")), severity="warning"), ()) == ()


def test_what_is_no_finding_is_told_and_stops_nothing() -> None:
    broken = ["examination: {", "examination: []", 'examination: {"name": "a"}',
              'examination: {"name": "a", "good": "perhaps"}']  # fmt: skip
    found = findings_in(log(*broken, message(CheckResult(name="node alice"))), ())
    assert [finding.name for finding in found] == [*["examination"] * 4, "node alice"]
    assert [finding.good for finding in found] == [False] * 4 + [True]


def test_secrets_and_floods_do_not_get_through() -> None:
    problem = Problem(path=(), problem=f"hunter22 {'x' * 5000}", remedy="ask hunter22")
    (finding,) = findings_in(log(message(CheckResult(name="hunter22", problem=problem))), ["hunter22"])
    assert "hunter22" not in str(finding)
    assert len(finding.origin) < 1100
