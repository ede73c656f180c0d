"""Looks for drift between passes: whether the containers work, and whether they are as they were made.

A look changes neither machines nor state. What is to be put back is a pass's work: the loop is woken for it.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import timedelta

from ronron.core.containers import MadeContainer
from ronron.core.drift_news import news
from ronron.core.drift_record import DriftRecord
from ronron.core.errors import ReconcilerError
from ronron.core.inventory import Inventory
from ronron.core.policy import OnDrift
from ronron.core.record import Record
from ronron.core.repairs import about
from ronron.passes.drift import compared, repair_for
from ronron.passes.machines import readable
from ronron.passes.target import Ports, Target, digest_at, is_locked, prepared
from ronron.watch.periodic import Job, Subject, for_each_environment

NAME = "look for drift"


def drift_job(ports: Ports, wake: Callable[[], None]) -> Job:
    """The job of the watcher that looks for drift in each environment, as often as services are probed.

    Args:
        ports: everything outside.
        wake: makes the loop poll now: something is to be put back.
    """

    def run(target: Target, _subject: Subject, _stopping: threading.Event) -> timedelta | None:
        if look_for_drift(target, ports):
            wake()
        return None

    every = for_each_environment(lambda target: min(target.policy.probe_every, target.policy.drift.every))
    return Job(NAME, every, run)


def look_everywhere(ports: Ports, targets: Callable[[], Mapping[str, Target]], only: Collection[str]) -> None:
    """Look once in every environment, before the only poll of a watcher; the poll reports other errors.

    Args:
        ports: everything outside.
        targets: reads the policy from the source.
        only: names of environments; empty for all.
    """
    with suppress(ReconcilerError):
        ports.source.refresh()
        for name, target in targets().items():
            if only and name not in only:
                continue
            try:
                look_for_drift(target, ports)
            except ReconcilerError as error:
                ports.progress.log(name, f"cannot {NAME}: {error}")


def look_for_drift(target: Target, ports: Ports) -> bool:
    """Look once, and log what is new; returns whether a pass is due.

    Raises:
        ReconcilerError: the state of the stack or the records cannot be read.
    """
    name, store, now = target.name, ports.store, ports.clock.now()
    record, before = store.load(name), store.load_drift(name)
    inventory = readable(record.inventory)
    if record.running is not None or inventory is None:
        return False
    due = before.looked_at is None or now - before.looked_at >= target.policy.drift.every
    after = look(target, ports, record, before, inventory, whole=due)
    if about(after.open) != about(before.open) and after.open:
        # A restore or an update by hand stops containers too, and has locked the stack meanwhile. One that is
        # only being restarted runs again at the second look.
        if is_locked(target, ports):
            return False
        after = look(target, ports, record, before, inventory, whole=due)
        if is_locked(target, ports):
            return False
    # A pass that began meanwhile has changed what is compared, and looks itself.
    if store.load(name).running is not None:
        return False
    if after != before:
        if not store.save_drift(after):
            return False
        acts = target.policy.drift.on_drift is not OnDrift.REPORT and record.live is not None
        for line in news(before, after, name, puts_back=acts and record.suspended is None):
            ports.progress.log(name, line)
    repair = repair_for(after, target.policy, store, now)
    return repair is not None and repair.due and record.live is not None and record.suspended is None


def look(
    target: Target, ports: Ports, record: Record, before: DriftRecord, inventory: Inventory, *, whole: bool
) -> DriftRecord:
    """What is remembered after one look; nothing is written.

    Args:
        target: the environment.
        ports: everything outside.
        record: of the environment.
        before: what is remembered of its containers.
        inventory: of the record.
        whole: read the state of the stack, and compare the settings too.

    Raises:
        ReconcilerError: the state of the stack cannot be read.
    """

    def made() -> tuple[MadeContainer, ...]:
        return _made(target, ports, record)

    if whole or not before.made:
        before = before.with_(made=made())
        return compared(before, inventory, ports.containers, ports.clock.now(), whole=whole, made=None)
    return compared(before, inventory, ports.containers, ports.clock.now(), whole=False, made=made)


def _made(target: Target, ports: Ports, record: Record) -> tuple[MadeContainer, ...]:
    """The containers in the state of the stack; the checkout only names the project."""
    revision = record.live or record.current or record.attempted
    if revision is None:
        return ()
    work = ports.work / f"look-{target.name}-{threading.get_ident()}"
    try:
        with prepared(target, ports, revision, digest_at(target, ports, revision), work) as program:
            return ports.engine.state(program).containers
    finally:
        shutil.rmtree(work, ignore_errors=True)
