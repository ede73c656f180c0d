"""Reads the results of a program's own checks from the engine's diagnostics. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pydantic import ValidationError

from ronron.adapters.pulumi_engine.events import EventLog
from ronron.core.redact import redact, shorten
from ronron.core.status import CheckResult

CHECK = "RONRON_CHECK"
"""Set to 1, it asks the program to run its checks, print the results and declare no resources. A program that
does not know it is previewed."""

_PREFIX = "ronron check: "
_LONGEST = 1000
"""Characters of each part of a result: about half a screen."""
_MOST = 500


def results_in(log: EventLog, secrets: Iterable[str]) -> tuple[CheckResult, ...]:
    """The results that a program printed, each as `ronron check: {"name": ..., "good": ..., ...}`.

    Args:
        log: of a preview.
        secrets: values that no result may show.
    """
    known = tuple(secrets)
    texts = (
        one.message.strip().removeprefix(_PREFIX)
        for one in log.diagnostics
        if one.severity == "info" and one.message.strip().startswith(_PREFIX)
    )
    return tuple(dict.fromkeys(_result(text, known) for text in texts))[:_MOST]


def _result(text: str, secrets: tuple[str, ...]) -> CheckResult:
    try:
        printed = json.loads(text)
        found = CheckResult(
            name=printed["name"],
            good=printed["good"],
            version=printed.get("version") or None,
            origin=printed.get("origin", ""),
            remedy=printed.get("remedy", ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return CheckResult(
            name="check",
            good=False,
            origin=f"the program printed an invalid result: {shorten(redact(text, secrets), 200)}",
            remedy="print a JSON object with name, good, version, origin and remedy",
        )
    return found.with_(
        name=_clean(found.name, secrets),
        version=_clean(found.version, secrets) if found.version else None,
        origin=_clean(found.origin, secrets),
        remedy=_clean(found.remedy, secrets),
    )


def _clean(text: str, secrets: tuple[str, ...]) -> str:
    return shorten(redact(" ".join(text.split()), secrets), _LONGEST)
