"""What was looked at before an update: each thing that is as it should be, and each that is not.

With RONRON_CHECK=1 the program says all of it and makes nothing; whoever ran it reads it from the engine's
events: one message each, of the form `ronron check: {"name": ..., "good": ..., "version": ..., "origin": ...,
"remedy": ...}`.
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
class Check:
    """One thing that was looked at.

    Attributes:
        name: of the thing, in a few words.
        found: what was found there, where it is good.
        version: of what answers; empty where it has none.
        problem: what is wrong; None where it is good.
        stops: whether an update may not begin with that problem.
    """

    name: str
    found: str = ""
    version: str = ""
    problem: Problem | None = None
    stops: bool = True


def is_asked_for(environment: Mapping[str, str]) -> bool:
    """Whether this run only looks."""
    return environment.get(CHECK) == "1"


def problems(checks: Iterable[Check]) -> list[Problem]:
    """What stands in the way of an update."""
    return [check.problem for check in checks if check.problem is not None and check.stops]


def told(check: Check) -> str:
    """A check as one message for who reads the engine's events."""
    problem = check.problem
    finding: dict[str, Any] = {
        "name": check.name,
        "good": problem is None,
        "version": check.version,
        "origin": check.found if problem is None else problem.problem,
        "remedy": ""
        if problem is None
        else f"{problem.key}: {problem.remedy}"
        if problem.key
        else problem.remedy,
    }
    return PREFIX + json.dumps(finding, ensure_ascii=False)
