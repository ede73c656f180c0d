"""Saved plans: whose they are, and which version of the engine made them."""

from __future__ import annotations

import json
from pathlib import Path

from ronron.core.digest import identity
from ronron.core.errors import PlanViolatedError
from ronron.core.model import Preview
from ronron.ports import Program


def version_in(plan: Path) -> str | None:
    """The version of the engine that made a plan; running `pulumi version` would be one more start."""
    try:
        document = json.loads(plan.read_text(errors="replace"))
        return str(document["manifest"]["version"]).removeprefix("v")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def own_plan(program: Program, preview: Preview) -> Path:
    """The plan of a preview of this program.

    Raises:
        PlanViolatedError: the preview is of another commit, or the plan changed since.
    """
    version = version_in(preview.plan) if preview.plan is not None else None
    if preview.plan is not None and version is not None:
        made = identity(program.revision.commit, program.digest, version, preview.changes, program.excluded)
        if made == preview.identity:
            return preview.plan
    raise PlanViolatedError(
        f"the preview is not one of {program.revision.short} as it is now, or its plan is gone",
        where=f"stack {program.stack}",
        hint="run the preview again",
    )
