"""Restarts the containers of a service, and waits until they and the service are healthy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from ronron.core.containers import ContainerHealth, ContainerState
from ronron.core.errors import BackupError
from ronron.core.failed_containers import why_failed
from ronron.core.inventory import Inventory
from ronron.core.model import ProbeResult
from ronron.passes.probing import probe_until
from ronron.ports import Clock, Prober
from ronron.ports.services import ServiceContainers

HEALTHY_WITHIN = timedelta(minutes=3)
"""For a container that was started; the longest start of a kind takes 2 minutes."""

PROBE_FOR = timedelta(minutes=1)

_LOOK_EVERY = 1.0
_MOST_RESTARTS = 2
"""Restarts by Docker itself until a container counts as one that cannot start."""

_WELL = frozenset({ContainerHealth.NONE, ContainerHealth.HEALTHY})


def restart_service(
    inventory: Inventory,
    service: str,
    containers: Sequence[str],
    services: ServiceContainers,
    prober: Prober,
    clock: Clock,
    log: Callable[[str], None],
) -> ProbeResult | None:
    """Restart containers of a service one after the other; each must be healthy before the next.

    Args:
        inventory: of the environment.
        service: its name there.
        containers: their names.
        services: the port to them.
        prober: requests the service's public URL.
        clock: reads the time.
        log: is called with one line for each step.

    Returns:
        What the probe of the service says; None for a service without a public URL.

    Raises:
        BackupError: a container cannot be restarted, or does not become healthy.
    """
    one = inventory.services[service]
    for container in containers:
        began = clock.now()
        services.restart(inventory, one.machine, container)
        log(f"restarted container {container} in {(clock.now() - began).total_seconds():.0f} s")
        _await_healthy(inventory, service, container, services, clock)
        log(f"container {container} is healthy after {(clock.now() - began).total_seconds():.0f} s")
    if one.probe is None:
        return None
    result = probe_until(service, one.probe, clock.now() + PROBE_FOR, prober, clock)
    log(f"probe: {service} {'healthy' if result.healthy else 'unhealthy'}: {result.detail}")
    return result


def _await_healthy(
    inventory: Inventory, service: str, container: str, services: ServiceContainers, clock: Clock
) -> None:
    machine = inventory.services[service].machine
    until = clock.now() + HEALTHY_WITHIN
    before = services.look(inventory, machine, container).restarts
    while True:
        seen = services.look(inventory, machine, container)
        if seen.state is ContainerState.RUNNING and seen.health in _WELL and seen.restarts == before:
            return
        is_over = seen.state in {ContainerState.EXITED, ContainerState.DEAD, ContainerState.MISSING}
        is_over = is_over or seen.restarts > before + _MOST_RESTARTS
        if is_over or seen.health is ContainerHealth.UNHEALTHY or clock.now() >= until:
            raise BackupError(
                f"cannot restart {service}: container {container} {why_failed(seen)}",
                hint=f"read its log with ronron logs ENV {service}",
            )
        clock.wait(_LOOK_EVERY)
