"""The step of a pass that probes: ask the services that were touched, and say how the attempt ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from ronron.core.inventory import (
    Inventory,
    Probe,
    Service,
    changed_probes,
    held_services,
    read_inventory,
    touched,
)
from ronron.core.model import OutcomeKind, ProbeResult
from ronron.core.outcomes import held_back, in_part, seen, with_reasons
from ronron.core.way_back import released, wanted
from ronron.passes.attempt import Attempt, Begun
from ronron.passes.following import reasons_of_services
from ronron.passes.health import save_probes
from ronron.ports import Clock, Prober, Program

PROBE_EVERY = 1.0
"""Seconds between two tries of a probe: a container that has just started answers within a few."""


def probe(begun: Begun, program: Program, attempt: Attempt) -> Attempt:
    """Ask the services through their public URLs; one that is not healthy makes the attempt a failure."""
    inventory = read_inventory(attempt.record.inventory)
    probes = _probe(begun, inventory, _to_probe(attempt, inventory)) if inventory is not None else ()
    save_probes(begun.target.policy, begun.ports, probes, inventory)
    revision = program.revision
    if attempt.updates:
        names = ", ".join(one.key for one in attempt.put_back)
        message = f"{revision.short} is live" + (f"; put back {names}" if names else "")
        done = seen(OutcomeKind.UPDATED, message, attempt.preview, attempt.verdict, probes).with_(
            changes=attempt.changes
        )
    else:
        message = f"{revision.short}: {attempt.verdict.why}"
        done = seen(OutcomeKind.UNCHANGED, message, attempt.preview, attempt.verdict, probes)
    sick = [one.service for one in probes if not one.healthy]
    if sick and inventory is not None:
        reasons = reasons_of_services(begun.target.name, begun.ports, program, inventory, sick)
        done = with_reasons(done, reasons)
    done = in_part(done, revision, begun.excluded_with(inventory)).with_(released=released(attempt.released))
    if done.kind is OutcomeKind.DEGRADED and attempt.record.known_state is not None:
        # It is healthy where it is live, so what it has is not released when the rest fails.
        known = attempt.record.known_state.holding(wanted(attempt.preview.changes))
        attempt = replace(attempt, record=attempt.record.with_(known_state=known))
    return replace(attempt, outcome=held_back(done, begun.target.name, held_services(inventory)))


def probe_until(name: str, probe: Probe, until: datetime, prober: Prober, clock: Clock) -> ProbeResult:
    """Ask a service until it is healthy, or the time has come: one that has just started needs a while."""
    while True:
        result = prober.probe(name, probe)
        if result.healthy or clock.now() >= until:
            return result
        clock.wait(PROBE_EVERY)


def _to_probe(attempt: Attempt, inventory: Inventory) -> tuple[str, ...]:
    """The services that an update touched, and those whose probe is another one than before.

    All of them where nobody knows what is live: whatever was unhealthy then must not be forgotten.
    """
    if not attempt.updates:
        return tuple(inventory.services)
    if not attempt.known:
        return tuple(sorted(inventory.services))
    return tuple(
        sorted({*touched(attempt.preview.changes, inventory), *changed_probes(attempt.before, inventory)})
    )


def _probe(begun: Begun, inventory: Inventory, names: tuple[str, ...]) -> tuple[ProbeResult, ...]:
    unreachable = begun.excluded.machines if begun.excluded is not None else {}
    until = begun.ports.clock.now() + begun.target.policy.probe_for
    results = []
    for name in names:
        service = inventory.services[name]
        if service.machine in unreachable or service.held is not None:
            continue
        result = _probe_one(begun, name, service, until)
        if result is not None:
            begun.log(f"probe: {name} {'healthy' if result.healthy else 'unhealthy'}: {result.detail}")
            results.append(result)
    return tuple(results)


def _probe_one(begun: Begun, name: str, service: Service, until: datetime) -> ProbeResult | None:
    if service.probe is None:
        return None
    ports = begun.ports
    first = ports.prober.probe(name, service.probe)
    left = (until - ports.clock.now()).total_seconds()
    if first.healthy or left <= 0:
        return first
    begun.log(f"probe: {name} is not healthy yet: {first.detail}; trying for {left:.0f} s")
    ports.clock.wait(PROBE_EVERY)
    return probe_until(name, service.probe, until, ports.prober, ports.clock)
