"""One container as an update made it, and what looks at it see: for tests of drift."""

from __future__ import annotations

from datetime import datetime

from ronron.core.containers import ContainerState, Look, MadeContainer, Observation
from ronron.core.drift_looks import looked
from ronron.core.drift_record import Baseline, DriftRecord
from ronron.core.inventory import Inventory
from ronron.testing import NOON
from tests.support.values import MINUTE
from tests.support.worlds import inventory

ID, OTHER_ID = "1" * 64, "2" * 64
PAD = MadeContainer(urn="urn:pad", name="pad", id=ID, machine="here")
SETTINGS = {"memory": "384 MiB"}
RECORD = DriftRecord(
    environment="local", made=(PAD,), baselines={ID: Baseline(modified="", settings=SETTINGS)}
)
RUNS = Observation(
    name="pad", id=ID, state=ContainerState.RUNNING, settings=SETTINGS, started_at=NOON - 60 * MINUTE
)


def declared(**service: object) -> Inventory:
    document = inventory()
    services = document["services"]
    assert isinstance(services, dict)
    services["pad"] |= service
    return Inventory.model_validate(document)


INVENTORY = declared()
WITH_DATA = declared(volumes=[{"name": "files", "path": "/data", "holds": "files"}])


def seeing(*seen: Observation, volumes: tuple[str, ...] = ()) -> Look:
    return Look(containers={"here": {one.name: one for one in seen}}, volumes={"here": frozenset(volumes)})


GONE = Look(unreachable={"here": "connection refused"})


def after(
    look: Look,
    record: DriftRecord = RECORD,
    *,
    whole: bool = True,
    at: datetime = NOON,
    known: Inventory = INVENTORY,
) -> DriftRecord:
    return looked(record, look, known, at, whole=whole)


ENDED = RUNS.with_(state=ContainerState.EXITED, exit_code=137)
EDITED = RUNS.with_(settings={"memory": "256 MiB"})
BY_HAND = EDITED.with_(id=OTHER_ID)
MOUNTS = RECORD.with_(made=(PAD.with_(volumes=("files",)),))
