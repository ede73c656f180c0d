"""The results of checks: what the program looks at before an update begins.

With RONRON_CHECK=1 the program logs every result and registers no resource. The caller reads them from the
engine's events, one message for each result: `ronron check: {"name": ..., "good": ..., "version": ...,
"origin": ..., "remedy": ...}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chatons.schema.problems import Problem

CHECK = "RONRON_CHECK"
PREFIX = "ronron check: "


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The result of one check.

    Attributes:
        name: of what was checked, in a few words.
        found: what the check found; empty when it failed.
        version: of the service that answered; empty when it has none.
        problem: what is wrong; None when the check passed.
        stops: whether the problem blocks an update.
    """

    name: str
    found: str = ""
    version: str = ""
    problem: Problem | None = None
    stops: bool = True


def is_asked_for(environment: Mapping[str, str]) -> bool:
    """Whether this run only checks and registers no resource."""
    return environment.get(CHECK) == "1"


def blocking(results: Iterable[CheckResult]) -> list[Problem]:
    """The problems that block an update."""
    return [result.problem for result in results if result.problem is not None and result.stops]


def message(result: CheckResult) -> str:
    """A result as one log message, for readers of the engine's events."""
    problem = result.problem
    document: dict[str, Any] = {
        "name": result.name,
        "good": problem is None,
        "version": result.version,
        "origin": result.found if problem is None else problem.problem,
        "remedy": ""
        if problem is None
        else f"{problem.key}: {problem.remedy}"
        if problem.key
        else problem.remedy,
    }
    return PREFIX + json.dumps(document, ensure_ascii=False)
