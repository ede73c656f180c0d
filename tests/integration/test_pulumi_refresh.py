"""What an update of a machine left half-made is mended by the next one; no guest is ever asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.pulumi_engine.engine import PulumiEngine
from ronron.core.errors import EngineError, UpdateFailedError
from ronron.core.model import Operation, Revision, Updated
from ronron.ports import Program
from ronron.settings import EngineSettings
from tests.support.declarations import Document
from tests.support.fake_proxmox import FAULTS
from tests.support.machine_stack import (
    HALF_WAY,
    NAME,
    PASSPHRASE,
    VM_ID,
    Machines,
    MachineStack,
    declared,
    machines_for_tests,
)

pytestmark = pytest.mark.timeout(300)


class Mended:
    """A stack of machines, as the reconciler works on it."""

    def __init__(self, stack: MachineStack, work: Path) -> None:
        self.stack = stack
        self.work = work
        self.cluster = stack.cluster
        root = stack.root
        settings = EngineSettings(
            home=root / "home",
            backend_url=f"file://{root / 'state'}",
            passphrase=SecretStr(PASSPHRASE),
        )
        self.engine = PulumiEngine(settings, LinuxProcesses(), inherited=stack.environment)

    def program(self, excluded: tuple[str, ...] = ()) -> Program:
        return Program(
            directory=self.stack.root / "checkout",
            stack="local",
            work=self.work,
            revision=Revision(reference="main", commit="a" * 40),
            digest="d" * 64,
            excluded=excluded,
        )

    def update(self) -> Updated:
        program = self.program()
        return self.engine.update(program, self.engine.preview(program), lambda _: None)

    def half_made(self) -> list[str]:
        return [each["urn"].rpartition("::")[2] for each in self.stack.state() if each.get("initErrors")]

    def config(self) -> dict[str, Any]:
        found = self.cluster.vm(VM_ID)
        assert found is not None
        return {**found.config, **found.pending}


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with machines_for_tests(tmp_path_factory.mktemp("machines")) as found:
        yield found


@pytest.fixture
def live(machines: Machines, tmp_path: Path) -> Mended:
    return Mended(machines.live(), tmp_path / "work")


@pytest.mark.parametrize(("edit", "fault", "where", "left"), HALF_WAY, ids=["locked", "full"])
def test_the_next_update_does_what_the_last_one_left_undone(
    live: Mended, edit: Document, fault: FAULTS, where: Document, left: str
) -> None:
    live.stack.declare(declared(**edit))
    with live.cluster.fault(fault, **where), pytest.raises(UpdateFailedError):
        live.update()
    assert live.half_made() == [NAME]
    assert live.engine.refresh_failed(live.program()) == (NAME,)
    assert live.half_made() == []
    assert Operation.UPDATE in {change.operation for change in live.update().changes}
    assert live.config()["cores"] == edit.get("cores", 4)
    assert f"size={edit.get('disk_gib', 64)}G" in live.config()["scsi0"]
    assert live.engine.refresh_failed(live.program()) == ()
    assert live.stack.preview() == []


def test_what_cannot_be_looked_at_stays_half_made_and_no_update_forgets_it(live: Mended) -> None:
    live.stack.declare(declared(cores=8))
    with live.cluster.fault("locked", vm_id=VM_ID), pytest.raises(UpdateFailedError):
        live.update()
    with live.cluster.fault("wrong token"), pytest.raises(UpdateFailedError, match="invalid token value"):
        live.engine.refresh_failed(live.program())
    assert live.half_made() == [NAME]
    with pytest.raises(EngineError, match="missing: cores: 8"):
        live.update()
    assert live.engine.refresh_failed(live.program()) == (NAME,)
    live.update()
    assert live.config()["cores"] == 8


def test_a_machine_that_is_left_out_is_not_looked_at(live: Mended) -> None:
    live.stack.declare(declared(cores=8))
    with live.cluster.fault("locked", vm_id=VM_ID), pytest.raises(UpdateFailedError):
        live.update()
    live.cluster.forget_requests()
    assert live.engine.refresh_failed(live.program(excluded=(NAME,))) == ()
    assert live.cluster.requests == []
    assert live.half_made() == [NAME]
