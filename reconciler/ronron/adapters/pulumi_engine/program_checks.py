"""What a program says of its own surroundings, read out of the engine's diagnostics. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pydantic import ValidationError

from ronron.adapters.pulumi_engine.events import EventLog
from ronron.core.redact import redact, shorten
from ronron.core.status import CheckResult

CHECK = "RONRON_CHECK"
"""Set to 1, it asks the program to look, say what it finds and make nothing. One that knows nothing of it is
simply previewed."""

_PREFIX = "ronron check: "
_LONGEST = 1000
"""Characters of each part of a finding: about half a screen."""
_MOST = 500


def findings_in(log: EventLog, secrets: Iterable[str]) -> tuple[CheckResult, ...]:
    """Each finding that a program told: `ronron check: {"name": ..., "good": ..., ...}`, in order.

    Args:
        log: of a preview.
        secrets: values that no finding may show.
    """
    known = tuple(secrets)
    said = (
        one.message.strip().removeprefix(_PREFIX)
        for one in log.diagnostics
        if one.severity == "info" and one.message.strip().startswith(_PREFIX)
    )
    return tuple(dict.fromkeys(_finding(text, known) for text in said))[:_MOST]


def _finding(text: str, secrets: tuple[str, ...]) -> CheckResult:
    try:
        told = json.loads(text)
        found = CheckResult(
            name=told["name"],
            good=told["good"],
            version=told.get("version") or None,
            origin=told.get("origin", ""),
            remedy=told.get("remedy", ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return CheckResult(
            name="check",
            good=False,
            origin=f"the program told something that is no finding: {shorten(redact(text, secrets), 200)}",
            remedy="let it tell name, good, version, origin and remedy",
        )
    return found.with_(
        name=_clean(found.name, secrets),
        version=_clean(found.version, secrets) if found.version else None,
        origin=_clean(found.origin, secrets),
        remedy=_clean(found.remedy, secrets),
    )


def _clean(text: str, secrets: tuple[str, ...]) -> str:
    return shorten(redact(" ".join(text.split()), secrets), _LONGEST)
