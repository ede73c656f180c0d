"""What to do about an environment now. A function of values and `now`; the order of rules is the rule."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ronron.core.model import Decision, Reason, Request, Revision
from ronron.core.policy import Policy, Promotion, Retry
from ronron.core.record import Record
from ronron.core.repairs import Repair
from ronron.core.words import counted


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything that a decision about one environment depends on.

    Args:
        desired: the revision that its reference stands at.
        digest: of what the environment depends on at `desired`; see `digest.digest`.
        record: what is remembered of it.
        policy: its policy.
        now: UTC.
        request: the newest manual request, served or not.
        approvals: identities of the approved plans.
        others: records of the environments that `policy.after` names, by name.
        unreachable: names of the machines that `record.degraded` waits for and that are still unreachable.
        repair: what is to be done about containers that drifted; None for nothing.
    """

    desired: Revision
    digest: str
    record: Record
    policy: Policy
    now: datetime
    request: Request | None = None
    approvals: Set[str] = frozenset()
    others: Mapping[str, Record] = field(default_factory=dict)
    unreachable: Set[str] = frozenset()
    repair: Repair | None = None


def decide(observed: Observed) -> Decision:
    """What to do about one environment, and why: the first rule that holds.

    Returns:
        A decision; `poll_again_at` is set where time alone can change it.
    """
    desired, record, policy, now = observed.desired, observed.record, observed.policy, observed.now
    request, unreachable = observed.request, observed.unreachable
    asked = request is not None and request.id > record.served
    again = record.attempted is not None and record.attempted.commit == desired.commit
    there = record.current is not None and record.digest is not None

    if record.suspended is not None:
        return _because(Reason.SUSPENDED, f"suspended by {record.suspended.by}", record.suspended.why)
    if asked and request is not None:
        return _because(Reason.REQUESTED, f"requested by {request.by}")
    # Only of the same revision: another one has not been promoted, nor let in by the window, yet.
    if again and record.interrupted and record.failures < policy.retry.limit:
        return _because(Reason.INTERRUPTED, "the last pass did not end")
    # A revision that waits, is stalled or backs off is another matter. No window holds it back: what it let
    # in is what is put back. Where nobody knows which revision is live there is nothing to go back to.
    repair = observed.repair if record.live is not None else None
    if repair is not None and repair.due:
        return _because(Reason.DRIFT, repair.why)
    if again and record.stalled is not None:
        return _because(Reason.STALLED, f"stalled at {desired.short}", record.stalled)

    if there and record.current is not None and record.current.commit == desired.commit:
        if repair is not None and repair.waiting:
            return _because(Reason.WAITING_FOR_APPROVAL, repair.why)
        if repair is not None and repair.until is not None:
            until = repair.until
            return _because(
                Reason.BACKING_OFF,
                f"putting back again at {until:%H:%M:%S} UTC",
                repair.why,
                poll_again_at=until,
            )
        return _because(Reason.UP_TO_DATE, f"{desired.short} is live")
    if there and record.digest == observed.digest:
        return _because(
            Reason.NOTHING_RELEVANT, f"{desired.short} changes nothing that {policy.name} depends on"
        )

    if again and record.waiting is not None:
        if record.waiting.identity in observed.approvals and not record.waiting.forbidden:
            return _because(Reason.APPROVED, f"plan {record.waiting.identity[:12]} was approved")
        return _because(
            Reason.WAITING_FOR_APPROVAL,
            f"plan {record.waiting.identity[:12]} waits for approval",
            record.waiting.why,
        )
    failed = record.failed if again else None
    if failed is not None and failed.times >= policy.retry.limit:
        return _because(Reason.GAVE_UP, f"gave up after {counted(failed.times, 'failures')}", failed.message)
    if failed is not None:
        until = failed.at + backoff(failed.times, policy.retry)
        if now < until:
            why = f"backing off until {until:%H:%M:%S} UTC after {_times(failed.times)}"
            return _because(Reason.BACKING_OFF, why, failed.message, poll_again_at=until)

    degraded = record.degraded if again else None
    if degraded is not None and degraded.revision.commit != desired.commit:
        degraded = None
    if degraded is not None and set(degraded.excluded.machines) <= unreachable:
        return _because(Reason.DEGRADED, f"{desired.short} is degraded", degraded.excluded.why)

    if policy.after is not None:
        missing, when = promotion(desired, policy.after, observed.others, now)
        if missing:
            return _because(Reason.NOT_PROMOTED, missing, poll_again_at=when)
    if policy.window is not None and not policy.window.is_open(now):
        opening = policy.window.next_opening(now)
        why = f"its window opens at {opening:%Y-%m-%d %H:%M} UTC"
        return _because(Reason.OUTSIDE_WINDOW, why, poll_again_at=opening)

    if record.updated is None and record.failed is None:
        return _because(Reason.NEVER_UPDATED, f"{policy.name} was never updated; {desired.short} is wanted")
    if failed is not None:
        return _because(Reason.RETRY, f"trying {desired.short} again after {_times(failed.times)}")
    if degraded is not None:
        back = ", ".join(name for name in degraded.excluded.names if name not in unreachable)
        return _because(Reason.MACHINE_REACHABLE, f"{desired.short} is wanted on {back}, too")
    return _because(Reason.NEW_REVISION, f"{desired.short} is wanted, {_last(record)}")


def backoff(failures: int, retry: Retry) -> timedelta:
    """How long to wait after the n-th failure in a row, without jitter.

    Tripled each time up to the ceiling, so that a broken program is tried often at first and then
    about hourly.

    Args:
        failures: consecutive failures, 1 or more.
        retry: `after` and `ceiling` are used.

    Source:
        Factor 3: pulumi-kubernetes-operator 2.9.0, stack_controller.go, cooldown.
    """
    wait = retry.after
    for _ in range(failures - 1):
        if wait >= retry.ceiling:
            break
        wait *= 3
    return min(wait, retry.ceiling)


def promotion(
    desired: Revision, after: Promotion, others: Mapping[str, Record], now: datetime
) -> tuple[str, datetime | None]:
    """What is still missing before `desired` may be taken, and when time alone will have brought it.

    Returns:
        An empty sentence where nothing is missing.
    """
    latest: datetime | None = None
    for name in after.environments:
        other = others.get(name)
        times = [t for t in (other.healthy_since, other.attempted_at) if t] if other else []
        healthy = other.healthy if other is not None and other.verified else None
        if healthy is None or healthy.commit != desired.commit or not times:
            return f"{name} does not run {desired.short} healthily yet", None
        until = max(times) + after.healthy_for
        if now < until and (latest is None or until > latest):
            latest = until
    if latest is None:
        return "", None
    return (
        f"{', '.join(after.environments)} must run {desired.short} healthily until {latest:%H:%M} UTC",
        latest,
    )


def _because(
    reason: Reason, fact: str, detail: str = "", *, poll_again_at: datetime | None = None
) -> Decision:
    return Decision(reason=reason, why=f"{fact}: {detail}" if detail else fact, poll_again_at=poll_again_at)


def _times(failures: int) -> str:
    return "one failure" if failures == 1 else f"{failures} failures"


def _last(record: Record) -> str:
    return f"{record.current.short} is live" if record.current is not None else "nothing is live"
