"""Takes away what the demo made, and nothing else: what its own Pulumi state names, and its own directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing

import docker
from docker.errors import APIError, NotFound
from pulumi import automation

from demo.places import MARK, STACK, Places
from demo.watcher import stop_left_over

KINDS = {
    "docker:index/container:Container": "container",
    "docker:index/network:Network": "network",
    "docker:index/volume:Volume": "volume",
}
ORDER = ("container", "network", "volume")


class NotOursError(Exception):
    """A directory is not the demo's, or something else uses what is."""


def take_down(places: Places, note: Callable[[str], None]) -> None:
    """Stop the watcher, remove containers, networks, volumes and files; a second call finds nothing.

    Raises:
        NotOursError: the demo's directory holds something else, or its things are used by others.
    """
    if not places.root.exists():
        note("nothing of the demo is here")
        return
    if not (places.root / MARK).exists():
        raise NotOursError(f"{places.root} was not made by the demo; remove it by hand if that is meant")
    stop_left_over(places)
    for kind, name in made(places):
        if _remove(kind, name):
            note(f"removed {kind} {name}")
    shutil.rmtree(places.root)
    note(f"removed {places.root}")


def made(places: Places) -> list[tuple[str, str]]:
    """Kind and name of every container, network and volume of the demo's Pulumi state, in order of removal.

    What an update had begun to create when it died counts too.
    """
    if not places.collective.exists():
        return []
    environment = {**places.pulumi_environment(), "PULUMI_CONFIG_PASSPHRASE_FILE": str(places.passphrase)}
    workspace = automation.LocalWorkspace(work_dir=str(places.collective), env_vars=environment)
    try:
        deployment = automation.Stack.select(STACK, workspace).export_stack().deployment or {}
    except automation.StackNotFoundError:
        return []
    pending = [operation["resource"] for operation in deployment.get("pending_operations", [])]
    return named([*deployment.get("resources", []), *pending])


def named(resources: list[Mapping[str, object]]) -> list[tuple[str, str]]:
    """Kind and name of the Docker things among the resources of a state, containers first."""
    found = {
        (KINDS[str(resource["type"])], str(inputs["name"]))
        for resource in resources
        if resource.get("type") in KINDS
        and isinstance(inputs := resource.get("inputs"), dict)
        and "name" in inputs
    }
    return sorted(found, key=lambda thing: (ORDER.index(thing[0]), thing[1]))


def _remove(kind: str, name: str) -> bool:
    with closing(docker.from_env()) as engine:
        try:
            match kind:
                case "container":
                    engine.containers.get(name).remove(force=True, v=True)
                case "network":
                    engine.networks.get(name).remove()
                case _:
                    engine.volumes.get(name).remove()
        except NotFound:
            return False
        except APIError as error:
            raise NotOursError(f"cannot remove {kind} {name}: {error.explanation}") from error
    return True
