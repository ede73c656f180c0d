"""What the demo runs for a moment leaves nothing on the machine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import docker
import pytest
from docker.errors import ContainerError, NotFound

from demo import throw_away


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    with closing(docker.from_env()) as made:
        yield made


def volumes_of(engine: docker.DockerClient, name: str, begun: datetime) -> set[str]:
    """The volumes that a container had which is gone."""
    until = datetime.now(UTC) + timedelta(seconds=1)
    told = list(
        engine.events(since=begun, until=until, filters={"type": ["container", "volume"]}, decode=True)
    )
    ours = {
        event["Actor"]["ID"] for event in told if event["Actor"].get("Attributes", {}).get("name") == name
    }
    return {
        event["Actor"]["ID"]
        for event in told
        if event["Type"] == "volume"
        and event["Action"] == "mount"
        and event["Actor"]["Attributes"].get("container") in ours
    }


@pytest.mark.parametrize(("program", "good"), [("true", True), ("false", False)])
def test_a_throw_away_container_takes_the_unnamed_volumes_of_its_image_with_it(
    engine: docker.DockerClient, postgres_image: str, program: str, good: bool
) -> None:
    name, begun = f"ronron-test-{secrets.token_hex(4)}", datetime.now(UTC) - timedelta(seconds=1)
    try:
        throw_away.run(engine, postgres_image, [program], name=name)
        ended_well = True
    except ContainerError:
        ended_well = False
    assert ended_well is good
    with pytest.raises(NotFound):
        engine.containers.get(name)
    had = volumes_of(engine, name, begun)
    assert had, "the image names a volume"
    assert not had & {volume.name for volume in engine.volumes.list()}
