"""The program alone, on the real engine and a real Docker: `pulumi up` in a clone, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.collectives import Collective, Sealed
from tests.integration.plain import ETHERPAD_SECRETS, PlainStack, etherpad


@pytest.fixture(scope="module")
def live(
    tmp_path_factory: pytest.TempPathFactory, sealed: Sealed, images: Mapping[str, str]
) -> Iterator[PlainStack]:
    """A pad that is up. Each test that changes it leaves a pad that is up."""
    collective = Collective(tmp_path_factory.mktemp("pad") / "collective", sealed, images)
    stack = PlainStack(collective)
    collective.declare({"pad": etherpad(images)}, *ETHERPAD_SECRETS)
    try:
        stack.begin()
        ran = stack.up()
        assert ran.code == 0, ran.said
        yield stack
    finally:
        collective.remove()


def test_a_pad_answers_through_the_edge(live: PlainStack) -> None:
    answer = live.collective.get("pad.localhost")
    assert answer.status_code == 200
    assert "<title>Before</title>" in answer.text


def test_a_second_preview_shows_no_change(live: PlainStack) -> None:
    assert live.changes() == {}
