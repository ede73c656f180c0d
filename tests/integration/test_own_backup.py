"""Recovery from a lost machine, by the reconciler's own backup.

The engine, its backend, the repository and the store are real; the agent that stores the bundle is in memory,
and the resources are files.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ronron.adapters.sql_store.store import SqlStore
from ronron.commands.arguments import Options
from ronron.commands.cli import app
from ronron.commands.factories import PortFactories
from ronron.core.record import Record
from ronron.core.status import ExitCode
from ronron.settings import POLICY_FILE
from ronron.testing import FakeBackups, FakeProber, Thing
from ronron.watch.own_backup import NAME
from tests.support.pulumi_project import PASSPHRASE, PROGRAM, PulumiProject
from tests.support.repositories import Repository
from tests.support.worlds import inventory

pytestmark = pytest.mark.timeout(180)

LAMP = Thing("lamp", {"colour": "red"})
SOFA = Thing("sofa")
POLICY = "environments: {production: {stack: ours, reference: main, create_stack: true}}\n"


@dataclass
class Machine:
    """A machine with the reconciler on it: a state directory, and the ports that it uses."""

    state: Path
    collective: Collective

    def ronron(self, *arguments: str) -> tuple[int, str]:
        """Run a command; returns its exit code and its output."""
        prober, backups = self.collective.prober, self.collective.backups
        result = CliRunner().invoke(
            app,
            ["--state", str(self.state), "--repository", str(self.collective.repository.path), *arguments],
            obj=Options(factories=PortFactories(backups=lambda: backups, prober=lambda: prober)),
            catch_exceptions=False,
        )
        return result.exit_code, result.output

    def facts(self, *arguments: str) -> Any:
        """The facts that a command prints as JSON."""
        code, said = self.ronron(*arguments, "--json")
        assert code == ExitCode.DONE, said
        return json.loads(said)

    @property
    def record(self) -> Record:
        with SqlStore(self.state) as store:
            return store.load("production")


@dataclass
class Collective:
    """A repository, the files that its program makes, and a backup agent."""

    root: Path
    backups: FakeBackups = field(default_factory=FakeBackups)
    prober: FakeProber = field(default_factory=FakeProber)

    def __post_init__(self) -> None:
        self.world = self.root / "world"
        self.world.mkdir()
        self.repository = Repository.create(self.root / "infra.git")
        self.repository.commit(
            {
                "Pulumi.yaml": "name: tiny\nruntime: python\nstackConfigDir: stacks\n",
                "__main__.py": PROGRAM,
                "stacks/Pulumi.ours.yaml": "config: {}\n",
                POLICY_FILE: POLICY,
            }
        )

    def push(self, *things: Thing) -> str:
        """Push the things that the program makes from now on."""
        declared = {
            "things": [
                {
                    "name": thing.name, "inputs": dict(thing.inputs), "type": thing.type, "custom": True,
                    "parent": None, "replace_on": [], "fails": "", "machine": None,
                    "file": str(self.world / thing.name),
                }
                for thing in things
            ],
            "inventory": inventory(backup=True), "before": "", "after": "",
        }  # fmt: skip
        return self.repository.commit({"declared.json": json.dumps(declared)})

    def machine(self, name: str) -> Machine:
        return Machine(self.root / name, self)

    def fetch(self) -> Path:
        """A directory with the newest bundle, as restic restores it."""
        newest = list(self.backups.agent("pad").bundles.values())[-1]
        place = self.root / "fetched"
        place.mkdir(exist_ok=True)
        (place / NAME).write_bytes(newest)
        return place

    def made(self, thing: Thing) -> int:
        """How often a thing was made."""
        return (self.world / thing.name).read_text().count("made")


@pytest.fixture
def collective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collective:
    for name in list(os.environ):
        if name.startswith(("RONRON_", "PULUMI_", "XDG_")):
            monkeypatch.delenv(name)
    # The SDK's provider of dynamic resources, on PATH.
    for name, value in PulumiProject(tmp_path / "project").inherited().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    return Collective(tmp_path)


@pytest.fixture
def lost(collective: Collective) -> Machine:
    """A machine on which a lamp is live; the agent has its own backup."""
    collective.push(LAMP)
    machine = collective.machine("first")
    code, said = machine.ronron("watch", "--once")
    assert code == ExitCode.DONE, said
    assert collective.made(LAMP) == 1
    return machine


def test_after_a_recovery_records_are_complete_and_nothing_is_made_twice(
    collective: Collective, lost: Machine
) -> None:
    before = lost.record
    history = lost.facts("history")
    shutil.rmtree(lost.state)

    new = collective.machine("second")
    code, said = new.ronron("recover", str(collective.fetch()))
    assert code == ExitCode.DONE, said
    assert "recovered records of production" in said
    # The bundle was made before its own record.
    assert new.record == before.with_(kept=None)
    assert new.facts("history") == history
    code, said = new.ronron("status", "--json")
    (environment,) = json.loads(said)["environments"]
    assert environment["state"] == "live"
    assert {service["health"] for service in environment["services"]} == {"unknown"}
    assert code == ExitCode.FAILED, "nobody has probed since"

    code, said = new.ronron("preview", "production")
    assert code == ExitCode.DONE
    assert "verdict: unchanged" in said
    code, said = new.ronron("watch", "--once")
    assert code == ExitCode.DONE, said
    assert new.record.current == before.current
    collective.push(LAMP, SOFA)
    code, said = new.ronron("update", "production")
    assert code == ExitCode.DONE, said
    assert (collective.made(LAMP), collective.made(SOFA)) == (1, 1)


def test_the_bundle_has_neither_passphrase_nor_credentials(collective: Collective, lost: Machine) -> None:
    with tarfile.open(collective.fetch() / NAME) as tar:
        parts = {name: tar.extractfile(name) for name in tar.getnames()}
        content = {name: file.read() for name, file in parts.items() if file is not None}
    assert set(content) == {"manifest.json", "store.db", "states/production.json"}
    assert not any(PASSPHRASE.encode() in part for part in content.values())
    manifest = json.loads(content["manifest.json"])
    assert manifest["repository"] == str(collective.repository.path)
    assert manifest["environments"]["production"]["stack"] == "ours"
    assert manifest["engine"][0].isdigit()


def test_a_recovery_is_refused_if_there_are_records(collective: Collective, lost: Machine) -> None:
    before = lost.record
    code, said = lost.ronron("recover", str(collective.fetch()))
    assert code == ExitCode.USAGE
    assert "there are records already, of production" in said
    assert "hint: name an empty state directory" in said
    assert lost.record == before


def test_a_state_directory_that_was_only_read_counts_as_empty(collective: Collective, lost: Machine) -> None:
    new = collective.machine("second")
    assert new.ronron("status")[0] == ExitCode.DONE
    assert new.ronron("recover", str(collective.fetch()))[0] == ExitCode.DONE
    assert new.record.current == lost.record.current


def test_records_only_leaves_the_backend_as_it_is(
    collective: Collective, lost: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--records-only` recovers the records alone; without it a state must have the same resources."""
    fetched = collective.fetch()
    collective.push(LAMP, SOFA)
    assert lost.ronron("update", "production")[0] == ExitCode.DONE
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{lost.state}/pulumi-state")
    new = collective.machine("second")
    code, said = new.ronron("recover", str(fetched))
    assert code == ExitCode.USAGE
    assert "cannot import the state of ours: the stack has other resources" in said
    assert new.record == Record(environment="production")
    code, said = new.ronron("recover", "--records-only", str(fetched))
    assert code == ExitCode.DONE, said
    code, said = new.ronron("update", "production")
    assert code == ExitCode.DONE, said
    assert (collective.made(LAMP), collective.made(SOFA)) == (1, 1)


def test_an_interrupted_recovery_can_be_repeated(collective: Collective, lost: Machine) -> None:
    new = collective.machine("second")
    assert new.ronron("recover", str(collective.fetch()))[0] == ExitCode.DONE
    # Interrupted after the states, before the store was replaced.
    for file in new.state.glob("store.db*"):
        file.unlink()
    code, said = new.ronron("recover", str(collective.fetch()))
    assert code == ExitCode.DONE, said
    assert "verdict: unchanged" in new.ronron("preview", "production")[1]


def a_tar(**parts: bytes) -> bytes:
    with BytesIO() as written:
        with tarfile.open(fileobj=written, mode="w") as tar:
            for name, content in parts.items():
                about = tarfile.TarInfo(name)
                about.size = len(content)
                tar.addfile(about, BytesIO(content))
        return written.getvalue()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"no tar at all", "cannot read the bundle", id="no tar"),
        pytest.param(a_tar(other=b"{}"), "manifest.json", id="another tar"),
        pytest.param(a_tar(**{"manifest.json": b"{}"}), "made: Field required", id="no manifest"),
        pytest.param(
            a_tar(
                **{
                    "manifest.json": json.dumps(
                        {
                            "made": "2026-11-25T12:00:00Z", "host": "a", "ronron": "1", "engine": "3",
                            "repository": "", "environments": {},
                        }
                    ).encode()
                }
            ),
            "store.db",
            id="no store",
        ),
    ],
)  # fmt: skip
def test_another_file_is_refused_and_changes_nothing(
    collective: Collective, content: bytes, why: str
) -> None:
    place = collective.root / NAME
    place.write_bytes(content)
    machine = collective.machine("second")
    code, said = machine.ronron("recover", str(place))
    assert code == ExitCode.USAGE
    assert "cannot read the bundle" in said
    assert why in said
    assert machine.record == Record(environment="production")


def test_a_directory_without_exactly_one_bundle_is_refused(collective: Collective) -> None:
    place = collective.root / "empty"
    place.mkdir()
    code, said = collective.machine("second").ronron("recover", str(place))
    assert code == ExitCode.USAGE
    assert "cannot find the bundle: the directory has no tar file" in said
    for name in ("one", "two"):
        (place / name).write_bytes(a_tar(other=b"{}"))
    code, said = collective.machine("second").ronron("recover", str(place))
    assert (code, "the directory has 2 tar files" in said) == (ExitCode.USAGE, True)
