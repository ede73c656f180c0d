"""What is known of a pass on its way: how it began, where it goes, and how far it has come.

A step takes what is known so far and gives what is known after it; none changes anything in place. `bring`
runs steps in order until one of them has an outcome. The steps are in `planning`, `updating` and `probing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ronron.core.containers import MadeContainer
from ronron.core.drift import Drift
from ronron.core.errors import ReconcilerError
from ronron.core.excluded import Excluded
from ronron.core.inventory import Inventory
from ronron.core.model import Change, Outcome, Preview, Revision, Verdict, VerdictKind
from ronron.core.outcomes import failed
from ronron.core.policy import Policy
from ronron.core.record import Record
from ronron.core.released import Guarded
from ronron.passes.machines import services_on
from ronron.passes.snapshots import going_back
from ronron.passes.target import Ports, Target, prepared
from ronron.ports import Program

_NOT_PREVIEWED = Preview(changes=(), identity="")
_NOT_JUDGED = Verdict(kind=VerdictKind.FORBIDDEN, why="nothing was previewed yet")


@dataclass(frozen=True)
class Begun:
    """A pass that has begun: what stays the same through all of its steps.

    Args:
        target: the environment.
        ports: everything outside.
        work: the pass's private directory.
        started: when it began.
        excluded: the unreachable machines that its updates skip; None for none.
    """

    target: Target
    ports: Ports
    work: Path
    started: datetime
    excluded: Excluded | None = None

    def log(self, line: str) -> None:
        """One plain line for a person."""
        self.ports.progress.log(self.target.name, line)

    def excluded_with(self, inventory: Inventory | None) -> Excluded | None:
        """The excluded machines with the services that an inventory has on them."""
        if self.excluded is None or inventory is None:
            return self.excluded
        return self.excluded.with_(services=services_on(self.excluded.machines, inventory))


@dataclass(frozen=True)
class Goal:
    """A revision that the stack is to be brought to.

    Args:
        revision: this one.
        digest: of what the environment depends on there.
        policy: what the preview is judged by.
        running: the revision that is live before, where anybody knows.
        rollback: it is the way back from an update that failed in this pass.
        repair: the revision is live, and what drifted is put back.
    """

    revision: Revision
    digest: str
    policy: Policy
    running: Revision | None
    rollback: bool = False
    repair: bool = False


@dataclass(frozen=True)
class Attempt:
    """How far the stack has come on its way to a goal.

    Args:
        goal: where it is going.
        record: what is remembered of the environment; a crash from here on finds what was saved of it.
        known: anybody knows what was live before: nothing failed or was stopped since the last good pass.
        preview, verdict: of the engine and of `judge`, once they are known.
        disturbed: an update has begun, so the stack may be anywhere between two revisions.
        released: what its update removes from the state and leaves in the world.
        touched: the services with a backup that updates of this pass touch.
        before: the stack output `inventory` before the update.
        carried: an update to the goal has begun.
        started: the services that it has started on another image, as far as anybody knows.
        changes: the changes that the update made.
        put_back: the containers that drifted and are replaced.
        unprotected: names of those among them that are replaced without a snapshot.
        made: the containers of the stack after the update; None where none was made or it cannot be read.
        removed: URNs of the volumes that leave the state because a person asked to remove their service.
        outcome: how it ended, once it has.
    """

    goal: Goal
    record: Record
    known: bool
    preview: Preview = _NOT_PREVIEWED
    verdict: Verdict = _NOT_JUDGED
    disturbed: bool = False
    released: tuple[Guarded, ...] = ()
    touched: frozenset[str] = frozenset()
    before: object | None = None
    carried: bool = False
    started: frozenset[str] = frozenset()
    changes: tuple[Change, ...] = ()
    put_back: tuple[Drift, ...] = ()
    unprotected: tuple[str, ...] = ()
    made: tuple[MadeContainer, ...] | None = None
    removed: frozenset[str] = frozenset()
    outcome: Outcome | None = None

    def of(self, program: Program) -> Program:
        """The program with what is replaced besides."""
        if not self.put_back:
            return program
        return program.with_(replace=tuple(one.urn for one in self.put_back), repaired=self.unprotected)

    @property
    def updates(self) -> bool:
        """Whether the plan is carried out: it changes something, and it may."""
        return self.verdict.kind is VerdictKind.ALLOWED

    @property
    def certain(self) -> bool:
        """Whether the stack is as the last good pass left it."""
        return self.known and not self.goal.rollback


Step = Callable[[Begun, Program, Attempt], Attempt]
"""A step of a pass; it may raise a ReconcilerError, which ends the attempt as a failure."""


def bring(begun: Begun, attempt: Attempt, steps: Sequence[Step]) -> tuple[Outcome, Attempt]:
    """Run steps in order until one has an outcome or fails; never raises a ReconcilerError."""
    goal = attempt.goal
    try:
        with prepared(
            *(begun.target, begun.ports, goal.revision, goal.digest, begun.work),
            running=goal.running,
            excluded=begun.excluded,
            going_back=_going_back(begun, attempt),
        ) as program:
            for step in steps:
                attempt = step(begun, program, attempt)
                if attempt.outcome is not None:
                    return attempt.outcome, attempt
    except ReconcilerError as error:
        return with_verdict(failed(error), attempt), attempt
    raise AssertionError("the last step of a pass has an outcome")


def _going_back(begun: Begun, attempt: Attempt) -> tuple[str, ...]:
    if attempt.certain:
        return ()
    failing = attempt.goal.running if attempt.goal.rollback else None
    return going_back(begun.ports, begun.target.name, attempt.record, attempt.goal.digest, failing)


def with_verdict(outcome: Outcome, attempt: Attempt) -> Outcome:
    """The outcome of an attempt that failed, with the verdict on its preview, where there was one."""
    if attempt.verdict is _NOT_JUDGED:
        return outcome
    return outcome.with_(verdict=attempt.verdict, identity=attempt.preview.identity)
