"""A snapshot before each change, on the real engine and a real Docker; the agent is a stand-in."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.support.collectives import PROJECT, Collective, Document, Ran, Sealed, web
from tests.support.plain import PlainStack

pytestmark = pytest.mark.timeout(300)

STAND_IN = PROJECT / "tests" / "stand_in_agent"
SECRETS = ("site-database-password",)
SITE, DATABASE, AGENT = "local-site", "local-site-database", "local-site-backup"
MEMORY = 64


def snapshot_of(text: str) -> str:
    """The short id of a snapshot of the site that answers with a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def said_of(text: str) -> str:
    """The line that the engine prints about it."""
    return f"snapshot {snapshot_of(text)} of site was taken before it changes"


class BackedUp:
    """A stack with a site, its database and its agent."""

    def __init__(self, stack: PlainStack) -> None:
        self.stack = stack
        self.collective = stack.collective
        self.declared: Document = {}
        self.made: Document | None = None
        """What the last successful update declared; None after a failure."""

    def site(self, text: str, **more: object) -> Document:
        """The site that answers with a text."""
        usual = {
            **web(self.collective.images, text),
            "hostname": "site.localhost",
            "volumes": {"pages": "/srv/pages"},
            "database": {},
            "memory_mib": MEMORY,
        }
        return {"site": {**usual, **more}}

    def declare(self, services: Document, *, backup: bool = True) -> None:
        """Write the stack file."""
        more: dict[str, Any] = {"members": {"basic": {"user": "members"}}}
        if backup:
            more["backup"] = {
                "repository": str(self.collective.root / "repository"),
                "schedule": "0 3 * * *",
                "password": {"secure": self.collective.sealed.secure},
                "image": self.collective.images["postgres"],
            }
        self.declared = services
        self.collective.declare(services, *(SECRETS if services else ()), **more)

    def up(self, *, preview: bool = False) -> Ran:
        """Update, and expect success."""
        ran = self.try_up(preview=preview)
        assert ran.code == 0, ran.said
        self.made = self.declared
        return ran

    def try_up(self, *, preview: bool = False) -> Ran:
        """Update; it may fail."""
        self.made = None
        return self.stack.up(preview=preview)

    def ids(self) -> dict[str, str]:
        """IDs of the site's containers, by role."""
        return {name: id_ for name, id_ in self.collective.containers().items() if "site" in name}

    def answers(self) -> str:
        """The body of the site's answer."""
        return self.collective.get("site.localhost").text

    def asked(self) -> list[str]:
        """The backups that the agent was asked for so far, by their options."""
        asked = "/var/lib/ronron-agent/asked"
        return self.stack.inside("site-backup", "sh", "-c", f"touch {asked}; cat {asked}").splitlines()

    def fail(self, fails: bool) -> None:
        """Let snapshots fail or succeed."""
        words = ("touch",) if fails else ("rm", "-f")
        self.stack.inside("site-backup", *words, "/var/lib/ronron-agent/fail")

    def unprotect(self) -> None:
        """Unprotect the volumes, as a person does before deleting them."""
        assert self.stack.pulumi("state", "unprotect", "--all", "--yes", "--stack", "local").code == 0


@pytest.fixture(scope="module")
def founded(
    tmp_path_factory: pytest.TempPathFactory, sealed: Sealed, images: Mapping[str, str]
) -> Iterator[BackedUp]:
    collective = Collective(tmp_path_factory.mktemp("hook") / "collective", sealed, images)
    context = collective.tree / "components" / "chatons" / "images" / "backup_agent"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(STAND_IN, context)
    live = BackedUp(PlainStack(collective))
    live.declare(live.site("one"))
    try:
        live.stack.begin()
        live.up()
        yield live
    finally:
        collective.remove()
        remove_agent_images(collective)


def remove_agent_images(collective: Collective) -> None:
    """Remove the images built from the stand-in, which the engine leaves on the machine."""
    ran = PlainStack(collective).pulumi("stack", "export", "--stack", "local")
    names = {
        word.split('"')[0] for word in ran.out.split('"name": "')[1:] if word.startswith("ronron-backup-")
    }
    with closing(docker.from_env()) as engine:
        for name in names:
            engine.images.remove(name, force=True)


@pytest.fixture
def live(founded: BackedUp) -> Iterator[BackedUp]:
    """The site that answers `one`, whatever an earlier test changed."""
    yield founded
    home = founded.site("one")
    if founded.declared != home:
        founded.declare(home)
    if founded.made != home:
        founded.up()


@pytest.fixture
def missing_agent(founded: BackedUp) -> Callable[[], None]:
    def remove() -> None:
        with closing(docker.from_env()) as engine:
            engine.containers.get(f"{founded.collective.name}-{AGENT}").remove(force=True)

    return remove


# -- what there is -------------------------------------------------------------------------------------


def test_the_agent_is_built_from_the_database_and_confined(live: BackedUp) -> None:
    agent = live.stack.inspect("site-backup")
    assert agent["Config"]["Hostname"] == f"{live.collective.name}-{AGENT}"
    assert agent["HostConfig"]["CapDrop"] == ["ALL"]
    assert agent["HostConfig"]["CapAdd"] == ["CAP_DAC_READ_SEARCH"]
    assert agent["HostConfig"]["Memory"] == agent["HostConfig"]["MemorySwap"] == 256 * 1024**2
    mounts = {each["Destination"]: each for each in agent["Mounts"]}
    own = live.collective.name
    assert {path: (each.get("Name"), each["RW"]) for path, each in mounts.items()} == {
        "/var/lib/ronron-agent": (f"{own}-{AGENT}", True),
        "/data/pages": (f"{own}-local-site-pages", False),
        "/repository": (None, True),
        "/reconciler": (None, True),
    }
    scope = live.collective.root / "repository" / f"{own}-local"
    assert {path: each["Source"] for path, each in mounts.items() if each["Type"] == "bind"} == {
        "/repository": str(scope / "site"),
        "/reconciler": str(scope / "reconciler"),
    }
    assert live.stack.inside("site-backup", "pg_dump", "--version").startswith("pg_dump (PostgreSQL) 15")


def test_secrets_reach_the_agent_as_files_for_root_alone(live: BackedUp) -> None:
    clear = live.collective.sealed.clear
    for name in ("repository-password", "database-password"):
        path = f"/run/ronron-agent/{name}"
        assert live.stack.inside("site-backup", "cat", path).strip() == clear
        assert live.stack.inside("site-backup", "stat", "-c", "%a %u:%g", path).strip() == "400 0:0"
    assert clear not in live.stack.inside("site-backup", "cat", "/etc/ronron-agent.json")
    assert clear not in str(live.stack.inspect("site-backup")["Config"])
    shown = live.stack.pulumi("stack", "export", "--stack", "local").said
    assert "ronron-backup-agent:" in shown, "it is the state that is looked through"
    assert clear not in shown


def test_another_checkout_shows_no_change(live: BackedUp, tmp_path: Path) -> None:
    assert live.stack.changes() == set()
    elsewhere = tmp_path / "deeper" / "checkout"
    shutil.copytree(live.collective.tree, elsewhere, symlinks=True)
    cache = elsewhere / "components" / "chatons" / "images" / "backup_agent" / "__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_bytes(b"x")
    assert replace(live.stack, checkout=elsewhere).changes() == set()


def test_a_changed_agent_replaces_itself_and_nothing_else(live: BackedUp) -> None:
    program = live.collective.tree / "components" / "chatons" / "images" / "backup_agent" / "ronron-agent"
    before, was = live.ids(), program.read_text()
    program.write_text(was + "# changed\n")
    try:
        assert live.stack.changes() == {"RemoteImage site-backup", "Container site-backup"}
        live.up()
        after = live.ids()
        assert {name for name in before if before[name] != after[name]} == {AGENT}
    finally:
        program.write_text(was)
        live.made = None


def test_an_agent_of_interface_1_takes_the_snapshot_before_the_update_that_replaces_it(
    live: BackedUp,
) -> None:
    """Takes over a minute on a busy machine: two updates, each with a build of the agent's image."""
    program = live.collective.tree / "components" / "chatons" / "images" / "backup_agent" / "ronron-agent"
    present = program.read_text()
    program.write_text(present.replace("  backup)\n", "  now)\n"))
    try:
        live.up()
        old = live.ids()[AGENT]
        program.write_text(present)
        live.declare(live.site("two"))
        asked = len(live.asked())
        ran = live.up()
        assert said_of("one") in ran.said
        assert live.answers() == "two"
        assert live.ids()[AGENT] != old
        assert len(live.asked()) == asked + 1
    finally:
        program.write_text(present)
        live.made = None


# -- a snapshot comes first ----------------------------------------------------------------------------


def test_a_snapshot_is_taken_while_the_old_version_runs(live: BackedUp) -> None:
    before = live.ids()
    live.declare(live.site("two"))
    # As a person runs it.
    ran = live.up(preview=True)
    assert said_of("one") in ran.said
    assert live.answers() == "two"
    assert live.ids()[SITE] != before[SITE]
    assert "--reason update" in live.asked()[-1]
    assert '"version": "2.6.2"' in live.asked()[-1]


def test_without_a_snapshot_the_old_version_stays(live: BackedUp) -> None:
    before = live.ids()
    live.fail(True)
    live.declare(live.site("two"))
    ran = live.try_up()
    assert ran.code != 0
    assert "cannot take a snapshot of site before it changes: cannot write to /repository" in ran.said
    assert "free some space there" in ran.said
    assert "snapshot_before_update: false" in ran.said
    assert live.ids() == before
    assert live.answers() == "one"
    live.fail(False)
    assert said_of("one") in live.up().said
    assert live.answers() == "two"


def test_a_snapshot_is_taken_before_a_change_in_place(live: BackedUp) -> None:
    before = live.ids()
    live.declare(live.site("one", memory_mib=MEMORY + 8))
    ran = live.up()
    assert said_of("one") in ran.said
    assert live.ids() == before
    assert live.stack.inspect("site")["HostConfig"]["Memory"] == (MEMORY + 8) * 1024**2


def test_one_snapshot_serves_all_containers_of_a_service(live: BackedUp) -> None:
    asked = len(live.asked())
    live.declare(live.site("two", database={"memory_mib": 300, "cpus": 0.5}))
    before = live.ids()
    ran = live.up()
    assert said_of("one") in ran.said
    after = live.ids()
    assert {name for name in before if before[name] != after[name]} == {SITE, DATABASE}
    assert len(live.asked()) == asked + 1


def test_no_snapshot_is_taken_of_an_unchanged_service(live: BackedUp) -> None:
    asked = live.asked()
    live.declare({**live.site("one"), "other": web(live.collective.images, "other")})
    ran = live.up()
    assert "snapshot" not in ran.said
    assert live.asked() == asked


def test_a_preview_takes_no_snapshot(live: BackedUp) -> None:
    asked = live.asked()
    live.declare(live.site("two"))
    assert "Container site" in live.stack.changes()
    assert live.asked() == asked


def test_a_snapshot_is_taken_before_an_update_with_a_plan(live: BackedUp, tmp_path: Path) -> None:
    live.declare(live.site("two"))
    plan = str(tmp_path / "plan.json")
    previewed = live.stack.pulumi("preview", "--save-plan", plan, "--stack", "local")
    assert previewed.code == 0, previewed.said
    live.made = None
    ran = live.stack.pulumi("up", "--yes", "--skip-preview", "--plan", plan, "--stack", "local")
    assert ran.code == 0, ran.said
    assert said_of("one") in ran.said
    assert live.answers() == "two"


def test_the_revision_is_passed_on(live: BackedUp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONRON_REVISION", "c0ffee" * 6 + "abcd")
    live.declare(live.site("two"))
    live.up()
    assert f"--revision {'c0ffee' * 6}abcd" in live.asked()[-1]


# -- what stands in the way -----------------------------------------------------------------------------


def test_a_missing_agent_is_an_error_and_nothing_changes(
    live: BackedUp, missing_agent: Callable[[], None]
) -> None:
    missing_agent()
    before = live.ids()
    live.declare(live.site("two"))
    ran = live.try_up()
    assert ran.code != 0
    assert f"there is no container {live.collective.name}-{AGENT} on here" in ran.said
    assert "first make an update that only adds the backup" in ran.said
    assert live.ids() == before
    # The fix for a container that was deleted by hand: refresh, then update.
    refreshed = live.stack.pulumi("refresh", "--yes", "--stack", "local")
    assert refreshed.code == 0, refreshed.said
    assert said_of("one") in live.up().said


def test_snapshot_before_update_false_changes_a_broken_service(live: BackedUp) -> None:
    live.fail(True)
    live.declare(live.site("two", snapshot_before_update=False))
    ran = live.up()
    assert "site changes WITHOUT a snapshot" in ran.said
    assert live.answers() == "two"
    live.fail(False)


# -- what goes -------------------------------------------------------------------------------------------


def test_a_service_that_is_no_longer_declared_is_deleted_after_a_snapshot_and_its_volumes_stay(
    live: BackedUp,
) -> None:
    volumes = live.stack.volumes()
    live.declare({})
    live.unprotect()
    live.fail(True)
    ran = live.try_up()
    assert ran.code != 0
    assert "cannot take a snapshot of site" in ran.said
    assert live.answers() == "one"
    live.fail(False)
    assert said_of("one") in live.up().said
    assert live.ids() == {}
    assert live.stack.volumes() == volumes


def test_a_snapshot_is_taken_before_a_stack_is_destroyed(live: BackedUp) -> None:
    volumes = live.stack.volumes()
    # Without the program the hook cannot run, and nothing is destroyed.
    blind = live.stack.pulumi("destroy", "--yes", "--exclude-protected", "--stack", "local")
    assert blind.code != 0
    assert "--run-program" in blind.said
    assert live.answers() == "one"
    words = ("--run-program", "--exclude-protected")
    live.made = None
    ran = live.stack.pulumi("destroy", "--yes", *words, "--stack", "local")
    assert ran.code == 0, ran.said
    assert said_of("one") in ran.said
    assert live.collective.containers() == {}
    assert live.stack.volumes() == volumes


def test_a_service_that_is_excluded_from_backups_changes_without_a_snapshot(live: BackedUp) -> None:
    live.declare(live.site("two", backup=False))
    # What the agent remembers is a volume too, and goes when a person lets it.
    refused = live.try_up()
    assert "pulumi state unprotect" in refused.said
    live.unprotect()
    live.up()
    assert AGENT not in live.ids()
    assert live.answers() == "two"
    live.declare(live.site("two"))
    before = live.ids()
    ran = live.up()
    assert "snapshot" not in ran.said, "the update that only adds the backup changes nothing else"
    after = live.ids()
    assert {name: after[name] for name in before} == before
