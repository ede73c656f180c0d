"""The steps of a pass that plan: preview, and judge. Neither changes anything outside the state."""

from __future__ import annotations

from dataclasses import replace

from ronron.core.errors import UpdateFailedError
from ronron.core.judge import judge as judged
from ronron.core.model import SHORT, Preview, VerdictKind
from ronron.core.outcomes import summarize, waiting
from ronron.core.policy import OnDrift, UpdateMode
from ronron.core.released import Guarded
from ronron.core.removals import released as released_by_request
from ronron.core.way_back import added, deleted
from ronron.passes.attempt import Attempt, Begun
from ronron.passes.releasing import preview_releasing
from ronron.passes.removals import preview_removing, wish
from ronron.ports import Program

CAUSES_LOGGED = 10
"""How many of the changes that need a person are logged by name."""


def preview(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Compute the changes.

    After a failure, first refresh the resources that it left with init errors, and release what the failed
    revision added where that stands in the way.
    """
    engine, wanted_program = begun.ports.engine, attempt.of(program)
    asked = wish(attempt.record, begun.ports.clock.now())

    def compute() -> tuple[Preview, tuple[Guarded, ...]]:
        if attempt.certain:
            return engine.preview(wanted_program), ()
        return preview_releasing(engine, wanted_program, attempt.record.known_state, begun.log)

    if not attempt.certain:
        _refresh_failed(begun, program)
    found, going = preview_removing(compute, engine, wanted_program, asked, begun.log)
    begun.log(f"preview: {summarize(found)}")
    return replace(
        attempt, preview=found, released=going, removed=released_by_request(found.changes, asked.removals)
    )


def judge(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Say whether the changes may be made; what needs a person ends the attempt."""
    del program
    approvals = begun.ports.store.approvals(begun.target.name)
    # What a person has to approve is judged as any other change.
    proposes = attempt.goal.repair and attempt.goal.policy.drift.on_drift is OnDrift.PROPOSE
    put_back = frozenset() if proposes else frozenset(one.urn for one in attempt.put_back)
    policy = attempt.goal.policy.with_(update=UpdateMode.APPROVAL) if proposes else attempt.goal.policy
    # What a failed revision added is no loss: what of it may hold data stays in the world.
    before = None if attempt.certain else attempt.record.known_state
    own = added(deleted(attempt.preview.changes), before)
    verdict = judged(attempt.preview, policy, approvals, put_back, own, attempt.removed)
    begun.log(f"verdict: {verdict.kind}: {verdict.why}")
    attempt = replace(attempt, verdict=verdict)
    if verdict.kind in {VerdictKind.UNCHANGED, VerdictKind.ALLOWED}:
        return attempt
    for change in verdict.causes[:CAUSES_LOGGED]:
        begun.log(f"cause: {change.operation} {change.name}")
    if len(verdict.causes) > CAUSES_LOGGED:
        begun.log(f"cause: and {len(verdict.causes) - CAUSES_LOGGED} more")
    outcome = waiting(begun.target.name, attempt.preview, verdict)
    if attempt.goal.repair and verdict.kind is VerdictKind.NEEDS_APPROVAL:
        yes = f"ronron approve {begun.target.name} {attempt.preview.identity[:SHORT]}"
        names = ", ".join(one.key for one in attempt.put_back)
        outcome = outcome.with_(
            message=f"would put back {names}: {verdict.why}", hint=f"approve it with {yes}"
        )
    return replace(attempt, outcome=outcome)


def _refresh_failed(begun: Begun, program: Program) -> None:
    try:
        refreshed = begun.ports.engine.refresh_failed(program)
    except UpdateFailedError as error:
        # The update says better what is wrong, and may bring what is missing: a new token, for instance.
        begun.log(f"refresh: cannot refresh the resources whose last update failed: {error.message}")
        return
    if refreshed:
        begun.log(f"refresh: refreshed {', '.join(refreshed)}, whose last update failed")
