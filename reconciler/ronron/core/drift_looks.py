"""Where containers differ from what an update made. Pure.

A look gives what Docker says now. It is compared with what the state of the stack names, and with a baseline:
the settings of the same container when it was seen for the first time after the update that made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from ronron.core.container_settings import differences
from ronron.core.containers import ContainerHealth, ContainerState, Look, MadeContainer, Observation
from ronron.core.drift import Drift, DriftKind
from ronron.core.drift_record import Baseline, DriftRecord, Unknown
from ronron.core.inventory import Inventory
from ronron.core.repairs import WITHIN, stalled

_LOOPING = 2
"""Restarts since the last look, or in all for one that waits for the next: one crash is no loop."""

_QUIET = timedelta(minutes=1)
"""A crash loop is over once the container has run so long: between two crashes it runs too."""

_LONGEST = 200


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
    return after.with_(stalled=stalled(after))


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
