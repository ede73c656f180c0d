"""A collective's own repository: stacks, policy, a program of three lines, and a lock file.

What docs/own-repository.md says, with wheels of `chatons` that were built from this clone.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.collectives import PROJECT, Collective, Ran, web
from tests.support.fake_proxmox import fake_proxmox
from tests.support.plugin import Found
from tests.support.wheels import chatons_wheel, locked

pytestmark = pytest.mark.timeout(600)

OLD, NEW = "0.1.0", "0.1.1"
EXAMPLE = PROJECT / "examples" / "single-host"


@dataclass(frozen=True)
class Releases:
    """Two releases of `chatons`: a folder with their wheels, and a lock file that pins each."""

    wheels: Path
    locks: dict[str, str]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    work = tmp_path_factory.mktemp("releases")
    wheels = work / "wheels"
    for version in (OLD, NEW):
        chatons_wheel(wheels, version, work)
    return Releases(wheels, {version: locked(wheels, version, work) for version in (OLD, NEW)})


class OwnRepository:
    """A collective with a repository of its own, and a directory of wheels on its machine."""

    def __init__(self, collective: Collective, releases: Releases) -> None:
        self.collective = collective
        self.releases = releases
        self.wheels = shutil.copytree(releases.wheels, collective.root / "wheels")
        collective.take_program(EXAMPLE, ["__main__.py"])
        collective.policy(local={})

    def takes(self, version: str, text: str) -> None:
        """Push a revision with a lock file for a release, and another text of its one service."""
        site = {**web(self.collective.images, text), "hostname": "site.localhost"}
        self.collective.declare({"site": site})
        self.collective.write("requirements.lock", self.releases.locks[version])
        self.collective.push(f"Take chatons {version}")

    def ronron(self, *words: str) -> Ran:
        return self.collective.ronron(*words, RONRON_FIND_LINKS=str(self.wheels))

    def validated(self, *words: str) -> Ran:
        """`ronron validate` of the working copy."""
        return self.ronron("validate", *words, "--directory", str(self.collective.tree))

    @property
    def release(self) -> str:
        """The stack output `release`: what the program said that it was."""
        (state,) = (self.collective.state / "pulumi-state").rglob("stacks/*/local.json")
        resources = json.loads(state.read_text())["checkpoint"]["latest"]["resources"]
        (stack,) = (each for each in resources if each["type"] == "pulumi:pulumi:Stack")
        return str(stack["outputs"]["release"])

    @property
    def environments(self) -> list[str]:
        """The version of `chatons` in each virtual environment that is whole."""
        facts = (self.collective.state / "virtual-environments").glob("*/ronron.json")
        return sorted(json.loads(fact.read_text())["packages"]["chatons"] for fact in facts)

    @property
    def text(self) -> str:
        return self.collective.get("site.localhost").text


@pytest.fixture
def own(found: Found, releases: Releases) -> OwnRepository:
    return OwnRepository(found(), releases)


def test_a_repository_of_its_own_takes_a_new_release_by_its_lock_file(own: OwnRepository) -> None:
    """Takes over a minute: three updates on the real engine, with two virtual environments."""
    assert not (own.collective.tree / "chatons").exists()
    own.takes(OLD, "first")
    checked = own.validated()
    assert checked.code == 0, checked.said
    first = own.ronron("update", "local")
    assert first.code == 0, first.said
    assert (own.text, own.release, own.environments) == ("first", OLD, [OLD])

    # The wheel of the new release is not there yet: nothing is previewed, and nothing changes.
    (own.wheels / f"chatons-{NEW}-py3-none-any.whl").unlink()
    own.takes(NEW, "second")
    assert [problem["where"] for problem in own.validated("--json").json()["problems"]] == [
        "requirements.lock"
    ]
    failed = own.ronron("update", "local")
    assert failed.code == 1
    assert f"requirements.lock: cannot find chatons=={NEW}" in failed.said
    assert f"put its wheel into {own.wheels}" in failed.said
    assert "preview:" not in failed.said
    assert (own.text, own.environments) == ("first", [OLD])

    shutil.copy(own.releases.wheels / f"chatons-{NEW}-py3-none-any.whl", own.wheels)
    second = own.ronron("update", "local")
    assert second.code == 0, second.said
    assert f"installing chatons {NEW}" in second.err
    assert (own.text, own.release, own.environments) == ("second", NEW, [OLD, NEW])

    # The packages of an earlier revision are still there: the way back needs no wheel and no network.
    shutil.rmtree(own.wheels)
    own.takes(OLD, "first again")
    back = own.ronron("update", "local")
    assert back.code == 0, back.said
    assert "installing" not in back.err
    assert (own.text, own.release) == ("first again", OLD)


DYNAMIC = """
import pulumi
from chatons.proxmox.backup_job import BackupJob

config = pulumi.Config("ronron")
BackupJob("machines", {
    "endpoint": config.require("endpoint"), "insecure": True, "token": config.require_secret("token"),
    "job": "ronron-own",
    "settings": {"storage": "vault", "schedule": config.require("schedule"), "vmid": "101"},
}, None)
"""


def test_dynamic_providers_come_from_the_installed_wheel(
    own: OwnRepository, releases: Releases, tmp_path: Path
) -> None:
    """The engine starts them as processes of their own: each with the packages of its revision."""
    own.collective.write("__main__.py", DYNAMIC)
    with fake_proxmox(tmp_path) as cluster:
        for version, schedule in ((OLD, "02:30"), (NEW, "05:00")):
            config = {"endpoint": cluster.endpoint, "token": cluster.token, "schedule": schedule}
            own.collective.write(
                "stacks/Pulumi.local.yaml",
                {
                    "encryptionsalt": own.collective.sealed.salt,
                    "config": {f"ronron:{key}": value for key, value in config.items()},
                },
            )
            own.collective.write("requirements.lock", releases.locks[version])
            own.collective.push(f"Take chatons {version}")
            updated = own.ronron("update", "local")
            assert updated.code == 0, updated.said
            assert cluster.jobs["ronron-own"]["schedule"] == schedule
    assert own.environments == [OLD, NEW]
