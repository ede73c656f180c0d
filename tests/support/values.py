"""Values that tests share: one environment, and the two revisions of its story."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from ronron.core.backups import BackupSummary, Condition, ConditionKind, OwnBackup
from ronron.core.excluded import Excluded
from ronron.core.health import Health
from ronron.core.model import (
    Change,
    Decision,
    Operation,
    Outcome,
    OutcomeKind,
    Pass,
    Preview,
    ProbeResult,
    ProcessMark,
    Reason,
    Revision,
    TakenSnapshot,
    Verdict,
    VerdictKind,
)
from ronron.core.policy import Policy
from ronron.core.record import Degraded, Failure, Record, Running, Suspension, WaitingPlan
from ronron.testing import NOON

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)

OLD = Revision(reference="main", commit="01d" + "0" * 37)
NEW = Revision(reference="main", commit="2e3" + "0" * 37)

OLD_DIGEST = "a" * 64
NEW_DIGEST = "b" * 64
PLAN = "c" * 64
OTHER_PLAN = "d" * 64

PRODUCTION = Policy(name="production", stack="production", reference="main")
FRESH = Record(environment="production")
SYNCED = FRESH.with_(
    attempted=OLD,
    attempted_at=NOON - HOUR,
    updated=OLD,
    updated_at=NOON - HOUR,
    digest=OLD_DIGEST,
    current=OLD,
    healthy=OLD,
    healthy_since=NOON - HOUR,
)
FAILURE = Failure(times=1, at=NOON, message="the pad is down")
FAILED = SYNCED.with_(attempted=NEW, attempted_at=NOON, digest=None, failed=FAILURE)
OURS = ProcessMark(host="pica01", boot="1", pid=41, started=7)
RUNNING = Running(pass_id=17, revision=NEW, owner=OURS)
WAITING_PLAN = WaitingPlan(revision=NEW, identity=PLAN, why="it would delete 1 resource", since=NOON)
EXCLUDED = Excluded(
    machines={"pica03": "no answer within 15 s", "pica02": "connection refused"}, services=("pad", "team")
)
DEGRADED = Degraded(revision=NEW, excluded=EXCLUDED, since=NOON)
SUSPENSION = Suspension(by="ada", at=NOON, why="moving house")

SEEN = BackupSummary(
    service="pad",
    newest="5" * 64,
    taken=NOON - HOUR,
    drilled=NOON - 2 * HOUR,
    drill_passed=True,
    conditions=(
        Condition(
            service="pad", kind=ConditionKind.STALE_LOCK, message="a lock was left", hint="ronron backup now"
        ),
    ),
    looked_at=NOON,
)
HEALTHY = Health(
    service="pad",
    healthy=True,
    since=NOON - MINUTE,
    checked_at=NOON,
    every=MINUTE,
    url="https://pad.example/",
    detail="200 in 0.04 s",
    status=200,
    seconds=0.04,
)
OWN_BACKUP = OwnBackup(service="pad", id="6" * 64, at=NOON)

CONTAINER = "docker:index/container:Container"
VOLUME = "docker:index/volume:Volume"


def change(
    operation: Operation = Operation.UPDATE,
    name: str = "pad",
    kind: str = CONTAINER,
    *,
    below: str = "",
    custom: bool = True,
    properties: tuple[str, ...] = (),
    original: str = "",
) -> Change:
    """One step of a preview; `below` is the URN of the component that it belongs to."""
    return Change(
        urn=f"urn:pulumi:production::picasoft::{kind}::{name}",
        operation=operation,
        ancestors=(below,) if below else (),
        custom=custom,
        properties=properties,
        original=original,
    )


def preview(*changes: Change, identity: str = PLAN) -> Preview:
    """A preview of these changes."""
    return Preview(changes=changes, identity=identity, plan=Path("plan.json"))


def begun(environment: str = "production", why: str = "it is new") -> Pass:
    """A pass that begins."""
    return Pass(
        environment=environment,
        revision=NEW,
        decision=Decision(reason=Reason.NEW_REVISION, why=why),
        started=NOON,
    )


UPDATED = Outcome(
    kind=OutcomeKind.UPDATED,
    message="main@2e3000000000 is live",
    verdict=Verdict(kind=VerdictKind.ALLOWED, why="the policy allows it", causes=(change(),)),
    identity=PLAN,
    changes=(change(properties=("image",)),),
    probes=(ProbeResult(service="pad", url="https://pad.example/", healthy=True, detail="200 in 0.04 s"),),
    snapshots=(TakenSnapshot(service="pad", id="5" * 64),),
)
"""An outcome with everything in it."""
