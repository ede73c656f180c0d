"""What a person asks of an environment: how it is, and why. Read from record, health and history alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import IntEnum, StrEnum

from ronron.core.backups import BackupSummary, ConditionKind, OwnBackup
from ronron.core.drift import Drift
from ronron.core.drift_record import DriftRecord, WaitingRepair
from ronron.core.errors import (
    ConfigError,
    EngineMissingError,
    PassphraseError,
    ReconcilerError,
    RevisionNotFoundError,
    StackLockedError,
)
from ronron.core.health import Health, HealthState, log_hint, state_of
from ronron.core.inventory import Inventory, Service, held_services, read_inventory
from ronron.core.model import SHORT, Instant, Outcome, OutcomeKind, Pass, Reason, Revision, Value
from ronron.core.outcomes import hint_for, release_hint
from ronron.core.record import Record
from ronron.core.words import listed

PROBE_HINT = "start ronron watch, which probes every service"
"""What a person does where the health of a service is unknown."""


class ExitCode(IntEnum):
    """What the process says when it ends; the same for every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    WAITING = 3
    LOCKED = 4


class State(StrEnum):
    """How an environment is, in one word."""

    UPDATING = "updating"
    SUSPENDED = "suspended"
    STALLED = "stalled"
    FAILING = "failing"
    WAITING_FOR_APPROVAL = "waiting for approval"
    INTERRUPTED = "interrupted"
    WAITING = "waiting"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    """Live, and a service is unhealthy now."""
    WAITING_FOR_RESTORE = "waiting for a restore"
    LIVE = "live"
    NEW = "never updated"
    REMOVED = "removed"
    """No longer in the policy."""


class ServiceStatus(Value):
    """A service as it was last updated, and its health now.

    Args:
        name, kind, version, url: as in the inventory.
        health: in one word.
        healthy: the same for programs; None where nobody knows.
        since: since when it is healthy, unhealthy or failing; None where nobody knows.
        checked_at: when it was last probed; None for never.
        detail: what the last probe saw.
        status, seconds: HTTP status and time of the last answer; None where there was none.
        hint: what a person should do; empty where there is nothing to do.
    """

    name: str
    kind: str
    version: str
    url: str | None
    health: HealthState
    healthy: bool | None = None
    since: Instant | None = None
    checked_at: Instant | None = None
    detail: str = ""
    status: int | None = None
    seconds: float | None = None
    hint: str = ""


class EnvironmentStatus(Value):
    """How an environment is.

    Args:
        name: the environment's.
        at: the time of which all of this is true.
        state: in one word.
        why: in one sentence.
        hint: what a person should do; empty where there is nothing to do.
        live: the revision that is live, and since when.
        wanted: the revision that the last pass wanted, where it is another one.
        services: by name, with their health at `at`, whatever the last pass saw.
        backups: what was last seen of the services that have one, by name; a condition there makes no
            environment failing.
        kept: the newest copy of the reconciler's own store and states.
        last: the newest pass.
        drift: the containers that differed from what was made when they were looked at last.
        unknown: the machines that were unreachable then, with the reason.
        stalled_drift: why containers are not put back any more.
        waiting_repair: the plan that would put containers back and waits for a person.
    """

    name: str
    at: Instant
    state: State
    why: str
    hint: str = ""
    live: Revision | None = None
    since: Instant | None = None
    wanted: Revision | None = None
    services: tuple[ServiceStatus, ...] = ()
    backups: tuple[BackupSummary, ...] = ()
    kept: OwnBackup | None = None
    last: Pass | None = None
    drift: tuple[Drift, ...] = ()
    unknown: Mapping[str, str] = {}
    stalled_drift: tuple[str, ...] = ()
    waiting_repair: WaitingRepair | None = None


class CheckResult(Value):
    """A piece that the reconciler needs, as `doctor` finds it.

    Args:
        name: what it is.
        good: whether it is there and usable.
        version: None where it is missing or has none.
        origin: where it came from, such as `machine`, `download`, `built`, or a path.
        remedy: what to do; empty where nothing is to be done.
    """

    name: str
    good: bool
    version: str | None = None
    origin: str = ""
    remedy: str = ""


def status(
    record: Record,
    passes: Sequence[Pass],
    health: Mapping[str, Health],
    now: datetime,
    drift: DriftRecord | None = None,
) -> EnvironmentStatus:
    """How an environment is.

    Args:
        record: what is remembered of it.
        passes: its newest passes, newest first.
        health: of its services, by name.
        now: the time, which decides whether what probes said is still worth anything.
        drift: what is remembered of its containers; None for nothing.
    """
    drift = drift or DriftRecord(environment=record.environment)
    state, why = _state(record)
    last = passes[0] if passes else None
    if state is State.REMOVED:
        return EnvironmentStatus(
            name=record.environment, at=now, state=state, why=why, hint=_hint(record, state, last), last=last
        )
    wanted = record.attempted if record.attempted != record.current else None
    inventory = _inventory(record)
    services = _services(inventory, health, record, now)
    if state is State.LIVE:
        state, why = _live(services)
    return EnvironmentStatus(
        name=record.environment,
        at=now,
        state=state,
        why=why,
        hint=_hint(record, state, last),
        live=record.current,
        since=record.updated_at,
        wanted=wanted,
        services=services,
        backups=_backups(inventory, record, passes),
        kept=record.kept,
        last=last,
        drift=tuple(
            one.with_(differences=tuple(each.shown for each in one.differences)) for one in drift.open
        ),
        unknown={name: one.why for name, one in drift.unknown.items()},
        stalled_drift=tuple(drift.stalled.values()),
        waiting_repair=drift.waiting,
    )


def exit_code(statuses: Sequence[EnvironmentStatus]) -> ExitCode:
    """The worst of several environments: failed before waiting, waiting before done.

    Degraded is not done: something that is wanted is not there. Neither is drift, nor a service that is
    unhealthy or unknown; a single failing probe that is not confirmed decides nothing.
    """
    states = {environment.state for environment in statuses}
    health = {service.health for environment in statuses for service in environment.services}
    if health & {HealthState.UNHEALTHY, HealthState.UNKNOWN}:
        return ExitCode.FAILED
    if states & {State.FAILING, State.STALLED, State.DEGRADED}:
        return ExitCode.FAILED
    if any(environment.drift for environment in statuses):
        return ExitCode.FAILED
    waiting = {State.WAITING_FOR_APPROVAL, State.WAITING_FOR_RESTORE}
    return ExitCode.WAITING if states & waiting else ExitCode.DONE


def exit_code_of(outcome: Outcome | None, reason: Reason) -> ExitCode:
    """What a process says after one pass; without an outcome the reason for waiting decides."""
    if outcome is None:
        failing = {Reason.STALLED, Reason.GAVE_UP, Reason.BACKING_OFF, Reason.DEGRADED}
        holding = {
            Reason.SUSPENDED,
            Reason.WAITING_FOR_APPROVAL,
            Reason.NOT_PROMOTED,
            Reason.OUTSIDE_WINDOW,
        }
        if reason in failing:
            return ExitCode.FAILED
        return ExitCode.WAITING if reason in holding else ExitCode.DONE
    if outcome.locked:
        return ExitCode.LOCKED
    match outcome.kind:
        case OutcomeKind.UNCHANGED | OutcomeKind.UPDATED:
            return ExitCode.WAITING if outcome.held else ExitCode.DONE
        case OutcomeKind.WAITING:
            return ExitCode.WAITING
        case OutcomeKind.DEGRADED | OutcomeKind.FAILED | OutcomeKind.INTERRUPTED | OutcomeKind.ROLLED_BACK:
            return ExitCode.FAILED


def code_of(error: ReconcilerError) -> ExitCode:
    """What a process says when an error ended it."""
    if isinstance(error, StackLockedError):
        return ExitCode.LOCKED
    wrong_words = (ConfigError, EngineMissingError, PassphraseError, RevisionNotFoundError)
    return ExitCode.USAGE if isinstance(error, wrong_words) else ExitCode.FAILED


def _state(record: Record) -> tuple[State, str]:
    if record.removed is not None:
        return State.REMOVED, "no longer in the policy; its stack stays as it is"
    if record.running is not None:
        return State.UPDATING, f"pass {record.running.pass_id} for {record.running.revision.short}"
    if record.suspended is not None:
        by = f"by {record.suspended.by}"
        return State.SUSPENDED, f"{by}: {record.suspended.why}" if record.suspended.why else by
    if record.stalled is not None:
        return State.STALLED, record.stalled
    if record.waiting is not None:
        return State.WAITING_FOR_APPROVAL, record.waiting.why
    if record.interrupted:
        return (
            State.INTERRUPTED,
            record.failed.message if record.failed else "the last pass was stopped before its end",
        )
    if record.failed is not None:
        times = "once" if record.failed.times == 1 else f"{record.failed.times} times in a row"
        return State.FAILING, f"failed {times}: {record.failed.message}"
    if record.degraded is not None and record.degraded.revision == record.attempted:
        return State.DEGRADED, record.degraded.excluded.why
    waiting = {Reason.NOT_PROMOTED, Reason.OUTSIDE_WINDOW}
    if record.decision is not None and record.decision.reason in waiting:
        return State.WAITING, record.decision.why
    if record.updated is None:
        return State.NEW, "no pass has updated it yet"
    held = held_services(_inventory(record))
    if held:
        return State.WAITING_FOR_RESTORE, f"held back, because their data are lost: {', '.join(sorted(held))}"
    return State.LIVE, "the last pass succeeded"


def _live(services: Sequence[ServiceStatus]) -> tuple[State, str]:
    """The state of an environment whose last pass went well."""
    down = [service.name for service in services if service.health is HealthState.UNHEALTHY]
    if down:
        return State.UNHEALTHY, f"{listed(down)} {'is' if len(down) == 1 else 'are'} unhealthy"
    unknown = [service.name for service in services if service.health is HealthState.UNKNOWN]
    if unknown:
        return State.LIVE, f"the last pass succeeded; the health of {listed(unknown)} is unknown"
    return State.LIVE, "the last pass succeeded"


def removed_hint(record: Record) -> str:
    """What a person does about an environment that is no longer in the policy."""
    name, live = record.environment, record.current
    if live is None:
        return f"remove its records with ronron forget {name}"
    return (
        f"to destroy its stack, run ronron pulumi {name} -- destroy in a clone at {live.commit[:SHORT]},"
        f" which still has it; then run ronron forget {name}"
    )


def _hint(record: Record, state: State, last: Pass | None) -> str:
    name = record.environment
    match state:
        case State.WAITING_FOR_APPROVAL if record.waiting is not None and record.waiting.forbidden:
            return (
                "push a revision that leaves some resources, or destroy the stack by hand with pulumi destroy"
            )
        case State.WAITING_FOR_APPROVAL if record.waiting is not None:
            return f"ronron preview {name}, then ronron approve {name} {record.waiting.identity[:12]}"
        case State.SUSPENDED:
            return f"ronron resume {name}"
        case State.NEW:
            return f"ronron update {name}"
        case State.WAITING_FOR_RESTORE:
            return release_hint(name, sorted(held_services(_inventory(record))))
        case State.DEGRADED if record.degraded is not None:
            return hint_for(record.degraded.excluded)
        case State.REMOVED:
            return removed_hint(record)
        case State.STALLED | State.FAILING:
            hint = last.outcome.hint if last is not None and last.outcome is not None else ""
            return hint or f"push a fix, or try again with ronron update {name}"
        case _:
            return ""


def _inventory(record: Record) -> Inventory | None:
    try:
        return read_inventory(record.inventory)
    except ConfigError:
        # The pass that met it has failed and says so; everything else is still worth showing.
        return None


def _backups(
    inventory: Inventory | None, record: Record, passes: Sequence[Pass]
) -> tuple[BackupSummary, ...]:
    services = inventory.services if inventory is not None else {}
    return tuple(
        _with_taken(record.backups.get(name, BackupSummary(service=name)), passes)
        for name, service in sorted(services.items())
        if service.backup is not None
    )


def _with_taken(summary: BackupSummary, passes: Sequence[Pass]) -> BackupSummary:
    """The summary with the snapshot that a pass took after the backups were last checked."""
    for made in passes:
        taken = made.outcome.snapshots if made.outcome is not None else ()
        mine = next((one for one in taken if one.service == summary.service), None)
        if mine is None:
            continue
        if summary.taken is not None and summary.taken >= made.started:
            return summary
        return summary.with_(
            newest=mine.id,
            taken=made.started,
            conditions=tuple(one for one in summary.conditions if one.kind is not ConditionKind.OVERDUE),
            looked_at=summary.looked_at or made.finished,
        )
    return summary


def _services(
    inventory: Inventory | None, health: Mapping[str, Health], record: Record, now: datetime
) -> tuple[ServiceStatus, ...]:
    services = inventory.services if inventory is not None else {}
    unreachable = record.degraded.excluded.machines if record.degraded is not None else {}
    return tuple(
        _service(record.environment, name, service, health.get(name), now, service.machine in unreachable)
        for name, service in sorted(services.items())
    )


def _service(
    environment: str, name: str, service: Service, known: Health | None, now: datetime, unreachable: bool
) -> ServiceStatus:
    found = ServiceStatus(
        name=name,
        kind=service.kind,
        version=service.version,
        url=service.url,
        health=state_of(known, now) if service.probe is not None else HealthState.NOT_PROBED,
        detail=f"{service.machine} is unreachable" if unreachable else "",
    )
    if service.held is not None:
        return found.with_(
            health=HealthState.NOT_PROBED,
            detail=f"held back: its data ({', '.join(service.held.volumes)}) are lost",
            hint=release_hint(environment, (name,)),
        )
    if service.probe is None or known is None:
        hint = "" if service.probe is None or unreachable else PROBE_HINT
        return found.with_(hint=hint)
    seen = found.with_(
        checked_at=known.checked_at, detail=known.detail, status=known.status, seconds=known.seconds
    )
    match found.health:
        case HealthState.HEALTHY:
            return seen.with_(healthy=True, since=known.since)
        case HealthState.UNHEALTHY:
            return seen.with_(healthy=False, since=known.since, hint=log_hint(environment, name))
        case HealthState.FAILING:
            return seen.with_(since=known.failing_since)
        case _:
            return seen.with_(detail=found.detail, status=None, seconds=None, hint=PROBE_HINT)
