"""A service comes and goes by the commands that people use, on the real engine and a real Docker."""

from __future__ import annotations

from contextlib import closing

import docker
import pytest

from tests.support.collectives import Collective, Ran

pytestmark = pytest.mark.timeout(600)

SITE = ("--kind", "container", "--hostname", "site.localhost", "--set", "port=8000")
SECRET = "site-database-password"


def command(collective: Collective, *words: str) -> Ran:
    """A command on the member's working copy."""
    return collective.ronron(*words, "--directory", str(collective.tree))


def add(collective: Collective) -> Ran:
    """Add a service that counts its starts in a volume, and serves the count."""
    serve = "echo start >> /data/starts; exec caddy file-server --listen :8000 --root /data"
    return command(
        collective,
        *("add", "service", "local", "site", *SITE, "--image", collective.images["edge"]),
        *("--set", "volumes={data: /data}", "--set", f"command=[sh, -c, '{serve}']"),
        *("--set", "database={}", "--set", "probe={path: /starts}", "--set", "health=[CMD, 'true']"),
    )


def volumes(collective: Collective) -> set[str]:
    with closing(docker.from_env()) as engine:
        names = {str(volume.name) for volume in engine.volumes.list()}
    return {name.removeprefix(f"{collective.name}-local-") for name in names if collective.name in name}


def networks(collective: Collective) -> set[str]:
    with closing(docker.from_env()) as engine:
        return {
            str(network.name) for network in engine.networks.list() if collective.name in str(network.name)
        }


def test_a_removed_service_leaves_its_data_and_a_new_one_of_its_name_finds_them(
    collective: Collective,
) -> None:
    """Over 60 s: three updates, in which a PostgreSQL starts twice and stops once."""
    collective.policy(local={})
    collective.declare({})
    collective.push()

    added = add(collective)
    assert added.code == 0, added.said
    assert f"secret: ronron:{SECRET} is new" in added.out
    assert command(collective, "validate").code == 0
    text = (collective.tree / "stacks/Pulumi.local.yaml").read_text()
    collective.push("Add site")
    live = collective.ronron("update", "local")
    assert live.code == 0, live.said
    assert collective.get("site.localhost", "/starts").text == "start\n"

    collective.declare({})
    collective.push("Forget that it has volumes")
    stuck = collective.ronron("preview", "local")
    assert stuck.code == 1, stuck.said
    assert "it is protected" in stuck.said
    assert "ronron remove service local site" in stuck.said

    collective.write("stacks/Pulumi.local.yaml", text)
    removed = command(collective, "remove", "service", "local", "site")
    assert removed.code == 0, removed.said
    for role, holds in (("data", "files"), ("database", "database")):
        name = f"{collective.name}-local-site-{role}"
        assert f"stays: volume {name} ({holds}) on here" in removed.out
    assert command(collective, "validate").code == 0
    collective.push("Remove site")
    preview = collective.ronron("preview", "local")
    assert preview.code == 0, preview.said
    gone = collective.ronron("update", "local")
    assert gone.code == 0, gone.said
    assert "removed: site" in gone.said
    assert not {name for name in collective.containers() if name.startswith("local-site")}
    assert f"{collective.name}-local-site" not in networks(collective)
    assert {"site-data", "site-database"} <= volumes(collective)

    again = add(collective)
    assert again.code == 0, again.said
    assert f"secret: ronron:{SECRET} stays as it is" in again.out
    collective.push("Add site again")
    back = collective.ronron("update", "local")
    assert back.code == 0, back.said
    assert collective.get("site.localhost", "/starts").text == "start\nstart\n"
    assert collective.ronron("status").code == 0
