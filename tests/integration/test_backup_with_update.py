"""The real agent beside a site: a snapshot before a change, and no change where it cannot take one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.collectives import Collective, Document, Sealed, web
from tests.support.plain import PlainStack

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def stack(tmp_path: Path, sealed: Sealed, images: Mapping[str, str]) -> Iterator[PlainStack]:
    collective = Collective(tmp_path / "collective", sealed, images)
    try:
        yield PlainStack(collective)
    finally:
        collective.remove()


def declare(stack: PlainStack, text: str, repository: str = "repository") -> None:
    site: Document = {
        **web(stack.collective.images, text), "hostname": "site.localhost",
        "volumes": {"pages": "/srv/pages"}, "database": {},
    }  # fmt: skip
    stack.collective.declare(
        {"site": site},
        "site-database-password",
        backup={
            "repository": str(stack.collective.root / repository),
            "schedule": "0 3 * * *",
            "password": {"secure": stack.collective.sealed.secure},
        },
    )


def agent(stack: PlainStack, words: str) -> dict[str, Any]:
    """The answer of the site's agent; its log goes to standard error."""
    text = stack.inside("site-backup", "sh", "-c", f"ronron-agent {words} 2> /dev/null")
    document: dict[str, Any] = json.loads(text)
    return document


def test_an_update_shows_its_snapshot_and_stops_where_the_agent_can_take_none(
    stack: PlainStack,
) -> None:
    """Over 60 s: a stack with a database and an agent is made, updated, and refused without its agent."""
    collective = stack.collective
    declare(stack, "one")
    stack.begin()
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert stack.changes() == set()
    declare(stack, "two")
    ran = stack.up()
    assert ran.code == 0, ran.said
    shown = re.search(r"snapshot ([0-9a-f]{12}) of site was taken before it changes", ran.said)
    assert shown, ran.said
    assert collective.get("site.localhost").text == "two"
    listed: list[dict[str, Any]] = json.loads(stack.inside("site-backup", "ronron-agent", "list"))[
        "snapshots"
    ]
    (taken,) = [each for each in listed if each["id"].startswith(shown[1])]
    assert (taken["reason"], taken["service"], taken["version"]) == ("update", "site", "2.6.2")
    assert taken["database"]["bytes"] > 0

    before = collective.containers()
    scope = collective.root / "repository" / f"{collective.name}-local" / "site"
    shutil.move(scope / "config", scope / "config.away")
    declare(stack, "three")
    ran = stack.up()
    assert ran.code != 0
    assert "cannot take a snapshot of site before it changes: " in ran.said
    assert collective.containers() == before
    assert collective.get("site.localhost").text == "two"


def test_where_the_state_is_lost_too_no_service_starts_on_empty_data(
    stack: PlainStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Takes minutes: by `pulumi up` alone, five updates; nothing is left but the snapshots."""
    collective = stack.collective
    declare(stack, "one")
    stack.begin()
    ran = stack.up(preview=False)
    assert ran.code == 0, ran.said
    taken = agent(stack, "backup --reason asked")["snapshot"]

    declare(stack, "one", repository="another")
    refused = stack.preview()
    assert refused.code != 0
    old = str(collective.root / "repository")
    assert f"the repository of site was {old}" in " ".join(refused.said.split())
    assert "snapshots: copied" in refused.said
    declare(stack, "one")

    collective.remove()
    shutil.rmtree(stack.backend)
    stack.begin()
    stopped = stack.up(preview=False)
    assert stopped.code != 0
    said = " ".join(stopped.said.split())
    assert "site is not created: its data (" in said
    assert f"the newest is {taken['id'][:12]}" in said
    assert "local-site" not in collective.containers()

    held = stack.up(preview=False)
    assert held.code == 0, held.said
    assert "site is held back: its data (" in held.said
    assert "local-site" not in collective.containers()
    assert stack.inventory()["services"]["site"]["held"]["volumes"]

    monkeypatch.setenv("RONRON_ACCEPT_EMPTY", "site")
    accepted = stack.up(preview=False)
    assert accepted.code == 0, accepted.said
    monkeypatch.delenv("RONRON_ACCEPT_EMPTY")
    assert collective.get("site.localhost").text == "one"
    assert stack.changes() == set()
    data = agent(stack, "data")["data"]
    assert (data["state"], data["word"]) == ("known", "accepted")
