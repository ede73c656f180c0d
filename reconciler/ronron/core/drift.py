"""Where containers differ from what an update made, and which of them are put back. Pure.

A look gives what Docker says now. It is compared with what the state of the stack names, and with a baseline:
the settings of the same container when it was seen for the first time after the update that made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from ronron.core.container_settings import Difference, differences
from ronron.core.containers import ContainerHealth, ContainerState, Look, MadeContainer, Observation
from ronron.core.inventory import Inventory
from ronron.core.value import Instant, Value

LIMIT = 3
"""The same thing is put back so often within `WITHIN`, and then no more until a person says so."""

WITHIN = timedelta(hours=1)

_LOOPING = 2
"""Restarts since the last look, or in all for one that waits for the next: one crash is no loop."""

_QUIET = timedelta(minutes=1)
"""A crash loop is over once the container has run so long: between two crashes it runs too."""

_LONGEST = 200
_SHOWN = 6


class DriftKind(StrEnum):
    """How a container differs from what was made."""

    MISSING = "missing"
    STOPPED = "stopped"
    CRASH_LOOPING = "crash-looping"
    UNHEALTHY = "unhealthy"
    REPLACED = "replaced by hand"
    EDITED = "edited by hand"
    VOLUME_MISSING = "without its volume"


BROKEN = frozenset({DriftKind.MISSING, DriftKind.STOPPED, DriftKind.CRASH_LOOPING, DriftKind.UNHEALTHY})
"""The service does not do its work, so that no snapshot of it may be possible."""


class Drift(Value):
    """One container that differs from what was made.

    Args:
        container, machine: names.
        urn: of its resource.
        service: name of the service that it belongs to; empty for one of none, such as the edge.
        kind: how it differs.
        id: of the container that is there now; empty for none.
        detail: the facts in a few words, such as `exit code 137`; empty where the kind says all.
        differences: the settings that differ.
        since: when it was seen first.
        held: why it is not put back without a person; empty where it may be.
        own_volumes: it has data that goes with it, so nothing but its removal makes it again.
        lost: what it needs and what is gone too, such as `network pad`.
    """

    container: str
    machine: str
    urn: str
    kind: DriftKind
    since: Instant
    service: str = ""
    id: str = ""
    detail: str = ""
    differences: tuple[Difference, ...] = ()
    held: str = ""
    own_volumes: bool = False
    lost: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """As `MadeContainer.key`."""
        return f"{self.container} on {self.machine}"

    @property
    def now(self) -> str:
        """What it is now, in a few words."""
        return f"{self.kind} ({self.detail})" if self.detail else self.kind.value

    @property
    def brief(self) -> str:
        """Its name and what it is now, for a list: `pad on here (stopped, exit code 137)`."""
        return f"{self.key} ({', '.join(part for part in (self.kind, self.detail) if part)})"

    @property
    def was(self) -> str:
        """What was made, in a few words."""
        return {
            DriftKind.UNHEALTHY: "healthy",
            DriftKind.REPLACED: "the container that the update made",
            DriftKind.EDITED: "as the update made it",
            DriftKind.VOLUME_MISSING: "running with its volume",
        }.get(self.kind, "running")

    @property
    def sentence(self) -> str:
        """One line: `pad-app on here is stopped (exit code 137)`."""
        word = "is" if self.kind not in {DriftKind.REPLACED, DriftKind.EDITED} else "was"
        shown = [str(one) for one in self.differences[:_SHOWN]]
        more = len(self.differences) - len(shown)
        texts = "; ".join(shown) + (f" and {more} more" if more else "")
        return f"{self.key} {word} {self.now}" + (f": {texts}" if texts else "")

    @property
    def signature(self) -> str:
        """The same for the same kind of drift of the same container, however often it comes back."""
        return " ".join((self.kind, *(f"{one.setting}={one.now}" for one in self.differences)))


class Baseline(Value):
    """The settings of a container as an update made it.

    Args:
        modified: of the resource, see `MadeContainer`: an update in place makes a new baseline.
        settings: see `container_settings`.
    """

    modified: str
    settings: Mapping[str, str]


class PutBack(Value):
    """One time at which a container was put back: when, and from what kind of drift."""

    key: str
    at: Instant
    signature: str


class Unknown(Value):
    """A machine of which nothing is known: why, and since when."""

    why: str
    since: Instant


class FailedRepair(Value):
    """Failed tries in a row to put containers back: how many, when the last one ended, and why."""

    times: int = Field(ge=1)
    at: Instant
    message: str


class WaitingRepair(Value):
    """A plan that puts containers back and waits for a person.

    Args:
        identity: what an approval names.
        why: it waits.
        since: when it was proposed.
        about: keys and signatures of what it puts back: for other drift, another plan is proposed.
        forbidden: no approval lifts it.
    """

    identity: str
    why: str
    since: Instant
    about: tuple[str, ...]
    forbidden: bool = False


class DriftRecord(Value):
    """What is remembered of the containers of one environment between looks.

    Args:
        environment: its name.
        version: rises with each write, so that no write of an older copy replaces a newer one.
        made: the containers that the state of the stack names, as it was last read.
        baselines: by id of the container.
        restarts: by id: the count at the last look.
        open: what differs now, by name of the container.
        unknown: the unreachable machines, by name.
        put_back: when containers were put back, within `WITHIN`.
        stalled: by key: why a container is not put back any more, until a person says so.
        failed: the failed tries to put something back, or None.
        waiting: the plan that waits for a person, or None.
        looked_at: when everything was compared last; None for never.
    """

    environment: str
    version: int = 0
    made: tuple[MadeContainer, ...] = ()
    baselines: Mapping[str, Baseline] = {}
    restarts: Mapping[str, int] = {}
    open: tuple[Drift, ...] = ()
    unknown: Mapping[str, Unknown] = {}
    put_back: tuple[PutBack, ...] = ()
    stalled: Mapping[str, str] = {}
    failed: FailedRepair | None = None
    waiting: WaitingRepair | None = None
    looked_at: Instant | None = None

    def resumed(self) -> DriftRecord:
        """The record after a person asked to go on."""
        return self.with_(put_back=(), stalled={}, failed=None)


# -- one look --------------------------------------------------------------------------------------


def wanted(made: Iterable[MadeContainer], inventory: Inventory) -> Mapping[str, tuple[str, ...]]:
    """The containers to look at, by machine: those on machines of the inventory."""
    found: dict[str, list[str]] = {}
    for one in made:
        if one.machine in inventory.machines:
            found.setdefault(one.machine, []).append(one.name)
    return {machine: tuple(names) for machine, names in found.items()}


def looked(
    record: DriftRecord, look: Look, inventory: Inventory, now: datetime, *, whole: bool
) -> DriftRecord:
    """The record after a look.

    Args:
        record: with `made` as the state is now.
        look: at `wanted`.
        inventory: of the environment.
        now: UTC.
        whole: compare the settings too, and take baselines; otherwise only whether the containers work.
    """
    before = {one.key: one for one in record.open}
    found: list[Drift] = []
    for made in record.made:
        seen = look.of(made.machine, made.name)
        if seen is None:
            # Nothing is known of its machine: neither that it drifted, nor that it is back.
            found += [before[made.key]] if made.key in before and made.machine in inventory.machines else []
            continue
        drift = _drift(made, seen, look, record, now, whole=whole)
        earlier = before.get(made.key)
        if drift is None and not whole and earlier is not None and earlier.kind is DriftKind.EDITED:
            drift = earlier if earlier.id == seen.id else None
        if drift is not None:
            same = earlier is not None and earlier.kind is drift.kind
            since = earlier.since if same and earlier is not None else now
            service, has_data = _owner(made.name, inventory)
            held = drift.held or _held(drift, seen, has_data)
            own = bool(seen.own_volumes) and drift.kind is not DriftKind.REPLACED
            found.append(drift.with_(since=since, service=service, held=held, own_volumes=own))
    after = record.with_(
        open=tuple(sorted(found, key=lambda one: one.key)),
        unknown={
            name: record.unknown.get(name, Unknown(why=why, since=now)).with_(why=why)
            for name, why in look.unreachable.items()
        },
        restarts=_restarts(record, look),
        put_back=tuple(one for one in record.put_back if now - one.at < WITHIN),
    )
    if whole:
        after = after.with_(baselines=_baselines(record, look), looked_at=now)
    return after.with_(stalled=_stalled(after))


def _drift(
    made: MadeContainer,
    seen: Observation,
    look: Look,
    record: DriftRecord,
    now: datetime,
    *,
    whole: bool,
) -> Drift | None:
    """How one container differs; `since` and `service` are completed by the caller."""

    def differs(kind: DriftKind, detail: str = "", **more: object) -> Drift:
        fields = {"container": made.name, "machine": made.machine, "urn": made.urn, "id": seen.id}
        return Drift.model_validate(
            {**fields, "kind": kind, "detail": detail[:_LONGEST], "since": _SOME_TIME, **more}
        )

    works = seen.state is ContainerState.RUNNING and seen.id == made.id
    lost = sorted(set(made.volumes) - look.volumes[made.machine])
    if lost and not works:
        held = f"a new container would start on an empty {lost[0]}"
        return differs(DriftKind.VOLUME_MISSING, f"{', '.join(lost)} is missing", held=held)
    baseline = record.baselines.get(made.id)
    if seen.state is ContainerState.MISSING:
        gone = _lost(made, look)
        detail = f"and so {'is' if len(gone) == 1 else 'are'} {', '.join(gone)}" if gone else ""
        return differs(DriftKind.MISSING, detail, lost=gone) if made.must_run else None
    if seen.state is ContainerState.REMOVING:
        return None
    if seen.id != made.id:
        changed = differences(baseline.settings, seen.settings) if baseline is not None else ()
        return differs(DriftKind.REPLACED, differences=changed)
    if seen.state is ContainerState.RESTARTING or works:
        before = record.restarts.get(seen.id, 0 if seen.state is ContainerState.RESTARTING else seen.restarts)
        if seen.restarts - before >= _LOOPING:
            return differs(DriftKind.CRASH_LOOPING, _exit(seen, f"{seen.restarts} restarts"))
        if seen.started_at is None or now - seen.started_at < _QUIET:
            open_ = next((one for one in record.open if one.key == made.key and one.id == seen.id), None)
            if open_ is not None and open_.kind is DriftKind.CRASH_LOOPING:
                return open_
        if seen.state is ContainerState.RESTARTING:
            return None
    elif made.must_run:
        state = "" if seen.state is ContainerState.EXITED else seen.state.value
        return differs(DriftKind.STOPPED, _exit(seen, state))
    else:
        return None
    if seen.health is ContainerHealth.UNHEALTHY:
        lines = [line.strip() for line in seen.health_output.splitlines() if line.strip()]
        return differs(DriftKind.UNHEALTHY, lines[-1] if lines else "")
    if whole and baseline is not None and baseline.modified == made.modified:
        changed = differences(baseline.settings, seen.settings)
        if changed:
            return differs(DriftKind.EDITED, differences=changed)
    return None


_SOME_TIME = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


def _lost(made: MadeContainer, look: Look) -> tuple[str, ...]:
    networks, images = look.networks.get(made.machine), look.images.get(made.machine)
    gone = [f"network {name}" for name in made.networks if networks is not None and name not in networks]
    if images is not None and made.image.startswith("sha256:") and made.image not in images:
        gone.append("its image")
    return tuple(gone)


def _exit(seen: Observation, words: str) -> str:
    parts = [words] if words else []
    if seen.exit_code is not None:
        parts.append(f"exit code {seen.exit_code}")
    if seen.oom_killed:
        parts.append("out of memory")
    if seen.error:
        parts.append(seen.error)
    return ", ".join(parts)


def _held(drift: Drift, seen: Observation, has_data: bool) -> str:
    if seen.own_volumes and drift.kind is not DriftKind.REPLACED:
        return f"it has data outside of named volumes, in {', '.join(seen.own_volumes)}"
    other_image = any(one.setting == "image" for one in drift.differences)
    if other_image and has_data:
        return "another image may have changed its data"
    return ""


def _owner(container: str, inventory: Inventory) -> tuple[str, bool]:
    """The service that a container belongs to, and whether that has data."""
    for name, service in inventory.services.items():
        names = {*service.containers}
        names |= {service.database.container} if service.database is not None else set()
        names |= {service.backup.container} if service.backup is not None else set()
        if container in names:
            return name, bool(service.volumes) or service.database is not None
    return "", False


def _restarts(record: DriftRecord, look: Look) -> Mapping[str, int]:
    seen = (one for containers in look.containers.values() for one in containers.values() if one.id)
    ids = {made.id for made in record.made}
    kept = {id_: count for id_, count in record.restarts.items() if id_ in ids}
    return kept | {one.id: one.restarts for one in seen if one.id in ids}


def _baselines(record: DriftRecord, look: Look) -> Mapping[str, Baseline]:
    """The baselines of the containers that the state names; a new one is taken of what is seen first."""
    found: dict[str, Baseline] = {}
    for made in record.made:
        there, seen = record.baselines.get(made.id), look.of(made.machine, made.name)
        if there is not None and there.modified == made.modified:
            found[made.id] = there
        elif seen is not None and seen.id == made.id:
            found[made.id] = Baseline(modified=made.modified, settings=seen.settings)
        elif there is not None:
            found[made.id] = there
    return found


def _stalled(record: DriftRecord) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for drift in record.open:
        times = [
            one.at for one in record.put_back if one.key == drift.key and one.signature == drift.signature
        ]
        if drift.key in record.stalled:
            found[drift.key] = record.stalled[drift.key]
        elif len(times) >= LIMIT:
            found[drift.key] = (
                f"{drift.key} was put back {len(times)} times within an hour"
                f" ({', '.join(f'{at:%H:%M:%S}' for at in times)} UTC): Ronron makes it"
                f" {_made(drift)}, and something makes it {_found(drift)}"
            )
    return found


def _made(drift: Drift) -> str:
    plain = [f"{one.setting} {one.was or 'not set'}" for one in drift.differences if one.was[:1] != "#"]
    return "; ".join(plain) or drift.was


def _found(drift: Drift) -> str:
    texts = [f"{one.setting} {one.now or 'not set'}" for one in drift.differences if one.now[:1] != "#"]
    return "; ".join(texts) or drift.now


# -- news ------------------------------------------------------------------------------------------


def news(before: DriftRecord, after: DriftRecord, environment: str, *, puts_back: bool) -> tuple[str, ...]:
    """Lines for what began or ended between two looks: each is reported once.

    Args:
        before: the record of the earlier look.
        after: that of the later one.
        environment: its name, for hints.
        puts_back: the policy has drift put back.
    """
    lines: list[str] = []
    old, new = {one.key: one for one in before.open}, {one.key: one for one in after.open}
    for key, drift in new.items():
        if key not in old or old[key].signature != drift.signature:
            lines.append(f"drift: {drift.sentence}")
            lines += [f"hint: {hint}"] if (hint := hint_for(drift, environment, puts_back=puts_back)) else []
    there = {one.key for one in after.made}
    lines += [f"recovered: {key} is as it was made" for key in old if key not in new and key in there]
    lines += [
        f"unreachable: {name}: {one.why}; nothing is known of its containers"
        for name, one in after.unknown.items()
        if name not in before.unknown
    ]
    lines += [
        f"recovered: {name} is reachable, and its containers are known"
        for name in before.unknown
        if name not in after.unknown
    ]
    for key, why in after.stalled.items():
        if key not in before.stalled:
            lines += [
                f"stalled: {why}",
                f"hint: find out what changes it, then run ronron resume {environment}",
            ]
    return tuple(lines)


def hint_for(drift: Drift, environment: str, *, puts_back: bool) -> str:
    """What a person does about one drift; empty where Ronron puts it back."""
    if drift.kind is DriftKind.VOLUME_MISSING:
        again = f"ronron pulumi {environment} -- refresh, then ronron update {environment}"
        if not drift.service:
            return f"{drift.held}; run {again}"
        restore = f"ronron restore {environment} {drift.service}"
        return f"{drift.held}; run {again}, which holds {drift.service} back, then {restore}"
    if drift.own_volumes and drift.service and drift.kind is not DriftKind.EDITED:
        return f"{drift.held}; try ronron restart {environment} {drift.service}, and give that a volume"
    if drift.own_volumes:
        return f"{drift.held}; give that a volume in the declaration, after saving it"
    if drift.held:
        return f"{drift.held}; put it back with ronron update {environment}"
    return "" if puts_back else f"put it back with ronron update {environment}"


# -- putting back ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Repair:
    """What is to be done about open drift.

    Args:
        why: one sentence.
        due: a pass should put it back, or propose to, now.
        until: when it is due, where that is only a matter of time.
        waiting: a plan waits for a person.
    """

    why: str
    due: bool
    until: datetime | None = None
    waiting: bool = False


def repairable(record: DriftRecord) -> tuple[Drift, ...]:
    """The open drift that a pass may put back without a person's request."""
    known = [one for one in record.open if one.machine not in record.unknown]
    return tuple(one for one in known if not one.held and one.key not in record.stalled)


def about(drifts: Iterable[Drift]) -> tuple[str, ...]:
    """What a proposed plan is about."""
    return tuple(f"{one.key} {one.signature}" for one in drifts)


def repair_of(
    record: DriftRecord, approvals: Set[str], now: datetime, *, after: timedelta | None, proposes: bool
) -> Repair | None:
    """What is to be done now; None for nothing.

    Args:
        record: of the last look.
        approvals: plan identities to which a person said yes.
        now: UTC.
        after: how long to wait after the last failed try; None where nothing is to be tried any more.
        proposes: a person has to approve.
    """
    drifts, waiting, failed = repairable(record), record.waiting, record.failed
    if not drifts and failed is None:
        return None
    names = ", ".join(one.brief for one in drifts)
    why = f"puts back {names}" if names else "finishes what the last pass began to put back"
    if failed is not None:
        if after is None:
            return None
        if now < failed.at + after:
            return Repair(f"{why}: {failed.message}", due=False, until=failed.at + after)
    if waiting is not None and waiting.about == about(drifts) and waiting.identity not in approvals:
        return Repair(f"plan {waiting.identity[:12]} waits for approval: {why}", due=False, waiting=True)
    return Repair(f"{why}; a person has to approve" if proposes and waiting is None else why, due=True)


def unsnapshotable(drifts: Iterable[Drift], asked: Iterable[Drift]) -> tuple[str, ...]:
    """Names of the containers that are put back without a snapshot: a part of their service does not work.

    Data stays in the volumes, and the version is the same. Waiting for a snapshot would keep it down.

    Args:
        drifts: all that are open.
        asked: those that are put back.
    """
    down = {one.service or one.key for one in drifts if one.kind in BROKEN}
    return tuple(sorted(one.container for one in asked if (one.service or one.key) in down))
