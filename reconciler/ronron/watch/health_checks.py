"""Probes of every service between passes, each at the interval that the policy gives.

The services are those of the inventory in the record: no probe needs the engine or the repository. Each
service is a subject of its own, so neither a pass, nor a drill, nor a service that hangs delays another one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from ronron.core.health import Health, HealthEvent, after_probe
from ronron.core.inventory import Probe, probes_of
from ronron.core.record import Running
from ronron.passes.machines import readable
from ronron.passes.target import Ports, Target
from ronron.watch.periodic import Job, Subject, Targets

AT_ONCE = 16
"""How many services are probed at once, over all environments; one that hangs takes ten seconds."""

READ_AGAIN = timedelta(seconds=10)
"""After this long the record is read again: a pass of another process may have changed the inventory."""


def health_job(ports: Ports) -> Job:
    """The job that probes the services of every environment and reports what changes."""
    checks = HealthChecks(ports)
    return Job("probe the services", checks.subjects, checks.probe, AT_ONCE)


@dataclass(frozen=True)
class _Read:
    """The probes of an environment by service, and when they were read."""

    probes: Mapping[str, Probe]
    at: datetime


class HealthChecks:
    """Probes services, saves their health and logs its changes.

    Args:
        ports: everything outside.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._read: dict[str, _Read] = {}
        self._lock = threading.Lock()
        self._reported: dict[Subject, datetime] = {}

    def subjects(self, targets: Targets) -> Mapping[Subject, timedelta]:
        """Every service that has a probe, with the interval of its environment.

        Raises:
            StoreError: the records cannot be read.
        """
        return {
            (name, service): target.policy.probe_every
            for name, target in targets.items()
            for service in self._probes(name)
        }

    def probe(self, target: Target, subject: Subject, stopping: threading.Event) -> timedelta | None:
        """Probe one service once.

        Returns:
            After how long the result is to be confirmed; None where it needs no confirmation.

        Raises:
            StoreError: its health cannot be read or saved.
        """
        environment, service = subject
        probe = self._probes(environment).get(service)
        if probe is None:
            return None
        result = self._ports.prober.probe(service, probe)
        if stopping.is_set():
            return None
        store, now = self._ports.store, self._ports.clock.now()
        updating = False
        if not result.healthy:
            record = store.load(environment)
            if probes_of(readable(record.inventory)).get(service) != probe:
                # A pass has removed the service or moved its probe meanwhile.
                return None
            updating = self._is_updated(service, record.running)
        former = store.health(environment).get(service)
        health, event = after_probe(former, result, now, target.policy.probe_every, updating=updating)
        store.save_health(environment, health)
        self._report(subject, health, event)
        # The end of the pass makes the service due at once.
        return None if updating else health.next_probe()

    def _report(self, subject: Subject, health: Health, event: HealthEvent | None) -> None:
        """Log what has changed, and the end of an outage from which a pass or a restore has recovered."""
        since = self._reported.get(subject)
        if event is None and since is not None and health.healthy and health.failing_since is None:
            event = HealthEvent(health=health, after=health.since - since)
        if event is None:
            return
        if event.after is None:
            self._reported[subject] = health.since
        else:
            self._reported.pop(subject, None)
        for line in event.lines(subject[0]):
            self._ports.progress.log(subject[0], line)

    def _is_updated(self, service: str, running: Running | None) -> bool:
        """Whether a pass updates the service now; one whose process has died does not."""
        if running is None or service not in running.services:
            return False
        return self._ports.processes.alive(running.owner) is not False

    def _probes(self, environment: str) -> Mapping[str, Probe]:
        """The probes in the inventory of the last pass; services that have left it leave health, too."""
        now = self._ports.clock.now()
        with self._lock:
            before = self._read.get(environment)
            if before is not None and now - before.at < READ_AGAIN:
                return before.probes
            probes = probes_of(readable(self._ports.store.load(environment).inventory))
            if before is None or set(before.probes) != set(probes):
                self._ports.store.forget_health(environment, probes)
            self._read[environment] = _Read(probes, now)
            return probes
