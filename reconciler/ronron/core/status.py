"""What a person asks of an environment: how it is, and why. Read from the record and the history alone."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, StrEnum

from ronron.core.backups import BackupSummary, OwnBackup
from ronron.core.errors import (
    ConfigError,
    EngineMissingError,
    PassphraseError,
    ReconcilerError,
    RevisionNotFoundError,
    StackLockedError,
)
from ronron.core.inventory import Inventory, held_services, read_inventory
from ronron.core.model import Instant, Outcome, OutcomeKind, Pass, ProbeResult, Reason, Revision, Value
from ronron.core.outcomes import hint_for, release_hint
from ronron.core.record import Record


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
    WAITING_FOR_RESTORE = "waiting for a restore"
    LIVE = "live"
    NEW = "never updated"


class ServiceStatus(Value):
    """A service as it was last updated and last seen; `healthy` is None where no probe has asked."""

    name: str
    kind: str
    version: str
    url: str | None
    healthy: bool | None
    detail: str = ""


class EnvironmentStatus(Value):
    """How an environment is.

    Args:
        name: the environment's.
        state: in one word.
        why: in one sentence.
        hint: what a person should do; empty where there is nothing to do.
        live: the revision that is live, and since when.
        wanted: the revision that the last pass wanted, where it is another one.
        services: by name.
        backups: what was last seen of the services that have one, by name; a condition there makes no
            environment failing.
        kept: the newest copy of the reconciler's own store and states.
        last: the newest pass.
    """

    name: str
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


def status(record: Record, passes: Sequence[Pass]) -> EnvironmentStatus:
    """How an environment is.

    Args:
        record: what is remembered of it.
        passes: its newest passes, newest first.
    """
    state, why = _state(record)
    last = passes[0] if passes else None
    wanted = record.attempted if record.attempted != record.current else None
    inventory = _inventory(record)
    return EnvironmentStatus(
        name=record.environment,
        state=state,
        why=why,
        hint=_hint(record, state, last),
        live=record.current,
        since=record.updated_at,
        wanted=wanted,
        services=_services(inventory, passes, record),
        backups=_backups(inventory, record),
        kept=record.kept,
        last=last,
    )


def exit_code(statuses: Sequence[EnvironmentStatus]) -> ExitCode:
    """The worst of several environments: failed before waiting, waiting before done.

    Degraded is not done: something that is wanted is not there.
    """
    states = {environment.state for environment in statuses}
    if states & {State.FAILING, State.STALLED, State.DEGRADED}:
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


def _backups(inventory: Inventory | None, record: Record) -> tuple[BackupSummary, ...]:
    services = inventory.services if inventory is not None else {}
    return tuple(
        record.backups.get(name, BackupSummary(service=name))
        for name, service in sorted(services.items())
        if service.backup is not None
    )


def _services(
    inventory: Inventory | None, passes: Sequence[Pass], record: Record
) -> tuple[ServiceStatus, ...]:
    if inventory is None:
        return ()
    probes = _last_probes(passes)
    unreachable = record.degraded.excluded.machines if record.degraded is not None else {}
    # Probes from before its machine became unreachable say nothing about now.
    unseen = {name: one.machine for name, one in inventory.services.items() if one.machine in unreachable}
    probes = {name: probe for name, probe in probes.items() if name not in unseen}
    return tuple(
        ServiceStatus(
            name=name,
            kind=service.kind,
            version=service.version,
            url=service.url,
            healthy=probes[name].healthy if name in probes else None,
            detail=probes[name].detail if name in probes else _unseen(unseen.get(name)),
        )
        for name, service in sorted(inventory.services.items())
    )


def _unseen(machine: str | None) -> str:
    return f"{machine} is unreachable" if machine is not None else ""


def _last_probes(passes: Sequence[Pass]) -> dict[str, ProbeResult]:
    found: dict[str, ProbeResult] = {}
    for made in passes:
        for probe in made.outcome.probes if made.outcome else ():
            found.setdefault(probe.service, probe)
    return found
