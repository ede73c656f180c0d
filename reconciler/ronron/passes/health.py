"""What the probes of a pass or a restore say about the health of services."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from ronron.core.errors import StoreError
from ronron.core.health import after_pass
from ronron.core.inventory import Inventory, probes_of
from ronron.core.model import ProbeResult
from ronron.core.policy import Policy
from ronron.passes.target import Ports
from ronron.ports import Clock, Store

DEFAULT_EVERY: timedelta = Policy.model_fields["probe_every"].default


def save_probes(
    policy: Policy, ports: Ports, probes: Iterable[ProbeResult], inventory: Inventory | None
) -> None:
    """Save what the probes of a pass say, and forget the services that have left the inventory.

    A store that cannot be written does not make a good update a failure: only the log says so.
    """
    try:
        ports.store.forget_health(policy.name, probes_of(inventory))
        for probe in probes:
            save_probe(policy.name, policy.probe_every, probe, ports.store, ports.clock)
    except StoreError as error:
        ports.progress.log(policy.name, f"cannot save the health of its services: {error}")


def save_probe(
    environment: str, every: timedelta | None, probe: ProbeResult, store: Store, clock: Clock
) -> None:
    """Save what one decisive probe says. Its caller reports it.

    Args:
        environment: its name.
        every: how often the service is probed; None where the caller does not know the policy.
        probe: of a service that had time to become healthy.
        store: keeps it.
        clock: the time of the probe.

    Raises:
        StoreError: it cannot be saved.
    """
    former = store.health(environment).get(probe.service)
    if every is None:
        every = former.every if former is not None else DEFAULT_EVERY
    health, _ = after_pass(former, probe, clock.now(), every)
    store.save_health(environment, health)
