"""`ronron remove service`: what goes from the stack file, what is recorded, and what stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronron.adapters.sql_store.store import SqlStore
from ronron.commands import removal
from ronron.commands.program_facts import ProgramFacts
from ronron.core.record import Failure, Record
from ronron.core.removals import VALID, Removal, valid
from ronron.testing import NOON
from tests.support.command_line import Records, Said, bare_environment, ran
from tests.support.worlds import BACKUP, COMPONENT, inventory

STACK = """\
config:
  ronron:services:
    # our pads
    pad:
      kind: etherpad
    wiki: {kind: container}
  ronron:pad-database-password: {secure: v1:a}
"""
FILES = {
    "Pulumi.yaml": "name: x\nruntime: python\nstackConfigDir: stacks\n",
    "stacks/environments.yaml": "environments: {production: {}}\n",
    "stacks/Pulumi.production.yaml": STACK,
}
FILE = "stacks/Pulumi.production.yaml"


def live() -> dict[str, object]:
    """An inventory with a pad that has volumes and backups."""
    found = inventory(backup=True)
    services = found["services"]
    assert isinstance(services, dict)
    services["pad"] |= {
        "volumes": [
            {"name": "x-production-pad-files", "path": "/data", "holds": "files"},
            {"name": "x-production-pad-database", "path": "/var", "holds": "database"},
        ],
        "machine": "here",
    }
    return found


class Place(Records):
    """A working tree, and the records of the machine that runs the watcher."""

    def __init__(self, root: Path) -> None:
        self.state = root / "state"
        self.top = root / "tree"
        for name, text in FILES.items():
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / name).write_text(text)

    @property
    def text(self) -> str:
        return (self.top / FILE).read_text()

    def remove(self, *names: str, top: Path | None = None) -> Said:
        more = ("--directory", str(top or self.top))
        return ran(self.state, str(self.top), "remove", "service", *names, *more)

    def remove_as_json(self, *names: str) -> Said:
        return ran(
            self.state, str(self.top), "remove", "service", *names, "--directory", str(self.top), "--json"
        )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    bare_environment(tmp_path / "home", monkeypatch)
    made = Place(tmp_path)
    made.keep(Record(environment="production", stack="production", inventory=live()))
    return made


def test_the_block_goes_and_the_request_is_recorded(place: Place) -> None:
    said = place.remove("production", "pad")
    assert said.code == 0
    assert place.text == STACK.replace("    # our pads\n    pad:\n      kind: etherpad\n", "")
    found = place.record.removals["pad"]
    assert found.resource == COMPONENT
    assert found.by


def test_what_stays_is_named_with_its_machine(place: Place) -> None:
    said = place.remove("pad")
    assert "stays: volume x-production-pad-files (files) on here" in said.out
    assert "stays: volume x-production-pad-database (database) on here" in said.out
    assert f"stays: volume {BACKUP['container']} (state of the backup agent) on here" in said.out
    assert f"stays: its snapshots in {BACKUP['repository']}" in said.out
    assert f'next: git add {FILE} && git commit -m "Remove pad" && git push' in said.out
    assert "docker volume rm x-production-pad-files x-production-pad-database" in said.out


def test_facts_are_one_json_document(place: Place) -> None:
    facts = place.remove_as_json("production", "pad").facts
    assert [one["name"] for one in facts["volumes"]][:1] == ["x-production-pad-files"]
    assert facts["requested"] is True
    assert facts["file"] == FILE


def test_without_a_working_tree_only_the_request_is_recorded(place: Place, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    said = place.remove("pad", top=elsewhere)
    assert said.code == 0
    assert "pad" in place.record.removals
    assert place.text == STACK
    assert "push a commit without pad" in said.out


def test_a_block_that_is_gone_already_leaves_the_request(place: Place) -> None:
    place.remove("production", "pad")
    with SqlStore(place.state) as store:
        store.save(place.record.with_(removals={}))
    said = place.remove("production", "pad")
    assert said.code == 0
    assert "pad" in place.record.removals


def test_a_service_without_a_record_goes_from_the_file_alone(place: Place) -> None:
    said = place.remove("production", "wiki")
    assert said.code == 0
    assert "wiki" not in place.text
    assert place.record.removals == {}
    assert "run ronron remove service production wiki also where ronron watch runs" in said.out


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (("production", "padd"), "cannot find the service `padd` in production", "use pad"),
        (("production", "zzz"), "cannot find the service `zzz`", "use one of: pad, wiki"),
        (("productio", "pad"), "cannot find the environment `productio`", "use production"),
        (("a", "b", "c"), "cannot remove 3 services at once", "ronron remove service production c"),
    ],
)
def test_what_is_not_there_is_refused(place: Place, names: tuple[str, ...], message: str, hint: str) -> None:
    said = place.remove(*names)
    assert said.code == 2
    assert message in said.err
    assert hint in said.err
    assert place.text == STACK


def test_a_locked_stack_stays_as_it_is(place: Place) -> None:
    with SqlStore(place.state) as store, store.lock("production"):
        said = place.remove("production", "pad")
    assert said.code == 4
    assert place.text == STACK
    assert place.record.removals == {}


def test_after_a_failure_the_next_pass_tries_again(place: Place) -> None:
    place.keep(place.record.with_(failed=Failure(times=1, at=NOON, message="cannot delete pad-files")))
    place.remove("production", "pad")
    with SqlStore(place.state) as store:
        assert store.asked("production") is not None


def test_secrets_that_an_older_program_refuses_go_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def facts(*_given: object, **_more: object) -> ProgramFacts:
        text = str(_given[3])
        key = "ronron:pad-database-password"
        refused = [] if "pad:" in text else [{"key": key, "problem": "unknown key", "remedy": "remove it"}]
        return ProgramFacts.model_validate({"problems": refused, "kinds": {}})

    monkeypatch.setattr(removal, "program_facts", facts)
    place.remove("production", "pad")
    assert "pad-database-password" not in place.text


def test_a_request_is_valid_for_some_days_only() -> None:
    asked = {"pad": Removal(by="ada", at=NOON, resource=COMPONENT)}
    assert valid(asked, NOON + VALID) == asked
    assert valid(asked, NOON + VALID * 2) == {}
